"""Talking to one repository of a registry: its address, who we are there, and what its refusals mean.

Source: OCI distribution-spec v1.1; the token flow of distribution.github.io/distribution/spec/auth/token.
"""

from __future__ import annotations

import base64
import re
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urljoin, urlsplit

import msgspec

from seatrial import transport
from seatrial.images import credentials
from seatrial.images.reference import Reference, api_host, is_loopback
from seatrial.images.registry_refusals import (
    NO_REPOSITORY,
    codes,
    denied,
    not_found,
    refusal,
    said,
    unknown_repository,
)
from seatrial.transport import TransportError, place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import httpx

    from seatrial.clock import Clock
    from seatrial.images.credentials import Credentials
    from seatrial.transport import Link, Method, Retry

__all__ = [
    "CONNECTIONS",
    "DELETE",
    "NO_REPOSITORY",
    "PULL",
    "PUSH",
    "Challenge",
    "Session",
    "authenticate",
    "call",
    "codes",
    "location",
    "not_found",
    "open_session",
    "open_stream",
    "refusal",
    "said",
    "unknown_repository",
]

PULL, PUSH = "pull", "pull,push"
DELETE = "pull,push,delete"
_UNAUTHORIZED, _FORBIDDEN = 401, 403
CONNECTIONS = 16
_SHORTEST_LIFE = 60.0  # seconds a token lives when its server does not say, by the specification


class Challenge(msgspec.Struct, frozen=True):
    """How a registry wants to be convinced: `scheme` is basic or bearer."""

    scheme: str
    realm: str = ""
    service: str = ""


class _Token(NamedTuple):
    text: str
    until: float


class Session:
    """One repository on one registry for as long as a push or pull takes. Threads may share it.

    `log_in` gets new credentials where the registry's are made on request; `user` is then only known when they are
    needed. `make_repository`, when set, makes the repository that the registry says it does not have.
    """

    def __init__(self, link: Link, reference: Reference, *, plain: bool, user: Credentials | None) -> None:
        self.link = link
        self.reference = reference
        self.user = user
        self.plain = plain
        self.root = f"{'http' if plain else 'https'}://{api_host(reference.registry)}/v2/"
        self.challenge: Challenge | None = None
        self.tokens: dict[str, _Token] = {}
        self.lock = threading.Lock()
        self.log_in: Callable[[], Credentials] | None = None
        self.renew_at = float("inf")  # when `user` is to be asked for anew
        self.user_lock = threading.Lock()
        self.make_repository: Callable[[Session], None] | None = None

    def url(self, path: str) -> str:
        """An address below the repository, such as `blobs/uploads/`."""
        return f"{self.root}{self.reference.repository}/{path}"


@contextmanager
def open_session(
    reference: Reference,
    *,
    insecure: bool = False,
    clock: Clock | None = None,
    retry: Retry | None = None,
    timeout: float = 60.0,
) -> Iterator[Session]:
    """Find credentials and open a connection; plain HTTP on this machine or when `insecure`, else HTTPS.

    Raises:
        SeatrialError: credentials or certificates cannot be read.
    """
    user = credentials.find(reference.registry, reference.repository)
    with transport.connect(clock=clock, retry=retry, timeout=timeout, connections=CONNECTIONS) as link:
        session = Session(link, reference, plain=insecure or is_loopback(reference.registry), user=user)
        if user is None:
            session.log_in = credentials.on_request(reference.registry)
        yield session


def authenticate(session: Session, actions: str) -> None:
    """Say who we are before anything is sent, so that a wrong password costs no upload.

    Raises:
        TransportError: the registry cannot be reached, or does not let us in.
        SeatrialError: the server is no registry.
    """
    answer = _send(session, "GET", session.root, {}, None, repeatable=True)
    if answer.status_code == _UNAUTHORIZED:
        session.challenge = _challenge(answer)
        _log_in(session, actions)
        if session.challenge.scheme == "bearer":
            _token(session, _scope(session, actions))
            return
        answer = call(session, "GET", session.root, actions=actions)
    if answer.status_code not in (200, 404) or "html" in answer.headers.get("Content-Type", ""):
        raise refusal(session, answer, "this server does not answer as a registry does")


