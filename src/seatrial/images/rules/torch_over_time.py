"""image/torch-swapped and image/install-order: a later install exchanges the torch that an earlier one chose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from seatrial.findings import Rule
from seatrial.images import edit, facts
from seatrial.images.facts.mixing import mixing
from seatrial.images.facts.versions import parsed
from seatrial.images.rules import torch_fixes
from seatrial.images.rules.verdict import Verdict, shown, verdict
from seatrial.images.timeline.variant import FAMILY, index_of, of_index
from seatrial.images.timeline.versions import allows, higher, requires
from seatrial.images.wording import listed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.findings import Fix
    from seatrial.images.story.model import Install, Request
    from seatrial.images.timeline.model import Moment, Package, Timeline

SWAPPED = Rule(
    id="image/torch-swapped",
    severity="warning",
    title="A later install exchanges the torch that an earlier one chose",
    explanation=(
        "pip and uv look only at what the command at hand asks for. If a package of a later command needs another torch, "
        "they take away the one that an earlier command chose, its CUDA build included, and say so in the middle of a "
        "long log. What was compiled against the earlier torch (flash-attn, apex, torch-scatter …) then fails with "
        "`undefined symbol`. A warning: the build goes on, and the image holds another torch than its Dockerfile says. "
        "The fix chooses a release that goes with the torch that is there, or the torch that the release needs, or "
        "installs what compiles after what exchanges torch."
    ),
    source="https://pip.pypa.io/en/stable/user_guide/#watch-out-for",
    example="RUN pip install torch==2.0.1\nRUN pip install vllm==0.8.5\n",
)

ORDER = Rule(
    id="image/install-order",
    severity="warning",
    title="torchvision or torchaudio is installed before torch and apart from it",
    explanation=(
        "A companion that is installed first and without a version is the newest one, made for the newest torch. A later "
        "command that pins torch exchanges torch alone: the companion stays, and importing it fails with `operator "
        "torchvision::nms does not exist` or an undefined symbol. The fix asks for them in one command, so that the "
        "installer chooses versions that belong together."
    ),
    source="https://pytorch.org/get-started/previous-versions/",
    example=(
        "RUN pip install torchvision torchaudio\n"
        "RUN pip install torch==2.5.1 --index-url https://download.pytorch.org/whl/cu121\n"
    ),
)

RULES = (SWAPPED, ORDER)

_BUILT = FAMILY | {"xformers"}


class Swap(msgspec.Struct, frozen=True):
    """A package `by` of `moment` that exchanges `old` torch; it needs `needed`. `by` is torch where that is asked for."""

    moment: Moment
    old: Package
    by: Package
    needed: str
    certain: bool


def check(timeline: Timeline) -> list[Verdict]:
    """Exchanges of a torch that the files chose; those of a base image's are another rule's."""
    found = []
    for moment in timeline.moments:
        early = _before_torch(timeline, moment)
        found += [_ordered(timeline, moment, early)] if early else []
        compiled = _compiled(timeline, moment)
        if compiled and _first_torch(timeline, moment):
            found.append(_too_early(moment, compiled))
        for swap in swaps(timeline, moment):
            found += [_rebuilt(timeline, swap, compiled)] if compiled else []
            if (
                not swap.old.base
                and swap.by.name != "torch"
                and _chosen(swap)
                and not _restored(timeline, swap)
            ):
                found.append(_swapped(timeline, swap))
    return found


def swaps(timeline: Timeline, moment: Moment) -> Iterator[Swap]:
    """What exchanges torch in one install: certain from what the replay follows, likely from the newest releases."""
    old, new = moment.before.get("torch"), moment.after.get("torch")
    if old is None or not old.versions or moment.install.tool == "conda" or "no-deps" in moment.install.flags:
        return
    python = timeline.python.version
    if new is not None and new.install is moment.install:
        if _differs(old, new):
            by = moment.after.get(new.via, new) if new.via else new
            needed = requires(by.name, by.likely, python).get("torch", "") if new.via else new.specifier
            certain = moment.install.certain and bool(by.exact)
            yield Swap(moment, old, by, needed, certain=certain)
        return
    for package in moment.after.values():
        if (
            package.install is not moment.install
            or package.request is None
            or package.exact
            or not package.likely
        ):
            continue
        needed = requires(package.name, package.likely, python).get("torch", "")
        if (
            needed
            and not any(allows(needed, one) for one in old.versions)
            and not torch_fixes.may_have(timeline, package.name)
        ):
            yield Swap(moment, old, package, needed, certain=False)
            return


def _differs(old: Package, new: Package) -> bool:
    """Whether it is another release, or another build of the same one."""
    if old.variant and new.variant and old.variant != new.variant:
        return True
    if old.exact and old.exact.partition("+")[0] == new.exact.partition("+")[0]:
        return False
    return not set(old.versions) & set(new.versions)


def _chosen(swap: Swap) -> bool:
    """Whether the files say which torch they want: a version, or the index of a build."""
    old = swap.old
    if not old.certain or old.request is None or old.install is None:
        return False
    if swap.by.name in _BUILT and _indexed(old) and _indexed(swap.by):
        # Two indexes of PyTorch: what follows from that is another rule's.
        return False
    return bool(old.specifier) or _indexed(old)


def _indexed(package: Package) -> bool:
    """Whether it is PyTorch's index of one build that is asked for it."""
    return package.install is not None and bool(of_index(index_of(package.request, package.install)))


