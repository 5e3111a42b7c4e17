"""Putting the files that are needed first to the front of a layer: all entries wait in a file until the last is known."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, NamedTuple, cast

from seatrial.images.assemble.store import entry_path
from seatrial.images.lazy.toc import CHUNK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from seatrial.images.lazy.stream import Stream
    from seatrial.images.lazy.toc import Row

# Of a larger file a program that starts reads a part: all of it would take longer than the chunks that are read.
_LARGEST = 4 * CHUNK


class _Chunk(NamedTuple):
    """Where a packed chunk is in the file, how long it is packed, and its sha256."""

    place: int
    length: int
    digest: str


class _Entry:
    def __init__(self, row: Row, header: bytes) -> None:
        self.row, self.header = row, header
        self.name = clean(row.name)
        self.chunks: list[_Chunk] = []
        self.digest = ""


class Spool:
    """Takes entries as a `Stream` does, and hands them to one in another order."""

    def __init__(self, first: frozenset[str]) -> None:
        self._first = {clean(name) for name in first}
        # It has no name, so a killed process leaves nothing.
        self._file = tempfile.TemporaryFile(dir=entry_path("scratch", ""))  # noqa: SIM115 - closed by `close`
        self._entries: list[_Entry] = []

    def begin(self, row: Row, header: bytes) -> None:
        self._entries.append(_Entry(row, header))

    def chunk(self, member: bytes, plain: bytes, digest: str) -> None:  # noqa: ARG002 - it is inflated again
        self._entries[-1].chunks.append(_Chunk(self._file.tell(), len(member), digest))
        self._file.write(member)

    def end(self, digest: str) -> None:
        self._entries[-1].digest = digest

    def close(self) -> None:
        self._file.close()

    def replay(self, stream: Stream) -> None:
        """Hand out what is needed first, with its folders, a landmark, and the rest; without any of it, as it came."""
        ahead = _ahead(self._entries, self._first)
        if not ahead:
            stream.landmark(first=False)
        for number in sorted(ahead):
            self._hand(stream, self._entries[number])
        if ahead:
            stream.landmark(first=True)
        for number, entry in enumerate(self._entries):
            if number not in ahead:
                self._hand(stream, entry)

    def _hand(self, stream: Stream, entry: _Entry) -> None:
        stream.begin(entry.row, entry.header)
        for member, plain, digest in self._chunks(entry):
            stream.chunk(member, plain, digest)
        stream.end(entry.digest)

    def _chunks(self, entry: _Entry) -> Iterator[tuple[bytes, bytes, str]]:
        from isal import igzip

        inflate = cast("Callable[[bytes], bytes]", igzip.decompress)
        for chunk in entry.chunks:
            self._file.seek(chunk.place)
            member = self._file.read(chunk.length)
            yield member, inflate(member), chunk.digest


def clean(name: str) -> str:
    """A path as it is compared: without slashes around it and `./` before it."""
    return name.strip("/").removeprefix("./")


def _ahead(entries: Sequence[_Entry], first: set[str]) -> set[int]:
    """Which entries come before the landmark. What a layer has twice stays where it is: the later one wins.

    So does a large file.
    """
    places: dict[str, list[int]] = {}
    for number, entry in enumerate(entries):
        places.setdefault(entry.name, []).append(number)
    wanted = {clean(e.row.link) if e.row.type == "hardlink" else e.name for e in entries if e.name in first}
    found = {n for name in wanted if (n := _only(places, entries, name, "reg")) is not None}
    found = {number for number in found if entries[number].row.size <= _LARGEST}
    folders = {parent for number in found for parent in _parents(entries[number].name)}
    return found | {n for name in folders if (n := _only(places, entries, name, "dir")) is not None}


def _only(places: dict[str, list[int]], entries: Sequence[_Entry], name: str, kind: str) -> int | None:
    """The entry of that name, if there is one and it is of that kind."""
    found = places.get(name, ())
    return found[0] if len(found) == 1 and entries[found[0]].row.type == kind else None


def _parents(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path
