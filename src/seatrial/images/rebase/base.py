"""Which base an image stands on, and which one it is to stand on. Nothing of it is guessed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from seatrial.errors import SeatrialError, UsageError
from seatrial.images import layout as oci
from seatrial.images.assemble.store import Use, scratch
from seatrial.images.rebase.source import manifest_only, platform_of, read_cached

if TYPE_CHECKING:
    from seatrial.images.bases import Base

NAME = "org.opencontainers.image.base.name"
DIGEST = "org.opencontainers.image.base.digest"
ASSEMBLED = "seatrial image assemble: "
# The first layer of every assembly; an image assembled on an assembled base has several.
_GROUND = re.compile(re.escape(ASSEMBLED) + r"user \S+, folders(, removes \d+ files)?")
_PACKAGES = re.compile(rf"(?:{re.escape(ASSEMBLED)})?debian packages: (.+)")
_SUITE = re.compile(r"(debian|ubuntu):[a-z][a-z0-9-]*")
_HOW_TO_SAY = (
    "name it with --from: a reference, a layout folder, or how many of the image's layers are the base's"
)


class Told(NamedTuple):
    """What an image says of its base, in `annotations` of a manifest or in labels; empty when nothing."""

    name: str
    digest: str
    annotations: bool


class OldBase(NamedTuple):
    """The first `layers` layers of an image. `image` is the base itself, None when it cannot be had any more.

    `how` says what it is known from, `name` and `digest` are empty when not known. `packages` were installed on
    top of it, in the last of the layers; `whole` is the digest of a manifest with exactly these layers, or empty.
    """

    layers: int
    name: str
    digest: str
    how: str
    image: oci.Image | None
    packages: tuple[str, ...] = ()
    whole: str = ""

    @property
    def config(self) -> dict[str, Any] | None:
        return None if self.image is None else self.image.config


def told(image: oci.Image, index: oci.Index | None) -> Told:
    """What the image says of its base. Source: OCI image-spec v1.1, annotations.md."""
    for notes in (image.manifest.annotations, image.descriptor.annotations):
        if DIGEST in notes or NAME in notes:
            return Told(notes.get(NAME, ""), notes.get(DIGEST, ""), annotations=True)
    labels = (image.config.get("config") or {}).get("Labels") or {}
    if DIGEST in labels or NAME in labels:
        return Told(labels.get(NAME, ""), labels.get(DIGEST, ""), annotations=False)
    notes = index.annotations if index else {}
    return Told(notes.get(NAME, ""), notes.get(DIGEST, ""), annotations=True)


def history(image: oci.Image) -> list[str]:
    """What made each layer, in the order of the layers; empty texts when the history does not fit them."""
    entries = [e for e in image.config.get("history") or () if not e.get("empty_layer")]
    if len(entries) != len(image.manifest.layers):
        return [""] * len(image.manifest.layers)
    return [str(entry.get("created_by") or "") for entry in entries]


def assembled_from(image: oci.Image) -> int | None:
    """The number of the first layer that the last assembly added; None when Seatrial did not make the image."""
    grounds = [number for number, text in enumerate(history(image)) if _GROUND.fullmatch(text)]
    return grounds[-1] if grounds else None


def old_base(image: oci.Image, said: Told, given: str | None, *, insecure: bool) -> OldBase:
    """The base that the image stands on, compared with the image's own first layers.

    Raises:
        SeatrialError: it is not known, or it is another one than was said.
        UsageError: `--from` is a number that cannot be right.
    """
    return _with_packages(image, _find(image, said, given, insecure=insecure))


def _with_packages(image: oci.Image, found: OldBase) -> OldBase:
    """Debian packages that Seatrial installed on the base: they are made again with it, not moved."""
    texts = history(image)
    for number in (found.layers, found.layers - 1):
        match = _PACKAGES.fullmatch(texts[number]) if 0 <= number < len(texts) else None
        if match:
            whole = found.digest if number < found.layers else ""
            names = tuple(match[1].split(", "))
            return found._replace(layers=number + 1, packages=names, whole=whole)
    return found._replace(whole=found.digest)


def _find(image: oci.Image, said: Told, given: str | None, *, insecure: bool) -> OldBase:
    platform = platform_of(image)
    if given is not None and given.isascii() and given.isdigit():
        return _counted(image, int(given), said)
    if given is not None:
        base = _named(given, platform, insecure=insecure)
        return _compared(image, base, given, f"--from {given}")
    if said.digest:
        oci.check_digest(said.digest)
        return _recorded(image, said, platform, insecure=insecure)
    first = assembled_from(image)
    if first is not None:
        return OldBase(first, said.name, "", "the image's history", None)
    raise SeatrialError(
        "nothing says which base this image stands on",
        why=f"it has neither the label nor the annotation {DIGEST}", fix=_HOW_TO_SAY,
    )  # fmt: skip


def _counted(image: oci.Image, count: int, said: Told) -> OldBase:
    layers = len(image.manifest.layers)
    if not 0 < count < layers:
        raise UsageError(
            f"--from {count}: the image has {layers} layers", why="at least one is the base's and one the image's own",
            fix=f"give a number from 1 to {layers - 1}" if layers > 1 else "assemble the image on the new base",
        )  # fmt: skip
    known = read_cached(said.digest, platform_of(image)) if said.digest else None
    if known is not None and _difference(image, known) is None and len(known.manifest.layers) == count:
        return OldBase(count, said.name, known.digest, f"--from {count}", known)
    return OldBase(count, said.name, "", f"--from {count}", None)


def _named(given: str, platform: str, *, insecure: bool) -> oci.Image:
    """The base that --from names, without its layers."""
    folder = Path(given).expanduser()
    if folder.is_dir() or given.startswith((".", "/", "~")):
        return oci.read_image(folder, platform=platform)
    if _SUITE.fullmatch(given):
        from seatrial.images.assemble.store import using
        from seatrial.images.bases import prepare

        with using() as use:
            base = prepare(given, use, platform=platform)
            return oci.read_image(base.layout, digest=base.digest)
    return manifest_only(given, platform, insecure=insecure)


def _recorded(image: oci.Image, said: Told, platform: str, *, insecure: bool) -> OldBase:
    """By the digest that the image tells: from this machine, from its registry, or computed again."""
    base = read_cached(said.digest, platform)
    reason = "it is not on this machine, and the image does not say what it is called"
    if base is None and said.name and not _SUITE.fullmatch(said.name):
        try:
            base = manifest_only(_pinned(said), platform, insecure=insecure)
        except SeatrialError as error:
            reason = f"{error.what} ({error.where})" if error.where else error.what
    base = base or _computed(image, said)
    label = "annotation" if said.annotations else "label"
    if base is not None:
        return _compared(image, base, said.name, f"the image's {label}, and the base's manifest")
    first = assembled_from(image)
    if first is not None and first > 0:
        return OldBase(first, said.name, said.digest, f"the image's {label} and history", None)
    raise SeatrialError(
        f"the base {said.name or said.digest} cannot be had any more, so nothing shows which layers are the base's",
        why=reason, fix=_HOW_TO_SAY,
    )  # fmt: skip


def _pinned(said: Told) -> str:
    from seatrial.images.reference import parse

    return f"{parse(said.name).name}@{said.digest}"


def _computed(image: oci.Image, said: Told) -> oci.Image | None:
    """A base made of Debian packages has one layer and a manifest that follows from it: it can be made again."""
    if not _SUITE.fullmatch(said.name) or not image.manifest.layers:
        return None
    from seatrial.images.assemble.layer import WrittenLayer
    from seatrial.images.debian import write_image

    layer = image.manifest.layers[0]
    written = WrittenLayer(digest=layer.digest, diff_id=oci.diff_ids(image)[0], size=layer.size)
    with scratch() as folder:
        oci.create(folder)
        write_image(folder, written, str(image.config.get("architecture") or ""), said.name)
        made = oci.read_image(folder)
    return made if made.digest == said.digest else None


def _compared(image: oci.Image, base: oci.Image, name: str, how: str) -> OldBase:
    difference = _difference(image, base)
    if difference is not None:
        raise SeatrialError(
            f"the image does not stand on {name or base.digest}", why=difference,
            fix="name the right base with --from, or say how many of the image's layers are the base's",
        )  # fmt: skip
    return OldBase(len(base.manifest.layers), name, base.digest, how, base)


def _difference(image: oci.Image, base: oci.Image) -> str | None:
    """Why the base's layers are not the first of the image; layers packed anew are the same layers."""
    count, own = len(base.manifest.layers), oci.diff_ids(image)
    if count >= len(own):
        return f"the base has {count} layers, the image {len(own)}"
    for number, (layer, diff_id) in enumerate(zip(base.manifest.layers, oci.diff_ids(base), strict=True)):
        mine = image.manifest.layers[number]
        if layer.digest != mine.digest and diff_id != own[number]:
            return f"layer {number + 1} is {mine.digest} in the image and {layer.digest} in the base"
    return None


