"""Bundles that would do what no bundle may: refused, with nothing of them left, on whichever way they come."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from seatrial.deployments.agent import bundles
from seatrial.deployments.agent.diagnostics import Failed
from seatrial.deployments.agent.order import Hardening, Order
from seatrial.deployments.agent.records import Places
from seatrial.unpacking import ArchiveError, Rules, untar
from support import zips
from support.scenarios import tar_of

if TYPE_CHECKING:
    from collections.abc import Callable

SPEC = b"version: 0.0\nos: linux\n"


def tar(name: str, content: bytes = b"x", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


def tarred(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    return tar_of(tar("appspec.yml", SPEC), *members)


def zipped(*members: zips.Member) -> bytes:
    return zips.archive([zips.Member(b"appspec.yml", SPEC), *members])


def link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return tar(name, b"", type=tarfile.SYMTYPE, linkname=target)


def hard(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return tar(name, b"", type=tarfile.LNKTYPE, linkname=target)


def attributes(size: int) -> tuple[tarfile.TarInfo, bytes]:
    return tar("p", bytes(size), type=tarfile.XHDTYPE)


def damaged(archive: bytes, header: int) -> bytes:
    """The archive with another checksum in one of its headers."""
    return archive[: header + 148] + b"9" + archive[header + 149 :]


HOSTILE: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "tar-climbs": ("tar", lambda: tarred(tar("../evil")), "leads out"),
    "tar-climbs-later": ("tar", lambda: tarred(tar("a/../../evil")), "leads out"),
    "tar-absolute": ("tar", lambda: tarred(tar("/tmp/evil")), "leads out"),
    "tar-link-out": ("tar", lambda: tarred(link("a", "../../..")), "out of its folder"),
    "tar-link-absolute": ("tar", lambda: tarred(link("a", "/etc")), "out of its folder"),
    "tar-file-through-link": ("tar", lambda: tarred(link("a", "."), tar("a/b")), "damaged|no folder|twice|folder"),
    "tar-links-climb-together": ("tar", lambda: tarred(tar("d/e/f"), link("l", "d/e"), link("m", "l/../..")),
                                 "out of its folder"),
    "tar-hard-link-out": ("tar", lambda: tarred(hard("a", "/etc/passwd")), "leads out"),
    "tar-hard-link-climbs": ("tar", lambda: tarred(hard("a", "../x")), "leads out"),
    "tar-hard-link-to-nothing": ("tar", lambda: tarred(hard("a", "b")), "no file of it"),
    "tar-hard-link-to-link": ("tar", lambda: tarred(link("l", "appspec.yml"), hard("a", "l")), "no file of it"),
    "tar-device": ("tar", lambda: tarred(tar("a", b"", type=tarfile.CHRTYPE)), "neither file"),
    "tar-pipe": ("tar", lambda: tarred(tar("a", b"", type=tarfile.FIFOTYPE)), "neither file"),
    "tar-setuid": ("tar", lambda: tarred(tar("a", mode=0o4755)), "set-user-id"),
    "tar-setgid": ("tar", lambda: tarred(tar("a", mode=0o2755)), "set-user-id"),
    "tar-twice": ("tar", lambda: tarred(tar("a"), tar("a", b"y")), "twice"),
    "tar-file-and-folder": ("tar", lambda: tarred(tar("a/b"), tar("a")), "both a file and a folder"),
    "tar-cut-off": ("tar", lambda: tarred(tar("a", b"x" * 5000))[:3000], "damaged"),
    "tar-damaged-header": ("tar", lambda: damaged(tarred(tar("a"), tar("b")), 1024), "damaged"),
    "tar-cut-header": ("tar", lambda: tarred(tar("a"), tar("b"))[:1300], "damaged"),
    "tgz-endless-attributes": ("tgz", lambda: gzip.compress(tarred(attributes(64 << 20))), "attributes"),
    "tgz-endless-name": ("tgz", lambda: gzip.compress(tarred(tar("a", bytes(8 << 20), type=tarfile.GNUTYPE_LONGNAME))),
                         "attributes"),
    "tgz-cut-off": ("tgz", lambda: gzip.compress(tarred(tar("a", os.urandom(9000))))[:4000], "damaged"),
    "tgz-bomb": ("tgz", lambda: gzip.compress(tarred(tar("a", bytes(8 << 20)))), "more than"),
    "tgz-is-none": ("tgz", lambda: b"\x1f\x8b" + b"no" * 600, "damaged"),
    "zip-climbs": ("zip", lambda: zipped(zips.Member(b"../evil", b"x")), "leads out"),
    "zip-absolute": ("zip", lambda: zipped(zips.Member(b"/tmp/evil", b"x")), "leads out"),
    "zip-link-out": ("zip", lambda: zipped(zips.Member(b"a", b"../..", mode=0o120777)), "out of its folder"),
    "zip-device": ("zip", lambda: zipped(zips.Member(b"a", mode=0o020644)), "device or pipe"),
    "zip-setuid": ("zip", lambda: zipped(zips.Member(b"a", b"x", mode=0o104755)), "set-user-id"),
    "zip-encrypted": ("zip", lambda: zipped(zips.Member(b"a", b"x", flags=0x801)), "encrypted"),
    "zip-twice": ("zip", lambda: zipped(zips.Member(b"a", b"x"), zips.Member(b"a", b"y")), "twice"),
    "zip-cut-off": ("zip", lambda: zipped(zips.Member(b"a", b"x" * 500))[:-40], "damaged"),
    "zip-wrong-sum": ("zip", lambda: zipped(zips.Member(b"a", b"x" * 50)).replace(b"x" * 50, b"y" * 50), "damaged"),
}  # fmt: skip


def place(tmp_path: Path, kind: Any, content: bytes, **hardening: Any) -> tuple[Order, Places]:
    bundle = tmp_path / f"bundle.{kind}"
    bundle.write_bytes(content)
    limits = Hardening(**{"most": 4 << 20, **hardening})
    order = Order(
        bundle=str(bundle), type=kind, root=str(tmp_path / "root"), deployment="d-1", hardening=limits
    )
    places = Places(order)
    places.make()
    return order, places


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_and_nothing_of_it_stays(name: str, tmp_path: Path) -> None:
    kind, make, why = HOSTILE[name]
    order, places = place(tmp_path, kind, make())
    outside = sorted(tmp_path.iterdir())
    with pytest.raises(Failed, match=why) as told:
        bundles.fetch(order, places)
    assert told.value.diagnostics.error_code == 5
    assert told.value.fix
    assert not places.archive.exists()
    assert [entry.name for entry in places.here.iterdir() if entry.name != "bundle.tar"] == []
    assert sorted(tmp_path.iterdir()) == outside
    assert not Path("/tmp/evil").exists()


@pytest.mark.parametrize(
    ("name", "switch"),
    [
        ("tar-link-out", "symlinks"),
        ("tar-link-absolute", "symlinks"),
        ("zip-climbs", "traversal"),
        ("tar-setuid", "setuid"),
        ("zip-twice", "duplicates"),
    ],
)
def test_what_is_refused_can_be_let_through(name: str, switch: str, tmp_path: Path) -> None:
    kind, make, _ = HOSTILE[name]
    order, places = place(tmp_path, kind, make(), allow=(switch,))
    bundles.fetch(order, places)
    assert (places.archive / "appspec.yml").read_bytes() == SPEC
    inside = places.archive / ("evil" if switch == "traversal" else "a")
    assert os.path.lexists(inside)
    if switch == "setuid":
        assert inside.stat().st_mode & 0o7777 == 0o4755


def test_a_bomb_is_let_through_when_it_may_be_so_large(tmp_path: Path) -> None:
    order, places = place(tmp_path, "tgz", HOSTILE["tgz-bomb"][1](), most=16 << 20)
    bundles.fetch(order, places)
    assert (places.archive / "a").stat().st_size == 8 << 20


def test_an_archive_has_no_more_members_than_it_may(tmp_path: Path) -> None:
    content = tarred(*(tar(f"n{number}", b"") for number in range(50)))
    with pytest.raises(ArchiveError, match="more than 40 members"):
        untar(
            io.BytesIO(content),
            lambda name: (tmp_path, name),
            where="it",
            packed=len(content),
            rules=Rules(files=40),
        )


def test_hard_links_within_a_tar_are_made(tmp_path: Path) -> None:
    order, places = place(tmp_path, "tar", tarred(tar("a", b"same"), hard("d/b", "a")))
    bundles.fetch(order, places)
    assert (places.archive / "d" / "b").read_bytes() == b"same"


@pytest.mark.parametrize("kind", ["link", "pipe", "setuid"])
def test_a_folder_is_looked_at_as_an_archive_is(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "d").mkdir(parents=True)
    (folder / "appspec.yml").write_bytes(SPEC)
    bad = folder / "d" / "bad"
    if kind == "link":
        bad.symlink_to("/etc/passwd")
    elif kind == "pipe":
        os.mkfifo(bad)
    else:
        bad.write_text("x")
        bad.chmod(0o4755)
    order = Order(bundle=str(folder), root=str(tmp_path / "root"), deployment="d-1")
    places = Places(order)
    places.make()
    with pytest.raises(Failed, match="The bundle is refused"):
        bundles.fetch(order, places)
    assert not places.archive.exists()


def test_a_bundle_of_another_type_than_it_says(tmp_path: Path) -> None:
    order, places = place(tmp_path, "tgz", tarred())
    with pytest.raises(Failed, match="Error extracting tar archive: 2") as told:
        bundles.fetch(order, places)
    assert told.value.fix == "say what it is with `--type tar`"
