"""The steps that make the image: base, resolution, assembly."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.config import Image
from seatrial.reports.units import megabytes

if TYPE_CHECKING:
    from seatrial.engine.call import Context
    from seatrial.images.assemble.spec import ImageSpec


def spec_of(source: str, image: dict[str, Any]) -> ImageSpec:
    """The image that seatrial.yaml describes, as the assembler takes it."""
    from seatrial.images.assemble.spec import from_config

    return from_config(Path(source), msgspec.convert(image, Image))


def base(context: Context, source: str, image: dict[str, Any], refresh: bool) -> dict[str, Any]:
    """Have the base in the cache and know its Python."""
    from seatrial.images.assemble.store import using
    from seatrial.images.bases import prepare
    from seatrial.images.probe import probe

    spec = spec_of(source, image)
    with using() as use:
        made = prepare(
            spec.base,
            use,
            packages=spec.packages,
            platform=spec.platform,
            refresh=refresh,
            point=context.reach,
        )
        target = probe(made, use).interpreter.target
    how = "made now" if made.made_now else "from the cache"
    return {"digest": made.digest, "summary": f"{spec.base} with {target}, {how}"}


def resolve(context: Context, source: str, image: dict[str, Any], refresh: bool) -> dict[str, Any]:
    """Resolve for the base, and judge what came out by what package metadata does not say."""
    from seatrial.images.assemble.image import prepare_project
    from seatrial.images.assemble.store import using
    from seatrial.shipping.resolved import findings_of

    spec = spec_of(source, image)
    with using() as use:
        prepared = prepare_project(spec, use, refresh=refresh, point=context.reach)
    wheels = prepared.resolution.lock.wheels
    versions = {wheel.name: wheel.version for wheel in wheels}
    found = findings_of(spec, versions, prepared.probed.interpreter.target.python)
    lines = [
        f"{f.path}:{f.line}:{f.column}: {f.severity}[{f.rule}] {f.message}"
        for f in found
        if f.severity != "note"
    ]
    for line in lines:
        context.say(line)
    return {
        "versions": versions,
        "findings": [msgspec.to_builtins(finding) for finding in found],
        "errors": sum(finding.severity == "error" for finding in found),
        "details": lines,
        "summary": f"{len(versions)} packages" + (", resolved before" if prepared.resolution.cached else ""),
    }


def assemble(context: Context, source: str, image: dict[str, Any]) -> dict[str, Any]:
    """Assemble the image into a folder of the run; its layers come from and go to the cache."""
    from seatrial.images.assemble.image import assemble_project

    spec = spec_of(source, image)
    layout = context.tree("image")
    # Whatever `refresh` asked for was fetched by the steps before this one.
    done = assemble_project(spec, out=layout, point=context.reach)
    reused = sum(layer.reused for layer in done.layers)
    for note in done.notes:
        context.say(f"note: {note}")
    return {
        "layout": str(layout),
        "digest": done.digest,
        "size": done.size,
        "layers": msgspec.to_builtins(done.layers),
        "notes": list(done.notes),
        "summary": f"{done.digest[:19]}… {megabytes(done.size)}, {len(done.layers)} layers, {reused} reused",
    }