def call(
    session: Session,
    method: Method,
    url: str,
    *,
    actions: str,
    headers: Mapping[str, str] | None = None,
    content: bytes | Callable[[], Iterable[bytes]] | None = None,
    repeatable: bool | None = None,
    also: tuple[str, ...] = (),
) -> httpx.Response:
    """Send a request with credentials; a token that has expired meanwhile is renewed once.

    `also` are other repositories that must be readable, for mounting from them.

    Raises:
        TransportError: no usable answer, or the registry does not let us do this.
    """
    scope = _scope(session, actions, also)
    for renewed in (False, True):
        user = session.user
        allowed = {**(headers or {}), **_authorization(session, url, scope, renew=renewed)}
        answer = _send(session, method, url, allowed, content, repeatable=repeatable)
        if answer.status_code == _UNAUTHORIZED and not renewed:
            session.challenge = _challenge(answer)
            _log_in(session, actions, instead_of=user)
            continue
        break
    if answer.status_code in (_UNAUTHORIZED, _FORBIDDEN):
        raise denied(session, answer, actions)
    return answer


@contextmanager
def open_stream(
    session: Session, url: str, *, headers: Mapping[str, str], actions: str = PULL
) -> Iterator[httpx.Response]:
    """GET something large; the answer is read by the caller.

    Raises:
        TransportError: no usable answer, or the registry does not let us do this.
    """
    scope = _scope(session, actions)
    for renewed in (False, True):
        user = session.user
        allowed = {**headers, **_authorization(session, url, scope, renew=renewed)}
        with transport.stream(session.link, "GET", url, headers=allowed) as answer:
            if answer.status_code == _UNAUTHORIZED and not renewed:
                session.challenge = _challenge(answer)
                _log_in(session, actions, instead_of=user)
                continue
            if answer.status_code in (_UNAUTHORIZED, _FORBIDDEN):
                raise denied(session, answer, actions)
            yield answer
            return


def location(session: Session, answer: httpx.Response, url: str) -> str:
    """Where an upload goes on; the header may be relative.

    Raises:
        TransportError: there is none, or it would take the upload from HTTPS to plain HTTP.
    """
    target: str = answer.headers.get("Location", "")
    if not target:
        raise refusal(session, answer, "the registry does not say where to upload to")
    target = urljoin(url, target)
    if urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
        raise refusal(
            session,
            answer,
            "the registry redirects the upload from HTTPS to plain HTTP",
            fix="correct the external address in the registry's settings (X-Forwarded-Proto of its proxy)",
        )
    return target


def _send(
    session: Session,
    method: Method,
    url: str,
    headers: Mapping[str, str],
    content: bytes | Callable[[], Iterable[bytes]] | None,
    *,
    repeatable: bool | None,
) -> httpx.Response:
    try:
        return transport.send(
            session.link, method, url, headers=headers, content=content, repeatable=repeatable
        )
    except TransportError as error:
        if error.kind == "tls" and "does not speak TLS" in (error.why or ""):
            error.fix = "add --insecure if the registry is meant to speak plain HTTP"
        raise


def _authorization(session: Session, url: str, scope: str, *, renew: bool) -> dict[str, str]:
    """Credentials go to the registry itself and nowhere else, wherever it sends an upload."""
    challenge = session.challenge
    if challenge is None or urlsplit(url)[:2] != urlsplit(session.root)[:2]:
        return {}
    if session.link.clock.now() >= session.renew_at:
        _log_in(session, PUSH, instead_of=session.user)
    if challenge.scheme == "bearer":
        return {"Authorization": f"Bearer {_token(session, scope, renew=renew)}"}
    return _basic(session.user)


