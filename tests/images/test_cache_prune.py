"""`cache prune` reaches what was unpacked and pulled, too, and leaves what somebody is using."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from seatrial import locks
from seatrial.images import runtime
from seatrial.images.cache import entries, prune
from support.debian import Item, image

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("SEATRIAL_CACHE", str(folder))
    return folder


def test_an_unpacked_layer_stays_while_it_is_used_and_goes_afterwards(tmp_path: Path, cache: Path) -> None:
    digest = image(tmp_path / "image", [[Item("hello", "world")]])
    root = runtime.prepare(tmp_path / "image", digest)
    [layer] = root.layers
    with locks.locked(cache / "rootfs" / "locks" / layer, shared=True):
        assert prune(0).kept_in_use == 1
        assert (root.folder(layer) / "hello").read_text() == "world"
    assert prune(0).removed == 1
    assert not root.folder(layer).exists()
    assert entries() == []


def test_a_pulled_image_counts_and_is_pruned(cache: Path) -> None:
    pulled = cache / "pulled" / "0123"
    pulled.mkdir(parents=True)
    (pulled / "blob").write_bytes(b"x" * 1000)
    assert [(entry.kind, entry.size) for entry in entries()] == [("pulled", 1000)]
    with locks.locked(pulled.with_suffix(".lock")):
        assert prune(0).removed == 0
    assert prune(999).removed == 1
    assert not pulled.exists()
