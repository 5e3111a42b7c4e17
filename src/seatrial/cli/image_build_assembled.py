"""`seatrial image build --assemble`: the same image, assembled instead of built."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from seatrial.cli.common import note, print_json
from seatrial.errors import DONE

if TYPE_CHECKING:
    from pathlib import Path


def assembled(folder: Path, dockerfile: Path, options: dict[str, Any]) -> int:
    """Assemble the image of a Dockerfile that only installs and copies; see `images.builders.assembling`."""
    import os

    import msgspec

    from seatrial.cli.assembled import summarise
    from seatrial.cli.image_build import bases_of, default_layout, destinations, inside
    from seatrial.cli.waiting import Waiting
    from seatrial.images.assemble.image import assemble_project
    from seatrial.images.assemble.store import scratch, using
    from seatrial.images.builders.assembling import plan
    from seatrial.images.outputs import delivery
    from seatrial.images.outputs.layout import locked_output
    from seatrial.images.outputs.names import name_of
    from seatrial.sources.text import read

    _refuse(options)
    names, push, program = destinations(options)
    out = options["out"] or default_layout(folder)
    given = dict(text.partition("=")[::2] for text in options["arguments"])
    arguments = {name: value or os.environ.get(name, "") for name, value in given.items()}
    called = names or (name_of(f"{folder.resolve().name.lower() or 'image'}:latest"),)
    with Waiting(quiet=options["as_json"]) as waiting, locked_output(out), using() as use, scratch() as stage:
        spec = plan(
            read(dockerfile, inside(folder, dockerfile)), folder, stage, arguments, bases_of(options, use)
        )
        if options["platform"]:
            spec = msgspec.structs.replace(spec, platforms=(options["platform"],))
        done = assemble_project(
            spec,
            out=out,
            insecure=options["insecure"],
            names=names,
            use=use,
            say=waiting.say,
            point=waiting.reach,
        )
        found = delivery.Delivered()
        if push is not None:
            waiting.say("pushing")
            found = delivery.push(push, None, out, done.digest, folder)
        if options["archive"]:
            from pathlib import Path

            size = delivery.save(out, Path(options["archive"]), sys.stdout.buffer, called)
            found = msgspec.structs.replace(found, archive=options["archive"], archive_bytes=size)
        if program is not None:
            found = msgspec.structs.replace(found, loaded=delivery.load(out, program, called))
    if options["as_json"]:
        print_json(
            {
                **msgspec.to_builtins(done),
                **msgspec.to_builtins(found),
                "builder": "assembled",
                "layout": str(out),
            }
        )
        return DONE
    summarise(done)
    for line in found.notes:
        note(line)
    note(f"assembled instead of built; the image is in {out}")
    sys.stdout.write(done.digest + "\n")
    return DONE


def _refuse(options: dict[str, Any]) -> None:
    """Options that only a builder understands."""
    from seatrial.errors import UsageError

    for name in ("secrets", "target", "network", "isolation", "fresh", "write"):
        if options[name]:
            said = {"secrets": "--secret", "fresh": "--no-cache"}.get(name, f"--{name}")
            raise UsageError(f"{said} says nothing to --assemble", fix="leave one of them out")