def _log_in(session: Session, actions: str, *, instead_of: Credentials | None = None) -> None:
    """Get credentials that are made on request, unless another thread has done so meanwhile.

    Public repositories are read by anybody, so reading asks for none.
    """
    if session.log_in is None or (
        actions == PULL and session.challenge and session.challenge.scheme == "bearer"
    ):
        return
    with session.user_lock:
        if session.user is not instead_of:
            return
        asked = session.link.clock.now()
        session.user = session.log_in()
        # Well before its end: a large chunk takes its time.
        session.renew_at = asked + session.user.life * 0.9 if session.user.life else float("inf")


def _basic(user: Credentials | None) -> dict[str, str]:
    if user is None or not user.username:
        return {}
    pair = base64.b64encode(f"{user.username}:{user.password}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def _challenge(answer: httpx.Response) -> Challenge:
    """Read WWW-Authenticate; Bearer when the registry offers several."""
    found: list[Challenge] = []
    for header in answer.headers.get_list("WWW-Authenticate"):
        scheme, _, rest = header.strip().partition(" ")
        fields = {key.lower(): value for key, value in re.findall(r'([A-Za-z]+)="([^"]*)"', rest)}
        found.append(Challenge(scheme.lower(), fields.get("realm", ""), fields.get("service", "")))
    found.sort(key=lambda challenge: challenge.scheme != "bearer")
    if not found or found[0].scheme not in ("bearer", "basic"):
        raise TransportError(
            "the registry wants credentials but does not say which kind",
            where=place(str(answer.request.url)),
            why="its answer 401 has no WWW-Authenticate for Basic or Bearer",
            kind="protocol",
            status=_UNAUTHORIZED,
        )
    return found[0]


def _scope(session: Session, actions: str, also: tuple[str, ...] = ()) -> str:
    scopes = [
        f"repository:{session.reference.repository}:{actions}",
        *(f"repository:{name}:pull" for name in also),
    ]
    return " ".join(scopes)


def _token(session: Session, scope: str, *, renew: bool = False) -> str:
    with session.lock:
        known = session.tokens.get(scope)
        now = session.link.clock.now()
        if known is not None and not renew and now < known.until:
            return known.text
        token = _fetch_token(session, scope, now)
        session.tokens[scope] = token
        return token.text


def _fetch_token(session: Session, scope: str, now: float) -> _Token:
    import httpx

    assert session.challenge is not None  # noqa: S101 - callers have one
    realm, service = session.challenge.realm, session.challenge.service
    _check_realm(session, realm)
    user = session.user
    if user is not None and user.identity_token:
        form = {"grant_type": "refresh_token", "refresh_token": user.identity_token, "client_id": "seatrial"}
        form |= {"service": service, "scope": scope}
        body = str(httpx.QueryParams(form)).encode()
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = _send(session, "POST", realm, kind, body, repeatable=True)
    else:
        query = {"service": service, "scope": scope.split(" ")}
        address = str(
            httpx.URL(realm).copy_merge_params({key: value for key, value in query.items() if value})
        )
        answer = _send(session, "GET", address, _basic(user), None, repeatable=True)
    if answer.status_code != 200:  # noqa: PLR2004
        raise denied(session, answer, scope.split(" ", maxsplit=1)[0].rpartition(":")[2])
    return _read_token(answer, now)


def _check_realm(session: Session, realm: str) -> None:
    """A password is not sent in the clear to another machine, whatever a registry says."""
    parts = urlsplit(realm)
    if parts.scheme == "https" or (parts.scheme == "http" and (session.plain or is_loopback(parts.netloc))):
        return
    raise TransportError(
        "the registry sends us to a token server that cannot be trusted with credentials",
        where=place(realm),
        why="its address is not HTTPS",
        fix="correct the token realm in the registry's settings",
        kind="protocol",
    )


def _read_token(answer: httpx.Response, now: float) -> _Token:
    try:
        content: dict[str, Any] = answer.json()
        text = content.get("token") or content["access_token"]
        life = float(content.get("expires_in") or _SHORTEST_LIFE)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise TransportError(
            "the token server gave no token", where=place(str(answer.request.url)), kind="protocol"
        ) from None
    # Renewed before its end: the clock of the server may be ahead, and a request takes time.
    return _Token(str(text), now + life * 0.8)
