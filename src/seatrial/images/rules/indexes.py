"""image/no-such-version, as far as facts say it: builds and packages that none of the asked indexes has."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.images import edit, facts
from seatrial.images.facts.mixing import mixing
from seatrial.images.rules import torch_fixes
from seatrial.images.rules.resolved import NO_SUCH_VERSION
from seatrial.images.rules.verdict import Verdict, verdict
from seatrial.images.story.model import Command, Copy, Span
from seatrial.images.timeline.variant import DEFAULT_INDEX, FAMILY, index_of, of_index
from seatrial.images.timeline.versions import built_for, has_build
from seatrial.images.wording import listed

if TYPE_CHECKING:
    from seatrial.findings import Fix, Rule, Severity
    from seatrial.images.story.model import Install, Request
    from seatrial.images.timeline.model import Moment, Timeline

RULES: tuple[Rule, ...] = ()
"""The rule itself is the resolver's."""

_LOCAL = re.compile(r"={2,3}\s*([^,;\s]+?)\+([\w.]+)")
_EVERY_BUILD = re.compile(
    r"^https?://download\.pytorch\.org/whl(?:/(?:lts|test|nightly))?/?(?:[\d.]*/?torch\w*\.html)?$"
)
_PYTORCH = re.compile(r"^https?://download\.pytorch\.org/whl(?:/|$)")


def check(timeline: Timeline) -> list[Verdict]:
    """Local versions whose index nobody asks, builds that never were, and packages that PyTorch's index does not have."""
    if _configured(timeline):
        return []
    found = []
    for number, moment in enumerate(timeline.moments):
        if moment.install.tool == "conda":
            continue
        for one in moment.install.requests:
            package = moment.after.get(one.name)
            if one.url or one.locked or package is None or package.install is not moment.install:
                continue  # a lock knows where it has everything from
            made = (
                _local(timeline, moment, one)
                or _unbuilt(timeline, moment, one)
                or _absent(timeline, number, one)
            )
            found += [made] if made is not None else []
    return found


def _configured(timeline: Timeline) -> bool:
    """Whether an index may be set in a way that is not read: a configuration file, `pip config`, the base's variables."""
    for step in timeline.steps:
        if isinstance(step, Copy) and any(
            re.search(r"pip\.conf|uv\.toml|\.netrc", one) for one in step.sources
        ):
            return True
        if isinstance(step, Command) and (
            step.words[1:2] == ("config",) or any("pip.conf" in one for one in step.words)
        ):
            return True
    base = timeline.base
    return base is not None and any(re.match(r"(PIP|UV)_.*(INDEX|LINKS|CONFIG)", name) for name in base.env)


def _indexes(one: Request, install: Install) -> list[str]:
    """Every index that is asked for a request; empty text stands for the default one."""
    found = [index_of(one, install), *install.extra_indexes, *install.find_links]
    return [one for one in found if one or "no-index" not in install.flags]


def _foreign(indexes: list[str]) -> bool:
    """Whether one of them is neither the default index nor PyTorch's: nothing is known about what it has."""
    return any(one and not DEFAULT_INDEX.match(one) and not _PYTORCH.match(one) for one in indexes)


def _severity(timeline: Timeline, install: Install) -> Severity:
    """The base, or a command line that is not known, may bring an index of its own."""
    return "error" if install.certain and timeline.base is not None else "warning"


def _local(timeline: Timeline, moment: Moment, one: Request) -> Verdict | None:
    """A version with a local label, which only PyTorch's indexes have."""
    install, match = moment.install, _LOCAL.search(one.specifier)
    indexes = _indexes(one, install)
    if match is None or _foreign(indexes) or any(flag.startswith("torch-backend") for flag in install.flags):
        return None
    version, label = match[1], match[2]
    if one.name in FAMILY and not has_build(one.name, version, label):
        return _never(timeline, moment, one, version, label)
    if any(_EVERY_BUILD.match(index) or of_index(index) == label for index in indexes if index):
        return None
    if re.search(rf"/whl/(?:nightly/|test/)?{re.escape(label)}\b", one.at.source.text):
        return None  # the file names it, for an extra or a group that decides which one counts
    others = sorted({of_index(index) for index in indexes if of_index(index)})
    where = f"PyTorch's index of {' or '.join(others)}" if others else "the default index"
    words = f"{one.name} {version}+{label} is not on {where}" + (
        "" if others else ", which has no local versions, and no other one is asked"
    )
    fixes: list[Fix | None] = []
    built = label.startswith(("cu", "cpu", "rocm")) and one.name in FAMILY
    known = [other for other in others if has_build(one.name, version, other)]
    if known:
        fixes.append(edit.fix(f"Ask for the build {known[0]}", [edit.pin(one, version, label=known[0])]))
    elif built:
        fixes.append(
            edit.fix(f"Ask PyTorch's index of {label} as well", [torch_fixes.with_index(install, one, label)])
        )
    fixes.append(edit.fix(f"Ask for {one.name} {version} of any build", [edit.pin(one, version, label="")]))
    if known and built:
        fixes.append(
            edit.fix(f"Ask PyTorch's index of {label} instead", [torch_fixes.reindexed(install, label)])
        )
    return _said(timeline, moment, one, words, fixes)


