"""For which CUDA the torch of an environment can be built, and the edits that bring another build."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from seatrial.images import edit, facts
from seatrial.images.rules import torch_fixes
from seatrial.images.rules.verdict import requests
from seatrial.images.timeline.variant import FAMILY, cuda_of, index_of, of_index, variant
from seatrial.images.timeline.versions import allows, has_build, higher, nearest, possible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from seatrial.findings import Edit, Fix
    from seatrial.images.timeline.model import Package, Timeline

    Fits = Callable[[str, str], bool]
    """Whether a release of torch, built for a CUDA version (`12.6`), will do."""


class Built(msgspec.Struct, frozen=True):
    """A torch: its version without a label, and the CUDA it is built for; empty for a build without CUDA."""

    version: str
    cuda: str

    def __str__(self) -> str:
        return f"torch {self.version} for CUDA {self.cuda}"


def builds(timeline: Timeline, torch: Package | None) -> tuple[Built, ...]:
    """Every build that a torch can be, the likely one first; none as soon as one of them is not known."""
    if torch is None or not torch.versions:
        return ()
    if torch.variant == "ngc" or torch.base:
        return _of_base(timeline, torch)
    found = []
    for version in _installable(timeline, torch.versions) or torch.versions:
        label = torch.variant if len(torch.versions) == 1 else _label(timeline, torch, version)
        cuda = cuda_of(label)
        if not cuda and label != "cpu":
            return ()
        if cuda and not has_build("torch", version, label):
            return ()
        found.append(Built(version.partition("+")[0], cuda))
    return tuple(found)


def _installable(timeline: Timeline, versions: Iterable[str]) -> list[str]:
    """Without the releases whose wheels need a newer C library: an installer passes them over."""
    base = timeline.base
    have = base.glibc if base is not None and not base.unverified & {"glibc", "libc", "os"} else None
    if not have:
        return list(versions)
    known = {one: facts.release("torch", one) for one in versions}
    return [
        version
        for version, one in known.items()
        if one is None or not one.glibc or not higher(one.glibc, have)
    ]


def _choices(timeline: Timeline, specifier: str) -> list[str]:
    """The releases that fit a specifier and the image, newest first."""
    return _installable(timeline, possible("torch", specifier, timeline.python.version))


def _of_base(timeline: Timeline, torch: Package) -> tuple[Built, ...]:
    base = timeline.base
    if base is None or base.unverified & {"torch_cuda", "packages", "cuda"}:
        return ()
    cuda = cuda_of(torch.variant) or (
        facts.version_of(base.cuda) if torch.variant == "ngc" and base.cuda else ""
    )
    return (Built(torch.likely, cuda),) if cuda or torch.variant == "cpu" else ()


def _label(timeline: Timeline, torch: Package, version: str) -> str:
    if torch.install is None:
        return ""
    return variant("torch", version, torch.request, torch.install, timeline.target.architecture)


def certain(timeline: Timeline, torch: Package) -> bool:
    """Whether the builds are what will be installed: the index is written out, or no unknown image can say another."""
    if not torch.certain or not torch.versions:
        return False
    if torch.base:
        return True
    if torch.install is None or torch.install.unread:
        return False
    if "+" in torch.likely or of_index(index_of(torch.request, torch.install)):
        return True
    return timeline.root.base is None or timeline.base is not None


def only_build(torch: Package) -> str:
    """The one build that torch can be had in where it is asked for, `cu121`; empty where the default index counts."""
    if torch.install is None:
        return ""
    written = torch.exact.partition("+")[2] or of_index(index_of(torch.request, torch.install))
    if not written and torch.install.tool == "uv":
        return next((label for one in torch.install.extra_indexes if (label := of_index(one))), "")
    return written


def other_builds(timeline: Timeline, scene: Mapping[str, Package], fits: Fits) -> Iterator[Fix | None]:
    """What brings a torch that `fits`, the smallest change first: its other build, then another release, lastly both."""
    torch = scene.get("torch")
    if torch is None or torch.base or torch.install is None:
        return
    known = builds(timeline, torch)
    now = known[0].cuda if known else ""
    same = torch.exact.partition("+")[0]
    build = next((one for one in nearest_builds(same, now) if fits(same, one.cuda)), None) if same else None
    if build is not None:
        yield moved(timeline, scene, same, build.tag)
    if not only_build(torch):
        yield from _released(timeline, scene, torch, fits)
    if build is None:
        yield _elsewhere(timeline, scene, torch, now, fits)


def nearest_builds(version: str, cuda: str) -> list[facts.Build]:
    """The builds of a release: for newer CUDA versions than `cuda` the lowest first, then those for older ones."""
    published = list(facts.torch_builds(version) or ())
    newer = [one for one in published if not cuda or higher(one.cuda, cuda)]
    return [*newer, *reversed([one for one in published if one not in newer])]


def _released(
    timeline: Timeline, scene: Mapping[str, Package], torch: Package, fits: Fits
) -> Iterator[Fix | None]:
    """The nearest releases whose default build fits."""
    versions = [
        one
        for one in _choices(timeline, "")
        if (cuda := facts.default_cuda(one)) and fits(one, cuda) and one not in torch.versions
    ]
    within = [
        one
        for one in torch.versions
        if (cuda := facts.default_cuda(one)) and fits(one, cuda) and len(torch.versions) > 1
    ]
    for version in [*within[:1], *nearest(versions, torch.likely)[:2]]:
        yield torch_fixes.repinned(timeline, scene, version)


def _elsewhere(
    timeline: Timeline, scene: Mapping[str, Package], torch: Package, now: str, fits: Fits
) -> Fix | None:
    """A release that has a build that fits, from the index of that build: as near as possible to a pin, else the newest."""
    versions = [*_choices(timeline, torch.specifier), *_choices(timeline, "")]
    if torch.exact:
        newer = [one for one in versions if higher(one, torch.exact)]
        versions = [*reversed(newer), *versions]
    for version in versions:
        number = version.partition("+")[0]
        for build in nearest_builds(number, now):
            if fits(number, build.cuda):
                return moved(timeline, scene, number, build.tag)
    return None


def moved(timeline: Timeline, scene: Mapping[str, Package], version: str, label: str) -> Fix | None:
    """Take torch `version` and its companions from PyTorch's index of a build.

    A release is written where none is, so that pip does not prefer a newer one of the default index.
    """
    torch = scene["torch"]
    number = torch.exact.partition("+")[0]
    edits: list[Edit | None] = []
    for name in sorted(FAMILY):
        package = scene.get(name)
        if package is None or package.base or package.install is None:
            continue
        edits.append(_index(package, label))
        if name == "torch":
            edits += _pinned(timeline, package, version, number, label)
        else:
            edits += _companion(timeline, package, version, label)
    title = f"Install torch {version} from PyTorch's index of {label}"
    if version == number:
        title = f"Install torch from PyTorch's index of {label}"
    return edit.fix(title, edits)


def _index(package: Package, label: str) -> Edit | None:
    install = package.install
    if install is None:
        return None
    if any(map(of_index, (install.index, *install.extra_indexes))):
        return torch_fixes.reindexed(install, label)
    return torch_fixes.with_index(install, package.request, label)


def _pinned(timeline: Timeline, torch: Package, version: str, number: str, label: str) -> list[Edit | None]:
    """A pin stays, unless it says another version or another label; a range stays where the index has nothing newer."""
    written = any(torch_fixes.written_label(one) for one in requests(timeline, "torch"))
    if version == number and not written:
        return []
    install = torch.install
    alone = install is not None and bool(of_index(index_of(torch.request, install)))
    newest = next(iter(possible("torch", torch.specifier, timeline.python.version, label)), "")
    if alone and not number and newest == version:
        return []
    return torch_fixes.pins(timeline, "torch", version, label=label)


def _companion(timeline: Timeline, package: Package, version: str, label: str) -> list[Edit | None]:
    if torch_fixes.chosen(timeline, package.name, version):
        return []
    asked = requests(timeline, package.name)
    keep = package.exact.partition("+")[0]
    labelled = any(torch_fixes.written_label(one) for one in asked)
    if keep and torch_fixes.goes(package.name, keep, version):
        return torch_fixes.pins(timeline, package.name, keep, label=label) if labelled else []
    fitting = torch_fixes.companion_for(version, package.name, timeline.python.version, label)
    stated = any(one.specifier for one in asked)
    if stated and not keep and not labelled and all(allows(one.specifier, fitting) for one in asked):
        return []
    return torch_fixes.pins(timeline, package.name, fitting, label=label) if fitting else [None]
