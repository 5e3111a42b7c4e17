"""What runs inside a step's process: a program, or a Python function with its context."""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from seatrial.clock import SystemClock
from seatrial.engine import ledger, points
from seatrial.errors import SeatrialError, from_os
from seatrial.files import write_atomic

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.clock import Clock
    from seatrial.engine.journal import Journal
    from seatrial.engine.launch import Launch

NOT_STARTED = 127


class Told(SeatrialError):  # noqa: N818 - says how it is shown, not what went wrong
    """An error that the step's log tells of already: it becomes the step's error and is not printed again."""


class Context:
    """What a step's function may use: where it is, what time it is, and the ledger.

    `work` is the run's folder for trees, `folder` the attempt's own. `secrets` maps names to values.
    """

    def __init__(self, launch: Launch) -> None:
        from seatrial.engine.journal import Journal

        self.run = launch.run
        self.step = launch.step
        self.attempt = launch.attempt
        self.folder = launch.folder
        self.secrets = launch.secrets
        self.clock: Clock = SystemClock()
        self.journal: Journal = Journal(launch.home)
        self.work = self.journal.folder(launch.run) / "work"
        self.artifacts: list[dict[str, Any]] = []

    def tree(self, name: str) -> Path:
        """Make the folder `work/NAME`, in the ledger first; teardown removes it."""
        self.own("tree", name, {})
        place = self.work / name
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        return place

    def own(self, kind: str, name: str, data: dict[str, Any]) -> None:
        """Write into the ledger that `kind` `name` is about to be created.

        Raises:
            SeatrialError: the attempt is over; nothing may be created.
        """
        ledger.intend(self.journal, self.run, self.step, self.attempt, kind, name, data, self.clock.now())

    def reach(self, point: str) -> None:
        """Pass a named crash point."""
        points.reach(point)

    def say(self, text: str) -> None:
        """One line of progress, into the step's log."""
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def artifact(self, name: str, path: Path) -> None:
        """Name a file or folder that this step has made, so that a cached result can be checked for it."""
        self.artifacts.append({"name": name, "path": str(path), "size": _size(path)})


def program(launch: Launch) -> int:
    """What the innermost process runs; returns the exit code."""
    kind = launch.what["type"]
    points.adopt(0, str(launch.folder / "crash"))
    # The steps of one attempt, however deep, can be found by this again.
    os.environ["SEATRIAL_TOKEN"] = launch.token
    os.environ["SEATRIAL_RUN"] = launch.run
    if kind in ("command", "service"):
        return _execute(launch)
    sys.stdout = open(1, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _leave)
    try:
        _write(launch.folder / "result.json", _call(launch))
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1
    except BaseException as error:  # noqa: BLE001 - whatever it is becomes the step's error
        # A SeatrialError says everything itself; anything else is a fault of ours and needs its traceback.
        known = from_os(error) if isinstance(error, OSError) else error
        text = str(known) if isinstance(known, SeatrialError) else traceback.format_exc()
        if not isinstance(error, Told):
            sys.stderr.write(text + "\n")
        with suppress(SeatrialError):  # where the disk is full, the end of stderr must do
            _write(launch.folder / "result.json", {"error": text})
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def _leave(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


def _call(launch: Launch) -> dict[str, Any]:
    context = Context(launch)
    try:
        if launch.what["type"] == "teardown":
            removed = ledger.release(context.journal, launch.run, context.clock, say=context.say)
            return {"outputs": {"removed": removed}}
        module, _, name = launch.what["target"].partition(":")
        function = getattr(importlib.import_module(module), name)
        outputs = function(context, **launch.what["inputs"])
        return {"outputs": outputs or {}, "artifacts": context.artifacts}
    finally:
        context.journal.close()


def _execute(launch: Launch) -> int:
    what = launch.what
    environment = {str(k): str(v) for k, v in (what["env"] or {}).items()} | launch.secrets
    argv = [str(item) for item in what["argv"]]
    try:
        if what["cwd"]:
            os.chdir(what["cwd"])
        os.execvpe(argv[0], argv, os.environ | environment)  # noqa: S606 - there is no shell on purpose
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
        return NOT_STARTED


def _write(path: Path, value: dict[str, Any]) -> None:
    write_atomic(path, json.dumps(value, default=str), mode=0o600)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1
