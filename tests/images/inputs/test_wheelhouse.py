"""Wheels of a folder are hashed once, and again when they change."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from support import wheels

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from seatrial.images.resolve import Resolution


# Not compressed, so that both wheels have the same size.
WHOLE = ("inner.py", "inner-1.0.dist-info/RECORD")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_wheels_of_a_folder_are_found_with_their_hashes(
    root: Path, resolved: Callable[..., Resolution], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UV_FIND_LINKS")
    odd = tmp_path / "a & b <house>"
    first = wheels.wheel(odd, "inner", "1.0+local.1")
    (odd / "notes.txt").write_text("no wheel\n")
    (root / "requirements.txt").write_text("inner\n")
    [wheel] = resolved("requirements.txt", find_links=(odd,)).lock.wheels
    assert (wheel.name, wheel.version, wheel.sha256) == ("inner", "1.0+local.1", sha256(first))


def test_a_wheel_that_changed_is_hashed_again(
    root: Path, resolved: Callable[..., Resolution], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UV_FIND_LINKS")
    house = tmp_path / "house"
    (root / "requirements.txt").write_text("inner\n")
    before = wheels.wheel(house, "inner", "1.0", {"inner.py": b"value = 1\n"}, stored=WHOLE)
    state = before.stat()
    [first] = resolved("requirements.txt", find_links=(house,)).lock.wheels
    after = wheels.wheel(house, "inner", "1.0", {"inner.py": b"value = 2\n"}, stored=WHOLE)
    os.utime(after, ns=(state.st_atime_ns, state.st_mtime_ns))  # as unpacking an archive would
    assert after.stat().st_size == state.st_size
    [second] = resolved("requirements.txt", find_links=(house,), refresh=True).lock.wheels
    assert second.sha256 == sha256(after) != first.sha256
