"""What is asked for in the end, by all installs together, and what cannot be pinned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from seatrial.images.locking.model import Left
from seatrial.images.resolving import ask
from seatrial.images.solving.places import shown
from seatrial.images.story.model import Uninstall
from seatrial.images.timeline.markers import holds
from seatrial.images.timeline.variant import FAMILY, index_of, of_index
from seatrial.images.timeline.versions import allows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from seatrial.images.locking.final import Final
    from seatrial.images.solving.model import Ask
    from seatrial.images.story.model import Install, Request
    from seatrial.images.timeline.model import Package

_CODE = ("git+", "hg+", "svn+", "bzr+")


class Gathered(msgspec.Struct, frozen=True, kw_only=True):
    """`asks` are solved together, `asked` has their requests by id. `exact` versions are taken as they are: of locks, and
    of what is installed without dependencies. `there` are packages that are there from elsewhere, `labels` the build of
    PyTorch's that a package comes as, and the index that has it.
    """

    asks: tuple[Ask, ...]
    asked: Mapping[str, Request]
    installs: tuple[Install, ...]
    exact: Mapping[str, str]
    there: frozenset[str]
    brought: tuple[str, ...]
    conda: tuple[str, ...]
    labels: Mapping[str, tuple[str, str]]
    left: tuple[Left, ...]
    notes: tuple[str, ...]


def gather(here: Final) -> Gathered:
    """Go through the installs in order; what a later one overrules does not count."""
    packages = here.packages
    brought, conda = _brought(here, packages), _by_conda(packages)
    there = brought | conda.keys() | _taken_away(here, packages)
    reading = _Reading(packages, here.python, frozenset(there))
    for moment in here.moments:
        reading.install(moment.install)
    for name in sorted(FAMILY & packages.keys()):
        reading.label(packages[name])
    return Gathered(
        asks=tuple(reading.asks),
        asked=reading.asked,
        installs=tuple(reading.installs),
        exact=reading.exact,
        there=frozenset(there) | reading.exact.keys(),
        brought=_named(brought),
        conda=_named(conda),
        labels=reading.labels,
        left=tuple(dict.fromkeys(reading.left)),
        notes=tuple(dict.fromkeys(reading.notes)),
    )


def _brought(here: Final, packages: Mapping[str, Package]) -> dict[str, str]:
    """What the base has and nothing exchanges, with versions where they are known."""
    found = {name: one.exact for name, one in packages.items() if one.base and one.certain}
    contents = here.own.base
    if contents is not None and not here.own.environment:
        found |= {name: "" for name in contents.present if name not in packages}
    return found


def _by_conda(packages: Mapping[str, Package]) -> dict[str, str]:
    return {
        name: one.exact or one.specifier
        for name, one in packages.items()
        if one.install is not None and one.install.tool == "conda"
    }


def _taken_away(here: Final, packages: Mapping[str, Package]) -> set[str]:
    return {
        name
        for line in here.parts
        for step in line.steps
        if isinstance(step, Uninstall) and step.certain and step.environment == line.environment
        for name in step.names
        if name not in packages
    }


def _named(some: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(f"{name} {versions}".strip() for name, versions in sorted(some.items()))


class _Reading:
    """Collects from one install after the other."""

    def __init__(self, packages: Mapping[str, Package], python: str, there: frozenset[str]) -> None:
        self.packages, self.python, self.there = packages, python, there
        self.asks: list[Ask] = []
        self.asked: dict[str, Request] = {}
        self.installs: list[Install] = []
        self.exact: dict[str, str] = {}
        self.labels: dict[str, tuple[str, str]] = {}
        self.left: list[Left] = []
        self.notes: list[str] = []

    def install(self, install: Install) -> None:
        if install.tool == "conda":
            return
        where = install.at.place
        self.left += [Left(f"what {where} installs besides", one) for one in install.unread]
        if not install.certain:
            reason = f"{where} may not run, or may fail without consequence"
            self.left += [Left(_text(one), reason) for one in install.requests]
            return
        self.installs.append(install)
        locked = all(one.locked for one in install.requests)
        for one in install.requests:
            if not one.marker or holds(one.marker, self.python):
                self._request(one, install, alone=locked or "no-deps" in install.flags)

    def _request(self, one: Request, install: Install, *, alone: bool) -> None:
        if one.url or not one.name:
            self.left.append(Left(_text(one), _why_not(one)))
            return
        if one.name in self.there:
            return
        stays = self.packages[one.name].exact if one.name in self.packages else ""
        if stays and not allows(one.specifier, stays):
            self.notes.append(
                f"{one.at.place}: {_text(one)} is overruled by a later install: {one.name} {stays} stays"
            )
            return
        if alone:
            self._alone(one, stays)
            return
        index = "" if one.style == "lines" else one.index
        if one.name in FAMILY and not index:
            index = _backend(install)
        asked = ask(f"{len(self.asks)}:{one.name}", one)
        self.asks.append(msgspec.structs.replace(asked, index=index or install.index))
        self.asked[asked.id] = one

    def _alone(self, one: Request, version: str) -> None:
        if version:
            self.exact[one.name] = version
        else:
            self.left.append(Left(_text(one), "which version it gets is not known"))

    def label(self, package: Package) -> None:
        """Note which of PyTorch's own indexes a package comes from."""
        install = package.install
        if not package.variant or install is None or install.tool == "conda":
            return
        places = (index_of(package.request, install), *install.extra_indexes, *install.find_links)
        address = next((place for place in places if of_index(place) == package.variant), _backend(install))
        if address:
            self.labels[package.name] = (package.variant, address)


def _backend(install: Install) -> str:
    """The index that uv takes torch from when it is told a backend."""
    told = [one.partition("=")[2] for one in install.flags if one.startswith("torch-backend=")]
    return _index(told[0]) if told else ""


def _index(label: str) -> str:
    from seatrial.images import facts

    cuda = f"{label[2:-1]}.{label[-1]}" if label.startswith("cu") and label[2:].isdigit() else ""
    releases = facts.torch_releases_with(cuda) if cuda else ()
    for release in releases:
        build = facts.torch_build(release, cuda)
        if build is not None:
            return build.index
    return ""


def _text(one: Request) -> str:
    """As it is asked for, fit to be shown."""
    address = shown(one.url) if "://" in one.url and not one.url.startswith(_CODE) else _without_user(one.url)
    marker = f" ; {one.marker}" if one.marker else ""
    if not one.url:
        extras = f"[{','.join(one.extras)}]" if one.extras else ""
        return f"{one.name}{extras}{one.specifier}{marker}"
    return f"{one.name} @ {address}{marker}" if one.name and address not in (".", "./") else address


def _without_user(address: str) -> str:
    scheme, separator, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}" if separator else address


def _why_not(one: Request) -> str:
    if one.url.startswith(_CODE):
        return "it is built from a repository, so no index has its hash"
    if "://" in one.url and not one.url.startswith("file:"):
        return "it comes from an address that is not asked for its hash"
    return "it is a file or folder of this project, not a package of an index"


def indexes(installs: Iterable[Install], field: str) -> tuple[str, ...]:
    """All addresses of a kind that the installs name, each once."""
    return tuple(dict.fromkeys(one for install in installs for one in getattr(install, field)))
