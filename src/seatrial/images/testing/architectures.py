"""Whether the compiled code in the image runs on the GPU that it is for; no GPU is needed to know.

torch says itself what it was compiled for; for everything else the headers of the code in its shared objects do. A GPU
of compute capability X.y runs machine code for X.z with z ≤ y; PTX of anything as old or older is compiled by the
driver when it is first used, which takes minutes for large libraries:
docs.nvidia.com, "CUDA C++ Programming Guide", Binary Compatibility. Code for one architecture alone (sm_90a) counts as
code for that capability.
"""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from seatrial.errors import UsageError
from seatrial.images import runtime
from seatrial.images.facts import cuda as facts
from seatrial.images.facts.gpus import gpu, gpu_names, instance
from seatrial.images.facts.published import releases
from seatrial.images.facts.torch import label, torch_build
from seatrial.images.facts.versions import parsed
from seatrial.images.testing import fatbin
from seatrial.images.testing.cuda import Built, built_for
from seatrial.images.testing.fatbin import Code
from seatrial.images.testing.model import Check, Subject, failed, passed, skipped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SHARED = re.compile(r"\.so(?:\.[0-9]+)*$")
# NVIDIA's own run on every GPU that their CUDA version knows, and keep code also in forms that no header shows.
_NVIDIA = re.compile(
    r"/lib(?:cudart|cublas(?:Lt)?|nvblas|cudnn\w*|cufft\w*|curand|cusolver\w*|cusparse\w*|npp\w*|nccl|nvrtc[\w-]*|nvJitLink|"
    r"nvjpeg|nvshmem\w*|nvinfer\w*|cufile\w*|cupti|cutensor\w*)(?:-[0-9a-f]+)?\.so"
)
# Smaller than a container with one kernel.
_LEAST = 4096
_FLAGS = """
import torch
print("flags", torch._C._cuda_getArchFlags() or "")
"""
_FLAG = re.compile(r"(sm|compute)_(\d{2,3})[a-z]?")
_TIMEOUT = 120.0
_NO_TARGET = "no target GPU was given (--gpu-type, images.NAME.test.gpu)"


class Target(NamedTuple):
    """The GPU that the image is for; `number` is its compute capability as 90."""

    name: str
    capability: str

    @property
    def number(self) -> int:
        return int(self.capability.replace(".", ""))


def check(subject: Subject) -> Iterator[Check]:
    """One answer for each distribution with code for GPUs: compiled for the target, as PTX, or not at all."""
    target = target_of(subject.spec.gpu) if subject.spec.gpu else None
    if target is None and not subject.at_least("standard"):
        yield skipped("architectures", _NO_TARGET)
        return
    found = codes(subject)
    built = built_for(subject)
    name = built.name.partition(" ")[0] if built else ""
    if built is not None and built.cuda and name == "torch" and subject.at_least("standard"):
        flags = _flags(subject)
        if flags.sm or flags.ptx:
            found["torch"] = flags
    if not found:
        yield skipped("architectures", "no compiled code for GPUs is in the image")
        return
    if target is None:
        held = [f"{owner}: {written(code)}" for owner, code in sorted(found.items())]
        yield skipped(
            "architectures",
            f"{_NO_TARGET}; {held[0]}" + (f" and {len(held) - 1} more" if held[1:] else ""),
        )
        return
    yield from judge(found, target, built)


