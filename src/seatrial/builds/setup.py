"""What a build was asked to be: plain data that is frozen with its run, and where its parts lie while it goes on."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from seatrial.builds.environment import Identity  # noqa: TC001 - msgspec reads it
from seatrial.builds.model import Artifacts, Buildspec, Cache, Env, Phase, ReportGroup

HOUR = 3600.0
BREAKPOINT, GO_ON = "codebuild-breakpoint", "codebuild-resume"
"""Commands of CodeBuild's debug sessions. Source: user guide, "Debug builds with Session Manager"."""
_SECRET = re.compile(r"(?i)passw(or)?d|passphrase|secret|token|credential|api_?key|private_?key|access_?key")


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A whole build as its steps are given it.

    `source` is a folder, git URL, zip file or s3:// address; `secondary` are further ones with their versions, by
    identifier. `image` is
    (layout, digest), empty on the host. `variables` are those of the start that are no secrets; `secrets` names
    those that are, whose values travel apart. `timeout` is in seconds. `spec_path` is relative to the source, and
    `inline` the text when the buildspec was given as one.
    """

    identity: Identity
    source: str
    source_version: str = ""
    secondary: dict[str, tuple[str, str]] = {}
    spec_path: str = ""
    inline: str = ""
    version: Literal["0.1", "0.2"] = "0.2"
    env: Env = Env()
    hidden: tuple[str, ...] = ()
    variables: dict[str, str] = {}
    secrets: tuple[str, ...] = ()
    executor: Literal["host", "image"] = "host"
    image: tuple[str, ...] = ()
    runtime: str = ""
    shared: bool = False
    credentials: bool = False
    install: Phase | None = None
    phases: tuple[str, ...] = ()
    timeout: float = HOUR
    artifacts: tuple[Artifacts, ...] = ()
    artifacts_to: str = ""
    packaging: Literal["NONE", "ZIP"] = "NONE"
    reports: tuple[ReportGroup, ...] = ()
    reports_to: str = ""
    cache: Cache | None = None
    cache_at: str = ""
    breakpoints: Literal["", "ignored", "stop"] = ""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a build lies: `output` and `state` on this machine, and as the container sees them; `kept` outlives it.

    `source` is the name of the source's folder in `output`; `deadline` is in seconds since the epoch.
    """

    output: str
    state: str
    kept: str
    inside_output: str
    inside_state: str
    source: str
    deadline: float

    @property
    def sources(self) -> str:
        return f"{self.output}/{self.source}/src"

    @property
    def inside_sources(self) -> str:
        return f"{self.inside_output}/{self.source}/src"


def spec_of(wanted: Wanted) -> Buildspec:
    """As much of the buildspec as environment and runtimes depend on."""
    return Buildspec(
        path=wanted.spec_path,
        version=wanted.version,
        env=wanted.env,
        phases={} if wanted.install is None else {"install": wanted.install},
    )


def looks_secret(name: str) -> bool:
    """Whether a variable's name says that its value is one to keep."""
    return _SECRET.search(name) is not None
