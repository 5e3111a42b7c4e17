"""image/library-path and image/cuda-compat: libraries of CUDA that LD_LIBRARY_PATH puts before the right ones."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.findings import Rule
from seatrial.images import facts
from seatrial.images.facts.loading import loading
from seatrial.images.rules import rebasing, search_path, torch_fixes
from seatrial.images.rules.builds import builds, certain
from seatrial.images.rules.verdict import Verdict, shown, verdict
from seatrial.images.story.model import Command
from seatrial.images.timeline.versions import higher

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from seatrial.findings import Fix, Severity
    from seatrial.images.rules.builds import Built
    from seatrial.images.rules.search_path import Folder
    from seatrial.images.timeline.model import Package, Timeline

PATH = Rule(
    id="image/library-path",
    severity="error",
    title="LD_LIBRARY_PATH puts other CUDA libraries before those of torch",
    explanation=(
        "The wheels of torch bring their own CUDA libraries, and libcusparse needs a libnvJitLink of its own CUDA version. "
        "LD_LIBRARY_PATH is searched before the place where the wheel has it, so an older CUDA of the base image wins, and "
        "`import torch` fails. From 2.6 on torch loads the right one itself. An error when the folder is certainly there with "
        "an older CUDA of the same major version; a warning when the folder may have CUDA libraries, as conda's may. "
        "The fix takes the folder out of LD_LIBRARY_PATH: programs of the base find their libraries without it."
    ),
    source="https://github.com/pytorch/pytorch/issues/138460",
    example=(
        "FROM nvidia/cuda:12.1.1-devel-ubuntu22.04\n"
        "ENV LD_LIBRARY_PATH=/usr/local/cuda/lib64\n"
        "RUN pip install torch==2.5.1\n"
    ),
)

COMPAT = Rule(
    id="image/cuda-compat",
    severity="warning",
    title="The driver libraries of the image come before those of the machine",
    explanation=(
        "The folder compat of CUDA has libraries of the driver that was current when the toolkit was made. They help on "
        "machines with an older driver; with a newer one, and on GPUs that are not for data centres, they do not fit the "
        "kernel module. The container runtime uses them where they help, so LD_LIBRARY_PATH need not name the folder."
    ),
    source="https://docs.nvidia.com/deploy/cuda-compatibility/forward-compatibility.html",
    example="ENV LD_LIBRARY_PATH=/usr/local/cuda/compat:$LD_LIBRARY_PATH\n",
)

RULES = (PATH, COMPAT)

_CUDA = re.compile(r"/usr/local/cuda(?:-(\d{1,2}(?:\.\d)?))?(?:/lib64|/targets/[\w-]+/lib)")
_COMPAT = re.compile(r"/usr/local/cuda(?:-\d{1,2}(?:\.\d)?)?/compat(?:/.*)?")


def check(timeline: Timeline) -> list[Verdict]:
    """The folders of LD_LIBRARY_PATH, one after the other."""
    listed = search_path.folders(timeline)
    found = _compat(timeline, listed)
    for scene in timeline.scenes():
        found += _shadowed(timeline, scene, listed)
    return found


def _compat(timeline: Timeline, listed: list[Folder]) -> list[Verdict]:
    folder = next((one for one in listed if _COMPAT.fullmatch(one.path)), None)
    if folder is None or _purged(timeline):
        return []
    return [
        verdict(
            COMPAT,
            "warning",
            folder.at,
            f"{folder.path} on LD_LIBRARY_PATH puts the driver libraries of the image before those of the machine",
            about=("cuda-compat",),
            cause=(
                "on a machine with a newer driver, CUDA fails with `system has unsupported display driver / cuda driver "
                "combination` (803) or `forward compatibility was attempted on non supported HW` (804)"
            ),
            fixes=[search_path.without(folder)],
        )
    ]


def _purged(timeline: Timeline) -> bool:
    """Whether the package is taken away, so that the folder is empty."""
    return any(
        isinstance(step, Command)
        and {"purge", "remove", "autoremove"} & set(step.words)
        and any("cuda-compat" in one for one in step.words)
        for step in timeline.steps
    )


def _shadowed(timeline: Timeline, scene: Mapping[str, Package], listed: list[Folder]) -> list[Verdict]:
    torch = scene.get("torch")
    if torch is None or torch.base or torch.install is None or torch.install.tool == "conda":
        return []
    known = builds(timeline, torch)
    needing = [one for one in known if _needs_own(one)]
    # Where versions are open: today's, or most of those that others have installed.
    if not needing or (needing[0] is not known[0] and 2 * len(needing) <= len(known)):
        return []
    for folder in listed:
        if "nvjitlink" in folder.path or "/nvidia/" in folder.path:
            # The wheel's own folder comes first.
            return []
        severity, words = _judged(timeline, folder, needing, every=len(needing) == len(known))
        if words:
            if severity == "error" and not certain(timeline, torch):
                severity = "warning"
            return [_verdict(timeline, scene, folder, severity, words, needing[0])]
    return []


def _needs_own(built: Built) -> bool:
    table = loading()
    return (
        bool(built.cuda)
        and not higher(table.first_cuda, built.cuda)
        and higher(table.preloads, built.version)
    )


def _judged(timeline: Timeline, folder: Folder, needing: list[Built], *, every: bool) -> tuple[Severity, str]:
    """How bad a folder is, and what it has; no words where it does no harm."""
    if folder.path in loading().conda:
        base = timeline.base
        if base is not None and base.conda is False:
            return "note", ""
        return "warning", "may have CUDA libraries of its own"
    match = _CUDA.fullmatch(folder.path)
    have = _toolkit(timeline, match[1] or "") if match else ""
    if not have or not _older(have, needing[0].cuda):
        return "note", ""
    all_older = all(_older(have, one.cuda) for one in needing)
    return ("error" if every and all_older else "warning"), f"has the libraries of CUDA {have}"


def _toolkit(timeline: Timeline, named: str) -> str:
    """The CUDA version of /usr/local/cuda or /usr/local/cuda-12.1, where its libraries are in the base image."""
    base = timeline.base
    if base is None or not base.cuda or "cuda" in base.unverified:
        return ""
    if rebasing.is_cuda(timeline) and "-base" in base.tag:
        return ""  # libcudart alone
    have = facts.version_of(base.cuda)
    return have if named in ("", have, have.split(".", maxsplit=1)[0]) else ""


def _older(one: str, other: str) -> bool:
    """Whether a CUDA version is an older one of the same major version: the libraries have the same file names."""
    return one.split(".", maxsplit=1)[0] == other.split(".", maxsplit=1)[0] and higher(other, one)


def _verdict(
    timeline: Timeline,
    scene: Mapping[str, Package],
    folder: Folder,
    severity: Severity,
    words: str,
    built: Built,
) -> Verdict:
    torch = scene["torch"]
    name = shown(torch) if torch.exact else f"torch {built.version}"
    return verdict(
        PATH,
        severity,
        folder.at,
        f"{folder.path} on LD_LIBRARY_PATH {words}, and comes before what {name} brings for CUDA {built.cuda}",
        about=("torch", "LD_LIBRARY_PATH"),
        cause=(
            f"`import torch` fails with `libcusparse.so.12: undefined symbol: __nvJitLinkComplete_{built.cuda.replace('.', '_')}`"
        ),
        source=loading().source,
        fixes=_fixes(timeline, scene, folder, built),
    )


def _fixes(
    timeline: Timeline, scene: Mapping[str, Package], folder: Folder, built: Built
) -> Iterator[Fix | None]:
    yield search_path.without(folder)
    yield rebasing.rebased(timeline, rebasing.cuda_tag(timeline, built.cuda))
    yield torch_fixes.repinned(timeline, scene, loading().preloads)
