"""Derives the tables anew from an index, and writes them; `sanity` compares and judges."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec

from seatrial.images.facts import derive, index, load
from seatrial.images.facts.derive import Tracked  # noqa: TC001 - msgspec reads it at run time
from seatrial.images.facts.published import Release, Table, table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date
    from pathlib import Path

    from seatrial.transport import Link


class Anchor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A requirement that a table must hold."""

    name: str
    version: str
    needs: str


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`tracked.yaml`."""

    packages: tuple[Tracked, ...]
    also: frozenset[str]
    anchors: tuple[Anchor, ...]

    @property
    def known(self) -> frozenset[str]:
        return self.also | {one.name for one in self.packages}


def plan() -> Plan:
    """Which packages are tracked."""
    return load.load_yaml("tracked.yaml", Plan)


def derive_tables(
    link: Link,
    address: str,
    wanted: Sequence[Tracked],
    known: frozenset[str],
    *,
    today: date,
    again: bool = False,
    told: Callable[[str, int], object] = lambda _name, _count: None,
) -> tuple[Table, ...]:
    """The tables of some packages as the index has them now.

    Metadata of releases that the tables in use have is not fetched again, unless `again`. `told` hears of every
    package that is done, with the number of its releases.

    Raises:
        SeatrialError, TransportError: the index does not answer, or not with that package.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:

        def one(package: Tracked) -> Table:
            made = _derive(link, address, package, known, pool, today=today, again=again)
            told(package.name, len(made.releases))
            return made

        return tuple(one(package) for package in wanted)


_AT_ONCE = 8
"""Requests at a time: enough to be quick, few enough to be a polite client."""


def _derive(
    link: Link,
    address: str,
    package: Tracked,
    known: frozenset[str],
    pool: ThreadPoolExecutor,
    *,
    today: date,
    again: bool,
) -> Table:
    grouped = derive.by_version(index.files(link, address, package.name), package.first)
    current = table(package.name)
    have = {} if current is None or again else derive.known_requirements(current.releases)

    def row(version: str) -> Release:
        requires = have.get(version)
        wheel = derive.describing_wheel(grouped[version])
        if requires is None and package.requires and wheel is not None:
            lines = index.requires_dist(link, wheel)
            requires = None if lines is None else derive.requirements(lines, known, package.extras)
        return derive.release_of(version, grouped[version], requires)

    rows = tuple(pool.map(row, grouped))
    return Table(package.name, today.isoformat(), f"https://pypi.org/project/{package.name}/", rows)


def write(tables: Sequence[Table], folder: Path) -> tuple[Path, ...]:
    """Write one file per table, each whole or not at all.

    Raises:
        SeatrialError: the folder cannot be written.
    """
    from seatrial.files import write_atomic
    from seatrial.images.facts import forget

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for one in tables:
        path = folder / f"{one.package}.json"
        write_atomic(path, derive.encode(one))
        paths.append(path)
    forget()
    return tuple(paths)
