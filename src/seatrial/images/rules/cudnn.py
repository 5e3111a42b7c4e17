"""image/cudnn-major: packages that load the cuDNN and CUDA of a major version that is not there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from seatrial.findings import Rule
from seatrial.images import edit, facts
from seatrial.images.rules import rebasing, search_path, torch_fixes
from seatrial.images.rules.builds import builds, only_build
from seatrial.images.rules.verdict import Verdict, place, requests, shown, verdict
from seatrial.images.story.model import Command, Install, SystemInstall
from seatrial.images.timeline.versions import higher, possible

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from seatrial.findings import Fix, Severity
    from seatrial.images.facts import Libraries
    from seatrial.images.rules.builds import Built
    from seatrial.images.timeline.model import Package, Timeline

RULE = Rule(
    id="image/cudnn-major",
    severity="warning",
    title="A package loads a cuDNN that is not there",
    explanation=(
        "CTranslate2 and ONNX Runtime load cuDNN and cuBLAS of one major version from wherever the loader finds them: the base "
        "image, or the wheels that torch brings. ctranslate2 before 4.5 wants cuDNN 8, up to 4.6.2 it wants 9; torch brings 8 "
        "before 2.4 and 9 from there on. It is an error when the target has a GPU and nothing in the image has that major "
        "version, or when another cuDNN is put in the place of torch's; a warning when the GPU is only likely. "
        "The fix takes the release of the package for the cuDNN that is there, or brings the one that it wants."
    ),
    source="https://github.com/SYSTRAN/faster-whisper#gpu",
    example="torch==2.5.1\nctranslate2==4.4.0\n",
)

RULES = (RULE,)

_LOADING = ("ctranslate2", "onnxruntime-gpu")
_WHEEL = re.compile(r"nvidia-cudnn-cu(\d+)")
_SYSTEM = re.compile(r"(?:lib)?cudnn(\d)")


class _There(msgspec.Struct, frozen=True):
    """Major versions that are in an image. `known`: nothing else can be there."""

    cudnn: frozenset[str]
    cuda: frozenset[str]
    known: bool


def check(timeline: Timeline) -> list[Verdict]:
    """What is loaded, and what is there, in every environment that can come out."""
    found: list[Verdict] = []
    for scene in timeline.scenes():
        torch = tuple(one for one in builds(timeline, scene.get("torch")) if one.cuda)
        for name in _LOADING:
            package = scene.get(name)
            if package is not None and not package.base and package.certain and package.versions:
                found += _loads(timeline, scene, package, torch)
        found += _second(timeline, scene, torch)
    return found


def _loads(
    timeline: Timeline, scene: Mapping[str, Package], package: Package, torch: tuple[Built, ...]
) -> Iterator[Verdict]:
    wanted = [facts.libraries(package.name, one) for one in package.versions]
    first = wanted[0]
    if first is None:
        return
    there = _there(timeline, scene, torch)
    if first.cudnn and first.cudnn not in there.cudnn and (torch or there.known):
        lacking, have, kind = first.cudnn, there.cudnn, "cuDNN"
        every = all(one is not None and one.cudnn and one.cudnn not in there.cudnn for one in wanted)
    elif first.cuda and there.known and first.cuda_major not in there.cuda:
        lacking, have, kind = first.cuda_major, there.cuda, "CUDA"
        every = all(one is not None and one.cuda_major not in there.cuda for one in wanted)
    else:
        return
    if not have and not (there.known and _for_gpu(timeline)):
        return
    severity: Severity = (
        "error"
        if every and there.known and timeline.target.gpus and package.name == "ctranslate2"
        else "warning"
    )
    yield verdict(
        RULE,
        severity,
        place(timeline, package, scene.get("torch", package)),
        f"{_named(package)} loads {kind} {lacking}, and {_have(timeline, torch, have, kind)}",
        about=(package.name, "torch" if torch else "cudnn"),
        cause=_cause(package.name, kind, lacking),
        source=first.source,
        fixes=_fixes(timeline, scene, package, first, there, torch),
    )


def _there(timeline: Timeline, scene: Mapping[str, Package], torch: tuple[Built, ...]) -> _There:
    cudnn, cuda = set[str](), set[str]()
    for built in torch:
        known = facts.libraries("torch", built.version, built.cuda)
        cudnn |= {known.cudnn} if known is not None and known.cudnn else set()
        cuda.add(built.cuda.split(".", maxsplit=1)[0])
    for name, package in scene.items():
        match = _WHEEL.fullmatch(name)
        if match:
            cudnn |= {one.split(".", maxsplit=1)[0] for one in package.versions[:1]}
        if re.fullmatch(r"nvidia-cublas(-cu\d+)?", name):
            cuda |= {name.rpartition("-cu")[2]} if "-cu" in name else set()
    base = timeline.base
    if base is not None and base.cudnn:
        cudnn.add(base.cudnn.split(".", maxsplit=1)[0])
    if base is not None and base.cuda and not (rebasing.is_cuda(timeline) and "-base" in base.tag):
        cuda.add(base.cuda.split(".", maxsplit=1)[0])
    return _with_system(timeline, cudnn, cuda)


def _with_system(timeline: Timeline, cudnn: set[str], cuda: set[str]) -> _There:
    """What the distribution's packages, conda and downloads add; the last two may add anything."""
    base = timeline.base
    known = (
        base is not None
        and base.cudnn is not None
        and base.cuda is not None
        and not base.unverified & {"cudnn", "cuda"}
    )
    for step in timeline.steps:
        if isinstance(step, SystemInstall):
            for package in step.packages:
                match = _SYSTEM.match(package.name)
                cudnn |= {match[1]} if match else set()
                if "cudnn" in package.name and not match:
                    known = False
                if re.match(r"(?:lib)?(?:cuda|cublas|nvidia-cuda)", package.name):
                    known = False
        elif isinstance(step, Install):
            if step.tool == "conda" or step.unread:
                known = False
        elif isinstance(step, Command) and any("cudnn" in one or "cublas" in one for one in step.words):
            known = False
    return _There(frozenset(cudnn), frozenset(cuda), known)


