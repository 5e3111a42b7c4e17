"""The values of words: variables replaced, and split into fields where the shell does.

Source: https://www.gnu.org/software/bash/manual/bash.html#Shell-Parameter-Expansion and #Word-Splitting
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from seatrial.sources.dockerfile_patterns import replaced, without_prefix, without_suffix

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from seatrial.sources.shell_model import Part, ShellWord

_BLANKS = " \t\n"


class Piece(msgspec.Struct, frozen=True):
    """The characters from `start` to `end` of a value come from this part: a text, a variable or what is unknown."""

    start: int
    end: int
    part: Part


class Value(msgspec.Struct, frozen=True):
    """A word with its variables replaced. What is `unknown` (names, and substitutions as written) stays as written."""

    text: str
    unknown: tuple[str, ...] = ()
    pieces: tuple[Piece, ...] = ()

    def literal(self, start: int, end: int) -> tuple[int, int] | None:
        """The source offsets of `text[start:end]`, where all of it is written in one piece of text; else None."""
        for piece in self.pieces:
            if piece.start <= start and end <= piece.end and piece.part.kind == "text":
                return piece.part.span(start - piece.start, end - piece.start)
        return None

    def variable(self, start: int, end: int) -> str:
        """The one variable whose value `text[start:end]` comes from; empty where it is not one."""
        for piece in self.pieces:
            if piece.start <= start and end <= piece.end and piece.part.kind == "variable":
                return piece.part.text if piece.part.text not in self.unknown else ""
        return ""


def expand(word: ShellWord, variables: Mapping[str, str]) -> Value:
    """The value of a word that is not split, as in an assignment.

    A variable that is not in `variables` is unknown, unless the word says what stands for it (`${X:-default}`).
    """
    value = _Value()
    for text, part, unknown in _values(word.parts, variables):
        value.add(text, part)
        value.unknown += unknown
    return value.finish()


def fields(words: Iterable[ShellWord], variables: Mapping[str, str]) -> tuple[Value, ...]:
    """The arguments that a command gets: unquoted variables are split at blanks, and empty ones vanish."""
    return tuple(value for word in words for value in _fields(word, variables))


def _fields(word: ShellWord, variables: Mapping[str, str]) -> Iterator[Value]:
    value = _Value()
    # A word of nothing but unquoted empty variables is no argument at all.
    some = not word.parts
    for text, part, unknown in _values(word.parts, variables):
        value.unknown += unknown
        if part.kind != "variable" or part.quoted or unknown:
            some = some or part.kind != "variable" or part.quoted or bool(text)
            value.add(text, part)
            continue
        head, *rest = _split(text)
        value.add(head, part)
        some = some or bool(head)
        for field in rest:
            if some:
                yield value.finish()
            value = _Value()
            value.add(field, part)
            some = bool(field)
    if some:
        yield value.finish()


def _split(text: str) -> list[str]:
    """The fields of a variable's value; an empty one at either end where it begins or ends with blanks."""
    found = text.split()
    if not found:
        return ["", ""] if text else [""]
    return (
        ["" for _ in text[:1] if text[0] in _BLANKS] + found + ["" for _ in text[-1:] if text[-1] in _BLANKS]
    )


class _Value:
    """A value that grows."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.pieces: list[Piece] = []
        self.unknown: list[str] = []
        self.length = 0

    def add(self, text: str, part: Part) -> None:
        if text:
            self.texts.append(text)
            self.pieces.append(Piece(self.length, self.length + len(text), part))
            self.length += len(text)

    def finish(self) -> Value:
        return Value("".join(self.texts), tuple(dict.fromkeys(self.unknown)), tuple(self.pieces))


def _values(
    parts: Iterable[Part], variables: Mapping[str, str]
) -> Iterator[tuple[str, Part, tuple[str, ...]]]:
    """Each part's text, the part that it is written in, and what is unknown in it."""
    for part in parts:
        if part.kind == "text":
            yield part.text, part, ()
        elif part.kind == "substitution":
            yield part.raw, part, (part.raw,)
        else:
            yield from _variable(part, variables)


def _variable(part: Part, variables: Mapping[str, str]) -> Iterator[tuple[str, Part, tuple[str, ...]]]:
    value = variables.get(part.text)
    operator = part.operator
    kind = operator.removeprefix(":")
    if kind in ("-", "=", "?", "+") and operator:
        there = value is not None and (value != "" or operator == kind)
        if there == (kind == "+"):
            if kind in ("-", "=", "+"):
                yield from _values(part.argument, variables)
                return
            yield part.raw, part, (part.text,)
        else:
            yield value if there and value is not None else "", part, ()
    elif value is None:
        yield part.raw, part, (part.text,)
    else:
        changed = _changed(value, part, variables)
        yield (part.raw, part, (part.text,)) if changed is None else (changed, part, ())


def _changed(value: str, part: Part, variables: Mapping[str, str]) -> str | None:
    """The value as the operator changes it; None where that cannot be told."""
    operator = part.operator
    if not operator:
        return value
    argument = _pattern(part.argument, variables)
    if argument is None:
        return None
    try:
        if operator[0] in "#%":
            change = without_prefix if operator[0] == "#" else without_suffix
            return None if "[" in argument else change(value, argument, longest=len(operator) > 1)
        if operator in ("/", "//"):
            pattern, _, text = argument.partition("/")
            return None if "[" in pattern else replaced(value, pattern, text, every=operator == "//")
    except ValueError:
        return None
    if operator == ":":
        return _slice(value, argument)
    case = {"^^": str.upper, ",,": str.lower}.get(operator)
    return case(value) if case and not argument else None


def _pattern(parts: Iterable[Part], variables: Mapping[str, str]) -> str | None:
    texts: list[str] = []
    for part in parts:
        if part.kind == "text" and not part.quoted:
            texts.append(part.text)
        elif part.kind == "text":
            texts.append("".join("\\" + one if one in "*?\\" else one for one in part.text))
        else:
            for text, _, unknown in _values([part], variables):
                if unknown:
                    return None
                texts.append(text)
    return "".join(texts)


def _slice(value: str, argument: str) -> str | None:
    """`${X:offset:length}` with plain numbers."""
    numbers = [one.strip() for one in argument.split(":")]
    if not 1 <= len(numbers) <= 2 or not all(one.removeprefix("-").isdecimal() for one in numbers):  # noqa: PLR2004 - offset and length
        return None
    offset = int(numbers[0])
    rest = value[offset:] if abs(offset) <= len(value) else ""
    return rest if len(numbers) == 1 else rest[: int(numbers[1])]
