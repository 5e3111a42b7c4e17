"""One pass over a log of any size: which lines match which expressions.

Most lines of a log are like others but for numbers. A block of the log is folded (lower case, digits alike), and each
new kind of line is looked at once: the words of all new kinds together are compared with the words that the
expressions need, so the cost does not depend on how many expressions there are. Only lines of a kind that has all
texts an expression needs are cleaned and searched.
"""

from __future__ import annotations

import itertools
import re
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from seatrial.diagnosis import fragments
from seatrial.diagnosis.lines import ANSI, clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from seatrial.diagnosis.fragments import Need

_BLOCK = 1 << 18
_LONGEST = 1 << 12
"""A longer line is read in pieces of this size, with the end of one in the next."""
_OVERLAP = 256
_PARTS = 200
"""So many parts of a line that carriage returns divide are looked at, the last ones."""
_SHAPE = 1 << 11
"""Longer lines are not remembered."""
_KNOWN = 60_000
"""So many kinds of lines, and four times as many words, are remembered."""
_TRIED = 150
"""After so many lines of one kind, only the first of each block is looked at."""
_ENOUGH = 20
_MANY = 500
"""After so many places, an expression is as weak as those that are only worth reading."""
_KEPT = 60
"""So many places of one expression are kept: the first half, and the last ones."""
_TAIL = 40
_WORD = 80
"""Longer words are compared with each wanted word; of others, all parts are looked up."""
_WEAK = 12
"""So many lines of a block are looked at for weak expressions."""


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


class Index:
    """Expressions, ready to be searched for in any number of logs."""

    def __init__(
        self,
        needs: Mapping[str, Sequence[Need]],
        weak: Mapping[str, Sequence[Need]],
        context: frozenset[str] = frozenset(),
    ) -> None:
        """Each line is searched for the expressions of `needs`, and a few lines of each block for those of `weak`.

        Both map regular expressions to what a line must have (`fragments.needed`). Of those in `context` only the
        first and about the last places matter.
        """
        self.weak = frozenset(weak.keys() - needs.keys())
        self.context = context
        self.by_anchor: dict[bytes, list[tuple[Need, str]]] = {}
        for expression, ways in (*needs.items(), *((one, weak[one]) for one in sorted(self.weak))):
            for way in ways:
                self.by_anchor.setdefault(way.anchor, []).append((way, expression))
        self.wanted = frozenset(
            {word for ways in self.by_anchor.values() for way, _ in ways for word in (*way.words, way.anchor)}
        )
        self.longest = max(map(len, self.wanted), default=0)
        self.words = _any_of(self.wanted)
        self.compiled: dict[str, re.Pattern[str]] = {}


