"""Deciding for one image: which layers go onto which base, with which configuration, and whether they may."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.structs import replace

from seatrial.errors import SeatrialError
from seatrial.images import layout as oci
from seatrial.images.assemble.layers import processors
from seatrial.images.assemble.store import entry_path, scratch
from seatrial.images.bases import Base
from seatrial.images.rebase import base as bases
from seatrial.images.rebase import checks, config, linking, own, packages, scan, tree
from seatrial.images.rebase.case import Assembly, Case
from seatrial.images.rebase.model import Rebased, Side
from seatrial.images.rebase.python_checks import stale_layers
from seatrial.images.rebase.source import check_settings, manifest_only, platform_of
from seatrial.images.testing.model import Check, failed, passed, skipped
from seatrial.reports.units import counted
from seatrial.transport import TransportError

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.images.assemble.store import StoredLayer, Use
    from seatrial.images.probe import Probed
    from seatrial.images.rebase.base import OldBase, Told
    from seatrial.images.rebase.model import Request
    from seatrial.images.rebase.scan import Layer
    from seatrial.images.rebase.source import Opened


class Piece(NamedTuple):
    """A layer of the result. `place` is its blob when it is on this machine for sure, None for the image's own."""

    descriptor: oci.Descriptor
    what: str
    place: Path | None
    reused: bool


class Plan(NamedTuple):
    """What is decided about one image; without `config` it stays as it is."""

    image: oci.Image
    answer: Rebased
    pieces: tuple[Piece, ...] = ()
    config: dict[str, Any] | None = None
    annotations: dict[str, str] = {}  # noqa: RUF012 - never changed


class _Bases(NamedTuple):
    said: Told
    old: OldBase
    target: oci.Image
    base: Base


def plan(opened: Opened, image: oci.Image, request: Request, use: Use) -> Plan:
    """Decide about one image of what was opened.

    Raises:
        SeatrialError: something cannot be read.
        TransportError: a registry cannot be reached or refuses.
        MissingToolError: a tool that makes the base is missing.
    """
    platform = platform_of(image, variant=True)
    try:
        found = _bases(opened, image, request, use)
    except SeatrialError as error:
        if error.exit_code != SeatrialError.exit_code or isinstance(error, TransportError):
            raise
        check = failed("base", error.what, error.fix or "", (error.why,) if error.why else ())
        return Plan(image, Rebased(platform=platform, verdict="may not", checks=(check,)))
    old, target = found.old, found.target
    for one in (target, old.image):
        check_settings(one)
    answer = Rebased(
        platform=platform,
        verdict="may not",
        checks=(),
        base=Side(name=old.name, digest=old.digest, layers=old.layers, how=old.how),
        onto=Side(name=found.base.name, digest=target.digest, layers=len(target.manifest.layers)),
    )
    if bases.same_base(found.old, image, found.target):
        pinned = "@sha256:" in found.base.name
        why = "it is pinned by its digest" if pinned else "it is the one the image stands on"
        check = passed("base", f"the base {found.base.name} has not changed: {why}")
        return Plan(image, replace(answer, verdict="nothing to do", checks=(check,)))
    first = [
        passed("base", f"{counted(found.old.layers, 'layer')} of the old base, known from {found.old.how}"),
        checks.platform(image, found.target),
        checks.layer_count(image, found.old.layers, found.target),
    ]
    if any(check.status == "fail" for check in first):
        return Plan(image, replace(answer, checks=tuple(first)))
    return _decide(opened, request, use, found, Plan(image, replace(answer, checks=tuple(first))))


def _bases(opened: Opened, image: oci.Image, request: Request, use: Use) -> _Bases:
    check_settings(image)
    said = bases.told(image, opened.listed)
    ours = bases.assembled_from(image) is not None
    old = bases.old_base(image, said, request.old, insecure=request.insecure)
    name = bases.new_name(said, request.onto, ours=ours)
    platform = platform_of(image)
    if not bases.is_suite(name) and not _is_folder(name) and not old.packages:
        target = manifest_only(name, platform, insecure=request.insecure)
        if bases.same_base(old, image, target) or checks.platform(image, target).status == "fail":
            nowhere = Base(layout=opened.blobs.layout, digest=target.digest, platform=platform, name=name)
            return _Bases(said, old, target, nowhere)
    wanted = list(old.packages)
    if bases.is_suite(name) and bases.is_suite(old.name):
        texts = tree.merge(_scans(opened, image, use, 0, old.layers)).texts
        wanted = bases.extra_packages(texts)
    before = {path.name for path in entry_path("bases", "").glob("pulled-*/blobs/sha256/*")}
    base = bases.new_base(
        name, use, platform=platform, packages=wanted, insecure=request.insecure, again=request.onto is None
    )
    target = oci.read_image(base.layout, digest=base.digest)
    if base.layout.name.startswith("pulled-"):
        opened.blobs.fetched |= {
            layer.digest: layer.size for layer in target.manifest.layers
            if layer.digest.removeprefix("sha256:") not in before
        }  # fmt: skip
    return _Bases(said, old, target, base)


