"""A base made by mmdebstrap from a pinned list of packages: no registry, no daemon, no root.

The bytes depend on the packages alone: times are fixed, logs and caches are left out, and the standard library
is compiled so that its bytecode stays valid with fixed times.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from typing import IO, TYPE_CHECKING

import msgspec

from seatrial.errors import MissingToolError, SeatrialError
from seatrial.images import layout as oci
from seatrial.images.assemble.layer import Lane, WrittenLayer
from seatrial.images.assemble.packing import gzip_member
from seatrial.images.assemble.store import Use, publish, scratch
from seatrial.images.assemble.tar import EPOCH
from seatrial.images.system import machine, processors
from seatrial.images.system.apt import EXCLUDED
from seatrial.images.system.names import check_names
from seatrial.images.system.running import in_namespaces
from seatrial.images.system.sources import render
from seatrial.images.target import parse_platform
from seatrial.processes import find

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from seatrial.images.bases import Base
    from seatrial.images.system.sources import Source

_RECIPE = 8
# Python, certificates, and what wheels with compiled code expect from the system (OpenMP, C++).
PACKAGES = ("ca-certificates", "libgomp1", "libstdc++6", "python3")
_MIRRORS = {"debian": "http://deb.debian.org/debian", "ubuntu": "http://archive.ubuntu.com/ubuntu"}
# The first argument of a hook is the new root. No data is ever put into these lines. Nothing is removed from its
# /tmp: mmdebstrap keeps its apt configuration there, without which it would clean up this machine's apt instead.
_COMPILE = (
    'chroot "$1" env PYTHONHASHSEED=0 python3 -m compileall -q -f --invalidation-mode unchecked-hash'
    """ /usr/lib/python3 $(cd "$1" && ls -d usr/lib/python3.* | sed 's,^,/,') || true"""
)
_CLEAN = (
    'rm -rf "$1"/var/log/* "$1"/var/cache/apt/* "$1"/var/cache/debconf/*-old "$1"/var/lib/dpkg/*-old'
    ' "$1"/etc/apt/apt.conf.d/99mmdebstrap "$1"/etc/dpkg/dpkg.cfg.d/99mmdebstrap "$1"/var/cache/ldconfig'
    ' "$1"/etc/hostname "$1"/etc/resolv.conf "$1"/run/* "$1"/var/lib/apt/lists/*'
    ' "$1"/usr/share/python3/debpython/__pycache__ "$1"/etc/apt/sources.list.d/*'
)
# This machine's mirrors, and what it takes to reach them, are nobody's business in an image.
_SOURCES = 'printf "%s\\n" "$SEATRIAL_SOURCES" > "$1"/etc/apt/sources.list'
_HOOKS = (_COMPILE, _CLEAN, _SOURCES, ':> "$1"/etc/machine-id')
_TIME_LIMIT = 1800
_CHUNK = 1 << 20


def prepare_debian(
    system: str,
    suite: str,
    use: Use,
    *,
    packages: Sequence[str] = (),
    platform: str,
    refresh: bool = False,
    point: Callable[[str], None] = lambda _name: None,
) -> Base:
    """The base of `suite`, made now if there is none or `refresh` asks for today's packages.

    Raises:
        MissingToolError: mmdebstrap, or the right to make namespaces, is missing.
        SeatrialError: the packages cannot be had.
    """
    from seatrial.images.bases import Base

    architecture, packages = parse_platform(platform), sorted({*PACKAGES, *packages})
    check_names(packages)
    key = hashlib.sha256(msgspec.json.encode([_RECIPE, system, suite, architecture, packages])).hexdigest()
    entry = use.hold("bases", f"{system}-{suite}-{key[:32]}")
    name, made_now = f"{system}:{suite}", False
    if refresh or not (entry / "index.json").exists():
        with scratch() as folder:
            _make(folder, system, suite, architecture, packages, point)
            point("base/written")
            if entry.exists():
                entry.rename(folder / "former")
            made_now = publish(folder / "layout", entry)
        point("base/stored")
    return Base(
        layout=entry, digest=oci.read_image(entry).digest, platform=platform, name=name, made_now=made_now
    )


def _make(
    folder: Path,
    system: str,
    suite: str,
    architecture: str,
    packages: Sequence[str],
    point: Callable[[str], None],
) -> None:
    program = find("mmdebstrap")
    layout, blob, log = folder / "layout", folder / "blob", folder / "log"
    oci.create(layout)
    settings = machine.apt_settings()
    found = mirrors(system, suite, architecture, settings.sources)
    listed, options = folder / "mirrors.sources", folder / "apt.conf"
    machine.write_private(listed, render(found))
    machine.write_private(options, machine.conf(settings.options))
    call = command(program, suite, architecture, packages, listed if found else None, options)
    argv = as_root(f"linux/{architecture}", call)
    with blob.open("wb") as out, log.open("wb") as errors:
        env = {
            **os.environ,
            "SOURCE_DATE_EPOCH": str(EPOCH),
            "TMPDIR": str(folder),
            "LC_ALL": "C.UTF-8",
            "SEATRIAL_SOURCES": _official(system, suite, architecture),
        }
        with subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=env,
            start_new_session=True,
        ) as process:
            try:
                written = _pack(process.stdout, out) if process.stdout else None
                code = process.wait(_TIME_LIMIT)
            finally:
                _end(process)
    if code != 0 or written is None:
        raise _explain(log.read_text("utf-8", "replace"), system, suite)
    point("base/unpacked")
    blob.rename(oci.blob_path(layout, written.digest))
    write_image(layout, written, architecture, f"{system}:{suite}")


def as_root(platform: str, argv: list[str]) -> list[str]:
    """The command line that runs `argv` as root, or as root of a namespace in which programs of `platform` run.

    mmdebstrap can do so itself, but its root is then another user, who may not enter private folders such as
    the cache. Here the caller is root, and the other users come from their range in /etc/subuid.

    Raises:
        MissingToolError: there is no range of ids, or no emulator for the platform.
    """
    if os.geteuid() == 0 and not processors.is_foreign(platform):
        return argv
    return in_namespaces(argv, processors.registrations(platform))


def command(
    program: str, suite: str, architecture: str, packages: Sequence[str], sources: Path | None, options: Path
) -> list[str]:
    """The mmdebstrap call that writes the root file system as a tar to stdout.

    `sources` and `options` are files, since both may hold the password of a mirror or proxy.
    """
    excluded = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in EXCLUDED]
    return [
        program, "--mode=root", "--variant=minbase", "--quiet", "--skip=output/dev", f"--architectures={architecture}",
        f"--include={','.join(packages)}",
        *excluded, "--dpkgopt=path-include=/usr/share/doc/*/copyright", f"--aptopt={options}",
        *(f"--customize-hook={hook}" for hook in _HOOKS),
        "--format=tar", suite, "-", *([str(sources)] if sources else []),
    ]  # fmt: skip


def mirrors(system: str, suite: str, architecture: str, machine: Sequence[Source]) -> list[Source]:
    """The sources of this machine for `suite`, so that a company's mirror is used; else none.

    With none, mmdebstrap takes the distribution's own servers. Ubuntu keeps other architectures on other servers.
    """
    if system == "ubuntu" and architecture != processors.architecture():
        return []
    suites = {suite, f"{suite}-updates", f"{suite}-security"}
    found = []
    for source in machine:
        wanted = [one for one in source.get("suites", "").split() if one in suites]
        named = system in source.get("uris", "") + source.get("signed-by", "")
        if wanted and named and "main" in source.get("components", "").split():
            found.append(source | {"suites": " ".join(wanted)})
    return found


def _official(system: str, suite: str, architecture: str) -> str:
    server = (
        "http://ports.ubuntu.com/ubuntu-ports"
        if (system, architecture) == ("ubuntu", "arm64")
        else _MIRRORS[system]
    )
    return f"deb {server} {suite} main"


def _pack(stream: IO[bytes], out: IO[bytes]) -> WrittenLayer:
    plain, packed, size = Lane(), Lane(), 0
    try:
        # A buffered stream gives whole pieces until its end, so that the members do not depend on the pipe.
        while piece := stream.read(_CHUNK):
            plain.update(piece)
            data = gzip_member(piece)
            packed.update(data)
            size += out.write(data)
    finally:
        diff_id, digest = plain.close(), packed.close()
    return WrittenLayer(digest=digest, diff_id=diff_id, size=size)


def write_image(layout: Path, layer: WrittenLayer, architecture: str, name: str) -> None:
    """The manifest and configuration of a base with that one layer; the same layer gives the same digest."""
    config = {
        "architecture": architecture,
        "config": {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]},
        "created": "1980-01-01T00:00:00Z",
        "history": [{"created": "1980-01-01T00:00:00Z", "created_by": f"mmdebstrap {name}"}],
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id]},
    }
    described = oci.add_blob(layout, oci.encode(config), oci.CONFIG)
    manifest = oci.Manifest(
        config=described, layers=(oci.Descriptor(oci.LAYER_GZIP, layer.digest, layer.size),)
    )
    top = oci.add_blob(
        layout, oci.encode(manifest), oci.MANIFEST, platform=oci.Platform(architecture=architecture)
    )
    oci.set_index(layout, oci.Index(manifests=(top,)))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let mmdebstrap end: it removes its own tree on INT; what it started is in its group."""
    import signal
    from contextlib import suppress

    for number, patience in ((signal.SIGINT, 20), (signal.SIGKILL, 5)):
        if process.poll() is not None:
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)


def _explain(log: str, system: str, suite: str) -> SeatrialError:
    lines = [line for line in log.splitlines() if line.startswith(("E:", "Err:", "W:")) or "rror" in line]
    cause = re.sub(r"(\w+://)[^/@\s]+@", r"\1***@", "; ".join(lines[-4:])) or log[-300:]
    if said := re.search(r"seatrial: (.*binfmt_misc.*)", log):
        return processors.refused(said[1])
    if re.search(r"unshare|newuidmap|newgidmap|subuid|namespace|must be root|fakechroot", log):
        return MissingToolError(
            f"{system}:{suite} cannot be made without root on this machine", why=cause,
            fix="install uidmap and allow user namespaces (`seatrial doctor`), or name a registry reference as base",
        )  # fmt: skip
    return SeatrialError(
        f"{system}:{suite} cannot be made from its packages", why=cause,
        fix="check the suite's name, the network and this machine's apt sources, or name a registry reference as base",
    )  # fmt: skip
