"""Edits that the rules about torch and its companions share."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.images import edit, facts
from seatrial.images.rules.verdict import requests
from seatrial.images.story.model import Span
from seatrial.images.timeline.variant import of_index
from seatrial.images.timeline.versions import has_build, requires
from seatrial.images.wording import listed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from seatrial.findings import Edit, Fix
    from seatrial.images.story.model import Install, Request
    from seatrial.images.timeline.model import Package, Timeline

INDEX = "https://download.pytorch.org/whl/"
"""Where PyTorch's indexes are, one for each build. Source: https://pytorch.org/get-started/previous-versions/"""

_LABEL = re.compile(r"\+(cu\d+|cpu|rocm[\d.]+|xpu)")


def written_label(request: Request) -> str:
    """The local label (`cu121`) in a request's version, empty where it has none."""
    found = _LABEL.search(request.specifier)
    return found[1] if found else ""


def companion_for(torch: str, name: str, python: str = "", build: str = "") -> str:
    """The newest release of a companion that goes with a torch release and installs there; empty when none is known."""
    for version in facts.companions(torch).get(name, ()):
        one = facts.release(name, version)
        if one is not None and facts.installs(one, python) and (not build or has_build(name, version, build)):
            return version
    return ""


def pins(timeline: Timeline, name: str, version: str, *, label: str | None = None) -> list[Edit | None]:
    """Every request for a package asks for `version`; a label is only written where there was one."""
    found: list[Edit | None] = []
    for one in requests(timeline, name):
        kept = label if label is not None and written_label(one) else None
        found.append(edit.pin(one, version, label=kept))
    return found


def repinned(timeline: Timeline, packages: Mapping[str, Package], torch: str) -> Fix | None:
    """Torch becomes `torch`, and its companions those that go with it, where an installer does not choose them by itself."""
    asked = requests(timeline, "torch")
    if not asked or any(
        written_label(one) and not has_build("torch", torch, written_label(one)) for one in asked
    ):
        return None
    edits = pins(timeline, "torch", torch)
    words = [f"torch to {torch}"]
    for name in facts.COMPANIONS:
        beside = packages.get(name)
        if (
            beside is None
            or chosen(timeline, name, torch)
            or (beside.exact and goes(name, beside.exact, torch))
        ):
            continue
        version = companion_for(torch, name, timeline.python.version)
        if not version:
            return None
        edits += pins(timeline, name, version)
        words.append(f"{name} to {version}")
    return edit.fix(f"Pin {listed(words)}", edits)


def chosen(timeline: Timeline, name: str, torch: str) -> bool:
    """Whether an installer takes a companion that goes with that torch by itself: no version is stated, and its metadata say."""
    asked = requests(timeline, name)
    if any(one.specifier for one in asked):
        return False
    newest = facts.newest(name, python=timeline.python.version)
    if not asked or newest is None:
        return True
    return facts.needs(newest, "torch") is not None or goes(name, newest.version, torch)


def goes(name: str, version: str, torch: str) -> bool:
    """Whether a companion was made for that torch; true where that is not known, and for a torch of another making."""
    wanted = facts.torch_of(name, version)
    if not wanted or facts.release("torch", torch) is None:
        return True
    return facts.fits(torch, _LABEL.sub("", wanted))


def may_have(timeline: Timeline, name: str) -> bool:
    """Whether the base may bring a package in a version that is not known, so that nothing is installed."""
    base = timeline.base
    if base is None or base.bare or name in base.packages:
        return False
    if name in base.present or any(name in requires(one, version) for one, version in base.packages.items()):
        return True
    # Where nothing is said about torchvision either, the list is not one of what stands beside torch.
    return name in facts.COMPANIONS and "torch" in base.present and "torchvision" not in base.present


def reindexed(install: Install, label: str) -> Edit | None:
    """Let an install ask PyTorch's index of another build, where the index's address stands in the files just once."""
    for url in (install.index, *install.extra_indexes):
        known = of_index(url)
        if not known:
            continue
        span = _written(install, url)
        if span is None:
            return None
        at = span.start + url.rindex(known)
        return edit.replace(Span(span.source, at, at + len(known)), label)
    return None


def _written(install: Install, url: str) -> Span | None:
    """Where an address stands: in the command, in one of its files, or once elsewhere in the command's file."""
    for source, start, end in (
        (install.at.source, install.at.start, install.at.end),
        *((one, 0, len(one.text)) for one in install.files),
        (install.at.source, 0, len(install.at.source.text)),
    ):
        found = [one.start() for one in re.finditer(rf"{re.escape(url)}(?![\w.])", source.text[start:end])]
        if len(found) == 1:
            return Span(source, start + found[0], start + found[0] + len(url))
    return None


def with_index(install: Install, request: Request | None, label: str) -> Edit | None:
    """Let an install look into PyTorch's index of a build besides the one that it asks."""
    text = f"--extra-index-url {INDEX}{label}"
    if install.tool not in ("pip", "uv"):
        return None
    if request is not None and request.style == "lines":
        return edit.line_before(Span(request.at.source, 0, 0), text)
    return edit.option(install, text)


def together(timeline: Timeline, beside: Request, moved: list[Request]) -> list[Edit | None]:
    """Ask for packages in the command or file that asks for `beside`, and no longer where they were asked for."""
    words = [f"{one.name}{one.specifier}" for one in moved]
    return [edit.add(beside, *words), *removed(timeline, moved)]


def removed(timeline: Timeline, asked: Sequence[Request]) -> list[Edit | None]:
    """Do not ask for packages any more; a command that asks for nothing else goes as a whole."""
    found: list[Edit | None] = []
    for moment in timeline.moments:
        install = moment.install
        here = [one for one in install.requests if one in asked]
        if here and len(here) == len(install.requests) and all(one.style == "shell" for one in here):
            found.append(without(install))
        else:
            found += [edit.remove(one) for one in here]
    return found


def without(install: Install) -> Edit | None:
    """Take away a whole command: its RUN, or its part of a chain with `&&`. None where it stands in another way."""
    source, start, end = install.at.source, install.at.start, install.at.end
    before, after = source.text[:start], source.text[end:]
    chained = re.search(r"[^\S\r\n]*(?:\\\r?\n[^\S\r\n]*)?&&[^\S\r\n]*(?:\\\r?\n[^\S\r\n]*)?$", before)
    if chained:
        return edit.replace(Span(source, chained.start(), end), "")
    ahead = re.match(r"[^\S\r\n]*(?:\\\r?\n[^\S\r\n]*)?&&[^\S\r\n]*(?:\\\r?\n[^\S\r\n]*)?", after)
    if ahead:
        return edit.replace(Span(source, start, end + ahead.end()), "")
    alone = re.search(r"(?:^|\n)[^\S\r\n]*RUN[^\S\r\n]+(?:--\S+[^\S\r\n]+)*$", before, re.IGNORECASE)
    if alone and re.match(r"[^\S\r\n]*(?:\r?\n|$)", after):
        return edit.without_line(install.at)
    return None
