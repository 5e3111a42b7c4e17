"""image/tag-removed, image/tag-moving, image/apt-key, image/end-of-patch: what is wrong with a base image itself."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from seatrial.findings import Rule
from seatrial.images import edit, facts
from seatrial.images.catalog import identify
from seatrial.images.facts.versions import minor
from seatrial.images.rules.builds import moved
from seatrial.images.rules.verdict import Verdict, verdict
from seatrial.images.story.model import Command, SystemInstall
from seatrial.images.timeline.variant import cuda_of
from seatrial.images.timeline.versions import higher

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.findings import Fix, Severity
    from seatrial.images.catalog import Contents
    from seatrial.images.story.model import Base, Span, Step
    from seatrial.images.timeline.model import Timeline

REMOVED = Rule(
    id="image/tag-removed",
    severity="error",
    title="The base image's tag does not exist any more",
    explanation=(
        "The publisher deleted the tag, so the build ends at `FROM` with `manifest unknown`. The alternatives are tags of "
        "the same repository that exist, the nearest first: the same distribution and flavour, the next CUDA version."
    ),
    source="https://gitlab.com/nvidia/container-images/cuda/-/blob/master/doc/support-policy.md",
    example="FROM nvidia/cuda:10.2-devel-ubuntu18.04\n",
)

MOVING = Rule(
    id="image/tag-moving",
    severity="warning",
    title="The base image's tag moves to other versions",
    explanation=(
        "A tag such as `latest` names another image from time to time: another Python, another CUDA, another torch. A "
        "warning where the build depends on what is inside (it installs pinned wheels, or torch for one CUDA, on top), "
        "else a note. Name the version, and for exact repetition the digest."
    ),
    source="https://docs.docker.com/build/building/best-practices/#pin-base-image-versions",
    example="FROM public.ecr.aws/hpc-cloud/nccl-tests:latest\nRUN pip install torch==2.7.1\n",
)

KEY = Rule(
    id="image/apt-key",
    severity="error",
    title="apt-get update fails on NVIDIA's repository in this base image",
    explanation=(
        "NVIDIA replaced the key that signs its package repositories in April 2022. Images from before have the "
        "repository but not the new key, so `apt-get update` refuses it with NO_PUBKEY A4B469963BF863CC. Remove the "
        "repository (nothing is installed from it), fetch the new key before the first update, or take a newer base."
    ),
    source="https://developer.nvidia.com/blog/updating-the-cuda-linux-gpg-repository-key/",
    example="FROM pytorch/pytorch:1.10.0-cuda11.3-cudnn8-devel\nRUN apt-get update\n",
)

END = Rule(
    id="image/end-of-patch",
    severity="warning",
    title="The base image gets no security patches any more",
    explanation=(
        "AWS names a day for each Deep Learning Container from which it is patched no more. After it, holes that are "
        "found stay open in everything that is built on the image."
    ),
    source="https://docs.aws.amazon.com/deep-learning-containers/latest/devguide/support-policy.html",
    example="FROM 763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.0.1-gpu-py310-cu118-ubuntu20.04-ec2\n",
)

RULES = (REMOVED, MOVING, KEY, END)

_LIST_FILES = "/etc/apt/sources.list.d/cuda.list /etc/apt/sources.list.d/nvidia-ml.list"
_KEY_COMMANDS = re.compile(
    r"3bf863cc|cuda-keyring|sources\.list\.d/(?:cuda|nvidia|\*)|sources\.list\.d/?(?:\s|$)|A4B469963BF863CC",
    re.IGNORECASE,
)
_CUDA_REPOSITORY = "https://developer.download.nvidia.com/compute/cuda/repos"


def check(timeline: Timeline, today: date | None = None) -> list[Verdict]:
    """What is wrong with the base; `today` is the day to judge on."""
    contents, base = timeline.base, timeline.root.base
    if contents is None or base is None or timeline.environment:
        return []
    now = today or datetime.now(UTC).date()
    found = (
        _removed(contents, base),
        _moving(timeline, contents, base),
        _key(timeline, contents),
        _ended(contents, base, now),
    )
    return [one for one in found if one is not None]


def _removed(contents: Contents, base: Base) -> Verdict | None:
    gone = contents.removed
    if gone is None:
        return None
    repository = base.reference.partition("@")[0].rpartition(":")[0] or base.reference
    severity: Severity = "warning" if "removed" in contents.unverified else "error"
    fixes = [_on(base, f"{repository}:{tag}") for tag in gone.instead]
    return verdict(
        REMOVED,
        severity,
        base.at,
        f"{base.reference} does not exist any more: {gone.reason}"
        if severity == "error"
        else f"{base.reference} is probably gone: {gone.reason}",
        about=[contents.family],
        cause="the build ends at FROM with `manifest unknown`",
        source=gone.source,
        fixes=fixes,
    )


def _on(base: Base, reference: str) -> Fix | None:
    return edit.fix(f"Start from {reference}", edit.rebase(base, reference))


def _moving(timeline: Timeline, contents: Contents, base: Base) -> Verdict | None:
    if contents.moving != "rolling" or contents.digest:
        return None
    depends = [
        one
        for moment in timeline.moments
        for one in moment.install.requests
        if one.version is not None and _depends(contents, one.name)
    ]
    severity: Severity = "warning" if depends else "note"
    because = f", and {depends[0].name} {depends[0].version.text} is installed on top" if depends and depends[0].version else ""  # fmt: skip
    return verdict(
        MOVING,
        severity,
        base.at,
        f"{base.reference} moves: it names another {_inside(contents)} from time to time{because}",
        about=[contents.family],
        cause="a rebuild gets another base under the same pins, so what worked yesterday fails without a change",
        fixes=[
            fix
            for reference in _pinned(timeline, contents, base)
            for fix in (_on(base, reference), _with_torch(timeline, base, reference))
        ],
    )


def _depends(contents: Contents, name: str) -> bool:
    """Whether a pin of a package stands or falls with what is in the base: its Python, its CUDA or its torch."""
    from seatrial.images.facts import tracked

    return name in tracked() and (contents.family == "python" or contents.accelerator == "cuda")


def _inside(contents: Contents) -> str:
    if contents.family == "python":
        return "Python"
    return "CUDA and torch" if contents.accelerator == "cuda" else "version"


def _pinned(timeline: Timeline, contents: Contents, base: Base) -> Iterator[str]:
    from seatrial.images.catalog.pins import pinned_tags

    pins = [(one.name, one.exact) for one in timeline.final.values() if one.exact and one.request is not None]

    repository = base.reference.partition("@")[0]
    name, colon, tag = repository.rpartition(":")
    plain = name if colon and "/" not in tag else repository
    for one in pinned_tags(contents, pins):
        yield f"{plain}:{one}"


def _with_torch(timeline: Timeline, base: Base, reference: str) -> Fix | None:
    """Start from another image, and install the torch that was built for its CUDA: the nearest newer release that was."""
    inside, torch = identify(reference), timeline.final.get("torch")
    if inside is None or not inside.cuda or torch is None or not torch.exact or torch.request is None:
        return None
    cuda = ".".join(inside.cuda.split(".")[:2])
    if cuda == cuda_of(torch.variant):
        return None
    later = [one for one in facts.torch_releases_with(cuda) if higher(one, torch.exact)]
    # The lowest minor version that has it, and of that the newest patch: the lists are newest first.
    version = next((one for one in later if minor(one) == minor(later[-1])), "")
    other = moved(timeline, timeline.final, version, f"cu{cuda.replace('.', '')}") if version else None
    if other is None:
        return None
    title = f"Start from {reference}, and install torch {version} for its CUDA {cuda}"
    return edit.fix(title, [*edit.rebase(base, reference), *other.edits])


def _key(timeline: Timeline, contents: Contents) -> Verdict | None:
    if not contents.apt_key_stale or contents.removed is not None:
        return None
    update = _first_update(timeline.steps)
    if update is None:
        return None
    severity: Severity = "warning" if "apt_key_stale" in contents.unverified or not update[1] else "error"
    at = update[0]
    release = (contents.os or "ubuntu2004").replace(".", "")
    key = f"{_CUDA_REPOSITORY}/{release}/x86_64/3bf863cc.pub"
    return verdict(
        KEY,
        severity,
        at,
        f"apt-get update fails in {contents.reference.rpartition('/')[2]}: it knows NVIDIA's repository, not its key of 2022",
        about=[contents.family],
        cause="NO_PUBKEY A4B469963BF863CC, and apt ends with `is not signed`",
        fixes=[
            edit.fix(
                "Remove NVIDIA's repository before the update", [edit.line_before(at, f"RUN rm -f {_LIST_FILES}")]
            ),
            edit.fix("Fetch NVIDIA's new key before the update", [edit.line_before(at, f"RUN apt-key adv --fetch-keys {key}")]),
        ],
    )  # fmt: skip


def _first_update(steps: tuple[Step, ...]) -> tuple[Span, bool] | None:
    """The instruction that updates or installs with apt first, unless the key or the repository was seen to before."""
    for step in steps:
        if isinstance(step, Command):
            if _KEY_COMMANDS.search(" ".join(step.words)):
                return None
            if step.words[:1] in (("apt-get",), ("apt",)) and "update" in step.words[1:]:
                return _instruction(step.at), step.certain
        elif isinstance(step, SystemInstall) and step.tool == "apt":
            if any("cuda-keyring" in one.name for one in step.packages):
                return None
            return _instruction(step.at), step.certain
    return None


def _instruction(at: Span) -> Span:
    """From a command inside a RUN to the line where the RUN starts: a line can only stand before that one."""
    from seatrial.images.story.model import Span

    text = at.source.text
    start = at.start
    while start > 0:
        line = text.rfind("\n", 0, start - 1) + 1
        head = text[line:start]
        if re.match(r"\s*RUN\b", head, re.IGNORECASE):
            return Span(at.source, line + len(head) - len(head.lstrip()), at.end)
        if line == 0:
            break
        start = line
    return at


def _ended(contents: Contents, base: Base, today: date) -> Verdict | None:
    if not contents.end_of_patch or date.fromisoformat(contents.end_of_patch) >= today:
        return None
    return verdict(
        END,
        "warning",
        base.at,
        f"{contents.reference.rpartition('/')[2]} has had no security patches since {contents.end_of_patch}",
        about=[contents.family],
        source=contents.sources[0] if contents.sources else "",
    )
