"""image/torch-pair: torchvision, torchaudio, torchtext or torchcodec beside a torch that it was not built for."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import msgspec

from seatrial.findings import Rule
from seatrial.images import edit, facts
from seatrial.images.facts.versions import minor
from seatrial.images.rules import torch_fixes
from seatrial.images.rules.verdict import Verdict, place, requests, shown, verdict
from seatrial.images.timeline.variant import index_of, of_index
from seatrial.images.timeline.versions import built_for, requires

if TYPE_CHECKING:
    from collections.abc import Mapping

    from seatrial.findings import Fix, Severity
    from seatrial.images.timeline.model import Package, Timeline

RULE = Rule(
    id="image/torch-pair",
    severity="error",
    title="torchvision, torchaudio, torchtext or torchcodec was built for another torch",
    explanation=(
        "These packages have compiled parts that work with the torch that they were built for and with no other. In one "
        "install an installer refuses two versions that do not belong together; in two installs, or with --no-deps, both "
        "end up in the image, and importing the package fails with `operator torchvision::nms does not exist`, "
        "`undefined symbol` or `Symbol not found`. An error when both versions are certain. A warning when the newest "
        "release would be taken, whose metadata does not say which torch it needs, and when only the patch numbers "
        "differ. The fix changes the companion, so that torch stays; or torch, so that the companion stays."
    ),
    source="https://github.com/pytorch/vision#installation",
    example="torch==2.4.0\ntorchvision==0.20.1\n",
)

RULES = (RULE,)

_SYMPTOMS = {
    "torchvision": "importing torchvision fails with `operator torchvision::nms does not exist` or an undefined symbol",
    "torchaudio": "importing torchaudio fails with an undefined symbol in its compiled part",
    "torchtext": "importing torchtext fails with an undefined symbol in libtorchtext.so",
    "torchcodec": "decoding fails: torchcodec cannot load its libraries beside another torch",
}
_REFUSED = "the installer refuses both in one command (ResolutionImpossible), so the build stops"


class _Case(msgspec.Struct, frozen=True):
    """What is wrong: how bad, in which words, and why."""

    severity: Severity
    words: str
    cause: str


def check(timeline: Timeline) -> list[Verdict]:
    """Pairs that do not go together, in every environment that can come out."""
    found = []
    for scene in timeline.scenes():
        torch = scene.get("torch")
        if torch is None or not torch.versions:
            continue
        for name in facts.COMPANIONS:
            beside = scene.get(name)
            if beside is None or not beside.versions or beside.request is None:
                # What the base or another package brings is said by the rules about those.
                continue
            if torch.base and not beside.exact and torch_fixes.may_have(timeline, name):
                continue
            case = _case(torch, beside, timeline.python.version)
            if case is not None:
                found.append(_verdict(timeline, scene, torch, beside, case))
    return found


def _case(torch: Package, beside: Package, python: str) -> _Case | None:
    if torch.exact and beside.exact:
        return _exact(torch, beside)
    if _all_conflict(torch, beside):
        return _none_fits(torch, beside)
    return _newest(torch, beside, python)


def _exact(torch: Package, beside: Package) -> _Case | None:
    if torch_fixes.goes(beside.name, beside.exact, torch.exact):
        return None
    made = built_for(beside.name, beside.exact)
    refused = _one_install(torch, beside) and _says(beside.name, beside.exact)
    if minor(made) == minor(torch.exact) and not refused:
        severity: Severity = "warning"
        words = f"{shown(beside)} was built for torch {made}, and torch {torch.exact} is beside it"
    else:
        severity = (
            "error" if torch.certain and beside.certain and not _own_builds(torch, beside) else "warning"
        )
        ending = f"goes with torch {made}, not with torch {torch.exact}"
        words = f"{beside.name} {beside.exact} was built for torch {made} and fails to load with torch {torch.exact}"
        words = words if not refused else f"{beside.name} {beside.exact} {ending}"
    return _Case(severity, words, _cause(beside.name, refused=refused))


def _none_fits(torch: Package, beside: Package) -> _Case | None:
    """Versions are open, and no choice of them goes together."""
    if not _one_install(torch, beside) or not all(_says(beside.name, one) for one in beside.versions):
        return None
    certain = torch.certain and beside.certain and not _own_builds(torch, beside)
    words = f"no {_asked(beside)} was built for {_asked(torch)}: {_range(torch, beside)}"
    return _Case("error" if certain else "warning", words, _cause(beside.name, refused=True))


def _newest(torch: Package, beside: Package, python: str) -> _Case | None:
    """An installer takes the newest release, unless its metadata says that it needs another torch."""
    chosen = beside.likely
    if beside.exact or _says(beside.name, chosen) or not _released_for_all(torch, beside, python):
        return None
    if any(torch_fixes.goes(beside.name, chosen, one) for one in torch.versions):
        return None
    made = facts.torch_of(beside.name, chosen)
    words = (
        f"{beside.name} is left open, so its newest release {chosen} comes, which needs torch{made}, "
        f"and fails to load with {_asked(torch)}"
    )
    cause = (
        f"the metadata of {beside.name} {chosen} names no torch, so no installer avoids it; "
        + _SYMPTOMS[beside.name]
    )
    return _Case("warning", words, cause)


def _released_for_all(torch: Package, beside: Package, python: str) -> bool:
    """Whether the newest companion has a wheel for every Python that this torch has one for."""
    if python:
        return True
    wanted = facts.pythons("torch", torch.likely) or ()
    return set(wanted) <= set(facts.pythons(beside.name, beside.likely) or ())


def _all_conflict(torch: Package, beside: Package) -> bool:
    return not any(
        torch_fixes.goes(beside.name, companion, one)
        for companion, one in product(beside.versions, torch.versions)
    )


def _one_install(torch: Package, beside: Package) -> bool:
    install = beside.install
    return (
        install is not None
        and torch.install is install
        and install.tool != "conda"
        and "no-deps" not in install.flags
    )


def _says(name: str, version: str) -> bool:
    """Whether the metadata of a companion keeps installers from putting it beside another torch."""
    return bool(requires(name, version).get("torch"))


def _own_builds(torch: Package, beside: Package) -> bool:
    """Whether one of both may be another making than PyTorch's own, with versions that mean something else."""
    for one in (torch, beside):
        if one.install is None:
            continue
        index = index_of(one.request, one.install)
        if one.install.tool == "conda" or one.install.find_links or (index and not of_index(index)):
            return True
        if any(not of_index(extra) for extra in one.install.extra_indexes):
            return True
    return False


