"""What this machine lets us do: found out by doing it, once for each boot and user."""

from __future__ import annotations

import os
import platform
import stat
from pathlib import Path

import msgspec

from seatrial import processes
from seatrial.errors import MissingToolError, SeatrialError
from seatrial.files import write_atomic
from seatrial.images.rootfs import OPAQUE, scratch, store
from seatrial.images.runtimes.launch import Entry, entered


class Support(msgspec.Struct, frozen=True):
    """`namespaces`: bwrap starts programs in namespaces of the launcher's. `overlay`: layers can be mounted there.

    `why` is the first refusal's own words, empty when all works.
    """

    namespaces: bool
    overlay: bool
    why: str = ""


def support(*, fresh: bool = False) -> Support:
    """Start a program in namespaces, on an overlay and without, and say what worked.

    The answer is kept in the store for this boot, user and bwrap; `fresh` asks again.

    Raises:
        MissingToolError: there is no bwrap.
    """
    bwrap = processes.find("bwrap")
    place = store()
    record = place / "support.json"
    key = f"{_boot()} {os.geteuid()} {platform.release()} {bwrap} {Path(bwrap).stat().st_mtime_ns}"
    if not fresh:
        try:
            known_key, known = msgspec.json.decode(record.read_bytes(), type=tuple[str, Support])
            if known_key == key:
                return known
        except (OSError, msgspec.MsgspecError):
            pass
    answer = _ask(place, bwrap)
    write_atomic(record, msgspec.json.encode((key, answer)))
    return answer


def required() -> Support:
    """The same for those who cannot go on without namespaces.

    Raises:
        MissingToolError: bwrap is missing or may not make namespaces.
    """
    answer = support()
    if not answer.namespaces:
        answer = support(fresh=True)
    if not answer.namespaces:
        raise refused(answer.why)
    return answer


def refused(why: str) -> MissingToolError:
    """The error for a machine on which programs in images cannot be started."""
    return MissingToolError(
        "this machine does not let Seatrial start a program in an image",
        why=why,
        fix="allow user namespaces for bwrap (Ubuntu: an AppArmor profile); `seatrial doctor` tries it again",
    )


def _ask(place: Path, bwrap: str) -> Support:
    why = _try(place, bwrap, overlay=True)
    if not why:
        return Support(namespaces=True, overlay=True)
    without = _try(place, bwrap, overlay=False)
    return Support(namespaces=not without, overlay=False, why=without or why)


def _try(place: Path, bwrap: str, *, overlay: bool) -> str:
    """Why it does not work; empty when it does."""
    with scratch("probe") as folder:
        low = folder / "low"
        low.mkdir()
        try:
            if overlay:
                os.mknod(low / "whiteout", stat.S_IFCHR | 0o600, os.makedev(0, 0))
                os.setxattr(low, OPAQUE, b"y")
        except OSError as error:
            return f"{place}: whiteouts: {error.strerror}"
        entry = Entry(
            layers=str(folder),
            lower="low" if overlay else "",
            mount=f"{place}/mnt",
            args_fd="0",
            network="none",
        )
        line = [*entered(entry), bwrap, "--ro-bind", "/", "/", "--unshare-pid", "--as-pid-1"]
        line += ["--proc", "/proc", "--dev", "/dev", "--", "true"]
        try:
            done = processes.run(line, env={**os.environ, "SEATRIAL_PARENT": str(os.getpid())}, timeout=30)
        except SeatrialError as error:
            return error.what
    return "" if done.code == 0 else (done.stderr.strip().splitlines() or [f"exit code {done.code}"])[0]


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
