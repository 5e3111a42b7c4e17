"""Base images that were damaged or made to harm, each with what must be said of it by whoever reads it."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from typing import TYPE_CHECKING, Any, NamedTuple

from seatrial.images import layout as oci
from support.debian import Item, digest_of, folder, hardlink, symlink, tar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

OUTSIDE = "OUTSIDE"
ZSTD = b"\x28\xb5\x2f\xfd" + bytes(60)


class Case(NamedTuple):
    """`write` makes the image in a layout; `read` and `unpack` are what is said when its files are looked at and
    when it is unpacked (empty: it is taken, and nothing gets out of it)."""

    write: Callable[[Path], None]
    read: str = ""
    unpack: str = ""


def image(
    layout: Path, layers: Sequence[bytes], *, kinds: Sequence[str] = (), config: Any = None, diff_ids: Sequence[str] = (),
    manifest: dict[str, Any] | None = None, media: str = oci.MANIFEST,
) -> str:  # fmt: skip
    """Write an image of these plain layers; whatever is given besides replaces what would be true."""
    oci.create(layout)
    described = []
    for number, content in enumerate(layers):
        blob = (
            gzip.compress(content, 1, mtime=0) if not content.startswith((b"\x1f\x8b", ZSTD[:4])) else content
        )
        kind = kinds[number] if kinds else oci.LAYER_GZIP
        described.append(oci.add_blob(layout, blob, kind))
    ids = list(diff_ids) or [digest_of(content) for content in layers]
    value = {
        "architecture": "amd64", "os": "linux", "config": {"Env": ["PATH=/usr/local/bin:/usr/bin"]},
        "rootfs": {"type": "layers", "diff_ids": ids},
    }  # fmt: skip
    value = value if config is None else config(value) if callable(config) else config
    top = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "config": _plain(oci.add_blob(layout, json.dumps(value).encode(), oci.CONFIG)),
        "layers": [_plain(one) for one in described],
        **(manifest or {}),
    }
    return _index(layout, json.dumps(top).encode(), media)


def _plain(one: oci.Descriptor) -> dict[str, Any]:
    return {"mediaType": one.media_type, "digest": one.digest, "size": one.size}


def _index(layout: Path, content: bytes, media: str) -> str:
    described = oci.add_blob(layout, content, media)
    text = {"schemaVersion": 2, "manifests": [_plain(described)]}
    (layout / "index.json").write_text(json.dumps(text))
    return described.digest


def items(*members: Item) -> Callable[[Path], None]:
    """An image of one layer; OUTSIDE stands for a folder beside the layout."""

    def write(layout: Path) -> None:
        outside = str(layout.parent / "outside")
        named = [
            m._replace(name=m.name.replace(OUTSIDE, outside), link=m.link.replace(OUTSIDE, outside))
            for m in members
        ]
        image(layout, [tar(named)])

    return write


def raw(content: Callable[[], bytes], **changes: Any) -> Callable[[Path], None]:
    """An image of one layer with these bytes."""

    def write(layout: Path) -> None:
        image(layout, [content()], **changes)

    return write


def _pax(records: bytes, *, kind: bytes = tarfile.XHDTYPE, name: str = "a", size: int = 1) -> bytes:
    extended = tarfile.TarInfo("pax")
    extended.type, extended.size = kind, len(records)
    head = extended.tobuf(tarfile.USTAR_FORMAT) + records + bytes(-len(records) % 512)
    plain = tarfile.TarInfo(name)
    plain.size = size
    return head + plain.tobuf(tarfile.USTAR_FORMAT) + (b"x" * size) + bytes(-size % 512) + bytes(1024)


def _record(key: str, value: bytes) -> bytes:
    body = b" " + key.encode() + b"=" + value + b"\n"
    length = len(body) + 1
    while len(str(length)) + len(body) != length:
        length = len(str(length)) + len(body)
    return str(length).encode() + body


def _sparse() -> bytes:
    return _pax(_record("GNU.sparse.major", b"1") + _record("GNU.sparse.realsize", b"999999999999"))


def _gnu_long() -> bytes:
    name = b"n" * 9000 + b"\0"
    extended = tarfile.TarInfo("././@LongLink")
    extended.type, extended.size = tarfile.GNUTYPE_LONGNAME, len(name)
    head = extended.tobuf(tarfile.GNU_FORMAT) + name + bytes(-len(name) % 512)
    return head + tarfile.TarInfo("short").tobuf(tarfile.GNU_FORMAT) + bytes(1024)


def _huge_header() -> bytes:
    extended = tarfile.TarInfo("pax")
    extended.type, extended.size = tarfile.XHDTYPE, 1 << 40
    return extended.tobuf(tarfile.GNU_FORMAT) + bytes(4096)


def _checksum() -> bytes:
    content = bytearray(tar([Item("a", "x")]))
    content[0] ^= 1
    return bytes(content)


def _bomb() -> bytes:
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=9, mtime=0) as stream:
        entry = tarfile.TarInfo("zeros")
        entry.size = 3 << 30
        stream.write(entry.tobuf(tarfile.GNU_FORMAT))
        for _ in range(140):
            stream.write(bytes(8 << 20))
    return out.getvalue()


def _names() -> bytes:
    """Every member has a path as long as Linux takes: remembering them is the harm."""
    one = _pax(_record("path", b"/".join([b"d" * 250] * 12)), size=0)[:-1024]
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1, mtime=0) as stream:
        for _ in range(100):
            stream.write(one * 450)
    return out.getvalue()


def after(write: Callable[[Path], None], change: Callable[[Path, Path], object]) -> Callable[[Path], None]:
    """An image whose first layer's blob is changed afterwards."""

    def both(layout: Path) -> None:
        write(layout)
        blob = oci.blob_path(layout, oci.read_image(layout).manifest.layers[0].digest)
        change(layout, blob)

    return both


