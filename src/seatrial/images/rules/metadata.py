"""image/unsatisfiable without a resolver: two requests of one install that exclude each other by their own metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.images import edit, facts
from seatrial.images.rules.fitting import USUAL
from seatrial.images.rules.resolved import UNSATISFIABLE
from seatrial.images.rules.verdict import Verdict, verdict, weighed
from seatrial.images.timeline.variant import FAMILY
from seatrial.images.timeline.versions import allows, nearest, possible, requires

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from seatrial.findings import Fix, Rule
    from seatrial.images.timeline.model import Moment, Package, Timeline

RULES: tuple[Rule, ...] = ()
"""The rule is the resolver's: it says the same, with more that it can see."""


def check(timeline: Timeline) -> list[Verdict]:
    """A verdict for each pair, among the packages there are tables for."""
    return [one for moment in timeline.moments for one in _inside(timeline, moment)]


def _inside(timeline: Timeline, moment: Moment) -> Iterator[Verdict]:
    install = moment.install
    if "no-deps" in install.flags or install.tool not in ("pip", "uv"):
        return
    python = timeline.python.version or USUAL
    asked = {
        name: one
        for name, one in moment.after.items()
        if one.install is install and one.request is not None and one.specifier and not one.request.url
    }
    if all(one.request is not None and one.request.locked for one in asked.values()):
        return
    for one in asked.values():
        if not one.exact or not _is_published(one):
            continue
        for name, needed in requires(one.name, one.exact, python).items():
            other = asked.get(name)
            if (
                other is not None
                and other.versions
                and not any(allows(needed, each) for each in other.versions)
            ):
                yield _verdict(timeline, moment, one, other, needed)


def _is_published(one: Package) -> bool:
    """Whether it is the build whose metadata the tables have: another build of torch needs other libraries of CUDA."""
    if "+" in one.exact:
        return False
    cuda = facts.default_cuda(one.exact) if one.name == "torch" else None
    return one.name not in FAMILY or (cuda is not None and one.variant == f"cu{cuda.replace('.', '')}")


def _verdict(timeline: Timeline, moment: Moment, one: Package, other: Package, needed: str) -> Verdict:
    asked = f"{other.name} {other.exact}" if other.exact else f"{other.name}{other.specifier}"
    at = other.request.at if other.request is not None else moment.install.at
    return verdict(
        UNSATISFIABLE,
        "error" if weighed(moment.install) else "warning",
        at,
        f"{one.name} {one.exact} needs {other.name}{needed}, but {asked} is asked for",
        about=(one.name, other.name),
        cause="pip and uv end with an error before anything is installed: the requirements exclude each other",
        source=f"https://pypi.org/project/{one.name}/{one.exact.partition('+')[0]}/",
        fixes=_fixes(timeline, one, other, needed),
    )


def _fixes(timeline: Timeline, one: Package, other: Package, needed: str) -> Iterable[Fix | None]:
    """The other package as it is needed, then a release of the one that goes with the other, then neither."""
    python = timeline.python.version
    if other.request is not None:
        fitting = [each for each in possible(other.name, needed, python) if facts.release(other.name, each)]
        for version in nearest(fitting, other.likely):
            yield edit.fix(f"Pin {other.name} to {version}", [edit.pin(other.request, version)])
    if one.request is not None:
        going = [
            each
            for each in possible(one.name, "", python)
            if allows(requires(one.name, each, python or USUAL).get(other.name, ""), other.likely)
        ]
        for version in nearest(going, one.exact):
            yield edit.fix(f"Pin {one.name} to {version}", [edit.pin(one.request, version)])