def _asked(package: Package) -> str:
    return f"{package.name} {package.exact}" if package.exact else f"{package.name}{package.specifier}"


def _range(torch: Package, beside: Package) -> str:
    wanted = built_for(beside.name, beside.versions[-1])
    fitting = torch_fixes.companion_for(torch.likely, beside.name)
    said = f"{beside.name} {beside.versions[-1]} goes with torch {wanted}"
    return f"{said}, and torch {torch.likely} with {beside.name} {fitting}" if fitting else said


def _cause(name: str, *, refused: bool) -> str:
    return _REFUSED if refused else _SYMPTOMS[name]


def _verdict(
    timeline: Timeline, scene: Mapping[str, Package], torch: Package, beside: Package, case: _Case
) -> Verdict:
    return verdict(
        RULE,
        case.severity,
        place(timeline, beside, torch),
        case.words,
        about=("torch", beside.name),
        cause=case.cause,
        source=facts.torch_of_source(beside.name, beside.likely),
        fixes=_fixes(timeline, scene, torch, beside),
    )


def _fixes(
    timeline: Timeline, scene: Mapping[str, Package], torch: Package, beside: Package
) -> list[Fix | None]:
    python = timeline.python.version
    build = torch.variant if torch.variant != "ngc" else ""
    fitting = torch_fixes.companion_for(torch.likely, beside.name, python, build)
    found: list[Fix | None] = []
    if fitting:
        label = build if _labelled(timeline, "torch") else None
        found.append(
            edit.fix(
                f"Pin {beside.name} to {fitting}",
                torch_fixes.pins(timeline, beside.name, fitting, label=label),
            )
        )
    made = built_for(beside.name, beside.exact or beside.versions[-1])
    if made and torch.request is not None:
        found.append(torch_fixes.repinned(timeline, scene, made))
    found += [_opened(timeline, beside), _removed(timeline, beside)]
    return found


def _labelled(timeline: Timeline, name: str) -> bool:
    return any(torch_fixes.written_label(one) for one in requests(timeline, name))


def _opened(timeline: Timeline, beside: Package) -> Fix | None:
    """Without a version of its own the installer takes the companion that goes with torch, if metadata says which."""
    asked = [one for one in requests(timeline, beside.name) if one.specifier]
    if not asked:
        return None
    return edit.fix(
        f"Leave the version of {beside.name} to the installer", [edit.specify(one, "") for one in asked]
    )


def _removed(timeline: Timeline, beside: Package) -> Fix | None:
    return edit.fix(
        f"Do not install {beside.name}", torch_fixes.removed(timeline, requests(timeline, beside.name))
    )