def _never(timeline: Timeline, moment: Moment, one: Request, version: str, label: str) -> Verdict:
    torch = built_for(one.name, version)
    builds = [build.tag for build in facts.torch_builds(torch) or ()]
    words = f"{one.name} {version} was never built for {label}; there are {listed([*builds, 'cpu'])}"
    fixes: list[Fix | None] = [_nearest(timeline, moment, label)]
    near = sorted(builds, key=lambda build: (build[:4] != label[:4], abs(int(build[2:]) - int(label[2:]))))
    for build in near[:1]:
        moved = torch_fixes.reindexed(moment.install, build)
        edits = [
            edit.pin(other, found[1], label=build)
            for other in moment.install.requests
            if (found := _LOCAL.search(other.specifier)) and found[2] == label
        ]
        if moved is not None:
            fixes.insert(0, edit.fix(f"Take the build for {build}", [moved, *edits]))
    return _said(timeline, moment, one, words, fixes)


def _unbuilt(timeline: Timeline, moment: Moment, one: Request) -> Verdict | None:
    """PyTorch's index of a build is the only one, and has none of the versions asked for."""
    install = moment.install
    label = of_index(index_of(one, install))
    if one.name not in FAMILY or not label.startswith("cu") or not one.specifier or "+" in one.specifier:
        return None
    if install.extra_indexes or install.find_links or "pre" in install.flags:
        return None
    fitting = [
        release.version for release in facts.releases(one.name) if facts.fits(release.version, one.specifier)
    ]  # fmt: skip
    if not fitting or any(has_build(one.name, version, label) for version in fitting):
        return None
    wanted = f"{one.name} {fitting[0]}" if len(fitting) == 1 else f"{one.name}{one.specifier}"
    builds = [build.tag for build in facts.torch_builds(built_for(one.name, fitting[0])) or ()]
    words = f"{wanted} was never built for {label}; there are {listed([*builds, 'cpu'])}"
    fixes: list[Fix | None] = []
    for build in sorted(
        builds, key=lambda build: (build[:4] != label[:4], abs(int(build[2:]) - int(label[2:])))
    )[:2]:
        moved = torch_fixes.reindexed(install, build)
        fixes.append(edit.fix(f"Ask PyTorch's index of {build}", [moved]) if moved is not None else None)
    fixes.append(_nearest(timeline, moment, label))
    return _said(timeline, moment, one, words, fixes)


def _nearest(timeline: Timeline, moment: Moment, label: str) -> Fix | None:
    """The newest torch that was built for that CUDA, with its companions."""
    python = timeline.python.version
    for version in facts.torch_releases_with(label):
        release = facts.release("torch", version)
        if release is not None and facts.installs(release, python):
            return torch_fixes.repinned(timeline, moment.after, version)
    return None


def _absent(timeline: Timeline, number: int, one: Request) -> Verdict | None:
    """PyTorch's index is the only one that is asked, and does not have the package at all."""
    moment = timeline.moments[number]
    install = moment.install
    index = index_of(one, install)
    unserved = mixing().unserved
    if not _PYTORCH.match(index) or install.extra_indexes or install.find_links:
        return None
    if one.name not in unserved.packages or one.name in moment.before or one.marker:
        return None
    if timeline.base is not None and one.name in timeline.base.present | timeline.base.packages.keys():
        return None
    sure = number == 0 and timeline.base is not None and timeline.base.bare and install.certain
    words = f"{one.name} is not on PyTorch's index, the only one that this command asks"
    fixes = [_besides(install, index), _apart(moment)]
    return verdict(
        NO_SUCH_VERSION,
        "error" if sure else "warning",
        one.at,
        words,
        about=(one.name,),
        cause=f"`--index-url` replaces the default index: `No matching distribution found for {one.name}`",
        source=unserved.source,
        fixes=fixes,
    )


def _besides(install: Install, index: str) -> Fix | None:
    """`--extra-index-url` keeps the default index."""
    for source, start, end in (
        (install.at.source, install.at.start, install.at.end),
        *((one, 0, len(one.text)) for one in install.files),
    ):
        found = list(
            re.finditer(rf"(?:--index-url|-i)(?=[ =]+[\"']?{re.escape(index)})", source.text[start:end])
        )
        if len(found) == 1:
            at = Span(source, start + found[0].start(), start + found[0].end())
            return edit.fix(
                "Ask PyTorch's index besides the default one", [edit.replace(at, "--extra-index-url")]
            )
    return None


def _apart(moment: Moment) -> Fix | None:
    """What PyTorch's index does not have is installed by a command of its own."""
    install = moment.install
    others = [one for one in install.requests if one.name in mixing().unserved.packages]
    if not others or any(one.style != "shell" for one in others) or len(others) == len(install.requests):
        return None
    if install.options is None or install.tool != "pip":
        return None
    verb = install.at.source.text[install.at.start : install.options.start]
    words = " ".join(install.at.source.text[one.at.start : one.at.end] for one in others)
    at = Span(install.at.source, install.at.end, install.at.end)
    return edit.fix(
        f"Install {listed([one.name for one in others])} from the default index",
        [edit.replace(at, f" && {verb.strip()} {words}"), *(edit.remove(one) for one in others)],
    )


def _said(timeline: Timeline, moment: Moment, one: Request, words: str, fixes: list[Fix | None]) -> Verdict:
    return verdict(
        NO_SUCH_VERSION,
        _severity(timeline, moment.install),
        one.at,
        words,
        about=(one.name,),
        cause=f"the installer ends with `No matching distribution found for {one.name}{one.specifier}`",
        source=torch_fixes.INDEX,
        fixes=fixes,
    )
