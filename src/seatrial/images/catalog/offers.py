"""Pinned references that exist, for what a project wants: from the catalog's rows and rules, never made up."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from seatrial.images.catalog import tables
from seatrial.images.catalog.families import aws, ngc_pytorch, nvidia_cuda
from seatrial.images.facts.versions import numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.images.catalog.wishes import Wanted

_PUBLIC = "public.ecr.aws/deep-learning-containers"
_MOST_PATCHES = 3


class Offer(msgspec.Struct, frozen=True):
    """A reference, and the torch and the CUDA that would run in it; empty where there is none or it is not known.

    `installed` says that torch would be installed into it, and is not inside yet.
    """

    reference: str
    torch: str = ""
    cuda: str = ""
    installed: bool = False


def offers(wanted: Wanted) -> Iterator[Offer]:
    """Every reference worth judging."""
    if wanted.serving:
        yield from _servers(wanted)
        return
    builds = list(_builds(wanted))
    yield from _with_torch(builds)
    yield from _ngc(wanted)
    yield from _aws(wanted)
    yield from _plain_cuda(wanted, builds)
    yield from _plain_python(wanted, builds)


def _builds(wanted: Wanted) -> Iterator[tuple[str, str, bool]]:
    """Torch, CUDA and whether it is the default build, of every published build that may run."""
    from seatrial.images.facts import release, torch_builds
    from seatrial.images.facts.cuda import driver_runs, gpu_support

    if wanted.torch is None:
        return
    for torch in _torches(wanted):
        one = release("torch", torch)
        for build in torch_builds(torch) or ():
            if wanted.cuda and build.cuda != wanted.cuda:
                continue
            if wanted.driver and driver_runs(wanted.driver, build.cuda) is False:
                continue
            if any(gpu_support(torch, build.cuda, one).runs is False for one in wanted.capabilities):
                continue
            if one is not None:
                yield torch, build.cuda, build.default


def _torches(wanted: Wanted) -> Iterator[str]:
    """The releases that the wish means, the newest first: one for a whole version, else the newest that fit."""
    from seatrial.images.catalog.wishes import matches
    from seatrial.images.facts import installs, releases

    count = 0
    for one in releases("torch"):
        plain = one.version.replace(".", "").isdigit()
        if not plain or one.yanked is not None or not installs(one, wanted.python):
            continue
        if wanted.torch and not matches(one.version, wanted.torch):
            continue
        yield one.version
        count += 1
        if count == _MOST_PATCHES:
            return


def _with_torch(builds: list[tuple[str, str, bool]]) -> Iterator[Offer]:
    """One tag for each published build, as far as tags were seen. cuDNN's major version follows from torch's."""
    table = tables.load("pytorch")
    rows = tables.columns(table["cudnn"], 2)
    for torch, cuda, _ in builds:
        major = [row[1] for row in rows if numbers(row[0]) <= numbers(torch) <= numbers(table["seen_up_to"])]
        for kind in ("runtime", "devel") if major else ():
            yield Offer(f"pytorch/pytorch:{torch}-cuda{cuda}-cudnn{major[-1]}-{kind}", torch, cuda)


def _ngc(wanted: Wanted) -> Iterator[Offer]:
    if wanted.torch is None:
        return
    for month in ngc_pytorch.months().values():
        if month.torch:
            yield Offer(f"nvcr.io/nvidia/pytorch:{month.name}-py3", month.torch, month.cuda)


def _aws(wanted: Wanted) -> Iterator[Offer]:
    """Training images with torch inside; and, for CUDA alone, the plain ones."""
    names = ("pytorch", "pytorch-training") if wanted.torch is not None else ("base",)
    for name in names:
        for row in aws.rows()[name]:
            yield _aws_offer(name, row)


def _aws_offer(repository: str, row: aws.Row) -> Offer:
    from seatrial.images.catalog.identify import identify

    table = tables.load("aws")
    place = (
        _PUBLIC if repository in table["public"] else f"{table['example']}.dkr.ecr.us-east-1.amazonaws.com"
    )
    reference = f"{place}/{repository}:{row.tags[0]}"
    contents = identify(reference)
    torch = contents.packages.get("torch", "") if contents else ""
    return Offer(reference, torch, (contents.cuda or "") if contents else "")


def _plain_cuda(wanted: Wanted, builds: list[tuple[str, str, bool]]) -> Iterator[Offer]:
    """CUDA without Python packages: with nvcc where it is needed, else as little as there is."""
    if not wanted.wants_gpu:
        return
    kind = "devel" if wanted.needs_nvcc else "base"
    for (minor, system), cuda in _newest_patches().items():
        if not system.startswith("ubuntu"):
            continue
        torch = next((one[0] for one in builds if one[1] == minor), "")
        if torch or wanted.torch is None:
            yield Offer(f"nvidia/cuda:{cuda}-{kind}-{system}", torch, minor, installed=bool(torch))


def _newest_patches() -> dict[tuple[str, str], str]:
    """The newest CUDA of each minor version on each system."""
    found: dict[tuple[str, str], str] = {}
    for _, build in nvidia_cuda.tags():
        key = ".".join(build.cuda.split(".")[:2]), build.system
        if key not in found or numbers(build.cuda) > numbers(found[key]):
            found[key] = build.cuda
    return found


def _plain_python(wanted: Wanted, builds: list[tuple[str, str, bool]]) -> Iterator[Offer]:
    """Python alone: wheels of torch bring CUDA themselves."""
    if (wanted.torch is not None and not builds) or (wanted.torch is None and wanted.cuda):
        return
    torch, cuda, _ = max(builds, key=lambda one: one[2]) if builds else ("", wanted.cuda, False)
    for newest in tables.load("python")["newest"].values():
        for release in ("trixie", "bookworm"):
            yield Offer(f"python:{newest}-slim-{release}", torch, cuda, installed=bool(torch))


def _servers(wanted: Wanted) -> Iterator[Offer]:
    """Images of inference servers."""
    from seatrial.images.facts import releases

    if wanted.serving == "triton":
        yield from _triton()
        return
    repository = {"djl": "djl-inference"}.get(wanted.serving, wanted.serving)
    for row in sorted(aws.rows()[repository], key=_newest_first):
        yield _aws_offer(repository, row)
    rule = tables.load("serving")["newest"].get(wanted.serving)
    if rule is None:
        return
    count = 0
    for one in releases(wanted.serving):
        plain = one.version.replace(".post", ".").replace(".", "").isdigit()
        if (
            plain
            and one.yanked is None
            and numbers(rule["first"]) <= numbers(one.version) <= numbers(rule["seen_up_to"])
        ):
            yield _known(f"{rule['repository']}:v{one.version}")
            count += 1
        if count == _MOST_PATCHES:
            return


def _newest_first(row: aws.Row) -> tuple[int, ...]:
    """By the server's version, and where that is not said, by the tag's."""
    return tuple(-one for one in _numbers(row.package.partition("==")[2] or row.tags[0]))


def _triton() -> Iterator[Offer]:
    for month in ngc_pytorch.months().values():
        if month.name >= "24.04":
            for kind in ("py3", "vllm-python-py3", "trtllm-python-py3"):
                yield _known(f"nvcr.io/nvidia/tritonserver:{month.name}-{kind}")


def _known(reference: str) -> Offer:
    from seatrial.images.catalog.identify import identify

    contents = identify(reference)
    if contents is None:
        return Offer(reference)
    return Offer(reference, contents.packages.get("torch", ""), contents.cuda or "")


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(one) for one in re.findall(r"\d+", text)[:3])