def scan(chunks: Iterable[bytes], index: Index) -> Scan:
    """Search a log. Memory does not grow with it or its lines."""
    search = _Search(index)
    for block in _blocks(chunks):
        search.block(block)
    search.finish()
    return Scan(search.hits, tuple(sorted(search.tail)), search.number)


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

    def __init__(self, index: Index) -> None:
        self.hits: dict[str, Hits] = {}
        self.number = 0
        self.tail: deque[tuple[int, bytes]] = deque(maxlen=_TAIL)
        self._index = index
        self._weak = set(index.weak)
        self._by_anchor = index.by_anchor
        self._compiled = index.compiled
        self._seen_words: set[bytes] = set()
        self._hot_words: dict[bytes, tuple[bytes, ...]] = {}
        self._seen: set[bytes] = set()
        self._hot: dict[bytes, tuple[str, ...]] = {}
        self._tried: dict[bytes, int] = {}
        self._cool: dict[bytes, tuple[str, ...]] = {}
        self._open = False

    def block(self, block: bytes) -> None:
        """Look at a block; one that does not end a line is continued by the next."""
        plain = ANSI.sub(b"", block) if b"\x1b" in block else block
        start = self.number if self._open else self.number + 1
        self._open = not block.endswith(b"\n")
        lines = plain.split(b"\n")
        if not self._open:
            lines.pop()
        self.number = start + len(lines) - 1
        self.tail.extend(
            (self.number - i, line[-_LONGEST:]) for i, line in enumerate(lines[: -_TAIL - 1 : -1])
        )
        numbers: Sequence[int] = range(start, start + len(lines))
        shapes = plain.translate(fragments.FOLD).split(b"\n")[: len(lines)]
        # In the order of the log, so that the same log always has the same answer.
        kinds = dict.fromkeys(shapes)
        if len(max(kinds, key=len, default=b"")) > _LONGEST:
            numbers, lines = _in_pieces(numbers, lines)
            shapes = [line.translate(fragments.FOLD) for line in lines]
            kinds = dict.fromkeys(shapes)
        fresh = [kind for kind in kinds if kind not in self._seen]
        if fresh:
            self._study(fresh)
        if not self._hot.keys().isdisjoint(kinds):
            for index in [i for i, shape in enumerate(shapes) if shape in self._hot]:
                if wanted := self._hot.get(shapes[index]):
                    self._line(numbers[index], lines[index], shapes[index], wanted)
        if not self._cool.keys().isdisjoint(kinds):
            for shape in itertools.islice((kind for kind in kinds if kind in self._cool), _WEAK):
                index = shapes.index(shape)
                self._line(numbers[index], lines[index], shape, self._cool[shape])

    def _study(self, fresh: list[bytes]) -> None:
        """Find out which new kinds of lines an expression may match."""
        found = self._candidates(fresh, _WEAK)
        if len(self._seen) + len(fresh) > _KNOWN:
            self._seen.clear()
        if len(self._hot) + len(self._cool) > _KNOWN:
            for known in (self._hot, self._cool, self._tried, self._seen):
                known.clear()
        for shape, wanted in found.items():
            self._sort(shape, tuple(wanted))
        self._seen.update(shape for shape in fresh if len(shape) < _SHAPE)

    def _candidates(self, shapes: list[bytes], weak: int) -> dict[bytes, dict[str, None]]:
        """The expressions each kind of line may match; at most `weak` kinds for a word that only weak ones need."""
        joined = b"\n".join(shapes)
        words = set(joined.translate(fragments.WORDS).split())
        self._learn(words - self._seen_words)
        present = {wanted for word in words & self._hot_words.keys() for wanted in self._hot_words[word]}
        found: dict[bytes, dict[str, None]] = {}
        for anchor in sorted(present & self._by_anchor.keys()):
            ways = [one for one in self._by_anchor[anchor] if present.issuperset(one[0].words)]
            strong = not all(expression in self._weak for _, expression in ways)
            lines = _lines_with(joined, anchor) if ways else ()
            for shape in lines if strong else itertools.islice(lines, weak):
                for way, expression in ways:
                    if all(text in shape for text in way.texts):
                        found.setdefault(shape, {})[expression] = None
        return found

    def _learn(self, words: set[bytes]) -> None:
        """Sort new words into those that hold a wanted one and others."""
        if len(self._seen_words) > 4 * _KNOWN:
            self._seen_words.clear()
        self._seen_words |= words
        text = b"\n".join(words)
        for match in self._index.words.finditer(text):
            word = text[text.rfind(b"\n", 0, match.start()) + 1 : _end(text, match.end())]
            if word not in self._hot_words:
                self._hot_words[word] = self._inside(word)

    def _inside(self, word: bytes) -> tuple[bytes, ...]:
        """The wanted words in a word."""
        if len(word) > _WORD:
            return tuple(wanted for wanted in self._index.wanted if wanted in word)
        size = len(word)
        parts = {
            word[i:j] for i in range(size - 1) for j in range(i + 2, min(size, i + self._index.longest) + 1)
        }
        return tuple(parts & self._index.wanted)

    def _sort(self, shape: bytes, expressions: tuple[str, ...]) -> None:
        """Remember which expressions lines of this kind may match: those that need each line, and the weak ones."""
        strong = tuple(one for one in expressions if one not in self._weak)
        weak = tuple(one for one in expressions if one in self._weak)
        if strong:
            self._hot[shape] = strong
        else:
            self._hot.pop(shape, None)
        if weak:
            self._cool[shape] = weak

    def finish(self) -> None:
        """Look at the last lines for all expressions, whatever came before."""
        found = self._candidates([raw.translate(fragments.FOLD) for _, raw in self.tail], _TAIL)
        for number, raw in sorted(self.tail):
            shape = raw.translate(fragments.FOLD)
            wanted = [one for one in found.get(shape, ()) if not self._has(one, number)]
            if wanted:
                self._line(number, raw, shape, tuple(wanted))

    def _has(self, expression: str, number: int) -> bool:
        return any(hit.number == number for hit in self.hits.get(expression, ()))

    def _line(self, number: int, raw: bytes, shape: bytes, expressions: tuple[str, ...]) -> None:
        parts = raw.strip(b"\r").split(b"\r") if b"\r" in raw else (raw,)
        for part in parts[-_PARTS:]:
            self._search(number, part, expressions)
        tried = self._tried[shape] = self._tried.get(shape, 0) + len(parts)
        tired = [one for one in expressions if one in self.hits and self.hits[one].count > self._limit(one)]
        if tired and not self._weak.issuperset(tired):
            self._weak |= set(tired)
        if tried > _TRIED or not self._weak.isdisjoint(expressions):
            self._cool[shape] = tuple(dict.fromkeys((*self._cool.get(shape, ()), *expressions)))
            rest = tuple(one for one in expressions if one not in self._weak) if tried <= _TRIED else ()
            if rest:
                self._hot[shape] = rest
            else:
                self._hot.pop(shape, None)

    def _limit(self, expression: str) -> int:
        return _ENOUGH if expression in self._index.context else _MANY

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


def _in_pieces(numbers: Sequence[int], lines: list[bytes]) -> tuple[list[int], list[bytes]]:
    """Long lines in pieces that overlap, each with its line's number."""
    pieces = [
        (number, line[at : at + _LONGEST + _OVERLAP])
        for number, line in zip(numbers, lines, strict=True)
        for at in range(0, max(len(line), 1), _LONGEST)
    ]
    return [number for number, _ in pieces], [piece for _, piece in pieces]


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
