"""Combinations that people really asked for, on the public index; skipped where it cannot be reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from seatrial.images.solving.model import Setting
from seatrial.images.solving.places import PUBLIC, reachable
from seatrial.images.solving.solve import changes, solve
from support.asking import asks

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def public(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [n for n in os.environ if n.startswith("UV_") and n != "UV_CACHE_DIR"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SEATRIAL_CACHE", str(tmp_path / "cache"))
    if not reachable(PUBLIC):
        pytest.skip("the public package index cannot be reached")


# A date, so that releases to come change nothing.
THEN = "2025-09-01"


def test_torch_and_a_torchvision_of_another_release() -> None:
    some = asks("torch==2.7.1", "torchvision==0.21.0", "numpy")
    setting = Setting(exclude_newer=THEN)
    found = solve(some, setting)
    assert found.conflict is not None
    assert found.conflict.message == "torchvision 0.21.0 needs torch==2.6.0, but torch==2.7.1 is asked for"
    told = [[(edit.ask, edit.specifier) for edit in one.edits] for one in changes(some, setting, found)]
    assert told[:2] == [[("torchvision==0.21.0", "==0.22.1")], [("torch==2.7.1", "==2.6.0")]]


def test_vllm_that_pins_another_torch() -> None:
    some = asks("vllm==0.8.5", "torch==2.7.1", "pandas")
    setting = Setting(exclude_newer=THEN)
    found = solve(some, setting)
    assert found.conflict is not None
    assert found.conflict.asks == ("vllm==0.8.5", "torch==2.7.1")
    assert found.conflict.message == "vllm 0.8.5 needs torch==2.6.0, but torch==2.7.1 is asked for"
    first = changes(some, setting, found)[0]
    assert [(edit.ask, edit.specifier) for edit in first.edits] == [("torch==2.7.1", "==2.6.0")]


def test_a_torch_that_never_had_wheels_for_this_python() -> None:
    setting = Setting(python="3.12", exclude_newer=THEN)
    found = solve(asks("torch==1.13.1", "requests"), setting).conflict
    assert found is not None
    assert (found.kind, found.asks) == ("python", ("torch==1.13.1",))
    assert "only for Python 3.7 to 3.11" in found.message
    assert found.available == ("2.2.0", "2.2.1", "2.2.2")


def test_a_set_that_goes_together_with_packages_that_are_only_source() -> None:
    found = solve(
        asks("torch==2.7.1", "torchvision==0.22.1", "transformers==4.53.0", "deepspeed==0.17.1", "flash-attn==2.8.0.post2"),
        Setting(exclude_newer=THEN),
    )  # fmt: skip
    assert found.status == "satisfied"
    assert found.versions["torch"] == "2.7.1"
    assert set(found.built) >= {"deepspeed", "flash-attn"}
