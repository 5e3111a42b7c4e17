"""The smallest edits that change what a project asks for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.findings import Edit, Fix
from seatrial.images import facts
from seatrial.images.versions import pinned, reaches, stays_below

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seatrial.images.requirements import Asked, RequirementSet
    from seatrial.sources.text import Source

_UPPER = re.compile(r"<=?\s*[\w.*!+-]+")


def cap_numpy(sets: Sequence[RequirementSet], beside: Sequence[Asked], python: str | None) -> Fix | None:
    """Keep numpy below 2. Where nothing asks for numpy, it is added after the line of `beside`.

    None where no text edit does it: NumPy 1 has no wheels for that Python, or the file has hashes.
    """
    known = facts.numpy_abi()
    if python is not None and _minor(python) > _minor(known.numpy_1_python):
        return None
    requests = [one for asked in sets for one in asked.named("numpy") if not one.direct]
    if python is not None:
        requests = [one for one in requests if one.holds_for(python)]
    high = [one for one in requests if reaches(one.specifiers, "2")]
    plain = [one for one in requests if not one.constraint] or requests
    chosen = high or plain[:1]
    if not chosen:
        own = [one for one in beside if not one.constraint and not one.locked][:1]
        edits = [_line_after(one, "numpy<2") for one in own]
        return Fix(title="Ask for numpy below 2", safe=True, edits=tuple(edits)) if edits else None
    if any(one.locked for one in chosen):
        return None
    edits = [_specifier(one, _capped(one, known.numpy_1)) for one in chosen]
    exact = all(pinned(one.specifiers) for one in chosen)
    title = f"Pin numpy to {known.numpy_1}" if exact else "Keep numpy below 2"
    return Fix(title=title, safe=True, edits=tuple(dict.fromkeys(edits)))


def raise_to(requests: Sequence[Asked], version: str) -> Fix | None:
    """Ask for `version` of a package where a lower one is asked for. Never safe: a newer version can behave otherwise.

    A local label (`+cu118`) is kept. None where nothing asks for the package, or the file has hashes.
    """
    low = [one for one in requests if stays_below(one.specifiers, version) and not one.direct]
    if not low or any(one.locked for one in low):
        return None
    edits = []
    for one in low:
        pin = pinned(one.specifiers)
        label = f"+{pin.partition('+')[2]}" if pin and "+" in pin else ""
        edits.append(_specifier(one, f"=={version}{label}" if pin else f">={version}"))
    return Fix(title=f"Raise {low[0].name} to {version}", safe=False, edits=tuple(dict.fromkeys(edits)))


def _minor(python: str) -> tuple[int, ...]:
    return tuple(int(part) for part in python.split(".")[:2])


def _capped(one: Asked, newest: str) -> str:
    """The specifier as written, changed as little as keeps numpy below 2."""
    start, end = one.line.specifier
    written = one.source.text[start:end]
    if pinned(one.specifiers):
        return re.sub(r"(===?\s*)[^\s,)]+", rf"\g<1>{newest}", written, count=1)
    if reaches(one.specifiers, "2"):
        return f">={newest},<2"
    if _UPPER.search(written):
        return _UPPER.sub("<2", written, count=1)
    inner = written.rstrip(") \t")
    return f"{inner},<2{written[len(inner) :]}" if inner else "<2"


def _specifier(one: Asked, text: str) -> Edit:
    """Replace a requirement's version specifier; brackets around the old one go with it."""
    start, end = one.line.specifier
    return Edit(
        path=one.source.path, start=one.source.position(start), end=one.source.position(end), text=text
    )


def _line_after(one: Asked, requirement: str) -> Edit:
    """Add a requirement after a line, in the way its file writes them."""
    source = one.source
    if one.style == "toml":
        offset = one.line.end + 1
        quote = source.text[one.line.end : one.line.end + 1]
        text = f", {quote}{requirement}{quote}"
    else:
        offset = _end_of_line(source, one.line.end)
        text = f"{source.newline}{requirement}"
    place = source.position(offset)
    return Edit(path=source.path, start=place, end=place, text=text)


def _end_of_line(source: Source, offset: int) -> int:
    line = source.position(offset)[0]
    return source.starts[line - 1] + len(source.line(line))