def _is_folder(name: str) -> bool:
    from pathlib import Path

    return name.startswith((".", "/", "~")) or (Path(name) / "oci-layout").is_file()


def _scans(opened: Opened, image: oci.Image, use: Use, start: int, end: int) -> list[Layer]:
    pairs = list(zip(image.manifest.layers, oci.diff_ids(image), strict=True))[start:end]
    return scan.each(pairs, use, opened.blobs.path, processors())


def _decide(opened: Opened, request: Request, use: Use, found: _Bases, begun: Plan) -> Plan:
    """Read all layers and answer the remaining questions."""
    image = begun.image
    mine = _scans(opened, image, use, 0, len(image.manifest.layers))
    pairs = list(zip(found.target.manifest.layers, oci.diff_ids(found.target), strict=True))
    theirs = scan.each(pairs, use, lambda d: oci.blob_path(found.base.layout, d.digest), processors())
    assembly, stored, check = _assembly(opened, image, use, found, mine)
    case = _case(image, found, mine, theirs, assembly, stored, use, frozenset())
    if assembly is not None and request.drop_bytecode and (stale := stale_layers(case)):
        case = _case(image, found, mine, theirs, assembly, stored, use, stale)
    answers = [*begun.answer.checks, *((check,) if check else ()), *checks.run_checks(case)]
    old_packages, new_packages = packages.debian(case.old_base), packages.debian(case.new_base)
    answer = replace(
        begun.answer,
        verdict="may not" if any(one.status == "fail" for one in answers) else "may",
        checks=tuple(answers),
        changes=tuple(config.differences(image, found.old.config, found.target, case.config)),
        packages=tuple(packages.changes(old_packages, new_packages)),
    )
    return Plan(image, answer, tuple(_pieces(case, found, stored)), case.config, _annotations(image, found))


def _assembly(
    opened: Opened, image: oci.Image, use: Use, found: _Bases, mine: list[Layer]
) -> tuple[Assembly | None, StoredLayer | None, Check | None]:
    """What Seatrial made the image from, and its first own layer for the new base; nothing for other images."""
    number = bases.assembled_from(image)
    if number is None or number < found.old.layers:
        return None, None, None
    from seatrial.images.probe import probe

    between = image.manifest.layers[found.old.layers : number]
    old = _probe_old(opened, image, use, found, number)
    whole = tree.merge(mine)
    places = {old.interpreter.scheme.purelib, old.interpreter.scheme.platlib}
    installed = own.wheels(d for d in packages.distributions(whole) if d.layer > number and d.site in places)
    known = own.recognise(image, number, mine[number], old, installed, use)
    if known is None:
        why = "its first own layer does not come out the same, so the image is treated as one built elsewhere"
        return None, None, skipped("ground", why)
    try:
        new = _probe_stack(opened, image, found, number, use) if between else probe(found.base, use)
        ground = own.make(
            new, known.user, str((image.config.get("config") or {}).get("WorkingDir") or "/"), known.wheels
        )
    except SeatrialError as error:
        return None, None, failed("ground", error.what, error.fix or "", (error.why,) if error.why else ())
    stored = own.write(ground.plan, use)
    check = passed("ground", f"made anew for the new base: {ground.plan.what}", ground.notes)
    return Assembly(known, old, new, ground), stored, check


def _probe_old(opened: Opened, image: oci.Image, use: Use, found: _Bases, number: int) -> Probed:
    """What is known of the old base; where the image was assembled, that is remembered by the base's digest."""
    from seatrial.images.probe import probe

    platform = platform_of(image)
    if found.old.whole and number == found.old.layers:
        try:
            return probe(
                Base(
                    layout=opened.blobs.layout,
                    digest=found.old.whole,
                    platform=platform,
                    name=found.old.name,
                ),
                use,
            )
        except SeatrialError:
            pass  # not remembered: its layers are read below
    pairs = list(zip(image.manifest.layers, oci.diff_ids(image), strict=True))[:number]
    source = found.old.image or image
    with scratch() as folder:
        places = [(d, diff_id, opened.blobs.path(d)) for d, diff_id in pairs]
        return probe(_stack(folder, places, source, platform, found.old.name), use)


def _probe_stack(opened: Opened, image: oci.Image, found: _Bases, number: int, use: Use) -> Probed:
    """The new base with the layers between it and the first that the assembler made."""
    from seatrial.images.probe import probe

    pairs = list(zip(found.target.manifest.layers, oci.diff_ids(found.target), strict=True))
    places = [(d, diff_id, oci.blob_path(found.base.layout, d.digest)) for d, diff_id in pairs]
    between = list(zip(image.manifest.layers, oci.diff_ids(image), strict=True))[found.old.layers : number]
    places += [(d, diff_id, opened.blobs.path(d)) for d, diff_id in between]
    with scratch() as folder:
        return probe(_stack(folder, places, found.target, platform_of(image), found.base.name), use)


