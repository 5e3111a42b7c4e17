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

    try:
        run()
    except SystemExit as ended:
        _leave(ended)


def _leave(ended: SystemExit) -> None:
    """End without taking the interpreter apart, which costs 40 ms after a command that has imported much."""
    import atexit
    import os
    import threading

    if threading.active_count() > 1 or not isinstance(ended.code, int):
        raise ended
    atexit._run_exitfuncs()  # noqa: SLF001 - as the interpreter does; there is no other name for it
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # nobody reads it any more
            continue
    os._exit(ended.code)
