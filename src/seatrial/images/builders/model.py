"""What is built, by what, and what came out: the plain values that builders share."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - msgspec reads the annotations
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    from seatrial.images.builders.progress import Reader

BuilderName = Literal["docker", "buildkit", "podman", "buildah", "codebuild"]
State = Literal["running", "done", "cached", "failed"]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What a builder is given. `context` and `dockerfile` are read and never written.

    `arguments` are build arguments, `secrets` files by the name that `--mount=type=secret` calls them. `bases` are
    images that the builder must have, by the name that the Dockerfile calls them: layouts with one image each.
    `fresh`: take nothing from caches.
    `project` is that of CodeBuild. `form`: `docker` for what OCI's configuration has no place for (SHELL, HEALTHCHECK,
    ONBUILD); Buildah finds its cached steps more often with `oci`.
    """

    context: Path
    dockerfile: Path
    target: str = ""
    platform: str = ""
    arguments: dict[str, str] = {}
    secrets: dict[str, Path] = {}
    bases: dict[str, Path] = {}
    network: str = ""
    isolation: str = ""
    fresh: bool = False
    project: str = ""
    form: Literal["oci", "docker"] = "oci"


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One instruction as it was built. `number` of `total` counts as the builder does, per stage.

    `instruction` is its text as the user wrote it, `line` where it is in the Dockerfile (0: nobody knows). `seconds`
    is what it took, `expected` what it took before (0: never built). `size` is the bytes of its layer, uncompressed.
    """

    number: int
    total: int
    instruction: str
    stage: str = ""
    line: int = 0
    state: State = "running"
    seconds: float = 0.0
    expected: float = 0.0
    size: int = 0

    @property
    def throughput(self) -> float:
        """Bytes of the layer per second of the step; 0 when nothing was written."""
        return self.size / self.seconds if self.seconds > 0 and self.state == "done" else 0.0


class Replaced(msgspec.Struct, frozen=True, kw_only=True):
    """A package of the base that the build replaced or removed (`after` is empty), with what it is good to know of it."""

    name: str
    before: str
    after: str
    note: str = ""


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """An image in `layout`: its manifest digest, bytes of its layers, and how it came about.

    `base` is the digest of the configuration's first layers' image when it is known. `notes` are worth knowing.
    """

    digest: str
    layout: Path
    builder: str
    version: str
    size: int
    steps: tuple[Step, ...]
    seconds: float
    replaced: tuple[Replaced, ...] = ()
    notes: tuple[str, ...] = ()


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a builder's run ended: exit code (0: built), its steps, and its words without prefixes and secrets."""

    code: int
    steps: tuple[Step, ...]
    log: str
    seconds: float


class Builder(Protocol):
    """What each builder's module gives. All of them leave an OCI layout behind."""

    NAME: BuilderName

    def problem(self) -> str:
        """Why this builder cannot be used here; empty when it can."""
        ...

    def version(self) -> str:
        """The program's name and version."""
        ...

    def capable(self) -> frozenset[str]:
        """What it understands: `mounts` (RUN --mount), `heredocs`."""
        ...

    def build(self, request: Request, work: Path, watch: Callable[[str], None]) -> int:
        """Run the build and return its exit code; `watch` gets each line it says."""
        ...

    def export(self, work: Path, layout: Path) -> None:
        """Write the image that `build` made in `work` as a layout, layers as the builder gives them."""
        ...

    def lines(self) -> Reader:
        """A reader of what it prints."""
        ...
