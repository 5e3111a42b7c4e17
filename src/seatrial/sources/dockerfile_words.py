"""Words of a Dockerfile's instruction: variables, quotes and escapes, as BuildKit reads them.

Source: https://docs.docker.com/reference/dockerfile/#environment-replacement and BuildKit's shell lexer,
https://github.com/moby/buildkit/blob/v0.29.0/frontend/dockerfile/shell/lex.go
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from seatrial.sources.dockerfile_patterns import replaced, without_prefix, without_suffix
from seatrial.sources.dockerfile_text import SPACE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_DEEPEST = 50
"""How deep `${a:-${b:-…}}` may be nested; beyond it the word is refused instead of the stack used up."""


class Piece(msgspec.Struct, frozen=True):
    """Where a variable's value stands in the expanded text (`start`, `end`), and its `${…}` in the text before (`at`)."""

    name: str
    start: int
    end: int
    at: tuple[int, int]


class Expanded(msgspec.Struct, frozen=True):
    """A text with its variables replaced, without quotes and escapes.

    `unknown` are variables without a value that left a hole in the text; one that has a default (`${X:-d}`) leaves
    none. `used` are those whose value was looked at and found. `error` says what BuildKit refuses; then `text` is as
    it was.
    """

    text: str
    unknown: tuple[str, ...] = ()
    used: tuple[str, ...] = ()
    error: str = ""
    pieces: tuple[Piece, ...] = ()


class Mode(msgspec.Struct, frozen=True):
    """What is kept as written: quotes, escape characters, variables without a value."""

    quotes: bool = False
    escapes: bool = False
    unset: bool = False


_ERASE = Mode()


class _Refused(Exception):  # noqa: N818 - it is caught here and becomes a message
    pass


def expand(text: str, variables: Mapping[str, str], escape: str = "\\") -> Expanded:
    """Replace variables and take quotes and escapes away, as BuildKit does with one word. Never raises."""
    if not any(special in text for special in ("$", "'", '"', escape)):
        return Expanded(text)
    lexer = _Lexer(text, variables, escape, _ERASE)
    try:
        result, _ = lexer.until("", escapes=False)
    except _Refused as refused:
        return Expanded(text, _once(lexer.unknown), _once(lexer.used), str(refused))
    return Expanded(result, _once(lexer.unknown), _once(lexer.used), "", tuple(lexer.pieces))


def words(
    text: str, variables: Mapping[str, str], escape: str = "\\", mode: Mode = _ERASE
) -> tuple[str, ...]:
    """The words of a text, split at spaces outside quotes after its variables were replaced.

    Raises:
        ValueError: a quote or a brace is not closed, or a substitution is not known.
    """
    try:
        return tuple(_Lexer(text, variables, escape, mode).until("", escapes=mode.escapes)[1])
    except _Refused as refused:
        raise ValueError(str(refused)) from None


