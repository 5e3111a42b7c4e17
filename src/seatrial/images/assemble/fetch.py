"""Wheels into the content-addressed store: concurrently, verified by hash, whole or not at all."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from seatrial import paths
from seatrial.errors import SeatrialError
from seatrial.files import atomic_writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from seatrial.images.lock import LockedWheel
    from seatrial.transport import Link

_CONNECTIONS = 8


def wheel_path(sha256: str) -> Path:
    """Where the store keeps the wheel with that hash."""
    return paths.cache() / "wheels" / sha256


def fetch(
    wheels: Iterable[LockedWheel],
    urls: Mapping[str, str],
    *,
    point: Callable[[str], None] = lambda _name: None,
) -> int:
    """Bring the wheels that the store lacks and return the bytes received.

    A wheel that arrived stays, so the same call after a failure goes on with the rest. Certificates, proxies
    and credentials (`~/.netrc`, user information of `UV_*INDEX*` addresses) come from the environment.

    Raises:
        SeatrialError: an address is unknown or cannot be reached, or the content has another hash.
    """
    missing = [wheel for wheel in wheels if not wheel_path(wheel.sha256).exists()]
    if not missing:
        return 0
    missing.sort(key=lambda wheel: -wheel.size)  # the largest decides how long it takes
    (paths.cache() / "wheels").mkdir(exist_ok=True)
    from seatrial.transport import connect

    with connect(connections=_CONNECTIONS) as link, ThreadPoolExecutor(_CONNECTIONS) as pool:
        jobs = [pool.submit(_fetch_one, link, wheel, urls.get(wheel.sha256), point) for wheel in missing]
        try:
            return sum(job.result() for job in jobs)
        except BaseException:
            for job in jobs:
                job.cancel()
            raise


def _fetch_one(link: Link, wheel: LockedWheel, url: str | None, point: Callable[[str], None]) -> int:
    target = wheel_path(wheel.sha256)
    if url is None:
        raise SeatrialError(
            f"nobody said where to get {wheel.filename}", fix="resolve again with `--refresh`"
        )
    if url.startswith("/"):
        received = _copy(Path(url), target, wheel)
    else:
        from seatrial.downloads import download

        received = download(
            link, url, target, sha256=wheel.sha256, size=wheel.size or None, headers=_credentials(url)
        )
    point("fetch/wheel-stored")
    return received


def _copy(source: Path, target: Path, wheel: LockedWheel) -> int:
    digest, size = hashlib.sha256(), 0
    try:
        with source.open("rb") as stream, atomic_writer(target) as out:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
                out.write(chunk)
                size += len(chunk)
            if digest.hexdigest() != wheel.sha256:
                raise SeatrialError(
                    f"{wheel.filename} is not the file that was locked",
                    where=str(source),
                    why=f"it has sha256 {digest.hexdigest()}, not {wheel.sha256}",
                    fix="resolve again with `--refresh`, or put the right file there",
                )
    except FileNotFoundError as error:
        raise SeatrialError(
            f"{wheel.filename} is gone", where=str(source), fix="resolve again with `--refresh`"
        ) from error
    return size


def _credentials(url: str) -> dict[str, str]:
    """The Authorization header for the host of `url`, from uv's index settings or netrc."""
    import base64
    import netrc

    host = urlsplit(url).netloc
    pair: tuple[str, str] | None = None
    for name, value in os.environ.items():
        if not (name.startswith("UV_") and "INDEX" in name):
            continue
        for word in value.split():
            parts = urlsplit(word.partition("=")[2] if "://" in word.partition("=")[2] else word)
            if parts.username and parts.netloc.rpartition("@")[2] == host:
                from urllib.parse import unquote

                pair = (unquote(parts.username), unquote(parts.password or ""))
    if pair is None:
        try:
            found = netrc.netrc(os.environ.get("NETRC")).authenticators(urlsplit(url).hostname or "")
        except (OSError, netrc.NetrcParseError):
            found = None
        if found:
            pair = (found[0], found[2] or "")
    if pair is None:
        return {}
    return {"Authorization": "Basic " + base64.b64encode(":".join(pair).encode()).decode()}
