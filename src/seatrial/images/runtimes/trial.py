"""Find out what a backend can do here, by running a tiny image in it that is made on the spot."""

from __future__ import annotations

import io
import platform
import secrets
import struct
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from seatrial.errors import SeatrialError
from seatrial.images import layout as oci
from seatrial.images import runtime, unpack
from seatrial.images.runtime import Launch

if TYPE_CHECKING:
    from seatrial.images.runtime import Backend, Root

EXIT = 42
# exit_group(42): Linux system call tables, x86 entry 231 and the generic entry 94.
_CODE = {
    "x86_64": (62, bytes.fromhex("bf2a000000b8e70000000f05")),
    "aarch64": (183, bytes.fromhex("400580d2c80b80d2010000d4")),
}
_ADDRESS, _HEADERS = 0x400000, 120
_PATIENCE = 60.0
_MEMORY = 64 << 20


class Trial(msgspec.Struct, frozen=True):
    """`why` it does not start programs, empty when it does; `cannot` is what else it cannot do, a phrase each."""

    why: str = ""
    cannot: tuple[str, ...] = ()


def trial(backend: Backend) -> Trial:
    """Run programs as root, as another user, and with limits; nothing of it stays.

    Raises:
        MissingToolError: the backend is not here, or does not answer.
        SeatrialError: nothing is known to run on this processor.
    """
    with tempfile.TemporaryDirectory(prefix="seatrial-trial-") as folder:
        root = _image(Path(folder))
        try:
            why = _why(root, Launch(network="none", read_only=True), backend)
            return Trial(why) if why else Trial("", tuple(_cannot(root, backend)))
        finally:
            for layer in root.layers:
                unpack.remove(layer)


def _cannot(root: Root, backend: Backend) -> list[str]:
    found = []
    for what, launch in (
        ("run a user other than root", Launch(network="none", user="1000:1000")),
        ("put a process 1 before the program", Launch(network="none", init=True)),
        ("limit memory", Launch(network="none", total_memory=_MEMORY)),
        ("limit processors", Launch(network="none", cpus=0.5)),
    ):
        said = runtime.remarks(launch, backend)
        why = said[0].rpartition(": ")[2] if said else _why(root, launch, backend)
        if why:
            found.append(f"{what} ({why})")
    return found


def _why(root: Root, launch: Launch, backend: Backend) -> str:
    """Why it did not end as it must; empty when it did."""
    try:
        done = runtime.run(root, [], launch, timeout=_PATIENCE, backend=backend)
    except SeatrialError as error:
        return error.why or error.what
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    # An engine may say that it leaves out a limit, and go on.
    if done.code == EXIT and "not supported" not in done.stderr:
        return ""
    return lines[-1].strip()[:300] if lines else f"exit code {done.code}"


def _image(layout: Path) -> Root:
    machine = platform.machine()
    if machine not in _CODE:
        raise SeatrialError(f"there is no program to try on {machine}")
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        content = _program(*_CODE[machine])
        # A layer of its own for each trial: another one removes its own while this one runs.
        unique = f"trial-{secrets.token_hex(8)}"
        for name, kind in (("tmp", tarfile.DIRTYPE), (unique, tarfile.DIRTYPE), ("trial", tarfile.REGTYPE)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = kind, 0o755
            entry.size = len(content) if kind == tarfile.REGTYPE else 0
            archive.addfile(entry, io.BytesIO(content))
    oci.create(layout)
    layer = oci.add_blob(layout, stream.getvalue(), "application/vnd.oci.image.layer.v1.tar")
    config = {
        "architecture": "amd64" if machine == "x86_64" else "arm64",
        "os": "linux",
        "config": {"Entrypoint": ["/trial"]},
        "rootfs": {"type": "layers", "diff_ids": [layer.digest]},
    }
    about = oci.add_blob(layout, oci.encode(config), oci.CONFIG)
    manifest = oci.add_blob(layout, oci.encode(oci.Manifest(config=about, layers=(layer,))), oci.MANIFEST)
    oci.set_index(layout, oci.Index(manifests=(manifest,)))
    return runtime.prepare(layout, manifest.digest)


def _program(machine: int, code: bytes) -> bytes:
    """A whole static program: an ELF header, one segment, and the code. Source: elf(5)."""
    size = _HEADERS + len(code)
    start = struct.pack("<4s5B7xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 0, 0, 2, machine, 1,
                        _ADDRESS + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0)  # fmt: skip
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _ADDRESS, _ADDRESS, size, size, 0x1000)
    return start + segment + code
