"""Small images in the layouts of the distributions that people build on, made here."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from seatrial import locks
from support.debian import Item, folder, image, symlink

if TYPE_CHECKING:
    from collections.abc import Sequence

APPLETS = [
    "cat", "dd", "echo", "env", "false", "grep", "head", "hostname", "httpd", "id", "kill", "ls", "mkdir", "nc", "ps",
    "pwd", "setsid", "sh", "sleep", "stat", "tail", "touch", "tr", "true", "wc", "wget", "yes",
]  # fmt: skip
USERS = (
    Item("etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n"),
    Item("etc/group", "root:x:0:\napp:x:1001:\n"),
)
HOMES = (
    folder("etc"),
    folder("tmp", 0o1777),
    folder("root", 0o700),
    folder("home"),
    folder("home/app", uid=1000, gid=1001),
)


@cache
def busybox() -> bytes:
    """A busybox that needs no library; skips where there is none and Debian cannot be reached."""
    found = shutil.which("busybox")
    if found and "not a dynamic" in _said(["ldd", found]):
        return Path(found).read_bytes()
    parent = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seatrial-tests"
    parent.mkdir(parents=True, exist_ok=True)
    kept = parent / "busybox-static"
    with locks.locked(parent / "busybox.lock"):
        if not kept.exists():
            with tempfile.TemporaryDirectory() as place:
                _said(["apt-get", "download", "busybox-static"], cwd=place)
                packages = list(Path(place).glob("*.deb"))
                if not packages:
                    pytest.skip("there is no static busybox, and apt-get cannot bring one")
                subprocess.run(["dpkg-deb", "-x", packages[0], place], check=True)
                shutil.copyfile(next(Path(place).glob("**/bin/busybox")), kept)
    return kept.read_bytes()


def alpine_like(layout: Path, *further: Sequence[Item], **settings: Any) -> str:
    """Busybox and links to it, no C library, no Python, no bash."""
    items = [*HOMES, *USERS, folder("bin"), Item("bin/busybox", busybox(), mode=0o755)]
    items += [symlink(f"bin/{name}", "busybox") for name in APPLETS]
    items.append(Item("etc/alpine-release", "3.20.0\n"))
    return image(layout, [items, *further], {"Cmd": ["/bin/sh"], **settings})


def ubuntu_like(layout: Path) -> str:
    """/bin, /lib and /lib64 are links into /usr; the shell is linked dynamically."""
    items = [*HOMES, *USERS, folder("usr"), folder("usr/bin"), folder("usr/lib"), folder("usr/lib64")]
    items += [symlink("bin", "usr/bin"), symlink("lib", "usr/lib"), symlink("lib64", "usr/lib64")]
    shell = Path("/bin/sh").resolve()
    items.append(Item("usr/bin/dash", shell.read_bytes(), mode=0o755))
    items.append(symlink("usr/bin/sh", "dash"))
    for library in sorted(set(re.findall(r"(/\S+) \(0x", _said(["ldd", str(shell)])))):
        inside = "usr" + library.removeprefix("/usr")
        items += [folder(str(parent)) for parent in reversed(Path(inside).parents) if len(parent.parts) > 2]
        items.append(Item(inside, Path(library).resolve().read_bytes(), mode=0o755))
    return image(layout, [items], {"Cmd": ["sh"], "Env": ["PATH=/usr/bin:/bin"]})


def distroless_like(layout: Path) -> str:
    """One static program, and nothing else: no shell, no users, no folders."""
    return image(layout, [[Item("echo", busybox(), mode=0o755)]], {"Entrypoint": ["/echo"], "Cmd": ["alone"]})


def _said(argv: list[str], cwd: str | None = None) -> str:
    try:
        done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr
