"""image/setuptools-removed: packages that import what newer releases of setuptools do not have any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.findings import Rule
from seatrial.images import facts
from seatrial.images.facts import builds
from seatrial.images.rules.pairs import judged
from seatrial.images.story.model import Command, Install
from seatrial.images.timeline.versions import higher

if TYPE_CHECKING:
    from collections.abc import Mapping

    from seatrial.images.rules.verdict import Verdict
    from seatrial.images.timeline.model import Package, Timeline

RULE = Rule(
    id="image/setuptools-removed",
    severity="error",
    title="A package imports what this setuptools does not have",
    explanation=(
        "setuptools 70 took `pkg_resources.packaging` away for a while, and setuptools 82 all of `pkg_resources`. Packages "
        "that import it fail with a newer setuptools, which is what `pip install -U setuptools`, or a package that asks for "
        "any setuptools, brings. An error where all versions are stated, a warning where setuptools is open, or where it "
        "only matters for a part of the package. Old torch needs it to build C++ and CUDA extensions: that is said only "
        "where something is built. The fix keeps setuptools below that release, or raises the package."
    ),
    source="https://setuptools.pypa.io/en/stable/history.html",
    example="setuptools==82.0.0\nlibrosa==0.9.2\n",
)
RULES = (RULE,)


def check(timeline: Timeline) -> list[Verdict]:
    """Every package in the table that meets a setuptools without what it needs."""
    found = (one for scene in timeline.scenes() for one in _scene(timeline, scene))
    return list(found)


def _scene(timeline: Timeline, scene: Mapping[str, Package]) -> list[Verdict]:
    setuptools = scene.get("setuptools")
    if setuptools is None or not setuptools.versions or _may_be_older(timeline, setuptools):
        return []
    found = []
    for row in facts.pairs(RULE.id.partition("/")[2]):
        subject = scene.get(row.package)
        if subject is None or not subject.versions or (row.package == "torch" and not _compiles(timeline)):
            continue
        made = judged(timeline, scene, RULE, subject, setuptools, [row])
        if made is not None:
            found.append(made)
    return found


def _may_be_older(timeline: Timeline, setuptools: Package) -> bool:
    """Whether nobody asks for it by name, and the image may have one of its own: Python brought one up to 3.11.

    Source: https://docs.python.org/3/whatsnew/3.12.html#ensurepip
    """
    if setuptools.request is not None or setuptools.base or setuptools.via == "resolved":
        return False
    base = timeline.base
    own = base is not None and base.bare and base.interpreter == "image"
    return not own or not higher(timeline.python.version or "0", "3.11")


def _compiles(timeline: Timeline) -> bool:
    """Whether an extension of torch is built with the setuptools of this environment."""
    for step in timeline.steps:
        if isinstance(step, Command) and any(one.endswith("setup.py") for one in step.words):
            return True
        if isinstance(step, Install) and "no-build-isolation" in step.flags:
            built = (builds.source_build(one.name, "", one.url) for one in step.requests)
            if any(one is not None for one in built):
                return True
    return False
