"""image/driver: CUDA programs that are newer than the driver of the machine they are for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from seatrial.findings import Rule
from seatrial.images import facts
from seatrial.images.facts.forward import forward
from seatrial.images.rules import rebasing
from seatrial.images.rules.builds import builds, certain, other_builds
from seatrial.images.rules.verdict import Verdict, beginning, place, shown, verdict
from seatrial.images.story.model import SystemInstall

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from seatrial.findings import Fix, Severity
    from seatrial.images.timeline.model import Package, Target, Timeline

RULE = Rule(
    id="image/driver",
    severity="error",
    title="A package is built for a CUDA that the driver does not run",
    explanation=(
        "The driver belongs to the machine, not to the image. A program built for a CUDA version needs at least the "
        "driver of that major version: CUDA 13 needs 580, CUDA 12 needs 525.60.13, CUDA 11.1 to 11.8 need 450.80.02. "
        "Looked at only when --target says the driver (`driver=535.104.05`), or the CUDA version that nvidia-smi shows "
        "(`driver=cuda12.2`). An error when every version that can be installed is too new; a warning when the version "
        "that is installed today is, or when the image has cuda-compat, which helps some drivers on data centre GPUs. "
        "The fix takes the build of the same release for an older CUDA, or the newest release that has one."
    ),
    source="https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html",
    example="# seatrial check --target driver=470.82.01\nRUN pip install torch==2.5.1\n",
)

RULES = (RULE,)


class _Need(msgspec.Struct, frozen=True):
    """A package, the CUDA versions it can be built for (the likely one first), and whether that is certain."""

    package: Package
    cudas: tuple[str, ...]
    certain: bool


def check(timeline: Timeline) -> list[Verdict]:
    """What the driver of the target does not run."""
    target = timeline.target
    if not target.driver and not target.driver_cuda:
        return []
    found: list[Verdict] = []
    needed = False
    for scene in timeline.scenes():
        for need in _needs(timeline, scene):
            needed = True
            if all(runs(target, one) for one in need.cudas[:1]):
                continue
            found.append(_verdict(timeline, scene, need))
    return found or ([] if needed else _of_base(timeline))


def runs(target: Target, cuda: str) -> bool:
    """Whether the target's driver runs a CUDA version; true where that is not known."""
    if target.driver:
        return facts.driver_runs(target.driver, cuda) is not False
    have, want = _numbers(target.driver_cuda), _numbers(cuda)
    # From 11.1 on, a driver of a CUDA major version runs all its minor versions.
    return have >= want or (have[0] == want[0] and have >= (11, 1) and want >= (11, 1))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(one) for one in version.split(".")[:2])


def _needs(timeline: Timeline, scene: Mapping[str, Package]) -> Iterator[_Need]:
    torch = scene.get("torch")
    if torch is not None:
        cudas = tuple(one.cuda for one in builds(timeline, torch))
        if cudas and all(cudas):
            yield _Need(torch, cudas, certain(timeline, torch))
    for name in ("onnxruntime-gpu", "tensorflow", "jax"):
        package = scene.get(name)
        if package is not None and not package.base and package.certain:
            cudas = tuple(_cuda(package, version) for version in package.versions)
            if cudas and all(cudas):
                # Without a usable driver these three work on, on the CPU.
                yield _Need(package, cudas, certain=False)


def _cuda(package: Package, version: str) -> str:
    extras = package.request.extras if package.request is not None else ()
    if package.name == "jax":
        major = next((one[4:6] for one in extras if one.startswith("cuda") and one[4:6].isdigit()), "")
        return f"{major}.8" if major == "11" else f"{major}.0" if major else ""
    if package.name == "tensorflow" and "and-cuda" not in extras:
        return ""
    known = facts.libraries(package.name, version)
    if known is None or not known.cuda:
        return ""
    return known.cuda if "." in known.cuda else f"{known.cuda}.1"