def _for_gpu(timeline: Timeline) -> bool:
    """Whether a GPU is meant: the base is made for one, or the target has one."""
    base = timeline.base
    return bool(timeline.target.gpus) or (base is not None and base.accelerator == "cuda")


def _named(package: Package) -> str:
    return shown(package) if package.exact else f"{package.name} {package.likely}"


def _have(timeline: Timeline, torch: tuple[Built, ...], have: frozenset[str], kind: str) -> str:
    if torch and have:
        return f"torch {torch[0].version} brings {kind} {' and '.join(sorted(have))}"
    base = timeline.base
    where = f"{base.family}:{base.tag}" if base is not None else "the image"
    return f"{where} has {kind} {' and '.join(sorted(have))}" if have else f"{where} has none"


def _cause(name: str, kind: str, major: str) -> str:
    if name == "onnxruntime-gpu":
        return "it says `Failed to create CUDAExecutionProvider` and works on the CPU"
    if kind == "CUDA":
        return f"on a GPU it fails with `Library libcublas.so.{major} is not found or cannot be loaded`"
    library = "libcudnn_ops_infer.so.8" if major == "8" else f"libcudnn_ops.so.{major}"
    return f"on a GPU the program ends with `Could not load library {library}`"


def _fixes(
    timeline: Timeline,
    scene: Mapping[str, Package],
    package: Package,
    wanted: Libraries,
    there: _There,
    torch: tuple[Built, ...],
) -> Iterator[Fix | None]:
    if not torch:
        yield from _bases(timeline, wanted)
    for version in possible(package.name, "", timeline.python.version):
        other = facts.libraries(package.name, version)
        if (
            other is None
            or (other.cudnn and other.cudnn not in there.cudnn)
            or other.cuda_major not in there.cuda
        ):
            continue
        yield _pinned(timeline, scene, package, version)
        break
    if torch and wanted.cudnn:
        yield _other_torch(timeline, scene, wanted)


