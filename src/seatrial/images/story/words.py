"""Words of a command, variables expanded, that still know where every character of them is written."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

import msgspec

from seatrial.images.story.model import Span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seatrial.sources.text import Source

NOWHERE = -1
"""The offset of characters that stand in no file: the value of a variable that the builder sets."""


class Word(msgspec.Struct, frozen=True):
    """One word. `start` and `end` are where it stands in the file as written, with its quotes.

    `text` is made of runs: run n starts at `indexes[n]` of the text and at `offsets[n]` of the file, which is
    `NOWHERE` for what no file says. A variable's value stands where the variable was given it. `unknown` names the
    variables without a value; they stay in the text as they are written.
    """

    source: Source
    start: int
    end: int
    text: str
    indexes: tuple[int, ...] = ()
    offsets: tuple[int, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def at(self) -> Span:
        """The whole word as written."""
        return Span(self.source, self.start, self.end)

    def span(self, start: int, end: int) -> Span | None:
        """Where this part of the text stands, if it stands in one piece somewhere; an empty part stands where it would go."""
        if not self.indexes:
            return Span(self.source, self.start, self.start) if not self.text else None
        run = bisect_right(self.indexes, max(start - 1, 0) if start == end else start) - 1
        if self.offsets[run] == NOWHERE:
            return None
        first = self.offsets[run] + start - self.indexes[run]
        for later in range(run + 1, len(self.indexes)):
            index = self.indexes[later]
            if index >= end:
                break
            if self.offsets[later] == NOWHERE or self.offsets[later] - first != index - start:
                return None
        return Span(self.source, first, first + end - start)

    def cut(self, start: int, end: int | None = None) -> Word:
        """A part of the word as a word of its own."""
        end = len(self.text) if end is None else end
        text = self.text[start:end]
        if not self.indexes or not text:
            return Word(self.source, self.start, self.end, text, unknown=self.unknown)
        first = bisect_right(self.indexes, start) - 1
        last = bisect_right(self.indexes, end - 1)
        indexes = tuple(max(index - start, 0) for index in self.indexes[first:last])
        offsets = list(self.offsets[first:last])
        if offsets[0] != NOWHERE:
            offsets[0] += start - self.indexes[first]
        unknown = tuple(name for name in self.unknown if name in text)
        part = Word(self.source, self.start, self.end, text, indexes, tuple(offsets), unknown)
        stands = part.span(0, len(text))
        if stands is None or not self.start <= stands.start < self.end:
            return part
        return msgspec.structs.replace(part, start=stands.start, end=stands.end)


def plain(source: Source, start: int, end: int) -> Word:
    """A word that is written as it is read."""
    return Word(source, start, end, source.text[start:end], (0,), (start,))


def cover(words: Sequence[Word]) -> Span:
    """From the first word to the last one."""
    return Span(words[0].source, words[0].start, max(word.end for word in words))
