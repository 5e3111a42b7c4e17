"""What an index lists of one package (PEP 503, 691), read by ourselves: only what choosing a version needs is kept."""

from __future__ import annotations

import hashlib
import html.parser
import os
import re
import time
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urljoin, urlsplit

import msgspec

from seatrial import paths
from seatrial.errors import SeatrialError
from seatrial.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterable

    from packaging.version import Version

    from seatrial.images.solving.model import Setting

_ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
_FRESH = 600.0  # seconds; what the public index says of its own pages
_FOUND, _GONE = 200, 404


class File(msgspec.Struct, frozen=True, array_like=True):
    """One file: `yanked` is None or the reason (maybe empty), `uploaded` an ISO time or empty.

    `sha256` is what the index says of it, 64 hexadecimal digits; empty where it says nothing.
    """

    name: str
    url: str
    python: str = ""
    yanked: str | None = None
    uploaded: str = ""
    sha256: str = ""

    @property
    def wheel(self) -> bool:
        return self.name.endswith(".whl")


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """The files of one version, sorted by what the target can do with them.

    `wheels` fit it, `sources` can be built on its Python, `others` are wheels for another Python or platform, or files
    that say they need another Python.
    """

    version: str
    wheels: tuple[File, ...] = ()
    sources: tuple[File, ...] = ()
    others: tuple[File, ...] = ()

    @property
    def usable(self) -> bool:
        return bool(self.wheels or self.sources)

    @property
    def yanked(self) -> str | None:
        """None, or why every file of it was withdrawn."""
        files = (*self.wheels, *self.sources, *self.others)
        reasons = [one.yanked for one in files if one.yanked is not None]
        return reasons[0] if len(reasons) == len(files) and files else None


class _JsonFile(msgspec.Struct, rename="kebab"):
    filename: str
    url: str
    requires_python: str | None = None
    yanked: bool | str = False
    upload_time: str | None = None
    hashes: dict[str, str] = {}


class _JsonPage(msgspec.Struct):
    files: list[_JsonFile]


def releases(files: Iterable[File], name: str, setting: Setting) -> dict[str, Release]:
    """Sort files by version (lowest first) and by what the target can do with them."""
    from packaging.version import InvalidVersion

    accepted = _accepted(setting)
    found: dict[Version, dict[str, list[File]]] = {}
    for file in files:
        if setting.exclude_newer and file.uploaded[: len(setting.exclude_newer)] > setting.exclude_newer:
            continue
        try:
            version = version_of(file.name, name)
        except InvalidVersion:
            continue
        if version is None:
            continue
        group = found.setdefault(version, {"wheels": [], "sources": [], "others": []})
        if not _python_fits(file.python, setting.full_python):
            group["others"].append(file)
        elif file.wheel:
            group["wheels" if accepted & set(_tags(file.name)) else "others"].append(file)
        else:
            group["sources"].append(file)
    return {
        str(version): Release(version=str(version), **{kind: tuple(some) for kind, some in group.items()})
        for version, group in sorted(found.items())
    }


def version_of(filename: str, name: str) -> Version | None:
    """The version in the name of a wheel or source distribution of the package `name`; None: it is neither."""
    from packaging.utils import canonicalize_name

    if filename.endswith(".whl"):
        parts = filename.split("-")
        whole = len(parts) in (5, 6) and canonicalize_name(parts[0]) == name
        return _version(parts[1]) if whole else None
    for suffix in (".tar.gz", ".zip", ".tar.bz2", ".tgz"):
        if filename.endswith(suffix):
            stem = filename.removesuffix(suffix)
            for position, character in enumerate(stem):
                if character == "-" and canonicalize_name(stem[:position]) == name:
                    return _version(stem[position + 1 :])
    return None


@lru_cache(20000)
def _version(text: str) -> Version:
    from packaging.version import Version

    return Version(text)


def wheel_tags(filename: str) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """The Python, ABI and platform tags of a wheel's name."""
    python, abi, platform = filename.removesuffix(".whl").split("-")[-3:]
    return tuple(python.split(".")), tuple(abi.split(".")), tuple(platform.split("."))


def _tags(filename: str) -> list[str]:
    pythons, abis, platforms = wheel_tags(filename)
    return [f"{one}-{abi}-{platform}" for one in pythons for abi in abis for platform in platforms]


