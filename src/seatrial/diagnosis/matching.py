"""One pass over a log of any size: which lines match which expressions.

Most lines of a log are like others but for numbers. A block of the log is folded (lower case, digits alike), and each
new kind of line is looked at once: the words of all new kinds together are compared with the words that the
expressions need, so the cost does not depend on how many expressions there are. Only lines of a kind that has all
texts an expression needs are cleaned and searched.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from seatrial.diagnosis import fragments
from seatrial.diagnosis.lines import ANSI, clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_BLOCK = 1 << 18
_LONGEST = 1 << 14
"""A longer line is read in pieces of this size."""
_SHAPE = 1 << 11
"""Longer lines are not remembered."""
_KNOWN = 60_000
"""So many kinds of lines, and four times as many words, are remembered."""
_TRIED = 400
"""After so many lines of one kind, only each tenth is looked at; all are counted."""
_KEPT = 60
"""So many places of one expression are kept: the first half, and the last ones."""
_TAIL = 40


class Hit(NamedTuple):
    """A line that an expression matches."""

    number: int
    source: str
    text: str
    captures: dict[str, str]


class Hits:
    """The places of one expression: the first ones, the last ones, and how many there are."""

    def __init__(self) -> None:
        self.first: list[Hit] = []
        self.last: deque[Hit] = deque(maxlen=_KEPT // 2)
        self.count = 0

    def add(self, hit: Hit) -> None:
        self.count += 1
        if len(self.first) < _KEPT // 2:
            self.first.append(hit)
        else:
            self.last.append(hit)

    def __iter__(self) -> Iterator[Hit]:
        yield from self.first
        yield from self.last


class Scan(NamedTuple):
    """What one pass found: hits by expression, the last lines, and how many lines there are."""

    hits: dict[str, Hits]
    tail: tuple[tuple[int, bytes], ...]
    total: int


def scan(chunks: Iterable[bytes], expressions: Iterable[str]) -> Scan:
    """Search each line of a log for each expression.

    Memory does not grow with the log or its lines.
    """
    search = _Search(expressions)
    for block in _blocks(chunks):
        search.block(block)
    return Scan(search.hits, tuple(search.tail), search.number)


def _blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The log in blocks that end at an end of a line, but for lines longer than a block."""
    held: list[bytes] = []
    size = 0
    for chunk in chunks:
        cut = chunk.rfind(b"\n") + 1
        if cut:
            yield b"".join((*held, chunk[:cut]))
            held, size = [], 0
        if cut < len(chunk):
            held.append(chunk[cut:])
            size += len(chunk) - cut
        if size > _BLOCK:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


