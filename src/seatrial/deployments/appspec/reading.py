"""From the text of an application specification to what it says, or to the reasons why AWS would not take it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from seatrial.deployments.appspec import psych
from seatrial.deployments.appspec.model import Platform, Spec
from seatrial.deployments.appspec.server import Host, server
from seatrial.findings import Finding  # noqa: TC001 - msgspec reads the annotation
from seatrial.sources.text import Source, SourceError
from seatrial.sources.tree import Duplicate, Node  # noqa: TC001 - msgspec reads the annotations

if TYPE_CHECKING:
    from pathlib import Path


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """`spec` is what AWS would go by, None where it refuses; `refusals` are then why, first what it says first.

    `root` is None where the text is not YAML. Its scalars have Ruby's values where `platform` is `server`.
    """

    spec: Spec | None
    platform: Platform
    refusals: tuple[Finding, ...] = ()
    root: Node | None = None
    duplicates: tuple[Duplicate, ...] = ()
    documents: int = 1


def read(source: Source, platform: Platform | None = None, *, host: Host = "linux") -> Reading:
    """Read an application specification; without `platform` what it says decides. `host` is where an agent runs."""
    return _server(source, host)


def _server(source: Source, host: Host) -> Reading:
    try:
        loaded = psych.load(source)
    except psych.Stopped as error:
        return Reading(spec=None, platform="server", refusals=(error.finding,))
    except SourceError as error:
        return Reading(spec=None, platform="server", refusals=(error.finding,))
    spec, refusals = server(source, loaded.root, host)
    return Reading(
        spec=spec,
        platform="server",
        refusals=refusals,
        root=loaded.root,
        duplicates=loaded.duplicates,
        documents=loaded.documents,
    )
