"""A base with a real Python for another processor, taken from Debian's packages; and how to know that none runs here."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
from importlib import metadata
from pathlib import Path

import pytest

from seatrial import locks
from seatrial.files import remove_tree
from seatrial.images.system import machine
from seatrial.images.system.processors import architecture, emulator
from seatrial.images.system.sources import render
from seatrial.images.uv_program import find_uv
from support.debian import image

OTHER = {"amd64": "arm64", "arm64": "amd64"}.get(architecture(), "arm64")
"""The architecture that this machine does not have."""
_PACKAGES = (
    "libc6",
    "libexpat1",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "python3.11-minimal",
    "zlib1g",
)
_SUITE = "bookworm"


def needs_emulator() -> None:
    if not emulator(f"linux/{OTHER}"):
        pytest.skip(f"qemu-user-static is not installed: programs for {OTHER} cannot run")


def base(layout: Path) -> Path:
    """A layout with Debian's Python 3.11 of the other architecture in /usr; skips where its packages cannot be had."""
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is missing: packages of another architecture cannot be fetched")
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name in ("bin", "lib", "usr/bin/python3"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, "python3.11" if "/" in name else f"usr/{name}"
            archive.addfile(entry)
        release = b"ID=debian\nVERSION_CODENAME=bookworm\n"
        entry = tarfile.TarInfo("usr/lib/os-release")
        entry.size = len(release)
        archive.addfile(entry, io.BytesIO(release))
        archive.add(_unpacked(), "", filter=lambda entry: None if entry.name in ("lib", "bin") else entry)
    settings = {"Env": ["PATH=/usr/local/bin:/usr/bin:/bin"]}
    image(layout, [stream.getvalue()], settings, architecture=OTHER)
    return layout


def python(folder: Path, packages: tuple[str, ...]) -> tuple[list[str], dict[str, str]]:
    """Command line and variables of that Python, outside of any root, with the versions of `packages` that run here.

    `folder` is a new one that it needs. Skips where the packages cannot be had for the other architecture.
    """
    (folder / "root").mkdir(parents=True)
    (folder / "root/usr").symlink_to(_unpacked() / "usr")
    (folder / "root/lib").symlink_to("usr/lib")
    pins = [f"{name}=={metadata.version(name)}" for name in packages]
    machine_name = {"arm64": "aarch64", "amd64": "x86_64"}[OTHER]
    argv = [
        find_uv(), "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", "--target", str(folder / "site"),
        "--python", sys.executable, "--python-version", "3.11", "--python-platform", f"{machine_name}-manylinux_2_28", *pins,
    ]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode != 0:
        pytest.skip(f"packages for {OTHER} cannot be had: {done.stderr.strip()[-200:]}")
    program = [
        emulator(f"linux/{OTHER}"),
        "-L",
        str(folder / "root"),
        str(folder / "root/usr/bin/python3.11"),
    ]
    return program, {"PYTHONHOME": str(folder / "root/usr"), "PYTHONPATH": str(folder / "site")}


def _unpacked() -> Path:
    """The packages' files, kept between test runs."""
    parent = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    place = Path(parent) / "seatrial-tests"
    place.mkdir(parents=True, exist_ok=True)
    ready = place / f"python-{_SUITE}-{OTHER}"
    with locks.locked(place / "foreign.lock"):
        if not ready.is_dir():
            work = place / "foreign.tmp"
            remove_tree(work)
            (work / "root").mkdir(parents=True)
            _fetch(work)
            for package in sorted(work.glob("*.deb")):
                subprocess.run(["dpkg-deb", "-x", str(package), str(work / "root")], check=True)
            # What Debian had in /lib and /usr/lib is one folder since merged /usr.
            for name in ("lib", "lib64", "bin"):
                if (work / "root" / name).is_dir():
                    shutil.copytree(
                        work / "root" / name, work / "root/usr" / name, symlinks=True, dirs_exist_ok=True
                    )
                    shutil.rmtree(work / "root" / name)
            (work / "root").rename(ready)
            remove_tree(work)
    return ready


def _fetch(work: Path) -> None:
    for name in ("lists/partial", "cache/archives/partial", "etc"):
        (work / name).mkdir(parents=True)
    (work / "status").touch()
    wanted = [s for s in machine.apt_settings().sources if _SUITE in s.get("suites", "").split()]
    (work / "list.sources").write_text(render(wanted))
    options = {
        "APT::Architecture": OTHER, "APT::Architectures": OTHER, "Dir::State": work, "Dir::State::status": work / "status",
        "Dir::Cache": work / "cache", "Dir::Etc::SourceList": work / "list.sources", "Dir::Etc::SourceParts": work / "etc",
        "APT::Sandbox::User": "root", "Acquire::Languages": "none",
    }  # fmt: skip
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    for command in (["update"], ["download", *_PACKAGES]):
        done = subprocess.run(
            ["apt-get", "-q", *words, *command], cwd=work, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            pytest.skip(f"packages of {_SUITE} for {OTHER} cannot be fetched: {done.stderr.strip()[-200:]}")
