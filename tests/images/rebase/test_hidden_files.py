"""What an image's own layers would hide of the new base is found, whatever made them, and told from what is harmless."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from seatrial.images import layout as oci
from support import rebasing
from support.debian import Item, folder, hardlink, symlink

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from seatrial.images.rebase.run import Report

pytestmark = pytest.mark.usefixtures("wheelhouse")

_COMMON = (folder("etc"), folder("usr/lib"), Item("etc/passwd", "root:x:0:0::/root:/bin/sh\n"))


class Case(NamedTuple):
    """Files of the old base, of the new one and of the image's own layer; `hides` is the path that is told."""

    old: Sequence[Item]
    new: Sequence[Item]
    own: Sequence[Item]
    hides: str = ""


REFUSED = {
    "the list of Debian packages": Case(
        [Item("var/lib/dpkg/status", "1")], [Item("var/lib/dpkg/status", "2")],
        [Item("var/lib/dpkg/status", "1+curl")], "/var/lib/dpkg/status",
    ),
    "a copy of the unpatched library": Case(
        [Item("usr/lib/libssl.so", "bug")], [Item("usr/lib/libssl.so", "fixed")],
        [Item("usr/lib/libssl.so", "bug", mode=0o755)], "/usr/lib/libssl.so",
    ),
    "accounts that both changed": Case(
        [], [Item("etc/passwd", "root:x:0:0::/root:/bin/sh\ndb:x:5:5:::\n")],
        [Item("etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:5:5:::\n")], "/etc/passwd",
    ),
    "a file that only the new base brings": Case(
        [], [Item("usr/lib/libnew.so", "patched")], [Item("usr/lib/libnew.so", "own")], "/usr/lib/libnew.so",
    ),
    "rights that the new base took away": Case(
        [Item("usr/lib/tool", "x", mode=0o4755)], [Item("usr/lib/tool", "x", mode=0o755)],
        [Item("usr/lib/tool", "x", mode=0o4711)], "/usr/lib/tool",
    ),
    "a folder that was opened": Case(
        [folder("srv", 0o755)], [folder("srv", 0o700)], [folder("srv", 0o755), Item("srv/x", "")], "/srv",
    ),
    "a folder where the new base has a link": Case(
        [folder("lib"), Item("lib/a", "1")], [symlink("lib", "usr/lib"), Item("usr/lib/a", "2")],
        [folder("lib"), Item("lib/b", "own")], "/lib",
    ),
    "a file below what is no folder any more": Case(
        [folder("opt/x")], [Item("opt/x", "a file now")], [Item("opt/x/own", "1")], "/opt/x",
    ),
    "a whiteout of what only the new base has": Case(
        [], [Item("usr/lib/added", "1")], [Item("usr/lib/.wh.added", "")], "/usr/lib/added",
    ),
    "a hard link beside the patched file": Case(
        [Item("usr/bin/a", "1"), Item("usr/bin/b", "1")], [Item("usr/bin/a", "2"), Item("usr/bin/b", "3")],
        [hardlink("usr/bin/b", "usr/bin/a")], "/usr/bin/b",
    ),
    "a link instead of the patched file": Case(
        [Item("usr/bin/sh", "1")], [Item("usr/bin/sh", "2")], [symlink("usr/bin/sh", "/usr/bin/bash")], "/usr/bin/sh",
    ),
    "a patched file through a link of the base": Case(
        [symlink("lib", "usr/lib"), Item("usr/lib/a", "1")], [symlink("lib", "usr/lib"), Item("usr/lib/a", "2")],
        [Item("lib/a", "own")], "/usr/lib/a",
    ),
}  # fmt: skip
ALLOWED = {
    "the same content": Case([Item("etc/x", "1")], [Item("etc/x", "2")], [Item("etc/x", "2")]),
    "only the time differs": Case(
        [Item("etc/x", "1", mtime=1)], [Item("etc/x", "1", mtime=2)], [Item("etc/x", "own", mtime=3)]
    ),
    "what the new base left alone": Case([Item("etc/x", "1")], [Item("etc/x", "1")], [Item("etc/x", "own")]),
    "what the new base dropped": Case([Item("etc/x", "1")], [], [Item("etc/x", "own")]),
    "logs and caches": Case(
        [Item("var/log/dpkg.log", "1"), Item("var/cache/ldconfig/aux-cache", "1"), Item("etc/passwd-", "1")],
        [Item("var/log/dpkg.log", "2"), Item("var/cache/ldconfig/aux-cache", "2"), Item("etc/passwd-", "2")],
        [Item("var/log/dpkg.log", "3"), Item("var/cache/ldconfig/aux-cache", "3"), Item("etc/passwd-", "3")],
    ),
    "a whiteout of what both bases have": Case(
        [Item("usr/share/doc/x", "1")], [Item("usr/share/doc/x", "2")], [Item("usr/share/doc/.wh.x", "")]
    ),
    "a whiteout of what is gone": Case([Item("etc/x", "1")], [], [Item("etc/.wh.x", "")]),
    "a folder that the image replaces": Case(
        [folder("opt/y"), Item("opt/y/a", "1")], [folder("opt/y"), Item("opt/y/a", "2")],
        [folder("opt/y"), Item("opt/y/.wh..wh..opq", ""), Item("opt/y/own", "1")],
    ),
    "a hard link to the patched file": Case(
        [Item("usr/bin/a", "1")], [Item("usr/bin/a", "2")], [hardlink("usr/bin/own", "usr/bin/a")]
    ),
    "a folder that the image left as it was": Case(
        [folder("srv", 0o755)], [folder("srv", 0o755)], [folder("srv", 0o755), Item("srv/own", "")]
    ),
}  # fmt: skip


