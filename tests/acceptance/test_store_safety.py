"""An image that writes wherever it can changes nothing in the layer store, whoever runs it."""

from __future__ import annotations

import hashlib
import importlib
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import seatrial
from seatrial.images import runtime
from seatrial.images.runtime import Launch
from seatrial.images.testing.suite import run_tests
from support.debian import Item, base, folder, image, needs_bwrap
from support.image_content import wheel

if TYPE_CHECKING:
    from collections.abc import Iterator

# Everything that changes files, on every file; then mounts, devices, and descriptors of the launcher.
VANDAL = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
done = 0
def tried(*acts):
    global done
    for act in acts:
        try:
            act()
            done += 1
        except OSError:
            pass
for flags in (0x20, 0x20 | 0x1000, 0x1000, 1 << 18):
    libc.mount(b"none", b"/", None, flags, None)
libc.mount(b"tmpfs", b"/usr", b"tmpfs", 0, None)
libc.unshare(0x10000000 | 0x20000)
libc.mount(b"none", b"/", None, 0x20, None)
libc.umount2(b"/", 2)
for number in range(3, 300):
    path = "/proc/self/fd/%d" % number
    tried(lambda: os.fchmod(number, 0o777), lambda: os.ftruncate(number, 0), lambda: os.write(number, b"vandal"))
    if os.path.isdir(path):
        tried(lambda: os.mkdir(path + "/vandal"))
for top, folders, files in os.walk("/", topdown=False):
    if top.startswith(("/proc", "/sys", "/dev")):
        continue
    new = os.path.join(top, "vandal")
    for name in files:
        path = os.path.join(top, name)
        tried(lambda: os.chmod(path, 0o777), lambda: os.utime(path, (1, 1), follow_symlinks=False),
              lambda: open(path, "r+b").write(b"vandal"), lambda: os.truncate(path, 1),
              lambda: os.setxattr(path, "user.x", b"y"), lambda: os.removexattr(path, "user.x"),
              lambda: os.link(path, path + ".link"), lambda: os.rename(path, path + ".moved"),
              lambda: os.lchown(path + ".moved", 5, 5), lambda: os.unlink(path + ".moved"))
    tried(lambda: os.mknod(new + ".null", 0o20666, os.makedev(1, 3)), lambda: os.mkfifo(new + ".pipe"),
          lambda: open(new, "w").close(), lambda: os.symlink("/", new + ".link"), lambda: os.mkdir(new + ".folder"),
          lambda: os.setxattr(top, "user.overlay.opaque", b"y"), lambda: os.setxattr(top, "trusted.overlay.opaque", b"y"),
          lambda: os.chmod(top, 0o700), lambda: os.chown(top, 5, 5), lambda: os.rename(top, top + ".moved"),
          lambda: os.rmdir(top))
print("done", done)
"""
LAYERS = [
    Item("etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/srv:/bin/sh\n"),
    Item("srv/vandal.py", VANDAL),
    folder("srv/own", 0o777, uid=1000, gid=1000),
    Item("srv/own/file", "mine", 0o666, uid=1000, gid=1000),
    *wheel("vandal", "1", {"vandal.py": VANDAL}),
]
SETTINGS = {"Cmd": ["python3", "/srv/vandal.py"], "WorkingDir": "/srv"}
RUN = """
import json, pathlib, sys
from seatrial.images import runtime
root = runtime.prepare(pathlib.Path(sys.argv[1]))
for user in ("", "app"):
    done = runtime.run(root, [], runtime.Launch(user=user), timeout=200)
    print(json.dumps([done.code, done.stdout]))
"""


def fingerprint(store: Path) -> str:
    """A digest of all that a store holds: names, content, modes, owners, times, attributes, links."""
    digest = hashlib.sha256()
    for part in ("layers", "index"):
        for place in [store / part, *sorted((store / part).rglob("*"))]:
            s = place.lstat()
            digest.update(
                f"{place}{s.st_mode} {s.st_uid} {s.st_gid} {s.st_nlink} {s.st_mtime_ns} {s.st_ctime_ns}".encode()
            )
            if place.is_symlink():
                digest.update(str(place.readlink()).encode())
                continue
            digest.update(
                repr([(name, os.getxattr(place, name)) for name in sorted(os.listxattr(place))]).encode()
            )
            if place.is_file():
                digest.update(place.read_bytes())
    return digest.hexdigest()


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    needs_bwrap()
    monkeypatch.setenv("SEATRIAL_CACHE", str(tmp_path / "cache"))
    image(tmp_path / "image", [LAYERS], SETTINGS, base=base())
    return tmp_path / "image"


def test_a_run_changes_nothing(layout: Path, tmp_path: Path) -> None:
    root = runtime.prepare(layout)
    before = fingerprint(tmp_path / "cache/rootfs")
    for user in ("", "app"):
        done = runtime.run(root, [], Launch(user=user), timeout=200)
        assert done.code == 0, done.stderr
        assert int(done.stdout.split()[1]) > 10_000, "the image did what it could"
        assert fingerprint(tmp_path / "cache/rootfs") == before


def test_a_test_of_the_image_changes_nothing_either(layout: Path, tmp_path: Path) -> None:
    runtime.prepare(layout)
    before = fingerprint(tmp_path / "cache/rootfs")
    run_tests(layout, level="quick")
    assert fingerprint(tmp_path / "cache/rootfs") == before


@pytest.fixture
def own_folder() -> Iterator[Path]:
    """A folder that any user may reach; those of pytest belong to its user alone."""
    place = Path(tempfile.mkdtemp(prefix="seatrial-safety-"))
    place.chmod(0o755)
    try:
        yield place
    finally:
        subprocess.run(["chmod", "-R", "u+rwX", str(place)], check=False)
        shutil.rmtree(place)


def test_an_ordinary_users_run_changes_nothing(layout: Path, own_folder: Path) -> None:
    """Started by root, this test becomes another user; started by one, the tests above are about that user."""
    name = os.environ.get("SEATRIAL_TEST_USER", "tester")
    try:
        account = pwd.getpwnam(name)
    except KeyError:
        pytest.skip(f"there is no user {name} to become (SEATRIAL_TEST_USER names another)")
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    python = f"/usr/bin/python{sys.version_info[0]}.{sys.version_info[1]}"
    if not Path(python).exists():
        pytest.skip(f"{python} is not installed: another user may not be able to use this interpreter")
    shutil.copytree(layout, own_folder / "image")
    shutil.copytree(Path(seatrial.__file__).parent, own_folder / "code/seatrial")
    for package in ("msgspec", "isal"):  # what running an image needs, and no more
        found = Path(str(importlib.import_module(package).__file__)).parent
        shutil.copytree(found, own_folder / "code" / package)
    subprocess.run(["chown", "-R", f"{account.pw_uid}:{account.pw_gid}", str(own_folder)], check=True)
    env = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": str(own_folder / "code"), "HOME": str(own_folder),
        "SEATRIAL_CACHE": str(own_folder / "cache"), "SEATRIAL_HOME": str(own_folder / "home"),
    }  # fmt: skip

    def as_user(code: str) -> list[str]:
        done = subprocess.run(
            [python, "-c", code, str(own_folder / "image")], env=env, cwd=own_folder, capture_output=True, text=True,
            user=account.pw_uid, group=account.pw_gid, extra_groups=[], check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    as_user(RUN.partition("for user")[0])
    before = fingerprint(own_folder / "cache/rootfs")
    answers = as_user(RUN)
    assert len(answers) == 2
    assert all(line.startswith('[0, "done ') for line in answers), answers
    assert fingerprint(own_folder / "cache/rootfs") == before