class _Search:
    """What is known while one log is read."""

    def __init__(self, expressions: Iterable[str]) -> None:
        self.hits: dict[str, Hits] = {}
        self.number = 0
        self.tail: deque[tuple[int, bytes]] = deque(maxlen=_TAIL)
        self._compiled: dict[str, re.Pattern[str]] = {}
        self._by_word: dict[bytes, list[tuple[tuple[bytes, ...], str]]] = {}
        for expression in dict.fromkeys(expressions):
            for anchor, *rest in fragments.needed(expression):
                self._by_word.setdefault(anchor, []).append((tuple(rest), expression))
        self._words = _any_of(self._by_word)
        self._seen_words: set[bytes] = set()
        self._hot_words: dict[bytes, tuple[bytes, ...]] = {}
        self._seen: set[bytes] = set()
        self._hot: dict[bytes, tuple[str, ...]] = {}
        self._tried: dict[bytes, int] = {}
        self._open = False

    def block(self, block: bytes) -> None:
        """Look at a block; one that does not end a line is continued by the next."""
        plain = ANSI.sub(b"", block) if b"\x1b" in block else block
        shapes = plain.translate(fragments.FOLD).split(b"\n")
        kinds = set(shapes)
        fresh = kinds - self._seen
        if fresh:
            self._study(fresh)
        start = self.number if self._open else self.number + 1
        ends = block.endswith(b"\n")
        count = len(shapes) - (1 if ends else 0)
        if kinds & self._hot.keys():
            lines = plain.split(b"\n")
            for index in [i for i, shape in enumerate(shapes) if shape in self._hot]:
                self._line(start + index, lines[index], shapes[index])
        self._remember(plain, start + count - 1)
        self.number, self._open = start + count - 1, not ends

    def _remember(self, plain: bytes, end: int) -> None:
        """Keep the last lines, shortened."""
        last = plain[-_TAIL * 1024 :].rstrip(b"\n").split(b"\n")[-_TAIL:]
        self.tail.extend((end - len(last) + 1 + i, line[-4096:]) for i, line in enumerate(last))

    def _study(self, fresh: set[bytes]) -> None:
        """Find out which new kinds of lines an expression may match."""
        joined = b"\n".join(fresh)
        words = set(joined.translate(fragments.WORDS).split())
        self._learn(words - self._seen_words)
        found: dict[bytes, set[bytes]] = {}
        for word in words & self._hot_words.keys():
            for shape in _lines_with(joined, word):
                found.setdefault(shape, set()).update(self._hot_words[word])
        for shape, anchors in found.items():
            wanted = {
                expression: None
                for anchor in sorted(anchors)
                for rest, expression in self._by_word[anchor]
                if all(text in shape for text in rest)
            }
            if wanted:
                self._hot[shape] = tuple(wanted)
        if len(self._seen) + len(fresh) > _KNOWN:
            self._seen.clear()
            for shape in self._hot.keys() - fresh if len(self._hot) > _KNOWN else ():
                del self._hot[shape]
                self._tried.pop(shape, None)
        self._seen.update(shape for shape in fresh if len(shape) < _SHAPE)

    def _learn(self, words: set[bytes]) -> None:
        """Sort new words into those that hold a needed word and others."""
        if len(self._seen_words) > 4 * _KNOWN:
            self._seen_words.clear()
        self._seen_words |= words
        text = b"\n".join(words)
        for match in self._words.finditer(text):
            word = text[text.rfind(b"\n", 0, match.start()) + 1 : _end(text, match.end())]
            if word not in self._hot_words:
                self._hot_words[word] = tuple(anchor for anchor in self._by_word if anchor in word)

    def _line(self, number: int, raw: bytes, shape: bytes) -> None:
        tried = self._tried[shape] = self._tried.get(shape, 0) + 1
        if tried > _TRIED and tried % 10:
            return
        if len(raw) <= _LONGEST:
            pieces = [raw]
        else:
            pieces = [raw[i : i + _LONGEST + 512] for i in range(0, len(raw), _LONGEST)]
        for piece in pieces:
            for part in piece.strip(b"\r").split(b"\r") if b"\r" in piece else (piece,):
                self._search(number, part, self._hot[shape])

    def _search(self, number: int, raw: bytes, expressions: tuple[str, ...]) -> None:
        line = clean(raw)
        for expression in expressions:
            pattern = self._compiled.get(expression)
            if pattern is None:
                pattern = self._compiled[expression] = re.compile(expression)
            if match := pattern.search(line.text):
                captures = {name: value for name, value in match.groupdict().items() if value}
                hit = Hit(number, line.source, line.text, captures)
                self.hits.setdefault(expression, Hits()).add(hit)


def _end(text: bytes, position: int) -> int:
    end = text.find(b"\n", position)
    return len(text) if end < 0 else end


def _lines_with(text: bytes, word: bytes) -> Iterator[bytes]:
    position = text.find(word)
    while position >= 0:
        end = _end(text, position)
        yield text[text.rfind(b"\n", 0, position) + 1 : end]
        position = text.find(word, end)


def _any_of(words: Iterable[bytes]) -> re.Pattern[bytes]:
    """A pattern for all words that shares their beginnings: as many alternatives as letters, not as words."""
    tree: dict[int, dict] = {}  # type: ignore[type-arg]
    for word in words:
        place = tree
        for letter in word:
            place = place.setdefault(letter, {})
        place[-1] = {}
    return re.compile(_source(tree) if tree else b"(?!)")


def _source(tree: dict[int, dict]) -> bytes:  # type: ignore[type-arg]
    if -1 in tree:
        return b""
    ways = [bytes((letter,)) + _source(rest) for letter, rest in sorted(tree.items())]
    return ways[0] if len(ways) == 1 else b"(?:" + b"|".join(ways) + b")"
