"""Layers become folders in the store: exactly, once, and never anything outside of it."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from seatrial.errors import MissingToolError, SeatrialError
from seatrial.images import layout as oci
from seatrial.images import rootfs, runtime, unpack
from seatrial.images.runtimes.writing import Limits, write_layer
from support.debian import Item, digest_of, folder, hardlink, image, symlink, tar
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Sequence


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEATRIAL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def prepared(tmp_path: Path, *layers: Sequence[Item] | bytes) -> rootfs.Root:
    digest = image(tmp_path / "image", layers)
    return runtime.prepare(tmp_path / "image", digest)


def test_files_come_out_as_they_went_in_and_owners_stay_in_the_index(tmp_path: Path) -> None:
    root = prepared(
        tmp_path,
        [
            folder("app", 0o750, uid=1000, gid=1001),
            Item("app/run", "#!/bin/sh\n", mode=0o4755, uid=7, gid=8, mtime=1_600_000_000),
            hardlink("app/again", "app/run"),
            symlink("app/link", "/etc/passwd"),
            folder("tmp", 0o1777),
            Item("deep/er/" + "n" * 120 + "/" + "ü" * 60, b"x" * 700_000),
        ],
    )
    place = root.folder(root.layers[0])
    run = (place / "app/run").stat()
    assert (place / "app/run").read_text() == "#!/bin/sh\n"
    assert stat.S_IMODE(run.st_mode) == 0o755, "set-user-id bits do not belong into a user's cache"
    assert run.st_mtime == 1_600_000_000, "bytecode is valid for a source's time"
    assert (place / "app/again").stat().st_ino == run.st_ino
    assert (place / "app/link").readlink() == Path("/etc/passwd")
    assert stat.S_IMODE((place / "tmp").stat().st_mode) == 0o1777
    assert (place / "deep/er" / ("n" * 120) / ("ü" * 60)).stat().st_size == 700_000
    entries = {e.path: e for e in rootfs.read_layer_index(Path(root.store), root.layers[0]).entries}
    assert (entries["app/run"].mode, entries["app/run"].uid, entries["app/run"].gid) == (0o4755, 7, 8)
    assert (entries["app"].mode, entries["app"].uid, entries["app"].gid) == (0o750, 1000, 1001)


def test_a_layer_of_many_gzip_members_and_a_plain_one_give_the_same(tmp_path: Path) -> None:
    content = tar([Item(f"f{n}", str(n) * 5000) for n in range(40)])
    pieces = b"".join(gzip.compress(content[at : at + 777], mtime=0) for at in range(0, len(content), 777))
    for name, blob in (("members", pieces), ("plain", content)):
        (tmp_path / name).write_bytes(blob)
        (tmp_path / f"{name}-out").mkdir()
        layer = oci.Descriptor(oci.LAYER_GZIP, digest_of(blob), len(blob))
        with unpack.verified(tmp_path / name, layer, digest_of(content)) as stream:
            write_layer(tmp_path / f"{name}-out", stream, digest_of(content), Limits())
    for number in range(40):
        assert (tmp_path / "members-out" / f"f{number}").read_text() == str(number) * 5000
        assert (tmp_path / "plain-out" / f"f{number}").read_text() == str(number) * 5000


OUTSIDE = "OUTSIDE"
TRAVERSALS: dict[str, list[Item]] = {
    "dots": [Item("../evil", "x")],
    "dots in the middle": [Item("a/../../../evil", "x")],
    "absolute": [Item(f"{OUTSIDE}/evil", "x")],
    "ends in dots": [folder("a/..")],
    "through an absolute link": [symlink("a", OUTSIDE), Item("a/evil", "x")],
    "through a relative link": [symlink("a", "../../../../../../../.." + OUTSIDE), Item("a/evil", "x")],
    "through two links": [symlink("a", "b"), symlink("b", OUTSIDE), Item("a/evil", "x")],
    "through a link below a link": [folder("d"), symlink("d/up", ".."), symlink("e", "d/up/.."), Item("e/../evil", "x")],
    "overwriting a link": [symlink("a", f"{OUTSIDE}/evil"), Item("a", "x")],
    "folder over a link": [symlink("a", OUTSIDE), folder("a"), Item("a/evil", "x")],
    "hard link to outside": [hardlink("a", f"{OUTSIDE}/here"), Item("a", "changed")],
    "hard link with dots": [hardlink("a", f"../../../../../..{OUTSIDE}/here")],
    "hard link through a link": [symlink("d", OUTSIDE), hardlink("a", "d/here")],
    "hard link to a link, then written": [symlink("l", f"{OUTSIDE}/here"), hardlink("a", "l"), Item("a", "changed")],
    "whiteout through a link": [symlink("a", OUTSIDE), Item("a/.wh.here")],
    "opaque through a link": [symlink("a", OUTSIDE), Item("a/.wh..wh..opq")],
    "whiteout of dots": [Item("a/.wh...")],
    "whiteout of itself": [Item("a/.wh..")],
    "whiteout of nothing": [Item(".wh.")],
    "links in a circle": [symlink("a", "b"), symlink("b", "a"), Item("a/evil", "x")],
    "a file in a file": [Item("a", "x"), Item("a/evil", "x")],
    "a link's times": [symlink("a", f"{OUTSIDE}/here")],
}  # fmt: skip


@pytest.mark.parametrize("name", TRAVERSALS)
def test_nothing_outside_is_touched(name: str, tmp_path: Path, cache: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "here").write_text("as it was")
    os.utime(outside / "here", (1, 1))
    before = (outside / "here").stat()
    items = [
        i._replace(name=i.name.replace(OUTSIDE, str(outside)), link=i.link.replace(OUTSIDE, str(outside)))
        for i in TRAVERSALS[name]
    ]
    places = set(tmp_path.iterdir()) | {cache, tmp_path / "image"}
    refused = False
    try:
        prepared(tmp_path, items)
    except SeatrialError:
        refused = True
    assert len(list((cache / "rootfs/layers").iterdir())) == (0 if refused else 1)
    assert [p.name for p in outside.iterdir()] == ["here"]
    assert (outside / "here").read_text() == "as it was"
    after = (outside / "here").stat()
    assert (after.st_nlink, after.st_mtime, after.st_mode) == (
        before.st_nlink,
        before.st_mtime,
        before.st_mode,
    )
    assert set(tmp_path.iterdir()) <= places
    assert {p.name for p in cache.iterdir()} == {"rootfs"}
    assert list((cache / "rootfs/tmp").iterdir()) == []


def test_links_inside_the_layer_are_followed_inside(tmp_path: Path) -> None:
    root = prepared(
        tmp_path, [folder("usr/lib"), symlink("lib", "/usr/lib"), Item("lib/a", "1"), Item("/etc/b", "2")]
    )
    place = root.folder(root.layers[0])
    assert (place / "usr/lib/a").read_text() == "1"
    assert (place / "etc/b").read_text() == "2"


def test_devices_and_pipes_are_left_out_and_counted(tmp_path: Path) -> None:
    kinds = {"null": tarfile.CHRTYPE, "disk": tarfile.BLKTYPE, "pipe": tarfile.FIFOTYPE}
    root = prepared(tmp_path, [Item(f"dev/{name}", kind=kind) for name, kind in kinds.items()])
    index = rootfs.read_layer_index(Path(root.store), root.layers[0])
    assert index.skipped == ("dev/null", "dev/disk", "dev/pipe")
    assert list((root.folder(root.layers[0]) / "dev").iterdir()) == []


def test_extended_attributes_of_the_archive_cannot_hide_or_reveal_anything(tmp_path: Path) -> None:
    forged = {"SCHILY.xattr.user.overlay.opaque": "y", "SCHILY.xattr.user.overlay.redirect": "/etc"}
    root = prepared(tmp_path, [folder("etc"), Item("etc/a", "1")], [folder("etc", pax=forged)])
    assert os.listxattr(root.folder(root.layers[1]) / "etc") == []
    assert "etc/a" in rootfs.merged(root)


def test_what_a_later_layer_hides_is_hidden(tmp_path: Path) -> None:
    root = prepared(
        tmp_path,
        [
            folder("d"),
            Item("d/old", "1"),
            Item("d/kept", "1"),
            Item("e/old", "1"),
            Item("f/g/h", "1"),
            Item("x", "1"),
        ],
        [
            Item("d/.wh.old"),
            Item("e/.wh..wh..opq"),
            Item("e/new", "2"),
            Item("f", "a file now"),
            Item(".wh.x"),
        ],
        [Item("x/y", "3")],
    )
    seen = {path for path, (_, entry) in rootfs.merged(root).items() if entry.kind == "f"}
    assert seen == {"d/kept", "e/new", "f", "x/y"}
    for path in ("d/kept", "e/new", "f", "x/y"):
        found = rootfs.locate(root, path)[1]
        assert found is not None
        assert found.is_file()
    for path in ("d/old", "e/old", "f/g/h", "f/g"):
        assert rootfs.locate(root, path)[1] is None
    assert stat.S_ISCHR((root.folder(root.layers[1]) / "d/old").lstat().st_mode)


def test_a_whiteout_speaks_of_lower_layers_only(tmp_path: Path) -> None:
    low = [Item("d/old", "1"), Item("g", "1")]
    both = [Item("d/new", "2"), Item(".wh.d"), Item(".wh.g"), Item("g", "2")]
    root = prepared(tmp_path, low, both)
    seen = {path: layer for path, (layer, entry) in rootfs.merged(root).items() if entry.kind == "f"}
    assert seen == {"d/new": root.layers[1], "g": root.layers[1]}
    assert rootfs.locate(root, "/d/old")[1] is None


def test_links_are_resolved_as_in_the_image(tmp_path: Path) -> None:
    root = prepared(
        tmp_path,
        [
            folder("usr/bin"),
            symlink("bin", "usr/bin"),
            symlink("up", "../../../usr"),
            symlink("loop", "loop"),
        ],
        [Item("usr/bin/sh", "x")],
    )
    assert rootfs.locate(root, "/bin/sh") == ("/usr/bin/sh", root.folder(root.layers[1]) / "usr/bin/sh")
    assert rootfs.locate(root, "up/bin/../bin/sh")[0] == "/usr/bin/sh"
    assert rootfs.locate(root, "../../../../../etc/passwd") == ("/etc/passwd", None)
    assert rootfs.locate(root, "loop/x")[1] is None
    assert rootfs.locate(root, "/bin/new/one") == ("/usr/bin/new/one", None)


@pytest.mark.parametrize(
    ("content", "limits"),
    [
        (tar([Item("zeros", b"\0" * (3 << 20))]), Limits(free_bytes=1 << 20, ratio=50)),
        (tar([Item("zeros", os.urandom(3 << 20))]), Limits(total_bytes=1 << 20)),
        (tar([Item(f"f{n}") for n in range(30)]), Limits(entries=20)),
    ],
    ids=["ratio", "bytes", "members"],
)
def test_a_layer_that_grows_without_measure_is_refused(
    content: bytes, limits: Limits, tmp_path: Path, cache: Path
) -> None:
    image(tmp_path / "image", [content])
    found = oci.read_image(tmp_path / "image")
    with pytest.raises(SeatrialError, match="layer"):
        unpack.unpack(tmp_path / "image", found.manifest.layers[0], digest_of(content), limits)
    assert list((cache / "rootfs/layers").iterdir()) == list((cache / "rootfs/tmp").iterdir()) == []


def _huge_header() -> bytes:
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 1 << 40
    return header.tobuf(tarfile.GNU_FORMAT) + b"\0" * 2048


def _bad_checksum() -> bytes:
    content = bytearray(tar([Item("a", "x")]))
    content[3] ^= 1
    return bytes(content)


@pytest.mark.parametrize(
    "content",
    [
        _huge_header(),
        _bad_checksum(),
        tar([Item("a", b"x" * 5000)])[:2000],
        tar([Item("a" * 300, "x")])[:700],
        b"not a tar archive at all" * 100,
    ],
    ids=["huge header", "checksum", "cut in a file", "cut in a header", "no archive"],
)
def test_damaged_archives_are_refused_and_leave_nothing(content: bytes, tmp_path: Path, cache: Path) -> None:
    with pytest.raises(SeatrialError, match="damaged"):
        prepared(tmp_path, content)
    assert list((cache / "rootfs/layers").iterdir()) == list((cache / "rootfs/tmp").iterdir()) == []


def test_a_cut_gzip_stream_is_damaged(tmp_path: Path) -> None:
    content = tar([Item("a", os.urandom(100_000))])
    blob = gzip.compress(content)[:-50_000]
    (tmp_path / "blob").write_bytes(blob)
    (tmp_path / "out").mkdir()
    layer = oci.Descriptor(oci.LAYER_GZIP, digest_of(blob), len(blob))
    with (
        pytest.raises(SeatrialError, match="damaged"),
        unpack.verified(tmp_path / "blob", layer, digest_of(content)) as stream,
    ):
        write_layer(tmp_path / "out", stream, digest_of(content), Limits())


def test_content_that_is_not_what_the_configuration_says_is_refused(tmp_path: Path, cache: Path) -> None:
    other = f"sha256:{hashlib.sha256(b'other').hexdigest()}"
    digest = image(tmp_path / "image", [[Item("a", "x")]], diff_ids=[other])
    with pytest.raises(SeatrialError, match="not what the image's configuration says"):
        runtime.prepare(tmp_path / "image", digest)
    assert list((cache / "rootfs/layers").iterdir()) == []


def test_a_killed_unpacking_leaves_nothing_that_the_next_does_not_remove(tmp_path: Path, cache: Path) -> None:
    digest = image(tmp_path / "image", [[Item(f"d{n % 50}/f{n}", "x" * 2000) for n in range(6000)]])
    code = (
        "import sys, pathlib; from seatrial.images import runtime; runtime.prepare(pathlib.Path(sys.argv[1]))"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "image")])
    waiting = cache / "rootfs/tmp"
    until(lambda: waiting.is_dir() and any((p / "d1").is_dir() for p in waiting.iterdir()), "unpacking began")
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert list((cache / "rootfs/layers").iterdir()) == []
    assert list(waiting.iterdir()) != []
    root = runtime.prepare(tmp_path / "image", digest)
    assert list(waiting.iterdir()) == []
    assert sum(1 for p in root.folder(root.layers[0]).rglob("f*") if p.is_file()) == 6000


def test_two_at_a_time_unpack_once(tmp_path: Path) -> None:
    digest = image(tmp_path / "image", [[Item(f"f{n}", "x") for n in range(800)]])
    roots: list[rootfs.Root] = []
    threads = [
        threading.Thread(target=lambda: roots.append(runtime.prepare(tmp_path / "image", digest)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(roots) == 4
    assert len({root.layers for root in roots}) == 1
    assert len(list(roots[0].folder(roots[0].layers[0]).iterdir())) == 800


def test_a_layer_can_be_removed_and_comes_back(tmp_path: Path) -> None:
    root = prepared(tmp_path, [Item("a", "x")])
    assert unpack.remove(root.layers[0])
    assert not root.folder(root.layers[0]).exists()
    again = runtime.prepare(tmp_path / "image")
    assert (again.folder(again.layers[0]) / "a").read_text() == "x"


def test_an_image_that_lacks_a_layer_says_so(tmp_path: Path) -> None:
    image(tmp_path / "image", [[Item("a", "x")]])
    found = oci.read_image(tmp_path / "image")
    oci.blob_path(tmp_path / "image", found.manifest.layers[0].digest).unlink()
    with pytest.raises(SeatrialError, match="a layer is missing"):
        runtime.prepare(tmp_path / "image")


def zstd(content: bytes) -> bytes:
    if shutil.which("zstd") is None:
        pytest.skip("zstd is not installed: no such layer can be made")
    return subprocess.run(["zstd", "-q", "-c"], input=content, capture_output=True, check=True).stdout


def read_zstd(tmp_path: Path, blob: bytes, diff_id: str, limits: Limits = Limits()) -> list[str]:  # noqa: B008 - frozen
    (tmp_path / "blob").write_bytes(blob)
    layer = oci.Descriptor("application/vnd.oci.image.layer.v1.tar+zstd", digest_of(blob), len(blob))
    with unpack.verified(tmp_path / "blob", layer, diff_id, limits) as stream:
        return [member.name for member in stream.members()]


def test_a_layer_of_several_zstd_frames_is_read(tmp_path: Path) -> None:
    content = tar([Item(f"f{n}", os.urandom(300_000)) for n in range(3)])
    skipped = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"
    blob = skipped + zstd(content[:100_000]) + zstd(content[100_000:])
    assert read_zstd(tmp_path, blob, digest_of(content)) == ["f0", "f1", "f2"]


def test_a_zstd_layer_that_is_cut_off_or_changed_is_refused(tmp_path: Path) -> None:
    content = tar([Item("f", os.urandom(300_000))])
    whole = zstd(content)
    for blob in (whole[:-5000], whole + b"garbage", whole[:5000] + bytes(200) + whole[5200:]):
        with pytest.raises(SeatrialError, match=r"damaged|content is not"):
            read_zstd(tmp_path, blob, digest_of(content))


def test_a_zstd_bomb_is_stopped_at_its_limit(tmp_path: Path) -> None:
    blob = zstd(tar([Item("zeros", bytes(64 << 20))]))
    assert len(blob) < 20_000
    with pytest.raises(SeatrialError, match="unpacks to more than"):
        read_zstd(tmp_path, blob, "sha256:" + "0" * 64, Limits(free_bytes=8 << 20))


def test_without_anything_that_unpacks_zstd_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = zstd(tar([Item("f", "x")]))
    for name in ("compression.zstd", "zstandard"):
        if importlib.util.find_spec(name.partition(".")[0]) is not None:
            pytest.skip("this Python unpacks zstd by itself")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingToolError, match="packed with zstd"):
        read_zstd(tmp_path, blob, "sha256:" + "0" * 64)
