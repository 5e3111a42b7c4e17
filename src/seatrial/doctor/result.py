"""One answer of the doctor."""

from __future__ import annotations

from typing import Literal

import msgspec

Status = Literal["ok", "missing", "broken", "limited"]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What trying showed. `get` is the command that puts it right, in place of the check's own one.

    ok: it was started and works. missing: it is not here. broken: it is here and does not work. limited: it
    works, with something less.
    """

    status: Status
    version: str = ""
    detail: str = ""
    get: str = ""


def ok(version: str = "", detail: str = "") -> Answer:
    return Answer(status="ok", version=version, detail=detail)
