"""An image over time: which packages are there before and after each install."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from seatrial.images.catalog import Contents
    from seatrial.images.facts import Gpu
    from seatrial.images.solving.model import Change, Conflict
    from seatrial.images.story.model import Install, Request, Span, Stage, Step, Story
    from seatrial.images.story.model import Setting as Variable


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What an image is meant to run on: what the user said, empty or None where nothing was said.

    `python` is `3.11`, `architecture` `x86_64` or `aarch64`, `glibc` the C library of the machine that a project without
    an image runs on. `driver` is the version of NVIDIA's driver, or `driver_cuda` the CUDA version that it supports, as
    nvidia-smi shows it.
    """

    python: str = ""
    driver: str = ""
    driver_cuda: str = ""
    glibc: str = ""
    gpus: tuple[Gpu, ...] = ()
    architecture: str = "x86_64"


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """A package in an environment.

    `versions` are those that it can be, newest first: one when it is known, none when nothing is known about it.
    `specifier` is all that was asked about it. `variant` is the build: `cu121`, `cpu`, `rocm6.1`, `ngc`, empty where
    that is not known. `request` asked for it, or for `via`, the package that needs it; both are empty for what the
    base brought. `certain` is false where the install may not run. `open`: a resolver takes the first version today, and
    nothing in the files says that it stays so.
    """

    name: str
    versions: tuple[str, ...] = ()
    specifier: str = ""
    variant: str = ""
    request: Request | None = None
    install: Install | None = None
    via: str = ""
    base: bool = False
    certain: bool = True
    open: bool = False

    @property
    def exact(self) -> str:
        """The version, if there is just one it can be, else empty."""
        return self.versions[0] if len(self.versions) == 1 and not self.open else ""

    @property
    def likely(self) -> str:
        """The version that an installer takes today: chosen, else the newest it can be; empty when nothing is known."""
        return self.versions[0] if self.versions else ""


Packages = dict[str, Package]
"""An environment: packages by normalised name."""


class Resolved(msgspec.Struct, frozen=True, kw_only=True):
    """What a resolver says about one install.

    `versions` are those it chose, empty where that cannot be told; `reason` says why. With a `conflict`, `asked` has the
    requests by the ids that it names, and `changes` finds changes that satisfy, the nearest first. `doubt` says why the
    files alone do not make it certain. `locked`: just these versions will be installed, on any day.
    """

    versions: Mapping[str, str] = {}
    locked: bool = False
    conflict: Conflict | None = None
    asked: Mapping[str, Request] = {}
    changes: Callable[[], tuple[Change, ...]] | None = None
    doubt: str = ""
    reason: str = ""


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """One install, and the environment before and after it; `resolved` is what a resolver says, if one was asked."""

    install: Install
    before: Mapping[str, Package]
    after: Mapping[str, Package]
    resolved: Resolved | None = None

    @property
    def replaced(self) -> Iterator[tuple[Package, Package]]:
        """Packages that this install exchanges: before, after."""
        for name, old in self.before.items():
            new = self.after.get(name)
            if new is not None and new.install is self.install and new is not old:
                yield old, new


class Interpreter(msgspec.Struct, frozen=True):
    """The Python that packages are installed for: `3.11`, empty when not known; `at` is the text that decides it."""

    version: str
    why: str = ""
    at: Span | None = None


class Timeline(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Everything that happens in one environment of one stage, from the base on.

    `environment` is empty for the one that plain `python` uses, see `Install.environment`. `steps` are all steps of
    the stage and of those it is built on; `base` is None where the image is not known.
    """

    story: Story
    stage: Stage
    target: Target
    base: Contents | None
    environment: str
    python: Interpreter
    steps: tuple[Step, ...]
    moments: tuple[Moment, ...]
    final: Mapping[str, Package]
    variables: Mapping[str, Variable]

    @property
    def root(self) -> Stage:
        """The stage that starts from an image: where the reference of `base` is written."""
        return self.story.lineage(self.stage)[0]

    def scenes(self) -> Iterator[Mapping[str, Package]]:
        """Environments to judge: how it ends, and what each install that may not run would leave by itself."""
        yield self.final
        for one in self.moments:
            if not one.install.certain:
                yield {
                    name: package
                    for name, package in one.after.items()
                    if package.certain or package.install is one.install
                }
