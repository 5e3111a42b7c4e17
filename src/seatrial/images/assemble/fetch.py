"""Wheels into the content-addressed store: concurrently, verified by hash, whole or not at all."""

from __future__ import annotations

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from seatrial import paths
from seatrial.errors import SeatrialError
from seatrial.files import atomic_writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from seatrial.images.inputs.logins import Login
    from seatrial.images.lock import LockedWheel
    from seatrial.transport import Link

_CONNECTIONS = 8
_FOUND = 200


def wheel_path(sha256: str) -> Path:
    """Where the store keeps the wheel with that hash."""
    return paths.cache() / "wheels" / sha256


def fetch(
    wheels: Iterable[LockedWheel],
    urls: Mapping[str, str],
    *,
    logins: Sequence[Login] | None = None,
    offline: bool = False,
    point: Callable[[str], None] = lambda _name: None,
) -> int:
    """Bring the wheels that the store lacks and return the bytes received.

    A wheel that arrived stays, so the same call after a failure goes on with the rest. `logins` open private indexes
    (default: those of the environment); netrc and keyring are asked as well. `offline` takes files of this machine alone.

    Raises:
        SeatrialError: an address is unknown or cannot be reached, or the content has another hash.
    """
    missing = [wheel for wheel in wheels if not wheel_path(wheel.sha256).exists()]
    if not missing:
        return 0
    if offline:
        _refuse_remote(missing, urls)
    from seatrial.images.inputs.logins import find_logins

    known = find_logins(os.environ) if logins is None else logins
    missing.sort(key=lambda wheel: -wheel.size)  # the largest decides how long it takes
    (paths.cache() / "wheels").mkdir(mode=0o700, exist_ok=True)
    from seatrial.transport import connect

    interrupted = threading.Event()
    with connect(connections=_CONNECTIONS) as opened, ThreadPoolExecutor(_CONNECTIONS) as pool:
        link = opened._replace(stop=interrupted)
        jobs = [
            pool.submit(_fetch_one, link, wheel, urls.get(wheel.sha256), known, point) for wheel in missing
        ]
        try:
            return sum(job.result() for job in jobs)
        except BaseException as error:
            if not isinstance(error, Exception):  # someone pressed Ctrl-C, and does not want to wait
                interrupted.set()
            for job in jobs:
                job.cancel()
            raise


def fetch_archive(address: str, sha256: str, logins: Sequence[Login], *, what: str) -> tuple[str, Path]:
    """Bring a file by its address (or absolute path) into the store, and return its sha256 and place.

    An empty `sha256` means that nobody stated one: it is counted, and the file is taken as it is.

    Raises:
        SeatrialError: it cannot be had, or has another hash; `what` names it.
    """
    if sha256 and wheel_path(sha256).exists():
        return sha256, wheel_path(sha256)
    from seatrial.downloads import download
    from seatrial.images.assemble.store import scratch
    from seatrial.images.inputs.logins import authorization
    from seatrial.transport import connect

    with scratch() as folder:
        place = folder / "archive"
        if address.startswith("/"):
            _copy(Path(address), place, sha256, what)
        else:
            headers = authorization(address, logins)
            with connect(connections=1) as link:
                if sha256:
                    download(link, address, place, sha256=sha256, headers=headers)
                else:
                    _receive(link, address, place, headers)
        with place.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        (paths.cache() / "wheels").mkdir(mode=0o700, exist_ok=True)
        place.replace(wheel_path(sha256))
    return sha256, wheel_path(sha256)


def _receive(link: Link, url: str, place: Path, headers: Mapping[str, str]) -> None:
    """A file that nobody stated a hash of: whole as far as the server says."""
    from seatrial.transport import TransportError, chunks, stream
    from seatrial.transport import place as shown

    with stream(link, "GET", url, headers={**headers, "Accept-Encoding": "identity"}) as response:
        if response.status_code != _FOUND:
            raise TransportError(
                f"the server answered {response.status_code} {response.reason_phrase}".rstrip(),
                where=shown(url), kind="status", status=response.status_code,
            )  # fmt: skip
        with place.open("wb") as out:
            size = sum(out.write(chunk) for chunk in chunks(response))
        said = response.headers.get("Content-Length", "")
        if said.isdigit() and int(said) != size:
            raise TransportError(
                f"the server stopped after {size} of {said} bytes",
                where=shown(url),
                fix="try again",
                kind="cut",
            )


def _refuse_remote(missing: Iterable[LockedWheel], urls: Mapping[str, str]) -> None:
    away = sorted(one.filename for one in missing if not urls.get(one.sha256, "").startswith("/"))
    if away:
        raise SeatrialError(
            f"{len(away)} wheels are not on this machine: {', '.join(away)}",
            why="`--offline` asks no server",
            fix="put them into a folder that `--find-links` names, or run once without `--offline`",
        )


def _fetch_one(
    link: Link, wheel: LockedWheel, url: str | None, logins: Sequence[Login], point: Callable[[str], None]
) -> int:
    target = wheel_path(wheel.sha256)
    if url is None:
        raise SeatrialError(
            f"nobody said where to get {wheel.filename}", fix="resolve again with `--refresh`"
        )
    if url.startswith("/"):
        received = _copy(Path(url), target, wheel.sha256, wheel.filename)
    else:
        from seatrial.downloads import download
        from seatrial.images.inputs.logins import authorization

        headers = authorization(url, logins)
        received = download(link, url, target, sha256=wheel.sha256, size=wheel.size or None, headers=headers)
    point("fetch/wheel-stored")
    return received


def _copy(source: Path, target: Path, sha256: str, what: str) -> int:
    digest, size = hashlib.sha256(), 0
    try:
        with source.open("rb") as stream, atomic_writer(target) as out:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
                out.write(chunk)
                size += len(chunk)
            if sha256 and digest.hexdigest() != sha256:
                raise SeatrialError(
                    f"{what} is not the file that was locked",
                    where=str(source),
                    why=f"it has sha256 {digest.hexdigest()}, not {sha256}",
                    fix="resolve again with `--refresh`, or put the right file there",
                )
    except FileNotFoundError as error:
        raise SeatrialError(
            f"{what} is gone", where=str(source), fix="resolve again with `--refresh`"
        ) from error
    return size