def _once(names: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


class _Words:
    """Splits what it is given at spaces; a piece that was quoted is not split."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.word: list[str] = []

    def plain(self, text: str) -> None:
        for character in text:
            if character in SPACE:
                self.finish()
            else:
                self.word.append(character)

    def finish(self) -> list[str]:
        if any(self.word):
            self.done.append("".join(self.word))
            self.word.clear()
        return self.done


class _Lexer:
    """One pass over one text. `at` is the next character."""

    def __init__(self, text: str, variables: Mapping[str, str], escape: str, mode: Mode) -> None:
        self.text = text
        self.variables = variables
        self.escape = escape
        self.mode = mode
        self.at = 0
        self.depth = 0
        self.unknown: list[str] = []
        self.used: list[str] = []
        self.pieces: list[Piece] = []

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def next(self) -> str:
        character = self.text[self.at : self.at + 1]
        self.at += 1
        return character

    def until(self, stop: str, *, escapes: bool) -> tuple[str, list[str]]:
        """What comes before an unquoted `stop`, or before the end; with `escapes`, escape characters are kept."""
        out: list[str] = []
        length = 0
        split = _Words()
        while self.at < len(self.text):
            character = self.peek()
            if character == stop:
                self.at += 1
                return "".join(out), split.finish()
            if character == "$":
                part = self.recorded(length)
                split.plain(part)
            elif character in ("'", '"'):
                part = self.single() if character == "'" else self.double(length, escapes=escapes)
                split.word.append(part)
            elif character == "<":
                part = self.less()
                split.word.append(part)
            elif character == self.escape:
                part = self.escaped(escapes=escapes)
                split.word.append(part)
            else:
                part = self.plain(stop)
                split.plain(part)
            out.append(part)
            length += len(part)
        if stop:
            raise _Refused(f"unexpected end of statement while looking for matching {stop}")
        return "".join(out), split.finish()

    def plain(self, stop: str) -> str:
        start = self.at
        special = ("$", "'", '"', "<", self.escape, stop)
        while self.at < len(self.text) and self.text[self.at] not in special:
            self.at += 1
        return self.text[start : self.at]

    def escaped(self, *, escapes: bool) -> str:
        """The escape character and the next one; an escape at the end is dropped."""
        kept = self.next() if escapes else self.next()[:0]
        return kept + self.next()

    def less(self) -> str:
        """`<<` with the blanks after it: a here-document's name may stand apart."""
        start = self.at
        self.at += 1
        if self.peek() == "<":
            self.at += 1
            while self.peek() in ("\t", "\r", " "):
                self.at += 1
        return self.text[start : self.at]

    def single(self) -> str:
        end = self.text.find("'", self.at + 1)
        if end < 0:
            raise _Refused("unexpected end of statement while looking for matching single-quote")
        start, self.at = self.at, end + 1
        return self.text[start : end + 1] if self.mode.quotes else self.text[start + 1 : end]

    def double(self, length: int, *, escapes: bool) -> str:
        out: list[str] = []

        def add(text: str) -> None:
            nonlocal length
            out.append(text)
            length += len(text)

        quote = self.next() if self.mode.quotes else self.next()[:0]
        add(quote)
        while self.at < len(self.text):
            character = self.peek()
            if character == '"':
                self.at += 1
                add(quote)
                return "".join(out)
            if character == "$":
                add(self.recorded(length))
            elif character == self.escape:
                add(self.escaped_quoted(escapes=escapes))
            else:
                add(self.next())
        raise _Refused("unexpected end of statement while looking for matching double-quote")

    def escaped_quoted(self, *, escapes: bool) -> str:
        """In double quotes a quote, a dollar and the escape character itself can be escaped, nothing else."""
        escape = self.next()
        kept = escape if escapes else ""
        following = self.peek()
        if following and following in ('"', "$", self.escape):
            return kept + self.next()
        return kept + escape if following else kept

    def recorded(self, length: int) -> str:
        """A variable; of one that is not inside another it is noted where its value stands."""
        start = self.at
        name, value = self.dollar()
        if self.depth == 0 and name:
            self.pieces.append(Piece(name, length, length + len(value), (start, self.at)))
        return value

    def dollar(self) -> tuple[str, str]:
        """`$name` or `${name…}`: the name, and what stands for it."""
        self.at += 1
        if self.peek() != "{":
            name = self.name()
            if not name:
                return "", "$"
            return name, self.plainly(name, "$" + name)
        self.at += 1
        if self.peek() == "":
            raise _Refused("syntax error: missing '}'")
        if self.peek() in "{}:":
            raise _Refused("syntax error: bad substitution")
        if self.depth >= _DEEPEST:
            raise _Refused("substitutions are nested too deeply")
        name = self.name()
        self.depth += 1
        value = self.modified(name)
        self.depth -= 1
        return name, value

    def name(self) -> str:
        start = self.at
        first = self.peek()
        if first.isdecimal():
            while self.peek().isdecimal():
                self.at += 1
        elif first and first in "@*#?-$!":
            self.at += 1
        else:
            while (character := self.peek()) and (
                character.isalpha() or character.isdecimal() or character == "_"
            ):
                self.at += 1
        return self.text[start : self.at]

    def plainly(self, name: str, kept: str) -> str:
        """The value as it is; without one, nothing, or the text that is kept."""
        value = self.variables.get(name)
        if value is not None:
            self.used.append(name)
            return value
        if self.mode.unset:
            return kept
        self.unknown.append(name)
        return ""

    def modified(self, name: str) -> str:
        """What follows the name in `${name…}`, up to the brace."""
        character = self.next()
        if character == "}":
            return self.plainly(name, f"${{{name}}}")
        if character == "/":
            return self.replacing(name)
        empty_too = character == ":"
        kind = self.next() if empty_too else character
        if kind not in _MODIFIERS or (empty_too and kind in "#%"):
            raise _Refused(
                f"unsupported modifier ({character if not empty_too else ':' + kind}) in substitution"
            )
        before = len(self.unknown), len(self.used)
        word, _ = self.until("}", escapes=kind in "#%")
        value = self.variables.get(name)
        if value is None and self.mode.unset:
            return f"${{{name}{':' if empty_too else ''}{kind}{word}}}"
        counted = None if empty_too and not value else value
        if kind == "?" or (kind == "-" and counted is not None) or (kind == "+" and counted is None):
            # The word is not taken, so what is in it does not matter.
            del self.unknown[before[0] :], self.used[before[1] :]
        if value is not None:
            self.used.append(name)
        return self.chosen(name, kind, word, counted, value)

    def chosen(self, name: str, kind: str, word: str, counted: str | None, value: str | None) -> str:
        """By the kind of the modifier; `counted` is None where the value counts as none."""
        if kind == "-":
            return word if counted is None else counted
        if kind == "+":
            return "" if counted is None else word
        if kind == "?":
            if counted is None:
                missing = "is not allowed to be unset" if value is None else "is not allowed to be empty"
                raise _Refused(f"{name}: {word or missing}")
            return counted
        return self.cut(name, kind, word, value)

    def cut(self, name: str, kind: str, pattern: str, value: str | None) -> str:
        longest = pattern.startswith(kind)
        change = without_prefix if kind == "#" else without_suffix
        return self.changed(name, value, lambda known: change(known, pattern[longest:], longest=longest))

    def replacing(self, name: str) -> str:
        every = self.peek() == "/"
        self.at += every
        pattern, _ = self.until("/", escapes=True)
        text, _ = self.until("}", escapes=True)
        value = self.variables.get(name)
        if value is None and self.mode.unset:
            return f"${{{name}/{pattern}/{text}}}"
        if value is not None:
            self.used.append(name)
        return self.changed(name, value, lambda known: replaced(known, pattern, text, every=every))

    def changed(self, name: str, value: str | None, change: Callable[[str], str]) -> str:
        if value is None:
            self.unknown.append(name)
        try:
            return change(value or "")
        except ValueError as error:
            raise _Refused(str(error)) from None


_MODIFIERS = ("-", "+", "?", "#", "%")