def new_name(said: Told, onto: str | None, *, ours: bool) -> str:
    """What the new base is called.

    Raises:
        SeatrialError: nobody says.
    """
    if onto is not None:
        return onto
    if not said.name:
        raise SeatrialError(
            "nothing says what to rebase onto", why="the image does not say what its base is called",
            fix="name the new base with --onto",
        )  # fmt: skip
    if _SUITE.fullmatch(said.name) and not ours:  # other tools mean the image of that name
        from seatrial.images.reference import parse

        return str(parse(said.name))
    return said.name


def is_suite(name: str) -> bool:
    """Whether a base of that name is made of packages."""
    return _SUITE.fullmatch(name) is not None


def new_base(name: str, use: Use, *, platform: str, packages: list[str], insecure: bool, again: bool) -> Base:
    """Bring the new base to this machine; `again` makes anew what is made here, such as one of packages.

    Raises:
        SeatrialError: it cannot be had.
        MissingToolError: it is made of packages, and a tool for that is missing.
    """
    from seatrial.images.bases import prepare

    return prepare(
        name, use, packages=packages, platform=platform, insecure=insecure, refresh=again
    )  # fmt: skip


def same_base(old: OldBase, image: oci.Image, new: oci.Image) -> bool:
    """Whether there is nothing to do: the same image, or the same layers and settings under another digest."""
    if old.whole and old.whole == new.digest:
        return True
    mine = oci.diff_ids(image)[: old.layers]
    if oci.diff_ids(new) != mine:
        return False
    settings = msgspec.json.encode(new.config.get("config"), order="sorted")
    return old.config is None or settings == msgspec.json.encode(old.config.get("config"), order="sorted")


