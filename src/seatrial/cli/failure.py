"""How a command ends when it cannot go on: one message, one exit code, no traceback for the user's own slips."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from seatrial.errors import ANSWER_IS_NO, INTERRUPTED, SeatrialError, from_os

if TYPE_CHECKING:
    from seatrial.diagnosis.model import Explanation
    from seatrial.engine.journal import Journal


def explained(journal: Journal, run_id: str) -> Explanation | None:
    """Why a run failed, when that is known; nothing is loaded for one that did not."""
    if journal.run(run_id)["status"] != "failed":
        return None
    from seatrial.explaining.runs import of_failed

    return of_failed(journal, run_id)


def show_explained(why: Explanation | None) -> None:
    """Print an explanation in a few lines to stdout."""
    if why is not None:
        from seatrial.explaining.reports import brief

        sys.stdout.write(brief(why))


def report_failure(error: BaseException) -> int:
    """Print `error` to stderr as its reader needs it and return the exit code."""
    import click

    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else ANSWER_IS_NO
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, KeyboardInterrupt | click.Abort):
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    if isinstance(error, click.ClickException):
        error.show(sys.stderr)
        return error.exit_code
    if isinstance(error, OSError):
        error = from_os(error) or error
    if isinstance(error, SeatrialError):
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return _report_crash(error)


def _report_crash(error: BaseException) -> int:
    """A fault of ours: keep the details in a file that can be pasted into a report."""
    import platform
    import traceback

    from seatrial import __version__
    from seatrial.files import write_atomic
    from seatrial.paths import home

    text = "".join(traceback.format_exception(error))
    body = (
        f"seatrial {__version__}, Python {platform.python_version()}, {platform.platform()}\n"
        f"command: {sys.argv[1:2]}\n\n{text}"
    )
    try:
        place = home() / "crash.log"
        write_atomic(place, body, mode=0o600)
    except (OSError, SeatrialError):
        sys.stderr.write(text)
        return ANSWER_IS_NO
    sys.stderr.write(
        f"error: {type(error).__name__}: {error}\n"
        f"  cause: this is a fault in Seatrial, not in your files\n"
        f"  fix: please report it with {place}\n"
    )
    return ANSWER_IS_NO
