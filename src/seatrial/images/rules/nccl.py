"""image/nccl: another NCCL than the one that torch was built with."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.findings import Rule
from seatrial.images import edit, facts
from seatrial.images.rules import torch_fixes
from seatrial.images.rules.builds import builds
from seatrial.images.rules.verdict import Verdict, requests, shown, verdict
from seatrial.images.story.model import Install, Span, SystemInstall, Uninstall
from seatrial.images.timeline.versions import allows, higher

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from seatrial.findings import Fix, Severity
    from seatrial.images.rules.builds import Built
    from seatrial.images.story.model import Request
    from seatrial.images.timeline.model import Moment, Package, Timeline

RULE = Rule(
    id="image/nccl",
    severity="error",
    title="torch gets another NCCL than it was built with",
    explanation=(
        "Each build of torch names one version of nvidia-nccl-cuXX, and needs what that version has: an older one lacks "
        "functions, so `import torch` fails. The wheels for two CUDA major versions share one folder, so the last one that is "
        "written wins, and a later install of torch puts its own back. An error when an older NCCL certainly lacks a function, "
        "or when one command asks for torch and for a NCCL that it forbids; a warning otherwise. A newer NCCL of the same CUDA "
        "is fine, an older one that has all functions is a note. The fix leaves NCCL to torch, or asks for the one that it names."
    ),
    source="https://github.com/pytorch/pytorch/blob/main/RELEASE.md",
    example="torch==2.2.2\nnvidia-nccl-cu12==2.18.3\n",
)

RULES = (RULE,)

_NAME = re.compile(r"nvidia-nccl-cu(\d+)")


def check(timeline: Timeline) -> list[Verdict]:
    """NCCL beside torch in every environment that can come out, what a later torch puts back, and a preloaded one."""
    found: list[Verdict] = []
    for scene in timeline.scenes():
        found += _beside(timeline, scene)
    for moment in timeline.moments:
        found += _put_back(timeline, moment)
    return found + _preloaded(timeline)


def _beside(timeline: Timeline, scene: Mapping[str, Package]) -> list[Verdict]:
    torch = scene.get("torch")
    known = [one for one in builds(timeline, torch) if one.cuda]
    if torch is None or torch.base or torch.install is None or torch.install.tool == "conda" or not known:
        return []
    found: list[Verdict] = []
    for name, package in scene.items():
        match = _NAME.fullmatch(name)
        asked = requests(timeline, name)
        if not match or not asked or package.install is None or not package.certain:
            continue
        majors = {one.cuda.split(".", maxsplit=1)[0] for one in known}
        if match[1] not in majors:
            found += _other_cuda(timeline, torch, package, known)
        elif package.request is not None:
            found += _older(timeline, torch, package, known)
    return found


def _other_cuda(timeline: Timeline, torch: Package, package: Package, known: list[Built]) -> list[Verdict]:
    own = f"nvidia-nccl-cu{known[0].cuda.split('.', maxsplit=1)[0]}"
    if package.request is None or package.install is None or _gone(timeline, own, torch, package.install):
        return []
    name = shown(torch) if torch.exact else f"torch for CUDA {known[0].cuda}"
    return [
        verdict(
            RULE,
            "warning",
            package.request.at,
            f"{package.name} is for another CUDA than {name}, which brings {own}: both write the same files",
            about=("torch", package.name),
            cause=(
                "site-packages/nvidia/nccl/lib/libnccl.so.2 is that of the wheel that was written last, and every later "
                "install of torch puts its own back"
            ),
            source="https://pypi.org/project/nvidia-nccl-cu12/#files",
            fixes=_apart(package, own),
        )
    ]


def _gone(timeline: Timeline, name: str, torch: Package, install: Install) -> bool:
    """Whether torch's own NCCL is taken away after torch has come, and before the other one is installed."""
    after = False
    for step in timeline.steps:
        if step is torch.install:
            after = True
        if step is install and step is not torch.install:
            return False
        if after and isinstance(step, Uninstall) and step.certain and name in step.names:
            return step.environment == timeline.environment
    return False


def _apart(package: Package, own: str) -> Iterator[Fix | None]:
    request, install = package.request, package.install
    if request is None or install is None:
        return
    if install.options is not None and install.tool in ("pip", "uv"):
        tool = "uv pip uninstall" if install.tool == "uv" else "pip uninstall -y"
        start = install.at.start
        yield edit.fix(
            f"Uninstall {own} before {package.name} is installed",
            [edit.replace(Span(install.at.source, start, start), f"{tool} {own} && ")],
        )
    at = request.at
    written = re.match(r"[\"']?(nvidia[-_.]nccl[-_.]cu\d+)", at.text, re.IGNORECASE)
    if written and not request.locked:
        span = Span(at.source, at.start + written.start(1), at.start + written.end(1))
        yield edit.fix(f"Ask for {own} instead", [edit.replace(span, own)])
    yield edit.fix(f"Leave NCCL to torch: do not ask for {package.name}", [edit.remove(request)])


