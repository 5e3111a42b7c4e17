"""Files from a server: whole and with the announced hash, or not at all; a broken transfer goes on where it stopped."""

from __future__ import annotations

import hashlib
from typing import IO, TYPE_CHECKING

from seatrial.errors import SeatrialError
from seatrial.files import atomic_writer
from seatrial.transport import Link, TransportError, chunks, excerpt, place, stream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    import httpx


def download(
    link: Link,
    url: str,
    path: Path,
    *,
    sha256: str,
    size: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> int:
    """Fetch `url` into `path`, whole and with that hash (64 hexadecimal digits) or not at all.

    A broken transfer goes on where it stopped when the server can do that. Returns the bytes received.

    Raises:
        TransportError: the server could not be asked, or kept breaking off.
        SeatrialError: it sent other content than announced, or the file cannot be written.
    """

    def open_from(extra: Mapping[str, str]) -> AbstractContextManager[httpx.Response]:
        return stream(link, "GET", url, headers={**(headers or {}), **extra})

    return save(link, open_from, path, sha256=sha256, size=size)


def save(
    link: Link,
    open_from: Callable[[Mapping[str, str]], AbstractContextManager[httpx.Response]],
    path: Path,
    *,
    sha256: str,
    size: int | None = None,
) -> int:
    """As `download`, where `open_from` opens the answer with extra headers: for servers that want credentials."""
    received = 0
    with atomic_writer(path) as out:
        digest = hashlib.sha256()
        done, attempt = 0, 0
        while True:
            before = done
            try:
                with open_from(_range(done)) as response:
                    done, digest = _resume_at(response, out, done, digest)
                    for chunk in chunks(response):
                        if link.stop is not None and link.stop.is_set():
                            raise SeatrialError(
                                "the transfer was stopped", where=place(str(response.request.url))
                            )
                        out.write(chunk)
                        digest.update(chunk)
                        done += len(chunk)
                        received += len(chunk)
                        if size is not None and done > size:
                            raise _other_content(response, f"it sent more than the {size} bytes announced")
                    if size is not None and done < size:
                        raise _short_answer(response, done, size)
                    if digest.hexdigest() != sha256:
                        raise _other_content(response, f"it has sha256 {digest.hexdigest()}, not {sha256}")
            except TransportError as error:
                attempt = 1 if done > before else attempt + 1  # progress earns new patience
                if not error.transient or attempt >= link.retry.attempts:
                    raise
                link.clock.sleep(link.retry.pause(attempt))
            else:
                return received


def _range(done: int) -> dict[str, str]:
    plain = {"Accept-Encoding": "identity"}
    return {**plain, "Range": f"bytes={done}-"} if done else plain


def _resume_at(
    response: httpx.Response, out: IO[bytes], done: int, digest: hashlib._Hash
) -> tuple[int, hashlib._Hash]:
    """Go on after what is there when the server does, else start again."""
    if response.status_code == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {done}-"):  # noqa: PLR2004
        return done, digest
    if response.status_code != 200:  # noqa: PLR2004
        raise TransportError(
            f"the server answered {response.status_code} {response.reason_phrase}".rstrip(),
            where=place(str(response.request.url)),
            why=excerpt(response.text) if response.is_closed else None,
            kind="status",
            status=response.status_code,
        )
    out.seek(0)
    out.truncate()
    return 0, hashlib.sha256()


def _short_answer(response: httpx.Response, done: int, size: int) -> TransportError:
    return TransportError(
        f"the server stopped after {done} of {size} bytes",
        where=place(str(response.request.url)),
        fix="try again",
        kind="cut",
        transient=True,
    )


def _other_content(response: httpx.Response, why: str) -> SeatrialError:
    return SeatrialError(
        "the server sent other content than announced",
        where=place(str(response.request.url)),
        why=why,
        fix="try again; if it stays, the server or a proxy on the way is damaged",
    )
