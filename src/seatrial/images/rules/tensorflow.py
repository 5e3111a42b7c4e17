"""image/tensorflow-cuda: TensorFlow beside a CUDA or cuDNN of the base that it was not built for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.findings import Rule
from seatrial.images import edit, facts
from seatrial.images.rules import rebasing, torch_fixes
from seatrial.images.rules.verdict import Verdict, place, requests, shown, verdict
from seatrial.images.story.model import Command, Install, Span, SystemInstall
from seatrial.images.timeline.versions import higher, pin, possible

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from seatrial.findings import Fix
    from seatrial.images.facts import Libraries
    from seatrial.images.timeline.model import Package, Timeline

RULE = Rule(
    id="image/tensorflow-cuda",
    severity="warning",
    title="TensorFlow does not find the CUDA or cuDNN that it was built for",
    explanation=(
        "TensorFlow loads CUDA and cuDNN of the major versions that it was built for; without them it works on the CPU and "
        "says so in one line of its log. From 2.14 on, tensorflow[and-cuda] brings them; without that they have to be in the "
        "base image. A warning when a base for CUDA has others. An error for tensorflow-gpu from 2.12 on, which is a "
        "placeholder that refuses to be installed: the package tensorflow has had GPU support since 2.1."
    ),
    source="https://www.tensorflow.org/install/source#gpu",
    example="FROM nvidia/cuda:12.4.1-cudnn-runtime-ubuntu22.04\nRUN pip install tensorflow==2.12.0\n",
)

RULES = (RULE,)

_FIRST_WITH_CUDA = "2.14"
_FOREIGN = re.compile(r"cudnn|cublas|cuda-(?!compat)|^cuda|nvidia")


def check(timeline: Timeline) -> list[Verdict]:
    """The placeholder, and TensorFlow on an image of CUDA."""
    found: list[Verdict] = []
    for scene in timeline.scenes():
        placeholder = scene.get("tensorflow-gpu")
        if placeholder is not None and placeholder.request is not None:
            found += _placeholder(timeline, placeholder)
        for name in ("tensorflow", "tensorflow-gpu"):
            package = scene.get(name)
            if package is not None and package.request is not None and package.certain:
                found += _on_base(timeline, scene, package)
    return found


def _placeholder(timeline: Timeline, package: Package) -> Iterator[Verdict]:
    request, ended = package.request, facts.ended("tensorflow-gpu", package.likely)
    if request is None or request.url or request.conda or not package.likely or ended is None:
        return
    if package.install is not None and (package.install.tool == "conda" or package.install.index):
        return
    what = f"tensorflow-gpu {package.likely}" + ("" if package.exact else ", the newest,")
    yield verdict(
        RULE,
        "error" if package.certain else "warning",
        request.at,
        f"{what} cannot be installed: {ended.how}",
        about=("tensorflow-gpu",),
        cause='`The "tensorflow-gpu" package has been removed!`',
        source=ended.source,
        fixes=_renamed(timeline, package),
    )


def _renamed(timeline: Timeline, package: Package) -> Iterator[Fix | None]:
    request = package.request
    if request is None or request.locked:
        return
    match = re.match(r"[\"']?(tensorflow[-_.]gpu)", request.at.text, re.IGNORECASE)
    if match is None:
        return
    name = Span(request.at.source, request.at.start + match.start(1), request.at.start + match.end(1))
    pinned = pin(request.specifier)
    brings = not pinned or not higher(_FIRST_WITH_CUDA, pinned)
    if brings and request.style != "poetry":
        yield edit.fix(
            "Ask for tensorflow[and-cuda] instead",
            [edit.replace(name, _word(request.style, name, "tensorflow[and-cuda]"))],
        )
    yield edit.fix("Ask for tensorflow instead", [edit.replace(name, "tensorflow")])
    older = next(
        (
            one
            for one in possible("tensorflow-gpu", "", timeline.python.version)
            if facts.ended("tensorflow-gpu", one) is None
        ),
        "",
    )
    if older:
        yield edit.fix(f"Pin tensorflow-gpu to {older}", torch_fixes.pins(timeline, "tensorflow-gpu", older))


def _word(style: str, at: Span, text: str) -> str:
    """Brackets are patterns to a shell; those that are not quoted get quotes."""
    quoted = at.source.text[at.start - 1 : at.start] in ("'", '"')
    after = at.source.text[at.end : at.end + 1]
    return f"'{text}'" if style == "shell" and not quoted and (not after or after.isspace()) else text


def _on_base(timeline: Timeline, scene: Mapping[str, Package], package: Package) -> Iterator[Verdict]:
    base = timeline.base
    if base is None or not rebasing.is_cuda(timeline) or not base.cuda or base.cudnn is None:
        return
    if package.request is None or "and-cuda" in package.request.extras or _brings_others(timeline, scene):
        return
    known = [facts.libraries(package.name, one) for one in package.versions]
    wanted = known[0] if known else None
    if wanted is None or _fits(timeline, wanted):
        return
    words = f"CUDA {wanted.cuda} and cuDNN {wanted.cudnn}"
    has = f"CUDA {facts.version_of(base.cuda)} and {f'cuDNN {_major(base.cudnn)}' if base.cudnn else 'no cuDNN'}"
    name = shown(package) if package.exact else f"{package.name} {package.likely}, the newest that fits,"
    yield verdict(
        RULE,
        "warning",
        place(timeline, package),
        f"{name} is built for {words}, and the base image has {has}",
        about=(package.name, "cuda"),
        cause="it says `Could not find cuda drivers` or `Cannot dlopen some GPU libraries`, and works on the CPU",
        source=wanted.source,
        fixes=_fixes(timeline, package, wanted),
    )


def _brings_others(timeline: Timeline, scene: Mapping[str, Package]) -> bool:
    """Whether CUDA libraries may come from elsewhere: wheels, the distribution, conda, a download, another stage."""
    if any(name.startswith("nvidia-") for name in scene) or "torch" in scene:
        return True
    for step in timeline.steps:
        if isinstance(step, SystemInstall) and any(_FOREIGN.search(one.name) for one in step.packages):
            return True
        if isinstance(step, Install) and (step.tool == "conda" or step.unread):
            return True
        if isinstance(step, Command) and any("cudnn" in one or "cuda" in one for one in step.words):
            return True
    return False


def _fits(timeline: Timeline, wanted: Libraries) -> bool:
    base = timeline.base
    if base is None or not base.cuda:
        return True
    cuda = facts.version_of(base.cuda)
    # Before 11 the file names have the minor version.
    same = cuda == wanted.cuda if wanted.cuda_major in ("9", "10") else _major(cuda) == wanted.cuda_major
    return same and "-base" not in base.tag and (not wanted.cudnn or _major(base.cudnn or "") == wanted.cudnn)


def _major(version: str) -> str:
    return version.split(".", maxsplit=1)[0]


def _fixes(timeline: Timeline, package: Package, wanted: Libraries) -> Iterator[Fix | None]:
    request = package.request
    if request is None:
        return
    written = re.match(r"[\"']?(tensorflow)(?![-_.\w\[])", request.at.text, re.IGNORECASE)
    old = bool(package.exact) and higher(_FIRST_WITH_CUDA, package.exact)
    if written and not old and package.name == "tensorflow" and request.style in ("lines", "shell", "toml"):
        at = Span(request.at.source, request.at.start + written.start(1), request.at.start + written.end(1))
        yield edit.fix(
            "Ask for tensorflow[and-cuda]",
            [edit.replace(at, _word(request.style, at, "tensorflow[and-cuda]"))],
        )
    kind = "runtime" if timeline.base is not None and "-base" in timeline.base.tag else ""
    tags = [
        *(
            [rebasing.cuda_tag(timeline, wanted.cuda, cudnn=wanted.cudnn, kind=kind)]
            if "." in wanted.cuda
            else []
        ),
        *rebasing.cuda_tags(timeline, wanted.cuda_major, cudnn=wanted.cudnn, kind=kind),
    ]
    yield rebasing.rebased(timeline, next((one for one in tags if one), ""))
    for version in possible("tensorflow", "", timeline.python.version):
        other = facts.libraries("tensorflow", version)
        if other is not None and _fits(timeline, other) and requests(timeline, package.name):
            yield edit.fix(
                f"Pin {package.name} to {version}", torch_fixes.pins(timeline, package.name, version)
            )
            break