def _stack(
    folder: Path, places: list[tuple[oci.Descriptor, str, Path]], source: oci.Image, platform: str, name: str
) -> Base:
    """Some layers as a base of their own."""
    oci.create(folder)
    for descriptor, _, place in places:
        oci.link_blob(folder, descriptor.digest, place)
    content = {
        "architecture": source.config.get("architecture"),
        "os": source.config.get("os") or "linux",
        "config": {"Env": (source.config.get("config") or {}).get("Env") or []},
        "rootfs": {"type": "layers", "diff_ids": [diff_id for _, diff_id, _ in places]},
    }
    described = oci.add_blob(folder, oci.encode(content), oci.CONFIG)
    manifest = oci.Manifest(config=described, layers=tuple(d for d, _, _ in places))
    top = oci.add_blob(folder, oci.encode(manifest), oci.MANIFEST)
    oci.set_index(folder, oci.Index(manifests=(top,)))
    return Base(layout=folder, digest=top.digest, platform=platform, name=name)


def _case(
    image: oci.Image, found: _Bases, mine: list[Layer], theirs: list[Layer], assembly: Assembly | None,
    stored: StoredLayer | None, use: Use, dropped: frozenset[int],
) -> Case:  # fmt: skip
    count = found.old.layers
    replaced = assembly.own.ground if assembly else -1
    ground = (
        scan.known(use, stored.diff_id) or scan.scan(use, stored.blob, _descriptor(stored), stored.diff_id)
        if stored
        else None
    )
    kept = [(n, mine[n]) for n in range(count, len(mine)) if n != replaced and n not in dropped]
    on_top = [
        ground if n == replaced and ground else mine[n] for n in range(count, len(mine)) if n not in dropped
    ]
    result = _config(image, found, assembly, stored, dropped)
    architecture = str(image.config.get("architecture") or "")
    old, new = tree.merge(mine), tree.merge([*theirs, *on_top])
    settings = image.config.get("config") or {}
    return Case(
        image, found.old, found.target, found.base, tuple(kept), tree.merge(mine[:count]), tree.merge(theirs),
        linking.stack(old, count, config.variables(settings), architecture),
        linking.stack(new, len(theirs), config.variables(result.get("config") or {}), architecture),
        assembly, dropped, result,
    )  # fmt: skip


def _config(
    image: oci.Image,
    found: _Bases,
    assembly: Assembly | None,
    stored: StoredLayer | None,
    dropped: frozenset[int],
) -> dict[str, Any]:
    texts, ids, count = bases.history(image), oci.diff_ids(image), found.old.layers
    numbers = [n for n in range(count, len(ids)) if n not in dropped]
    if assembly is not None and stored is not None:
        ids[assembly.own.ground] = stored.diff_id
        texts[assembly.own.ground] = f"{bases.ASSEMBLED}{assembly.ground.plan.what}"
        mine, user = assembly.own.account, (image.config.get("config") or {}).get("User")
        if user == own.numbers(mine) and all(texts[n].startswith(bases.ASSEMBLED) for n in numbers):
            added = [(config.what(texts[n]), ids[n]) for n in numbers]
            return config.assembled(
                image, found.old.config, found.target, found.base, assembly.ground.account, added,
                found.base.layout,
            )  # fmt: skip
    result = config.merged(
        image, found.old.config, found.target, found.base, [(n, ids[n]) for n in numbers], first=count
    )
    if assembly is not None and result["config"].get("User") == own.numbers(assembly.own.account):
        result["config"]["User"] = own.numbers(assembly.ground.account)
    return result


def _descriptor(stored: StoredLayer) -> oci.Descriptor:
    return oci.Descriptor(oci.LAYER_GZIP, stored.digest, stored.size)


def _pieces(case: Case, found: _Bases, stored: StoredLayer | None) -> list[Piece]:
    """The layers of the result, lowest first; reused are those that the former image has too."""
    texts, layers = bases.history(case.image), case.image.manifest.layers
    before = {layer.digest for layer in layers}
    pieces = [
        Piece(d, f"base {found.base.name}", oci.blob_path(found.base.layout, d.digest), d.digest in before)
        for d in found.target.manifest.layers
    ]
    for number in range(found.old.layers, len(texts)):
        if case.assembly is not None and stored is not None and number == case.assembly.own.ground:
            what = case.assembly.ground.plan.what
            pieces.append(Piece(_descriptor(stored), what, stored.blob, stored.digest in before))
        elif number not in case.dropped:
            what = config.what(texts[number]) or f"layer {number + 1} of the image"
            pieces.append(Piece(layers[number], what, None, reused=True))
    return pieces


def _annotations(image: oci.Image, found: _Bases) -> dict[str, str]:
    """Those of the image; what they say of the base is brought up to date, and said if nothing else says it."""
    labels = (image.config.get("config") or {}).get("Labels") or {}
    kept = {k: v for k, v in image.manifest.annotations.items() if k not in (bases.NAME, bases.DIGEST)}
    if kept != image.manifest.annotations or bases.DIGEST not in labels:
        kept |= config.marks(found.base)
    return kept
