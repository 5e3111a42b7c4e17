"""image/gpu-arch: a torch, or what is compiled in the image, has no code for the GPU it is for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.findings import Rule
from seatrial.images import edit, facts
from seatrial.images.facts.versions import numbers
from seatrial.images.rules import rebasing
from seatrial.images.rules.builds import builds, certain, other_builds
from seatrial.images.rules.compiling import Compiling, compilations
from seatrial.images.rules.verdict import Verdict, place, shown, verdict
from seatrial.images.story.model import Setting, Span

if TYPE_CHECKING:
    from collections.abc import Mapping

    from seatrial.findings import Fix, Severity
    from seatrial.images.facts import Gpu, Support
    from seatrial.images.rules.builds import Built
    from seatrial.images.timeline.model import Package, Timeline

RULE = Rule(
    id="image/gpu-arch",
    severity="error",
    title="There is no code for the target's GPU",
    explanation=(
        "A build of torch holds code for the GPUs that were current when it was made: builds for CUDA before 12.8 have none "
        "for Blackwell (RTX 50, B200), builds for CUDA 12.8 and later none for Pascal, builds for CUDA 13 none for V100. "
        "Looked at only when --target says the GPU (`gpu=H100`, `gpu=rtx5090`, an instance type such as `gpu=g6e.xlarge`, "
        "several with `+`). An error when no version that can be installed has code for it; a warning when the one that is "
        "installed today has none, when TORCH_CUDA_ARCH_LIST leaves the GPU out of what is compiled, or when the base's "
        "compiler does not know the GPU. The fix takes another build of the same release, or the nearest release with one."
    ),
    source="https://github.com/pytorch/pytorch/blob/main/RELEASE.md",
    example="# seatrial check --target gpu=rtx5090\nRUN pip install torch==2.6.0 --index-url https://download.pytorch.org/whl/cu124\n",
)

RULES = (RULE,)

_NO_RELEASE = "0"
# Source: https://github.com/pytorch/pytorch/blob/main/torch/utils/cpp_extension.py
_ARCH = re.compile(r"(\d{1,2}\.\d)a?(\+PTX)?", re.IGNORECASE)


def check(timeline: Timeline) -> list[Verdict]:
    """Each GPU of the target, against what is installed and what is compiled."""
    if not timeline.target.gpus:
        return []
    found: list[Verdict] = []
    for gpu in timeline.target.gpus:
        for scene in timeline.scenes():
            found += _installed(timeline, scene, gpu)
        found += _compiled(timeline, gpu)
    return found


def _support(timeline: Timeline, torch: Package, built: Built, gpu: Gpu) -> Support:
    """What is known of PyTorch's builds; of others only what their CUDA version can do at all."""
    arm = timeline.target.architecture == "aarch64"
    version = built.version if torch.variant != "ngc" else _NO_RELEASE
    return facts.gpu_support(version, built.cuda, gpu.capability, arm=arm)


def _sure(torch: Package, built: Built, support: Support) -> bool:
    """Whether there is certainly no code; a GPU newer than the compiler may run PTX, where that is not known."""
    if support.runs is not False or not support.verified:
        return False
    known = torch.variant != "ngc" and facts.architectures(built.version, built.cuda) is not None
    return known or not support.newer


def _installed(timeline: Timeline, scene: Mapping[str, Package], gpu: Gpu) -> list[Verdict]:
    torch = scene.get("torch")
    known = [one for one in builds(timeline, torch) if one.cuda]
    if torch is None or not known:
        return []
    support = [_support(timeline, torch, one, gpu) for one in known]
    first = support[0]
    if first.runs is not False:
        return []
    every = all(_sure(torch, one, each) for one, each in zip(known, support, strict=True))
    severity: Severity = "error" if every and certain(timeline, torch) else "warning"
    if not first.verified:
        severity = "note"
    name = shown(torch) if torch.exact else f"torch {known[0].version}, the newest that fits,"

    def fits(version: str, cuda: str) -> bool:
        arm = timeline.target.architecture == "aarch64"
        return all(
            facts.gpu_support(version, cuda, one.capability, arm=arm).runs is True
            for one in timeline.target.gpus
        )

    return [
        verdict(
            RULE,
            severity,
            place(timeline, torch),
            f"{name} has no code for {_named(gpu)}: {_reason(first, known[0])}",
            about=("torch", gpu.name),
            cause=(
                f"`CUDA error: no kernel image is available for execution on the device`, and torch says that "
                f"sm_{gpu.capability.replace('.', '')} is not compatible with this installation"
            ),
            source=first.source,
            fixes=rebasing.torch_bases(timeline, fits) if torch.base else other_builds(timeline, scene, fits),
        )
    ]