def _older(timeline: Timeline, torch: Package, package: Package, known: list[Built]) -> list[Verdict]:
    """NCCL of the right CUDA in a version that torch does not go with."""
    install, request = package.install, package.request
    if install is None or request is None or not package.versions:
        return []
    pins = {one.version: pin for one in known if (pin := _pin(one, package.name))}
    if not pins or len(pins) < len({one.version for one in known}):
        return []
    if any(_fine(package, version, pin) for version, pin in pins.items()):
        return []
    wanted = next(iter(pins.values()))
    clash = next(
        (
            row
            for version in package.versions
            for row in facts.clashes("torch", known[0].version, package.name, version)
        ),
        None,
    )
    together = install is torch.install and "no-deps" not in install.flags
    if not together and not all(higher(wanted, one) for one in package.versions):
        return []
    severity: Severity = "warning" if clash is not None else "note"
    if together or (clash is not None and _sure(package, clash)):
        severity = "error"
    cause = (
        clash.how
        if clash is not None
        else "it has all functions that torch calls, and lacks what was put right since"
    )
    if together and clash is None:
        cause = "a resolver finds no set of versions: torch names exactly one NCCL"
    return [
        verdict(
            RULE,
            severity,
            request.at,
            f"{shown(package)} is not the {wanted} that {shown(torch) if torch.exact else 'torch'} was built with",
            about=("torch", package.name),
            cause=cause,
            source=clash.source
            if clash is not None
            else f"https://pypi.org/project/torch/{known[0].version}/",
            fixes=[
                edit.fix(f"Pin {package.name} to {wanted}", torch_fixes.pins(timeline, package.name, wanted)),
                edit.fix(f"Leave NCCL to torch: do not ask for {package.name}", [edit.remove(request)]),
            ],
        )
    ]


def _fine(package: Package, torch: str, pin: str) -> bool:
    """Whether the pin of one torch can be met by what is asked."""
    return bool(torch) and any(one == pin for one in package.versions) and allows(package.specifier, pin)


def _pin(built: Built, name: str) -> str:
    """What a build of torch names: its metadata speak for the build on the public package index."""
    if facts.default_cuda(built.version) == built.cuda:
        return facts.pin_of_torch(built.version, name) or ""
    one = facts.torch_build(built.version, built.cuda)
    return one.nccl if one is not None else ""


def _sure(package: Package, clash: facts.Pair) -> bool:
    return (
        clash.severity == "error"
        and clash.verified
        and package.certain
        and not any(facts.fits(one, clash.needs) for one in package.versions)
    )


def _put_back(timeline: Timeline, moment: Moment) -> Iterator[Verdict]:
    """A NCCL that was asked for, and that a later install of torch exchanges."""
    for old, new in moment.replaced:
        if not _NAME.fullmatch(old.name) or old.request is None or old.via or new.request is not None:
            continue
        if not old.specifier or not moment.install.certain or not old.certain or new.via != "torch":
            continue
        yield verdict(
            RULE,
            "warning",
            old.request.at,
            f"{shown(old)} does not stay: the torch that is installed later brings {new.name} {new.exact or new.specifier}",
            about=("torch", old.name),
            cause="pip keeps to the one version that torch names, and exchanges what is there",
            source="https://pip.pypa.io/en/stable/user_guide/#only-if-needed-recursive-upgrade",
            fixes=_kept(timeline, old.request, moment.install),
        )


def _kept(timeline: Timeline, request: Request, later: Install) -> Iterator[Fix | None]:
    yield edit.fix("Leave NCCL to torch: do not ask for another one", [edit.remove(request)])
    if timeline.steps and later.options is not None:
        line = f"RUN pip install --no-deps {request.name}{request.specifier}"
        yield edit.fix(
            f"Install {request.name} after torch", [edit.remove(request), edit.line_after(later.at, line)]
        )


def _preloaded(timeline: Timeline) -> list[Verdict]:
    """LD_PRELOAD of the distribution's NCCL, which comes before every other."""
    setting = timeline.variables.get("LD_PRELOAD")
    torch = timeline.final.get("torch")
    known = [one for one in builds(timeline, torch) if one.cuda]
    if (
        setting is None
        or not re.search(r"/usr/lib/[^:]*libnccl\.so", setting.value)
        or not known
        or torch is None
    ):
        return []
    packages = [
        one for step in timeline.steps if isinstance(step, SystemInstall)
        for one in step.packages if one.name == "libnccl2" and one.version
    ]  # fmt: skip
    have = packages[-1].version.partition("-")[0] if packages else ""
    wanted = _pin(known[0], f"nvidia-nccl-cu{known[0].cuda.split('.', maxsplit=1)[0]}")
    if not have or not wanted or not higher(wanted, have):
        return []
    return [
        verdict(
            RULE,
            "warning",
            packages[-1].at,
            f"LD_PRELOAD loads libnccl2 {have}, and torch {known[0].version} was built with NCCL {wanted}",
            about=("torch", "libnccl2"),
            cause="functions that torch calls are not in an older NCCL: `undefined symbol: nccl…`",
            fixes=[edit.fix("Do not preload NCCL", [edit.without_line(setting.at)])],
        )
    ]
