"""An image may have the same layer more than once, as two packages without anything to compile make it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.images import runtime
from support.debian import Item, base, image, needs_bwrap, own_cache

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_layer_that_is_there_twice_is_seen_where_its_upper_one_is(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    needs_bwrap()
    for _ in own_cache(tmp_path_factory):
        same, other = (
            [Item("word", "same"), Item("both", "same")],
            [Item("word", "other"), Item("only", "other")],
        )
        digest = image(tmp_path / "image", [same, other, same], {}, base=base())
        root = runtime.prepare(tmp_path / "image", digest)
        done = runtime.run(
            root, ["/word", "/both", "/only"], runtime.Launch(entrypoint=("cat",), network="none")
        )
        assert (done.code, done.stdout) == (0, "samesameother")
