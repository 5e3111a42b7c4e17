"""`seatrial image inspect`: what an image is made of."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from seatrial.cli.common import directory_option, json_option, print_json
from seatrial.cli.image_source import METAVAR, find_image, source_options
from seatrial.reports.units import size

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.images.layout import Image


@click.command(epilog="Example: seatrial image inspect ./image --json")
@click.argument("source", metavar=METAVAR)
@source_options
@json_option
@directory_option
def inspect(source: str, platform: str, insecure: bool, as_json: bool) -> None:
    """Show the layers and the settings of an image in a folder or registry."""
    from seatrial.images.layout import read_image

    layout, digest = find_image(source, platform=platform, insecure=insecure)
    found = {**describe(read_image(layout, digest=digest)), **_index(layout, digest)}
    if as_json:
        print_json(found)
        return
    out = sys.stdout
    out.write(
        f"digest      {found['digest']}\nplatform    {found['platform']}\nsize        {size(found['size'])}\n"
    )
    if found["index"]:
        out.write(f"index       {found['index']}\nof          {', '.join(found['platforms'])}\n")
    for key, value in found["config"].items():
        out.write(f"{key.lower():<11} {_line(value)}\n")
    for layer in found["layers"]:
        out.write(f"layer       {layer['digest'][7:19]} {size(layer['size']):>10}  {layer['what']}\n")


def describe(image: Image) -> dict[str, Any]:
    """The facts of an image as plain data; sizes are in bytes, layers lowest first."""
    history = [entry for entry in image.config.get("history") or () if not entry.get("empty_layer")]
    layers = image.manifest.layers
    said = (
        [entry.get("created_by", "") for entry in history]
        if len(history) == len(layers)
        else [""] * len(layers)
    )
    return {
        "digest": image.digest,
        "platform": f"{image.config.get('os', '')}/{image.config.get('architecture', '')}",
        "created": image.config.get("created"),
        "size": sum(layer.size for layer in layers),
        "config": image.config.get("config") or {},
        "layers": [
            {"digest": layer.digest, "size": layer.size, "media_type": layer.media_type,
             "what": text.removeprefix("seatrial image assemble: ")}
            for layer, text in zip(layers, said, strict=True)
        ],
    }  # fmt: skip


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
