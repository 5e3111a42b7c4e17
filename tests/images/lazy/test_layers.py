"""A layer that is pulled lazily: each file can be fetched alone, and everybody else sees an ordinary layer."""

from __future__ import annotations

import gzip
import io
import random
from functools import cache
from typing import TYPE_CHECKING

import pytest

from seatrial.errors import SeatrialError
from seatrial.images.assemble.install import write_half, write_wheels
from seatrial.images.assemble.layer import LayerWriter, WrittenLayer
from seatrial.images.assemble.wheel import read_wheel
from seatrial.images.lazy.toc import CHUNK
from seatrial.images.lazy.writer import LazyWriter
from support import estargz, wheels
from support.layer_digests import LIBRARY, SCHEME

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROOT = LIBRARY.lstrip("/")
TOC, PLAIN = "containerd.io/snapshot/stargz/toc.digest", "io.containers.estargz.uncompressed-size"


@cache
def text(size: int, seed: int = 1) -> bytes:
    """Something that a compressor has to think about, and that is nowhere the same."""
    numbers = random.Random(seed)
    words = [bytes(numbers.choices(b"abcdefghij ", k=9)) for _ in range(500)]
    page = b"".join(numbers.choices(words, k=9_000))
    # Mostly zeros, which take no time; no two places are the same.
    pages = (b"%d %b" % (n, page) + bytes(600_000) for n in range(size // 600_000 + 1))
    return b"".join(pages)[:size]


def every_kind(out: LayerWriter | LazyWriter) -> None:
    """All that a writer takes."""
    out.add_directory("opt", mode=0o750, uid=7, gid=8)
    out.add_bytes("opt/small", b"small\n", mode=0o600, uid=7, mtime=1_700_000_000)
    out.add_bytes("opt/empty", b"")
    out.add_bytes(
        "opt/marked", b"x" * 1000, xattrs={"user.note": b"\x00\xff", "security.capability": b"\x01"}
    )
    out.add_symlink("opt/link", "small", mtime=5)
    out.add_hard_link("opt/hard", "opt/small")
    out.add_bytes("opt/ü" + "n" * 180, b"a name that no plain header holds")
    out.add_bytes("opt/exact", text(CHUNK))
    pieces = [text(700_000, n) for n in range(15)]
    out.add_pieces("opt/large", sum(map(len, pieces)), pieces)
    out.add_pieces("opt/nothing", 0, [])
    out.add_bytes("opt/last", b"last")


def written(
    fill: Callable[[LazyWriter], None], first: tuple[str, ...] = (), threads: int = 2
) -> tuple[bytes, WrittenLayer]:
    out = io.BytesIO()
    with LazyWriter(out, first=frozenset(first), threads=threads) as writer:
        fill(writer)
        done = writer.finish()
    return out.getvalue(), done


def ordinary(fill: Callable[[LayerWriter], None]) -> bytes:
    out = io.BytesIO()
    with LayerWriter(out) as writer:
        fill(writer)
        writer.finish()
    return out.getvalue()


@pytest.fixture(scope="module")
def layer() -> tuple[bytes, WrittenLayer]:
    return written(every_kind)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    files = {
        "demo/__init__.py": b"value = 1\n",
        "demo/middle.py": text(100_000),
        "demo/large.bin": text(9 << 20),
        "demo/stored.bin": text(5 << 20, 2),
        "demo/empty": b"",
    }
    return wheels.wheel(tmp_path_factory.mktemp("wheels"), "demo", "1.0", files, stored=("demo/stored.bin",))


def test_the_manifest_can_say_what_readers_ask_for(layer: tuple[bytes, WrittenLayer]) -> None:
    blob, done = layer
    plain = gzip.decompress(blob)

    assert (done.digest, done.diff_id, done.size) == (estargz.sha256(blob), estargz.sha256(plain), len(blob))
    assert done.annotations == {TOC: estargz.of_bytes(blob).digest, PLAIN: str(len(plain))}


def test_each_file_is_read_from_its_own_ranges(layer: tuple[bytes, WrittenLayer]) -> None:
    opened = estargz.of_bytes(layer[0])
    content = {name: opened.read(name) for name in opened.files()}

    assert content["opt/small"] == b"small\n"
    assert content["opt/exact"] == text(CHUNK)
    assert content["opt/large"] == b"".join(text(700_000, n) for n in range(15))
    assert content["opt/empty"] == content["opt/nothing"] == b""
    assert content[".no.prefetch.landmark"] == b"\x0f"


def test_the_table_says_of_every_entry_what_the_archive_says(layer: tuple[bytes, WrittenLayer]) -> None:
    rows = {row["name"]: row for row in estargz.of_bytes(layer[0]).rows if row["type"] != "chunk"}

    said = {k: rows["opt/small"][k] for k in ("type", "mode", "uid", "size", "modtime")}
    assert said == {"type": "reg", "mode": 0o600, "uid": 7, "size": 6, "modtime": "2023-11-14T22:13:20Z"}
    assert rows["opt/"] | {"mode": 0} == {
        "name": "opt/", "type": "dir", "mode": 0, "uid": 7, "gid": 8, "modtime": "1980-01-01T00:00:00Z",
    }  # fmt: skip
    assert (rows["opt/link"]["type"], rows["opt/link"]["linkName"]) == ("symlink", "small")
    assert (rows["opt/hard"]["type"], rows["opt/hard"]["linkName"]) == ("hardlink", "opt/small")
    assert rows["opt/marked"]["xattrs"] == {"security.capability": "AQ==", "user.note": "AP8="}
    assert [name.strip("/") for name in rows] == [
        n for n in estargz.order(layer[0]) if n != "stargz.index.json"
    ]


def test_a_large_file_is_fetched_in_chunks(layer: tuple[bytes, WrittenLayer]) -> None:
    opened = estargz.of_bytes(layer[0])

    assert [row["length"] for row in opened.chunks("opt/large")] == [CHUNK, CHUNK, 10_500_000 - 2 * CHUNK]
    assert [row.get("chunkOffset", 0) for row in opened.chunks("opt/large")] == [0, CHUNK, 2 * CHUNK]
    assert len(opened.chunks("opt/exact")) == 1


def test_everybody_else_unpacks_the_same_tree(layer: tuple[bytes, WrittenLayer]) -> None:
    tree = estargz.tree(layer[0])

    assert tree == estargz.tree(ordinary(every_kind))
    assert len(tree) == 11


@pytest.mark.parametrize("half", [None, "largest files", "other files"])
def test_wheels_give_the_same_tree_too(wheel: Path, half: str | None) -> None:
    def fill(out: LayerWriter | LazyWriter) -> None:
        read = read_wheel(wheel, wheel.name)
        if half is None:
            write_wheels(out, [read], SCHEME)  # type: ignore[arg-type]
        else:
            write_half(out, read, SCHEME, half)  # type: ignore[arg-type]

    blob, _ = written(fill)
    opened = estargz.of_bytes(blob)

    assert estargz.tree(blob) == estargz.tree(ordinary(fill))
    for name in opened.files():
        opened.read(name)


def test_what_a_wheel_has_packed_is_taken_over_unless_it_is_large(wheel: Path) -> None:
    blob, _ = written(lambda out: write_wheels(out, [read_wheel(wheel, wheel.name)], SCHEME) and None)  # type: ignore[arg-type]
    entries = {entry.name: entry for entry in read_wheel(wheel, wheel.name).entries}
    archive = wheel.read_bytes()

    def packed(name: str) -> bytes:
        return archive[entries[name].offset : entries[name].offset + entries[name].packed]

    assert packed("demo/middle.py") in blob
    assert packed("demo/large.bin") not in blob
    assert len(estargz.of_bytes(blob).chunks(f"{ROOT}/demo/large.bin")) == 3


def test_the_bytes_do_not_depend_on_threads(layer: tuple[bytes, WrittenLayer]) -> None:
    for threads in (1, 7):
        assert written(every_kind, threads=threads) == layer


def test_files_that_are_needed_first_come_first_with_their_folders() -> None:
    def fill(out: LazyWriter) -> None:
        for folder in ("a", "a/b", "c"):
            out.add_directory(folder)
        for name in ("a/1", "a/b/2", "c/3", "c/4"):
            out.add_bytes(name, name.encode() * 100)
        out.add_hard_link("c/5", "c/4")
        out.add_pieces("c/large", 5 << 20, [text(5 << 20)])

    blob, done = written(fill, first=("/a/b/2", "/c/5", "/not/there"))
    opened = estargz.of_bytes(blob)

    assert estargz.order(blob) == [
        "a", "a/b", "c", "a/b/2", "c/4", ".prefetch.landmark", "a/1", "c/3", "c/5", "c/large", "stargz.index.json",
    ]  # fmt: skip
    assert done.diff_id == estargz.sha256(gzip.decompress(blob))
    assert estargz.tree(blob) == estargz.tree(ordinary(fill))  # type: ignore[arg-type]
    assert [opened.read(name) for name in ("a/b/2", "c/3", "c/large")] == [
        b"a/b/2" * 100, b"c/3" * 100, text(5 << 20),
    ]  # fmt: skip


def test_a_large_file_stays_behind_as_only_parts_of_it_are_needed_first() -> None:
    def fill(out: LazyWriter) -> None:
        out.add_pieces("large", 17 << 20, [bytes(17 << 20)])
        out.add_pieces("middle", 16 << 20, [bytes(16 << 20)])

    blob, _ = written(fill, first=("/large", "/middle"))

    assert estargz.order(blob) == ["middle", ".prefetch.landmark", "large", "stargz.index.json"]


def test_without_a_file_of_the_list_the_layer_is_the_same_as_without_a_list(
    layer: tuple[bytes, WrittenLayer],
) -> None:
    assert written(every_kind, first=("/not/there",)) == layer


def test_of_two_entries_with_one_name_the_later_one_still_wins() -> None:
    def fill(out: LazyWriter) -> None:
        out.add_bytes("a", b"old")
        out.add_bytes("b", b"b")
        out.add_bytes("a", b"new")

    blob, _ = written(fill, first=("/a", "/b"))

    assert estargz.order(blob) == ["b", ".prefetch.landmark", "a", "a", "stargz.index.json"]
    assert estargz.tree(blob)["a"] == estargz.tree(ordinary(fill))["a"]  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "why"), [("stargz.index.json", "its own file"), ("bad\udcff", "not UTF-8")])
def test_a_name_that_the_table_cannot_hold_is_refused(name: str, why: str) -> None:
    with pytest.raises(SeatrialError) as caught:
        written(lambda out: out.add_bytes(name, b"x"))

    assert why in caught.value.what
    assert "--lazy" in (caught.value.fix or "")
