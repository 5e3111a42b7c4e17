"""Running one hook in the building system: no network, nothing of this machine, and an end to everything it starts.

The root is read-only. What may be written lies in a folder of ours and goes with it: the copy of the source, the
result, a home, /tmp and /dev/shm. Memory, processes, time and disk are watched from outside, since only root could
set limits for all processes together; each process has limits of its own besides.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from seatrial.engine.identity import descendants
from seatrial.errors import SeatrialError
from seatrial.images import runtime
from seatrial.images.building import hook as hook_program
from seatrial.images.runtimes.probe import refused
from seatrial.processes import proportional, resident

if TYPE_CHECKING:
    from collections.abc import Mapping

    from seatrial.images.building.model import Limits, System

# The same for every build: paths end up in compiled files.
INSIDE = "/build"
_USER = "1000:1000"
_FILE_LIMIT = 16 << 30
_LARGEST_RESULT = 4 << 20
_RESERVE = 512 << 20
_SCRATCH = 64 << 20
_STEP = 0.05
_LOOK = 0.5


class Bench(NamedTuple):
    """Where one build works: `source`, `out`, `home`, `tmp`, `shm` are written to, `env` is read; `log` takes all output."""

    folder: Path
    log: Path

    @property
    def source(self) -> Path:
        return self.folder / "src"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def env(self) -> Path:
        return self.folder / "env"


class StoppedError(SeatrialError):
    """The build took more than it may, and was ended."""


class Failed(NamedTuple):
    """A hook that did not return: its exit code, and why the backend is none, if that was it."""

    code: int
    unfit: str = ""


class Answer(NamedTuple):
    """What the hook returned, and the names of processes that it left behind, which were ended."""

    returned: Any
    left: tuple[str, ...] = ()


def bench(folder: Path, log: Path) -> Bench:
    """Make the folders of a build in the empty `folder`; `source` and `env` are made by those who fill them."""
    for name in ("out", "home", "tmp", "shm", "answer"):
        (folder / name).mkdir(mode=0o755)
    return Bench(folder, log)


def call(
    system: System, place: Bench, hook: str, backend: tuple[str, tuple[str, ...]], subfolder: str,
    env: Mapping[str, str], limits: Limits,
) -> Answer | Failed:  # fmt: skip
    """Call `hook` ("requires" or "wheel") of `backend` (its name and its `backend-path`) in the sandbox.

    Raises:
        StoppedError: it took too long, or too much memory, disk or processes.
        MissingToolError: bwrap is missing or may not make namespaces.
    """
    name, path = backend
    request = {
        "hook": hook, "backend": name, "backend_path": list(path), "out": f"{INSIDE}/out",
        "result": f"{INSIDE}/answer/{hook}.json", "limits": {"processes": limits.processes, "file": _FILE_LIMIT},
    }  # fmt: skip
    command = [f"{INSIDE}/env/bin/python", f"{INSIDE}/hook.py", json.dumps(request)]
    launch = _launch(place, f"{INSIDE}/src/{subfolder}".rstrip("/"), env, limits)
    with place.log.open("ab") as log:
        before = log.tell()
        with runtime.start(
            system.root, command, launch, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        ) as process:
            _Watch(process, place, limits, before).wait()
    if process.returncode == runtime.CANNOT_START:
        said = _tail(place.log, before)
        if said.startswith("seatrial: "):
            raise refused(said.splitlines()[0].removeprefix("seatrial: "))
    return _answer(place.folder / "answer" / f"{hook}.json", process.returncode)


def memory_limit(limits: Limits) -> int:
    """Bytes that a build may have: what `limits` says, else nine tenths of this machine's memory."""
    return limits.memory or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * 9 // 10


def _launch(place: Bench, workdir: str, env: Mapping[str, str], limits: Limits) -> runtime.Launch:
    binds = [
        runtime.Bind(str(place.source), f"{INSIDE}/src", read_only=False),
        runtime.Bind(str(place.out), f"{INSIDE}/out", read_only=False),
        runtime.Bind(str(place.folder / "home"), f"{INSIDE}/home", read_only=False),
        runtime.Bind(str(place.folder / "answer"), f"{INSIDE}/answer", read_only=False),
        runtime.Bind(str(place.folder / "tmp"), "/tmp", read_only=False),  # noqa: S108 - inside
        runtime.Bind(str(place.folder / "shm"), "/dev/shm", read_only=False),  # noqa: S108 - inside
        runtime.Bind(str(place.env), f"{INSIDE}/env"),
        runtime.Bind(str(Path(hook_program.__file__)), f"{INSIDE}/hook.py"),
    ]
    return runtime.Launch(
        env=dict(env), user=_USER, workdir=workdir, entrypoint=(), binds=tuple(binds), network="none",
        read_only=True, memory=memory_limit(limits), scratch=_SCRATCH, host_settings=False,
    )  # fmt: skip


