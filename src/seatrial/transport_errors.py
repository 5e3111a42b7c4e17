"""What went wrong between this machine and a server, in words that name the host and the cause."""

from __future__ import annotations

import os
import socket
import ssl
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from seatrial.errors import SeatrialError

if TYPE_CHECKING:
    import httpx

Kind = Literal[
    "refused", "unknown-host", "unreachable", "tls", "timeout", "cut", "proxy", "status", "protocol", "url"
]


class TransportError(SeatrialError):
    """A server could not be asked, or gave no usable answer.

    `status` is the last HTTP status or 0. `unsent`: the server certainly did not see the request.
    `transient`: trying again may help.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        why: str | None = None,
        fix: str | None = None,
        kind: Kind = "cut",
        status: int = 0,
        unsent: bool = False,
        transient: bool = False,
    ) -> None:
        super().__init__(what, where=where, why=why, fix=fix)
        self.kind = kind
        self.status = status
        self.unsent = unsent
        self.transient = transient

    def __reduce__(self) -> tuple[object, ...]:
        kept = {
            name: getattr(self, name)
            for name in ("where", "why", "fix", "kind", "status", "unsent", "transient")
        }
        return (_rebuild, (self.what, kept))


def _rebuild(what: str, kept: dict[str, object]) -> TransportError:
    return TransportError(what, **kept)  # type: ignore[arg-type]


def place(url: str) -> str:
    """Scheme, host, port and path of a URL: what may be shown. User name, password, query and fragment are not."""
    try:
        parts = urlsplit(url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
        return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "") + parts.path
    except ValueError:
        return "(an address that cannot be read)"


def explain(error: Exception, url: str) -> TransportError:
    """Turn what httpx raised into what the user can act on."""
    import httpx

    where = place(url)
    host = urlsplit(where).netloc
    if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol | httpx.TooManyRedirects):
        circle = isinstance(error, httpx.TooManyRedirects)
        what = f"{host} redirects in a circle" if circle else "this is not an address that can be asked"
        return TransportError(what, where=where, kind="protocol" if circle else "url")
    if isinstance(error, httpx.TimeoutException):
        return _timeout(host, where, unsent=isinstance(error, httpx.ConnectTimeout))
    if isinstance(error, httpx.ProxyError):
        return TransportError(
            f"the proxy on the way to {host} refused",
            where=where,
            why=_short(error),
            fix="check HTTPS_PROXY, HTTP_PROXY and NO_PROXY",
            kind="proxy",
        )
    if isinstance(error, httpx.ConnectError):
        return _no_connection(error, host, where)
    return TransportError(
        f"{host} broke the connection",
        where=where,
        why=_short(error),
        fix="try again: what was completed is not sent again",
        kind="cut",
        transient=isinstance(error, httpx.TransportError),
    )


def _timeout(host: str, where: str, *, unsent: bool) -> TransportError:
    return TransportError(
        f"{host} does not answer" if unsent else f"{host} fell silent",
        where=where,
        why="no connection within the time limit"
        if unsent
        else "nothing was read or written for the time limit",
        fix="check that the server is well and that no firewall drops the connection",
        kind="timeout",
        unsent=unsent,
        transient=True,
    )


def _no_connection(error: httpx.ConnectError, host: str, where: str) -> TransportError:
    cause = _root(error)
    if isinstance(cause, ssl.SSLError):
        return _tls(cause, host, where)
    if isinstance(cause, socket.gaierror):
        temporary = cause.errno == socket.EAI_AGAIN
        return TransportError(
            f"the host {host} is not known",
            where=where,
            why=f"name resolution says: {cause.strerror}",
            fix="check the spelling, and the name server of this machine",
            kind="unknown-host",
            unsent=True,
            transient=temporary,
        )
    if isinstance(cause, ConnectionRefusedError):
        return TransportError(
            f"{host} refuses the connection",
            where=where,
            why="nothing listens on that port",
            fix="start the server, or check the port",
            kind="refused",
            unsent=True,
            transient=True,
        )
    return TransportError(
        f"{host} cannot be reached",
        where=where,
        why=os.strerror(cause.errno) if isinstance(cause, OSError) and cause.errno else _short(error),
        fix="check the network and the proxy variables",
        kind="unreachable",
        unsent=True,
        transient=True,
    )


def _tls(cause: ssl.SSLError, host: str, where: str) -> TransportError:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return TransportError(
            f"the certificate of {host} is not trusted",
            where=where,
            why=cause.verify_message,
            fix="set SSL_CERT_FILE to a file with your organisation's certificate authority",
            kind="tls",
            unsent=True,
        )
    plain = "WRONG_VERSION_NUMBER" in str(cause) or "RECORD_LAYER" in str(cause)
    return TransportError(
        f"no secure connection to {host}",
        where=where,
        why="the server does not speak TLS on this port" if plain else cause.reason or _short(cause),
        fix="use http:// or --insecure if that is what you mean"
        if plain
        else "check the server's TLS settings",
        kind="tls",
        unsent=True,
    )


def _root(error: BaseException) -> BaseException:
    """The operating system's or OpenSSL's own error, below the wrappers."""
    found: BaseException = error
    step: BaseException | None = error
    while step is not None:
        if isinstance(step, OSError):
            found = step
        step = step.__cause__ or step.__context__
    return found


def _short(error: BaseException) -> str:
    return (str(error) or type(error).__name__)[:300]
