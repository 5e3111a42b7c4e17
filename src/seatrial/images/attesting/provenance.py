"""Where an image comes from, as SLSA provenance v1. Source: slsa.dev/spec/v1.0/provenance and v1.0/levels.

Whoever has the key and the machine can write any provenance, so it fulfils Build L1 and nothing more: L2 wants it to
be signed by a build service that its users do not control. The statement says so itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import seatrial
from seatrial.images import layout as oci
from seatrial.images.attesting import builds
from seatrial.images.attesting.purl import purl
from seatrial.images.outputs import records

if TYPE_CHECKING:
    from seatrial.images.attesting.builds import Build
    from seatrial.images.layout import Image
    from seatrial.images.outputs.records import Record

PREDICATE = "https://slsa.dev/provenance/v1"
LEVEL = "SLSA Build L1: made and signed by whoever built the image, not by a build service that its users cannot control"
_ASSEMBLY = "urn:seatrial:build:assembly:v1"
_DOCKERFILE = "urn:seatrial:build:dockerfile:v1"
_BUILDER = "urn:seatrial:builder:own-machine:v1"


def predicate(image: Image) -> dict[str, Any] | None:
    """What the image was made of and by what; None when it was not made on this machine, or that was forgotten.

    The same image and record give the same content: it has no times and no names of machines.
    """
    record = records.made_of(image.digest)
    if record is not None:
        return _assembled(image, record)
    build = builds.recall(image.digest)
    return _built(image, build) if build is not None else None


def _assembled(image: Image, record: Record) -> dict[str, Any]:
    below = len(image.manifest.layers) - len(record.layers)
    identities = oci.diff_ids(image)[below:]
    wheels = {wheel.sha256: wheel for layer in record.layers for wheel in layer.wheels}
    sources = [
        {"name": "source", "digest": _digest(diff_id), "mediaType": "application/vnd.oci.image.layer.v1.tar"}
        for layer, diff_id in zip(record.layers, identities, strict=True)
        if layer.kind == "source"
    ]
    return _predicate(
        _ASSEMBLY,
        {
            "platform": _platform(image),
            "layers": [{"kind": layer.kind, "what": layer.what} for layer in record.layers],
        },
        [
            _base(record.base, record.base_digest),
            *(
                {
                    "uri": purl("pypi", wheel.name, wheel.version, file_name=wheel.filename),
                    "name": wheel.filename,
                    "digest": {"sha256": wheel.sha256},
                }
                for wheel in sorted(wheels.values(), key=lambda one: (one.name, one.filename))
            ),
            *sources,
        ],
        image,
        {"seatrial": seatrial.__version__},
    )


def _built(image: Image, build: Build) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "platform": build.platform or _platform(image),
        "dockerfile": build.dockerfile,
    }
    if build.target:
        parameters["target"] = build.target
    if build.arguments:
        parameters["arguments"] = sorted(build.arguments)
    return _predicate(
        _DOCKERFILE,
        parameters,
        [
            {"name": build.dockerfile, "digest": {"sha256": build.sha256}},
            *(_base(name, digest) for name, digest in sorted(build.bases.items()) if digest),
            *([{"name": "context", "digest": {"sha256": build.context}}] if build.context else []),
        ],
        image,
        {"seatrial": seatrial.__version__, build.builder: build.version},
    )


def _predicate(
    kind: str,
    parameters: dict[str, Any],
    dependencies: list[dict[str, Any]],
    image: Image,
    versions: dict[str, str],
) -> dict[str, Any]:
    layers = [
        {"name": f"layer {number}", "digest": _digest(layer.digest), "mediaType": layer.media_type}
        for number, layer in enumerate(image.manifest.layers)
    ]
    return {
        "buildDefinition": {
            "buildType": kind,
            "externalParameters": parameters,
            "internalParameters": {"level": LEVEL},
            "resolvedDependencies": dependencies,
        },
        "runDetails": {
            "builder": {"id": _BUILDER, "version": dict(sorted(versions.items()))},
            "byproducts": layers,
        },
    }


def _base(name: str, digest: str) -> dict[str, Any]:
    # The name of a folder says nothing elsewhere, and may say too much.
    local = name.startswith((".", "/", "~")) or not name
    return {
        "name": "base",
        "digest": _digest(digest),
        **({} if local else {"annotations": {"reference": name}}),
    }


def _digest(text: str) -> dict[str, str]:
    return {"sha256": text.removeprefix("sha256:")}


def _platform(image: Image) -> str:
    return f"{image.config.get('os', 'linux')}/{image.config.get('architecture', '')}"
