"""What a Dockerfile is made of. Every text is a `Joined`: it knows where each of its characters stands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from seatrial.sources.dockerfile_text import Joined, Run, concatenate
from seatrial.sources.dockerfile_words import Mode, words

if TYPE_CHECKING:
    from seatrial.findings import Finding
    from seatrial.sources.text import Source

_TABS = re.compile(r"^\t+", re.MULTILINE)
_ALONE = re.compile(r"[0-9]*<<-?[\t\n\f\r ]*([^<]+)\Z")


class Flag(msgspec.Struct, frozen=True):
    """`--name=value`, quotes and escapes taken away; `value` is None without `=`. `start` and `end` are offsets."""

    name: str
    value: Joined | None
    start: int
    end: int


class Pair(msgspec.Struct, frozen=True):
    """`key=value` of ENV, LABEL and ARG, as written: quotes and variables are for `dockerfile_words.expand`.

    `value` is None for an ARG without a default. `legacy`: written with a space instead of `=`.
    """

    key: Joined
    value: Joined | None
    legacy: bool = False

    @property
    def start(self) -> int:
        return self.key.start

    @property
    def end(self) -> int:
        return self.key.end if self.value is None else self.value.end


class Heredoc(msgspec.Struct, frozen=True, kw_only=True):
    """A here-document: the lines after an instruction up to the one that is its name.

    `expand`: variables in it are replaced (the name was not quoted). `chomp`: written with `<<-`. `content` is as it
    stands; `terminator` is the name where it ends it.
    """

    name: str
    expand: bool
    chomp: bool
    descriptor: int
    content: Joined
    terminator: Joined

    @property
    def data(self) -> Joined:
        """The content as a program gets it, without leading tabs where `<<-` says so."""
        return without_tabs(self.content) if self.chomp else self.content


class Instruction(msgspec.Struct, frozen=True, kw_only=True):
    """One instruction. `start` and `end` are offsets in the source, here-documents included.

    `body` is what follows keyword and flags, continuations and comments taken away. `json` are the strings of the exec
    form (for HEALTHCHECK, those after CMD), None for the shell form. `words` are the words of FROM, EXPOSE, COPY, ADD and VOLUME in either form. `pairs`
    are those of ENV, LABEL and ARG. `onbuild` is the instruction that ONBUILD holds; it has no here-documents of its
    own.
    """

    keyword: str
    start: int
    end: int
    body: Joined
    flags: tuple[Flag, ...] = ()
    json: tuple[Joined, ...] | None = None
    words: tuple[Joined, ...] = ()
    pairs: tuple[Pair, ...] = ()
    heredocs: tuple[Heredoc, ...] = ()
    onbuild: Instruction | None = None

    def flag(self, name: str) -> Joined | None:
        """The value of a flag, the last one where it is given twice."""
        return next((flag.value for flag in reversed(self.flags) if flag.name == name), None)

    @property
    def script(self) -> Joined:
        """What the shell runs in the shell form of RUN, its here-documents where the shell expects them.

        One here-document and nothing else is the script itself, as in BuildKit.
        """
        if not self.heredocs:
            return self.body
        if self._alone:
            return self.heredocs[0].data
        parts = [self.body]
        for document in self.heredocs:
            parts += [_line_break(parts[-1].end), document.content, document.terminator]
        return concatenate(parts)

    @property
    def interpreter(self) -> str:
        """What runs the script instead of the shell: what follows `#!` in a here-document that stands alone."""
        if not self._alone:
            return ""
        first = self.heredocs[0].data.text.split("\n", 1)[0]
        return first[2:].strip() if first.startswith("#!") else ""

    @property
    def _alone(self) -> bool:
        found = _ALONE.match(self.body.text) if len(self.heredocs) == 1 else None
        # What follows is one word, in quotes or not; so `<<EOF cat` is a command.
        return found is not None and len(words(found[1], {}, mode=Mode(unset=True))) == 1


class Directive(msgspec.Struct, frozen=True):
    """`# name=value` at the top of the file; `name` is in lower case."""

    name: str
    value: Joined


class Dockerfile(msgspec.Struct, frozen=True, kw_only=True):
    """A Dockerfile. `escape` is what continues a line. `findings` are the parts that BuildKit refuses."""

    source: Source
    instructions: tuple[Instruction, ...]
    directives: tuple[Directive, ...] = ()
    escape: str = "\\"
    findings: tuple[Finding, ...] = ()

    @property
    def syntax(self) -> str:
        """The image that reads the file, by `# syntax=`; empty for what the builder has."""
        return next((one.value.text.split(" ", 1)[0] for one in self.directives if one.name == "syntax"), "")


def without_tabs(text: Joined) -> Joined:
    """The text without the tabs that begin its lines."""
    kept: list[Joined] = []
    at = 0
    for tabs in _TABS.finditer(text.text):
        kept.append(text.piece(at, tabs.start()))
        at = tabs.end()
    return concatenate([*kept, text.piece(at, len(text.text))])


def _line_break(at: int) -> Joined:
    """A line break that the source does not have."""
    return Joined("\n", (Run(0, at, at),))
