"""What a shell text is made of: commands, their words, and what words are made of.

Every part keeps the text that was read (`whole`) and its range there (`first`, `last`); `start` and `end` are offsets
in the source that this text came from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from seatrial.sources.dockerfile_text import Joined

DECLARATIONS = frozenset(("export", "declare", "typeset", "readonly", "local"))
"""Builtins whose `NAME=value` arguments are assignments."""


class Ranged(msgspec.Struct, frozen=True, kw_only=True):
    """A range of a text that was read."""

    whole: Joined
    first: int
    last: int

    @property
    def start(self) -> int:
        """The offset in the source."""
        return self.whole.offset(self.first)

    @property
    def end(self) -> int:
        """The offset in the source after the last character."""
        return self.whole.span(self.first, self.last)[1]

    @property
    def raw(self) -> str:
        """The text as written, continuations taken away."""
        return self.whole.text[self.first : self.last]


class Part(Ranged, frozen=True, kw_only=True):
    """A piece of a word.

    text: characters as the command gets them, quotes gone; either each stands for itself or `text` is one character
    that was written with an escape. variable: `$text` or `${text…}` with its `operator` (`:-`, `%`, …) and `argument`.
    substitution: the output of a command, or arithmetic; `text` is all of it as written.
    `quoted`: it stands in quotes, so it is not split into words.
    """

    kind: Literal["text", "variable", "substitution"]
    text: str
    quoted: bool = False
    operator: str = ""
    argument: tuple[Part, ...] = ()

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The offsets in the source of `text[start:end]`, for a text."""
        if self.last - self.first != len(self.text):
            return self.start, self.end
        return self.whole.span(self.first + start, self.first + end)


class ShellWord(Ranged, frozen=True, kw_only=True):
    """One word of a command."""

    parts: tuple[Part, ...]

    @property
    def literal(self) -> str | None:
        """The word as the command gets it; None where it has variables or substitutions."""
        texts: list[str] = []
        for part in self.parts:
            if part.kind != "text":
                return None
            texts.append(part.text)
        return "".join(texts)


class Assignment(Ranged, frozen=True, kw_only=True):
    """`NAME=value`; `append` for `NAME+=value`."""

    name: str
    value: ShellWord
    append: bool = False


class Redirect(Ranged, frozen=True, kw_only=True):
    """`>`, `>>`, `<`, `2>` and so on with the file; `<<` and `<<<` with the text in `target`.

    For a here-document `target` is its content, of which variables are parts only when its name was not quoted.
    """

    operator: str
    target: ShellWord | None
    descriptor: str = ""


class ShellCommand(Ranged, frozen=True, kw_only=True):
    """A simple command.

    `assignments` are those before the words; they last where there are no words, or where the command declares.
    `certain`: it runs whenever what is before it succeeds, and the whole fails when it does. It is not inside a
    condition, after `||` or after a test that cannot be told; nor before `|| true`, then `ignored` is set. `scope` are
    the subshells that it is in, outermost first: a `cd` or an assignment holds in its scope and those within.
    `reads` and `writes`: a pipe stands before and after it. `captured`: its output becomes part of a word.
    `broken`: the text around it could not be read.
    """

    words: tuple[ShellWord, ...]
    assignments: tuple[Assignment, ...] = ()
    redirects: tuple[Redirect, ...] = ()
    certain: bool = True
    ignored: bool = False
    scope: tuple[int, ...] = ()
    reads: bool = False
    writes: bool = False
    captured: bool = False
    broken: bool = False

    @property
    def name(self) -> str:
        """The literal first word, empty where there is none or it is not literal."""
        return (self.words[0].literal or "") if self.words else ""

    @property
    def lasting(self) -> bool:
        """Whether its assignments hold for the commands that follow."""
        return bool(self.assignments) and (not self.words or self.name in DECLARATIONS)

    @property
    def input(self) -> ShellWord | None:
        """The here-document, or here-string, that it reads."""
        return next((one.target for one in reversed(self.redirects) if one.operator.startswith("<<")), None)

    @property
    def output(self) -> ShellWord | None:
        """The file that its output goes to."""
        files = (">", ">>", ">|", "&>", "&>>")
        return next(
            (one.target for one in self.redirects if one.operator in files and one.descriptor in ("", "1")),
            None,
        )
