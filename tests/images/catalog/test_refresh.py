"""A registry's own list of tags corrects the catalog, and a wrong list does not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from seatrial.errors import SeatrialError, UsageError
from seatrial.images import registry
from seatrial.images.catalog import identify, observed, refresh
from seatrial.images.catalog.families import ngc_pytorch
from seatrial.images.catalog.identify import forget
from support.layouts import image
from support.registries import running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_REPOSITORY = "nvcr.io/nvidia/pytorch"
_GONE = "24.03-py3"
_NEW = "31.01-py3"


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry with all known months but one, one that is not known, and a tag that nobody can read."""
    folder = tmp_path_factory.mktemp("registry")
    with running(folder / "data") as host, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEATRIAL_CACHE", str(folder / "cache"))
        image(folder / "image", seed=1)
        tags = [f"{month}-py3" for month in ngc_pytorch.months() if f"{month}-py3" != _GONE]
        registry.push(folder / "image", f"{host}/nvidia/pytorch:{_NEW}", tags=[*tags, "internal.build"])
        registry.push(folder / "image", f"{host}/library/python:3.12")
        yield host


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SEATRIAL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SEATRIAL_CACHE", str(tmp_path / "cache"))
    forget()
    yield
    forget()


def test_what_is_gone_and_new_is_told_and_kept(mirror: str) -> None:
    found = refresh.ask(_REPOSITORY, "2026-11-22", registry=mirror)

    assert found.gone == (_GONE,)
    assert found.new == (_NEW,)
    assert found.unread == 1
    before = identify(f"{_REPOSITORY}:{_GONE}")
    assert before is not None
    assert before.removed is None, "asking changes nothing"

    path = refresh.keep([found])

    after = identify(f"{_REPOSITORY}:{_GONE}")
    assert after is not None
    assert after.removed is not None
    assert "2026-11-22" in after.removed.reason
    there = identify(f"{_REPOSITORY}:25.06-py3")
    assert there is not None
    assert (there.removed, there.size_bytes) == (None, None)
    assert json.loads(path.read_bytes())["repositories"][_REPOSITORY]["date"] == "2026-11-22"


def test_sizes_are_what_the_registry_says(mirror: str) -> None:
    refresh.keep([refresh.ask(_REPOSITORY, "2026-11-22", registry=mirror, sizes=True)])

    found = identify(f"{_REPOSITORY}:25.06-py3")
    assert found is not None
    assert found.size_bytes == next(
        tag.size for tag in registry.tags(f"{mirror}/nvidia/pytorch") if tag.tag == _NEW
    )


def test_one_more_refresh_adds_to_what_is_kept(mirror: str) -> None:
    refresh.keep([refresh.ask(_REPOSITORY, "2026-11-21", registry=mirror)])
    refresh.keep([refresh.ask("python", "2026-11-22", registry=mirror)])

    kept = observed.read().repositories
    assert {name: one.date for name, one in kept.items()} == {
        _REPOSITORY: "2026-11-21",
        "python": "2026-11-22",
    }


def test_a_repository_that_is_another_one_is_refused(mirror: str) -> None:
    listing = observed.Listing(registry=mirror, date="2026-11-22", tags={"1.0": None})
    with pytest.raises(SeatrialError, match="without 2 of the 2 known ones"):
        refresh.compare("nvidia/cuda", listing, ["12.4.1-base-ubuntu22.04", "12.4.1-devel-ubuntu22.04"])
    with pytest.raises(SeatrialError, match="0 tags"):
        refresh.compare("python", observed.Listing(registry=mirror, date="2026-11-22", tags={}), [])


def test_a_repository_that_is_not_there_is_an_error(mirror: str) -> None:
    with pytest.raises(SeatrialError, match="no repository vllm/vllm-openai"):
        refresh.ask("vllm/vllm-openai", "2026-11-22", registry=mirror)


def test_only_repositories_of_the_catalog_are_asked_for() -> None:
    with pytest.raises(UsageError, match="acme/app"):
        refresh.place("acme/app")


@pytest.mark.parametrize("content", [b"", b"[]", b'{"repositories": 3}', b"\xff"])
def test_a_damaged_file_counts_as_none(content: bytes) -> None:
    observed.path().parent.mkdir(parents=True)
    observed.path().write_bytes(content)
    forget()
    assert observed.read() == observed.Observed()
    found = identify("python:3.11-slim")
    assert found is not None
    assert found.size_bytes is None
