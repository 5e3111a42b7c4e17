"""A real Debian root, made once per machine, and images with small layers on top of it."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from seatrial import locks
from seatrial.errors import MissingToolError
from seatrial.images import layout as oci

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PACKAGES = "usr/local/lib/python3.11/dist-packages"


class Item(NamedTuple):
    """One member of a layer; `kind` is a type of `tarfile`."""

    name: str
    content: bytes | str = b""
    mode: int = 0o644
    kind: bytes = tarfile.REGTYPE
    link: str = ""
    uid: int = 0
    gid: int = 0
    mtime: int = 1_700_000_000
    pax: dict[str, str] = {}  # noqa: RUF012 - never changed


def folder(name: str, mode: int = 0o755, **fields: Any) -> Item:
    return Item(name, mode=mode, kind=tarfile.DIRTYPE, **fields)


def symlink(name: str, target: str) -> Item:
    return Item(name, kind=tarfile.SYMTYPE, link=target)


def hardlink(name: str, target: str) -> Item:
    return Item(name, kind=tarfile.LNKTYPE, link=target)


def tar(items: Sequence[Item]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for item in items:
            content = item.content.encode() if isinstance(item.content, str) else item.content
            header = tarfile.TarInfo(item.name)
            header.mode, header.uid, header.gid, header.mtime = item.mode, item.uid, item.gid, item.mtime
            header.type, header.linkname, header.pax_headers = item.kind, item.link, item.pax
            header.size = len(content) if item.kind == tarfile.REGTYPE else 0
            archive.addfile(header, io.BytesIO(content))
    return stream.getvalue()


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def image(
    layout: Path,
    layers: Sequence[Sequence[Item] | bytes],
    settings: dict[str, Any] | None = None,
    *,
    base: Path | None = None,
    architecture: str = "amd64",
    diff_ids: Sequence[str] = (),
    **config: Any,
) -> str:
    """Write an image with these layers, given as items or as tar streams, on top of `base`; returns its digest."""
    oci.create(layout)
    descriptors: list[oci.Descriptor] = []
    identities: list[str] = []
    if base is not None:
        below = oci.read_image(base)
        for layer, diff_id in zip(below.manifest.layers, below.config["rootfs"]["diff_ids"], strict=True):
            oci.link_blob(layout, layer.digest, oci.blob_path(base, layer.digest))
            descriptors.append(layer)
            identities.append(diff_id)
    for items in layers:
        content = items if isinstance(items, bytes) else tar(items)
        descriptors.append(oci.add_blob(layout, gzip.compress(content, 1, mtime=0), oci.LAYER_GZIP))
        identities.append(digest_of(content))
    identities = list(diff_ids) or identities
    value = {
        "architecture": architecture,
        "os": "linux",
        "config": settings or {},
        "rootfs": {"type": "layers", "diff_ids": identities},
        **config,
    }
    manifest = oci.Manifest(
        config=oci.add_blob(layout, oci.encode(value), oci.CONFIG), layers=tuple(descriptors)
    )
    descriptor = oci.add_blob(layout, oci.encode(manifest), oci.MANIFEST)
    oci.set_index(layout, oci.Index(manifests=(descriptor,)))
    return descriptor.digest


def base() -> Path:
    """The layout of a Debian base with Python, kept between test runs; skips where none can be made."""
    from seatrial.images import bases
    from seatrial.images.assemble.store import using

    parent = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    place = Path(parent) / "seatrial-tests"
    place.mkdir(parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch, locks.locked(place / "lock"):
        patch.setenv("SEATRIAL_CACHE", str(place))
        try:
            with using() as use:
                return bases.prepare("debian:bookworm", use).layout
        except MissingToolError as error:
            pytest.skip(f"a Debian base cannot be made here: {error.what}")


def needs_bwrap() -> None:
    """Skip where bwrap itself may not make namespaces; not where our launcher fails."""
    if shutil.which("bwrap") is None:
        pytest.skip("bwrap is not installed: programs in images cannot be run")
    plain = ["bwrap", "--unshare-user", "--unshare-pid", "--ro-bind", "/", "/", "--proc", "/proc", "true"]
    done = subprocess.run(plain, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"bwrap may not make namespaces here: {done.stderr.strip()}")


def own_cache(factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache for one test module, so that its layers are unpacked once."""
    place = factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEATRIAL_CACHE", str(place))
        yield place
