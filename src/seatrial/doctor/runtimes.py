"""The programs that run images, each with an image made for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.doctor.programs import version
from seatrial.doctor.result import Answer, ok
from seatrial.errors import MissingToolError

if TYPE_CHECKING:
    from seatrial.images.runtime import Backend


def backend(name: Backend) -> Answer:
    """Start a tiny image, and say what of users and limits works."""
    from seatrial.images.runtimes.trial import trial

    said = version(name)
    try:
        found = trial(name)
    except MissingToolError as error:
        return Answer(status="broken", version=said, detail=error.why or error.what, get=error.fix or "")
    if found.why:
        return Answer(status="broken", version=said, detail=found.why, get="use another --runtime")
    if found.cannot:
        return Answer(
            status="limited", version=said, detail=f"runs images, but cannot {'; cannot '.join(found.cannot)}",
            get="use another --runtime where you need that",
        )  # fmt: skip
    return ok(said, "ran an image as root, as another user, and with limits")
