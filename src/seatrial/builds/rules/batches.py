"""Batches: builds that cannot be told apart, or wait for each other."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.builds.nodes import child, children, is_empty, word
from seatrial.findings import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.builds.model import BatchTask
    from seatrial.builds.rules.look import Look
    from seatrial.findings import Finding, Place
    from seatrial.sources.tree import Node

_SOURCE = "https://docs.aws.amazon.com/codebuild/latest/userguide/batch-build-buildspec.html"
_LIMITS = "https://docs.aws.amazon.com/codebuild/latest/userguide/limits.html"

RULES: tuple[Rule, ...] = (
    Rule(
        id="buildspec/batch-identifier",
        severity="warning",
        title="A build of a batch without a usable name",
        explanation="Each build of a list or graph has an `identifier` of letters, digits and underscores, and no two the same.",
        source=_SOURCE,
        example="version: 0.2\nbatch:\n  build-list:\n    - identifier: linux-small\n      buildspec: a.yml\n",
    ),
    Rule(
        id="buildspec/batch-dependency",
        severity="error",
        title="A build depends on what does not exist, or on itself",
        explanation="`depend-on` names other builds of the same graph, and must not lead in a circle.",
        source=_SOURCE,
        example="version: 0.2\nbatch:\n  build-graph:\n    - identifier: test\n      depend-on: [build]\n",
    ),
    Rule(
        id="buildspec/batch-kind",
        severity="warning",
        title="A batch of no kind, or of several",
        explanation="A batch has one of build-list, build-graph, build-matrix and build-fanout.",
        source=_SOURCE,
        example="version: 0.2\nbatch:\n  fast-fail: yes\n",
    ),
    Rule(
        id="buildspec/batch-limit",
        severity="warning",
        title="A batch of more than 100 builds",
        explanation="A batch runs at most 100 builds, and fewer where the project says so.",
        source=_LIMITS,
    ),
    Rule(
        id="buildspec/compute-type",
        severity="warning",
        title="An unknown compute type",
        explanation="Compute types are BUILD_GENERAL1_SMALL to BUILD_GENERAL1_2XLARGE and BUILD_LAMBDA_1GB to BUILD_LAMBDA_10GB.",
        source="https://docs.aws.amazon.com/codebuild/latest/userguide/build-env-ref-compute-types.html",
        example="version: 0.2\nbatch:\n  build-list:\n    - identifier: a\n      env:\n        compute-type: BUILD_GENERAL_SMALL\n",
    ),
)

_KINDS = ("build-list", "build-graph", "build-matrix", "build-fanout")
_IDENTIFIER = re.compile(r"\w{1,128}", re.ASCII)
_MOST = 100
_COMPUTE = frozenset({
    *(f"BUILD_GENERAL1_{one}" for one in ("SMALL", "MEDIUM", "LARGE", "XLARGE", "2XLARGE")),
    *(f"BUILD_LAMBDA_{one}GB" for one in (1, 2, 4, 8, 10)),
    "ATTRIBUTE_BASED_COMPUTE", "CUSTOM_INSTANCE_TYPE",
})  # fmt: skip


def check(look: Look) -> Iterator[Finding]:
    """What is wrong with a batch."""
    found = children(look.root).get("batch")
    batch = look.spec.batch
    if found is None:
        return
    key, node = found
    kinds = [one for one in _KINDS if one in children(node)]
    if len(kinds) != 1:
        said = "none of" if not kinds else "more than one of"
        yield look.at(
            "batch-kind", "warning", key, f"the batch has {said} {', '.join(_KINDS)}", source=_SOURCE
        )
    if batch is None:
        return
    yield from _identifiers(look, batch.tasks)
    if batch.kind == "graph":
        yield from _dependencies(look, batch.tasks)
    yield from _size(look, key)
    yield from _compute(look, node)


def _identifiers(look: Look, tasks: tuple[BatchTask, ...]) -> Iterator[Finding]:
    seen: set[str] = set()
    for one in tasks:
        if not one.identifier:
            yield _at(
                look, "batch-identifier", "warning", one.place, "this build of the batch has no identifier"
            )
        elif one.identifier in seen:
            yield _at(
                look,
                "batch-identifier",
                "warning",
                one.place,
                f"another build is called {one.identifier} too",
            )
        elif not _IDENTIFIER.fullmatch(one.identifier):
            yield _at(look, "batch-identifier", "warning", one.place,
                      f"{one.identifier!r} is not an identifier of letters, digits and underscores")  # fmt: skip
        seen.add(one.identifier)


def _dependencies(look: Look, tasks: tuple[BatchTask, ...]) -> Iterator[Finding]:
    known = {one.identifier: one for one in tasks}
    broken = False
    for one in tasks:
        for other in one.depend_on:
            if other.value not in known:
                broken = True
                yield _at(
                    look,
                    "batch-dependency",
                    "error",
                    other.place,
                    f"{one.identifier} depends on {other.value!r}, which is no build of the graph",
                )
    if broken:
        return
    circle = _circle({name: [one.value for one in task.depend_on] for name, task in known.items()})
    if circle:
        yield _at(
            look,
            "batch-dependency",
            "error",
            known[circle[0]].place,
            f"these builds wait for each other: {' → '.join(circle)}",
        )


def _circle(graph: dict[str, list[str]]) -> list[str]:
    """The names of one circle, the first again at the end; empty where there is none."""
    done: set[str] = set()
    for start, first in graph.items():
        stack = [(start, iter(first))] if start not in done else []
        path = [start] if stack else []
        while stack:
            name, rest = stack[-1]
            following = next(rest, None)
            if following is None:
                done.add(name)
                stack.pop()
                path.pop()
            elif following in path:
                return [*path[path.index(following) :], following]
            elif following not in done:
                path.append(following)
                stack.append((following, iter(graph[following])))
    return []


def _size(look: Look, key: Node) -> Iterator[Finding]:
    batch = look.spec.batch
    if batch is None:
        return
    count = len(batch.tasks)
    if batch.matrix is not None:
        count = 1
        for values in (*batch.matrix.dynamic.values(), *batch.matrix.dynamic_variables.values()):
            count *= len(values)
    elif batch.fanout is not None:
        count = batch.fanout.parallelism
        node = child(look.root, "batch", "build-fanout", "parallelism")
        if count < 1:
            yield look.at(
                "batch-kind",
                "warning",
                node or key,
                "build-fanout needs a parallelism of at least 1",
                source=_SOURCE,
            )
    if count > _MOST:
        yield look.at(
            "batch-limit",
            "warning",
            key,
            f"the batch is {count} builds; {_MOST} are the most",
            source=_LIMITS,
        )


def _compute(look: Look, batch: Node) -> Iterator[Finding]:
    places = [child(batch, "build-matrix", one, "env", "compute-type") for one in ("static", "dynamic")]
    places.append(child(batch, "build-fanout", "env", "compute-type"))
    for kind in ("build-list", "build-graph"):
        listed = child(batch, kind)
        places += [child(one, "env", "compute-type") for one in (listed.items if listed is not None else [])]
    for place in places:
        if place is None:
            continue
        for node in place.items if place.kind == "sequence" else [place]:
            said = word(node)
            if not is_empty(node) and said not in _COMPUTE and "$" not in said:
                yield look.at(
                    "compute-type", "warning", node, f"{said!r} is no compute type", source=RULES[4].source
                )


def _at(look: Look, rule: str, severity: str, place: Place, message: str) -> Finding:
    span = (look.source.offset(place.start), look.source.offset(place.end))
    return look.within(rule, severity, span, message, source=_SOURCE)  # type: ignore[arg-type]
