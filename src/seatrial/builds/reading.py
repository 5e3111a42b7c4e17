"""From the text of a buildspec to what it says, or to the reasons why CodeBuild would not read it.

What CodeBuild ignores is ignored here: an unknown key, a list of the wrong type. `builds.rules` has findings for those.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from seatrial.builds import absent
from seatrial.builds.model import (
    DEFAULT_NAME,
    PHASES,
    Artifacts,
    Buildspec,
    Cache,
    Env,
    OnFailure,
    Phase,
    PhaseName,
    ReportGroup,
    Version,
)
from seatrial.builds.nodes import child, children, flag, table, texts, word, words
from seatrial.builds.reading_batch import batch
from seatrial.builds.refusals import missing, refusals, syntax
from seatrial.findings import Finding  # noqa: TC001 - msgspec reads the annotation
from seatrial.sources.text import Source, SourceError
from seatrial.sources.tree import Document, Node

if TYPE_CHECKING:
    from pathlib import Path

_NULL = "tag:yaml.org,2002:null"
_RETRIES = 3
_MOST_RETRIES = 100
_RETRY = re.compile(r"RETRY(?:-(\d{1,3}))?(?:-(.+))?", re.DOTALL)


class Reading(msgspec.Struct, frozen=True):
    """`spec` is what CodeBuild would run, None where it refuses. `document` is None where the text is not
    YAML; of several `documents` it is the first, which is what CodeBuild reads.
    """

    spec: Buildspec | None
    refusals: tuple[Finding, ...] = ()
    document: Document | None = None
    documents: int = 1


def load(root: Path, path: str = DEFAULT_NAME) -> Reading:
    """Read the buildspec at `path` of a source folder; a missing file is CodeBuild's refusal.

    Raises:
        SourceError: the file is there and cannot be read, or is not UTF-8.
    """
    from seatrial.sources.text import read as read_text

    if not absent.is_inside(path) or not (root / path).is_file():
        return Reading(None, (missing(path, absent.why(root, path)),))
    return read(read_text(root / path, path))


def read(source: Source) -> Reading:
    """Read a buildspec."""
    from seatrial.sources import yaml

    try:
        documents = yaml.read_all(source)
    except SourceError as error:
        cause = error.__cause__
        if any(hasattr(cause, name) for name in ("problem", "context", "character")):
            return Reading(None, (syntax(source, cause, error.finding.cause),))
        return Reading(None, (error.finding,))
    # Of several documents CodeBuild reads the first.
    document = documents[0] if documents else Document(source, Node("scalar", 0, 0, tag=_NULL))
    refused = refusals(source, document.root)
    if refused:
        return Reading(None, refused, document, len(documents))
    return Reading(spec(document), (), document, len(documents))


def spec(document: Document) -> Buildspec:
    """What a file says that CodeBuild does not refuse."""
    source, root = document.source, document.root
    version: Version = "0.1" if word(child(root, "version")).strip() == "0.1" else "0.2"
    top = children(root)
    return Buildspec(
        path=source.path,
        version=version,
        run_as=word(child(root, "run-as")),
        env=env(source, root, version),
        upload_artifacts_by_proxy=flag(child(root, "proxy", "upload-artifacts")),
        logs_by_proxy=flag(child(root, "proxy", "logs")),
        phases=phases(source, child(root, "phases")),
        reports=_reports(source, child(root, "reports")),
        artifacts=_artifacts(source, "", *top["artifacts"]) if "artifacts" in top else None,
        secondary_artifacts=tuple(
            _artifacts(source, name, key, value)
            for name, (key, value) in children(child(root, "artifacts", "secondary-artifacts")).items()
        ),
        cache=_cache(source, *top["cache"]) if "cache" in top else None,
        batch=batch(source, *top["batch"]) if "batch" in top else None,
    )


def env(source: Source, root: Node, version: Version) -> Env:
    """The variables of a file: `env` in 0.2, `environment_variables` with `plaintext` in 0.1, which knows no other."""
    node = child(root, "env")
    variables = table(source, child(node, "variables"))
    if version == "0.1":
        variables = table(source, child(root, "environment_variables", "plaintext")) | variables
    return Env(
        shell=word(child(node, "shell")),
        variables=variables,
        parameter_store=table(source, child(node, "parameter-store")),
        secrets_manager=table(source, child(node, "secrets-manager")),
        exported_variables=texts(source, child(node, "exported-variables")),
        git_credential_helper=flag(child(node, "git-credential-helper")),
    )


def phases(source: Source, node: Node | None) -> dict[PhaseName, Phase]:
    """The phases that are there, in the order in which they run."""
    found = children(node)
    return {name: _phase(source, name, *found[name]) for name in PHASES if name in found}


def _phase(source: Source, name: PhaseName, key: Node, node: Node) -> Phase:
    return Phase(
        name=name,
        place=source.place(key.start, key.end),
        run_as=word(child(node, "run-as")),
        on_failure=on_failure(word(child(node, "on-failure"))),
        runtime_versions=table(source, child(node, "runtime-versions")),
        commands=texts(source, child(node, "commands")),
        finally_=texts(source, child(node, "finally")),
    )


def on_failure(said: str) -> OnFailure | None:
    """What `ABORT`, `CONTINUE`, `RETRY`, `RETRY-2`, `RETRY-.*timeout.*` or `RETRY-2-.*timeout.*` mean; else None."""
    if said in ("ABORT", "CONTINUE"):
        return OnFailure(action="ABORT" if said == "ABORT" else "CONTINUE")
    found = _RETRY.fullmatch(said)
    if found is None:
        return None
    times, pattern = found.groups()
    if times is not None and int(times) > _MOST_RETRIES:
        return None
    return OnFailure(action="RETRY", times=_RETRIES if times is None else int(times), pattern=pattern or "")


def _reports(source: Source, node: Node | None) -> tuple[ReportGroup, ...]:
    return tuple(
        ReportGroup(
            name=name,
            place=source.place(key.start, key.end),
            files=texts(source, child(group, "files")),
            base_directory=word(child(group, "base-directory")),
            discard_paths=flag(child(group, "discard-paths")),
            file_format=word(child(group, "file-format")).upper() or "JUNITXML",
        )
        for name, (key, group) in children(node).items()
    )


def _artifacts(source: Source, identifier: str, key: Node, node: Node) -> Artifacts:
    return Artifacts(
        identifier=identifier,
        place=source.place(key.start, key.end),
        files=texts(source, child(node, "files")),
        name=word(child(node, "name")),
        base_directory=word(child(node, "base-directory")),
        exclude_paths=texts(source, child(node, "exclude-paths")),
        discard_paths=flag(child(node, "discard-paths")),
        enable_symlinks=flag(child(node, "enable-symlinks")),
        s3_prefix=word(child(node, "s3-prefix")),
    )


def _cache(source: Source, key: Node, node: Node) -> Cache:
    action = word(child(node, "action"))
    return Cache(
        place=source.place(key.start, key.end),
        paths=texts(source, child(node, "paths")),
        key=word(child(node, "key")),
        fallback_keys=words(child(node, "fallback-keys")),
        action="restore" if action == "restore" else "save" if action == "save" else "",
    )