def extra_packages(texts: dict[str, bytes]) -> list[str]:
    """Packages of a Debian base that somebody asked for beyond what every base has and what that needs."""
    from seatrial.images.debian import PACKAGES

    automatic = {
        fields.get("package", "") for fields in stanzas(texts.get("/var/lib/apt/extended_states", b""))
        if fields.get("auto-installed") == "1"
    }  # fmt: skip
    installed = {
        fields["package"]: fields for fields in stanzas(texts.get("/var/lib/dpkg/status", b""))
        if "package" in fields and fields.get("status", "").endswith(" installed")
    }  # fmt: skip
    # What `--variant=minbase` installs. Source: mmdebstrap(1), "VARIANTS".
    least = {
        n for n, f in installed.items() if f.get("essential") == "yes" or f.get("priority") == "required"
    }
    always = _needed(installed, {*least, *PACKAGES, "apt"})
    return sorted(set(installed) - automatic - always)


def _needed(installed: dict[str, dict[str, str]], names: set[str]) -> set[str]:
    """The packages with everything they depend on, of what is installed."""
    provided: dict[str, set[str]] = {}
    for name, fields in installed.items():
        for one in (name, *_names(fields.get("provides", ""))):
            provided.setdefault(one, set()).add(name)
    done: set[str] = set()
    waiting = list(names)
    while waiting:
        for name in provided.get(waiting.pop(), set()) - done:
            done.add(name)
            for field in ("depends", "pre-depends"):
                waiting += _names(installed[name].get(field, ""))
    return done


def _names(relation: str) -> list[str]:
    """`libc6 (>= 2.36), a:any | b` → libc6, a, b."""
    return [
        part.split("(")[0].strip().partition(":")[0] for part in re.split(r"[,|]", relation) if part.strip()
    ]


def stanzas(text: bytes) -> list[dict[str, str]]:
    """The fields of each paragraph of a Debian control file, without continuation lines; names in lower case."""
    found = []
    for part in text.decode("utf-8", "replace").split("\n\n"):
        lines = (line.partition(":") for line in part.splitlines() if line[:1] not in (" ", "\t", "#", ""))
        fields = {key.strip().lower(): value.strip() for key, _, value in lines}
        if fields:
            found.append(fields)
    return found
