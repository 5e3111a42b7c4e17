"""`seatrial image inspect`: what an image is made of."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from seatrial.cli.common import directory_option, json_option, note, print_json
from seatrial.cli.image_source import METAVAR, find_image, is_reference, source_options
from seatrial.cli.waiting import Waiting

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.images.layout import Image


@click.command(epilog="Example: seatrial image inspect ./image --json")
@click.argument("source", metavar=METAVAR)
@click.option("--packages", "list_packages", is_flag=True, help="List every package (--json always does).")
@click.option(
    "--quick", is_flag=True, help="Only what manifest and configuration say; nothing of the layers is read."
)
@source_options
@json_option
@directory_option
def inspect(source: str, platform: str, insecure: bool, **options: Any) -> None:
    """Show the layers, settings and packages of an image, and what is attested of it.

    Packages are read from the layers. Attestations are those in the folder, or in the registry that was named; who
    signed them is verified by `image attest --verify`.
    """
    from seatrial.images.layout import read_image

    with Waiting(quiet=options["as_json"]) as waiting:
        layout, digest = find_image(source, platform=platform, insecure=insecure)
        image = read_image(layout, digest=digest)
        found = {**_described(layout, image, waiting, quick=options["quick"]), **_index(layout, digest)}
        if not options["quick"]:
            found |= _attested(source, layout, digest, insecure=insecure)
    if options["as_json"]:
        print_json(found)
    else:
        _print(found, every=options["list_packages"])


def _described(layout: Path, image: Image, waiting: Waiting, *, quick: bool) -> dict[str, Any]:
    """The facts of an image as plain data; sizes are in bytes, layers lowest first."""
    from seatrial.images.attesting import inspecting, inventory

    settings = image.config.get("config") or {}
    found: dict[str, Any] = {
        "digest": image.digest,
        "platform": f"{image.config.get('os', '')}/{image.config.get('architecture', '')}",
        "created": image.config.get("created"),
        "size": sum(layer.size for layer in image.manifest.layers),
        "config": settings,
        "user": str(settings.get("User") or "root"),
        "environment": dict(str(one).partition("=")[::2] for one in settings.get("Env") or ()),
    }
    if quick:
        return {**found, "layers": inspecting.layers(image, None)}
    taken, content, _ = inventory.take(layout, image, say=waiting.say)
    return {
        **found,
        "layers": inspecting.layers(image, content),
        "system": taken.system.name,
        "counts": inspecting.counts(taken),
        "packages": inspecting.packages(taken),
        "loose_files": len(taken.loose),
        "loose_bytes": sum(one.size for one in taken.loose),
        "notes": taken.notes,
    }


def _attested(source: str, layout: Path, digest: str, *, insecure: bool) -> dict[str, Any]:
    from seatrial.images.attesting import cosign, inspecting, places

    if is_reference(source):
        with places.in_registry(source, insecure=insecure) as place:
            shown, provenance = inspecting.attested(places.kept(place, digest))
            signed = cosign.count(place.session, digest) if place.session else 0
    else:
        with places.in_folder(layout) as place:
            shown, provenance = inspecting.attested(places.kept(place, digest))
        signed = 0
    return {"attestations": shown, "signatures": signed, "provenance": provenance}


def _print(found: dict[str, Any], *, every: bool) -> None:
    from seatrial.reports.units import size

    out = sys.stdout
    out.write(
        f"digest      {found['digest']}\nplatform    {found['platform']}\nsize        {size(found['size'])}\n"
    )
    if found["index"]:
        out.write(f"index       {found['index']}\nof          {', '.join(found['platforms'])}\n")
    for key, value in found["config"].items():
        out.write(f"{key.lower():<11} {_line(value)}\n")
    for layer in found["layers"]:
        files = f"  {layer['files']} files, {size(layer['unpacked'])}" if "files" in layer else ""
        out.write(f"layer       {layer['digest'][7:19]} {size(layer['size']):>10}  {layer['what']}{files}\n")
    if "packages" not in found:
        return
    out.write(f"system      {found['system'] or 'unknown'}\n")
    counted = ", ".join(f"{number} {kind}" for kind, number in found["counts"].items()) or "none"
    out.write(f"packages    {counted}\n")
    out.write(f"loose files {found['loose_files']}, {size(found['loose_bytes'])}\n")
    for one in found["packages"] if every else ():
        where = f"  in {one['within']}" if one["within"] else ""
        out.write(
            f"package     {one['kind']:<5} {one['name']} {one['version']}  {size(one['size'])}{where}\n"
        )
    for one in found["attestations"]:
        keys = f"  signed by {', '.join(key[:12] for key in one['keys'])}" if one["keys"] else ""
        out.write(f"attested    {one['digest'][7:19]}  {one['about'] or one['type']}{keys}\n")
    if found["signatures"]:
        out.write(f"signatures  {found['signatures']}\n")
    if found["provenance"]:
        _print_provenance(found["provenance"])
    for line in found["notes"]:
        note(f"note: {line}")


def _print_provenance(predicate: dict[str, Any]) -> None:
    definition = predicate.get("buildDefinition") or {}
    sys.stdout.write(f"provenance  {definition.get('buildType', 'of an unknown kind')}\n")
    for one in definition.get("resolvedDependencies") or ():
        digest = next(iter((one.get("digest") or {}).values()), "")
        sys.stdout.write(f"made from   {digest[:12]}  {one.get('name') or one.get('uri') or ''}\n")


def _index(layout: Path, digest: str) -> dict[str, Any]:
    """The index that names the image besides others, when the layout has one, and its platforms."""
    from seatrial.images.layout import list_images, read_index

    named = next((top for top in read_index(layout).manifests if top.digest != digest), None)
    images = list_images(layout, named.digest) if named else []
    if named is None or digest not in [image.digest for image in images]:
        return {"index": None, "platforms": []}
    return {"index": named.digest, "platforms": sorted(str(i.platform) for i in images if i.platform)}


def _line(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k}={v}" if isinstance(v, str) else str(k) for k, v in value.items())
    return " ".join(str(item) for item in value) if isinstance(value, list) else str(value)
