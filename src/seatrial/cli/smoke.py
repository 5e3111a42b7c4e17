"""What people read of the short test that an image has after it was made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.cli.common import note

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.images.testing.smoke import Smoke

_SHOWN = 5


def tell_smoke(tried: Smoke, place: Path, *, delivered_elsewhere: bool = False) -> None:
    """Say what came of it, and end with exit code 1 when the image does not work.

    Raises:
        SeatrialError: the image does not work; the first reason and what to do about it.
    """
    from seatrial.errors import SeatrialError

    for line in tried.left_out:
        note(f"smoke test left out: {line}")
    for line in tried.warnings:
        note(f"smoke test: not counted, since it may need a GPU: {line}")
    if tried.status == "fail":
        first, *others = [check for check in tried.checks if check.status == "fail"]
        for check in others[:_SHOWN]:
            note(f"FAIL {check.id}: {check.message}")
        kept = f"the image stays in {place}" + (" and went nowhere else" if delivered_elsewhere else "")
        raise SeatrialError(
            f"the image does not work: {first.message}",
            why=f"its smoke test failed; {kept}",
            fix=f"{first.fix}; `seatrial image test {place}` says more, --no-smoke leaves the test out",
        )
    if tried.status == "pass":
        note(
            f"smoke test passed (as on {tried.ran[:16]}Z)"
            if tried.ran
            else f"smoke test passed in {tried.seconds:.1f} s"
        )
