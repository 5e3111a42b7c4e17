"""The one place that speaks HTTP: certificates, proxies, timeouts, retries, and errors that name host and cause.

Certificates come from `SSL_CERT_FILE` or `REQUESTS_CA_BUNDLE`, else from the system; proxies from the usual
variables, never for this machine itself (as Go's `ProxyFromEnvironment` does). Messages show scheme, host and
path of an address only: user names, queries and headers may hold secrets.
"""

from __future__ import annotations

import functools
import os
import random
import re
import ssl
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

import msgspec

from seatrial.clock import Clock, SystemClock
from seatrial.errors import SeatrialError
from seatrial.transport_errors import TransportError, explain, place

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import httpx

__all__ = ["Link", "Retry", "TransportError", "chunks", "connect", "explain", "place", "send", "stream"]

Method = Literal["GET", "HEAD", "PUT", "DELETE", "POST", "PATCH", "OPTIONS"]

_CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
_REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
_TOO_MANY, _UNAVAILABLE = 429, 503
_BUSY = frozenset({500, 502, 503, 504})


class Retry(msgspec.Struct, frozen=True):
    """How often and how patiently a request is repeated; times are in seconds.

    `attempts` counts the first one. The n-th pause is `first`·2ⁿ⁻¹, at most `longest`, of which a random half
    is taken away so that clients do not come back together. `patience` is the longest pause that a server may
    ask for by Retry-After.
    """

    attempts: int = 5
    first: float = 0.25
    longest: float = 20.0
    patience: float = 120.0

    def pause(self, attempt: int) -> float:
        """Seconds to wait after the `attempt`-th try."""
        return min(self.longest, self.first * 2.0 ** (attempt - 1)) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter


class Link(NamedTuple):
    """An open client with its clock and retry rule. Threads may share one; `stop` ends their downloads."""

    client: httpx.Client
    clock: Clock
    retry: Retry
    stop: threading.Event | None = None


@contextmanager
def connect(
    *,
    clock: Clock | None = None,
    retry: Retry | None = None,
    timeout: float = 60.0,
    connections: int = 16,
    verify: bool = True,
) -> Iterator[Link]:
    """Open a client. `timeout` is the longest silence in seconds while reading or writing; connecting gets 10.

    `verify=False` accepts any certificate.

    Raises:
        SeatrialError: the certificate file that the environment names cannot be read.
    """
    _prepare_library()
    import httpx

    from seatrial import __version__

    direct: dict[str, httpx.BaseTransport | None] = {
        f"all://{host}": None for host in ("127.0.0.1", "localhost", "[::1]")
    }
    with httpx.Client(
        verify=_LateContext() if verify and _readable() else trusted_certificates(verify=verify),
        timeout=httpx.Timeout(timeout, connect=min(10.0, timeout), pool=None),
        limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        headers={"User-Agent": f"seatrial/{__version__}"},
        mounts=direct,
    ) as client:
        yield Link(client, clock or SystemClock(), retry or Retry())


def send(
    link: Link,
    method: Method,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    content: bytes | Callable[[], Iterable[bytes]] | None = None,
    repeatable: bool | None = None,
    limit: int = 32 << 20,
) -> httpx.Response:
    """Send a request and read the whole answer, of at most `limit` bytes.

    Broken connections and 500, 502, 503, 504 are tried again when the request is `repeatable` (by default: when
    its method is); a connection that was never made, 429, and 503 with Retry-After are tried again in any case. `content` as a function
    is called for every attempt. Other statuses are the caller's to judge.

    Raises:
        TransportError: no usable answer after the last attempt.
    """

    def once() -> httpx.Response:
        with _opened(link, method, url, headers, content) as response:
            _read(response, url, limit)
            return response

    return _persist(link, url, once, repeatable=method in _REPEATABLE if repeatable is None else repeatable)


def _prepare_library() -> None:
    """Import httpx without its command line, which it takes along wherever rich is installed: 70 ms for nothing."""
    if "httpx" in sys.modules:
        return
    modules: dict[str, Any] = sys.modules
    modules["httpx._main"] = None  # what the import system documents for a module that is not to be found
    try:
        import httpx  # noqa: F401 - for its effect
    finally:
        modules.pop("httpx._main", None)


@contextmanager
def stream(
    link: Link, method: Method, url: str, *, headers: Mapping[str, str] | None = None
) -> Iterator[httpx.Response]:
    """Send a request and hand out the answer unread; read it with `chunks`. Opening is retried, reading is not.

    Raises:
        TransportError: no usable answer after the last attempt, or the connection broke while reading.
    """

    def once() -> httpx.Response:
        request = link.client.build_request(method, url, headers=dict(headers or {}))
        response = link.client.send(request, stream=True, follow_redirects=True)
        if response.status_code >= 400:  # noqa: PLR2004 - an error's text is short and needed for the message
            try:
                _read(response, url, 1 << 20)
            finally:
                response.close()
        return response

    response = _persist(link, url, once, repeatable=True)
    try:
        yield response
    finally:
        response.close()


def chunks(response: httpx.Response) -> Iterator[bytes]:
    """The body as it was sent, piece by piece.

    Raises:
        TransportError: the connection broke or fell silent.
    """
    import httpx

    try:
        yield from response.iter_raw()
    except httpx.HTTPError as error:
        raise explain(error, str(response.request.url)) from error


