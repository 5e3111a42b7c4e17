"""Assembling an image: base, wheels, bytecode, accounts and source become layers of an OCI layout.

The same inputs give the same digest whatever the machine, folder, umask, time zone or number of threads.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from seatrial.errors import SeatrialError, UsageError
from seatrial.images import layout as oci
from seatrial.images.assemble import accounts, groups, layers
from seatrial.images.assemble.config import image_config
from seatrial.images.assemble.fetch import fetch
from seatrial.images.assemble.source import select
from seatrial.images.assemble.source_layer import read_source
from seatrial.images.assemble.spec import Assembled, AssembledLayer, ImageSpec
from seatrial.images.assemble.store import StoredLayer, Use, using
from seatrial.images.assemble.tar import EPOCH

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from seatrial.images.assemble.layers import LayerPlan
    from seatrial.images.bases import Base
    from seatrial.images.probe import Probed
    from seatrial.images.resolve import Resolution

__all__ = [
    "Assembled",
    "AssembledLayer",
    "ImageSpec",
    "Prepared",
    "assemble",
    "assemble_project",
    "prepare_project",
]


class Prepared(NamedTuple):
    """What assembling needs: the base, what is known of it, and the resolved requirements."""

    base: Base
    probed: Probed
    resolution: Resolution


def assemble_project(
    spec: ImageSpec,
    *,
    out: Path,
    insecure: bool = False,
    refresh: bool = False,
    refresh_base: bool = False,
    threads: int | None = None,
    point: Callable[[str], None] = lambda _name: None,
) -> Assembled:
    """From a specification to an image in the layout `out`: base, resolving, fetching, layers.

    `refresh` looks for newer versions, `refresh_base` makes or pulls the base again.

    Raises:
        SeatrialError: something of it cannot be had or must not be in an image; `out` is as it was.
        MissingToolError: a program or permission is missing.
    """
    with using() as use:
        prepared = prepare_project(
            spec, use, insecure=insecure, refresh=refresh, refresh_base=refresh_base, point=point
        )
        return assemble(spec, prepared, use, out=out, threads=threads, point=point)


def prepare_project(
    spec: ImageSpec,
    use: Use,
    *,
    insecure: bool = False,
    refresh: bool = False,
    refresh_base: bool = False,
    point: Callable[[str], None] = lambda _name: None,
) -> Prepared:
    """Bring the base, ask it for its Python, and resolve the requirements for it.

    Raises:
        SeatrialError: the base or the requirements cannot be had.
    """
    from seatrial.images.bases import prepare
    from seatrial.images.probe import probe
    from seatrial.images.resolve import resolve

    base = prepare(
        spec.base,
        use,
        packages=spec.packages,
        platform=spec.platform,
        insecure=insecure,
        refresh=refresh_base,
        point=point,
    )
    probed = probe(base, use)
    point("image/base-ready")
    requirements = [spec.root / name for name in spec.requirements]
    resolution = resolve(requirements, probed.interpreter.target, refresh=refresh)
    point("image/resolved")
    return Prepared(base, probed, resolution)


def assemble(
    spec: ImageSpec,
    prepared: Prepared,
    use: Use,
    *,
    out: Path,
    threads: int | None = None,
    point: Callable[[str], None] = lambda _name: None,
) -> Assembled:
    """Write the image into the layout `out`, which holds nothing else afterwards.

    Raises:
        SeatrialError: a wheel is refused, a source file must not be in an image, or `out` is something else.
        MissingToolError: bytecode is wanted, and the base's Python cannot run here.
    """
    started = time.monotonic()
    base = oci.read_image(prepared.base.layout, digest=prepared.base.digest)
    check_output(out)
    mtime = source_date_epoch()
    prepared = _with_sizes(prepared, use, point)
    user, plans, notes = plan(
        spec, prepared, out, len(base.manifest.layers), threads or layers.processors(), mtime
    )
    _fetch_missing(plans, prepared.resolution.urls, use, point)
    built = layers.build(plans, use, threads=threads or layers.processors(), point=point)
    notes += _disagreements(plans, built)
    config = image_config(
        spec, base.config, user, prepared.base, len(base.manifest.layers),
        [(p.what, b.diff_id) for p, b in zip(plans, built, strict=True)], mtime,
    )  # fmt: skip
    digest = _write_layout(out, prepared.base, base, built, config, point)
    return Assembled(
        digest=digest,
        size=sum(d.size for d in base.manifest.layers) + sum(b.size for b in built),
        layers=(
            *(AssembledLayer(digest=d.digest, size=d.size, what=f"base {spec.base}", reused=not prepared.base.made_now)
              for d in base.manifest.layers),
            *(AssembledLayer(digest=b.digest, size=b.size, what=p.what, reused=b.reused)
              for p, b in zip(plans, built, strict=True)),
        ),
        seconds=round(time.monotonic() - started, 3),
        notes=tuple(notes),
    )  # fmt: skip


def plan(
    spec: ImageSpec, prepared: Prepared, out: Path, base_layers: int, threads: int, mtime: int
) -> tuple[accounts.Account, list[LayerPlan], list[str]]:
    """Which layers the image gets on top of its base, lowest first, and what is worth knowing about them.

    Raises:
        SeatrialError: the specification contradicts the base, or a source file must not be in an image.
    """
    interpreter, tree = prepared.probed.interpreter, prepared.probed.tree
    scheme, wheels = interpreter.scheme, prepared.resolution.lock.wheels
    decided = groups.replaced(tree, scheme, wheels)
    wheels = tuple(w for w in wheels if w.name not in decided.kept)
    user = accounts.account(tree, spec.user)
    workdir = accounts.working_folder(tree, spec.workdir)
    room = groups.MAX_LAYERS - base_layers - 2  # the accounts' and the source's
    grouped = groups.group(wheels, room // 2 if spec.bytecode else room)
    ground = accounts.ground(tree, user, workdir, interpreter.missing, decided.removed)
    plans = [layers.plan_ground(ground), *(layers.plan_wheels(g, scheme) for g in grouped)]
    if spec.bytecode:
        plans += [layers.plan_bytecode(g, interpreter, threads) for g in grouped]
    if spec.source:
        files = read_source(
            select(spec.root, spec.source, (*spec.exclude, *_inside(spec.root, out))), workdir
        )
        owner = (user.uid, user.gid) if spec.owner == "user" else (0, 0)
        plans.append(layers.plan_source(files, *owner, mtime))
    return user, plans, list(decided.notes)


def _with_sizes(prepared: Prepared, use: Use, point: Callable[[str], None]) -> Prepared:
    """Plain HTML indexes say no sizes, but what shares a layer depends on them: those wheels are fetched first."""
    lock, urls = prepared.resolution.lock, prepared.resolution.urls
    unknown = [wheel for wheel in lock.wheels if not wheel.size]
    if not unknown:
        return prepared
    places = {wheel.sha256: use.hold("wheels", wheel.sha256) for wheel in unknown}
    fetch(unknown, urls, point=point)
    wheels = tuple(
        msgspec.structs.replace(w, size=places[w.sha256].stat().st_size) if w.sha256 in places else w
        for w in lock.wheels
    )
    sized = msgspec.structs.replace(lock, wheels=wheels)
    return prepared._replace(resolution=msgspec.structs.replace(prepared.resolution, lock=sized))


def _inside(root: Path, out: Path) -> list[str]:
    """The image that is being written is no source of itself."""
    try:
        return ["/" + out.absolute().relative_to(root.absolute()).as_posix()]
    except ValueError:
        return []


def _fetch_missing(
    plans: Sequence[LayerPlan], urls: dict[str, str], use: Use, point: Callable[[str], None]
) -> None:
    """Only wheels whose layer is not in the cache have to be here."""
    wanted = {
        wheel.sha256: wheel
        for plan in plans
        if plan.wheels and not (use.hold("layers", plan.key) / "layer.json").exists()
        for wheel in plan.wheels
    }
    for sha256 in wanted:
        use.hold("wheels", sha256)
    fetch(wanted.values(), urls, point=point)


def _disagreements(plans: Sequence[LayerPlan], built: Sequence[StoredLayer]) -> list[str]:
    """Files that two packages have with different content: the later one wins, as with pip."""
    seen: dict[str, tuple[str, str]] = {}
    found = []
    for layer_plan, layer in zip(plans, built, strict=True):
        found += [
            f"packages of one layer disagree about {path}: {layer_plan.what}" for path in layer.disputed
        ]
        for path, digest in layer.files.items():
            if path in seen and seen[path][0] != digest:
                found.append(f"{seen[path][1]} and {layer_plan.what} disagree about {path}: the latter wins")
            seen[path] = (digest, layer_plan.what)
    return found


def source_date_epoch() -> int:
    """`SOURCE_DATE_EPOCH` in seconds, else a fixed moment. Source: reproducible-builds.org.

    Raises:
        UsageError: the variable is not a number.
    """
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    if text and not (text.isascii() and text.isdigit()):
        raise UsageError(f"SOURCE_DATE_EPOCH is {text!r}, not a number of seconds", fix="unset or correct it")
    return int(text) if text else EPOCH


def check_output(out: Path) -> None:
    """Raise unless `out` may be written: absent, empty, or a layout with at most one image.

    Raises:
        SeatrialError: it holds something else.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not out.is_dir() or not (out / "oci-layout").exists():
        raise SeatrialError(
            "this is not an empty folder", where=str(out), fix="give a folder that does not exist yet"
        )
    if len(oci.read_index(out).manifests) > 1:
        raise SeatrialError("this layout holds several images", where=str(out), fix="give another folder")


