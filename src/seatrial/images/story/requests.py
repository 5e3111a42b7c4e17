"""One request for a package, as pip and uv read it: a name with versions, a wheel, an archive, a repository, a folder."""

from __future__ import annotations

import functools
import posixpath
import re
from importlib import resources
from typing import TYPE_CHECKING

import msgspec

from seatrial.images.story.model import Request, Span, Style

if TYPE_CHECKING:
    from collections.abc import Callable

    from packaging.requirements import Requirement

    from seatrial.images.story.words import Word

_HEAD = re.compile(r"\s*(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?P<extras>\[[^\]]*\])?\s*")
_NAMED = re.compile(r"\s*[A-Za-z0-9][A-Za-z0-9._-]*\s*(?:\[[^\]]*\])?\s*@")
_COMPARED = re.compile(r"\s*[A-Za-z0-9][A-Za-z0-9._-]*\s*(?:\[[^\]]*\])?\s*[=<>!~]=?")
_FOLDER = re.compile(r"(?P<path>[^\[]*)(?:\[(?P<extras>[^\]]*)\])?$")
_EGG = re.compile(r"[#&]egg=(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[(?P<extras>[^\]]*)\])?")
_PIN = re.compile(r"\s*\(?\s*={2,3}\s*(?P<version>[^\s,;)]+)\s*\)?\s*")
_ARCHIVE = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+?)-(?P<version>\d[A-Za-z0-9.!+_]*)(?:\.tar\.(?:gz|bz2|xz)|\.tgz|\.zip)$"
)
_ARCHIVES = (".whl", ".zip", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar")
_VERSION_CONTROL = re.compile(r"(?:git|hg|svn|bzr)\+")
_WHEEL_PARTS = (5, 6)
_LONGEST_NAME = 300


@functools.lru_cache(maxsize=8192)
def parsed(text: str) -> Requirement | None:
    """A PEP 508 requirement; None when it is none."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        return Requirement(text)
    except InvalidRequirement:
        return None


@functools.lru_cache(maxsize=8192)
def normalised(name: str) -> str:
    """A package's name as in PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def from_word(word: Word, *, editable: bool = False, style: Style = "shell") -> Request | None:
    """What a word of a command asks for; None when it is no request, or its name is in a variable without a value."""
    return read(word.text, word.at, word.span, style=style, editable=editable)


def read(
    text: str,
    at: Span,
    where: Callable[[int, int], Span | None],
    *,
    style: Style,
    editable: bool = False,
    index: str = "",
) -> Request | None:
    """Read one request. `where` says where a part of `text` stands; None when `text` asks for nothing that has a name.

    A folder's name is not known here: its request has an empty name and its path as `url`.
    """
    if editable or is_location(text):
        return _location(text, at, where, style=style, editable=editable, index=index)
    requirement = parsed(text)
    if requirement is None:
        return _with_unknown(text, at, style, index)
    first, last = specifier_range(text)
    direct = requirement.url is not None
    found = Request(
        name=normalised(requirement.name),
        at=at,
        specifier=str(requirement.specifier),
        extras=tuple(sorted(requirement.extras)),
        marker=str(requirement.marker or ""),
        index=index,
        style=style,
        versions=None if style == "locked" or direct else where(first, last),
        version=_pin(text, first, last, where),
    )
    return _at_url(found, requirement.url, text, where) if requirement.url is not None else found


def _at_url(request: Request, url: str, text: str, where: Callable[[int, int], Span | None]) -> Request:
    """`name @ url`: the version is in the file's name, if anywhere."""
    version = _file_parts(posixpath.basename(url.split("#", 1)[0]))[1]
    return msgspec.structs.replace(
        request,
        url=url,
        specifier=f"=={version}" if version else "",
        version=_version_in(text, version, max(text.find(url), 0), where) if version else None,
    )


def specifier_range(text: str) -> tuple[int, int]:
    """Where the versions of a requirement stand in its text; an empty range behind the name when there are none."""
    head = _HEAD.match(text)
    first = head.end() if head else len(text)
    marker = text.find(";", first)
    last = len(text.rstrip()) if marker < 0 else len(text[:marker].rstrip())
    if head and last <= first:
        first = last = len(text[:first].rstrip())
    return first, last


def _pin(text: str, first: int, last: int, where: Callable[[int, int], Span | None]) -> Span | None:
    pin = _PIN.fullmatch(text, first, last)
    if pin is None or pin["version"].endswith("*"):
        return None
    return where(*pin.span("version"))


def is_location(text: str) -> bool:
    """Whether it is a path, an archive or a URL, not a requirement by name; `name @ url` is one by name."""
    if _NAMED.match(text) or _COMPARED.match(text):
        return False
    bare = text.split("#", 1)[0].split(";", 1)[0].strip()
    return (
        "://" in bare
        or bare.startswith((".", "/", "~", "git+"))
        or bare.split("[", 1)[0].lower().endswith(_ARCHIVES)
        or ("/" in bare and parsed(bare) is None)
    )


def _location(
    text: str,
    at: Span,
    where: Callable[[int, int], Span | None],
    *,
    style: Style,
    editable: bool,
    index: str,
) -> Request | None:
    bare = text.split(" ;", 1)[0].strip()
    egg = _EGG.search(bare)
    url = bare.split("#", 1)[0]
    name, version = _file_parts(posixpath.basename(url))
    extras: tuple[str, ...] = ()
    if egg:
        name = egg["name"]
        extras = _names(egg["extras"])
    elif not _VERSION_CONTROL.match(url) and "://" not in url:
        folder = _FOLDER.match(url)
        if folder is not None:
            url, extras = folder["path"], _names(folder["extras"])
            name, version = _file_parts(posixpath.basename(url))
    elif not name and (_VERSION_CONTROL.match(url) or "/archive/" in url):
        name = repository_name(url)
    return Request(
        name=normalised(name) if name else "",
        at=at,
        specifier=f"=={version}" if version else "",
        extras=extras,
        marker=text.split(" ;", 1)[1].strip() if " ;" in text else "",
        url=url,
        editable=editable,
        index=index,
        style=style,
        version=_version_in(text, version, 0, where) if version else None,
    )


def _version_in(text: str, version: str, start: int, where: Callable[[int, int], Span | None]) -> Span | None:
    """Where a wheel's URL says its version: in the file's name, percent-encoded or not."""
    from urllib.parse import quote

    base = text.rfind("/", start) + 1
    for written in (version, quote(version)):
        found = text.find(f"-{written}", max(base, start))
        if found >= 0:
            return where(found + 1, found + 1 + len(written))
    return None


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(sorted(part.strip() for part in (text or "").split(",") if part.strip()))


def repository_name(url: str) -> str:
    """The name of the project in a repository, or in an archive of one, by its address; empty where that tells nothing.

    Most projects are called like their repository; those that are not and matter are listed.
    """
    path = re.sub(r"^[a-z+]+://[^/]*/|^[^/@]+@[^:/]+:|[?#].*$", "", url)
    path = re.sub(r"/(?:archive|zipball|tarball)/.*$", "", path.rstrip("/"))
    path = re.sub(r"@[^/@]*(?:/[^@]*)?$", "", path).removesuffix(".git")
    known = _repositories().get(path.lower())
    name = posixpath.basename(path)
    return known or (name if re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?", name) else "")


@functools.cache
def _repositories() -> dict[str, str]:
    import tomllib

    text = resources.files(__package__).joinpath("repository_names.toml").read_text(encoding="utf-8")
    names: dict[str, str] = tomllib.loads(text)["names"]
    return names


def _file_parts(file: str) -> tuple[str, str]:
    """A wheel's or an archive's name and version, as its file name says; its local label may be percent-encoded."""
    from urllib.parse import unquote

    file = unquote(file)
    if len(file) > _LONGEST_NAME:
        return "", ""
    if file.endswith(".whl"):
        parts = file.removesuffix(".whl").split("-")
        good = len(parts) in _WHEEL_PARTS and _is_version(parts[1])
        named = re.fullmatch(r"[A-Za-z0-9._]+", parts[0]) is not None
        return (parts[0], parts[1]) if good and named else (parts[0] if named else "", "")
    archive = _ARCHIVE.match(file)
    return (archive["name"], archive["version"]) if archive and _is_version(archive["version"]) else ("", "")


@functools.lru_cache(maxsize=1024)
def _is_version(text: str) -> bool:
    from packaging.version import InvalidVersion, Version

    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


def _with_unknown(text: str, at: Span, style: Style, index: str) -> Request | None:
    """`torch==$VERSION` without a value for it: the name is known, the versions are not."""
    head = _HEAD.match(text)
    if head is None or "$" not in text[head.end() :] or not re.match(r"[=<>!~$]|$", text[head.end() :]):
        return None
    return Request(
        name=normalised(head["name"]),
        at=at,
        extras=_names((head["extras"] or "")[1:-1]),
        index=index,
        style=style,
    )


def relocated(request: Request, name: str) -> Request:
    """The same request under the name that a folder's project file gives."""
    return msgspec.structs.replace(request, name=normalised(name))
