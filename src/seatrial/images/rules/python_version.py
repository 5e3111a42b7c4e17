"""image/python-version: what is asked for has nothing that installs on the Python of the image."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from seatrial.findings import Rule
from seatrial.images import catalog, edit, facts
from seatrial.images.facts.moving_python import moving_python
from seatrial.images.facts.published import PYTHONS, runs
from seatrial.images.facts.versions import fits, parsed
from seatrial.images.rules import torch_fixes
from seatrial.images.rules.verdict import Verdict, verdict
from seatrial.images.story.model import Copy, Span
from seatrial.images.timeline.markers import holds
from seatrial.images.timeline.variant import DEFAULT_INDEX, FAMILY, index_of, of_index
from seatrial.images.timeline.versions import built_for, listed_build

if TYPE_CHECKING:
    from seatrial.findings import Edit, Fix, Severity
    from seatrial.images.facts import Release
    from seatrial.images.story.model import Install, Request
    from seatrial.images.timeline.model import Moment, Timeline

RULE = Rule(
    id="image/python-version",
    severity="error",
    title="A package has nothing that installs on the Python of the image",
    explanation=(
        "torch, torchvision, TensorFlow and others publish wheels for a few versions of Python each, and no source that "
        "pip could build. On another Python pip says `No matching distribution found`, whether the Python is too new for "
        "an old pin or too old for a new release. Images named `python:3` or `python:latest` move to the next Python "
        "by themselves, past what a pin has wheels for. An error when the Python of the image is certain; a warning when "
        "the install may not run or may ask another index. A package that has a source archive for that Python is not "
        "reported. The fix changes the Python of the base, or raises the pin to the first release with a wheel."
    ),
    source="https://packaging.python.org/en/latest/specifications/platform-compatibility-tags/",
    example="FROM python:3.12-slim\nRUN pip install torch==2.1.1\n",
)

RULES = (RULE,)


class _Python(msgspec.Struct, frozen=True):
    """The Python of the image: `version`, or at least that where the tag moves. `at` decides it, `shown` names it."""

    version: str
    shown: str
    moves: bool = False
    at: Span | None = None
    verified: bool = True


def check(timeline: Timeline) -> list[Verdict]:
    """Requests that no release can answer on this Python."""
    python = _python(timeline)
    if python is None:
        return []
    found: dict[tuple[str, int], Verdict] = {}
    for moment in timeline.moments:
        if moment.install.tool == "conda" or _own_python(timeline, moment.install):
            continue
        missing = [one for one in moment.install.requests if _missing(timeline, moment, one, python)]
        has_torch = any(one.name == "torch" for one in missing)
        for one in missing:
            if not (has_torch and one.name in facts.COMPANIONS):
                found[(one.at.source.path, one.at.start)] = _verdict(timeline, moment, one, python)
    return list(found.values())


def _python(timeline: Timeline) -> _Python | None:
    known = timeline.python
    if known.version:
        unverified = timeline.base is not None and "python" in timeline.base.unverified
        return _Python(
            known.version,
            f"Python {known.version}",
            at=known.at,
            verified=not (unverified and known.at is not None and _is_base(timeline, known.at)),
        )
    base = timeline.root.base
    if base is not None and base.reference:
        found = _moving(base.reference, base.value)
        if found is not None:
            return found
    for step in timeline.steps:
        if isinstance(step, Copy) and step.origin and {"/", "/usr/local", "/usr/local/"} & set(step.sources):
            at = step.at.text.find(step.origin)
            span = Span(step.at.source, step.at.start + at, step.at.start + at + len(step.origin))
            found = _moving(step.origin, span if at >= 0 else None)
            if found is not None:
                return found
            contents = catalog.identify(step.origin)
            if contents is not None and contents.family == "python" and contents.python:
                return _Python(contents.python, f"Python {contents.python} of {step.origin}", at=span)
    return None


def _moving(reference: str, at: Span | None) -> _Python | None:
    contents = catalog.identify(reference)
    if contents is None or contents.family != "python" or contents.moving != "rolling" or contents.python:
        return None
    lowest = moving_python().lowest(contents.tag)
    return (
        _Python(lowest, f"the Python of {reference}, by now {lowest} or newer", moves=True, at=at)
        if lowest
        else None
    )


def _is_base(timeline: Timeline, at: Span) -> bool:
    base = timeline.root.base
    return base is not None and at in (base.value, base.at)


def _own_python(timeline: Timeline, install: Install) -> bool:
    """Whether the installer chooses a Python by itself: uv does in projects, and downloads it."""
    return (
        install.tool == "uv"
        and "system" not in install.flags
        and timeline.python.at is not None
        and (_is_base(timeline, timeline.python.at))
    )


def _missing(timeline: Timeline, moment: Moment, one: Request, python: _Python) -> bool:
    """Whether there are releases that fit a request, but none for this Python."""
    if not one.name or one.url or (one.marker and not holds(one.marker, python.version)):
        return False
    package = moment.after.get(one.name)
    if package is None or package.install is not moment.install or moment.install.find_links:
        return False
    fitting = _fitting(one, moment.install)
    return bool(fitting) and not any(_goes(release, python, timeline) for release in fitting)


def _fitting(one: Request, install: Install) -> list[Release]:
    label = torch_fixes.written_label(one) or of_index(index_of(one, install))
    specifier = (
        one.specifier.replace(f"+{torch_fixes.written_label(one)}", "")
        if "+" in one.specifier
        else one.specifier
    )
    if "+" in specifier or "===" in specifier:
        return []
    return [
        release
        for release in facts.releases(one.name)
        if (not specifier or fits(release.version, specifier))
        and (one.name not in FAMILY or not label or listed_build(built_for(one.name, release.version), label))
    ]  # fmt: skip


def _goes(release: Release, python: _Python, timeline: Timeline) -> bool:
    arm = timeline.target.architecture == "aarch64"
    if not python.moves:
        return facts.installs(release, python.version, arm=arm)
    later = [one for one in PYTHONS if _number(one) >= _number(python.version)]
    return any(facts.installs(release, one, arm=arm) for one in later)


def _number(python: str) -> tuple[int, ...]:
    return tuple(int(part) for part in python.split(".")[:2])


def _verdict(timeline: Timeline, moment: Moment, one: Request, python: _Python) -> Verdict:
    fitting = _fitting(one, moment.install)
    best = fitting[0]
    return verdict(
        RULE,
        _severity(moment.install, one, fitting, python),
        one.at,
        f"{_words(one, fitting)}, but the image has {python.shown}",
        about=(one.name,),
        cause=f"pip ends with `No matching distribution found for {one.name}{one.specifier}`",
        source=f"https://pypi.org/project/{one.name}/{best.version}/#files",
        fixes=_fixes(timeline, one, fitting, python),
    )


def _severity(install: Install, one: Request, fitting: list[Release], python: _Python) -> Severity:
    if not python.verified:
        return "note"
    indexes = [index_of(one, install), *install.extra_indexes]
    foreign = [index for index in indexes if index and not DEFAULT_INDEX.match(index) and not of_index(index)]
    if not install.certain or foreign:
        return "warning"
    if one.name in facts.COMPANIONS and any(of_index(index) for index in indexes):
        # PyTorch's own indexes had companions for a new Python a little before the default index had.
        near = [version for release in fitting for version in facts.pythons(one.name, release.version) or ()]
        if any(abs(_number(version)[1] - _number(python.version)[1]) <= 1 for version in near):
            return "warning"
    return "error"


def _words(one: Request, fitting: list[Release]) -> str:
    """`torch 2.1.1 has wheels for Python 3.8 to 3.11`."""
    best = fitting[0]
    supported = facts.pythons(one.name, best.version) or ()
    if len(fitting) == 1:
        shown = f"{one.name} {best.version} has"
    elif one.specifier:
        shown = f"{one.name}{one.specifier} ends with {best.version}, which has"
    else:
        shown = f"the newest {one.name} there is {best.version}, which has"
    if not supported:
        return f"{shown} no wheel for Linux" + (f" and needs Python {best.python}" if best.python else "")
    lowest, highest = supported[0], supported[-1]
    span = f"Python {lowest}" if lowest == highest else f"Python {lowest} to {highest}"
    return f"{shown} wheels for {span}"


def _fixes(timeline: Timeline, one: Request, fitting: list[Release], python: _Python) -> list[Fix | None]:
    supported = [
        version
        for release in fitting
        for version in facts.pythons(one.name, release.version) or ()
    ]  # fmt: skip
    based = _rebased(timeline, python, sorted(set(supported), key=_number))
    raised = None if python.moves else _raised(timeline, one, fitting, python)
    lowered = None if python.moves else _lowered(one, fitting, python)
    return [based, raised, lowered]


def _rebased(timeline: Timeline, python: _Python, supported: list[str]) -> Fix | None:
    """The nearest Python that is supported, where the text that decides says a version."""
    if python.at is None or not supported:
        return None
    below = [one for one in supported if _number(one) < _number(python.version)]
    wanted = below[-1] if below else supported[0]
    return edit.fix(f"Use Python {wanted}", _python_edits(timeline, python, wanted))


def _python_edits(timeline: Timeline, python: _Python, wanted: str) -> list[Edit | None]:
    at, base = python.at, timeline.root.base
    if at is None:
        return []
    if base is not None and _is_base(timeline, at):
        contents = catalog.identify(base.reference)
        if contents is None or contents.family != "python":
            return []
        return edit.rebase(base, _retagged(base.reference, wanted))
    if python.moves or at.text.startswith("python:"):
        return [edit.replace(at, _retagged(at.text, wanted))]
    found = list(re.finditer(rf"(?<![\d.]){re.escape(python.version)}(?:\.\d+)?(?![\d.])", at.text))
    if len(found) != 1 or "apt" in timeline.python.why:
        return []
    start = at.start + found[0].start()
    return [edit.replace(Span(at.source, start, at.start + found[0].end()), wanted)]


def _retagged(reference: str, wanted: str) -> str:
    """`python:3.12-slim`, `python:latest` and `python` with another version."""
    name, colon, tag = reference.partition("@")[0].rpartition(":")
    if not colon or "/" in tag:
        return f"{reference}:{wanted}"
    words = tag.split("-")
    if re.fullmatch(r"\d+(?:\.\d+)*", words[0]) or words[0] == "latest":
        words = words[1:]
    return f"{name}:{'-'.join([wanted, *words])}"


def _raised(timeline: Timeline, one: Request, fitting: list[Release], python: _Python) -> Fix | None:
    """The first release after those asked for that has a wheel."""
    top = fitting[0].version
    later = [
        release.version
        for release in facts.releases(one.name)
        if release.yanked is None
        and not parsed(release.version).is_prerelease
        and parsed(release.version) > parsed(top)
        and facts.installs(release, python.version)
    ]
    if not later:
        return None
    if one.name == "torch" and timeline.moments:
        return torch_fixes.repinned(timeline, timeline.final, later[-1])
    return edit.fix(f"Pin {one.name} to {later[-1]}", [edit.pin(one, later[-1])])


def _lowered(one: Request, fitting: list[Release], python: _Python) -> Fix | None:
    """The last release before those asked for that has a wheel, where the Python is too old."""
    bottom = fitting[-1].version
    for release in facts.releases(one.name):
        earlier = parsed(release.version) < parsed(bottom)
        usable = release.yanked is None and not parsed(release.version).is_prerelease
        if (
            earlier
            and usable
            and runs(release.linux, python.version)
            and facts.installs(release, python.version)
        ):
            return edit.fix(f"Pin {one.name} to {release.version}", [edit.pin(one, release.version)])
    return None