def _answer(path: Path, code: int) -> Answer | Failed:
    """What the program in the sandbox wrote; it may have written anything."""
    try:
        content = read_plain(path, _LARGEST_RESULT)
        found = msgspec.json.decode(content)
    except (OSError, msgspec.MsgspecError, SeatrialError):
        return Failed(code or 1)
    if not isinstance(found, dict):
        return Failed(code or 1)
    if "unfit" in found:
        return Failed(code or 1, str(found["unfit"])[:500])
    if code != 0:
        return Failed(code)
    left = found.get("left")
    return Answer(
        found.get("returned"), tuple(str(one)[:40] for one in left) if isinstance(left, list) else ()
    )


def read_plain(path: Path, limit: int) -> bytes:
    """The content of a file that a build wrote: never through a link, never of a pipe.

    Raises:
        SeatrialError: it is no plain file, or larger than `limit` bytes.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
            raise SeatrialError(f"{path.name} is no plain file of at most {limit} bytes")
        return stream.read(limit)


def _tail(log: Path, start: int) -> str:
    with log.open("rb") as stream:
        stream.seek(start)
        return stream.read(4096).decode("utf-8", "replace")


class _Watch:
    """Looks at a running build until it ends, and ends it when it takes too much."""

    def __init__(
        self, process: subprocess.Popen[bytes], place: Bench, limits: Limits, log_start: int
    ) -> None:
        self._process, self._place, self._limits, self._log_start = process, place, limits, log_start
        self._memory = memory_limit(limits)
        self._begun = time.monotonic()
        free = os.statvfs(place.folder)
        self._free, self._nodes = free.f_bavail * free.f_frsize, free.f_ffree
        self._counted = time.monotonic()
        self._cost = 0.0

    def wait(self) -> None:
        looked = 0.0
        while True:
            try:
                self._process.wait(_STEP)
            except subprocess.TimeoutExpired:
                now = time.monotonic()
                self._check_time(now)
                self._check_disk(now)
                if now - looked >= _LOOK:
                    self._check_processes()
                    looked = now
            else:
                self._count_disk()
                return

    def _check_time(self, now: float) -> None:
        if now - self._begun > self._limits.seconds:
            more = (
                "allow it more time (`build: {timeout: …}`, in seconds), or choose a version that has a wheel"
            )
            raise _stopped(f"it did not finish in {self._limits.seconds:g} s", more)

    def _check_disk(self, now: float) -> None:
        """The file system tells in no time that much was written; counting then tells by whom."""
        log = self._place.log.stat().st_size - self._log_start
        if log > self._limits.log:
            raise _stopped(f"it printed more than {self._limits.log >> 20} MiB")
        free = os.statvfs(self._place.folder)
        left = free.f_bavail * free.f_frsize
        if left < min(_RESERVE, self._free // 2):
            raise _stopped(f"it filled the disk: {left >> 20} MiB are free where the cache lies")
        written = (
            self._free - left > self._limits.disk // 2 or self._nodes - free.f_ffree > self._limits.files // 2
        )
        if now - self._counted > (max(_LOOK, 4 * self._cost) if written else max(10.0, 20 * self._cost)):
            self._count_disk()

    def _count_disk(self) -> None:
        begun = time.monotonic()
        size, files = _usage(self._place.folder)
        self._counted = time.monotonic()
        self._cost = self._counted - begun
        if size > self._limits.disk:
            raise _stopped(f"it wrote more than {self._limits.disk >> 20} MiB")
        if files > self._limits.files:
            raise _stopped(f"it made more than {self._limits.files} files")

    def _check_processes(self) -> None:
        found = descendants(self._process.pid)
        if len(found) > self._limits.processes:
            raise _stopped(f"it started more than {self._limits.processes} processes")
        memory = sum(resident(pid) for pid in found)
        if memory > self._memory:
            # Shared pages were counted once for each process; ask for each one's own part before judging.
            memory = sum(proportional(pid) for pid in found)
        memory += _in_devices(found)
        if memory > self._memory:
            raise _stopped(f"it took more than {self._memory >> 20} MiB of memory")


def _stopped(
    why: str, fix: str = "choose a version that has a wheel, or build on a larger machine"
) -> StoppedError:
    return StoppedError("the build was ended", why=why, fix=fix)


def _usage(folder: Path) -> tuple[int, int]:
    """Bytes on disk and number of files below a folder that others change meanwhile."""
    size = count = 0
    waiting = [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as listed:
                for entry in listed:
                    count += 1
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    size += entry.stat(follow_symlinks=False).st_blocks * 512
        except OSError:
            continue
    return size, count


def _in_devices(pids: list[int]) -> int:
    """Bytes of files in the sandbox's /dev, which lies in memory."""
    for pid in reversed(pids):
        try:
            used = os.statvfs(f"/proc/{pid}/root/dev")
            own = os.stat(f"/proc/{pid}/root/dev").st_dev != os.stat("/dev").st_dev  # noqa: PTH116 - often
        except OSError:
            continue
        if own:
            return (used.f_blocks - used.f_bfree) * used.f_frsize
    return 0