@contextmanager
def _opened(
    link: Link,
    method: Method,
    url: str,
    headers: Mapping[str, str] | None,
    content: bytes | Callable[[], Iterable[bytes]] | None,
) -> Iterator[httpx.Response]:
    body = content() if callable(content) else content
    follow = method in ("GET", "HEAD")
    with link.client.stream(
        method, url, headers=dict(headers or {}), content=body, follow_redirects=follow
    ) as response:
        yield response


def _read(response: httpx.Response, url: str, limit: int) -> None:
    """Read the body, but no more than asked for: an endless answer must not fill the memory."""
    parts, size = [], 0
    for part in response.iter_bytes():
        parts.append(part)
        size += len(part)
        if size > limit:
            raise TransportError(
                f"the answer is larger than {limit} bytes", where=place(url), kind="protocol"
            )
    response._content = b"".join(parts)  # noqa: SLF001 - what Response.read() does, with a limit


def _persist(link: Link, url: str, once: Callable[[], httpx.Response], *, repeatable: bool) -> httpx.Response:
    import httpx

    attempt = 0
    while True:
        attempt += 1
        last = attempt >= link.retry.attempts
        try:
            response = once()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            failure = explain(error, url)
            if last or not failure.transient or not (repeatable or failure.unsent):
                raise failure from error
            pause = link.retry.pause(attempt)
        else:
            again = _unheeded(response) or (repeatable and response.status_code in _BUSY)
            if not again or link.retry.attempts == 1:  # who does not want repetition judges every answer
                return response
            if last:
                raise _busy(url, response, attempt)
            pause = _asked_pause(link, url, response, attempt)
        link.clock.sleep(pause)


def _unheeded(response: httpx.Response) -> bool:
    """Whether the server says that it did nothing yet, so that repeating cannot do anything twice."""
    code = response.status_code
    return code == _TOO_MANY or (code == _UNAVAILABLE and "Retry-After" in response.headers)


def _asked_pause(link: Link, url: str, response: httpx.Response, attempt: int) -> float:
    pause = link.retry.pause(attempt)
    asked = retry_after(response.headers.get("Retry-After", ""), link.clock.now())
    if asked > link.retry.patience:
        raise TransportError(
            f"the server asks to come back in {asked:.0f} s",
            where=place(url),
            why=f"it answered {response.status_code} with Retry-After",
            fix="try again then",
            kind="status",
            status=response.status_code,
        )
    return max(asked, pause)


def retry_after(text: str, now: float) -> float:
    """Seconds that a Retry-After header asks for: a number or an HTTP date; 0 when it says nothing usable."""
    from email.utils import parsedate_to_datetime

    if text.strip().isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (TypeError, ValueError):
        return 0.0


def _busy(url: str, response: httpx.Response, attempts: int) -> TransportError:
    return TransportError(
        f"the server answered {response.status_code} {response.reason_phrase}".rstrip() + _times(attempts),
        where=place(url),
        why=excerpt(response.text) or None,
        fix="try again later: what was completed is not sent again",
        kind="status",
        status=response.status_code,
    )


def _times(attempts: int) -> str:
    return f" {attempts} times" if attempts > 1 else ""


def excerpt(text: str, length: int = 300) -> str:
    """The beginning of a server's answer as one line without control characters."""
    line = re.sub(r"\s+", " ", "".join(c if c.isprintable() else " " for c in text)).strip()
    return line if len(line) <= length else line[:length] + "…"


def trusted_certificates(*, verify: bool = True) -> ssl.SSLContext:
    """The TLS settings of a client: the environment's certificate file, else the system's, else certifi's.

    Raises:
        SeatrialError: the certificate file that the environment names cannot be read.
    """
    for variable in _CERTIFICATE_VARIABLES:
        if os.environ.get(variable):
            return _certificates(variable, os.environ[variable], verify)
    return _certificates("", "", verify)


def _readable() -> bool:
    """Whether the certificates that the environment names can be opened, so that a wrong name is told at once."""
    named = [os.environ.get(variable, "") for variable in _CERTIFICATE_VARIABLES]
    return all(os.access(file, os.R_OK) for file in named if file)


class _LateContext(ssl.SSLContext):
    """The trusted certificates, read when the first connection needs them: 40 ms that plain HTTP does not pay."""

    def __new__(cls) -> Self:
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def wrap_socket(self, *arguments: Any, **named: Any) -> ssl.SSLSocket:
        return _for_http().wrap_socket(*arguments, **named)

    def wrap_bio(self, *arguments: Any, **named: Any) -> ssl.SSLObject:
        return _for_http().wrap_bio(*arguments, **named)


def _for_http() -> ssl.SSLContext:
    context = trusted_certificates()
    context.set_alpn_protocols(["http/1.1"])
    return context


@functools.cache
def _certificates(variable: str, file: str, verify: bool) -> ssl.SSLContext:
    if not verify:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    if file:
        folder = Path(file).is_dir()  # requests takes a folder too
        try:
            return ssl.create_default_context(
                cafile=None if folder else file, capath=file if folder else None
            )
        except OSError as error:
            raise SeatrialError(
                f"the certificates that {variable} names cannot be read: {error.strerror or error}",
                where=file,
                fix=f"set {variable} to a PEM file, or unset it",
            ) from error
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if paths.cafile is None and paths.capath is None:
        import certifi

        context.load_verify_locations(certifi.where())
    return context
