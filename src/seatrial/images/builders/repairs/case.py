"""A failed build as actions see it, and what they answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from seatrial.images.builders.repairs.project import Change, Project  # noqa: TC001 - msgspec reads the annotations

if TYPE_CHECKING:
    from seatrial.diagnosis.model import Cause
    from seatrial.sources.dockerfile_model import Dockerfile, Instruction


class Fix(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be changed, in one sentence, and the files after it.

    `cause` is what the fix shows to be the cause, where the log alone was vague.
    """

    title: str
    changes: tuple[Change, ...]
    cause: str = ""


class Case(NamedTuple):
    """`failed` is the instruction that failed, None when the file could not be read at all; `log` is all that was said."""

    project: Project
    dockerfile: Dockerfile
    cause: Cause
    failed: Instruction | None
    log: str

    @property
    def evidence(self) -> str:
        """The line that told the cause, and the other lines that told the same."""
        return "\n".join([self.cause.evidence.text, *(one.text for one in self.cause.others)])

    def captured(self, name: str) -> str:
        """What the signature found under a name; empty when it found nothing."""
        return self.cause.captures.get(name, "")
