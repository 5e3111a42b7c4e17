"""Ask a URL once: exit code 0 when it answers 2xx. Run where the asking is to be done."""

from __future__ import annotations

import sys

_PATIENCE = 5.0


def main(url: str) -> int:
    """0 when `url` answers with a status from 200 to 299."""
    from seatrial.clock import SystemClock
    from seatrial.errors import SeatrialError
    from seatrial.transport import Retry, connect, send

    try:
        with connect(clock=SystemClock(), retry=Retry(attempts=1), timeout=_PATIENCE) as link:
            status = send(link, "GET", url, limit=1 << 20).status_code
    except SeatrialError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stderr.write(f"{url}: {status}\n")
    return 0 if status // 100 == 2 else 1  # noqa: PLR2004 - the class of answers that are good


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
