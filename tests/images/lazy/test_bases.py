"""Layers that others made are written again with everything that is in them."""

from __future__ import annotations

import gzip
import io
import tarfile
from typing import TYPE_CHECKING

import pytest

from seatrial.errors import SeatrialError
from seatrial.images import layout as oci
from seatrial.images.assemble.store import using
from seatrial.images.bases import Base
from seatrial.images.lazy.base import lazy_base
from support import estargz

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEATRIAL_CACHE", str(tmp_path / "cache"))


def foreign_layer(*, form: int = tarfile.PAX_FORMAT, names: tuple[str, ...] = ()) -> bytes:
    """What is found in images of distributions, uncompressed."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=form) as archive:

        def add(name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"", **fields: object) -> None:
            entry = tarfile.TarInfo(name)
            entry.type, entry.size, entry.mtime = kind, len(content), 1_600_000_000
            for key, value in fields.items():
                setattr(entry, key, value)
            archive.addfile(entry, io.BytesIO(content))

        add("./dev", tarfile.DIRTYPE, mode=0o755)
        add("./dev/null", tarfile.CHRTYPE, mode=0o666, devmajor=1, devminor=3)
        add("./dev/loop", tarfile.BLKTYPE, mode=0o660, devmajor=7, devminor=300)
        add("./run/pipe", tarfile.FIFOTYPE, mode=0o600)
        add("./usr/bin/su", content=b"#!" * 3000, mode=0o4755, uid=3_000_000, uname="odd")
        add("./usr/bin/also", tarfile.LNKTYPE, linkname="./usr/bin/su")
        add("./usr/bin/sh", tarfile.SYMTYPE, linkname="dash", mode=0o777)
        add("./usr/share/" + "deep/" * 40 + "file", content=b"deep")
        add("./usr/lib/libüber.so", content=bytes(range(256)) * 20_000)
        if form == tarfile.PAX_FORMAT:
            add(
                "./usr/bin/ping",
                content=b"ping",
                pax_headers={"SCHILY.xattr.security.capability": "\x01\x00\x02"},
            )
        add("./etc/.wh.removed")
        for name in names:
            add(name, content=b"x")
    return raw.getvalue()


def based_on(folder: Path, *layers: bytes, notes: dict[str, str] | None = None) -> Base:
    """A layout with these layers, plain; `notes` are annotations of the last."""
    oci.create(folder)
    blobs = [oci.add_blob(folder, layer, oci.LAYER_GZIP.removesuffix("+gzip")) for layer in layers]
    config = {"architecture": "amd64", "os": "linux", "config": {"Env": ["A=b"]}, "rootfs": {
        "type": "layers", "diff_ids": [blob.digest for blob in blobs]}}  # fmt: skip
    if notes:
        blobs[-1] = oci.Descriptor(blobs[-1].media_type, blobs[-1].digest, blobs[-1].size, notes)
    manifest = oci.Manifest(config=oci.add_blob(folder, oci.encode(config), oci.CONFIG), layers=tuple(blobs))
    top = oci.add_blob(folder, oci.encode(manifest), oci.MANIFEST, platform=oci.Platform("amd64"))
    oci.set_index(folder, oci.Index(manifests=(top,)))
    return Base(layout=folder, digest=top.digest, platform="linux/amd64", name="./base")


def made(base: Base, first: tuple[str, ...] = ()) -> tuple[Base, oci.Image, list[bytes]]:
    with using() as use:
        found = lazy_base(base, use, first)
        image = oci.read_image(found.layout, digest=found.digest)
        layers = [oci.blob_path(found.layout, one.digest).read_bytes() for one in image.manifest.layers]
    return found, image, layers


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT], ids=["pax", "gnu"])
def test_everything_of_a_layer_is_kept(tmp_path: Path, form: int) -> None:
    layer = foreign_layer(form=form)
    base = based_on(tmp_path / "base", layer)
    found, image, (blob,) = made(base)

    assert estargz.tree(blob) == estargz.tree(layer)
    assert oci.diff_ids(image) == [estargz.sha256(_plain(blob))]
    assert image.config["config"] == {"Env": ["A=b"]}
    assert (found.name, found.origin, found.made_now) == ("./base", base.digest, True)
    assert found.digest != base.digest


def test_the_table_says_what_special_files_are(tmp_path: Path) -> None:
    _, image, (blob,) = made(based_on(tmp_path / "base", foreign_layer()))
    opened = estargz.of_bytes(blob)
    rows = {row["name"]: row for row in opened.rows if row["type"] != "chunk"}

    assert [rows[f"./dev/{n}"].get(k) for n in ("null", "loop") for k in ("type", "devMajor", "devMinor")] == [
        "char", 1, 3, "block", 7, 300,
    ]  # fmt: skip
    assert rows["./run/pipe"]["type"] == "fifo"
    assert (rows["./usr/bin/su"]["mode"], rows["./usr/bin/su"]["uid"]) == (0o4755, 3_000_000)
    assert rows["./usr/bin/also"]["linkName"] == "./usr/bin/su"
    assert rows["./usr/bin/ping"]["xattrs"] == {"security.capability": "AQAC"}
    assert opened.read("./usr/share/" + "deep/" * 40 + "file") == b"deep"
    assert len(opened.chunks("./usr/lib/libüber.so")) == 2
    assert image.manifest.layers[0].annotations["containerd.io/snapshot/stargz/toc.digest"] == opened.digest


def test_it_is_made_once_and_is_the_same_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = based_on(tmp_path / "base", foreign_layer())
    first = made(base)[0]
    again = made(base)[0]
    monkeypatch.setenv("SEATRIAL_CACHE", str(tmp_path / "other"))
    elsewhere = made(base)[0]

    assert (again.digest, again.layout, again.made_now) == (first.digest, first.layout, False)
    assert (elsewhere.digest, elsewhere.made_now) == (first.digest, True)


def test_a_base_that_is_lazy_already_stays_as_it_is(tmp_path: Path) -> None:
    lazy, _, (blob,) = made(based_on(tmp_path / "base", foreign_layer()))

    assert made(lazy)[0] == lazy
    # Where its manifest does not say so, table and landmark are made anew, not a second time.
    _, _, (again,) = made(based_on(tmp_path / "unpacked", _plain(blob)))
    assert again == blob


def test_files_that_are_needed_first_come_first(tmp_path: Path) -> None:
    _, _, (blob,) = made(based_on(tmp_path / "base", foreign_layer()), ("/usr/bin/also",))

    assert estargz.order(blob)[:2] == ["./usr/bin/su", ".prefetch.landmark"]
    assert estargz.tree(blob) == estargz.tree(foreign_layer())


def test_a_layer_that_cannot_be_written_so_stays_and_is_named(tmp_path: Path) -> None:
    odd = foreign_layer(form=tarfile.GNU_FORMAT, names=("bad\udcff",))
    found, image, layers = made(based_on(tmp_path / "base", foreign_layer(), odd))

    assert layers[1] == odd
    assert [bool(one.annotations) for one in image.manifest.layers] == [True, False]
    assert found.notes == ("1 of the base's layers cannot be pulled lazily: a name in them is not UTF-8",)


def test_a_damaged_layer_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    base = based_on(tmp_path / "base", foreign_layer())
    blob = oci.blob_path(base.layout, oci.read_image(base.layout).manifest.layers[0].digest)
    content = bytearray(blob.read_bytes())
    content[700_000] ^= 1
    blob.write_bytes(content)

    with pytest.raises(SeatrialError, match="not what the image's configuration says") as caught:
        made(base)
    assert caught.value.where == f"layer sha256:{blob.name}"
    assert not list((tmp_path / "cache" / "layers").iterdir())
    assert not list((tmp_path / "cache" / "scratch").iterdir())


def _plain(blob: bytes) -> bytes:
    return gzip.decompress(blob)


def test_a_layer_of_headers_without_end_is_refused(tmp_path: Path) -> None:
    comment = tarfile.TarInfo("x")
    comment.pax_headers = {"comment": "c" * 900_000}
    # A pax header alone, again and again, without the entry that it belongs to.
    headers = comment.tobuf(tarfile.PAX_FORMAT)[:-512] * 12
    base = based_on(tmp_path / "base", headers + bytes(1024))

    with pytest.raises(SeatrialError, match="bytes of headers"):
        made(base)
