"""The steps that make the image: base, resolution, assembly."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.config import Image
from seatrial.images.target import normal
from seatrial.reports.units import megabytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seatrial.engine.call import Context
    from seatrial.images.assemble.spec import ImageSpec


def spec_of(source: str, image: dict[str, Any]) -> ImageSpec:
    """The image that seatrial.yaml describes, as the assembler takes it."""
    from seatrial.images.assemble.spec import from_config

    spec = from_config(Path(source), msgspec.convert(image, Image))
    return msgspec.structs.replace(spec, platforms=tuple(dict.fromkeys(map(normal, spec.platforms))))


def platform_here(platforms: Sequence[str]) -> str:
    """The platform of the image that is tested and run on this machine: the only one, or this machine's of several.

    Raises:
        UsageError: none of several is this machine's.
    """
    from seatrial.errors import UsageError
    from seatrial.images.target import this_platform

    several = [normal(platform) for platform in platforms]
    here = this_platform()
    if len(several) == 1:
        return several[0]
    if here not in several:
        raise UsageError(
            f"none of {', '.join(several)} runs on this machine, so the image cannot be tested",
            why=f"this machine is {here}",
            fix=f"add {here} to the image's platforms, or ship from another machine",
        )
    return here


def base(context: Context, source: str, image: dict[str, Any], refresh: bool) -> dict[str, Any]:
    """Have the base in the cache and know its Python, for every platform."""
    from seatrial.images.assemble.store import using
    from seatrial.images.bases import prepare
    from seatrial.images.probe import probe

    spec = spec_of(source, image)
    platform_here(spec.platforms)
    found = []
    with using() as use:
        for platform in spec.platforms:
            made = prepare(
                spec.base,
                use,
                packages=spec.packages,
                platform=platform,
                refresh=refresh,
                point=context.reach,
            )
            how = "made now" if made.made_now else "from the cache"
            found.append((made.digest, f"{probe(made, use).interpreter.target}, {how}"))
    return {"digest": found[0][0], "summary": f"{spec.base} with {'; '.join(text for _, text in found)}"}


def resolve(context: Context, source: str, image: dict[str, Any], refresh: bool) -> dict[str, Any]:
    """Resolve for the base of every platform, and judge what came out by what package metadata does not say.

    `versions` are those of the platform that is tested.
    """
    from seatrial.images.assemble.image import prepare_project
    from seatrial.images.assemble.store import using
    from seatrial.shipping.resolved import findings_of

    spec = spec_of(source, image)
    found, versions, cached = {}, {}, True
    with using() as use:
        for platform in spec.platforms:
            one = msgspec.structs.replace(spec, platforms=(platform,))
            prepared = prepare_project(one, use, refresh=refresh, point=context.reach)
            chosen = {wheel.name: wheel.version for wheel in prepared.resolution.lock.wheels}
            cached = cached and prepared.resolution.cached
            if platform == platform_here(spec.platforms):
                versions = chosen
            for finding in findings_of(one, chosen, prepared.probed.interpreter.target.python):
                found[finding.rule, finding.path, finding.line, finding.message] = finding
    lines = [
        f"{f.path}:{f.line}:{f.column}: {f.severity}[{f.rule}] {f.message}"
        for f in found.values()
        if f.severity != "note"
    ]
    for line in lines:
        context.say(line)
    return {
        "versions": versions,
        "findings": [msgspec.to_builtins(finding) for finding in found.values()],
        "errors": sum(finding.severity == "error" for finding in found.values()),
        "details": lines,
        "summary": f"{len(versions)} packages" + (", resolved before" if cached else ""),
    }


def assemble(context: Context, source: str, image: dict[str, Any]) -> dict[str, Any]:
    """Assemble the image into a folder of the run; its layers come from and go to the cache.

    `digest` is what is pushed, `here` the image that runs on this machine: the same when there is one platform.
    """
    from seatrial.images.assemble.image import assemble_project

    spec = spec_of(source, image)
    layout = context.tree("image")
    # Whatever `refresh` asked for was fetched by the steps before this one.
    done = assemble_project(spec, out=layout, point=context.reach)
    here = next(one.digest for one in done.images if one.platform == platform_here(spec.platforms))
    reused = sum(layer.reused for layer in done.layers)
    for note in done.notes:
        context.say(f"note: {note}")
    return {
        "layout": str(layout),
        "digest": done.digest,
        "here": here,
        "size": done.size,
        "layers": msgspec.to_builtins(done.layers),
        "images": msgspec.to_builtins(done.images),
        "notes": list(done.notes),
        "summary": f"{done.digest[:19]}… {megabytes(done.size)}, {len(done.layers)} layers, {reused} reused",
    }
