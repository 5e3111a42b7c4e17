"""Ask a URL once: exit code 0 when it answers 2xx. Run where the asking is to be done."""

from __future__ import annotations

import sys

_PATIENCE = 5.0


def main(url: str) -> int:
    """0 when `url` answers with a status from 200 to 299."""
    good, said = ask(url)
    sys.stderr.write(f"{said}\n")
    return 0 if good else 1


def ask(url: str) -> tuple[bool, str]:
    """Whether `url` answers with a status from 200 to 299, and what it said. One that does not answer is no good news."""
    from seatrial.clock import SystemClock
    from seatrial.errors import SeatrialError
    from seatrial.transport import Retry, connect, place, send

    try:
        with connect(clock=SystemClock(), retry=Retry(attempts=1), timeout=_PATIENCE) as link:
            status = send(link, "GET", url, limit=1 << 20).status_code
    except SeatrialError as error:
        return False, ": ".join(filter(None, (error.where, error.what, error.why)))
    return status // 100 == 2, f"{place(url)}: {status}"  # noqa: PLR2004 - the class of answers that are good


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
