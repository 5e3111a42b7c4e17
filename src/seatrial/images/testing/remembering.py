"""What passed once need not run again: results of checks, kept by everything that they depend on.

A result is named by the image's content, the check, the code of the suite, every setting and the content of every file
that the settings name, the lock, and how and where programs run. Only what passed as a whole is kept: what failed or
was skipped may be otherwise the next time. Security checks are never asked for here.
"""

from __future__ import annotations

import hashlib
import os
import platform
import stat
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

import seatrial
from seatrial.clock import SystemClock, iso
from seatrial.errors import SeatrialError
from seatrial.files import write_atomic
from seatrial.images.assemble.store import entry_path
from seatrial.images.testing.model import Check  # noqa: TC001 - msgspec reads the annotation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from seatrial.clock import Clock
    from seatrial.images.testing.model import TestSpec

KIND = "tests"
_S = TypeVar("_S", bound=msgspec.Struct)
# Whose code decides what a check answers, relative to the package.
_CODE = (
    "images/testing",
    "images/runtimes",
    "images/runtime.py",
    "images/rootfs.py",
    "images/unpack.py",
    "answers.py",
    "readiness.py",
)
# Above this a file is known by its size and times, since reading it would cost more than the checks.
_LARGEST = 64 << 20
_FOLDERS = frozenset({"models", "model_data"})
_ELSEWHERE = frozenset({"vulnerabilities", "reference", "folder"})


class Kept(msgspec.Struct, frozen=True):
    """The answers of one check, and when it ran (UTC)."""

    ran: str
    checks: tuple[Check, ...]


def keys(
    names: Iterable[str],
    digest: str,
    *,
    level: str,
    spec: TestSpec,
    lock: Mapping[str, str] | None,
    also: Sequence[str] = (),
) -> dict[str, str]:
    """The key of each check's result. `also` is what else decides, such as the runtime that was chosen.

    Raises:
        SeatrialError: a file that the settings name cannot be read.
    """
    settings = {name: value for name, value in msgspec.to_builtins(spec).items() if name not in _ELSEWHERE}
    common = {
        "digest": digest,
        "code": code(),
        "level": level,
        "settings": settings,
        "files": dict(_contents(settings, Path(spec.folder))),
        "lock": dict(lock) if lock is not None else None,
        "also": list(also),
        "machine": machine(),
    }
    encoded = msgspec.json.encode(common, enc_hook=str, order="deterministic")
    return {name: hashlib.sha256(encoded + b"\0" + name.encode()).hexdigest() for name in names}


def recall(key: str) -> tuple[Check, ...] | None:
    """The answers kept under `key`, each with the time at which it was found; None when there are none."""
    kept = recall_as(KIND, key, Kept)
    if kept is None:
        return None
    return tuple(msgspec.structs.replace(check, ran=kept.ran) for check in kept.checks)


def remember(key: str, checks: Sequence[Check], *, clock: Clock | None = None) -> bool:
    """Keep the answers of a check if all of them are passes; says whether it did. A full disk is no failure."""
    if not checks or any(check.status != "pass" for check in checks):
        return False
    kept = Kept(
        iso((clock or SystemClock()).now()), tuple(msgspec.structs.replace(c, ran="") for c in checks)
    )
    return remember_as(KIND, key, kept)


def recall_as(kind: str, key: str, what: type[_S]) -> _S | None:
    """What is kept under `key`; None when there is nothing that can be read."""
    place = entry_path(kind, key)
    try:
        found = msgspec.json.decode(place.read_bytes(), type=what)
        os.utime(place)  # what was used last is pruned last
    except (OSError, msgspec.MsgspecError):
        return None
    return found


def remember_as(kind: str, key: str, what: msgspec.Struct) -> bool:
    """Keep it; says whether that worked. A full disk is no failure."""
    with suppress(OSError, SeatrialError):
        write_atomic(entry_path(kind, key), msgspec.json.encode(what), mode=0o600)
        return True
    return False


def machine() -> list[str]:
    """What of this machine decides whether programs of an image run."""
    rootless = "" if os.geteuid() == 0 else "rootless"
    return [platform.machine(), platform.release(), os.environ.get("SEATRIAL_RUNTIME", ""), rootless]


@cache
def code() -> str:
    """A hash of the suite: any change of it, also one in development, asks all questions again."""
    total = hashlib.sha256(seatrial.__version__.encode())
    package = Path(seatrial.__file__).parent
    for name in _CODE:
        place = package / name
        for file in [place] if place.is_file() else sorted(place.rglob("*.py")):
            total.update(f"\0{file.relative_to(package).as_posix()}\0".encode())
            with suppress(OSError):
                total.update(file.read_bytes())
    return total.hexdigest()


def _contents(value: Any, folder: Path, *, beside: bool = False) -> Iterator[tuple[str, str]]:
    """The content of whatever the settings name that exists: a name too many costs a run too many, and no more.

    Folders count when they are in `folder`, and with `beside` when they are next to it; absolute ones are the image's.
    """
    if isinstance(value, dict):
        for name, one in value.items():
            yield from _contents(one, folder, beside=beside or name in _FOLDERS)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _contents(one, folder, beside=beside)
    elif isinstance(value, str) and value.strip("./") and "\n" not in value and "\0" not in value:
        place = folder / value
        with suppress(OSError):
            if stat.S_ISREG(place.stat().st_mode):
                yield value, _content(place)
            elif place.is_dir() and not value.startswith("/") and (beside or not value.startswith("..")):
                files = sorted(p for p in place.rglob("*") if p.is_file())
                yield (
                    value,
                    hashlib.sha256(
                        "\n".join(f"{p.relative_to(place)} {_content(p)}" for p in files).encode()
                    ).hexdigest(),
                )


def _content(place: Path) -> str:
    status = place.stat()
    if status.st_size > _LARGEST:
        return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
    with place.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