def _reason(support: Support, built: Built) -> str:
    """The reason without the words that the message has already."""
    return support.reason.removeprefix(f"torch {built.version}+{facts.label(built.cuda)} ")


def _named(gpu: Gpu) -> str:
    if gpu.name.startswith("compute"):
        return gpu.name
    return f"{gpu.name} (compute capability {gpu.capability})"


def _compiled(timeline: Timeline, gpu: Gpu) -> list[Verdict]:
    compiled = compilations(timeline)
    if not compiled:
        return []
    listed = _listed(timeline, compiled, gpu)
    return [listed] if listed is not None else _by_old_compiler(compiled[0], gpu)


def _listed(timeline: Timeline, compiled: list[Compiling], gpu: Gpu) -> Verdict | None:
    """TORCH_CUDA_ARCH_LIST that leaves the GPU out."""
    setting = timeline.variables.get("TORCH_CUDA_ARCH_LIST")
    if (
        not isinstance(setting, Setting)
        or not setting.known
        or covers(setting.value, gpu.capability) is not False
    ):
        return None
    return verdict(
        RULE,
        "warning",
        setting.at,
        f"TORCH_CUDA_ARCH_LIST leaves out {_named(gpu)}, so {compiled[0].name} is compiled without code for it",
        about=("TORCH_CUDA_ARCH_LIST", gpu.name),
        cause="`CUDA error: no kernel image is available for execution on the device`",
        source="https://docs.pytorch.org/docs/stable/cpp_extension.html",
        fixes=[_with(setting, gpu.capability)],
    )


def covers(listed: str, capability: str) -> bool | None:
    """Whether an architecture list makes code that a GPU runs. None: it has words that are not numbers."""
    words = [one for one in re.split(r"[;,\s]+", listed.strip()) if one]
    matches = [_ARCH.fullmatch(one) for one in words]
    if not words or any(one is None for one in matches):
        return None
    wanted = numbers(capability)
    for match in matches:
        if match is None:
            continue
        have = numbers(match[1])
        if (have[0] == wanted[0] and have <= wanted) or (match[2] and have <= wanted):
            return True
    return False


def _with(setting: Setting, capability: str) -> Fix | None:
    """The list with the capability at its end, where it is written out."""
    at = setting.at
    found = at.text.rfind(setting.value)
    if found < 0:
        return None
    separator = next((one for one in (";", ",", " ") if one in setting.value.strip()), ";")
    if separator == ";" and at.text[found - 1 : found] not in ('"', "'"):
        return None
    end = at.start + found + len(setting.value)
    return edit.fix(
        f"Add {capability} to TORCH_CUDA_ARCH_LIST",
        [edit.replace(Span(at.source, end, end), f"{separator}{capability}")],
    )


def _by_old_compiler(compiled: Compiling, gpu: Gpu) -> list[Verdict]:
    """A compiler that makes no code for the GPU at all."""
    toolkit = compiled.toolkit
    if toolkit is None:
        return []
    support = facts.gpu_support(_NO_RELEASE, toolkit.cuda, gpu.capability)
    if support.runs is not False:
        return []
    return [
        verdict(
            RULE,
            "warning",
            compiled.at,
            f"{compiled.name} is compiled with CUDA {toolkit.cuda}, which makes no code for {_named(gpu)}",
            about=("nvcc", gpu.name),
            cause="nvcc says `Unsupported gpu architecture`, or the program `no kernel image is available`",
            source=support.source,
        )
    ]
