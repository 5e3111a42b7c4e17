"""What is asked and what is answered. Plain data; the identities of asks are the caller's own."""

from __future__ import annotations

from typing import Literal

import msgspec

from seatrial.images.target import Target


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One package asked for, as in PEP 508. `id` is the caller's own and unique among the asks of a problem.

    `url` is a direct reference (a wheel, an archive, `git+…`, a path). `index` is the index that is asked for this
    package alone.
    """

    id: str
    name: str
    specifier: str = ""
    extras: tuple[str, ...] = ()
    marker: str = ""
    url: str = ""
    index: str = ""

    @property
    def text(self) -> str:
        """As one would write it in a requirement file."""
        return self.line(self.specifier)

    def line(self, specifier: str) -> str:
        extras = f"[{','.join(self.extras)}]" if self.extras else ""
        marker = f" ; {self.marker}" if self.marker else ""
        return f"{self.name}{extras}{specifier}{marker}"


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """Where and from where packages would be installed.

    `python` is `3.11` or `3.11.4`, `platform` an OCI platform, `glibc` the C library of the base. `index` replaces the
    default index, `extra_indexes` and `find_links` come besides. `first_index`: only the first index that has a package
    counts, as with uv; else all count, as with pip.
    `constraints` limit versions without asking for packages; `overrides` replace what packages declare (uv).
    `installed` is what the base has already, name → version: kept where it satisfies, replaced where not.
    `exclude_newer` is a date (`2025-06-01`). `pre` allows pre-releases, `no_deps` leaves dependencies out.
    """

    python: str = "3.11"
    platform: str = "linux/amd64"
    glibc: str = "2.36"
    index: str = ""
    extra_indexes: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    no_index: bool = False
    first_index: bool = False
    constraints: tuple[Ask, ...] = ()
    overrides: tuple[str, ...] = ()
    installed: dict[str, str] = {}
    exclude_newer: str = ""
    pre: bool = False
    no_deps: bool = False

    @property
    def target(self) -> Target:
        minor = ".".join(self.python.split(".")[:2])
        return Target(python=minor, platform=self.platform, glibc=self.glibc)

    @property
    def full_python(self) -> str:
        """With a patch number: the newest thinkable one where none is given, so that `>=3.11.4` holds on `3.11`."""
        return self.python if self.python.count(".") > 1 else f"{self.python}.99"


Status = Literal["satisfied", "unsatisfiable", "unknown"]
ConflictKind = Literal["conflict", "no-such-package", "no-such-version", "python", "platform"]
"""conflict: the requests, or what they need, exclude each other. python, platform: the versions exist, but none of them
for this Python or this platform."""


class Link(msgspec.Struct, frozen=True):
    """One fact of an explanation: `package` in `versions` needs `other` in `needs`.

    An empty `package` is the request itself: it is asked for. An empty `other`: nothing fits, `needs` says why.
    """

    package: str
    versions: str
    other: str
    needs: str

    def __str__(self) -> str:
        if not self.other:
            return f"{self.package}{self.versions} {self.needs}"
        what = f"{self.other}{self.needs}"
        return f"{self.package}{self.versions} needs {what}" if self.package else f"{what} is asked for"


class Conflict(msgspec.Struct, frozen=True, kw_only=True):
    """Why nothing satisfies the asks.

    `asks` are the ids of the smallest set found that cannot be satisfied even alone (`minimal` is false when time ran
    out before it was known to be the smallest). `available` are existing versions near the one asked for. `detail` is
    the resolver's own text.
    """

    kind: ConflictKind
    message: str
    asks: tuple[str, ...]
    chain: tuple[Link, ...] = ()
    available: tuple[str, ...] = ()
    detail: str = ""
    minimal: bool = True


class Solution(msgspec.Struct, frozen=True, kw_only=True):
    """The answer for one problem.

    satisfied: `versions` would be chosen; `replaced` names what the base has in another version (installed, chosen);
    `built` have no wheel for the target, so an installer would build them; of `unseen` the dependencies are not known;
    `yanked` were withdrawn (version → reason is in the value).
    unsatisfiable: `conflict` says why. unknown: `reason` says why it cannot be told, `remedy` what would help; a `conflict`
    then is only what the places that could be asked say.
    `notes` say what was left out or taken for something else; `left_out` are the places that could not be asked.
    `cached`: answered from memory.
    """

    status: Status
    versions: dict[str, str] = {}
    replaced: dict[str, tuple[str, str]] = {}
    built: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    yanked: dict[str, str] = {}
    conflict: Conflict | None = None
    reason: str = ""
    remedy: str = ""
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    cached: bool = False


class Edited(msgspec.Struct, frozen=True):
    """A new specifier for one ask; None: the ask is dropped. `version` is what would be chosen then."""

    ask: str
    specifier: str | None
    version: str = ""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A change that was solved again and satisfies. Most change one ask."""

    edits: tuple[Edited, ...]
    reason: str