def _other_torch(timeline: Timeline, scene: Mapping[str, Package], wanted: Libraries) -> Fix | None:
    """The torch nearest to the present one that brings what is wanted."""
    owner = scene["torch"]
    build = only_build(owner)
    fitting = []
    for version in possible("torch", "", timeline.python.version, build):
        other = facts.libraries("torch", version, build)
        if other is not None and (other.cudnn, other.cuda_major) == (wanted.cudnn, wanted.cuda_major):
            fitting.append(version)
    newer = [one for one in fitting if higher(one, owner.likely)]
    nearest = newer[-1:] or fitting[:1]
    return torch_fixes.repinned(timeline, scene, nearest[0]) if nearest else None


def _pinned(timeline: Timeline, scene: Mapping[str, Package], package: Package, version: str) -> Fix | None:
    """Pin the package where it is asked for, else ask for it beside the one that needs it."""
    title = f"Pin {package.name} to {version}"
    if requests(timeline, package.name):
        return edit.fix(title, torch_fixes.pins(timeline, package.name, version))
    via = scene.get(package.via)
    if via is None or via.request is None:
        return None
    return edit.fix(title, [edit.add(via.request, f"{package.name}=={version}")])


def _bases(timeline: Timeline, wanted: Libraries) -> Iterator[Fix | None]:
    """The base with the CUDA and the cuDNN that are wanted, at least with its libraries."""
    base = timeline.base
    if base is None or not rebasing.is_cuda(timeline):
        return
    kind = "runtime" if "-base" in base.tag else ""
    found = 0
    for tag in rebasing.cuda_tags(timeline, wanted.cuda_major, cudnn=wanted.cudnn or "", kind=kind):
        if facts.fits(tag.split("-")[0], f">={wanted.cuda}") and found < 1:
            found += 1
            yield rebasing.rebased(timeline, tag)


def _second(timeline: Timeline, scene: Mapping[str, Package], torch: tuple[Built, ...]) -> Iterator[Verdict]:
    """A cuDNN wheel that is asked for, of another major version than the one torch was built with."""
    owner = scene.get("torch")
    if owner is None or not torch:
        return
    made = {
        known.cudnn for one in torch if (known := facts.libraries("torch", one.version, one.cuda)) is not None
    }
    for name, package in scene.items():
        match = _WHEEL.fullmatch(name)
        if not match or package.request is None or package.via or not package.versions or len(made) != 1:
            continue
        majors = {one.split(".", maxsplit=1)[0] for one in package.versions}
        likely = package.likely.split(".", maxsplit=1)[0]
        if likely in made:
            continue
        own = match[1] in {one.cuda.split(".", maxsplit=1)[0] for one in torch}
        wheel = not owner.base and owner.install is not None and owner.install.tool != "conda"
        exposed = any(re.search(r"/nvidia(?:/|$)", one.path) for one in search_path.folders(timeline))
        if not (own and wheel) and not exposed:
            continue
        certain = own and wheel and not majors & made and package.certain and owner.certain
        yield verdict(
            RULE,
            "error" if certain else "warning",
            package.request.at,
            f"{name} {package.likely} comes beside {shown(owner) if owner.exact else 'torch'}, which was built with "
            f"cuDNN {next(iter(made))}",
            about=("torch", name),
            cause=(
                "it takes the place of torch's own cuDNN: `libcudnn.so."
                + next(iter(made))
                + ": cannot open shared object file`"
                if own and wheel
                else "LD_LIBRARY_PATH finds it before torch's own cuDNN, and parts of both are mixed: `undefined symbol`"
            ),
            source="https://github.com/pytorch/pytorch/issues/104591",
            fixes=[
                edit.fix(f"Leave cuDNN to torch: do not ask for {name}", [edit.remove(package.request)]),
                *(
                    search_path.without(one)
                    for one in search_path.folders(timeline)
                    if re.search(r"/nvidia(?:/|$)", one.path)
                ),
                _capped(timeline, name, next(iter(made))),
            ],
        )


def _capped(timeline: Timeline, name: str, major: str) -> Fix | None:
    """The newest release of torch's major version."""
    version = next(iter(possible(name, f"=={major}.*")), "")
    return (
        edit.fix(f"Pin {name} to {version}", torch_fixes.pins(timeline, name, version)) if version else None
    )
