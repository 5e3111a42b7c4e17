"""What is compiled for CUDA in an image, and with which toolkit."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

import msgspec

from seatrial.images import facts
from seatrial.images.facts import compiling as table
from seatrial.images.story.model import Command, Install, Setting, Span, SystemInstall

if TYPE_CHECKING:
    from collections.abc import Mapping

    from seatrial.images.facts.compiling import Compiled
    from seatrial.images.story.model import Request
    from seatrial.images.timeline.model import Package, Timeline

_APT = re.compile(r"cuda-(?:toolkit|nvcc|compiler)?-?(\d{1,2})-(\d)$")
_FOLDER = re.compile(r"/cuda-(\d{1,2}\.\d)(?:/|$)")
_CONDA = frozenset({"cuda-nvcc", "cuda-toolkit", "cudatoolkit-dev", "cuda-compiler"})


class Toolkit(msgspec.Struct, frozen=True):
    """A compiler for CUDA `12.4`; `at` is where that is decided. `base`: it is the base image's."""

    cuda: str
    at: Span
    base: bool = False


class Compiling(msgspec.Struct, frozen=True):
    """CUDA code that is compiled in `packages`, the environment at that moment.

    `sure`: while the image is built, against the torch that is there; else when a program uses it, or in an environment of
    its own that pip makes.
    """

    name: str
    at: Span
    packages: Mapping[str, Package]
    toolkit: Toolkit | None
    sure: bool
    known: Compiled | None


def toolkit(timeline: Timeline) -> Toolkit | None:
    """The one toolkit of an image; None where there is none, where there are several, or where that is not known."""
    found = _installed(timeline)
    base, root = timeline.base, timeline.root.base
    if (
        base is not None
        and root is not None
        and base.cuda
        and base.cuda_toolkit
        and "cuda" not in base.unverified
    ):
        found.append(Toolkit(facts.version_of(base.cuda), root.at, base=True))
    chosen = _chosen(timeline)
    if chosen:
        return next((one for one in found if one.cuda == chosen), None)
    return found[0] if len({one.cuda for one in found}) == 1 else None


def _installed(timeline: Timeline) -> list[Toolkit]:
    found = []
    for step in timeline.steps:
        if isinstance(step, SystemInstall):
            for package in step.packages:
                match = _APT.match(package.name)
                if match:
                    found.append(Toolkit(f"{match[1]}.{match[2]}", package.at))
                elif package.name == "nvidia-cuda-toolkit" and timeline.base is not None:
                    version = table.distribution_toolkit(timeline.base.os or "")
                    found += [Toolkit(version, package.at)] if version else []
        elif isinstance(step, Install) and step.tool == "conda" and step.environment == timeline.environment:
            for request in step.requests:
                match = re.search(r"(\d{1,2})\.(\d)", request.specifier)
                if match and (request.name in _CONDA or request.conda in _CONDA):
                    found.append(Toolkit(f"{match[1]}.{match[2]}", request.at))
    return found


def _chosen(timeline: Timeline) -> str:
    """What CUDA_HOME says, where it names a version."""
    for name in ("CUDA_HOME", "CUDA_PATH"):
        setting = timeline.variables.get(name)
        match = _FOLDER.search(setting.value) if isinstance(setting, Setting) else None
        if match:
            return match[1]
    return ""


def compilations(timeline: Timeline) -> list[Compiling]:
    """Everything known to be compiled for CUDA in an environment, in order."""
    if timeline.target.architecture != "x86_64" and timeline.base is None:
        return []
    tool = toolkit(timeline)
    after = {id(one.install): one.after for one in timeline.moments}
    current: Mapping[str, Package] = timeline.moments[0].before if timeline.moments else timeline.final
    cloned: list[str] = []
    found: list[Compiling] = []
    for step in timeline.steps:
        if isinstance(step, Install) and step.environment == timeline.environment:
            current = after.get(id(step), current)
            if step.certain:
                found += [_with(one, current, tool) for one in _installs(timeline, step, cloned)]
        elif isinstance(step, Command) and step.instruction == "RUN":
            cloned += _cloned(step)
            if step.certain and _sets_up(step):
                found += [
                    Compiling(one, step.at, current, tool, sure=True, known=table.compiled(one))
                    for one in cloned[-1:]
                    if table.compiled(one) is not None
                ]
    return found


def _with(one: Compiling, packages: Mapping[str, Package], tool: Toolkit | None) -> Compiling:
    return msgspec.structs.replace(one, packages=packages, toolkit=tool)


def _installs(timeline: Timeline, install: Install, cloned: list[str]) -> list[Compiling]:
    if install.tool == "conda":
        return []
    found = []
    for request in install.requests:
        name = request.name or _repository(request.url) or (cloned[-1] if cloned and _local(request) else "")
        known = table.compiled(name)
        if known is None:
            if _own(request, install):
                found.append(Compiling(name or "this project", request.at, {}, None, _against(install), None))
            continue
        switched = bool(known.switch) and any(
            one.startswith(known.switch) and value not in ("", "0", "FALSE")
            for one, value in (*install.variables.items(), *_kept(timeline))
        )
        if known.when == "use" or switched or _from_source(known, request):
            sure = switched or (known.when != "use" and _against(install))
            if known.skip and any(
                one == known.skip for one, _ in (*install.variables.items(), *_kept(timeline))
            ):
                continue
            found.append(Compiling(name, request.at, {}, None, sure, known))
    return found


def _kept(timeline: Timeline) -> list[tuple[str, str]]:
    return [(name, one.value) for name, one in timeline.variables.items()]


def _against(install: Install) -> bool:
    """Whether a package is compiled against the environment itself, not in one that pip makes for it."""
    return "no-build-isolation" in install.flags


def _from_source(known: Compiled, request: Request) -> bool:
    if request.url:
        return not request.url.partition("#")[0].endswith(".whl")
    return known.when == "index"


def _local(request: Request) -> bool:
    return bool(request.url) and "://" not in request.url


def _own(request: Request, install: Install) -> bool:
    """Whether a folder of ours that is installed has CUDA code in its setup.py."""
    if not _local(request):
        return False
    return any(
        posixpath.basename(one.path) == "setup.py" and "CUDAExtension" in one.text for one in install.files
    )


def _repository(url: str) -> str:
    """`git+https://github.com/NVIDIA/apex.git@v1` → `apex`."""
    address = (
        url.partition("#")[0].rpartition("@")[0] if re.search(r"\w@[^/]+$", url.partition("#")[0]) else url
    )
    name = posixpath.basename(address.partition("#")[0].rstrip("/")).removesuffix(".git")
    return re.sub(r"[-_.]+", "-", name).lower() if "://" in url else ""


def _cloned(step: Command) -> list[str]:
    if step.words[:1] != ("git",) or "clone" not in step.words:
        return []
    return [name for name in (_repository(one) for one in step.words if "://" in one) if name]


def _sets_up(step: Command) -> bool:
    return "setup.py" in {posixpath.basename(one) for one in step.words[1:2]} and bool(
        {"install", "develop", "bdist_wheel", "build_ext", "build"} & set(step.words)
    )
