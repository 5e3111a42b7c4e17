"""Assembling an image: base, wheels, bytecode, accounts and source become layers of an OCI layout.

The same inputs give the same digest whatever the machine, folder, umask, time zone or number of threads.
"""

from __future__ import annotations

import os
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from seatrial.errors import SeatrialError, UsageError
from seatrial.images import layout as oci
from seatrial.images.assemble import accounts, groups, layers, replacing
from seatrial.images.assemble.fetch import fetch
from seatrial.images.assemble.overwriting import over_base
from seatrial.images.assemble.source import select
from seatrial.images.assemble.source_layer import read_source
from seatrial.images.assemble.spec import Assembled, AssembledImage, AssembledLayer, ImageSpec
from seatrial.images.assemble.store import StoredLayer, Use, has_layer, using
from seatrial.images.assemble.tar import EPOCH
from seatrial.images.lazy.base import lazy_base
from seatrial.images.lazy.first import read_first
from seatrial.images.outputs import account, layout, parts, records
from seatrial.images.outputs.layout import check_output
from seatrial.images.system.processors import is_foreign
from seatrial.images.target import normal, parse_platform
from seatrial.reports.units import counted, megabytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from seatrial.images.assemble.accounts import Account
    from seatrial.images.assemble.layers import LayerPlan
    from seatrial.images.bases import Base
    from seatrial.images.lock import LockedWheel
    from seatrial.images.outputs.layout import Made
    from seatrial.images.outputs.names import Name
    from seatrial.images.outputs.parts import Part
    from seatrial.images.outputs.records import Record
    from seatrial.images.probe import Probed
    from seatrial.images.resolve import Resolution

__all__ = [
    "Assembled",
    "AssembledImage",
    "AssembledLayer",
    "ImageSpec",
    "Prepared",
    "assemble_project",
    "plan_project",
    "prepare_project",
]


class Prepared(NamedTuple):
    """What assembling needs: the base, what is known of it, and the resolved requirements."""

    base: Base
    probed: Probed
    resolution: Resolution


class Decided(NamedTuple):
    """One platform's image that is decided but not made: who runs in it, and its layers above the base."""

    spec: ImageSpec
    prepared: Prepared
    base: oci.Image
    user: Account
    parts: list[Part]
    notes: list[str]
    former: Record | None
    created: int


def assemble_project(
    spec: ImageSpec,
    *,
    out: Path,
    insecure: bool = False,
    refresh: bool = False,
    refresh_base: bool = False,
    threads: int | None = None,
    names: Sequence[Name] = (),
    use: Use | None = None,
    ready: Callable[[oci.Descriptor, Path], None] = lambda _blob, _path: None,
    say: Callable[[str], None] = lambda _what: None,
    point: Callable[[str], None] = lambda _name: None,
) -> Assembled:
    """From a specification to an image in the layout `out`, which holds nothing else afterwards.

    Several platforms make several images and an index that names them; what is the same for both is made once.
    `refresh` looks for newer versions, `refresh_base` makes or pulls the base again. The first of `names` is
    noted in the layout. `ready` hears of each layer's blob and file as soon as it is there, so that it can be sent
    while others are made; the file stays as long as `use` holds it. `say` hears what is being done now.

    Raises:
        SeatrialError: something of it cannot be had or must not be in an image; `out` is as it was.
        MissingToolError: a program or permission is missing.
    """
    started = time.monotonic()
    check_output(out, [spec.base])
    workers = threads or layers.processors()
    with nullcontext(use) if use else using() as holding:
        images = _decide(
            spec, holding, out=out, insecure=insecure, refresh=refresh, refresh_base=refresh_base, threads=workers,
            say=say, point=point,
        )  # fmt: skip
        for image in images:
            for blob in image.base.manifest.layers:
                ready(blob, oci.blob_path(image.prepared.base.layout, blob.digest))
        _fetch_missing(images, holding, say, point)
        made = _make_layers(images, holding, workers, ready, say, point)
        say(f"writing {out}")
        digest, described = layout.write(out, made, names=names, point=point)
        for image, one in zip(images, described, strict=True):
            records.remember(image.spec, one.top.digest, account.record(image))
    return account.assembled(images, made, described, digest, time.monotonic() - started)


def plan_project(
    spec: ImageSpec,
    *,
    out: Path,
    insecure: bool = False,
    refresh: bool = False,
    refresh_base: bool = False,
    say: Callable[[str], None] = lambda _what: None,
    point: Callable[[str], None] = lambda _name: None,
) -> Assembled:
    """What `assemble_project` would make, and which of it the cache has; no layer and no image is written.

    The base and the resolved requirements, without which nobody can say, come into the cache. `digest` and the
    size of a layer are empty and 0 as long as a layer has to be made first.

    Raises:
        SeatrialError: something of it cannot be had or must not be in an image.
        MissingToolError: a program or permission is missing.
    """
    started = time.monotonic()
    check_output(out, [spec.base])
    with using() as use:
        images = _decide(
            spec, use, out=out, insecure=insecure, refresh=refresh, refresh_base=refresh_base,
            threads=layers.processors(), say=say, point=point,
        )  # fmt: skip
        return account.foreseen(images, _wanted_wheels(images, use), time.monotonic() - started)