FINE = items(folder("etc"), Item("etc/x", "1"))
OTHER = digest_of(b"other")


def _nested(layout: Path) -> None:
    """An index of an index of an index …"""
    digest = image(layout, [tar([Item("a")])])
    content = oci.blob_path(layout, digest).read_bytes()
    described, media = oci.add_blob(layout, content, oci.MANIFEST), oci.INDEX
    for _ in range(3000):
        text = {"schemaVersion": 2, "manifests": [_plain(described)]}
        described = oci.add_blob(layout, json.dumps(text).encode(), media)
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [_plain(described)]}))


def _as_index(layout: Path) -> None:
    """The manifest is announced as an index."""
    image(layout, [tar([Item("a")])], media=oci.INDEX)


def _both(layout: Path) -> None:
    """One document that is a manifest to some and an index to others (CVE-2021-41190)."""
    image(layout, [tar([Item("a")])], manifest={"manifests": []})


def _other_type(layout: Path) -> None:
    image(layout, [tar([Item("a")])], manifest={"mediaType": oci.INDEX})


def _many_layers(layout: Path) -> None:
    content = tar([Item("a")])
    blob = gzip.compress(content, mtime=0)
    oci.create(layout)
    one = _plain(oci.add_blob(layout, blob, oci.LAYER_GZIP))
    image(layout, [content], diff_ids=[digest_of(content)] * 10_000, manifest={"layers": [one] * 10_000})


def _large_json(layout: Path) -> None:
    image(
        layout, [tar([Item("a")])], config=lambda value: {**value, "history": [{"comment": "x" * (20 << 20)}]}
    )


def _deep_json(layout: Path) -> None:
    digest = image(layout, [tar([Item("a")])])
    manifest = json.loads(oci.blob_path(layout, digest).read_bytes())
    deep = b'{"rootfs":{"diff_ids":[]},"x":' + b"[" * 500_000 + b"]" * 500_000 + b"}"
    manifest["config"] = _plain(oci.add_blob(layout, deep, oci.CONFIG))
    _index(layout, json.dumps(manifest).encode(), oci.MANIFEST)


