"""image/cuda-toolkit: CUDA code is compiled with another CUDA than torch was built with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.findings import Rule
from seatrial.images import facts
from seatrial.images.facts import compiling as table
from seatrial.images.rules import rebasing
from seatrial.images.rules.builds import builds, certain, other_builds
from seatrial.images.rules.compiling import compilations, toolkit
from seatrial.images.rules.verdict import Verdict, place, shown, verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from seatrial.findings import Fix, Severity
    from seatrial.images.rules.builds import Built
    from seatrial.images.rules.compiling import Compiling, Toolkit
    from seatrial.images.timeline.model import Package, Timeline

RULE = Rule(
    id="image/cuda-toolkit",
    severity="error",
    title="The CUDA of the image is not the CUDA of torch",
    explanation=(
        "Packages with CUDA code are compiled with the toolkit of the image against the torch that is there. torch refuses a "
        "toolkit of another major version, while the image is built or, as with deepspeed, when a program first uses it. "
        "Another minor version is fine. An error when something is certainly compiled during the build with a toolkit of "
        "another major version; a warning when it is compiled later, when a toolkit is there and nothing says what it "
        "compiles, and when an unpinned torch has moved on to a newer CUDA than its base image. "
        "The fix starts from a base with torch's CUDA, or takes the build of torch for the base's."
    ),
    source="https://github.com/pytorch/pytorch/blob/v2.7.1/torch/utils/cpp_extension.py",
    example=(
        "FROM nvidia/cuda:12.1.1-devel-ubuntu22.04\n"
        "RUN pip install torch==2.5.1 --index-url https://download.pytorch.org/whl/cu118\n"
        "RUN pip install --no-build-isolation git+https://github.com/NVIDIA/apex\n"
    ),
)

RULES = (RULE,)


def check(timeline: Timeline) -> list[Verdict]:
    """What is compiled, else the toolkit or the libraries that the base has."""
    compiled = compilations(timeline)
    found = [one for one in (_compiled(timeline, each) for each in compiled) if one is not None]
    if compiled or found:
        return found
    torch = timeline.final.get("torch")
    if torch is None or torch.base:
        return []
    tool = toolkit(timeline)
    if tool is not None and tool.base:
        return _unused(timeline, torch, tool)
    return _drifted(timeline, torch)


def _compiled(timeline: Timeline, one: Compiling) -> Verdict | None:
    torch = one.packages.get("torch")
    if torch is None or one.toolkit is None:
        return None
    known = builds(timeline, torch)
    if not known or not all(each.cuda for each in known) or _same(known[0].cuda, one.toolkit.cuda):
        return None
    every = not any(_same(each.cuda, one.toolkit.cuda) for each in known)
    severity: Severity = "error" if one.sure and every and certain(timeline, torch) else "warning"
    if one.known is not None and one.known.when == "use" and not one.sure:
        when = "when a program first uses it"
        cause = "`Installed CUDA version … does not match the version torch was compiled with`"
    else:
        when = "here"
        cause = "`The detected CUDA version … mismatches the version that was used to compile PyTorch`"
    words = (
        f"{one.name} is compiled {when} with CUDA {one.toolkit.cuda}, and {_named(torch, known)} is built for "
        f"CUDA {known[0].cuda}"
    )
    return verdict(
        RULE,
        severity,
        one.at,
        words,
        about=("torch", one.name),
        cause=cause,
        source=one.known.source if one.known is not None else table.check_source(),
        fixes=_fixes(timeline, one.packages, one.toolkit, known[0].cuda),
    )


def _unused(timeline: Timeline, torch: Package, tool: Toolkit) -> list[Verdict]:
    """A base with a compiler, and nothing that says what it is for; whoever wants that asks for torch by name."""
    if torch.request is None:
        return []
    known = builds(timeline, torch)
    if not known or not all(one.cuda for one in known) or _same(known[0].cuda, tool.cuda):
        return []
    return [
        verdict(
            RULE,
            "warning",
            place(timeline, torch),
            f"{_named(torch, known)} is built for CUDA {known[0].cuda}, and the base image has the compiler of "
            f"CUDA {tool.cuda}",
            about=("torch", "nvcc"),
            cause=(
                "whatever is compiled for CUDA there fails with `The detected CUDA version … mismatches the version that "
                "was used to compile PyTorch`"
            ),
            fixes=_fixes(timeline, timeline.final, tool, known[0].cuda),
        )
    ]


def _drifted(timeline: Timeline, torch: Package) -> list[Verdict]:
    """An unpinned torch that is built for a newer CUDA major version than that of its base."""
    base = timeline.base
    if base is None or not rebasing.is_cuda(timeline) or not base.cuda or torch.exact or not torch.certain:
        return []
    known, cuda = builds(timeline, torch), facts.version_of(base.cuda)
    if not known or not known[0].cuda or _major(known[0].cuda) <= _major(cuda):
        return []
    if not any(_same(one.cuda, cuda) for one in known if one.cuda):
        return []
    minimum = facts.driver_minimum(known[0].cuda)
    needs = f", which needs driver {minimum.driver}" if minimum else ""
    return [
        verdict(
            RULE,
            "warning",
            place(timeline, torch),
            f"torch has no upper bound: {known[0].version} is built for CUDA {known[0].cuda}{needs}, and the base image "
            f"is of CUDA {cuda}",
            about=("torch", "cuda"),
            cause="the image that was built for one CUDA today holds another one tomorrow, and finds no GPU on older drivers",
            source=minimum.source if minimum else "",
            fixes=other_builds(timeline, timeline.final, lambda _, other: other == cuda),
        )
    ]


def _named(torch: Package, known: tuple[Built, ...]) -> str:
    return shown(torch) if torch.exact else f"torch {known[0].version}, the newest that fits,"


def _same(one: str, other: str) -> bool:
    return _major(one) == _major(other)


def _major(cuda: str) -> int:
    return int(cuda.split(".", maxsplit=1)[0] or 0)


def _fixes(
    timeline: Timeline, packages: Mapping[str, Package], tool: Toolkit, cuda: str
) -> Iterator[Fix | None]:
    """The base with torch's CUDA; then torch for the toolkit's CUDA, or at least its major version."""
    if tool.base:
        tag = rebasing.cuda_tag(timeline, cuda)
        yield rebasing.rebased(timeline, tag)
    yield from other_builds(timeline, packages, lambda _, other: other == tool.cuda)
    yield from other_builds(timeline, packages, lambda _, other: _same(other, tool.cuda))
    if tool.base and not rebasing.cuda_tag(timeline, cuda):
        yield from (
            rebasing.rebased(timeline, one)
            for one in rebasing.cuda_tags(timeline, cuda.split(".", maxsplit=1)[0])
        )
