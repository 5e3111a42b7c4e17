"""Source archives: what is honest is unpacked as it is, what reaches out of its folder is refused by name."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest

from seatrial.errors import SeatrialError
from seatrial.images.building.archives import unpack_source

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Item = tuple[str, bytes, str, str]  # name, type, content, link

FILE, LINK, HARD, FOLDER = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE


def item(
    name: str, content: str = "x", kind: bytes = FILE, link: str = "", mode: int = 0o644
) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.mode, entry.mtime = kind, link, mode, 1_600_000_000
    entry.size = len(content) if kind == FILE else 0
    entry.pax_headers = {"comment": content}
    return entry


def tar(path: Path, entries: Sequence[tarfile.TarInfo], mode: str = "gz") -> Path:
    with tarfile.open(path, f"w:{mode}", format=tarfile.PAX_FORMAT) as archive:  # type: ignore[call-overload]
        for entry in entries:
            content, entry.pax_headers = entry.pax_headers.get("comment", ""), {}
            archive.addfile(entry, io.BytesIO(content.encode()))
    return path


HONEST = [
    item("a-1/", kind=FOLDER),
    item("a-1/setup.py", "print(1)", mode=0o600),
    item("a-1/tool", "#!", mode=0o777),
    item("a-1/docs/readme", "r"),
    item("a-1/README", kind=LINK, link="docs/readme"),
    item("a-1/docs/up", kind=LINK, link="../setup.py"),
    item("a-1/same", kind=HARD, link="a-1/setup.py"),
]

REFUSED = {
    "climbs": ([item("a-1/x"), item("../evil")], "outside of"),
    "climbs later": ([item("a-1/../../evil")], "outside of"),
    "absolute": ([item("/evil")], "outside of"),
    "link out": ([item("a-1/x"), item("a-1/l", kind=LINK, link="../../evil")], "out of the archive"),
    "link to root": ([item("a-1/x"), item("a-1/l", kind=LINK, link="/etc/passwd")], "out of the archive"),
    "link to a neighbour": ([item("a-1/x"), item("a-1/l", kind=LINK, link="../b/x")], "out of the archive"),
    "link through a link": (
        [
            item("a-1/d/e/x"),
            item("a-1/s", kind=LINK, link="d/e"),
            item("a-1/t", kind=LINK, link="s/../../../evil"),
        ],
        "out of the archive",
    ),
    "file below a link": (
        [item("a-1/l", kind=LINK, link="."), item("a-1/l/evil")],
        "which is a symbolic link",
    ),
    "link over a folder": ([item("a-1/d/x"), item("a-1/d", kind=LINK, link="y")], "both a file and a folder"),
    "file over a link": ([item("a-1/l", kind=LINK, link="y"), item("a-1/l")], "in it twice"),
    "hard link out": ([item("a-1/x"), item("a-1/h", kind=HARD, link="../../etc/passwd")], "hard link"),
    "hard link to a link": (
        [item("a-1/l", kind=LINK, link="x"), item("a-1/h", kind=HARD, link="a-1/l")],
        "not a file in it",
    ),
    "device": ([item("a-1/dev", kind=tarfile.CHRTYPE)], "a device or pipe"),
    "pipe": ([item("a-1/pipe", kind=tarfile.FIFOTYPE)], "a device or pipe"),
    "two folders": ([item("a-1/x"), item("b-1/x")], "exactly one folder"),
    "no folder": ([item("setup.py")], "exactly one folder"),
    "nothing": ([], "exactly one folder"),
    "the folder is a link": ([item("a-1", kind=LINK, link="/etc")], "out of the archive"),
}


@pytest.mark.parametrize("mode", ["gz", "bz2", "xz"])
def test_an_honest_archive_keeps_its_files_links_and_times(tmp_path: Path, mode: str) -> None:
    archive = tar(tmp_path / "a", [item_again(one) for one in HONEST], mode)
    (tmp_path / "out").mkdir()
    top = unpack_source(archive, tmp_path / "out", "a-1.tar")
    assert top.name == "a-1"
    assert (
        (top / "setup.py").read_text()
        == (top / "same").read_text()
        == (top / "docs/up").read_text()
        == "print(1)"
    )
    assert [stat.S_IMODE((top / n).stat().st_mode) for n in ("setup.py", "tool")] == [0o644, 0o755]
    assert str((top / "README").readlink()) == "docs/readme"
    assert (top / "tool").stat().st_mtime == 1_600_000_000
    (top / "same").write_text("changed")
    assert (top / "setup.py").read_text() == "print(1)"


def item_again(one: tarfile.TarInfo) -> tarfile.TarInfo:
    """Entries are used up by writing them."""
    return item(one.name, one.pax_headers.get("comment", "x"), one.type, one.linkname, one.mode)


@pytest.mark.parametrize("name", REFUSED)
def test_what_reaches_out_is_refused_with_its_name(tmp_path: Path, name: str) -> None:
    entries, why = REFUSED[name]
    archive = tar(tmp_path / "a", [item_again(one) for one in entries])
    (tmp_path / "out").mkdir()
    with pytest.raises(SeatrialError, match="this source archive is refused") as error:
        unpack_source(archive, tmp_path / "out", "a-1.tar.gz")
    assert why in str(error.value)
    assert error.value.where == "a-1.tar.gz"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "out"]


def test_zip_archives_are_read_with_the_same_suspicion(tmp_path: Path) -> None:
    good = tmp_path / "good.zip"
    with zipfile.ZipFile(good, "w") as archive:
        archive.writestr("a-1/setup.py", "print(1)")
        link = zipfile.ZipInfo("a-1/link")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "setup.py")
    (tmp_path / "out").mkdir()
    top = unpack_source(good, tmp_path / "out", "a-1.zip")
    assert (top / "link").read_text() == "print(1)"
    for number, (name, content) in enumerate({"../evil": "x", "a-1/l": "../../../etc/passwd"}.items()):
        bad = tmp_path / f"bad{number}.zip"
        with zipfile.ZipFile(bad, "w") as archive:
            entry = zipfile.ZipInfo(name)
            entry.create_system = 3
            entry.external_attr = ((stat.S_IFLNK if number else stat.S_IFREG) | 0o777) << 16
            archive.writestr(entry, content)
        (tmp_path / f"out{number}").mkdir()
        with pytest.raises(SeatrialError, match="refused"):
            unpack_source(bad, tmp_path / f"out{number}", bad.name)


def test_a_bomb_is_stopped_before_it_fills_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        entry = tarfile.TarInfo("a-1/zeros")
        entry.size = 320 << 20
        archive.addfile(entry, _Zeros())
    (tmp_path / "out").mkdir()
    with pytest.raises(SeatrialError, match="would unpack to more than"):
        unpack_source(path, tmp_path / "out", "bomb.tar")


class _Zeros(io.BytesIO):
    """As many zeros as anybody asks for."""

    def read(self, size: int | None = -1) -> bytes:
        return bytes(size or 0)


@pytest.mark.parametrize("cut", [5, 40, 400])
@pytest.mark.parametrize("mode", ["gz", "bz2", "xz"])
def test_a_damaged_archive_is_named(tmp_path: Path, mode: str, cut: int) -> None:
    content = tar(tmp_path / "whole", [item("a-1/x", os.urandom(2000).hex())], mode).read_bytes()
    (tmp_path / "cut").write_bytes(content[: len(content) * cut // 1000])
    (tmp_path / "out").mkdir()
    with pytest.raises(SeatrialError, match=r"this source archive is refused") as error:
        unpack_source(tmp_path / "cut", tmp_path / "out", "a-1.tar")
    assert error.value.where == "a-1.tar"
