"""Getting the source of what is to be built: an archive, a folder or a commit of a repository."""

from __future__ import annotations

import hashlib
import posixpath
import shutil
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from seatrial.images.building import archives, folders, repositories, versions
from seatrial.images.building.model import Source, SourceError, Workshop
from seatrial.images.uv_program import without_credentials

if TYPE_CHECKING:
    from seatrial.images.inputs.model import Unbuilt


def known_digest(unbuilt: Unbuilt) -> str:
    """The digest that the source will have, where that is known before it is fetched; else empty."""
    if unbuilt.kind == "sdist" and unbuilt.sha256:
        return _sdist_digest(unbuilt, unbuilt.sha256.lower())
    if unbuilt.kind == "git" and repositories.COMMIT.fullmatch(unbuilt.revision):
        return _git_digest(unbuilt, unbuilt.revision)
    return ""


def obtain(shop: Workshop, unbuilt: Unbuilt, scratch: Path) -> Source:
    """Bring the source to this machine; `scratch` is an empty folder for what is not kept.

    Raises:
        SourceError: it cannot be had, or is not what was announced.
        MissingToolError: git is not installed.
    """
    if unbuilt.kind == "sdist":
        return _archive(shop, unbuilt)
    if unbuilt.kind == "git":
        return _repository(shop, unbuilt, scratch)
    top = Path(unbuilt.url)
    if not top.is_dir():
        raise SourceError(
            "there is no such folder to build",
            where=unbuilt.where or str(top),
            why=str(top),
            fix="correct the path",
        )
    _inside(top, unbuilt)
    told = _version_key(top / unbuilt.subfolder, shop)
    digest = hashlib.sha256(f"folder {folders.digest(top)} {unbuilt.subfolder} {told}".encode()).hexdigest()
    return _source(unbuilt, digest, folder=top)


def lay_out(shop: Workshop, source: Source, target: Path) -> tuple[Path, dict[str, str]]:
    """Put the source into the new folder `target`; its project folder there, and what version tools are to be told.

    Raises:
        SourceError: the archive is refused, or the folder cannot be read.
    """
    if source.archive is not None:
        temporary = target.with_name(target.name + ".unpacking")
        temporary.mkdir(mode=0o755)
        archives.unpack_source(source.archive, temporary, source.where).rename(target)
        temporary.rmdir()
        return _project(target, source), {}
    assert source.folder is not None  # noqa: S101 - one of the two
    project = source.folder / source.subfolder
    known = versions.history(project, shop.env) if versions.asks_git(project) else None
    folders.copy(source.folder, target, known.top if known else None)
    inside = _project(target, source)
    if known is None:
        return inside, {}
    _leave_out_ignored(shop, source.folder, target, inside)
    told = versions.tell(target, inside, known)
    folders.settle(target)
    return inside, told


def _archive(shop: Workshop, unbuilt: Unbuilt) -> Source:
    """The archive in the store: what was hashed is what is built, whoever changes the file meanwhile."""
    from seatrial.images.assemble.fetch import fetch_archive
    from seatrial.images.inputs.logins import find_logins

    filename = _filename(unbuilt)
    logins = () if unbuilt.url.startswith("/") else find_logins(shop.env, (), shop.spec.root)
    wanted = unbuilt.sha256.lower()
    if wanted:
        shop.use.hold("wheels", wanted)
    sha256, path = fetch_archive(unbuilt.url, wanted, logins, what=filename)
    shop.use.hold("wheels", sha256)
    shop.point("building/source-stored")
    return _source(unbuilt, _sdist_digest(unbuilt, sha256), archive=path, filename=filename)


def _repository(shop: Workshop, unbuilt: Unbuilt, scratch: Path) -> Source:
    checkout = scratch / "checkout"
    shop.say(f"fetching {without_credentials(unbuilt.url)} {unbuilt.revision}".rstrip())
    commit = repositories.check_out(
        unbuilt.url, unbuilt.revision, checkout, env=shop.env, note=shop.note, where=unbuilt.where
    )
    _inside(checkout, unbuilt)
    if versions.asks_git(checkout / unbuilt.subfolder):
        repositories.deepen(checkout, unbuilt.url, env=shop.env, where=unbuilt.where)
    source = _source(unbuilt, _git_digest(unbuilt, commit), folder=checkout)
    return source._replace(revision=commit)


def _sdist_digest(unbuilt: Unbuilt, sha256: str) -> str:
    return hashlib.sha256(f"sdist {sha256} {unbuilt.subfolder}".encode()).hexdigest()


def _git_digest(unbuilt: Unbuilt, commit: str) -> str:
    """The commit decides all but the submodules, whose addresses may be relative to the repository's."""
    url = without_credentials(unbuilt.url)
    return hashlib.sha256(f"git {url} {commit} {unbuilt.subfolder}".encode()).hexdigest()


def _version_key(project: Path, shop: Workshop) -> str:
    """What git says of the project, where that may become part of the wheel."""
    known = versions.history(project, shop.env) if versions.asks_git(project) else None
    return f"{known.commit} {known.described} {known.refs}" if known else ""


def _source(
    unbuilt: Unbuilt,
    digest: str,
    *,
    archive: Path | None = None,
    folder: Path | None = None,
    filename: str = "",
) -> Source:
    shown = filename or without_credentials(unbuilt.url)
    label = f"{unbuilt.name} {unbuilt.version}".strip() or shown.rstrip("/").rsplit("/", 1)[-1]
    return Source(
        digest=digest, label=label, where=unbuilt.where or shown, archive=archive, folder=folder,
        name=unbuilt.name, version=unbuilt.version, subfolder=unbuilt.subfolder,
    )  # fmt: skip


def _filename(unbuilt: Unbuilt) -> str:
    if unbuilt.url.startswith("/"):
        return unbuilt.url.rsplit("/", 1)[-1]
    return unquote(urlsplit(unbuilt.url).path).rsplit("/", 1)[-1]


def _inside(top: Path, unbuilt: Unbuilt) -> None:
    """Refuse a subfolder that is none."""
    parts = unbuilt.subfolder.split("/")
    real = (top / unbuilt.subfolder).resolve()
    if (
        unbuilt.subfolder.startswith("/")
        or ".." in parts
        or not real.is_relative_to(top.resolve())
        or not real.is_dir()
    ):
        raise SourceError(
            f"there is no folder {unbuilt.subfolder!r} in the source", where=unbuilt.where or without_credentials(unbuilt.url),
            fix="correct `subdirectory`",
        )  # fmt: skip


def _project(target: Path, source: Source) -> Path:
    place = target / posixpath.normpath(source.subfolder or ".")
    if not place.resolve().is_relative_to(target.resolve()) or not place.is_dir():
        raise SourceError(f"there is no folder {source.subfolder!r} in the source", where=source.where)
    return place


def _leave_out_ignored(shop: Workshop, folder: Path, target: Path, project: Path) -> None:
    """setuptools-scm takes every file of an archive for one that git knows: those that git ignores must not be there."""
    settings = b"".join(
        (project / name).read_bytes()
        for name in ("pyproject.toml", "setup.py", "setup.cfg")
        if (project / name).is_file()
    )
    if b"setuptools_scm" not in settings and b"setuptools-scm" not in settings:
        return
    left = 0
    for name in versions.ignored(folder, shop.env):
        place = target / name.rstrip("/")
        if place.is_symlink() or place.is_file():
            place.unlink()
            left += 1
        elif place.is_dir():
            shutil.rmtree(place)
            left += 1
    if left:
        shop.note(f"what git ignores is not part of the build, as in a fresh checkout: {left} left out")