def _accepted(setting: Setting) -> frozenset[str]:
    from seatrial.images.target import tags

    return frozenset(map(str, tags(setting.target)))


@lru_cache(4096)
def _python_fits(specifier: str, python: str) -> bool:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        return not specifier or SpecifierSet(specifier).contains(python, prereleases=True)
    except InvalidSpecifier:
        return True


def page(index: str, name: str, *, refresh: bool = False, offline: bool = False) -> tuple[File, ...] | None:
    """The files of a package on an index; None: the index does not know the package.

    Pages are kept for ten minutes, and as long as wished when there is no network.

    Raises:
        SeatrialError: the index cannot be asked, or its answer is no index page.
    """
    url = f"{index.rstrip('/')}/{name}/"
    if url.startswith("file:"):
        return _local(url)
    # Addresses may hold credentials: only their hash becomes a file name, and no address with one is written down.
    place = paths.cache() / "solving" / "pages" / f"{hashlib.sha256(url.encode()).hexdigest()}.json"
    if not refresh and (kept := _kept(place, anyhow=offline)) is not None:
        return kept or None
    if offline:
        raise SeatrialError(f"what the index lists of {name} is not known offline")
    files = _fetched(url)
    place.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(place, msgspec.json.encode(files or ()), mode=0o600)
    return files


def _kept(place: Path, *, anyhow: bool) -> tuple[File, ...] | None:
    try:
        if not anyhow and time.time() - place.stat().st_mtime > _FRESH:
            return None
        return msgspec.json.decode(place.read_bytes(), type=tuple[File, ...])
    except (OSError, msgspec.MsgspecError):
        return None


def _fetched(url: str) -> tuple[File, ...] | None:
    from seatrial.transport import Retry, connect, place, send

    with connect(timeout=10, retry=Retry(attempts=2)) as link:
        answer = send(link, "GET", url, headers={"Accept": _ACCEPT})
    if answer.status_code == _GONE:
        return None
    if answer.status_code != _FOUND:
        raise SeatrialError(f"the index answered {answer.status_code}", where=place(url))
    if "json" in answer.headers.get("Content-Type", ""):
        return _from_json(answer.content, url)
    return from_html(answer.text, str(answer.url))


def _from_json(content: bytes, url: str) -> tuple[File, ...]:
    from seatrial.transport import place

    try:
        listed = msgspec.json.decode(content, type=_JsonPage).files
    except msgspec.MsgspecError as error:
        raise SeatrialError(f"not an index page: {error}", where=place(url)) from error
    return tuple(
        File(
            one.filename,
            _bare(urljoin(url, one.url)),
            one.requires_python or "",
            _yanked(one.yanked),
            one.upload_time or "",
            _sha256(one.hashes.get("sha256", "")),
        )
        for one in listed
    )


def _sha256(text: str) -> str:
    found = text.strip().lower()
    return found if re.fullmatch(r"[0-9a-f]{64}", found) else ""


def _yanked(value: bool | str) -> str | None:
    if value is False:
        return None
    return "" if value is True else value


def _bare(url: str) -> str:
    from seatrial.images.uv_program import without_credentials

    return without_credentials(url)


def _local(url: str) -> tuple[File, ...] | None:
    folder = Path(unquote(urlsplit(url).path))
    try:
        return from_html((folder / "index.html").read_text("utf-8", "replace"), url)
    except OSError:
        return None


def listed(folder: Path) -> tuple[File, ...]:
    """The wheels and source distributions in a folder (`--find-links`)."""
    try:
        return tuple(File(entry.name, Path(entry.path).as_uri()) for entry in os.scandir(folder))
    except OSError:
        return ()


class _Anchors(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, Any]]) -> None:
        if tag == "a":
            self.found.append({name: value or "" for name, value in attrs})


def from_html(text: str, url: str) -> tuple[File, ...]:
    """The links of a page in HTML, also of a plain page for `--find-links`."""
    parser = _Anchors()
    parser.feed(text)
    files = []
    for anchor in parser.found:
        if not anchor.get("href"):
            continue
        address = urljoin(url, anchor["href"])
        name = unquote(urlsplit(address).path).rsplit("/", 1)[-1]
        files.append(
            File(
                name,
                _bare(address),
                anchor.get("data-requires-python", ""),
                anchor.get("data-yanked"),
                sha256=_sha256(parse_qs(urlsplit(address).fragment).get("sha256", [""])[0]),
            )
        )
    return tuple(files)
