"""The `batch` of a buildspec: several builds as one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.builds.model import Batch, BatchTask, Fanout, Matrix
from seatrial.builds.nodes import child, children, flag, plain_table, texts, word, words

if TYPE_CHECKING:
    from seatrial.sources.text import Source
    from seatrial.sources.tree import Node

ENVIRONMENT = ("compute-type", "fleet", "image", "privileged-mode", "type")
"""What `env` of a build may change."""

KINDS = ("build-graph", "build-list", "build-matrix", "build-fanout")


def batch(source: Source, key: Node, node: Node) -> Batch | None:
    """What `batch` holds; None where it names no builds."""
    place = source.place(key.start, key.end)
    fast_fail = flag(child(node, "fast-fail"))
    found = children(node)
    if "build-graph" in found:
        return Batch(
            place=place, kind="graph", fast_fail=fast_fail, tasks=_tasks(source, found["build-graph"][1])
        )
    if "build-list" in found:
        return Batch(
            place=place, kind="list", fast_fail=fast_fail, tasks=_tasks(source, found["build-list"][1])
        )
    if "build-matrix" in found:
        return Batch(
            place=place, kind="matrix", fast_fail=fast_fail, matrix=_matrix(source, *found["build-matrix"])
        )
    if "build-fanout" in found:
        return Batch(
            place=place, kind="fanout", fast_fail=fast_fail, fanout=_fanout(source, *found["build-fanout"])
        )
    return None


def _environment(node: Node | None) -> dict[str, str]:
    env = child(node, "env")
    return {name: said for name in ENVIRONMENT if (said := word(child(env, name)))}


def _tasks(source: Source, node: Node) -> tuple[BatchTask, ...]:
    items = node.items if node.kind == "sequence" else []
    return tuple(_task(source, one) for one in items if one.kind == "mapping")


def _task(source: Source, node: Node) -> BatchTask:
    identifier = child(node, "identifier")
    at = identifier or node
    return BatchTask(
        identifier=word(identifier),
        place=source.place(at.start, at.end),
        buildspec=word(child(node, "buildspec")),
        ignore_failure=flag(child(node, "ignore-failure")),
        debug_session=flag(child(node, "debug-session")),
        depend_on=texts(source, child(node, "depend-on")),
        env=_environment(node),
        variables=plain_table(child(node, "env", "variables")),
    )


def _matrix(source: Source, key: Node, node: Node) -> Matrix:
    static, dynamic = child(node, "static"), child(node, "dynamic")
    fixed = _environment(static)
    if buildspec := word(child(static, "buildspec")):
        fixed = {"buildspec": buildspec} | fixed
    own = [("buildspec", child(dynamic, "buildspec"))]
    own += [(name, child(dynamic, "env", name)) for name in ENVIRONMENT]
    return Matrix(
        place=source.place(key.start, key.end),
        ignore_failure=flag(child(node, "ignore-failure")) or flag(child(static, "ignore-failure")),
        static=fixed,
        static_variables=plain_table(child(static, "env", "variables")),
        dynamic={name: words(value) for name, value in own if words(value)},
        dynamic_variables={
            name: words(value)
            for name, (_, value) in children(child(dynamic, "env", "variables")).items()
            if words(value)
        },
    )


def _fanout(source: Source, key: Node, node: Node) -> Fanout:
    parallelism = word(child(node, "parallelism"))
    return Fanout(
        place=source.place(key.start, key.end),
        parallelism=int(parallelism) if parallelism.isdecimal() else 0,
        ignore_failure=flag(child(node, "ignore-failure")),
        buildspec=word(child(node, "buildspec")),
        env=_environment(node),
        variables=plain_table(child(node, "env", "variables")),
    )
