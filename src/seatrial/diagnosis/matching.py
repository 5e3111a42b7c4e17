"""One pass over a log of any size: which lines match which expressions.

Most lines of a log are like others but for numbers. A block of the log is folded (lower case, no digits): what is
left of a line is its shape. Shapes that differ only in numbers are of one kind, and each new kind is looked at once:
the words of all new kinds together are compared with the words that the expressions need, so the cost does not depend
on how many expressions there are. Only lines of a kind that has all texts an expression needs are cleaned and searched.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from seatrial.diagnosis import fragments, wording
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
_KNOWN = 1 << 24
"""So many bytes of shapes and kinds of lines are remembered."""
_WORDS = 200_000
"""So many words are remembered."""
_TRIED = 150
"""After so many lines of one kind, only the first of each block is looked at."""
_ENOUGH = 20
_MANY = 500
"""After so many places, an expression is as weak as those that are only worth reading."""
_VAIN = 1 << 20
"""After so many letters that it was tried on and never matched, an expression is so, too: some are slow."""
_KEPT = 60
"""So many places of one expression are kept: the first half, and the last ones."""
_TAIL = 40
_WEAK = 12
"""So many lines of a block are looked at for weak expressions."""
_WEAK_OF_ONE = 4
"""So many of them may be of one kind."""


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
        self._parts = _by_beginning(self.wanted)
        self._any = _any_of(self.wanted)
        self._compiled: dict[str, re.Pattern[str]] = {}
        self._words: dict[bytes, tuple[bytes, ...]] = {}
        self._kinds: dict[bytes, tuple[str, ...]] = {}
        self._size = 0

    def pattern(self, expression: str) -> re.Pattern[str]:
        """An expression, compiled when it is first needed: most never are."""
        found = self._compiled.get(expression)
        if found is None:
            found = self._compiled[expression] = re.compile(wording.loosened(expression))
        return found

    def candidates(self, names: Iterable[bytes]) -> dict[bytes, tuple[str, ...]]:
        """The expressions that each kind of line may match; it is remembered, as logs are like each other."""
        new = [name for name in names if name not in self._kinds]
        if self._size > _KNOWN:
            self._kinds.clear()
            self._size, new = 0, list(names)
        if new:
            self._size += sum(map(len, new))
            self._kinds.update(dict.fromkeys(new, ()))
            self._kinds.update({name: tuple(found) for name, found in self._study(new).items()})
        return {name: self._kinds[name] for name in names}

    def _study(self, names: list[bytes]) -> dict[bytes, dict[str, None]]:
        joined = b"\n".join(names)
        present = self._present(set(joined.translate(fragments.WORDS).split()))
        by_text: dict[bytes, list[tuple[Need, str]]] = {}
        for anchor in sorted(present & self.by_anchor.keys()):
            for one in self.by_anchor[anchor]:
                if present.issuperset(one[0].words):
                    by_text.setdefault(one[0].texts[0], []).append(one)
        found: dict[bytes, dict[str, None]] = {}
        for text, ways in by_text.items():
            if text not in joined:
                continue
            here = [one for one in ways if all(other in joined for other in one[0].texts[1:])]
            for name in _lines_with(joined, text) if here else ():
                for way, expression in here:
                    if len(way.texts) == 1 or all(other in name for other in way.texts[1:]):
                        found.setdefault(name, {})[expression] = None
        return found

    def _present(self, words: set[bytes]) -> set[bytes]:
        """The wanted words in some words."""
        if len(self._words) > _WORDS:
            self._words.clear()
        new = words - self._words.keys()
        self._words.update(dict.fromkeys(new, ()))
        text = b"\n".join(new)
        for match in self._any.finditer(text):
            word = text[text.rfind(b"\n", 0, match.start()) + 1 : _end(text, match.end())]
            self._words[word] = self._words[word] or self._inside(word)
        return {part for word in words for part in self._words[word]}

    def _inside(self, word: bytes) -> tuple[bytes, ...]:
        return tuple(
            part
            for i in range(len(word) - 1)
            for part in self._parts.get(word[i : i + 2], ())
            if word.startswith(part, i)
        )


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


class _Kind:
    """Lines that are alike: the expressions to try on each of them, and those to try on a few of each block."""

    __slots__ = ("each", "few", "tried")

    def __init__(self, each: tuple[str, ...], few: tuple[str, ...]) -> None:
        self.each = each
        self.few = few
        self.tried = 0


class _Search:
    """What is known while one log is read."""

    def __init__(self, index: Index) -> None:
        self.hits: dict[str, Hits] = {}
        self.number = 0
        self.tail: deque[tuple[int, bytes]] = deque(maxlen=_TAIL)
        self._index = index
        self._weak = set(index.weak)
        self._vain: dict[str, int] = {}
        self._shapes: dict[bytes, _Kind | None] = {}
        self._kinds: dict[bytes, _Kind | None] = {}
        self._size = 0
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
        shapes = fragments.fold(plain).split(b"\n")[: len(lines)]
        # In the order of the log, so that the same log always has the same answer.
        distinct = dict.fromkeys(shapes)
        if len(max(distinct, key=len, default=b"")) > _LONGEST:
            numbers, lines = _in_pieces(numbers, lines)
            shapes = [fragments.fold(line) for line in lines]
            distinct = dict.fromkeys(shapes)
        fresh = [shape for shape in distinct if shape not in self._shapes]
        if fresh:
            self._study(fresh)
        known = self._shapes
        hot = {shape: kind for shape in distinct if (kind := known[shape])}
        if hot:
            for i in [i for i, shape in enumerate(shapes) if shape in hot]:
                if hot[shapes[i]].each:
                    self._each(numbers[i], lines[i], hot[shapes[i]])
            for shape in _a_few(hot):
                i = shapes.index(shape)
                self._search(numbers[i], lines[i], hot[shape].few)

    def _study(self, fresh: list[bytes]) -> None:
        """Find out which new shapes of lines an expression may match."""
        if self._size > _KNOWN:
            self._shapes.clear()
            self._kinds.clear()
            self._size = 0
        joined = b"\n".join(fresh)
        self._size += len(joined)
        names = fragments.HEX.sub(b"", joined).split(b"\n")
        new = [name for name in dict.fromkeys(names) if name not in self._kinds]
        self._size += sum(map(len, new))
        for name, wanted in self._index.candidates(new).items():
            few = tuple(one for one in wanted if one in self._weak)
            each = tuple(one for one in wanted if one not in self._weak)
            self._kinds[name] = _Kind(each, few) if wanted else None
        self._shapes.update(zip(fresh, map(self._kinds.__getitem__, names), strict=True))

    def finish(self) -> None:
        """Look at the last lines for all expressions, whatever came before."""
        names = {raw: fragments.HEX.sub(b"", fragments.fold(raw)) for _, raw in self.tail}
        found = self._index.candidates(list(dict.fromkeys(names.values())))
        for number, raw in sorted(self.tail):
            wanted = [one for one in found[names[raw]] if not self._has(one, number)]
            if wanted:
                self._search(number, raw, wanted)

    def _has(self, expression: str, number: int) -> bool:
        return any(hit.number == number for hit in self.hits.get(expression, ()))

    def _each(self, number: int, raw: bytes, kind: _Kind) -> None:
        """Try the expressions of a kind, and know when they have been tried often enough."""
        kind.tried += self._search(number, raw, kind.each)
        self._weak.update(one for one in kind.each if self._tired(one))
        if kind.tried > _TRIED or not self._weak.isdisjoint(kind.each):
            rest = tuple(one for one in kind.each if kind.tried <= _TRIED and one not in self._weak)
            kind.few = (*kind.few, *(one for one in kind.each if one not in rest))
            kind.each = rest

    def _tired(self, expression: str) -> bool:
        if expression not in self.hits:
            return self._vain.get(expression, 0) > _VAIN
        return self.hits[expression].count > (_ENOUGH if expression in self._index.context else _MANY)

    def _search(self, number: int, raw: bytes, expressions: Iterable[str]) -> int:
        """Search a line, or the last parts of one that carriage returns divide; says how many."""
        parts = raw.strip(b"\r").split(b"\r")[-_PARTS:] if b"\r" in raw else (raw,)
        for part in parts:
            line = clean(part)
            for expression in expressions:
                if match := self._index.pattern(expression).search(line.text):
                    captures = {name: value for name, value in match.groupdict().items() if value}
                    hit = Hit(number, line.source, line.text, captures)
                    self.hits.setdefault(expression, Hits()).add(hit)
                elif expression not in self.hits:
                    self._vain[expression] = self._vain.get(expression, 0) + len(line.text)
        return len(parts)


def _a_few(hot: Mapping[bytes, _Kind]) -> list[bytes]:
    """Shapes to try the expressions on that are not tried on every line; a frequent kind does not take all places."""
    taken: dict[_Kind, int] = {}
    chosen = []
    size = 0
    for shape, kind in hot.items():
        if kind.few and taken.get(kind, 0) < _WEAK_OF_ONE:
            taken[kind] = taken.get(kind, 0) + 1
            chosen.append(shape)
            size += len(shape)
            if len(chosen) == _WEAK or size > _LONGEST:
                break
    return chosen


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


def _by_beginning(words: Iterable[bytes]) -> dict[bytes, tuple[bytes, ...]]:
    """Words by their first two letters."""
    found: dict[bytes, tuple[bytes, ...]] = {}
    for word in sorted(words):
        found[word[:2]] = (*found.get(word[:2], ()), word)
    return found


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
