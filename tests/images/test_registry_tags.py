"""Lists of tags: order, limits, platforms, and what it costs to ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from seatrial.images import registry
from support.faults import proxy
from support.layouts import image, two_platforms
from support.registries import running

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = (
    "1.2.0",
    "1.10.0",
    "1.9.3",
    "1.10.0-rc.2",
    "1.10.0-rc.10",
    "1.10",
    "1",
    "latest",
    "main-abc",
    "v0.9.0",
)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("tags")
    with running(folder / "registry") as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEATRIAL_CACHE", str(folder / "cache"))
        for number, name in enumerate(NAMES[:3]):
            image(folder / name, seed=number, created=f"2026-01-0{number + 1}T00:00:00Z")
            registry.push(folder / name, f"{address}/many:{name}")
        registry.push(folder / "1.10.0", f"{address}/many", tags=NAMES[3:])
        two_platforms(folder / "both")
        registry.push(folder / "both", f"{address}/both:1")
        yield address


def test_by_version_the_highest_comes_first(host: str) -> None:
    assert [tag.tag for tag in registry.tags(f"{host}/many", sort="version")] == [
        "1", "1.10", "1.10.0", "1.10.0-rc.10", "1.10.0-rc.2", "1.9.3", "1.2.0", "v0.9.0", "main-abc", "latest",
    ]  # fmt: skip


def test_by_date_the_newest_comes_first(host: str) -> None:
    found = registry.tags(f"{host}/many")
    assert found[0].tag == "1.9.3"
    assert [tag.created for tag in found] == sorted((tag.created for tag in found), reverse=True)
    assert [tag.tag for tag in registry.tags(f"{host}/many", limit=1)] == ["1.9.3"]


def test_by_name(host: str) -> None:
    assert [tag.tag for tag in registry.tags(f"{host}/many", sort="name")] == sorted(NAMES)


def test_only_what_is_shown_is_asked_for_and_an_image_once(host: str) -> None:
    with proxy(host) as recorder:
        registry.tags(f"{recorder.host}/many", sort="version", limit=2)
        assert recorder.count("GET", "/manifests/") == 2
        assert recorder.count("GET", "/blobs/") == 1, "both tags name one image"


def test_an_index_says_its_platforms(host: str) -> None:
    [tag] = registry.tags(f"{host}/both")
    assert [one.platform for one in tag.platforms] == ["linux/amd64", "linux/arm64"]
    assert all(one.size > 1_000 and one.digest.startswith("sha256:") for one in tag.platforms)
    assert tag.created == "2026-01-02T03:04:05Z"