def prepare_project(
    spec: ImageSpec,
    use: Use,
    *,
    insecure: bool = False,
    refresh: bool = False,
    refresh_base: bool = False,
    say: Callable[[str], None] = lambda _what: None,
    point: Callable[[str], None] = lambda _name: None,
) -> Prepared:
    """Bring the base, ask it for its Python, resolve what is wanted for it, and build what has no wheel.

    Raises:
        SeatrialError: the base or the requirements cannot be had.
        MissingToolError: uv, or what a build needs, is missing.
    """
    from seatrial.images.bases import prepare
    from seatrial.images.building.builder import builder
    from seatrial.images.inputs.model import wanted_by
    from seatrial.images.probe import probe
    from seatrial.images.resolve import resolve_wanted

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
    resolution = resolve_wanted(
        wanted_by(spec),
        probed.interpreter.target,
        python=probed.interpreter.version,
        build=builder(spec, base, probed, use, insecure=insecure, refresh=refresh, say=say, point=point)
        if spec.build
        else None,
        builder=" ".join((base.digest, spec.build_base, *spec.build_packages)),
        refresh=refresh,
        hold=use.hold,
    )
    point("image/resolved")
    return Prepared(base, probed, resolution)


def _decide(
    spec: ImageSpec,
    use: Use,
    *,
    out: Path,
    insecure: bool,
    refresh: bool,
    refresh_base: bool,
    threads: int,
    say: Callable[[str], None],
    point: Callable[[str], None],
) -> list[Decided]:
    """Prepare every platform and plan its layers, platforms in the order of their names."""
    mtime, found = source_date_epoch(), []
    platforms = sorted({normal(platform) for platform in spec.platforms})
    for platform in platforms:
        parse_platform(platform)
    # This machine's own first: what it has compiles bytecode for the others too.
    for platform in sorted(platforms, key=is_foreign):
        one = msgspec.structs.replace(spec, platforms=(platform,))
        say(f"preparing {spec.base} for {platform}, and resolving")
        try:
            prepared = prepare_project(
                one, use, insecure=insecure, refresh=refresh, refresh_base=refresh_base, say=say, point=point
            )
            prepared = _with_sizes(prepared, spec, use, point)
            if one.lazy:
                say(f"writing {spec.base} so that it can be pulled lazily")
                base = lazy_base(prepared.base, use, _first(one), threads=threads, point=point)
                prepared = prepared._replace(base=base)
            found.append(_decide_one(one, prepared, out, threads, mtime))
        except SeatrialError as error:
            if len(platforms) > 1:
                error.what = f"{platform}: {error.what}"
            raise
    return sorted(found, key=lambda one: one.spec.platform)


def _decide_one(spec: ImageSpec, prepared: Prepared, out: Path, threads: int, mtime: int) -> Decided:
    """Which layers the image gets on top of its base, lowest first, and what is worth knowing about them.

    Raises:
        SeatrialError: the specification contradicts the base, or a source file must not be in an image.
    """
    base = oci.read_image(prepared.base.layout, digest=prepared.base.digest)
    interpreter, tree = prepared.probed.interpreter, prepared.probed.tree
    scheme, wheels = interpreter.scheme, prepared.resolution.lock.wheels
    decided = replacing.replaced(tree, scheme, wheels)
    wheels = tuple(w for w in wheels if w.name not in decided.kept)
    user = accounts.account(tree, spec.user)
    workdir = accounts.working_folder(tree, spec.workdir)
    room = groups.MAX_LAYERS - len(base.manifest.layers) - 2  # the accounts' and the source's
    room = room // 2 if spec.bytecode else room
    grouped = groups.group(wheels, room)
    ground = accounts.ground(tree, user, workdir, interpreter.missing, decided.removed)
    found = [parts.ground_part(layers.plan_ground(ground), ground)]
    halved = groups.halved(grouped, room)
    for group in grouped:
        two = group[0].name in halved
        plans = layers.plan_halves(group[0], scheme) if two else [layers.plan_wheels(group, scheme)]
        found += [parts.packages_part(plan, group, room, interpreter, half=two) for plan in plans]
    if spec.bytecode:
        found += [
            parts.bytecode_part(layers.plan_bytecode(g, interpreter, threads), g, room, interpreter)
            for g in grouped
        ]
    if spec.source:
        files = read_source(
            select(spec.root, spec.source, (*spec.exclude, *_inside(spec.root, out))), workdir
        )
        owner = (user.uid, user.gid) if spec.owner == "user" else (0, 0)
        plan = layers.plan_source(files, *owner, mtime)
        found.append(parts.source_part(plan, files, workdir, owner, mtime))
    if spec.lazy:
        found = [parts.lazily(part, _first(spec)) for part in found]
    former = records.former(spec, out)
    notes = [*prepared.base.notes, *prepared.resolution.notes, *decided.notes]
    return Decided(spec, prepared, base, user, found, notes, former, mtime)


