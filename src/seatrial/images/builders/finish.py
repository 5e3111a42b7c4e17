"""From what a builder handed out to the image: its own traces taken out, layers packed, and every byte searched.

Layers that came with a base known here keep that base's bytes, so registries have them already.
"""

from __future__ import annotations

import hashlib
import re
import tarfile
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import msgspec

from seatrial.errors import SeatrialError
from seatrial.files import atomic_writer
from seatrial.images import layout as oci
from seatrial.images.builders.passing import INSIDE
from seatrial.images.outputs.names import index_notes
from seatrial.images.unpack import opened

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from seatrial.images.builders.passing import Mark, Passing
    from seatrial.images.outputs.names import Name

_CHUNK = 1 << 20
_OURS = INSIDE.strip("/")
_MOUNT = re.compile(r"--mount=type=secret,id=seatrial-[\w.-]+,\S+ ?")


class Layer(NamedTuple):
    """A layer of the result: its blob, and the bytes that it has unpacked; `own` when the build made it."""

    descriptor: oci.Descriptor
    diff_id: str
    size: int
    own: bool


class Finished(NamedTuple):
    """The image's digest, its layers, and what was found in it that must not be there."""

    digest: str
    layers: tuple[Layer, ...]
    leaks: tuple[str, ...]


def finish(
    raw: Path, out: Path, bases: Sequence[Path], passing: Passing, names: Mapping[str, str], epoch: int | None
) -> Finished:
    """Write the image of the layout `raw` into the empty layout `out` and search it for what was passed.

    `names` are what bases were called in the build → what the user calls them. `epoch` (seconds) replaces times
    that are later: SOURCE_DATE_EPOCH.

    Raises:
        SeatrialError: what the builder wrote is damaged.
    """
    image = oci.read_image(raw)
    oci.create(out)
    known = _known(bases)
    leaks: list[str] = []
    layers = []
    for number, (blob, diff_id) in enumerate(zip(image.manifest.layers, oci.diff_ids(image), strict=True), 1):
        if diff_id in known:
            place, descriptor = known[diff_id]
            oci.link_blob(out, descriptor.digest, place)
            layers.append(Layer(descriptor, diff_id, 0, own=False))
        else:
            layers.append(_packed(raw, out, blob, passing.marks, epoch, f"layer {number}", leaks))
    config = _config(image.config, layers, passing, names, epoch)
    content = oci.encode(config)
    leaks += [
        f"{mark.kind}: the image's settings or history" for mark in passing.marks if _said(mark, content)
    ]
    manifest = oci.Manifest(
        config=oci.add_blob(out, content, oci.CONFIG), layers=tuple(one.descriptor for one in layers)
    )
    platform = oci.Platform(
        config.get("architecture", "amd64"), config.get("os", "linux"), config.get("variant", "")
    )
    top = oci.add_blob(out, oci.encode(manifest), oci.MANIFEST, platform=platform)
    oci.set_index(out, oci.Index(manifests=(top,)))
    return Finished(top.digest, tuple(layers), tuple(dict.fromkeys(leaks)))


def place(made: Path, out: Path, names: Sequence[Name] = ()) -> None:
    """Make `out` hold the image of the layout `made` and nothing else. The first of `names` is noted there."""
    oci.create(out)
    blobs = [path.name for path in (made / "blobs" / "sha256").iterdir()]
    for name in blobs:
        oci.link_blob(out, f"sha256:{name}", made / "blobs" / "sha256" / name)
    (top,) = oci.read_index(made).manifests
    if names:
        top = msgspec.structs.replace(top, annotations=index_notes(names[0]))
    oci.set_index(out, oci.Index(manifests=(top,)))
    for path in (out / "blobs" / "sha256").iterdir():
        if path.name not in blobs:
            path.unlink()


def _known(bases: Sequence[Path]) -> dict[str, tuple[Path, oci.Descriptor]]:
    found = {}
    for layout in bases:
        image = oci.read_image(layout)
        for blob, diff_id in zip(image.manifest.layers, oci.diff_ids(image), strict=True):
            found[diff_id] = (oci.blob_path(layout, blob.digest), blob)
    return found


def _said(mark: Mark, content: bytes) -> bool:
    return (
        mark.value in content or msgspec.json.encode(mark.value.decode("utf-8", "replace"))[1:-1] in content
    )


def _packed(
    raw: Path, out: Path, blob: oci.Descriptor, marks: Sequence[Mark], epoch: int | None, where: str, leaks: list[str]
) -> Layer:  # fmt: skip
    """Pack one layer again, without the folders that mounts left, and note where marks are in it."""
    temporary = out / "blobs" / "layer"
    try:
        with opened(oci.blob_path(raw, blob.digest), blob) as stream, atomic_writer(temporary) as file:
            packed = _Packed(file)
            try:
                _copy(stream, packed, marks, epoch, where, leaks)
            except tarfile.TarError as error:
                raise SeatrialError(f"{where} that the builder wrote is damaged: {error}") from error
            packed.close()
        digest = f"sha256:{packed.outer.hexdigest()}"
        temporary.replace(oci.blob_path(out, digest))
    finally:
        temporary.unlink(missing_ok=True)
    descriptor = oci.Descriptor(oci.LAYER_GZIP, digest, packed.written)
    return Layer(descriptor, f"sha256:{packed.inner.hexdigest()}", packed.size, own=True)


