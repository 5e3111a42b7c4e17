"""Programs of another processor: which emulator there is, and how the kernel is told of it.

Source: qemu-user documentation; Documentation/admin-guide/binfmt-misc.rst.
"""

from __future__ import annotations

import platform
import shutil
from pathlib import Path

from seatrial.errors import MissingToolError
from seatrial.images.target import parse_platform

_MACHINES = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_PROGRAMS = {"amd64": "qemu-x86_64", "arm64": "qemu-aarch64"}
# Bytes of an ELF header that tell the processor, and which of their bits count. Source: qemu-binfmt-conf.sh.
_MAGIC = {
    "arm64": ("7f454c460201010000000000000000000200b700", "ffffffffffffff00fffffffffffffffffeffffff"),
    "amd64": ("7f454c4602010100000000000000000002003e00", "fffffffffffefe00fffffffffffffffffeffffff"),
}
_TABLE = Path("/proc/sys/fs/binfmt_misc")


def architecture() -> str:
    """The processor of this machine as OCI names it; its own name where images are not made for it."""
    machine = platform.machine()
    return _MACHINES.get(machine, machine)


def is_foreign(platform: str) -> bool:
    """Whether programs of `linux/…` do not run here by themselves."""
    return parse_platform(platform) != architecture()


def emulator(platform: str) -> str:
    """The emulator for a platform that needs no library, so that it runs in any root; empty when there is none."""
    name = _PROGRAMS[parse_platform(platform)]
    for program in (f"{name}-static", name):
        path = shutil.which(program)
        if path and _is_static(Path(path)):
            return str(Path(path).resolve())
    return ""


def registrations(platform: str) -> list[str]:
    """Lines for the kernel's table, so that it starts programs of `platform`; none where it runs them already.

    Kernels before 6.7 have one table only, in which an emulator may be registered already. `F` opens it now, so
    that roots need not have it; `C` lets set-user-id programs keep their rights.

    Raises:
        MissingToolError: there is no emulator.
    """
    if not is_foreign(platform):
        return []
    wanted = parse_platform(platform)
    if any(text.startswith("enabled") and "F" in _flags(text) for text in _registered(wanted)):
        return []
    program = emulator(platform)
    if not program:
        raise missing(platform)
    magic, mask = (_escaped(text) for text in _MAGIC[wanted])
    return [f":seatrial-{wanted}:M::{magic}:{mask}:{program}:FC"]


def refused(why: str) -> MissingToolError:
    """The error where the kernel has no table of processors for a namespace."""
    return MissingToolError(
        "this machine cannot start programs of another processor for a namespace alone", why=why,
        fix="use Linux 6.7 or newer, or register the emulator for the whole machine: install qemu-user-static and binfmt-support",
    )  # fmt: skip


def missing(platform: str) -> MissingToolError:
    """The error where programs of `platform` cannot run."""
    return MissingToolError(
        f"programs for {platform} cannot run on this machine",
        why=f"its processor is {architecture()}, and there is no {_PROGRAMS[parse_platform(platform)]}-static",
        fix="install qemu-user-static (`seatrial doctor`)",
    )


def _registered(wanted: str) -> list[str]:
    """Entries that this machine has for the processor."""
    try:
        texts = [p.read_text() for p in _TABLE.iterdir() if p.name not in ("register", "status")]
    except OSError:
        return []
    return [text for text in texts if f"magic {_MAGIC[wanted][0]}" in text]


def _flags(text: str) -> str:
    return next((line.partition(":")[2] for line in text.splitlines() if line.startswith("flags:")), "")


def _escaped(digits: str) -> str:
    return "".join(f"\\x{digits[at : at + 2]}" for at in range(0, len(digits), 2))


def _is_static(path: Path) -> bool:
    """Whether an ELF program asks for no loader (no program header PT_INTERP)."""
    with path.open("rb") as stream:
        head = stream.read(64)
        if head[:5] != b"\x7fELF\x02":
            return False
        start = int.from_bytes(head[32:40], "little")
        size, count = int.from_bytes(head[54:56], "little"), int.from_bytes(head[56:58], "little")
        stream.seek(start)
        table = stream.read(size * count)
    return all(int.from_bytes(table[at : at + 4], "little") != 3 for at in range(0, len(table), size))  # noqa: PLR2004 - PT_INTERP