def _verdict(timeline: Timeline, scene: Mapping[str, Package], need: _Need) -> Verdict:
    target, package, cuda = timeline.target, need.package, need.cudas[0]
    every = not any(runs(target, one) for one in need.cudas)
    severity: Severity = "error" if every and need.certain else "warning"
    cause = _cause(package)
    helped = _compat(timeline, cuda)
    if helped:
        severity = "note" if target.gpus else "warning"
        cause += f"; {helped}"
    name = shown(package) if package.exact else f"{package.name} {package.likely}, the newest that fits,"
    words = f"{name} is built for CUDA {cuda}, which needs {_minimum(cuda)}; the target has {_has(target)}"
    fixes: list[Fix | None] = []
    if package.name == "torch":
        fixes = list(other_builds(timeline, scene, lambda _, other: runs(target, other)))
    if package.base:
        fixes += [
            *rebasing.torch_bases(timeline, lambda _, other: runs(target, other)),
            _older_base(timeline),
        ]
    minimum = facts.driver_minimum(cuda)
    return verdict(
        RULE,
        severity,
        place(timeline, package),
        words,
        about=(package.name,),
        cause=cause,
        source=minimum.source if minimum else "",
        fixes=fixes,
    )


def _cause(package: Package) -> str:
    if package.name == "torch":
        return "`torch.cuda.is_available()` is false, with `The NVIDIA driver on your system is too old (found version …)`"
    return f"{package.name} finds no GPU and works on the CPU: `CUDA driver version is insufficient for CUDA runtime version`"


def _minimum(cuda: str) -> str:
    known = facts.driver_minimum(cuda)
    return f"driver {known.driver} or later" if known else "a newer driver"


def _has(target: Target) -> str:
    return f"driver {target.driver}" if target.driver else f"a driver for CUDA {target.driver_cuda}"


def _compat(timeline: Timeline, cuda: str) -> str:
    """Why a driver that is too old may do: words for the cause; empty where nothing stands in for it."""
    table = forward()
    if any(one.name.startswith(table.without) for one in timeline.target.gpus):
        return ""
    base = timeline.base
    inside = base is not None and table.inside(base.family) and base.cuda is not None
    have = facts.version_of(base.cuda) if inside and base is not None and base.cuda else ""
    installed = [
        package.name
        for step in timeline.steps
        if isinstance(step, SystemInstall)
        for package in step.packages
        if package.name.startswith("cuda-compat-")
    ]
    if installed or (have and _numbers(have)[0] >= _numbers(cuda)[0]):
        return "cuda-compat in the image stands in for the newer driver, on data centre GPUs and with some driver branches only"
    return ""


def _of_base(timeline: Timeline) -> list[Verdict]:
    """An image of CUDA with nothing known on it: its own CUDA says which driver it wants."""
    base = timeline.base
    if base is None or not rebasing.is_cuda(timeline) or not base.cuda or "cuda" in base.unverified:
        return []
    cuda = facts.version_of(base.cuda)
    if facts.driver_minimum(cuda) is None or runs(timeline.target, cuda):
        return []
    helped = _compat(timeline, cuda)
    severity: Severity = "note" if helped and timeline.target.gpus else "warning"
    cause = "the container does not start: `nvidia-container-cli: requirement error: unsatisfied condition: cuda>=…`"
    words = f"the base image has CUDA {cuda}, which needs {_minimum(cuda)}; the target has {_has(timeline.target)}"
    return [
        verdict(
            RULE,
            severity,
            beginning(timeline),
            words,
            about=("cuda",),
            cause=f"{cause}; {helped}" if helped else cause,
            fixes=[_older_base(timeline)],
        )
    ]


def _older_base(timeline: Timeline) -> Fix | None:
    base = timeline.base
    if base is None or not base.cuda:
        return None
    major = int(base.cuda.split(".")[0])
    for older in range(major - 1, 9, -1):
        for tag in rebasing.cuda_tags(timeline, str(older)):
            if runs(timeline.target, facts.version_of(tag.split("-")[0])):
                return rebasing.rebased(timeline, tag)
    return None
