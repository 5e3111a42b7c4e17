"""Packages whose metadata pins torch or triton: pins that exclude each other, and torch exchanged behind their back."""

from __future__ import annotations

import re
from itertools import combinations
from typing import TYPE_CHECKING

import msgspec

from seatrial.images import facts
from seatrial.images.facts.versions import minor
from seatrial.images.rules.fitting import USUAL, changed, fitting, removed
from seatrial.images.rules.pairs_rules import BY_ID
from seatrial.images.rules.verdict import place, verdict, weighed
from seatrial.images.timeline.versions import allows, possible, requires
from seatrial.images.versions import pinned

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from packaging.version import Version

    from seatrial.findings import Fix
    from seatrial.images.rules.verdict import Verdict
    from seatrial.images.story.model import Request
    from seatrial.images.timeline.model import Moment, Package, Timeline

# Whose rule speaks, the first one of those that are involved.
_RULES = {
    "vllm": "vllm-torch",
    "vllm-flash-attn": "vllm-torch",
    "vllm-ascend": "vllm-torch",
    "xformers": "xformers-torch",
    "triton": "triton-torch",
    "torch-npu": "vllm-torch",
}
_PINNED = ("torch", "triton", "xformers")
_FEW = 24
_LOCAL = re.compile(r"\+[a-z0-9.]+")


class _Side(msgspec.Struct, frozen=True):
    """A request and the versions of a pinned package that it leaves; `needs` says so in words."""

    package: Package
    left: frozenset[str]
    needs: str


def check(timeline: Timeline) -> list[Verdict]:
    """Contradictions inside one install, then what is left of pins at the end."""
    found = [one for moment in timeline.moments for one in _inside(timeline, moment)]
    return found + list(_behind(timeline))


def _inside(timeline: Timeline, moment: Moment) -> Iterator[Verdict]:
    """Nothing can be installed: pip and uv give up."""
    install = moment.install
    if "no-deps" in install.flags or install.tool == "conda":
        return
    asked = [
        one
        for one in moment.after.values()
        if one.install is install and one.request is not None and one.specifier and not one.request.url
    ]
    if not any(one.name in _RULES for one in asked) or all(_locked(one.request) for one in asked):
        return
    said: set[frozenset[str]] = set()
    for target in _PINNED:
        sides = [side for one in asked if (side := _side(timeline, one, target, moment)) is not None]
        for first, second in combinations(sides, 2):
            about = frozenset({first.package.name, second.package.name})
            if not first.left & second.left and about & _RULES.keys() and about not in said:
                said.add(about)
                yield _contradiction(timeline, moment, target, first, second)


def _locked(request: Request | None) -> bool:
    return request is not None and request.locked


def _side(timeline: Timeline, one: Package, target: str, moment: Moment) -> _Side | None:
    """What a request leaves of `target`; None where it leaves everything, or that is not known."""
    python = timeline.python.version
    versions = possible(one.name, one.specifier, python)
    if not versions or len(versions) > _FEW:
        return None
    if one.name == target:
        return _Side(one, frozenset(version.partition("+")[0] for version in versions), "")
    if one.name == "torch" and not one.variant.startswith("cu"):
        return None  # only builds for CUDA pin triton
    needs = {
        version: _LOCAL.sub("", requires(one.name, version, python or USUAL).get(target, ""))
        for version in versions
    }
    if not all(needs.values()):
        return None
    known = moment.after.get(target)
    universe = {release.version for release in facts.releases(target)} | set(known.versions if known else ())
    left = frozenset(
        each.partition("+")[0] for each in universe if any(allows(need, each) for need in needs.values())
    )
    return _Side(one, left, f"{target}{needs[versions[0]]}")


def _contradiction(timeline: Timeline, moment: Moment, target: str, first: _Side, second: _Side) -> Verdict:
    if list(_RULES).index(_speaker(second)) < list(_RULES).index(_speaker(first)):
        first, second = second, first
    subject = first if first.package.name in _RULES else second
    message = f"{_named(first)}, {_named(second)}: one install cannot have both"
    return verdict(
        BY_ID[_RULES[subject.package.name]],
        "error" if weighed(moment.install) else "warning",
        place(timeline, subject.package),
        message,
        about=(first.package.name, second.package.name),
        cause="pip and uv end with an error before anything is installed: the requirements exclude each other",
        source=f"https://pypi.org/project/{subject.package.name}/",
        fixes=_fixes(timeline, moment, target, first, second),
    )


def _speaker(side: _Side) -> str:
    return side.package.name if side.package.name in _RULES else list(_RULES)[-1]


def _named(side: _Side) -> str:
    one = side.package
    shown = f"{one.name} {one.exact.partition('+')[0]}" if one.exact else f"{one.name}{one.specifier}"
    return f"{shown} needs {side.needs}" if side.needs else f"{shown} is asked for"


