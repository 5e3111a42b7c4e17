"""What an event of a deployment says when it is over: a code, a script, a message and the end of the scripts' log.

Source: the agent's ScriptError, and LifecycleErrorCode of CodeDeploy's API for the codes' names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from seatrial.engine.call import Told

if TYPE_CHECKING:
    from collections.abc import Sequence

OK, MISSING, NOT_EXECUTABLE, TIMED_OUT, FAILED, UNKNOWN, LEFT_OPEN, AFTER_RESTART = range(8)
NAMES = (
    "Success",
    "ScriptMissing",
    "ScriptNotExecutable",
    "ScriptTimedOut",
    "ScriptFailed",
    "UnknownError",
    "OutputsLeftOpen",
    "FailedAfterRestart",
)
_TAIL = 2048
"""Characters of the log that diagnostics hold, in whole entries."""


class Diagnostics(msgspec.Struct, frozen=True):
    """How an event ended. `error_code` is a number as above; `log` is the end of what its scripts said.

    `why` and `fix` are ours: what is behind the message, and what to do.
    """

    error_code: int = OK
    script_name: str = ""
    message: str = "Succeeded"
    log: str = ""
    why: str = ""
    fix: str = ""


class Failed(Told):
    """An event that failed, with its diagnostics."""

    def __init__(self, diagnostics: Diagnostics) -> None:
        super().__init__(diagnostics.message, why=diagnostics.why or None, fix=diagnostics.fix or None)
        self.diagnostics = diagnostics

    def __reduce__(self) -> tuple[object, ...]:
        return (Failed, (self.diagnostics,))


def unknown(message: str, *, why: str | None = None, fix: str | None = None) -> Failed:
    """A failure that is no script's."""
    return Failed(Diagnostics(UNKNOWN, "", message, "", why or "", fix or ""))


def tail(entries: Sequence[str]) -> str:
    """The last entries that together have fewer than 2048 characters."""
    kept: list[str] = []
    left = _TAIL
    for entry in reversed(entries):
        left -= len(entry)
        if left <= 0:
            break
        kept.append(entry)
    return "".join(reversed(kept))
