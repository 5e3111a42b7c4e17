"""image/numpy-abi: wheels compiled against NumPy 1 beside NumPy 2, which no resolver sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from seatrial.findings import Rule
from seatrial.images import edit, facts
from seatrial.images.rules.verdict import place, requests, verdict
from seatrial.images.timeline.markers import holds
from seatrial.images.timeline.replay import replay
from seatrial.images.versions import pinned, reaches, stays_below
from seatrial.images.wording import listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from packaging.specifiers import SpecifierSet

    from seatrial.findings import Edit, Fix, Severity
    from seatrial.images.facts import Compiled
    from seatrial.images.rules.verdict import Verdict
    from seatrial.images.story.model import Request
    from seatrial.images.timeline.model import Package, Timeline

    Scene = Mapping[str, Package]

RULE = Rule(
    id="image/numpy-abi",
    severity="error",
    title="A wheel compiled against NumPy 1 meets NumPy 2",
    explanation=(
        "NumPy 2 changed its binary interface. A package compiled against NumPy 1 cannot use it, but its metadata "
        "often does not say so: a resolver puts both together and the failure comes when the image runs. "
        "An error when both versions are asked for, a warning when numpy is left open so that a resolver will choose 2. "
        "The fix keeps numpy below 2; raising the package to its first version for NumPy 2 works as well."
    ),
    source="https://numpy.org/doc/stable/dev/depending_on_numpy.html#numpy-2-0-specific-advice",
    example="onnxruntime==1.17.3\nnumpy==2.0.2\n",
)
RULES = (RULE,)

# CPython versions that a project which names none is likely to run on, and that NumPy 2 has wheels for.
_LIKELY_PYTHONS = ("3.10", "3.11", "3.12", "3.13")
_OLDEST_WITH_NUMPY_2 = (3, 9)


class _Found(msgspec.Struct, frozen=True):
    """What happens to a package on one Python, and what it meets there."""

    severity: Severity
    package: Package
    numpy: Package | None


def check(timeline: Timeline) -> list[Verdict]:
    """A verdict for each package compiled against NumPy 1 that will meet NumPy 2."""
    present = {name for moment in timeline.moments for name in moment.after}
    known = [one for one in facts.numpy_abi().packages if one.name in present]
    if not known:
        return []
    scenes = {python: list(_scenes(timeline, python)) for python in _pythons(timeline)}
    found = (_check(timeline, one, scenes) for one in known)
    return [one for one in found if one is not None]


def _pythons(timeline: Timeline) -> tuple[str, ...]:
    """The Python there is; where nothing says it, those that are likely, unless a resolver has decided for one."""
    known = timeline.python.version
    resolved = any(one.via == "resolved" for one in timeline.final.values())
    return (known,) if known or resolved else _LIKELY_PYTHONS


def _scenes(timeline: Timeline, python: str) -> Iterator[Scene]:
    if python != timeline.python.version:
        moments, final = replay(
            timeline.moments[0].before,
            timeline.steps,
            timeline.environment,
            python,
            architecture=timeline.target.architecture,
        )
        timeline = msgspec.structs.replace(timeline, moments=moments, final=final)
    yield from timeline.scenes()


def _check(timeline: Timeline, compiled: Compiled, scenes: Mapping[str, list[Scene]]) -> Verdict | None:
    found: dict[str, _Found] = {}
    for python, own in scenes.items():
        said = [one for scene in own if (one := _judge(timeline, compiled, scene, python)) is not None]
        if said:
            found[python] = min(said, key=lambda one: one.severity)
    if not found:
        return None
    certain = len(found) == len(scenes) and all(one.severity == "error" for one in found.values())
    where = "" if len(found) == len(scenes) else f" on Python {listed(list(found))}"
    python, first = next(iter(found.items()))
    numpy = first.numpy if first.numpy is not None and first.numpy.request is not None else None
    fixes = [_cap(timeline, first, python), _raise(timeline, compiled)]
    return verdict(
        RULE,
        "error" if certain else "warning",
        place(timeline, *(one for one in (first.package, numpy) if one is not None)),
        _message(first, certain=certain) + where,
        about=(compiled.name, "numpy"),
        cause=compiled.how + ("" if any(fixes) else _why_no_fix(timeline, compiled)),
        source=compiled.source,
        fixes=fixes,
    )


def _judge(timeline: Timeline, compiled: Compiled, scene: Scene, python: str) -> _Found | None:
    """What happens in one environment on one Python."""
    package, numpy = scene.get(compiled.name), scene.get("numpy")
    if package is None or _too_old(python) or not _compiled_for_1(compiled, package, numpy):
        return None
    if _together(package, numpy):
        return None
    if numpy is not None and _is_2(numpy):
        certain = package.certain and numpy.certain
        return _Found("error" if certain else "warning", package, numpy)
    if not _open(timeline, package, numpy) or not _likely(timeline, compiled, package, scene):
        return None
    return _Found("warning", package, numpy)


def _compiled_for_1(compiled: Compiled, package: Package, numpy: Package | None) -> bool:
    """Whether every version that it can be was compiled against NumPy 1.

    What a resolver chose is judged up to the first version that works: between the two, metadata forbids NumPy 2, which
    an override can have lifted.
    """
    from packaging.version import InvalidVersion, Version

    resolved = numpy is not None and numpy.via == "resolved" and bool(package.exact)
    below = Version(compiled.fixed if resolved else compiled.below)
    if package.request is not None and package.request.url and not package.versions:
        return False
    if not package.versions:
        return stays_below(_specifiers(package), compiled.below)
    try:
        return all(Version(Version(one).public) < below for one in package.versions)
    except InvalidVersion:
        return False


def _together(package: Package, numpy: Package | None) -> bool:
    """Whether somebody else saw to it that both fit: the base image, or conda, whose packages name their NumPy."""
    if package.base:
        return numpy is None or numpy.base or not _is_2(numpy)
    conda = package.install is not None and package.install.tool == "conda"
    return conda and (numpy is None or (numpy.install is not None and numpy.install.tool == "conda"))


def _is_2(numpy: Package) -> bool:
    if not numpy.versions:
        return reaches(_specifiers(numpy), "2")
    return all(int(one.split(".", maxsplit=1)[0]) > 1 for one in numpy.versions)


def _open(timeline: Timeline, package: Package, numpy: Package | None) -> bool:
    """Whether an installer chooses NumPy, and the newest there is: nothing that is there already may be NumPy 1."""
    base = timeline.root.base
    if (
        base is not None
        and (timeline.base is None or not timeline.base.bare)
        and (numpy is None or not numpy.base)
    ):
        return False
    if any(one.install.unread for one in timeline.moments):
        return False  # what could not be read may ask for it
    limits = package.install.constraints if package.install is not None else ()
    if any(stays_below(one.specifiers, "2") for one in limits if one.name == "numpy"):
        return False
    if numpy is None:
        return True
    if not numpy.versions:
        return numpy.certain and numpy.request is not None and not numpy.request.url and not numpy.specifier
    return int(numpy.likely.split(".", maxsplit=1)[0]) > 1


def _likely(timeline: Timeline, compiled: Compiled, package: Package, scene: Scene) -> bool:
    """Whether a resolver will choose NumPy 2 although nothing asks for it."""
    if compiled.pinned_only or _metadata_caps(scene):
        return False
    if not timeline.python.version and stays_below(_specifiers(package), _oldest_measured(compiled)):
        # So old that the project may well run on a Python that NumPy 2 does not support.
        return False
    brings = facts.numpy_abi().brings_numpy | {"numpy"}
    return compiled.name != "torch" or any(name in brings for name in scene)


def _specifiers(package: Package) -> SpecifierSet:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    text = package.specifier if package.specifier or not package.exact else f"=={package.exact}"
    try:
        return SpecifierSet(text)
    except InvalidSpecifier:
        return SpecifierSet()


def _too_old(python: str) -> bool:
    """Whether NumPy 2 has nothing for this Python, so that a resolver takes NumPy 1 anyway."""
    return bool(python) and _minor(python) < _OLDEST_WITH_NUMPY_2


def _minor(python: str) -> tuple[int, ...]:
    return tuple(int(part) for part in python.split(".")[:2])


def _oldest_measured(compiled: Compiled) -> str:
    from packaging.version import Version

    failed = compiled.failed
    if compiled.same_as:
        failed = next(one.failed for one in facts.numpy_abi().packages if one.name == compiled.same_as)
    return str(min(map(Version, failed)))


def _metadata_caps(scene: Scene) -> bool:
    """Whether something that is there says numpy<2 itself."""
    for capped in facts.numpy_abi().capped:
        one = scene.get(capped.name)
        if one is not None:
            versions = _specifiers(one)
            if stays_below(versions, capped.end) and not stays_below(versions, capped.first):
                return True
    return False


def _message(found: _Found, *, certain: bool) -> str:
    package, numpy = found.package, found.numpy
    version = package.exact or (package.likely if package.open else "")
    shown = f"{package.name} {version}" if version else f"{package.name}{package.specifier}"
    beside = "the NumPy 2 that a resolver will choose"
    if numpy is not None and (numpy.exact or certain):
        beside = f"numpy {numpy.exact}" if numpy.exact else f"numpy{numpy.specifier}"
    return f"{shown} was compiled against NumPy 1 and does not work with {beside}"


def _cap(timeline: Timeline, found: _Found, python: str) -> Fix | None:
    """Keep numpy below 2. Where nothing asks for numpy, it is added beside the package.

    None where no text edit does it: NumPy 1 has no wheels for that Python, or the file has hashes.
    """
    known = facts.numpy_abi()
    if timeline.python.version and _minor(timeline.python.version) > _minor(known.numpy_1_python):
        return None
    asked = [one for one in requests(timeline, "numpy") if not one.url]
    asked = [one for one in asked if not one.marker or holds(one.marker, python)]
    chosen = [one for one in asked if reaches(one.specifiers, "2")] or asked[:1]
    if not chosen:
        beside = found.package.request
        made = edit.add(beside, "numpy<2") if beside is not None else None
        return edit.fix("Ask for numpy below 2", [made], safe=True)
    exact = all(pinned(one.specifiers) for one in chosen)
    title = f"Pin numpy to {known.numpy_1}" if exact else "Keep numpy below 2"
    return edit.fix(title, [edit.cap(one, "2", known.numpy_1) for one in chosen], safe=True)


def _raise(timeline: Timeline, compiled: Compiled) -> Fix | None:
    """Ask for the first version that works. Never safe: a newer version can behave otherwise."""
    low = [
        one
        for one in requests(timeline, compiled.name)
        if stays_below(one.specifiers, compiled.fixed) and not one.url
    ]
    return edit.fix(
        f"Raise {compiled.name} to {compiled.fixed}", [_raised(one, compiled.fixed) for one in low]
    )


def _raised(one: Request, version: str) -> Edit | None:
    return edit.pin(one, version) if pinned(one.specifiers) else edit.specify(one, f">={version}")


def _why_no_fix(timeline: Timeline, compiled: Compiled) -> str:
    if not any(one.locked for one in (*requests(timeline, compiled.name), *requests(timeline, "numpy"))):
        return ""
    return (
        "; the file is locked, so no line of it can be edited alone: keep numpy below 2 in the file that it was "
        "compiled from, and compile it again"
    )
