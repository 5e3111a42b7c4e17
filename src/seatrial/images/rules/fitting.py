"""Which releases of packages go together, and the versions to change to, by metadata and by the tables of pairs."""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache
from typing import TYPE_CHECKING

from seatrial.images import edit, facts
from seatrial.images.rules.verdict import requests
from seatrial.images.timeline.versions import allows, higher, possible, requires
from seatrial.images.versions import pinned

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from seatrial.findings import Edit, Fix
    from seatrial.images.story.model import Request
    from seatrial.images.timeline.model import Package, Timeline

# So long before a torch, a package may already be made for it.
_AHEAD = timedelta(days=180)
USUAL = "3.11"
"""The Python for which metadata is read where nothing says which one it is."""
_LABELLED = frozenset({"torch", "torchvision", "torchaudio"})


@cache
def goes(one: str, version: str, other: str, other_version: str, python: str = "") -> bool:
    """Whether two releases go together, as far as is known; notes do not count."""
    for name, own, beside, theirs in (
        (one, version, other, other_version),
        (other, other_version, one, version),
    ):
        needed = requires(name, own, python or USUAL).get(beside) or (
            _torch_of(name, own) if beside == "torch" else ""
        )
        if needed and not allows(needed, theirs.partition("+")[0]):
            return False
    found = facts.clashes(one, version, other, other_version)
    return not any(row.severity != "note" and row.verified for row in found)


def _torch_of(name: str, version: str) -> str:
    return facts.torch_of(name, version) or "" if name in facts.COMPANIONS else ""


def candidates(timeline: Timeline, name: str) -> tuple[str, ...]:
    """The releases of a package that could be asked for instead, newest first: for this Python and this build."""
    labels = [one.specifier.partition("+")[2].partition(",")[0] for one in requests(timeline, name)]
    build = next((one for one in labels if one), "") if name in _LABELLED else ""
    return possible(name, "", timeline.python.version, build)


def fitting(
    timeline: Timeline, fixed: Mapping[str, str], free: Sequence[str], near: Mapping[str, str] | None = None
) -> dict[str, str] | None:
    """Versions for `free` that go with `fixed` and with each other; None where there are none.

    The newest are tried first, or those closest to the version that `near` names.
    """
    if not free:
        return {}
    name, *rest = free
    python = timeline.python.version
    for version in _ordered(candidates(timeline, name), (near or {}).get(name, "")):
        if all(
            goes(name, version, other, theirs, python) and _knows(name, version, other, theirs)
            for other, theirs in fixed.items()
        ):
            more = fitting(timeline, {**fixed, name: version}, rest, near)
            if more is not None:
                return {name: version, **more}
    return None


@cache
def _knows(name: str, version: str, other: str, theirs: str) -> bool:
    """Whether a release can have been made with a torch in mind: old metadata often allows any torch to come."""
    one, torch = facts.release(name, version), facts.release(other, theirs)
    if other != "torch" or one is None or torch is None or not (one.uploaded and torch.uploaded):
        return True
    return date.fromisoformat(one.uploaded) + _AHEAD >= date.fromisoformat(torch.uploaded)


def _ordered(versions: tuple[str, ...], near: str) -> Iterable[str]:
    """The closest first: of two that are as close, the higher one."""
    if not near:
        return versions
    at = sum(1 for one in versions if higher(one, near))
    return sorted(versions, key=lambda one: abs(2 * (versions.index(one) - at) + 1))


def changed(timeline: Timeline, scene: Mapping[str, Package], wanted: Mapping[str, str]) -> Fix | None:
    """Ask for the versions in `wanted`, and of what else is asked for and does not go with them, for what does.

    None where an edit cannot be made, or nothing fits.
    """
    python = timeline.python.version
    others = {
        one.name: one.likely
        for one in scene.values()
        if one.likely and one.name not in wanted and requests(timeline, one.name)
    }
    broken = [
        name
        for name, version in others.items()
        if not all(goes(name, version, other, theirs, python) for other, theirs in wanted.items())
    ]
    kept = {name: version for name, version in others.items() if name not in broken}
    found = fitting(timeline, {**kept, **wanted}, sorted(broken, key=_weight), others)
    if found is None:
        return None
    edits: list[Edit | None] = []
    words: list[str] = []
    for name, version in {**wanted, **found}.items():
        made, said = asked_for(timeline, name, version)
        edits += made
        words.append(said)
    return edit.fix(_sentence(words), edits)


def _weight(name: str) -> tuple[int, str]:
    """What pins others is decided first."""
    order = ("torch", "vllm", "xformers")
    return (order.index(name) if name in order else len(order), name)


def _sentence(words: Sequence[str]) -> str:
    text = ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else words[0]
    return text[:1].upper() + text[1:]


def asked_for(timeline: Timeline, name: str, version: str) -> tuple[list[Edit | None], str]:
    """Edits that make all requests for a package lead to `version`, and what they do in words.

    A pin becomes that version. What is open gets a bound: from below where it is newer than what fits now, else from above.
    """
    asked = [
        one
        for one in requests(timeline, name)
        if not allows(one.specifier, version) or not pinned(one.specifiers)
    ]
    if not asked:
        return [None], ""
    if any(pinned(one.specifiers) for one in asked):
        return [edit.pin(one, version) for one in asked], f"pin {name} to {version}"
    likely = _likely(timeline, asked)
    if likely and higher(version, likely):
        return [edit.specify(one, f">={version}") for one in asked], f"ask for {name} {version} or newer"
    below = above(timeline, name, version)
    if not below:
        return [edit.specify(one, f">={version}") for one in asked], f"ask for {name} {version} or newer"
    return [edit.cap(one, below, version) for one in asked], f"keep {name} below {below}"


def _likely(timeline: Timeline, asked: Sequence[Request]) -> str:
    found = possible(asked[0].name, asked[0].specifier, timeline.python.version)
    return found[0] if found else ""


def above(timeline: Timeline, name: str, version: str) -> str:
    """The lowest release above `version`, as short as it can be said: `4.50` for 4.50.0."""
    above = [one for one in candidates(timeline, name) if higher(one, version)]
    if not above:
        return ""
    text = above[-1].partition("+")[0]
    while text.endswith(".0") and text.count(".") > 1:
        text = text[:-2]
    return text


def removed(timeline: Timeline, name: str) -> Fix | None:
    """Do not ask for a package any more."""
    return edit.fix(f"Do not ask for {name}", [edit.remove(one) for one in requests(timeline, name)])