def _compiled(timeline: Timeline, moment: Moment) -> list[Package]:
    """Packages that earlier installs compiled against the torch that was there, and that stay.

    A wheel that is named, or found on a page of links, was made for a torch that its author chose.
    """
    names = mixing().compiled.packages
    return [
        package
        for name, package in moment.before.items()
        if name in names
        and moment.after.get(name) is package
        and timeline.final.get(name) is package
        and _built_here(package)
    ]


def _built_here(package: Package) -> bool:
    install, request = package.install, package.request
    named = request is None or install is None or bool(install.find_links) or request.url.endswith(".whl")
    return package.certain and not named


def _restored(timeline: Timeline, swap: Swap) -> bool:
    """Whether a later install brings back what was there."""
    last = timeline.final.get("torch")
    return (
        last is not None
        and (last.versions, last.variant) == (swap.old.versions, swap.old.variant)
        and last is not swap.old
    )


def _first_torch(timeline: Timeline, moment: Moment) -> bool:
    """Whether an install brings torch after a base whose torch, if it has one, is not known."""
    new = moment.after.get("torch")
    if "torch" in moment.before or new is None or new.install is not moment.install:
        return False
    base = timeline.base
    return base is None or "torch" in base.present


def _before_torch(timeline: Timeline, moment: Moment) -> list[Package]:
    """Companions of open versions that were there before a pinned torch, whose newest release is for a newer torch."""
    new = moment.after.get("torch")
    if new is None or new.install is not moment.install or new.request is None or not new.versions:
        return []
    found = []
    for name in facts.COMPANIONS:
        package = moment.before.get(name)
        if package is None or package.exact or package.request is None or not package.certain:
            continue
        stays = moment.after.get(name) is package and timeline.final.get(name) is package
        stays = stays and package.install is not None and package.install.tool != "conda"
        if (
            stays
            and package.likely
            and not any(torch_fixes.goes(name, package.likely, one) for one in new.versions)
        ):
            found.append(package)
    return found


def _ordered(timeline: Timeline, moment: Moment, early: list[Package]) -> Verdict:
    new = moment.after["torch"]
    asked = [package.request for package in early if package.request is not None]
    names = listed([package.name for package in early])
    many = len(early) > 1
    words = (
        f"{names} {'are' if many else 'is'} installed before {shown(new)} and apart from it: "
        f"{early[0].name} {early[0].likely} comes, which goes with torch{facts.torch_of(early[0].name, early[0].likely)}"
    )
    return verdict(
        ORDER,
        "warning",
        asked[0].at,
        words,
        about=("torch", *(package.name for package in early)),
        cause="the later command exchanges torch alone, and importing what stays fails with an undefined symbol",
        source=facts.torch_of_source(early[0].name, early[0].likely),
        fixes=[_merged(timeline, new, asked), _pinned(timeline, early, new)],
    )


def _too_early(moment: Moment, compiled: list[Package]) -> Verdict:
    """The base has torch, or what is compiled could not be installed; and now another one comes."""
    new, first = moment.after["torch"], compiled[0]
    names = listed([package.name for package in compiled])
    brings = f"{new.via} brings {_named(new)}" if new.via else f"{_named(new)} is installed"
    return verdict(
        SWAPPED,
        "warning",
        first.request.at if first.request is not None else moment.install.at,
        f"{names} {'is' if len(compiled) == 1 else 'are'} compiled against the torch of the base image before {brings}",
        about=("torch", *(package.name for package in compiled)),
        cause=f"importing {names} fails with `undefined symbol`, because torch's C++ interface differs",
        source=mixing().compiled.source,
        fixes=[_reordered(first.install, moment.install)],
    )


def _merged(timeline: Timeline, torch: Package, asked: list[Request]) -> Fix | None:
    """The companions move into the command of torch; their own command goes when nothing is left in it."""
    if torch.request is None:
        return None
    names = listed([one.name for one in asked])
    edits = torch_fixes.together(timeline, torch.request, asked)
    return edit.fix(f"Install {names} together with torch", edits)


def _pinned(timeline: Timeline, early: list[Package], torch: Package) -> Fix | None:
    edits = []
    words = []
    for package in early:
        version = torch_fixes.companion_for(torch.likely, package.name, timeline.python.version)
        if not version:
            return None
        edits += torch_fixes.pins(timeline, package.name, version)
        words.append(f"{package.name} to {version}")
    return edit.fix(f"Pin {listed(words)}", edits)


