"""image/base-torch-replaced and image/ngc-constraint: requirements against the torch that the base image brings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.findings import Rule
from seatrial.images import edit, facts
from seatrial.images.rules import torch_fixes
from seatrial.images.rules.torch_over_time import Swap, release_for, swaps
from seatrial.images.rules.verdict import Verdict, requests, shown, verdict
from seatrial.images.story.model import Command, Setting
from seatrial.images.timeline.versions import allows, pin, requires
from seatrial.images.wording import listed

if TYPE_CHECKING:
    from seatrial.findings import Fix
    from seatrial.images.story.model import Base, Request
    from seatrial.images.timeline.model import Moment, Package, Timeline

REPLACED = Rule(
    id="image/base-torch-replaced",
    severity="warning",
    title="The torch of the base image is replaced by another one",
    explanation=(
        "Images of pytorch/pytorch, NGC, AWS and serving engines bring a torch that everything else in them was built "
        "for. A requirement that it does not satisfy makes pip take it away and install the one of the package index: "
        "some gigabytes more, and what the base built against its torch (torchvision, apex, transformer-engine, "
        "flash-attn) no longer loads. NGC's torch is a pre-release with a label of its own, such as `2.7.0a0+7c8ec84dab`: "
        "it never satisfies `==2.7.0` or `>=2.7`. A warning, as such an image builds and may even run. The fix keeps the "
        "torch of the base by not asking for one, or starts from an image that has the torch that is asked for."
    ),
    source="https://docs.nvidia.com/deeplearning/frameworks/pytorch-release-notes/index.html",
    example="FROM nvcr.io/nvidia/pytorch:24.05-py3\nRUN pip install torch==2.4.0\n",
)

CONSTRAINT = Rule(
    id="image/ngc-constraint",
    severity="warning",
    title="NVIDIA's image pins what may be installed",
    explanation=(
        "From 25.03 to 25.09, NVIDIA's framework images set PIP_CONSTRAINT to a file with the versions of the packages "
        "inside. pip refuses a requirement for another version of what stands there (`The user requested (constraint) …`), "
        "and replaces what does not stand there by a build that the rest of the image was not made for. A warning: which "
        "packages the file names differs from month to month. uv does not read PIP_CONSTRAINT. The fix does not ask for "
        "what is there, or lets pip forget the file with `ENV PIP_CONSTRAINT=`."
    ),
    source="https://docs.nvidia.com/deeplearning/frameworks/pytorch-release-notes/rel-25-03.html",
    example="FROM nvcr.io/nvidia/pytorch:25.06-py3\nRUN pip install torch==2.8.0\n",
)

RULES = (REPLACED, CONSTRAINT)

_NGC = "nvcr.io/nvidia/pytorch"


def check(timeline: Timeline) -> list[Verdict]:
    """What happens to the torch of the base."""
    if timeline.environment:
        return []
    found = []
    for moment in timeline.moments:
        refused = _refused(timeline, moment)
        found += refused
        if refused:
            continue
        found += [_replaced(timeline, swap) for swap in swaps(timeline, moment) if swap.old.base]
        found += _perhaps_replaced(timeline, moment)
    return found


def _replaced(timeline: Timeline, swap: Swap) -> Verdict:
    old, by = swap.old, swap.by
    new = swap.moment.after["torch"]
    own = "a0" in old.exact or "+" in old.exact
    if by.name == "torch":
        comes = _asked(new)
        words = f"{comes} replaces the torch {old.exact} of the base image"
    elif all(allows(swap.needed, one) for one in old.versions):
        words = f"{by.name} {by.likely} replaces the torch {old.exact} of the base image"
    else:
        today = "" if by.exact else ", its newest release,"
        words = f"{by.name} {by.likely}{today} needs torch{swap.needed} and replaces the torch {old.exact} of the base image"
    cause = "what the base image built against its torch no longer loads, and the image grows by gigabytes"
    if own:
        cause = (
            f"{old.exact} is a pre-release with a label of its own, which no released version equals; {cause}"
        )
    return verdict(
        REPLACED,
        "warning" if timeline.base is not None and "packages" not in timeline.base.unverified else "note",
        by.request.at if by.request is not None else swap.moment.install.at,
        words,
        about=("torch", by.name),
        cause=cause,
        source=timeline.base.sources[0] if timeline.base is not None and timeline.base.sources else "",
        fixes=_fixes(timeline, swap),
    )


def _asked(package: Package) -> str:
    if package.exact:
        return shown(package)
    return f"torch{package.specifier}" if package.specifier else "the newest torch"


def _fixes(timeline: Timeline, swap: Swap) -> list[Fix | None]:
    asked = _family(timeline)
    found: list[Fix | None] = []
    if asked and swap.by.name in {one.name for one in asked}:
        names = listed(list(dict.fromkeys(one.name for one in asked)))
        found.append(
            edit.fix(
                f"Keep the torch of the base image: do not ask for {names}",
                torch_fixes.removed(timeline, asked),
            )
        )
    elif swap.by.request is not None:
        fitting = release_for(timeline, swap)
        if fitting:
            pins = torch_fixes.pins(timeline, swap.by.name, fitting)
            found.append(edit.fix(f"Pin {swap.by.name} to {fitting}", pins))
    new = swap.moment.after.get("torch")
    if new is not None and new.exact and timeline.root.base is not None:
        found.append(_from(timeline.root.base, new.exact.partition("+")[0]))
    if (
        swap.by.name == "torch"
        and swap.by.request is not None
        and swap.old.exact
        and "+" not in swap.old.exact
    ):
        found.append(torch_fixes.repinned(timeline, swap.moment.after, swap.old.exact))
    return found


def _family(timeline: Timeline) -> list[Request]:
    return [one for name in ("torch", *facts.COMPANIONS) for one in requests(timeline, name)]


def _from(base: Base, torch: str) -> Fix | None:
    """The image of pytorch/pytorch that has that torch, with the CUDA of now where it was built for that."""
    match = re.fullmatch(
        r"(?P<name>(?:docker\.io/)?pytorch/pytorch):[\d.]+-cuda(?P<cuda>[\d.]+)-cudnn\d+-(?P<kind>runtime|devel)", base.reference
    )  # fmt: skip
    build = facts.torch_build(torch, match["cuda"]) or facts.torch_build(torch) if match else None
    if match is None or build is None or not build.cudnn:
        return None
    reference = (
        f"{match['name']}:{torch}-cuda{build.cuda}-cudnn{build.cudnn.partition('.')[0]}-{match['kind']}"
    )
    return edit.fix(f"Start from {reference}", edit.rebase(base, reference))


def _perhaps_replaced(timeline: Timeline, moment: Moment) -> list[Verdict]:
    """An image of NVIDIA's by a tag that is not known: whichever it is, no released torch is inside."""
    base = timeline.root.base
    new = moment.after.get("torch")
    if base is None or new is None or new.install is not moment.install or not moment.install.certain:
        return []
    if not _unknown_ngc(timeline, base) or not new.exact or "torch" in moment.before:
        return []
    by = moment.after.get(new.via, new) if new.via else _needs_exactly(moment, new) or new
    if by.request is None:
        return []
    what = f"torch {new.exact}" if by is new else f"{by.name} {by.exact}, which needs torch {new.exact},"
    asked = _family(timeline)
    fix = None
    if any(one.name == by.name for one in asked):
        names = listed(list(dict.fromkeys(one.name for one in asked)))
        fix = edit.fix(
            f"Keep the torch of the base image: do not ask for {names}", torch_fixes.removed(timeline, asked)
        )
    found = verdict(
        REPLACED,
        "warning",
        by.request.at,
        f"{what} replaces the torch of {base.written}, which is a pre-release of NVIDIA's own in every tag",
        about=("torch", by.name),
        cause="a version such as 2.7.0a0+7c8ec84dab equals no released one, so pip takes it away; what the base image "
        "built against its torch no longer loads",
        fixes=[fix],
    )
    return [found]