def _copy(
    stream: IO[bytes], packed: _Packed, marks: Sequence[Mark], epoch: int | None, where: str, leaks: list[str]
) -> None:
    with (
        tarfile.open(fileobj=stream, mode="r|") as old,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT, bufsize=_CHUNK) as new,  # type: ignore[call-overload]
    ):
        for member in old:
            name = member.name.strip("/").removeprefix("./")
            if name == _OURS or name.startswith(f"{_OURS}/"):
                continue
            if epoch is not None:
                member.mtime = min(int(member.mtime), epoch)
                member.pax_headers = {
                    k: v for k, v in member.pax_headers.items() if k not in ("mtime", "atime", "ctime")
                }
            content = old.extractfile(member) if member.isreg() else None
            searched = _Searched(content, marks) if content is not None else None
            new.addfile(member, searched)
            leaks += [f"{kind}: {where}, /{name}" for kind in (searched.found if searched else ())]


class _Searched:
    """A file that is searched while it is read, also where a mark is cut by a chunk's edge."""

    def __init__(self, content: IO[bytes], marks: Sequence[Mark]) -> None:
        self._content, self._marks, self._tail = content, marks, b""
        self._keep = max((len(mark.value) for mark in marks), default=1) - 1
        self.found: dict[str, None] = {}

    def read(self, size: int) -> bytes:
        piece = self._content.read(size)
        text = self._tail + piece
        self.found.update(dict.fromkeys(mark.kind for mark in self._marks if mark.value in text))
        self._tail = text[-self._keep :] if self._keep else b""
        return piece


class _Packed:
    """A tar stream as gzip members of one size each, so the same stream gives the same bytes; both are hashed."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._held = file, bytearray()
        self.inner, self.outer = hashlib.sha256(), hashlib.sha256()
        self.size = self.written = 0

    def write(self, data: bytes) -> int:
        self.inner.update(data)
        self.size += len(data)
        self._held += data
        while len(self._held) >= _CHUNK:
            self._put(bytes(self._held[:_CHUNK]))
            del self._held[:_CHUNK]
        return len(data)

    def close(self) -> None:
        if self._held:
            self._put(bytes(self._held))

    def _put(self, data: bytes) -> None:
        from seatrial.images.assemble.packing import gzip_member

        member = gzip_member(data)
        self.outer.update(member)
        self.written += len(member)
        self._file.write(member)


def _config(
    config: Mapping[str, Any],
    layers: Sequence[Layer],
    passing: Passing,
    names: Mapping[str, str],
    epoch: int | None,
) -> dict[str, Any]:
    """The configuration with the new layers' identities, and a history in which nothing of ours is."""
    found = dict(config)
    found["rootfs"] = {"type": "layers", "diff_ids": [one.diff_id for one in layers]}
    found["history"] = [
        entry for step in config.get("history") or [] if (entry := _history(step, passing, names, epoch))
    ]
    # Identities of this machine's containers and images, which Docker's form keeps.
    settings = {
        key: value
        for key, value in (config.get("config") or {}).items()
        if value not in (None, "", [], {}, False)
    }
    found["config"] = {key: value for key, value in settings.items() if key not in ("Image", "Hostname")}
    for key in (
        "id",
        "parent",
        "container",
        "container_config",
        "docker_version",
        "moby.buildkit.buildinfo.v1",
    ):
        found.pop(key, None)
    if epoch is not None:
        found["created"] = _time(epoch)
    return found


def _history(
    step: Mapping[str, Any], passing: Passing, names: Mapping[str, str], epoch: int | None
) -> dict[str, Any] | None:
    said = str(step.get("created_by") or "")
    text = without_ours(said, passing.variables)
    if text is None and step.get("empty_layer"):
        return None
    found = {**step, "created_by": said if text is None else text}
    if "comment" in found:
        comment = str(found["comment"])
        for name, asked in names.items():
            comment = comment.replace(name, asked)
        # Buildah names the layer below, by an identity that is this machine's.
        found["comment"] = re.sub(r"^FROM [0-9a-f]{12}$", "", comment)
        found = {k: v for k, v in found.items() if k != "comment" or v}
    if epoch is not None and "created" in found:
        found["created"] = _time(epoch)
    return found


def without_ours(said: str, variables: Mapping[str, str]) -> str | None:
    """A line of the history without our arguments and mounts; None for the line of our own ARG.

    Builders write `|2 A=b C=d /bin/sh -c …` for a RUN with arguments, and `ARG A C` for their declaration.
    """
    text = _MOUNT.sub("", said)
    declared = re.match(r"^(?:RUN )?(?:/bin/sh -c #\(nop\)\s+)?ARG\s+(.*)$", text.strip(), re.DOTALL)
    if declared:
        words = declared[1].split()
        kept = [word for word in words if word.partition("=")[0] not in variables]
        if not kept and words:
            return None
        return text.replace(declared[1], " ".join(kept)) if len(kept) < len(words) else text
    given = re.match(r"^(?P<run>(?:RUN )?)\|(?P<count>\d+) (?P<rest>.*)$", text, re.DOTALL)
    if given is None:
        return text
    rest, left = given["rest"], int(given["count"])
    for name, value in variables.items():
        if f"{name}={value} " in f"{rest} ":
            rest, left = rest.replace(f"{name}={value} ", "", 1), left - 1
    return f"{given['run']}|{left} {rest}" if left > 0 else f"{given['run']}{rest}"


def _time(epoch: int) -> str:
    import datetime as dt

    return dt.datetime.fromtimestamp(epoch, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