def _swapped(timeline: Timeline, swap: Swap) -> Verdict:
    old, by = swap.old, swap.by
    today = "" if by.exact else ", its newest release,"
    now = f"{by.name} {by.likely}{today}"
    if all(allows(swap.needed, one) for one in old.versions):
        new = swap.moment.after["torch"]
        words = f"{now} exchanges {_named(old)} by {_named(new)}"
    else:
        words = f"{now} needs torch{_short(swap.needed)} and exchanges the {_named(old)} that was installed before"
    return verdict(
        SWAPPED,
        "warning",
        by.request.at if by.request is not None else swap.moment.install.at,
        words,
        about=("torch", by.name),
        cause="the installer uninstalls the earlier torch, and with it the CUDA build that was chosen",
        source=f"https://pypi.org/project/{by.name}/{by.likely}/",
        fixes=_fixes(timeline, swap),
    )


def _short(needed: str) -> str:
    return needed if needed[:1] in "<>=~!" else f" {needed}"


def _named(package: Package) -> str:
    return shown(package) if package.exact or not package.variant else f"torch ({package.variant})"


def _fixes(timeline: Timeline, swap: Swap) -> list[Fix | None]:
    """What comes later goes with torch; or torch with what comes later; or both are asked for at once."""
    by, old = swap.by, swap.old
    found: list[Fix | None] = []
    fitting = release_for(timeline, swap)
    if fitting and by.request is not None:
        found.append(edit.fix(f"Pin {by.name} to {fitting}", torch_fixes.pins(timeline, by.name, fitting)))
    wanted = _torch_for(timeline, swap)
    if wanted and old.request is not None:
        found.append(torch_fixes.repinned(timeline, swap.moment.before, wanted))
    if by.name in FAMILY and by.request is not None and old.request is not None:
        found.append(
            edit.fix(
                f"Install {by.name} together with torch",
                torch_fixes.together(timeline, old.request, [by.request]),
            )
        )
    label = old.variant if old.install is not None and of_index(index_of(old.request, old.install)) else ""
    if label:
        found.append(
            edit.fix(
                f"Ask PyTorch's index of {label} in the later command as well",
                [torch_fixes.with_index(swap.moment.install, None, label)],
            )
        )
    return found


def release_for(timeline: Timeline, swap: Swap) -> str:
    """The newest release of the later package that says it goes with the torch that is there; empty when there is none.

    An older one that allows any torch was not made for this one.
    """
    name, python = swap.by.name, timeline.python.version
    for one in facts.releases(name):
        usable = one.yanked is None and not parsed(one.version).is_prerelease and facts.installs(one, python)
        needed = requires(name, one.version, python).get("torch", "") if usable else ""
        if needed and all(allows(needed, version) for version in swap.old.versions):
            said = "==" in needed or "<" in needed or higher(one.version, swap.by.likely)
            return one.version if said else ""
    return ""


def _torch_for(timeline: Timeline, swap: Swap) -> str:
    """The newest torch that the later package accepts."""
    if not swap.needed:
        return ""
    found = facts.newest("torch", swap.needed, timeline.python.version)
    return found.version if found is not None else ""


def _rebuilt(timeline: Timeline, swap: Swap, compiled: list[Package]) -> Verdict:
    names = listed([package.name for package in compiled])
    by = swap.by if swap.by.name != "torch" else swap.moment.after["torch"]
    first = compiled[0]
    new = swap.moment.after.get("torch", swap.by)
    comes = _named(new) if new.install is swap.moment.install else f"torch{_short(swap.needed)}"
    what = f"{by.name} brings {comes}" if by.name != "torch" else f"{comes} is installed"
    words = (
        f"{names} {'is' if len(compiled) == 1 else 'are'} compiled against {_named(swap.old)} before {what}"
    )
    return verdict(
        SWAPPED,
        "warning",
        first.request.at if first.request is not None else swap.moment.install.at,
        words,
        about=("torch", by.name, *(package.name for package in compiled)),
        cause=f"importing {names} fails with `undefined symbol`, because torch's C++ interface differs",
        source=mixing().compiled.source,
        fixes=[_reordered(first.install, swap.moment.install), *_fixes(timeline, swap)[:2]],
    )


def _reordered(first: Install | None, later: Install) -> Fix | None:
    """Two commands change places, where each is a text of its own in one file."""
    if (
        first is None
        or not first.at.text
        or not later.at.text
        or first.at.source.path != later.at.source.path
    ):
        return None
    if first.at.end > later.at.start or first.environment != later.environment:
        return None
    return edit.fix(
        "Install what compiles after what brings torch",
        [edit.replace(first.at, later.at.text), edit.replace(later.at, first.at.text)],
    )
