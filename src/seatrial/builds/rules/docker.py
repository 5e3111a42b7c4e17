"""Building and pushing images in a build."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.builds.nodes import child, children, flag, word
from seatrial.builds.rules.words import arguments, simple
from seatrial.findings import Fix, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.builds.rules.look import Command, Look
    from seatrial.findings import Finding
    from seatrial.sources.shell_model import ShellCommand

_PRIVILEGED = "https://docs.aws.amazon.com/codebuild/latest/userguide/sample-docker-section.html"
_VARIABLES = "https://docs.aws.amazon.com/codebuild/latest/userguide/build-env-ref-env-vars.html"
_TRANSITIONS = "https://docs.aws.amazon.com/codebuild/latest/userguide/view-build-details-phases.html"

RULES: tuple[Rule, ...] = (
    Rule(
        id="buildspec/docker-privileged",
        severity="note",
        title="docker needs privileged mode",
        explanation=(
            "The Docker engine runs in a build only where the project, or the build of a batch, has privileged mode; "
            "else docker says `Cannot connect to the Docker daemon`. The buildspec cannot show which project runs it."
        ),
        source=_PRIVILEGED,
        example="version: 0.2\nphases:\n  build:\n    commands:\n      - docker build -t app:$CODEBUILD_RESOLVED_SOURCE_VERSION .\n",
    ),
    Rule(
        id="buildspec/unguarded-push",
        severity="warning",
        title="An image is pushed also after a failed build",
        explanation=(
            "post_build runs after build has failed. A push there sends an image that was not tested, or an old one. "
            "Guard it with `CODEBUILD_BUILD_SUCCEEDING`, push at the end of build, or say `on-failure: ABORT` in build."
        ),
        source=_TRANSITIONS,
        example="version: 0.2\nphases:\n  build:\n    commands:\n      - docker build -t r/app:1 .\n  post_build:\n    commands:\n      - docker push r/app:1\n",
    ),
    Rule(
        id="buildspec/only-latest",
        severity="warning",
        title="Only the tag latest is pushed",
        explanation=(
            "Each build replaces the image of the one before, and nothing says which is deployed or how to go back. "
            "Push a tag of its own as well, such as the commit in `CODEBUILD_RESOLVED_SOURCE_VERSION`."
        ),
        source="https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-tag-mutability.html",
        example="version: 0.2\nphases:\n  build:\n    commands:\n      - docker push r/app:latest\n",
    ),
    Rule(
        id="buildspec/source-version-tag",
        severity="warning",
        title="CODEBUILD_SOURCE_VERSION is a tag",
        explanation=(
            "It may be a branch, `refs/pull/1/head`, or under CodePipeline the ARN of the artifact, which no tag can be. "
            "`CODEBUILD_RESOLVED_SOURCE_VERSION` is the commit."
        ),
        source=_VARIABLES,
        example="version: 0.2\nphases:\n  build:\n    commands:\n      - docker build -t app:$CODEBUILD_SOURCE_VERSION .\n",
    ),
    Rule(
        id="buildspec/ecr-get-login",
        severity="warning",
        title="aws ecr get-login is gone",
        explanation="The second version of the AWS command line, which current images have, knows only `get-login-password`.",
        source="https://docs.aws.amazon.com/cli/latest/userguide/cliv2-migration-changes.html#cliv2-migration-ecr-get-login",
        example="version: 0.2\nphases:\n  build:\n    commands:\n      - $(aws ecr get-login --no-include-email)\n",
    ),
)  # fmt: skip

_ENGINE = frozenset(
    {"build", "buildx", "run", "push", "pull", "compose", "tag", "load", "save", "exec", "login"}
)
_NEEDS_ENGINE = _ENGINE - {"login"}
_WITH_VALUE = frozenset({"-H", "--host", "--config", "-c", "--context", "-l", "--log-level"})
_GET_LOGIN = re.compile(r"\baws\s+(?:--\S+\s+\S+\s+)*ecr\s+get-login(?!-)")
_COMMIT = "CODEBUILD_RESOLVED_SOURCE_VERSION"
_VERSION = re.compile(r"\$\{?CODEBUILD_SOURCE_VERSION\b")
_GUARD = re.compile(r"CODEBUILD_BUILD_SUCCEEDING|CODEBUILD_BUILD_STATUS")


def check(look: Look) -> Iterator[Finding]:
    """What is wrong or needed where images are made."""
    if not look.is_posix:
        return
    used = [(one, verb, words, call) for one in look.commands for verb, words, call in _calls(one)]
    engine = next(((one, call) for one, verb, _, call in used if verb in _NEEDS_ENGINE), None)
    if engine is not None and not _is_privileged(look):
        yield _at(look, engine, "docker-privileged", "note", "docker needs privileged mode, which the project must have",
                  "without it: Cannot connect to the Docker daemon", _PRIVILEGED)  # fmt: skip
    pushes = [(one, words, call) for one, verb, words, call in used if verb == "push"]
    yield from _unguarded(look, pushes)
    yield from _latest(look, pushes)
    yield from _tags(
        look,
        [(one, words, call) for one, verb, words, call in used if verb in ("build", "buildx", "tag", "push")],
    )
    for command in look.commands:
        found = _GET_LOGIN.search(command.text)
        if found is not None:
            start = command.offset(found.start())
            yield look.within(
                "ecr-get-login", "warning", (start, start + len(found[0])), "aws ecr get-login is not in version 2 of the AWS command line",
                cause="aws ecr get-login-password | docker login --username AWS --password-stdin REGISTRY takes its place",
                source=RULES[4].source,
            )  # fmt: skip


def _calls(command: Command) -> Iterator[tuple[str, list[str], ShellCommand]]:
    if "docker" not in command.text:
        return
    for one in simple(command.text):
        words = arguments(one)
        if not words or words[0].rsplit("/", 1)[-1] not in ("docker", "docker-compose"):
            continue
        if words[0].endswith("docker-compose"):
            yield "compose", words[1:], one
            continue
        rest = words[1:]
        while rest and rest[0].startswith("-"):
            rest = rest[2:] if rest[0] in _WITH_VALUE else rest[1:]
        if rest[:1] == ["image"]:
            rest = rest[1:]
        if rest:
            yield rest[0], rest[1:], one


def _is_privileged(look: Look) -> bool:
    """Whether the file itself says so, or starts an engine of its own."""
    batch = child(look.root, "batch")
    for kind in ("build-list", "build-graph"):
        listed = child(batch, kind)
        if any(
            flag(child(one, "env", "privileged-mode")) for one in (listed.items if listed is not None else [])
        ):
            return True
    if flag(child(batch, "build-matrix", "static", "env", "privileged-mode")):
        return True
    return any("dockerd" in one.text or "DOCKER_HOST" in one.text for one in look.commands)


def _unguarded(look: Look, pushes: list[tuple[Command, list[str], ShellCommand]]) -> Iterator[Finding]:
    build = look.phases.get("build")
    if (
        build is None
        or word(child(build[1], "on-failure")) == "ABORT"
        or not children(build[1]).get("commands")
    ):
        return
    for command, _, call in pushes:
        if command.phase != "post_build":
            continue
        before = [one for one in look.commands if one.phase == "post_build" and one.index <= command.index]
        if any(_GUARD.search(one.text) for one in before):
            return
        yield _at(look, (command, call), "unguarded-push", "warning",
                  "this push runs also when the build has failed: post_build always follows build",
                  "nothing before it asks CODEBUILD_BUILD_SUCCEEDING", _TRANSITIONS, fix=_abort(look))  # fmt: skip
        return


def _abort(look: Look) -> Fix | None:
    build = look.phases["build"][1]
    if (
        not build.entries
        or look.source.text[build.start : build.start + 1] == "{"
        or child(build, "on-failure")
    ):
        return None
    column = look.source.position(build.start)[1] - 1
    text = f"on-failure: ABORT\n{' ' * column}"
    return Fix(
        title="end the build when the phase build fails",
        safe=False,
        edits=(look.edit(build.start, build.start, text),),
    )


def _latest(look: Look, pushes: list[tuple[Command, list[str], ShellCommand]]) -> Iterator[Finding]:
    if not pushes:
        return
    for _, words, _ in pushes:
        image = next((one for one in reversed(words) if not one.startswith("-")), "")
        if "--all-tags" in words or "-a" in words or not image:
            return
        name = image.rsplit("/", 1)[-1]
        variable = name.startswith("$") and ":" not in name.replace("://", "").replace(":-", "")
        if variable or (":" in name and not name.endswith(":latest")) or "@" in name:
            return
    command, _, call = pushes[-1]
    yield _at(look, (command, call), "only-latest", "warning", "only the tag latest is pushed, so each build replaces the one before",
              f"a second tag, such as ${_COMMIT}, says which build an image is", RULES[2].source)  # fmt: skip


def _tags(look: Look, calls: list[tuple[Command, list[str], ShellCommand]]) -> Iterator[Finding]:
    for command, words, call in calls:
        for one in words:
            found = _VERSION.search(one)
            if found is None or ":" not in one[: found.start()]:
                continue
            start = command.text.find(found[0], call.first)
            at = command.offset(start + found[0].index("CODEBUILD"))
            length = len("CODEBUILD_SOURCE_VERSION")
            fix = Fix(title=f"use {_COMMIT}", safe=False, edits=(look.edit(at, at + length, _COMMIT),))
            yield look.within(
                "source-version-tag", "warning", (at, at + length), "CODEBUILD_SOURCE_VERSION may be a branch or an ARN, which no tag can be",
                cause=f"{_COMMIT} is the commit", source=_VARIABLES, fix=fix if start >= 0 else None,
            )  # fmt: skip


def _at(
    look: Look, where: tuple[Command, ShellCommand], rule: str, severity: str, message: str, cause: str, source: str,
    fix: Fix | None = None,
) -> Finding:  # fmt: skip
    command, call = where
    span = (command.offset(call.first), command.offset(call.last - 1) + 1)
    return look.within(rule, severity, span, message, cause=cause, source=source, fix=fix)  # type: ignore[arg-type]
