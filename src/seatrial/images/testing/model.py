"""What an image is tested with, and what comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

import msgspec

from seatrial.config.model import AllowedSecret, Call, Model, Vulnerabilities
from seatrial.images.testing.declared.declaration import Declared  # noqa: TC001 - likewise

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from seatrial.images.rootfs import Entry, Root
    from seatrial.images.testing.advice_project import Project
    from seatrial.images.testing.python import Python

Level = Literal["quick", "standard", "full"]
LEVELS: tuple[Level, ...] = ("quick", "standard", "full")
Status = Literal["pass", "fail", "skip"]


class Edit(msgspec.Struct, frozen=True, kw_only=True):
    """A change to one file of the project, relative to its folder, that answers a failed check.

    `old` is replaced by `new` in line `line`, counted from 1. An empty `old` means that `new` becomes a line of its
    own there; line 0 means that the file's mode changes from `old` to `new`.
    """

    file: str
    line: int
    old: str = ""
    new: str = ""


class TestSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What the owner of an image says about it.

    `imports` are modules that must import beside those of the installed distributions. `inference` are requests
    and their answers; their files are relative to `folder`. `serves` says whether the image is a server; by
    default it is when it exposes `port` or has `inference`. `start_timeout` and `stop_timeout` are in seconds,
    `vulnerabilities` is the gate for known ones, its files relative to `folder`; `reference` is where the image was
    pulled from, for a registry that scans it. `size_limit` is the unpacked size in bytes that must not be exceeded, 0 for none.
    `models` must load and compute. `gpu` is a GPU or an instance type that compiled code must run on; with
    `gpu_required` one must be seen here. With `sagemaker` the image is started with `serve`, and with the folder
    `model_data` as /opt/ml/model. `declared` is what files and seatrial.yaml say that it must be like.
    """

    __test__: ClassVar[bool] = False  # not a pytest class

    imports: tuple[str, ...] = ()
    inference: tuple[Call, ...] = ()
    folder: str = "."
    serves: bool | None = None
    port: int = 8080
    ping: str = "/ping"
    start_timeout: float = 60.0
    stop_timeout: float = 30.0
    env: dict[str, str] = {}
    size_limit: int = 0
    models: dict[str, Model] = {}
    gpu: str = ""
    gpu_required: bool = False
    sagemaker: bool = False
    model_data: str = ""
    allow: tuple[AllowedSecret, ...] = ()
    vulnerabilities: Vulnerabilities = Vulnerabilities()
    reference: str = ""
    declared: tuple[Declared, ...] = ()


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One answer. `fix` is what to do about a failure; `details` are the single places, longest list first cut.

    `because` is the id of another failed check whose cause is this one's as well: it stands before this one.
    `edit` is the fix as a change to a file, where it is known. `ran` is when the check ran (UTC), for an answer from
    memory; empty for one of now.
    """

    id: str
    status: Status
    message: str
    fix: str = ""
    details: tuple[str, ...] = ()
    seconds: float = 0.0
    edit: Edit | None = None
    ran: str = ""
    because: str = ""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """All answers about one image; `verdict` is fail when one check failed."""

    verdict: Literal["pass", "fail"]
    checks: tuple[Check, ...]
    digest: str
    level: Level
    seconds: float


class Subject(NamedTuple):
    """An image under test. `tree` is what a process would see.

    `python` is None when it has no interpreter, or one that does not start: then `trouble` says why.
    `layout` is where the image lies, `project` what it was made from, where that is known.
    """

    root: Root
    tree: Mapping[str, tuple[str, Entry]]
    python: Python | None
    spec: TestSpec
    level: Level
    lock: Mapping[str, str] | None
    trouble: Check | None = None
    layout: Path | None = None
    project: Project | None = None

    def no_python(self) -> str:
        """Why nothing can be asked of the image's interpreter."""
        if self.trouble is None:
            return "the image has no Python"
        return f"the image's Python cannot be asked: {self.trouble.message}"

    def python_advice(self) -> str:
        """What to do about that."""
        return "take a base that has Python" if self.trouble is None else self.trouble.fix

    def file(self, path: str) -> Path:
        """Where a path of `tree` lies in the store. Never write there."""
        return self.root.folder(self.tree[path][0]) / path

    def at_least(self, level: Level) -> bool:
        return LEVELS.index(self.level) >= LEVELS.index(level)


Probe = Callable[[Subject], Iterable[Check]]
MOST_DETAILS = 20


def passed(identifier: str, message: str, details: Iterable[str] = ()) -> Check:
    return Check(id=identifier, status="pass", message=message, details=_cut(details))


def skipped(identifier: str, message: str) -> Check:
    return Check(id=identifier, status="skip", message=message)


def failed(identifier: str, message: str, fix: str, details: Iterable[str] = ()) -> Check:
    return Check(id=identifier, status="fail", message=message, fix=fix, details=_cut(details))


def _cut(details: Iterable[str]) -> tuple[str, ...]:
    lines = list(details)
    if len(lines) <= MOST_DETAILS:
        return tuple(lines)
    return (*lines[:MOST_DETAILS], f"… and {len(lines) - MOST_DETAILS} more")
