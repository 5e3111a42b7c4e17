"""The Dockerfile that a builder is given: the user's own, with what is passed mounted into each RUN.

Only a copy is changed. What is added is taken out of the image's history again by `finish`.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import msgspec

from seatrial.errors import SeatrialError
from seatrial.sources.dockerfile import read
from seatrial.sources.edits import edited

if TYPE_CHECKING:
    from collections.abc import Mapping

    from seatrial.images.builders.passing import Passing
    from seatrial.sources.dockerfile_model import Dockerfile, Instruction
    from seatrial.sources.edits import Span
    from seatrial.sources.text import Source

# Runs a script that names its own interpreter, as BuildKit does with a here-document that begins with `#!`.
_INTERPRETED = (
    'f=$(mktemp) && printf %s "$0" > "$f" && chmod 755 "$f" && { "$f"; code=$?; rm -f "$f"; exit $code; }'
)


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """The text to build, and the stages' bases as the user named them, by the name that they have in it."""

    text: str
    bases: dict[str, str] = {}


def prepare(source: Source, passing: Passing, capable: frozenset[str], bases: Mapping[str, str]) -> Prepared:
    """The Dockerfile with mounts and variables for what is passed, and images of this machine for `bases`.

    `bases` maps names as FROM has them to names that the builder knows.

    Raises:
        SeatrialError: it has here-documents that this builder cannot take and that cannot be written out.
    """
    whole = read(source)
    spans: list[Span] = []
    used: dict[str, str] = {}
    shell = ["/bin/sh", "-c"]
    for one in whole.instructions:
        if one.keyword == "FROM":
            shell = ["/bin/sh", "-c"]
            spans += _from(one, bases, used)
            spans += _variables(whole, one, passing) if "mounts" in capable else []
        elif one.keyword == "SHELL" and one.json:
            shell = [word.text for word in one.json]
        elif one.keyword == "RUN":
            spans += _run(whole, one, passing, capable, shell)
        elif one.heredocs and "heredocs" not in capable:
            raise SeatrialError(
                f"{one.keyword} takes a here-document, which this builder cannot read",
                where=str(source.place(one.start)),
                fix="put the text into a file of its own, or build with BuildKit of Docker 23 or newer",
            )
    return Prepared(text=edited(source, spans).text, bases=used)


def _from(one: Instruction, bases: Mapping[str, str], used: dict[str, str]) -> list[Span]:
    if not one.words:
        return []
    name = one.words[0]
    if name.text not in bases:
        return []
    used[bases[name.text]] = name.text
    return [(name.start, name.end, bases[name.text])]


def _variables(whole: Dockerfile, one: Instruction, passing: Passing) -> list[Span]:
    """One ARG for all: some versions of Buildah lose count of layers with several."""
    declared = {
        pair.key.text
        for other in whole.instructions
        if other.keyword in ("ARG", "ENV")
        for pair in other.pairs
    }
    words = [f"{name}={value}" for name, value in sorted(passing.variables.items()) if name not in declared]
    newline = whole.source.newline
    return [(one.end, one.end, f"{newline}ARG {' '.join(words)}")] if words else []


def _run(
    whole: Dockerfile, one: Instruction, passing: Passing, capable: frozenset[str], shell: list[str]
) -> list[Span]:
    mounts = ""
    if "mounts" in capable:
        mounts = "".join(
            f" --mount=type=secret,id={name},target={place},mode=0444,required=false"
            for name, place in sorted(passing.places.items())
        )
    after = one.start + len("RUN")
    if not one.heredocs or "heredocs" in capable:
        return [(after, after, mounts)] if mounts else []
    # Without here-documents the same script is one word of the exec form.
    flags = whole.source.text[after : one.flags[-1].end] if one.flags else ""
    script = one.script.text
    words = ["/bin/sh", "-c", _INTERPRETED, script] if one.interpreter else [*shell, script]
    flags = re.sub(re.escape(whole.escape) + r"\r?\n", " ", flags)
    return [(after, one.end, f"{mounts}{flags} {json.dumps(words)}")]
