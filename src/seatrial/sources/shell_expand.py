"""The values of words: variables replaced, and split into fields where the shell does.

Source: https://www.gnu.org/software/bash/manual/bash.html#Shell-Parameter-Expansion and #Word-Splitting
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from seatrial.sources.dockerfile_patterns import replaced, without_prefix, without_suffix

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from seatrial.sources.shell_model import Part, ShellWord

_BLANKS = " \t\n"
_BEFORE_SLASH = re.compile(r"(?:[^\\/]|\\.)*", re.DOTALL)


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
    value = _Growing()
    for found in _values(word.parts, variables):
        value.add(found.text, found.part)
        value.unknown += found.unknown
    return value.finish()


def fields(words: Iterable[ShellWord], variables: Mapping[str, str]) -> tuple[Value, ...]:
    """The arguments that a command gets: unquoted variables are split at blanks, and empty ones vanish."""
    return tuple(value for word in words for value in _fields(word, variables))


def _fields(word: ShellWord, variables: Mapping[str, str]) -> Iterator[Value]:
    value = _Growing()
    # A word of nothing but unquoted empty variables is no argument at all.
    some = not word.parts
    for found in _values(word.parts, variables):
        value.unknown += found.unknown
        if not found.split:
            some = True
            value.add(found.text, found.part)
            continue
        for number, field in enumerate(_split(found.text)):
            if number and some:
                yield value.finish()
            if number:
                value, some = _Growing(), False
            value.add(field, found.part)
            some = some or bool(field)
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


class _Found(msgspec.Struct, frozen=True):
    """What stands for a part: its text, the part that it is written in, what is unknown, whether it is split."""

    text: str
    part: Part
    unknown: tuple[str, ...] = ()
    split: bool = False


class _Growing:
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


def _values(parts: Iterable[Part], variables: Mapping[str, str]) -> Iterator[_Found]:
    for part in parts:
        if part.kind == "text":
            yield _Found(part.text, part)
        elif part.kind == "substitution":
            yield _Found(part.raw, part, (part.raw,))
        else:
            yield from _variable(part, variables)


def _variable(part: Part, variables: Mapping[str, str]) -> Iterator[_Found]:
    value = variables.get(part.text)
    kind = part.operator.removeprefix(":")
    if kind in ("-", "=", "?", "+"):
        there = value is not None and (value != "" or part.operator == kind)
        if there == (kind == "+"):
            yield from _instead(part, variables)
            return
        value = value if there else ""
    elif value is not None:
        value = _changed(value, part, variables)
    if value is None:
        yield _Found(part.raw, part, (part.text,))
    else:
        yield _Found(value, part, (), not part.quoted)


def _instead(part: Part, variables: Mapping[str, str]) -> Iterator[_Found]:
    """What `${X:-…}` and `${X:+…}` put in the place of the value; `${X:?…}` fails."""
    if part.operator.endswith("?"):
        yield _Found(part.raw, part, (part.text,))
    elif not part.argument:
        yield _Found("", part, (), not part.quoted)
    for found in _values(part.argument if not part.operator.endswith("?") else (), variables):
        plain = found.part.kind == "text" and not found.part.quoted
        split = not part.quoted and (plain or found.split)
        yield _Found(found.text, found.part, found.unknown, split)


def _changed(value: str, part: Part, variables: Mapping[str, str]) -> str | None:
    """The value as the operator changes it; None where that cannot be told."""
    operator = part.operator
    argument = _pattern(part.argument, variables)
    if not operator or argument is None:
        return value if not operator else None
    if operator == ":":
        return _slice(value, argument)
    if operator in ("^^", ",,"):
        return None if argument else value.upper() if operator == "^^" else value.lower()
    try:
        return _matched(value, operator, argument)
    except ValueError:
        return None


def _matched(value: str, operator: str, argument: str) -> str | None:
    """`#`, `%` and `/` with patterns of `*` and `?` alone."""
    found = _BEFORE_SLASH.match(argument)
    pattern = found[0] if found and operator[0] == "/" else argument
    if "[" in pattern or operator not in ("#", "##", "%", "%%", "/", "//"):
        return None
    if operator[0] == "/":
        text = re.sub(r"\\(.)", r"\1", argument[len(pattern) + 1 :])
        return replaced(value, pattern, text, every=operator == "//")
    change = without_prefix if operator[0] == "#" else without_suffix
    return change(value, pattern, longest=len(operator) > 1)


def _pattern(parts: Iterable[Part], variables: Mapping[str, str]) -> str | None:
    texts: list[str] = []
    for part in parts:
        if part.kind == "text" and not part.quoted:
            texts.append(part.text)
        elif part.kind == "text":
            texts.append("".join("\\" + one if one in "*?\\/" else one for one in part.text))
        else:
            for found in _values([part], variables):
                if found.unknown:
                    return None
                texts.append(found.text)
    return "".join(texts)


def _slice(value: str, argument: str) -> str | None:
    """`${X:offset:length}` with plain numbers."""
    numbers = [one.strip() for one in argument.split(":")]
    if not 1 <= len(numbers) <= 2 or not all(one.removeprefix("-").isdecimal() for one in numbers):  # noqa: PLR2004 - offset and length
        return None
    offset = int(numbers[0])
    rest = value[offset:] if abs(offset) <= len(value) else ""
    return rest if len(numbers) == 1 else rest[: int(numbers[1])]
