"""From the text of an application specification to what it says, or to the reasons why AWS would not take it."""

from __future__ import annotations

from typing import Literal

import msgspec

from seatrial.deployments.appspec import psych
from seatrial.deployments.appspec.cloud import cloud
from seatrial.deployments.appspec.kind import platform as by_content
from seatrial.deployments.appspec.model import Platform, Spec  # noqa: TC001 - msgspec reads the annotations
from seatrial.deployments.appspec.properties import NOT_WELL_FORMED
from seatrial.deployments.appspec.refusing import Refusing
from seatrial.deployments.appspec.server import Host, server
from seatrial.findings import Finding  # noqa: TC001 - msgspec reads the annotation
from seatrial.sources.text import Source, SourceError
from seatrial.sources.tree import Document, Duplicate, Node

_NULL = "tag:yaml.org,2002:null"


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """`spec` is what AWS would go by, None where it refuses; `refusals` are then why, first what it says first.

    `root` is None where the text is not YAML or empty. Its scalars have Ruby's values where `platform` is `server`.
    `host` is the system that the agent was taken to run on.
    """

    spec: Spec | None
    platform: Platform
    refusals: tuple[Finding, ...] = ()
    root: Node | None = None
    duplicates: tuple[Duplicate, ...] = ()
    documents: int = 1
    host: Host = "linux"


def read(source: Source, platform: Platform | None = None, *, host: Host | None = None) -> Reading:
    """Read an application specification.

    Without `platform` what it says decides, and a file for Windows is read as the agent on Windows reads it. With
    `platform` `server` the agent is one on Linux, if `host` does not say otherwise.
    """
    if platform == "server":
        return _server(source, host or "linux")
    document = _document(source)
    found = platform or by_content(source.text, document.root if isinstance(document, Document) else None)
    if found == "server":
        return _server(source, host or _host(document))
    return _cloud(source, document, found)


def _document(source: Source) -> Document | SourceError:
    """The tree as YAML libraries give it; JSON is read as JSON, and as YAML where that fails."""
    from seatrial.sources import json

    try:
        if source.path.endswith(".json") and source.text.lstrip().startswith("{"):
            return json.read(source)
        return _yaml(source)
    except SourceError as error:
        return _again(source, error)


def _again(source: Source, error: SourceError) -> Document | SourceError:
    """What is not JSON may still be YAML."""
    try:
        return _yaml(source) if error.finding.rule == "source/json-syntax" else error
    except SourceError:
        return error


def _yaml(source: Source) -> Document:
    from seatrial.sources import yaml

    documents = yaml.read_all(source)
    return documents[0] if documents else Document(source, Node("scalar", 0, 0, tag=_NULL))


def _host(document: Document | SourceError) -> Host:
    if isinstance(document, Document) and isinstance(document.value, dict):
        return "windows" if document.value.get("os") == "windows" else "linux"
    return "linux"


def _server(source: Source, host: Host) -> Reading:
    try:
        loaded = psych.load(source)
    except psych.Stopped as error:
        return Reading(spec=None, platform="server", refusals=(error.finding,), host=host)
    spec, refusals = server(source, loaded.root, host)
    return Reading(
        spec=spec,
        platform="server",
        refusals=refusals,
        root=loaded.root,
        duplicates=loaded.duplicates,
        documents=loaded.documents,
        host=host,
    )


def _cloud(source: Source, document: Document | SourceError, platform: Literal["lambda", "ecs"]) -> Reading:
    if isinstance(document, SourceError):
        return Reading(spec=None, platform=platform, refusals=(_not_well_formed(document.finding),))
    refusing = Refusing(source)
    spec = cloud(refusing, document.root, platform)
    return Reading(
        spec=None if refusing.findings else spec,
        platform=platform,
        refusals=tuple(refusing.findings),
        root=document.root,
        duplicates=document.duplicates,
    )


def _not_well_formed(found: Finding) -> Finding:
    """CodeDeploy's own words say nothing; what the parser met is the cause."""
    told = f"{found.message}; {found.cause}" if found.cause else found.message
    return msgspec.structs.replace(found, message=NOT_WELL_FORMED, cause=told)
