"""Declared tests as values, whichever form they were written in, ready to be asked of one image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from seatrial.images.runtimes.launch import Before, Bind  # noqa: TC001 - msgspec reads the annotation
from seatrial.images.testing.model import Check, failed, passed

if TYPE_CHECKING:
    from collections.abc import Iterable

Problem = tuple[str, str]
"""What is wrong, and `FILE:LINE` of what asked for it."""


class Wanted(msgspec.Struct, frozen=True):
    """A pattern that must be `found` in a text, or must not."""

    pattern: str
    found: bool
    where: str


class CommandTest(msgspec.Struct, frozen=True, kw_only=True):
    """A program to run. `notes` are what of the declaration does not happen here; `refusal` is why it cannot run at all.

    `empty` are folders in the image over which an empty one is laid.
    """

    id: str
    where: str
    command: tuple[str, ...]
    env: dict[str, str] = {}
    before: tuple[Before, ...] = ()
    user: str = ""
    workdir: str = ""
    network: Literal["host", "none"] = "host"
    exit_code: int = 0
    output: tuple[Wanted, ...] = ()
    error: tuple[Wanted, ...] = ()
    timeout: float = 600.0
    terminal: bool = False
    binds: tuple[Bind, ...] = ()
    empty: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    refusal: str = ""


class FileTest(msgspec.Struct, frozen=True, kw_only=True):
    """A file to look at. With `engine` it is looked at as in a container that an engine has created."""

    id: str
    where: str
    path: str
    engine: bool = False
    exists: bool = True
    kind: str = ""
    permissions: str = ""
    uid: int = -1
    gid: int = -1
    executable_by: str = ""


class ContentTest(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a file. `engine` as in `FileTest`."""

    id: str
    where: str
    path: str
    wanted: tuple[Wanted, ...]
    engine: bool = False


class Value(msgspec.Struct, frozen=True):
    """A named value of the image's settings: exactly `value`, or a pattern found in it."""

    name: str
    value: str
    pattern: bool
    where: str


class Named(msgspec.Struct, frozen=True):
    """Something that must be listed in the image's settings, or must not."""

    name: str
    listed: bool
    where: str


class MetadataTest(msgspec.Struct, frozen=True, kw_only=True):
    """The image's settings. None and empty texts are not looked at."""

    id: str
    where: str
    env: tuple[Value, ...] = ()
    no_env: tuple[Named, ...] = ()
    labels: tuple[Value, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    ports: tuple[Named, ...] = ()
    volumes: tuple[Named, ...] = ()
    workdir: str = ""
    user: str = ""
    places: dict[str, str] = {}


class LicenseTest(msgspec.Struct, frozen=True, kw_only=True):
    """License files to search for words. `engine` as in `FileTest`."""

    id: str
    where: str
    debian: bool
    files: tuple[str, ...]
    deny: tuple[str, ...]
    allow: tuple[str, ...]
    engine: bool = False


def answer(identifier: str, good: str, problems: Iterable[Problem], details: Iterable[str] = ()) -> Check:
    """One check: what was expected and got is the message, where that was declared is in the fix."""
    found = list(problems)
    if not found:
        return passed(identifier, good, details)
    places = list(dict.fromkeys(where for _, where in found))
    more = f" (and {len(places) - 1} more places)" if len(places) > 1 else ""
    rest = [f"{message} ({where})" for message, where in found[1:]]
    fix = f"correct the image, or what {places[0]} expects{more}"
    return failed(identifier, found[0][0], fix, [*rest, *details])


def shown(text: str, length: int = 160) -> str:
    """A text short enough for a message."""
    return repr(text if len(text) <= length else f"{text[:length]}…")