def _write_layout(
    out: Path, base: Base, image: oci.Image, built: Sequence[StoredLayer], config: dict[str, Any],
    point: Callable[[str], None],
) -> str:  # fmt: skip
    """Blobs first, the index last; blobs that the former image alone needed go."""
    oci.create(out)
    for layer in image.manifest.layers:
        oci.link_blob(out, layer.digest, oci.blob_path(base.layout, layer.digest))
    for stored in built:
        oci.link_blob(out, stored.digest, stored.blob)
    described = oci.add_blob(out, oci.encode(config), oci.CONFIG)
    manifest = oci.Manifest(
        config=described,
        layers=(
            *(oci.Descriptor(oci.LAYER_GZIP if "gzip" in d.media_type else d.media_type, d.digest, d.size)
              for d in image.manifest.layers),
            *(oci.Descriptor(oci.LAYER_GZIP, b.digest, b.size) for b in built),
        ),
    )  # fmt: skip
    platform = oci.Platform(architecture=config["architecture"], os=config["os"])
    top = oci.add_blob(out, oci.encode(manifest), oci.MANIFEST, platform=platform)
    point("image/blobs-written")
    oci.set_index(out, oci.Index(manifests=(top,)))
    point("image/indexed")
    needed = {d.digest.removeprefix("sha256:") for d in (top, described, *manifest.layers)}
    for blob in (out / "blobs" / "sha256").iterdir():
        if blob.name not in needed:
            blob.unlink(missing_ok=True)
    return top.digest