def _needs_exactly(moment: Moment, torch: Package) -> Package | None:
    """The package that needs the one torch that is left, where the request for torch leaves it open."""
    if pin(torch.specifier):
        return None
    for package in moment.after.values():
        if package.install is moment.install and package.exact and package.request is not None:
            needed = requires(package.name, package.exact).get("torch", "")
            if pin(needed):
                return package
    return None


def _unknown_ngc(timeline: Timeline, base: Base) -> bool:
    if timeline.base is not None and timeline.base.packages.get("torch"):
        return False
    return (base.reference or base.written).startswith(_NGC + ":")


def _refused(timeline: Timeline, moment: Moment) -> list[Verdict]:
    """Requests that NVIDIA's constraint file excludes."""
    base, install = timeline.base, moment.install
    if base is None or not base.constraint_file or install.tool != "pip" or _lifted(timeline, moment):
        return []
    found = []
    for one in install.requests:
        package = moment.after.get(one.name)
        inside = base.packages.get(one.name, "")
        needed = one.specifier or ""
        if package is not None and package.install is install and package.exact:
            needed_torch = requires(one.name, package.exact, timeline.python.version).get("torch", "")
        else:
            needed_torch = ""
        if inside and needed and not allows(needed, inside):
            words = f"{one.name}{needed} does not fit the {one.name} {inside} that the base image pins or would lose"
            found.append(_constrained(timeline, one, words))
        elif needed_torch and base.packages.get("torch") and not allows(needed_torch, base.packages["torch"]):
            inside = base.packages["torch"]
            words = f"{one.name} {package.exact if package else ''} needs torch{needed_torch}, which does not fit the torch {inside} that the base image pins or would lose"
            found.append(_constrained(timeline, one, words))
        elif one.name in base.present and not inside and pin(needed) and one.name in facts.COMPANIONS:
            words = f"{one.name}{needed} does not fit the {one.name} of NVIDIA's own that the base image pins or would lose"
            found.append(_constrained(timeline, one, words))
    return found


