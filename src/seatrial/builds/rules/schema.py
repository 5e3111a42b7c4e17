"""The keys that CodeBuild knows, by where they stand. Source: "Build specification reference", CodeBuild user guide."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from seatrial.builds.nodes import child, children
from seatrial.builds.reading_batch import ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.sources.tree import Node

TOP = ("version", "run-as", "env", "proxy", "batch", "phases", "reports", "artifacts", "cache")
OLD_TOP = ("version", "environment_variables", "phases", "artifacts", "cache")
ENV = (
    "shell", "variables", "parameter-store", "secrets-manager", "exported-variables", "git-credential-helper",
)  # fmt: skip
PROXY = ("upload-artifacts", "logs")
PHASES = ("install", "pre_build", "build", "post_build")
PHASE = ("run-as", "on-failure", "runtime-versions", "commands", "finally")
REPORT = ("files", "base-directory", "discard-paths", "file-format")
ONE_ARTIFACT = (
    "files", "name", "discard-paths", "base-directory", "exclude-paths", "enable-symlinks", "s3-prefix",
)  # fmt: skip
ARTIFACTS = (*ONE_ARTIFACT, "secondary-artifacts")
CACHE = ("key", "fallback-keys", "action", "paths")
BATCH = ("fast-fail", "build-list", "build-graph", "build-matrix", "build-fanout")
TASK = ("identifier", "buildspec", "env", "debug-session", "ignore-failure")
MATRIX = ("ignore-failure", "static", "dynamic")
STATIC = ("ignore-failure", "buildspec", "env")
DYNAMIC = ("buildspec", "env")
FANOUT = ("parallelism", "ignore-failure", "buildspec", "env")
BATCH_ENV = (*ENVIRONMENT, "variables")


class Level(msgspec.Struct, frozen=True):
    """A mapping whose keys are known; `path` is what to call it, empty for the top."""

    path: str
    node: Node
    known: tuple[str, ...]


def levels(root: Node, version: str) -> Iterator[Level]:
    """Every mapping of a file whose keys are known."""
    yield Level("", root, (*TOP, "environment_variables") if version == "0.1" else TOP)
    plain = {"env": ENV, "proxy": PROXY, "cache": CACHE, "artifacts": ARTIFACTS, "batch": BATCH}
    for name, known in plain.items():
        if (node := child(root, name)) is not None:
            yield Level(name, node, known)
    if version == "0.1" and (node := child(root, "environment_variables")) is not None:
        yield Level("environment_variables", node, ("plaintext",))
    for name, (_, node) in children(child(root, "phases")).items():
        if name in PHASES:
            yield Level(f"phases.{name}", node, PHASE)
    for name, (_, node) in children(child(root, "reports")).items():
        yield Level(f"reports.{name}", node, REPORT)
    for name, (_, node) in children(child(root, "artifacts", "secondary-artifacts")).items():
        yield Level(f"artifacts.secondary-artifacts.{name}", node, ONE_ARTIFACT)
    yield from _batch(child(root, "batch"))


def _batch(batch: Node | None) -> Iterator[Level]:
    for kind, known in (("build-list", TASK), ("build-graph", (*TASK, "depend-on"))):
        listed = child(batch, kind)
        for index, node in enumerate(listed.items if listed is not None else []):
            yield from _with_env(f"batch.{kind}[{index}]", node, known)
    matrix = child(batch, "build-matrix")
    if matrix is not None:
        yield Level("batch.build-matrix", matrix, MATRIX)
        for name, own in (("static", STATIC), ("dynamic", DYNAMIC)):
            part = child(matrix, name)
            if part is not None:
                yield from _with_env(f"batch.build-matrix.{name}", part, own)
    fanout = child(batch, "build-fanout")
    if fanout is not None:
        yield from _with_env("batch.build-fanout", fanout, FANOUT)


def _with_env(path: str, node: Node, known: tuple[str, ...]) -> Iterator[Level]:
    yield Level(path, node, known)
    env = child(node, "env")
    if env is not None:
        yield Level(f"{path}.env", env, BATCH_ENV)


HOMES = {
    **dict.fromkeys(ENV, "env"),
    **dict.fromkeys(PHASE, "a phase"),
    **dict.fromkeys(
        ("files", "secondary-artifacts", "exclude-paths", "enable-symlinks", "s3-prefix", "name"), "artifacts"
    ),
    **dict.fromkeys(("base-directory", "discard-paths"), "artifacts or a report group"),
    **dict.fromkeys(("fallback-keys", "paths", "key", "action"), "cache"),
    **dict.fromkeys(("file-format",), "a report group"),
    **dict.fromkeys(PROXY, "proxy"),
    **dict.fromkeys(BATCH[1:], "batch"),
    **dict.fromkeys(("fast-fail",), "batch"),
    **dict.fromkeys(ENVIRONMENT, "`env` of a build of `batch`, or the project"),
    **dict.fromkeys(
        ("identifier", "depend-on", "ignore-failure", "debug-session", "buildspec"), "a build of `batch`"
    ),
    **dict.fromkeys(("static", "dynamic"), "batch.build-matrix"),
    **dict.fromkeys(PHASES, "phases"),
    **dict.fromkeys(TOP, "the top level"),
    "run-as": "the top level or a phase",
}
"""Where a key belongs that stands elsewhere."""
