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

from seatrial.errors import MissingToolError, SeatrialError, UsageError
from seatrial.images import layout as oci
from seatrial.images.assemble.layer import PACKING_LEVEL, Lane, WrittenLayer
from seatrial.images.assemble.store import Use, publish, scratch
from seatrial.images.assemble.tar import EPOCH
from seatrial.images.target import parse_platform
from seatrial.processes import find, run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from seatrial.images.bases import Base

_RECIPE = 7
# Python, certificates, and what wheels with compiled code expect from the system (OpenMP, C++).
PACKAGES = ("ca-certificates", "libgomp1", "libstdc++6", "python3")
_EXCLUDED = ("doc", "man", "info", "locale", "lintian", "bug", "groff", "linda")
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
# Source: Debian Policy 5.6.1, with an optional version or architecture as apt takes it.
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+(:[a-z0-9]+)?(=[A-Za-z0-9.+:~-]+)?")
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
    for package in packages:
        if not _PACKAGE.fullmatch(package):
            raise UsageError(
                f"{package!r} is not the name of a Debian package", fix="give names such as libgl1"
            )
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
    argv = [*as_root(), *command(program, suite, architecture, packages, sources(system, suite))]
    with blob.open("wb") as out, log.open("wb") as errors:
        env = {
            **os.environ,
            "SOURCE_DATE_EPOCH": str(EPOCH),
            "TMPDIR": str(folder),
            "LC_ALL": "C.UTF-8",
            "SEATRIAL_SOURCES": f"deb {_MIRRORS[system]} {suite} main",
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


def as_root() -> list[str]:
    """What makes the rest of a command line run as root; nothing for those who are.

    mmdebstrap can do so itself, but its root is then another user, who may not enter private folders such as
    the cache. Here the caller is root, and the other users come from their range in /etc/subuid.
    Source: unshare(1), `--map-auto` (util-linux 2.38).
    """
    if os.geteuid() == 0:
        return []
    maps = ["--user", "--map-root-user", "--map-auto"]
    return [find("unshare"), *maps, "--mount", "--pid", "--fork", "--kill-child"]


def command(
    program: str, suite: str, architecture: str, packages: Sequence[str], lines: Sequence[str]
) -> list[str]:
    """The mmdebstrap call that writes the root file system as a tar to stdout."""
    excluded = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _EXCLUDED]
    return [
        program, "--mode=root", "--variant=minbase", "--quiet", "--skip=output/dev", f"--architectures={architecture}",
        f"--include={','.join(packages)}",
        *excluded, "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        *(f"--aptopt={option}" for option in _apt_options()),
        *(f"--customize-hook={hook}" for hook in _HOOKS),
        "--format=tar", suite, "-", *lines,
    ]  # fmt: skip


def sources(system: str, suite: str) -> tuple[str, ...]:
    """The lines of this machine's own apt sources for `suite`, so that a company's mirror is used; else none.

    With none, mmdebstrap takes the distribution's own servers.
    """
    from pathlib import Path

    root = Path("/etc/apt")
    listed = [root / "sources.list", *sorted((root / "sources.list.d").glob("*.list"))]
    found: list[str] = []
    for path in listed:
        if path.is_file():
            found += [
                line for line in path.read_text("utf-8", "replace").splitlines() if line.startswith("deb ")
            ]
    for path in sorted((root / "sources.list.d").glob("*.sources")):
        found += one_line(path.read_text("utf-8", "replace"))
    archive = re.compile(
        rf"(deb (\[[^\]]*\] )?)(\S*{system}\S*|\S+) ({suite}|{suite}-(updates|security)) .*\bmain\b.*"
    )
    return tuple(dict.fromkeys(line for line in found if archive.fullmatch(line) and system in line))


def one_line(text: str) -> list[str]:
    """Sources in the deb822 format (`sources.list(5)`) as one-line sources."""
    found = []
    for stanza in re.split(r"\n\s*\n", re.sub(r"(?m)^#.*\n?", "", text)):
        fields = {
            k.strip().lower(): v.strip() for k, _, v in (li.partition(":") for li in stanza.splitlines())
        }
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes") == "no":
            continue
        signed = fields.get("signed-by", "")
        option = f"[signed-by={signed}] " if signed.startswith("/") else ""
        found += [
            f"deb {option}{uri} {suite} {fields.get('components', '')}"
            for uri in fields.get("uris", "").split()
            for suite in fields.get("suites", "").split()
        ]
    return found


def _apt_options() -> list[str]:
    """The proxy that this machine's apt uses. Nothing of it stays in the image."""
    try:
        dump = run(["apt-config", "dump"], timeout=10).stdout
    except MissingToolError:
        return []
    return [
        line for line in dump.splitlines() if re.match(r'Acquire::https?::(Proxy|CAInfo)[^"]* ".+";', line)
    ]


def _pack(stream: IO[bytes], out: IO[bytes]) -> WrittenLayer:
    from isal import isal_zlib

    packer = isal_zlib.compressobj(PACKING_LEVEL, 8, 31)
    plain, packed, size = Lane(), Lane(), 0
    try:
        while chunk := stream.read(_CHUNK):
            plain.update(chunk)
            data = packer.compress(chunk)
            packed.update(data)
            size += out.write(data)
        data = packer.flush()
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
    if re.search(r"unshare|newuidmap|newgidmap|subuid|namespace|must be root|fakechroot", log):
        return MissingToolError(
            f"{system}:{suite} cannot be made without root on this machine", why=cause,
            fix="install uidmap and allow user namespaces (`seatrial doctor`), or name a registry reference as base",
        )  # fmt: skip
    return SeatrialError(
        f"{system}:{suite} cannot be made from its packages", why=cause,
        fix="check the suite's name, the network and this machine's apt sources, or name a registry reference as base",
    )  # fmt: skip
