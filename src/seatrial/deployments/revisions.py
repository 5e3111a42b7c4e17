"""Revisions of an application: bundles that were deployed or will be, kept as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from seatrial.deployments import bundles, records
from seatrial.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

_SHORT = 12


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle. `location` is where it came from, `kept` where its copy is, and `digest` is over its content.

    `version` is the commit of a repository, or the version of an object in S3. Times are seconds since the epoch.
    """

    id: str
    application: str
    location: str
    type: str
    digest: str
    kept: str
    version: str = ""
    registered: float = 0
    description: str = ""


def register(
    home: Path,
    application: str,
    location: str,
    kind: str,
    *,
    version: str = "",
    description: str = "",
    now: float,
) -> Revision:
    """Keep a bundle as a revision; the same content is the same revision, and what is registered stays.

    Raises:
        SeatrialError: there is no such bundle, it cannot be read or fetched, or holds what is neither a file, a
            folder nor a link.
    """
    records.check_name("an application", application)
    kept = bundles.keep(home, location, kind, version)
    revision = Revision(
        id=f"r-{kept.digest[:_SHORT]}",
        application=application,
        location=kept.location,
        type=kept.type,
        digest=kept.digest,
        kept=str(kept.path),
        version=kept.version,
        registered=now,
        description=description,
    )
    with records.changing(home):
        before = records.read(_path(home, application, revision.id), Revision)
        if before is not None:
            return before
        records.write(_path(home, application, revision.id), revision)
    return revision


def load(home: Path, application: str, identifier: str) -> Revision:
    """A revision of an application, by its id or a beginning of it that fits one alone.

    Raises:
        UsageError: there is none, or several fit.
    """
    found = [one for one in every(home, application) if one.id.startswith(identifier)]
    exact = [one for one in found if one.id == identifier] or found
    if len(exact) == 1 and identifier:
        return exact[0]
    problem = "several revisions fit" if exact and identifier else "there is no revision"
    known = ", ".join(one.id for one in every(home, application)[:5])
    raise UsageError(
        f"{problem} {identifier!r} of the application {application}",
        fix=f"its latest revisions are {known}" if known else "`seatrial deploy run BUNDLE` makes the first",
    )


def every(home: Path, application: str) -> list[Revision]:
    """The revisions of an application, newest first."""
    found = records.all_in(records.folder(home, "revisions", application), Revision)
    return sorted(found, key=lambda one: (one.registered, one.id), reverse=True)


def _path(home: Path, application: str, identifier: str) -> Path:
    return records.folder(home, "revisions", application) / f"{identifier}.json"