def _first(spec: ImageSpec) -> tuple[str, ...]:
    return read_first(spec.root / spec.first_files) if spec.first_files else ()


def _make_layers(
    images: Sequence[Decided],
    use: Use,
    workers: int,
    ready: Callable[[oci.Descriptor, Path], None],
    say: Callable[[str], None],
    point: Callable[[str], None],
) -> list[Made]:
    """Make what the cache lacks, and put each platform's image together; also notes where packages disagree."""
    plans = _plans(images)
    say(f"making layers, {sum(not has_layer(plan.key) for plan in plans)} of {len(plans)} new")
    made = layers.build(
        plans, use, threads=workers, point=point,
        ready=lambda layer: ready(oci.Descriptor(oci.LAYER_GZIP, layer.digest, layer.size), layer.blob),
    )  # fmt: skip
    built = dict(zip((plan.key for plan in plans), made, strict=True))
    found = []
    for image in images:
        stored = [built[part.plan.key] for part in image.parts]
        image.notes.extend(_disagreements([part.plan for part in image.parts], stored))
        packages = [(p.plan.what, s.files) for p, s in zip(image.parts, stored, strict=True) if p.plan.wheels]
        image.notes.extend(over_base(image.prepared.probed, image.prepared.resolution.lock.wheels, packages))
        found.append(account.put_together(image, stored))
    return found


def _plans(images: Iterable[Decided]) -> list[LayerPlan]:
    """Every layer once, also when several platforms have it."""
    return list({part.plan.key: part.plan for image in images for part in image.parts}.values())


def _with_sizes(prepared: Prepared, spec: ImageSpec, use: Use, point: Callable[[str], None]) -> Prepared:
    """Plain HTML indexes say no sizes, but what shares a layer depends on them: those wheels are fetched first."""
    lock, urls = prepared.resolution.lock, prepared.resolution.urls
    unknown = [wheel for wheel in lock.wheels if not wheel.size]
    if not unknown:
        return prepared
    places = {wheel.sha256: use.hold("wheels", wheel.sha256) for wheel in unknown}
    fetch(unknown, urls, logins=prepared.resolution.logins, offline=spec.offline, point=point)
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


def _wanted_wheels(images: Sequence[Decided], use: Use) -> dict[str, LockedWheel]:
    """Only wheels whose layer is not in the cache have to be here; those that are not yet, by hash."""
    made_of_wheels = [plan for plan in _plans(images) if plan.wheels]
    for plan in made_of_wheels:
        use.hold("layers", plan.key)  # before it is looked for, so that what is there stays
    wanted = {
        wheel.sha256: wheel for plan in made_of_wheels if not has_layer(plan.key) for wheel in plan.wheels
    }
    return {sha: wheel for sha, wheel in wanted.items() if not use.hold("wheels", sha).exists()}


def _fetch_missing(
    images: Sequence[Decided], use: Use, say: Callable[[str], None], point: Callable[[str], None]
) -> None:
    wanted = _wanted_wheels(images, use)
    if not wanted:
        return
    size = sum(wheel.size for wheel in wanted.values())
    say(f"fetching {counted(len(wanted), 'wheel')}, {megabytes(size)}")
    urls = {sha: url for image in images for sha, url in image.prepared.resolution.urls.items()}
    logins = tuple(login for image in images for login in image.prepared.resolution.logins)
    fetch(wanted.values(), urls, logins=logins, offline=images[0].spec.offline, point=point)


def _disagreements(plans: Sequence[LayerPlan], built: Sequence[StoredLayer]) -> list[str]:
    """Files that two packages have with different content: the later one wins, as with pip."""
    last: dict[str, int] = {}  # path → the layer that has it, the topmost so far
    found = []
    for number, (layer_plan, layer) in enumerate(zip(plans, built, strict=True)):
        found += [
            f"packages of one layer disagree about {path}: {layer_plan.what}" for path in layer.disputed
        ]
        for path in sorted(last.keys() & layer.files.keys()):  # tens of thousands of paths, hardly any twice
            below = last[path]
            if built[below].files[path] != layer.files[path]:
                found.append(
                    f"{plans[below].what} and {layer_plan.what} disagree about {path}: the latter wins"
                )
        last.update(dict.fromkeys(layer.files, number))
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