def _fixes(
    timeline: Timeline, moment: Moment, target: str, first: _Side, second: _Side
) -> Iterable[Fix | None]:
    """Without what came to an end; then around the pinned package, then around each of those that pin it."""
    pair = [first, second]
    for one in pair:
        if facts.ended(one.package.name, one.package.likely) is not None:
            yield removed(timeline, one.package.name)
    # torch stays and the other changes; only then the other way round.
    pair.sort(key=lambda one: one.package.name != "torch")
    for one, other in (pair, reversed(pair)):
        yield _around(timeline, moment.after, target, one, other.package.name)
    for one in reversed(pair):
        if one.package.name in _RULES:
            yield removed(timeline, one.package.name)


def _around(
    timeline: Timeline, scene: Mapping[str, Package], target: str, kept: _Side, free: str
) -> Fix | None:
    """Keep one package with what it leaves of the pinned one, and change the other to the newest that goes with both."""
    fixed = kept.package
    version = fixed.likely.partition("+")[0]
    base = {fixed.name: version}
    if target not in (fixed.name, free) and kept.left:
        base[target] = max(kept.left, key=_version)
    found = fitting(timeline, base, [free])
    if not found:
        return None
    return changed(timeline, scene, found if fixed.exact else {fixed.name: version, **found})


def _version(text: str) -> Version:
    from packaging.version import Version

    return Version(text)


_COMPILED = {
    "vllm": "its compiled parts do not load: `undefined symbol`",
    "xformers": "it says `xFormers can't load C++/CUDA extensions` and runs without its kernels",
    "vllm-flash-attn": "importing it fails with `undefined symbol`",
}


def _behind(timeline: Timeline) -> Iterator[Verdict]:
    """Installed without its dependencies, or torch came afterwards: the torch at the end is another one."""
    scene = timeline.final
    torch = scene.get("torch")
    if torch is not None and torch.versions:
        for name, how in _COMPILED.items():
            one = scene.get(name)
            if one is not None and one.versions and not one.base and not _may_fit(one, torch):
                yield _late(timeline, scene, one, torch, how)
        triton = scene.get("triton")
        if triton is not None and triton.request is not None and _other_triton(triton, torch):
            yield _late_triton(timeline, torch, triton)


def _may_fit(one: Package, torch: Package) -> bool:
    """Within a minor version compiled parts usually load, whatever the pin says."""
    if one.install is torch.install and "no-deps" not in (one.install.flags if one.install else ()):
        return True  # said as a contradiction
    for version in one.versions:
        needed = requires(one.name, version).get("torch", "")
        wanted = pinned_torch(needed)
        if not wanted or any(minor(wanted) == minor(each) for each in torch.versions):
            return True
    return False


def pinned_torch(needed: str) -> str:
    """The one torch in a specifier, else empty."""
    from packaging.specifiers import SpecifierSet

    return pinned(SpecifierSet(needed)) or ""


def _late(
    timeline: Timeline, scene: Mapping[str, Package], one: Package, torch: Package, how: str
) -> Verdict:
    needed = requires(one.name, one.likely).get("torch", "")
    at = f"torch {torch.likely}" if torch.exact else f"torch{torch.specifier}"
    fits = fitting(timeline, {"torch": torch.likely.partition("+")[0]}, [one.name])
    return verdict(
        BY_ID[_RULES[one.name]],
        "warning",
        place(timeline, one),
        f"{one.name} {one.likely} was compiled for torch{needed}, and in the end there is {at}",
        about=(one.name, "torch"),
        cause=how,
        source=f"https://pypi.org/project/{one.name}/",
        fixes=[
            changed(timeline, scene, fits) if fits else None,
            changed(timeline, scene, {"torch": pinned_torch(needed)}),
        ],
    )


def _other_triton(triton: Package, torch: Package) -> bool:
    """Whether a triton of another minor version came after the torch that pins one."""
    if (
        triton.install is torch.install
        or not triton.exact
        or not torch.exact
        or not torch.variant.startswith("cu")
    ):
        return False
    wanted = facts.pin_of_torch(torch.exact, "triton")
    return wanted is not None and minor(wanted) != minor(triton.exact)


def _late_triton(timeline: Timeline, torch: Package, triton: Package) -> Verdict:
    wanted = facts.pin_of_torch(torch.exact, "triton") or ""
    return verdict(
        BY_ID["triton-torch"],
        "warning",
        place(timeline, triton),
        f"torch {torch.exact} needs triton {wanted}, and in the end there is triton {triton.exact}",
        about=("triton", "torch"),
        cause="what torch.compile makes does not fit this triton, so it fails when it is first used",
        source="https://pypi.org/project/torch/",
        fixes=[changed(timeline, timeline.final, {"triton": wanted}), removed(timeline, "triton")],
    )
