"""Steps by their instructions in the user's Dockerfile: a builder prints those of the copy that it was given."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from seatrial.images.builders.passing import INSIDE
from seatrial.sources.dockerfile import read
from seatrial.sources.text import Source

if TYPE_CHECKING:
    from seatrial.images.builders.model import Step

_MOUNT = re.compile(r" ?--mount=type=secret,id=seatrial-[\w.-]+,\S+")
_NEAR = 60


class _Known(NamedTuple):
    """An instruction: as the builder may print it (without blanks), as the user wrote it, and where."""

    printed: str
    written: str
    line: int
    number: int


class Naming:
    """Tells which instruction of `source` a step of the build of `prepared` is."""

    def __init__(self, source: Source, prepared: str) -> None:
        given = read(Source(source.path, prepared)).instructions
        self._ours = {
            _tight(prepared[one.start : one.end])
            for one in given
            if one.keyword == "ARG" and INSIDE in one.body.text
        }
        theirs = [one for one in given if _tight(prepared[one.start : one.end]) not in self._ours]
        asked = read(source).instructions
        self._known = [
            _Known(
                _tight(_MOUNT.sub("", prepared[copy.start : copy.end])),
                one_line(source.text[one.start : one.end]),
                source.position(one.start)[0],
                number,
            )
            for number, (one, copy) in enumerate(zip(asked, theirs, strict=False), 1)
        ]
        self._total = len(asked)
        self._taken: dict[int, _Known] = {}

    def named(self, step: Step, at: int) -> Step | None:
        """The step with the user's words and line; None for what was added to the copy. `at` is its place in the log."""
        printed = _tight(_MOUNT.sub("", step.instruction))
        if printed in self._ours or (printed.startswith("ARG") and INSIDE in printed):
            return None
        known = self._taken.get(at) or self._find(printed)
        if known is None:
            return msgspec.structs.replace(step, instruction=_MOUNT.sub("", step.instruction))
        self._taken[at] = known
        return msgspec.structs.replace(
            step, instruction=known.written, line=known.line, number=known.number, total=self._total
        )

    def ours(self, said: str) -> bool:
        """Whether a line tells of an instruction that was added."""
        return (
            INSIDE in said
            and re.match(r"(?:(?:\[\d+/\d+\] )?S(?:TEP|tep) \d+/\d+ ?: )?ARG ", said) is not None
        )

    def plain(self, said: str) -> str:
        """A line without mounts that were added."""
        return _MOUNT.sub("", said)

    def _find(self, printed: str) -> _Known | None:
        """The same text that no other step has; else one that begins alike: BuildKit puts values for variables."""
        used = {one.number for one in self._taken.values()}
        same = [one for one in self._known if one.printed == printed]
        near = [
            one
            for one in self._known
            if one.printed.startswith(printed[:_NEAR]) or _like(one.printed, printed)
        ]
        free = [one for one in (*same, *near) if one.number not in used]
        return next(iter(free or same or near), None)


def _like(written: str, printed: str) -> bool:
    """Whether the text before the first variable is the same."""
    head = written.partition("$")[0]
    return len(head) < len(written) and len(head) > len("COPY") and printed.startswith(head)


def one_line(text: str) -> str:
    """An instruction on one line, a here-document by its first."""
    joined = re.sub(r"[\\`]\s*\n\s*", " ", text)
    return " ".join(joined.split("\n", 1)[0].split())


def _tight(text: str) -> str:
    return re.sub(r"[\\`]\s*\n|\s+", "", text)
