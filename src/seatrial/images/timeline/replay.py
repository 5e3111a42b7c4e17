"""Replaying installs one after the other, without asking an index: what the tables of releases make certain.

What an installer does is followed, not what one would wish: a package that is there and fits stays (pip, uv), one that
does not fit is exchanged, and a package that is asked for brings what it needs. With the answer of a resolver
for an install, that decides instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from seatrial.images.story.model import Install, Uninstall
from seatrial.images.timeline.markers import holds
from seatrial.images.timeline.model import Moment, Package, Packages
from seatrial.images.timeline.variant import FAMILY, index_of, of_index, variant
from seatrial.images.timeline.versions import allows, pin, possible, requires

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from seatrial.images.story.model import Request, Step
    from seatrial.images.timeline.model import Resolved

    Resolve = Callable[[Install, Mapping[str, Package]], Resolved | None]

_ROUNDS = 4
_ANEW = frozenset({"force-reinstall", "ignore-installed"})


def replay(
    start: Mapping[str, Package],
    steps: Iterable[Step],
    environment: str,
    python: str,
    *,
    architecture: str = "x86_64",
    resolve: Resolve | None = None,
) -> tuple[tuple[Moment, ...], Packages]:
    """Each install of one environment, and what is there at the end."""
    current = dict(start)
    moments: list[Moment] = []
    for step in steps:
        if isinstance(step, Uninstall) and step.environment == environment:
            current = _without(current, step)
        if not isinstance(step, Install) or step.environment != environment:
            continue
        answer = resolve(step, current) if resolve is not None else None
        after = apply(current, step, python, architecture=architecture, answer=answer)
        moments.append(Moment(install=step, before=current, after=after, resolved=answer))
        current = after if step.certain else _perhaps(current, after)
    return tuple(moments), current


def apply(
    before: Mapping[str, Package],
    install: Install,
    python: str,
    *,
    architecture: str = "x86_64",
    answer: Resolved | None = None,
) -> Packages:
    """The environment after one install, if it runs."""
    after = dict(before)
    asked: dict[str, list[Request]] = {}
    for one in install.requests:
        if one.name and _counts(one, python):
            asked.setdefault(one.name, []).append(one)
    limits = {one.name: one.specifier for one in install.constraints if _counts(one, python)}
    for name, requests in asked.items():
        wanted = _joined([*(one.specifier for one in requests), limits.get(name, "")])
        old = before.get(name)
        if old is not None and _stays(old, wanted, requests, install):
            continue
        after[name] = _fresh(name, wanted, requests[0], install, python)
    if "no-deps" not in install.flags:
        _settle(after, install, limits, python)
    if answer is not None:
        _decide(after, answer, install, python)
    return _labelled(after, install, architecture)


def _counts(one: Request, python: str) -> bool:
    return not one.marker or holds(one.marker, python)


def _joined(specifiers: Iterable[str]) -> str:
    return ",".join(dict.fromkeys(one for one in specifiers if one))


def _stays(old: Package, wanted: str, requests: list[Request], install: Install) -> bool:
    """Whether an installer leaves a package that is there alone."""
    if install.flags & _ANEW or "upgrade" in install.flags or install.tool == "conda":
        return False
    if any(one.url for one in requests) or (old.install is not None and not old.certain):
        return False
    return bool(old.versions) and allows(wanted, old.likely)


def _fresh(name: str, wanted: str, request: Request | None, install: Install, python: str) -> Package:
    build = _only_build(request, install) if name in FAMILY else ""
    known = pin(request.specifier) if request is not None and request.url else ""
    versions = (known,) if known else possible(name, wanted, python, build)
    if request is not None and request.url and not known:
        versions = ()
    return Package(
        name=name, versions=versions, specifier=wanted, request=request, install=install, certain=install.certain
    )  # fmt: skip


def _only_build(request: Request | None, install: Install) -> str:
    """The one build that the index has which decides; empty where there are several. uv asks extra indexes first."""
    index = index_of(request, install)
    own = bool(index) and request is not None and index == request.index
    extra = {of_index(one) for one in install.extra_indexes}
    if (
        install.tool == "uv"
        and not own
        and len(extra) == 1
        and "index-strategy=unsafe-best-match" not in install.flags
    ):
        return next(iter(extra)) or of_index(index)
    return of_index(index)


def _settle(after: Packages, install: Install, limits: Mapping[str, str], python: str) -> None:
    """Let what is installed bring what it needs, and keep to versions that go together with what is certain."""
    for _ in range(_ROUNDS):
        changed = False
        for package in [one for one in after.values() if one.install is install]:
            if package.exact:
                changed |= _bring(after, package, install, limits, python)
            elif package.versions:
                changed |= _narrow(after, package, install)
        if not changed:
            return


def _bring(
    after: Packages, package: Package, install: Install, limits: Mapping[str, str], python: str
) -> bool:
    changed = False
    for name, needed in requires(package.name, package.exact, python).items():
        wanted = _joined([needed, limits.get(name, "")])
        old = after.get(name)
        if old is None:
            new = _fresh(name, wanted, None, install, python)
        elif old.install is install and old.request is not None and old.via == "":
            new = _tightened(old, needed)
        elif old.install is install:
            new = _tightened(old, wanted)
        elif old.versions and allows(wanted, old.likely):
            # It is most likely the newest that it can be, and stays; if it fits, so do not all the others.
            after[name] = _tightened(old, wanted)
            continue
        else:
            new = _fresh(name, wanted, None, install, python)
        if new is not old and new != old:
            via = old.via if old is not None and old.install is install else package.name
            after[name] = msgspec.structs.replace(new, via=via)
            changed = True
    return changed


def _tightened(old: Package, needed: str) -> Package:
    """`old` with fewer versions; unchanged where none would be left: then a rule or a resolver says so."""
    left = tuple(one for one in old.versions if allows(needed, one))
    if not left or left == old.versions:
        return old
    return msgspec.structs.replace(old, versions=left)


def _narrow(after: Packages, package: Package, install: Install) -> bool:
    """Leave out versions whose needs contradict what the same install asks for exactly."""
    fixed = {one.name: one.exact for one in after.values() if one.exact and one.install is install}
    left = tuple(
        version
        for version in package.versions
        if all(allows(needed, fixed[name]) for name, needed in requires(package.name, version).items() if name in fixed)
    )  # fmt: skip
    if not left or left == package.versions:
        return False
    after[package.name] = msgspec.structs.replace(package, versions=left)
    return True


def _decide(after: Packages, answer: Resolved, install: Install, python: str) -> None:
    """What a resolver chose for this install: it keeps what stays, and puts first what it took of what is open."""
    for name, version in answer.versions.items():
        old = after.get(name)
        if old is not None and old.install is not install and _public(version) in map(_public, old.versions):
            continue  # its build stays as well: the answer has no labels of builds
        others = () if answer.locked else possible(name, "", python)
        if old is None or old.install is not install:
            after[name] = Package(
                name=name,
                versions=(version, *(one for one in others if one != version)),
                install=install,
                via="resolved" if answer.locked else _wanted_by(name, after, answer, python),
                certain=install.certain,
                open=not answer.locked,
            )
        elif _public(old.exact) != _public(version):
            left = tuple(one for one in old.versions if one in others and one != version)
            after[name] = msgspec.structs.replace(old, versions=(version, *left), open=not answer.locked)


def _wanted_by(name: str, after: Packages, answer: Resolved, python: str) -> str:
    """The package that needs another version than the one that was there, one that is asked for if any; else the resolver."""
    old = after.get(name)
    asked = [other for other in answer.versions if other in after and after[other].request is not None]
    for other in (*asked, *answer.versions):
        needed = requires(other, answer.versions[other], python).get(name)
        if needed is not None and (old is None or not any(allows(needed, one) for one in old.versions)):
            return other
    return "resolved"


def _public(version: str) -> str:
    return version.partition("+")[0]


def _labelled(after: Packages, install: Install, architecture: str) -> Packages:
    for name, one in after.items():
        if one.install is install and not one.variant:
            label = variant(name, one.likely, one.request, install, architecture)
            if label:
                after[name] = msgspec.structs.replace(one, variant=label)
    return after


def _without(current: Packages, step: Uninstall) -> Packages:
    if step.certain:
        return {name: one for name, one in current.items() if name not in step.names}
    return {
        name: msgspec.structs.replace(one, certain=False) if name in step.names else one
        for name, one in current.items()
    }


def _perhaps(before: Mapping[str, Package], after: Mapping[str, Package]) -> Packages:
    """What is known after an install that may not have run: packages it touches are one or the other."""
    current = dict(before)
    for name, new in after.items():
        old = before.get(name)
        if new is old:
            continue
        current[name] = Package(name=name, install=new.install, request=new.request, certain=False)
    return current