def _escaping_digest(layout: Path) -> None:
    image(
        layout,
        [tar([Item("a")])],
        manifest={
            "layers": [{"mediaType": oci.LAYER_GZIP, "digest": "sha256:../../../etc/passwd", "size": 1}]
        },
    )


def _config(**changes: Any) -> Callable[[Path], None]:
    return raw(lambda: tar([Item("a")]), config=lambda value: {**value, **changes})


NONE = "configuration is none|not what it should be"
CIRCLE = [symlink("a", "b"), symlink("b", "a"), Item("a/evil", "x")]
CASES: dict[str, Case] = {
    "climbs up": Case(items(Item("../evil", "x")), "outside of itself", "outside of itself"),
    "climbs up in the middle": Case(items(Item("a/../../evil", "x")), "outside of itself", "outside of itself"),
    "absolute name": Case(items(Item(f"{OUTSIDE}/evil", "x"))),
    "through a link": Case(items(symlink("a", OUTSIDE), Item("a/evil", "x"))),
    "through a relative link": Case(items(symlink("a", "../../../../../../../.." + OUTSIDE), Item("a/evil", "x"))),
    "over a link": Case(items(symlink("a", f"{OUTSIDE}/here"), Item("a", "changed"))),
    "whiteout through a link": Case(items(symlink("a", OUTSIDE), Item("a/.wh.here"))),
    "hard link to outside": Case(items(hardlink("a", f"{OUTSIDE}/here"), Item("a", "changed")), "", "not in it"),
    "hard link that climbs up": Case(items(hardlink("a", f"../../../../../..{OUTSIDE}/here")), "", "hard link"),
    "links in a circle": Case(items(*CIRCLE), "in a circle", "in a circle"),
    "a file in a file": Case(items(Item("a", "x"), Item("a/evil", "x")), "", "file inside a file"),
    "devices": Case(items(Item("dev/disk", kind=tarfile.BLKTYPE), Item("dev/pipe", kind=tarfile.FIFOTYPE))),
    "set-user-id": Case(items(Item("bin/su", "x", mode=0o6755))),
    "whiteout of dots": Case(items(Item("a/.wh...")), "", "whiteout of nothing"),
    "whiteout of nothing": Case(items(Item(".wh.")), "", "whiteout of nothing"),
    "bookkeeping of aufs": Case(items(Item(".wh..wh.plnk", "x"), Item(".wh..wh.aufs", "x"))),
    "opaque root": Case(items(Item(".wh..wh..opq"))),
    "very deep": Case(items(Item("d/" * 1500 + "x", "x")), "nested more than", "nested more than"),
    "a name longer than a path": Case(raw(_gnu_long), "a name of", "a name of"),
    "names without end": Case(raw(_names), "looks like a bomb|cannot unpack", "looks like a bomb"),
    "no archive": Case(raw(lambda: b"not a tar archive at all" * 100), "damaged", "damaged"),
    "cut archive": Case(raw(lambda: tar([Item("a", b"x" * 5000)])[:2000]), "ends inside", "ends inside"),
    "wrong checksum": Case(raw(_checksum), "checksum", "checksum"),
    "a header without end": Case(raw(_huge_header), "extended header of", "extended header of"),
    "sparse file": Case(raw(_sparse), "sparse", "sparse"),
    "size by pax that is too large": Case(raw(lambda: _pax(_record("size", b"99999999"))), "ends inside", "ends inside"),
    "size by pax that is too small": Case(raw(lambda: _pax(_record("size", b"1"), size=2000)), "damaged", "damaged"),
    "negative size by pax": Case(raw(lambda: _pax(_record("size", b"-5"))), "negative size", "negative size"),
    "a number that is none": Case(raw(lambda: _pax(_record("size", b"many"))), "number that is none", "number that is none"),
    "time that is none": Case(raw(lambda: _pax(_record("mtime", b"nan"))), "cannot be", "cannot be"),
    "time without end": Case(raw(lambda: _pax(_record("mtime", b"1e300"))), "cannot be", "cannot be"),
    "owner beyond all": Case(raw(lambda: _pax(_record("uid", b"99999999999999"))), "cannot be", "cannot be"),
    "zero byte by pax": Case(raw(lambda: _pax(_record("path", b"a\0b"))), "zero byte", "zero byte"),
    "path by pax that climbs up": Case(raw(lambda: _pax(_record("path", b"good") + _record("path", b"../evil"))), "outside of itself", "outside of itself"),
    "wrong length by pax": Case(raw(lambda: _pax(b"99 path=x\n")), "damaged", "damaged"),
    "gzip bomb": Case(raw(_bomb, diff_ids=[OTHER]), "decompression bomb", "decompression bomb"),
    "other content": Case(raw(lambda: tar([Item("a")]), diff_ids=[OTHER]), "not what the image's configuration says", "not what the image's configuration says"),
    "cut blob": Case(after(FINE, lambda _, blob: blob.write_bytes(blob.read_bytes()[:-30])), "damaged", "damaged"),
    "other blob": Case(after(FINE, lambda _, blob: blob.write_bytes(gzip.compress(tar([Item("etc/y")])))), "damaged|not what", "damaged|not what"),
    "same content packed otherwise": Case(after(FINE, lambda _, blob: blob.write_bytes(gzip.compress(gzip.decompress(blob.read_bytes()), 9))), "damaged", "damaged"),
    "bytes after the blob": Case(after(FINE, lambda _, blob: blob.write_bytes(blob.read_bytes() + b"evil")), "damaged", "damaged"),
    "no blob": Case(after(FINE, lambda _, blob: blob.unlink()), "missing", "missing"),
    "zstd": Case(raw(lambda: ZSTD, kinds=["application/vnd.oci.image.layer.v1.tar+zstd"]), "zstd|configuration says", "zstd|configuration says"),
    "zstd that says gzip": Case(raw(lambda: ZSTD), "damaged|configuration says", "damaged|configuration says"),
    "not distributable": Case(raw(lambda: tar([Item("a")]), kinds=["application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"]), "may not be distributed", "may not be distributed"),
    "foreign": Case(raw(lambda: tar([Item("a")]), kinds=["application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"]), "may not be distributed", "may not be distributed"),
    "a layer of another kind": Case(raw(lambda: tar([Item("a")]), kinds=["text/html"]), "has the type text/html", "has the type text/html"),
    "indexes in indexes": Case(_nested, "nested more than", "nested more than"),
    "manifest as index": Case(_as_index, "or more than that|not what it should be", "or more than that|not what it should be"),
    "manifest and index": Case(_both, "or more than that", "or more than that"),
    "manifest that says index": Case(_other_type, "or more than that", "or more than that"),
    "ten thousand layers": Case(_many_layers, "has 10000 layers", "has 10000 layers"),
    "large configuration": Case(_large_json, "more than 16777216 bytes", "more than 16777216 bytes"),
    "deep configuration": Case(_deep_json, "not what it should be", "not what it should be"),
    "a digest that is a path": Case(_escaping_digest, "is not a sha256 digest", "is not a sha256 digest"),
    "configuration that is a list": Case(raw(lambda: tar([Item("a")]), config=[]), NONE, NONE),
    "no rootfs": Case(raw(lambda: tar([Item("a")]), config={}), NONE, NONE),
    "rootfs that is a list": Case(_config(rootfs=[]), NONE, NONE),
    "diff_ids that are numbers": Case(_config(rootfs={"diff_ids": [1]}), NONE, NONE),
    "diff_ids that are no digests": Case(_config(rootfs={"diff_ids": ["sha256:/etc"]}), "not a sha256 digest", "not a sha256 digest"),
    "too few diff_ids": Case(_config(rootfs={"diff_ids": []}), "1 layers and 0 diff_ids", "1 layers and 0 diff_ids"),
    "environment that is a text": Case(_config(config={"Env": "PATH=/evil"}), NONE, NONE),
    "command of numbers": Case(_config(config={"Cmd": [1, 2]}), NONE, NONE),
    "labels that are a list": Case(_config(config={"Labels": ["a"]}), NONE, NONE),
}  # fmt: skip
