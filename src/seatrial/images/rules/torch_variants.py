"""image/torch-variants: torch and what belongs to it from builds for different CUDA versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from seatrial.findings import Rule
from seatrial.images import edit, facts
from seatrial.images.facts.mixing import mixing
from seatrial.images.rules import torch_fixes
from seatrial.images.rules.verdict import Verdict, place, requests, shown, verdict
from seatrial.images.timeline.variant import FAMILY, cuda_of, index_of, of_index
from seatrial.images.timeline.versions import built_for, higher, listed_build, possible

if TYPE_CHECKING:
    from seatrial.findings import Fix, Severity
    from seatrial.images.facts.mixing import Companion
    from seatrial.images.timeline.model import Package, Timeline

RULE = Rule(
    id="image/torch-variants",
    severity="error",
    title="torch and a companion come from builds for different CUDA versions",
    explanation=(
        "A release of torch, torchvision and torchaudio is built once for each CUDA version, and without CUDA (cpu). "
        "PyTorch's indexes have one build each, and the default index has one of them. The number of the version is the "
        "same, so an installer sees no conflict. torchaudio refuses to be imported beside a torch of another CUDA "
        "version, torchvision beside one of another CUDA major version, and a CUDA build of either cannot load beside a "
        "torch without CUDA. An error when both builds are certain; a warning when the versions are open, or when the "
        "base image is not known and may be configured for another index. The fix installs both from one index."
    ),
    source="https://pytorch.org/get-started/previous-versions/",
    example="RUN pip install torch==2.5.1 --index-url https://download.pytorch.org/whl/cu118\nRUN pip install torchaudio==2.5.1\n",
)

RULES = (RULE,)


class _Case(msgspec.Struct, frozen=True):
    """What happens with two builds."""

    severity: Severity
    how: str
    source: str


def check(timeline: Timeline) -> list[Verdict]:
    """Builds that do not go together, in every environment that can come out."""
    found = []
    for scene in timeline.scenes():
        torch = scene.get("torch")
        if torch is None or not torch.variant or torch.variant == "ngc" or _may_have(timeline, torch):
            continue
        for known in mixing().companions:
            beside = scene.get(known.package)
            if beside is None or beside.base or _other_pair(torch, beside):
                continue
            build = _build(beside)
            case = _case(timeline, torch, beside, build, known) if build else None
            if case is not None:
                beside = msgspec.structs.replace(beside, variant=build)
                found.append(_verdict(timeline, torch, beside, case))
    return found


def _may_have(timeline: Timeline, torch: Package) -> bool:
    """Whether the base that brings torch may bring its companions as well, so that nothing is installed."""
    return torch.base and not (timeline.base is not None and timeline.base.bare)


def _other_pair(torch: Package, beside: Package) -> bool:
    """Versions that do not belong together are another rule's; open ones of two indexes are as likely to be this one's."""
    if not beside.exact and _indexed(torch) and _indexed(beside):
        return False
    return bool(beside.likely) and not torch_fixes.goes(beside.name, beside.likely, torch.likely)


def _indexed(package: Package) -> bool:
    """Whether it is PyTorch's index that decides which build comes."""
    return package.install is not None and bool(of_index(index_of(package.request, package.install)))


def _build(beside: Package) -> str:
    if beside.variant or beside.install is None:
        return beside.variant
    return of_index(index_of(beside.request, beside.install))


def _case(timeline: Timeline, torch: Package, beside: Package, build: str, known: Companion) -> _Case | None:
    if build == torch.variant:
        return None
    cuda, other = cuda_of(torch.variant), cuda_of(build)
    sure = known.certain and _sure(timeline, torch) and _sure(timeline, beside)
    severity: Severity = "error" if sure else "warning"
    if cuda and other:
        same = cuda.split(".")[0] == other.split(".")[0] if known.compares == "major" else cuda == other
        early = beside.exact and higher(known.first, beside.exact)
        return None if same or early else _Case(severity, known.how, known.source)
    if torch.variant == "cpu" and other and known.on_cpu:
        told = mixing().on_cpu
        return _Case(severity, told.how, told.source)
    if torch.variant.startswith("rocm") != build.startswith("rocm") and build != "cpu":
        return _Case(
            "warning", "the compiled part needs libraries that this torch does not bring", known.source
        )
    return None


