"""Variables and their expansion, in a Dockerfile's words and in a shell's, without losing where a value is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from seatrial.images.story.words import NOWHERE, Word
from seatrial.sources.text import Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from seatrial.images.story.model import Span
    from seatrial.sources import shell_expand
    from seatrial.sources.dockerfile_text import Joined
    from seatrial.sources.shell_model import Part, ShellWord

# Commands whose output an image for 64-bit x86 Linux decides.
_OUTPUTS = {"uname -m": "x86_64", "arch": "x86_64", "uname -s": "Linux", "dpkg --print-architecture": "amd64"}
_NOT_A_FILE = Source("", "")


class Value(msgspec.Struct, frozen=True):
    """Text made of runs: run n starts at `indexes[n]` and stands at `offsets[n]` of the file, or nowhere.

    `unknown` are the variables without a value that it is made of; they left `$NAME` in the text. `names` are the
    variables that gave their values.
    """

    text: str
    indexes: tuple[int, ...] = ()
    offsets: tuple[int, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        return not self.unknown

    def span(self, source: Source) -> Span | None:
        """Where the whole value stands in one piece."""
        return self.word(source, 0, 0).span(0, len(self.text)) if self.text else None

    def word(self, source: Source, start: int, end: int) -> Word:
        """The value as a word that is written from `start` to `end`."""
        return Word(source, start, end, self.text, self.indexes, self.offsets, self.unknown)


def given(text: str) -> Value:
    """A value that stands in no file."""
    return Value(text, (0,), (NOWHERE,)) if text else Value("")


def written(text: str, offset: int) -> Value:
    """A value that stands in the file as it is."""
    return Value(text, (0,), (offset,)) if text else Value("")


def joined(values: list[Value]) -> Value:
    """Several values one after the other."""
    if len(values) == 1:
        return values[0]
    indexes: list[int] = []
    offsets: list[int] = []
    unknown: list[str] = []
    length = 0
    for value in values:
        indexes += [length + index for index in value.indexes]
        offsets += value.offsets
        unknown += value.unknown
        length += len(value.text)
    text = "".join([value.text for value in values])
    return Value(text, tuple(indexes), tuple(offsets), tuple(dict.fromkeys(unknown)))


def part_of(value: Value, start: int, end: int) -> Value:
    """A part of a value."""
    cut = value.word(_NOT_A_FILE, 0, 0).cut(start, end)
    return Value(cut.text, cut.indexes, cut.offsets, value.unknown)


def in_dockerfile(text: Joined, variables: Mapping[str, Value], escape: str) -> Value:
    """A word of an instruction, expanded as BuildKit does. Variables without a value stay as they are written."""
    from seatrial.sources.dockerfile_words import expand

    if "$" not in text.text and not any(special in text.text for special in ("'", '"', escape)):
        start, end = text.start, text.end
        return (
            written(text.text, start)
            if end - start == len(text.text)
            else _literal(text, 0, len(text.text), text.text)
        )
    known = {name: value.text for name, value in variables.items() if value.known}
    expanded = expand(text.text, known, escape)
    if expanded.error:
        return Value(text.text, (0,), (NOWHERE,), ("",))
    parts: list[Value] = []
    at = done = 0
    for piece in expanded.pieces:
        parts.append(_literal(text, at, piece.at[0], expanded.text[done : piece.start]))
        raw = text.text[piece.at[0] : piece.at[1]]
        inside = expanded.text[piece.start : piece.end]
        parts.append(_replaced(text, piece.name, raw, inside, piece.at[0], variables, expanded.unknown))
        at, done = piece.at[1], piece.end
    parts.append(_literal(text, at, len(text.text), expanded.text[done:]))
    return joined(parts)


def _literal(text: Joined, start: int, end: int, result: str) -> Value:
    """Text between variables: it stands where it is when only quotes around it went away."""
    if not result:
        return Value("")
    found = text.text.find(result, start, end)
    if found < 0:
        return given(result)
    first, last = text.span(found, found + len(result))
    return written(result, first) if last - first == len(result) else given(result)


def _replaced(
    text: Joined,
    name: str,
    raw: str,
    inside: str,
    start: int,
    variables: Mapping[str, Value],
    unknown: tuple[str, ...],
) -> Value:
    value = variables.get(name)
    if value is not None and value.known and value.text == inside:
        return value
    if not inside and name in unknown:
        return Value(raw, (0,), (NOWHERE,), (name,))
    return _literal(text, start, start + len(raw), inside) if inside else Value("")


def in_shell(words: Iterable[ShellWord], variables: Variables, source: Source) -> tuple[Word, ...]:
    """The arguments of a command. A variable outside quotes may make several words, or none."""
    from seatrial.sources.shell_expand import fields

    found: list[Word] = []
    for word in words:
        start, end = word.whole.span(word.first, word.last)
        # Where a word stands in one piece, so does every part of it: no need to look each of them up.
        shift = start - word.first if end - start == word.last - word.first else None
        for value in fields((word,), variables.texts):
            found.append(_from_shell(value, variables.values, shift).word(source, start, end))  # noqa: PERF401 - two loops read better
    return tuple(found)


def texts_in_shell(words: Iterable[ShellWord], variables: Variables, source: Source) -> tuple[Word, ...]:
    """The arguments of a command where nobody asks where they stand, which takes a third of the time."""
    from seatrial.sources.shell_expand import fields

    return tuple(
        Word(source, 0, 0, value.text, unknown=value.unknown) for value in fields(words, variables.texts)
    )


def in_assignment(word: ShellWord, variables: Variables) -> Value:
    """What an assignment gives, or the text of a here-document."""
    from seatrial.sources.shell_expand import expand

    return _from_shell(expand(word, variables.texts), variables.values)


class Variables:
    """Variables by name, and the texts of those that are known, kept together."""

    def __init__(self, values: Mapping[str, Value]) -> None:
        self.values = dict(values)
        self.texts = known_texts(values)

    def copy(self) -> Variables:
        return Variables(self.values)

    def set(self, name: str, value: Value) -> None:
        self.values[name] = value
        if value.known:
            self.texts[name] = value.text
        else:
            self.texts.pop(name, None)


def known_texts(variables: Mapping[str, Value]) -> dict[str, str]:
    """The variables that have a value all of which is known."""
    return {name: value.text for name, value in variables.items() if value.known}


def _from_shell(value: shell_expand.Value, variables: Mapping[str, Value], shift: int | None = None) -> Value:
    """`shift` is from the offsets of the parts' text to those of the file, where it is the same for all."""
    pieces = value.pieces
    if len(pieces) == 1 and pieces[0].part.kind == "text" and not value.unknown:
        return _standing(pieces[0].part, value.text, shift)
    parts: list[Value] = []
    unknown = list(value.unknown)
    for piece in value.pieces:
        text = value.text[piece.start : piece.end]
        output = _OUTPUTS.get(text.strip("$()`").strip()) if piece.part.kind == "substitution" else None
        if output and text in unknown:
            parts.append(given(output))
            unknown.remove(text)
        elif piece.part.kind == "text":
            parts.append(_standing(piece.part, text, shift))
        else:
            parts.append(_of_variable(variables.get(piece.part.text), text))
    whole = joined(parts) if parts else Value("")
    return msgspec.structs.replace(whole, unknown=tuple(unknown))


def _standing(part: Part, text: str, shift: int | None) -> Value:
    """A part's text where it stands; a line that goes on makes two runs of it."""
    if part.last - part.first != len(text):
        return given(text)
    if shift is not None:
        return written(text, part.first + shift)
    start, end = part.whole.span(part.first, part.last)
    if end - start == len(text):
        return written(text, start)
    piece = part.whole.piece(part.first, part.last)
    indexes = [run.index for run in piece.runs]
    lengths = [after - index for index, after in zip(indexes, [*indexes[1:], len(text)], strict=True)]
    offsets = [
        run.start if run.stop - run.start == length else NOWHERE
        for run, length in zip(piece.runs, lengths, strict=True)
    ]
    return Value(text, tuple(indexes), tuple(offsets))


def _of_variable(value: Value | None, text: str) -> Value:
    """A variable's value, or the part of it that is left after splitting or cutting."""
    found = value.text.find(text) if value is not None and value.known else -1
    return part_of(value, found, found + len(text)) if value is not None and found >= 0 else given(text)
