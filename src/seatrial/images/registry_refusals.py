"""What a registry's refusals mean, in words that say what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial import transport
from seatrial.cloud import ecr
from seatrial.errors import SeatrialError
from seatrial.transport import TransportError, place

if TYPE_CHECKING:
    import httpx

    from seatrial.images.registry_session import Session

NO_REPOSITORY = frozenset({"NAME_UNKNOWN"})


def refusal(session: Session, answer: httpx.Response, what: str, *, fix: str | None = None) -> TransportError:
    """An error from an unexpected answer, with the registry's own words."""
    return TransportError(
        what,
        where=f"{place(str(answer.request.url))} ({session.reference.name})",
        why=f"{answer.status_code} {said(answer)}".strip(),
        fix=fix,
        kind="status",
        status=answer.status_code,
    )


def codes(answer: httpx.Response) -> set[str]:
    """The error codes in a registry's answer, such as BLOB_UPLOAD_UNKNOWN."""
    return {code for code, _ in _errors(answer)}


def said(answer: httpx.Response) -> str:
    """A registry's error answer in one line."""
    errors = _errors(answer)
    if errors:
        return transport.excerpt("; ".join(f"{code} {message}".strip() for code, message in errors))
    text = transport.excerpt(answer.text)
    return answer.reason_phrase if not text or "<" in text[:20] else text


def denied(session: Session, answer: httpx.Response, actions: str) -> TransportError:
    """Who we are does not suffice for `actions`; AWS even says which right is missing."""
    from seatrial.cloud.session import denied_action

    verb = "push to" if "push" in actions else "pull from"
    registry = session.reference.registry
    missing = denied_action(said(answer))
    if missing is not None:
        return TransportError(
            f"{registry} does not let us do {missing[0]}",
            where=place(str(answer.request.url)),
            why=said(answer),
            fix=f"allow {missing[0]} on {missing[1]} in the policy of that user or role",
            kind="status",
            status=answer.status_code,
        )
    if session.user is None:
        why = "no credentials were found for it"
        fix = f"log in, for example with `skopeo login {registry}` or `docker login {registry}`"
    else:
        why = f"the credentials from {session.user.source} are not enough"
        fix = f"log in again as someone who may {verb} {session.reference.repository}"
    return TransportError(
        f"{registry} does not let us {verb} {session.reference.repository}",
        where=place(str(answer.request.url)),
        why=f"{why}; it says: {answer.status_code} {said(answer)}".strip(),
        fix=fix,
        kind="status",
        status=answer.status_code,
    )


def unknown_repository(session: Session, answer: httpx.Response) -> TransportError | None:
    """What to do when the registry answers that it has no such repository; None when it says something else."""
    if not codes(answer) & NO_REPOSITORY:
        return None
    amazon = ecr.parse_host(session.reference.registry)
    if amazon is None:
        fix = "make the repository (or its project) in the registry, and check the spelling"
    elif amazon.public:
        fix = "add --create, or make it with `aws ecr-public create-repository`; the first part is your account's alias"
    else:
        fix = (
            "add --create (or `push.create: true`), or run `aws ecr create-repository "
            f"--repository-name {session.reference.repository} --region {amazon.region}`"
        )
    return refusal(
        session,
        answer,
        f"{session.reference.registry} has no repository {session.reference.repository}",
        fix=fix,
    )


def _errors(answer: httpx.Response) -> list[tuple[str, str]]:
    try:
        errors = answer.json()["errors"]
        return [(str(error.get("code", "")), str(error.get("message", ""))) for error in errors]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []


def not_found(session: Session, what: str) -> SeatrialError:
    """The registry knows no such thing."""
    return SeatrialError(
        f"{session.reference.registry} has no {what}",
        where=session.reference.name,
        fix=f"`seatrial image tags {session.reference.name}` lists what is there",
    )
