"""What a batch comes to: the builds that its list, graph, matrix or fanout asks for, and how they went together.

Source: AWS CodeBuild user guide, "Batch build buildspec reference" and "Run builds in batches". Neither says how the
builds of a matrix or a fanout are called, so those identifiers are Seatrial's own.
"""

from __future__ import annotations

import fnmatch
import hashlib
import itertools
import re
from typing import TYPE_CHECKING, Literal

import msgspec

from seatrial.errors import UsageError
from seatrial.findings import Place  # noqa: TC001 - msgspec reads the annotation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from seatrial.builds.model import Batch, BatchTask, Fanout, Matrix

MOST_BUILDS = 100
"""`maximumBuildsAllowed` of a project's batch restrictions is at most this."""

Status = Literal["SUCCEEDED", "FAILED", "TIMED_OUT", "STOPPED", "FAULT", "NOT_STARTED"]
"""How a build ended; NOT_STARTED is ours, for one whose turn never came."""

_ORDER = ("buildspec", "image", "compute-type", "type", "fleet", "privileged-mode")
_LONGEST = 100


class Restrictions(msgspec.Struct, frozen=True, kw_only=True):
    """What a project's `buildBatchConfig.restrictions` allows; empty compute types and fleets allow all."""

    maximum_builds: int = MOST_BUILDS
    compute_types: tuple[str, ...] = ()
    fleets: tuple[str, ...] = ()


class Build(msgspec.Struct, frozen=True, kw_only=True):
    """One build of a batch. `env` has image, compute-type, … as written, `variables` go over the project's.

    `shard` is which share of the tests it runs, from 1, and of how many.
    """

    identifier: str
    place: Place
    buildspec: str = ""
    ignore_failure: bool = False
    debug_session: bool = False
    depend_on: tuple[str, ...] = ()
    env: dict[str, str] = {}
    variables: dict[str, str] = {}
    shard: tuple[int, int] | None = None


class Expansion(msgspec.Struct, frozen=True, kw_only=True):
    """The builds in an order in which each comes after what it depends on."""

    kind: Literal["list", "graph", "matrix", "fanout"]
    fast_fail: bool
    builds: tuple[Build, ...]


def expand(batch: Batch, restrictions: Restrictions | None = None) -> Expansion:
    """Every build of the batch.

    Raises:
        UsageError: an identifier is missing, given twice or unknown, builds wait for each other in a circle, or
            there are none, too many, or some of a kind that is not allowed; `where` is the place in the file.
    """
    if batch.matrix is not None:
        builds = tuple(_of_matrix(batch.matrix))
    elif batch.fanout is not None:
        builds = tuple(_of_fanout(batch.fanout))
    else:
        builds = _in_order(batch.tasks, batch)
    if not builds:
        raise UsageError(
            "the batch has no build",
            where=str(batch.place),
            fix="give build-list, build-graph, build-matrix or build-fanout an entry",
        )
    _restrict(batch, builds, restrictions or Restrictions())
    return Expansion(kind=batch.kind, fast_fail=batch.fast_fail, builds=builds)


def choose(expansion: Expansion, wanted: Sequence[str]) -> Expansion:
    """The builds whose identifiers match one of the patterns `wanted`; what they depend on counts as done.

    Raises:
        UsageError: a pattern matches nothing.
    """
    for pattern in wanted:
        if not any(fnmatch.fnmatchcase(build.identifier, pattern) for build in expansion.builds):
            raise UsageError(
                f"no build of the batch is called {pattern!r}",
                why=f"there are: {', '.join(build.identifier for build in expansion.builds)}",
            )
    left = [
        build
        for build in expansion.builds
        if not wanted or any(fnmatch.fnmatchcase(build.identifier, pattern) for pattern in wanted)
    ]
    names = {build.identifier for build in left}
    return msgspec.structs.replace(
        expansion,
        builds=tuple(
            msgspec.structs.replace(build, depend_on=tuple(one for one in build.depend_on if one in names))
            for build in left
        ),
    )


def obstacle(build: Build, builds: Iterable[Build], statuses: Mapping[str, str]) -> str:
    """Which dependency keeps the build from ever starting, or ''. One whose failure is ignored keeps nobody."""
    ignored = {one.identifier for one in builds if one.ignore_failure}
    for name in build.depend_on:
        status = statuses.get(name)
        if status is not None and status != "SUCCEEDED" and (name not in ignored or status == "NOT_STARTED"):
            return name
    return ""


def verdict(expansion: Expansion, statuses: Mapping[str, str]) -> Status:
    """How the whole batch ended: failures of builds with `ignore-failure` do not count."""
    counted = [
        statuses.get(build.identifier, "NOT_STARTED")
        for build in expansion.builds
        if not build.ignore_failure
    ]
    if all(status == "SUCCEEDED" for status in counted):
        return "SUCCEEDED"
    failed = any(status not in ("SUCCEEDED", "STOPPED", "NOT_STARTED") for status in counted)
    return "FAILED" if failed or "STOPPED" not in counted else "STOPPED"


def _in_order(tasks: Sequence[BatchTask], batch: Batch) -> tuple[Build, ...]:
    known: dict[str, BatchTask] = {}
    for task in tasks:
        if not task.identifier:
            raise UsageError(
                "a build of the batch has no identifier",
                where=str(task.place),
                why="reports, logs and depend-on know it by that name",
                fix="add `identifier: NAME`, of letters, digits and _",
            )
        if task.identifier in known:
            raise UsageError(
                f"two builds of the batch are called {task.identifier!r}",
                where=str(task.place),
                why=f"the first is at {known[task.identifier].place}",
                fix="give each its own identifier",
            )
        known[task.identifier] = task
    for task in tasks:
        for need in task.depend_on:
            if need.value not in known:
                raise UsageError(
                    f"build {task.identifier!r} depends on {need.value!r}, which is no build of this batch",
                    where=str(need.place),
                    why=f"there are: {', '.join(known)}",
                )
    return tuple(_of_task(task) for task in _sorted(known, batch))