def ask(case: Case, tmp_path: Path, told: str = "annotation") -> Report:
    old = rebasing.base(tmp_path / "old", [*_COMMON, *case.old])
    new = rebasing.base(tmp_path / "new", [*_COMMON, *case.new, Item("etc/version", "2")])
    image = rebasing.built(tmp_path / "image", old, case.own, told=told)
    return rebasing.moved(image, new, old=str(old))


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_hide_a_patch_is_refused_by_name(name: str, tmp_path: Path) -> None:
    report = ask(REFUSED[name], tmp_path)
    check = rebasing.answers(report)["hidden"]
    assert report.verdict == "may not"
    assert check.status == "fail"
    assert REFUSED[name].hides in check.message
    assert any(line.startswith(REFUSED[name].hides + ":") for line in check.details)
    assert check.fix


@pytest.mark.parametrize("name", ALLOWED)
def test_what_is_harmless_is_allowed(name: str, tmp_path: Path) -> None:
    report = ask(ALLOWED[name], tmp_path)
    assert report.verdict == "may", rebasing.failures(report)


def test_why_something_is_harmless_is_told(tmp_path: Path) -> None:
    details = rebasing.answers(ask(ALLOWED["the same content"], tmp_path))["hidden"].details
    assert details == ("/etc/x: the image has it too; the content is the same",)


def test_the_patch_arrives_through_a_hard_link(tmp_path: Path) -> None:
    from seatrial.images import runtime
    from seatrial.images.rootfs import locate

    case = ALLOWED["a hard link to the patched file"]
    old, new = rebasing.base(tmp_path / "old", case.old), rebasing.base(tmp_path / "new", case.new)
    image = rebasing.built(tmp_path / "image", old, [Item("own", "1")])
    report = rebasing.moved(image, new, tmp_path / "out", old=str(old))
    assert report.digest == oci.read_image(tmp_path / "out").digest
    root = runtime.prepare(tmp_path / "out", report.digest)
    _, place = locate(root, "/usr/bin/a")
    assert place is not None
    assert place.read_text() == "2"
    _, own = locate(root, "/own")
    assert own is not None
    assert own.read_text() == "1"


def test_a_hard_link_to_what_is_gone_is_refused(tmp_path: Path) -> None:
    old = rebasing.base(tmp_path / "old", [Item("usr/bin/a", "1")])
    new = rebasing.base(tmp_path / "new", [Item("usr/bin/c", "1")])
    image = rebasing.built(tmp_path / "image", old, [hardlink("usr/bin/own", "usr/bin/a")])
    assert rebasing.failures(rebasing.moved(image, new, old=str(old))) == {"links"}
