"""What this machine must have before a shipment begins: learned in a moment, not after the image is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.errors import MissingToolError
from seatrial.processes import find

if TYPE_CHECKING:
    from seatrial.shipping.project import Project


def require(project: Project) -> None:
    """Find every program that the plan will start.

    Raises:
        MissingToolError: some are missing; names all of them and what each is for.
    """
    wanted = {"bwrap": "runs the image for its tests and as a service (Debian package bubblewrap)"}
    if not project.image.push.to:
        wanted["docker-registry"] = (
            "holds the image during the run; or push elsewhere with --to (docker-registry)"
        )
    if project.service is not None:
        wanted["haproxy"] = "balances requests between replicas (haproxy)"
    if project.image.base.debian:
        wanted["mmdebstrap"] = "makes the Debian base; or name another `base` (mmdebstrap)"
    missing = {program: use for program, use in wanted.items() if not _has(program)}
    if missing:
        raise MissingToolError(
            f"this machine lacks {', '.join(missing)}",
            why="; ".join(f"{program} {use}" for program, use in missing.items()),
            fix="`seatrial doctor` says how to install them",
        )


def _has(program: str) -> bool:
    try:
        find(program)
    except MissingToolError:
        return False
    return True
