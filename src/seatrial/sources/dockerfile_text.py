"""Text put together from pieces of a file, each character knowing where it stands.

A Dockerfile's instruction is several lines without their continuation characters and comments; an argument in JSON
form is text without its escapes. Both are read as one text, and edited where they stand.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
"""What Go's unicode.IsSpace calls space, which BuildKit trims; Python's str.isspace knows four characters more."""

BLANKS = "\t\v\f\r "
"""What separates a keyword and words in BuildKit."""

_WORD = re.compile(r"[^\t\v\f\r ]+")


class Run(msgspec.Struct, frozen=True):
    """Characters from `index` on that stand in the source from `start` to `stop`: each for one, or one for all."""

    index: int
    start: int
    stop: int


class Joined(msgspec.Struct, frozen=True):
    """Text made of runs of a source's text; `at` is where an empty text stands."""

    text: str
    runs: tuple[Run, ...]
    at: int = 0

    @property
    def start(self) -> int:
        """The source offset of the first character."""
        return self.runs[0].start if self.runs else self.at

    @property
    def end(self) -> int:
        """The source offset after the last character."""
        return self.runs[-1].stop if self.runs else self.at

    def offset(self, index: int) -> int:
        """The source offset of the character `text[index]`; at or beyond the end, `end`."""
        if index >= len(self.text):
            return self.end
        run = self.runs[self._run(index)]
        return run.start + index - run.index

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The source offsets from the character `start` up to, but not including, `end`.

        A continuation or a comment after the last character is no part of it.
        """
        first = self.offset(start)
        return (first, self._stop(end - 1)) if end > start else (first, first)

    def piece(self, start: int, end: int) -> Joined:
        """The text from `start` up to, but not including, `end`."""
        start, end = max(start, 0), min(end, len(self.text))
        if end <= start:
            return Joined("", (), self.offset(start))
        if start == 0 and end == len(self.text):
            return self
        if len(self.runs) == 1:
            head = self.runs[0]
            return Joined(self.text[start:end], (Run(0, head.start + start, head.start + end),))
        first, last = self._run(start), self._run(end - 1)
        runs = list(self.runs[first : last + 1])
        head = runs[0]
        runs[0] = Run(0, head.start + start - head.index, head.stop)
        runs[1:] = [Run(run.index - start, run.start, run.stop) for run in runs[1:]]
        runs[-1] = Run(runs[-1].index, runs[-1].start, self._stop(end - 1))
        return Joined(self.text[start:end], tuple(runs))

    def trimmed(self, characters: str = SPACE) -> Joined:
        """Without these characters at both ends."""
        kept = self.text.lstrip(characters)
        left = len(self.text) - len(kept)
        return self.piece(left, left + len(kept.rstrip(characters)))

    def split(self) -> tuple[Joined, ...]:
        """The words between blanks."""
        return tuple(self.piece(*word.span()) for word in _WORD.finditer(self.text))

    def _run(self, index: int) -> int:
        return bisect_right(self.runs, max(index, 0), key=_index) - 1

    def _stop(self, index: int) -> int:
        """The source offset after a character."""
        number = self._run(min(index, len(self.text) - 1))
        run = self.runs[number]
        after = self.runs[number + 1].index if number + 1 < len(self.runs) else len(self.text)
        return run.stop if index >= after - 1 else run.start + index - run.index + 1


def join(source: str, spans: Iterable[tuple[int, int]], at: int = 0) -> Joined:
    """Put ranges of a source together; `at` is where the text stands when there are none."""
    runs: list[Run] = []
    length = 0
    for start, stop in spans:
        if stop <= start:
            continue
        if runs and runs[-1].stop == start:
            runs[-1] = Run(runs[-1].index, runs[-1].start, stop)
        else:
            runs.append(Run(length, start, stop))
        length += stop - start
    return Joined("".join([source[run.start : run.stop] for run in runs]), tuple(runs), at)


def concatenate(parts: Iterable[Joined]) -> Joined:
    """Several texts as one."""
    texts: list[str] = []
    runs: list[Run] = []
    length = at = 0
    for part in parts:
        texts.append(part.text)
        runs += [Run(length + run.index, run.start, run.stop) for run in part.runs]
        length += len(part.text)
        at = part.at if not part.runs else at
    return Joined("".join(texts), tuple(runs), at)


def _index(run: Run) -> int:
    return run.index
