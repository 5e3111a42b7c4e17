"""Other tags of the image that a stage starts from, as fixes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.images import edit, facts
from seatrial.images.catalog import systems, tables
from seatrial.images.facts.versions import numbers
from seatrial.images.rules.builds import nearest_builds
from seatrial.images.timeline.versions import higher

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.findings import Fix
    from seatrial.images.rules.builds import Fits
    from seatrial.images.timeline.model import Timeline

_CUDA = ("nvidia/cuda", "nvcr.io/nvidia/cuda")


def is_cuda(timeline: Timeline) -> bool:
    """Whether it starts from nvidia/cuda, which has CUDA and nothing else."""
    return timeline.base is not None and timeline.base.family in _CUDA


def rebased(timeline: Timeline, tag: str) -> Fix | None:
    """Start from another tag of the same image."""
    base, contents = timeline.root.base, timeline.base
    if base is None or contents is None or not tag or contents.digest or tag == contents.tag:
        return None
    at = base.reference.rfind(contents.tag)
    if at < 0:
        return None
    reference = base.reference[:at] + tag
    return edit.fix(f"Start from {reference}", edit.rebase(base, reference))


def cuda_tag(timeline: Timeline, cuda: str, *, cudnn: str | None = None, kind: str = "") -> str:
    """The newest tag of nvidia/cuda for CUDA `12.4`, of the same kind on the same system; empty where there is none.

    `cudnn` is the major version of cuDNN that it must have, empty for none, None for as it is now. Another release of the
    same distribution is taken only where the same one has no such tag: the oldest newer one.
    """
    from seatrial.images.catalog.families.nvidia_cuda import tags

    contents = timeline.base
    if contents is None or contents.os is None or not is_cuda(timeline):
        return ""
    word = bool(contents.cudnn) if cudnn is None else bool(cudnn)
    kind = kind or next((one for one in ("base", "runtime", "devel") if f"-{one}" in contents.tag), "devel")
    found = []
    for tag, build in tags():
        if facts.version_of(build.cuda) != cuda or ("-cudnn" in tag) != word or f"-{kind}-" not in tag:
            continue
        if cudnn and (build.word.removeprefix("cudnn") or "9") != cudnn:
            continue
        found.append((build.system, build.cuda, tag))
    same = [one for one in found if one[0] == contents.os]
    later = sorted({one[0] for one in found if systems.is_later(one[0], contents.os)}, key=systems.number)
    return _newest(same) or _newest([one for one in found if one[0] in later[:1]])


def cuda_tags(timeline: Timeline, major: str, *, cudnn: str | None = None, kind: str = "") -> Iterator[str]:
    """Tags for each CUDA version of a major, nearest to the present one first."""
    from seatrial.images.catalog.families.nvidia_cuda import tags

    now = timeline.base.cuda if timeline.base is not None and timeline.base.cuda else "0"
    versions = {facts.version_of(build.cuda) for _, build in tags()}
    fitting = [one for one in versions if one.split(".")[0] == major]
    for one in sorted(fitting, key=numbers, reverse=numbers(now) > numbers(major)):
        tag = cuda_tag(timeline, one, cudnn=cudnn, kind=kind)
        if tag:
            yield tag


def torch_bases(timeline: Timeline, fits: Fits) -> Iterator[Fix | None]:
    """Tags of pytorch/pytorch with a torch that `fits`: the same release for another CUDA, then the nearest releases."""
    contents = timeline.base
    if contents is None or contents.family != "pytorch/pytorch" or "torch" not in contents.packages:
        return
    table = tables.load("pytorch")
    torch = contents.packages["torch"]
    kind = "devel" if contents.tag.endswith("-devel") else "runtime"
    versions = [
        one.version for one in facts.releases("torch") if not higher(one.version, table["seen_up_to"])
    ]
    newer = [one for one in reversed(versions) if higher(one, torch)]
    older = [one for one in versions if higher(torch, one)]
    for group in ([torch], newer, older):
        tags = (_torch_tag(one, kind, contents.torch_cuda or "", fits) for one in group)
        yield rebased(timeline, next((one for one in tags if one), ""))


def _torch_tag(torch: str, kind: str, now: str, fits: Fits) -> str:
    """The tag for the CUDA nearest to that of now that fits; empty where there is none."""
    majors = tables.columns(tables.load("pytorch")["cudnn"], 1)
    cudnn = next((major for first, major in reversed(majors) if not higher(first, torch)), "")
    for build in nearest_builds(torch, now):
        if cudnn and fits(torch, build.cuda):
            return f"{torch}-cuda{build.cuda}-cudnn{cudnn}-{kind}"
    return ""


def _newest(found: list[tuple[str, str, str]]) -> str:
    best = ("", "", "")
    for one in found:
        if not best[1] or higher(one[1], best[1]):
            best = one
    return best[2]