def judge(found: Mapping[str, Code], target: Target, built: Built | None) -> Iterator[Check]:
    """What does not run is a failure of its own; all that runs is one answer."""
    by_ptx, runs = [], []
    for owner, code in sorted(found.items(), key=lambda item: (item[0] != "torch", item[0])):
        if any(number // 10 == target.number // 10 and number <= target.number for number in code.sm):
            runs.append(f"{owner}: {written(code)}")
        elif any(number <= target.number for number in code.ptx):
            by_ptx.append(f"{owner}: {written(code)}")
        else:
            message = f"{owner} has no code for {target.name} (sm_{target.number}); it has {written(code)}"
            yield failed(f"architectures:{owner}", message, _fix(owner, target, built, code))
    if by_ptx:
        message = (
            f"{by_ptx[0].partition(':')[0]} runs on {target.name} only by compiling PTX at its first use, which may "
            "take minutes in each new container; keep CUDA_CACHE_PATH on a volume, or take a build for it"
        )
        yield passed("architectures:ptx", f"warning: {message}", by_ptx)
    if runs:
        names = [one.partition(":")[0] for one in runs]
        more = f" and {len(names) - 3} more" if names[3:] else ""
        message = f"compiled for {target.name} (sm_{target.number}): {', '.join(names[:3])}{more}"
        yield passed("architectures", message, runs)


def target_of(text: str) -> Target:
    """A GPU by name, architecture, compute capability or AWS instance type.

    Raises:
        UsageError: it is not known.
    """
    found = instance(text)
    if found is not None:
        return Target(f"{found.gpu.name} ({found.type})", found.gpu.capability)
    one = gpu(text)
    if one is None:
        near = difflib.get_close_matches(text.lower(), gpu_names(), 1)
        raise UsageError(
            f"{text!r} is no known NVIDIA GPU or instance type with one",
            fix=f"did you mean {near[0]}?"
            if near
            else "write a GPU (A10G), an architecture (sm_90) or an instance type (g5.xlarge)",
        )
    return Target(one.name, one.capability)


def codes(subject: Subject) -> dict[str, Code]:
    """The architectures of each distribution's shared objects together, by the distribution's name, else their folder."""
    owners = _owners(subject)
    found: dict[str, Code] = defaultdict(Code)
    for path, (_, entry) in subject.tree.items():
        if entry.kind == "f" and entry.size >= _LEAST and _SHARED.search(path) and not _NVIDIA.search(path):
            code = fatbin.read(subject.file(path))
            if code is not None:
                found[owners.get(path) or f"/{path.rpartition('/')[0]}"] |= code
    return dict(found)


def written(code: Code) -> str:
    """`sm_80 sm_90 compute_90`."""
    return " ".join([*(f"sm_{n}" for n in sorted(code.sm)), *(f"compute_{n}" for n in sorted(code.ptx))])


def from_flags(text: str) -> Code:
    """What torch says: `sm_80 sm_90 compute_90`."""
    kinds = _FLAG.findall(text)
    return Code(
        frozenset(int(number) for kind, number in kinds if kind == "sm"),
        frozenset(int(number) for kind, number in kinds if kind == "compute"),
    )


def _owners(subject: Subject) -> dict[str, str]:
    distributions = subject.python.distributions if subject.python else ()
    return {
        f"{one.site.strip('/')}/{file}": one.name
        for one in distributions
        for file in one.files
        if _SHARED.search(file)
    }


def _flags(subject: Subject) -> Code:
    """What torch was compiled for, said by itself; nothing when it does not import, which is another check's."""
    if subject.python is None:
        return Code()
    launch = runtime.Launch(
        entrypoint=(subject.python.program,), network="none", env={"PYTHONDONTWRITEBYTECODE": "1"}
    )
    done = runtime.run(subject.root, ["-c", _FLAGS], launch, timeout=_TIMEOUT)
    return from_flags(next((line for line in done.stdout.splitlines() if line.startswith("flags ")), ""))


def _fix(owner: str, target: Target, built: Built | None, code: Code) -> str:
    newer = all(number // 10 < target.number // 10 for number in code.sm | code.ptx)
    age = "a newer" if newer else "another"
    if owner != "torch" or built is None:
        return f"take {age} release of {owner} that is compiled for sm_{target.number}, or another GPU"
    version = built.name.partition(" ")[2].partition("+")[0]
    for release in _candidates(version):
        cuda = facts.build_for(release, target.capability)
        build = torch_build(release, cuda) if cuda else None
        if build is not None:
            same = "the same release" if release == version else "the nearest release that has one"
            return f"install torch=={release}+{label(build.cuda)} from {build.index}: {same}"
    return f"take {age} release of torch that is compiled for sm_{target.number}, or another GPU"


def _candidates(version: str) -> list[str]:
    """The release itself, then newer ones from the next on, then older ones from the last on."""
    known = sorted({one.version for one in releases("torch") if one.yanked is None}, key=parsed)
    newer = [one for one in known if parsed(one) > parsed(version)]
    older = [one for one in known if parsed(one) < parsed(version)]
    return [version, *newer, *reversed(older)]