def _sorted(known: dict[str, BatchTask], batch: Batch) -> list[BatchTask]:
    """Depth first without recursion: a chain of a hundred builds is no reason for a deep stack."""
    done: dict[str, BatchTask] = {}
    for name in known:
        path: list[str] = [name]
        while path:
            task = known[path[-1]]
            ahead = next((need for need in task.depend_on if need.value not in done), None)
            if ahead is None:
                done[path.pop()] = task
            elif ahead.value in path:
                circle = [*path[path.index(ahead.value) :], ahead.value]
                raise UsageError(
                    f"builds of the batch wait for each other: {' -> '.join(circle)}",
                    where=str(ahead.place),
                    fix="take one of these depend-on entries out",
                )
            else:
                path.append(ahead.value)
    if batch.kind == "list" and any(task.depend_on for task in done.values()):
        first = next(task for task in done.values() if task.depend_on)
        raise UsageError(
            f"build {first.identifier!r} of a build-list has depend-on",
            where=str(first.depend_on[0].place),
            why="the builds of a list do not wait for each other",
            fix="use build-graph instead of build-list",
        )
    return list(done.values())


def _of_task(task: BatchTask) -> Build:
    return Build(
        identifier=task.identifier,
        place=task.place,
        buildspec=task.buildspec,
        ignore_failure=task.ignore_failure,
        debug_session=task.debug_session,
        depend_on=tuple(dict.fromkeys(need.value for need in task.depend_on)),
        env=task.env,
        variables=task.variables,
    )


def _of_matrix(matrix: Matrix) -> Iterator[Build]:
    """The product in the order of the user guide's examples: buildspecs change slowest, the last variable fastest."""
    keys = sorted(matrix.dynamic, key=lambda key: (_ORDER.index(key) if key in _ORDER else len(_ORDER), key))
    names = list(matrix.dynamic_variables)
    for key, values in [*matrix.dynamic.items(), *matrix.dynamic_variables.items()]:
        if not values:
            raise UsageError(f"{key} of the build-matrix has no value", where=str(matrix.place))
    axes = [matrix.dynamic[key] for key in keys] + [matrix.dynamic_variables[name] for name in names]
    taken: set[str] = set()
    # Checked before the product is made: ten axes of ten values would never end.
    count = 1
    for axis in axes:
        count *= len(axis)
    if count > MOST_BUILDS:
        raise _too_many(count, MOST_BUILDS, matrix.place)
    for values in itertools.product(*axes):
        env = dict(matrix.static) | dict(zip(keys, values[: len(keys)], strict=True))
        static_buildspec = env.pop("buildspec", "")
        yield Build(
            identifier=_identifier(values, taken),
            place=matrix.place,
            buildspec=static_buildspec,
            ignore_failure=matrix.ignore_failure,
            env=env,
            variables=dict(matrix.static_variables) | dict(zip(names, values[len(keys) :], strict=True)),
        )


def _identifier(values: Sequence[str], taken: set[str]) -> str:
    """A name from the values, of letters, digits and _; two that would be the same differ by a hash of theirs."""
    texts = [re.sub(r"\.ya?ml$", "", value) for value in values]
    name = re.sub(r"[^A-Za-z0-9]+", "_", "_".join(texts)).strip("_") or "build"
    if name in taken or len(name) > _LONGEST:
        mark = hashlib.sha256("\0".join(values).encode()).hexdigest()[:8]
        name = f"{name[: _LONGEST - 9]}_{mark}"
    if name in taken:
        raise UsageError("the build-matrix asks for the same build twice", why=", ".join(values))
    taken.add(name)
    return name


def _of_fanout(fanout: Fanout) -> Iterator[Build]:
    if fanout.parallelism < 1:
        raise UsageError(f"parallelism is {fanout.parallelism}", where=str(fanout.place), fix="use 1 or more")
    if fanout.parallelism > MOST_BUILDS:
        raise _too_many(fanout.parallelism, MOST_BUILDS, fanout.place)
    for number in range(1, fanout.parallelism + 1):
        yield Build(
            identifier=f"shard_{number}",
            place=fanout.place,
            buildspec=fanout.buildspec,
            ignore_failure=fanout.ignore_failure,
            env=fanout.env,
            variables=fanout.variables,
            shard=(number, fanout.parallelism),
        )


def _restrict(batch: Batch, builds: Sequence[Build], restrictions: Restrictions) -> None:
    if len(builds) > restrictions.maximum_builds:
        raise _too_many(len(builds), restrictions.maximum_builds, batch.place)
    for build in builds:
        for key, allowed in (
            ("compute-type", restrictions.compute_types),
            ("fleet", restrictions.fleets),
        ):
            value = build.env.get(key, "")
            if allowed and value and value not in allowed:
                raise UsageError(
                    f"build {build.identifier!r} asks for {key} {value}, which the batch may not use",
                    where=str(build.place),
                    why=f"the project's restrictions allow {', '.join(allowed)}",
                )


def _too_many(count: int, most: int, place: Place) -> UsageError:
    return UsageError(
        f"the batch has {count} builds, and {most} are allowed",
        where=str(place),
        why="CodeBuild refuses a batch with more builds than maximumBuildsAllowed, which is 100 at most",
        fix="take out values of the matrix, or split the batch",
    )
