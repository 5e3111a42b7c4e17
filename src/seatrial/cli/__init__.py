"""The command line. `main` is the entry point; commands are imported when they are called."""

from __future__ import annotations

import sys


def main() -> None:
    """Run `seatrial` with the arguments of this process and exit."""
    if sys.argv[1:] in (["--version"], ["-V"]):  # answered before click is imported: 80 ms are the budget
        from seatrial import __version__

        sys.stdout.write(f"seatrial {__version__}\n")
        raise SystemExit(0)
    from seatrial.cli.root import run

    run()
