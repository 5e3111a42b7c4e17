"""Deployments of both kinds, to groups of hosts and of services, found by what a person calls them."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from seatrial.deployments import deployments
from seatrial.errors import UsageError
from seatrial.services import records
from seatrial.services.records import ServiceDeployment

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.deployments.deployments import Deployment

__all__ = ["ServiceDeployment", "every", "find"]


def every(home: Path) -> list[Deployment | ServiceDeployment]:
    """All deployments, newest first."""
    found: list[Deployment | ServiceDeployment] = [*deployments.every(home), *records.every(home)]
    return sorted(found, key=lambda one: (one.created, one.id), reverse=True)


def find(home: Path, reference: str) -> Deployment | ServiceDeployment:
    """The deployment of an id, a unique part of one, `latest`, or the latest one of a service by its name.

    Raises:
        UsageError: none or several fit.
    """
    known = every(home)
    named = [one for one in known if isinstance(one, ServiceDeployment) and reference in services(one)]
    found = (
        known[:1]
        if reference == "latest"
        else [one for one in known if one.id == reference]
        or named[:1]
        or [one for one in known if reference and reference.upper() in one.id.upper()]
    )
    if len(found) == 1:
        return found[0]
    names = {name for one in known if isinstance(one, ServiceDeployment) for name in services(one)}
    near = difflib.get_close_matches(reference, [*names, *(one.id for one in known)], 1)
    problem = "several deployments fit" if found else "there is no deployment"
    raise UsageError(
        f"{problem} {reference!r}",
        fix=f"did you mean {near[0]!r}?" if near else "`seatrial deploy list` shows the deployments",
    )


def services(one: ServiceDeployment) -> list[str]:
    """The names of the services of a deployment."""
    return [part.service for part in one.parts]