def _lifted(timeline: Timeline, moment: Moment) -> bool:
    """Whether the constraint file no longer counts: the variable was set anew, or something wrote to the file."""
    if "PIP_CONSTRAINT" in moment.install.variables:
        return True
    for step in timeline.steps:
        if step is moment.install:
            return False
        if isinstance(step, Setting) and step.name == "PIP_CONSTRAINT":
            return True
        if isinstance(step, Command) and any(
            "/etc/pip" in one or "PIP_CONSTRAINT" in one for one in step.words
        ):
            return True
    return False


def _constrained(timeline: Timeline, one: Request, words: str) -> Verdict:
    base = timeline.base
    file = base.constraint_file if base is not None else ""
    asked = [other for other in _family(timeline) if other.name == one.name] or [one]
    root = timeline.root.base
    unset = edit.line_after(root.at, "ENV PIP_CONSTRAINT=") if root is not None else None
    together = _family(timeline)
    names = listed(list(dict.fromkeys(other.name for other in together))) if together else ""
    fixes = [
        edit.fix(
            f"Keep the {one.name} of the base image: do not ask for it", torch_fixes.removed(timeline, asked)
        ),
        edit.fix(f"Keep the base image's own {names}", torch_fixes.removed(timeline, together))
        if names and names != one.name
        else None,
        edit.fix(f"Do not let pip read {file}", [unset]),
    ]
    return verdict(
        CONSTRAINT,
        "warning",
        one.at,
        words,
        about=("torch", one.name),
        cause=f"PIP_CONSTRAINT is {file} there; pip ends with ResolutionImpossible, or takes the base image's build away",
        fixes=fixes,
    )