def _sure(timeline: Timeline, package: Package) -> bool:
    """Whether the build is certain: written out, or of a version that is, from an index that is."""
    if not package.certain:
        return False
    if package.base:
        return timeline.base is not None and not timeline.base.unverified & {"torch_cuda", "packages", "cuda"}
    if package.install is None or not package.exact:
        return False
    if "+" in package.exact or of_index(index_of(package.request, package.install)):
        return True
    return timeline.root.base is None or timeline.base is not None


def _verdict(timeline: Timeline, torch: Package, beside: Package, case: _Case) -> Verdict:
    words = f"{_named(beside)} is beside {_named(torch)}: they are builds for different CUDA versions"
    if "cpu" in (torch.variant, beside.variant):
        words = f"{_named(beside)} is beside {_named(torch)}: one build is for CUDA, the other is not"
    return verdict(
        RULE,
        case.severity,
        place(timeline, beside, torch),
        words,
        about=("torch", beside.name),
        cause=case.how,
        source=case.source,
        fixes=_fixes(timeline, torch, beside),
    )


def _named(package: Package) -> str:
    return shown(package) if package.exact else f"{package.name} ({package.variant})"


def _fixes(timeline: Timeline, torch: Package, beside: Package) -> list[Fix | None]:
    """The companion comes from where torch comes from; or torch from where the companion comes from."""
    found = _moved(timeline, beside, torch.variant) if beside.name in FAMILY else []
    apart = torch.install is not None and torch.install is not beside.install
    if apart and torch.request is not None and beside.name in FAMILY:
        asked = list(requests(timeline, beside.name))
        if len(asked) == 1 and beside.request is not None:
            found.append(
                edit.fix(
                    f"Install {beside.name} together with torch",
                    torch_fixes.together(timeline, torch.request, list(asked)),
                )
            )
    if torch.install is not None:
        found += [_older(timeline, torch, beside), *_moved(timeline, torch, beside.variant)]
    return found


def _moved(timeline: Timeline, package: Package, label: str) -> list[Fix | None]:
    """Take a package from the index of another build."""
    install = package.install
    built = built_for(package.name, package.likely) if package.name in FAMILY else ""
    if install is None or (built and not listed_build(built, label) and not _opens(package, label)):
        return []
    known = of_index(index_of(package.request, install)) or any(map(of_index, install.extra_indexes))
    asked = requests(timeline, package.name)
    labelled = [one for one in asked if torch_fixes.written_label(one)]
    edits = [edit.pin(one, _number(package), label=label) for one in labelled]
    title = f"Install {package.name} from PyTorch's index of {label}"
    if known:
        return [edit.fix(title, [torch_fixes.reindexed(install, label), *edits])]
    return [edit.fix(title, [torch_fixes.with_index(install, package.request, label), *edits])]


def _opens(package: Package, label: str) -> bool:
    """Whether the index of a build decides by itself which open version comes, so that it has one."""
    return (
        not package.exact and _indexed(package) and bool(possible(package.name, package.specifier, "", label))
    )


def _older(timeline: Timeline, torch: Package, beside: Package) -> Fix | None:
    """The newest torch that the default index has for the companion's CUDA."""
    if _indexed(torch) or not cuda_of(beside.variant):
        return None
    for one in torch.versions if not torch.exact else possible("torch", "", timeline.python.version):
        fits = torch_fixes.goes(beside.name, beside.likely, one) if beside.likely else True
        if fits and facts.label(facts.default_cuda(one) or "") == beside.variant:
            return torch_fixes.repinned(timeline, timeline.final, one)
    return None


def _number(package: Package) -> str:
    return package.exact.partition("+")[0]
