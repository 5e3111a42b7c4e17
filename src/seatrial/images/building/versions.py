"""What version tools would read from git, told to a build that has neither git nor the repository.

Tools ask git for the last tag and the commits since. The copy that is built gets what `git archive` writes for them
instead: files marked `export-subst` have their `$Format:…$` filled in, and setuptools-scm, which reads such a file,
gets one. Tools that take a version from the environment are told it as well, in setuptools-scm's default scheme.

Source: gitattributes(5) `export-subst`; setuptools-scm, "Git archives" and "Configuration"; pdm-backend, "SCM";
pbr, `PBR_VERSION`. Only git's plumbing is asked, which reads no file of the work tree and runs nothing.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta, timezone
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from seatrial.errors import SeatrialError
from seatrial.images.building.repositories import ask, quiet

if TYPE_CHECKING:
    from collections.abc import Mapping

_TOOLS = re.compile(
    rb"setuptools[_-]scm|hatch[_-]vcs|flit[_-]scm|setuptools[_-]git[_-]versioning|versioneer|versioningit|dunamai"
    rb"|poetry-dynamic-versioning|\bpbr\b|\bscm\b|git_archival"
)
_SETUPTOOLS_SCM = re.compile(rb"setuptools[_-]scm|hatch[_-]vcs|flit[_-]scm")
# Schemes that decide otherwise than by "the next version, and how many commits since the last".
_OTHER_SCHEME = re.compile(rb"version_scheme|local_scheme|tag_regex|git_describe_command|describe_command")
_ASKING = ("pyproject.toml", "setup.py", "setup.cfg", ".git_archival.txt", ".gitattributes")
_ARCHIVAL = (
    "node: $Format:%H$\nnode-date: $Format:%cI$\n"
    "describe-name: $Format:%(describe:tags=true,match=*[0-9]*)$\nref-names: $Format:%D$\n"
)


class History(NamedTuple):
    """A commit: `described` is `TAG-COUNT-gHASH` or empty, `refs` as `%D` shows them, `top` the work tree's root."""

    top: Path
    commit: str
    when: datetime
    described: str
    refs: str


def asks_git(project: Path) -> bool:
    """Whether the project's version, or its list of files, may come from git."""
    return any(_TOOLS.search(_content(project / name)) for name in _ASKING)


def history(folder: Path, env: Mapping[str, str]) -> History | None:
    """What git knows of the commit that `folder` is checked out at; None when it is in no repository, or git is not here."""
    calm = quiet(env)
    try:
        asked = ask(["rev-parse", "--show-toplevel", "HEAD"], folder, calm)
    except SeatrialError:
        return None
    if asked.code != 0:
        return None
    top, _, commit = asked.stdout.strip().rpartition("\n")
    described = ask(["describe", "--tags", "--long", "--match", "*[0-9]*", commit], folder, calm)
    refs = ask(["for-each-ref", "--points-at", commit, "--format=%(refname)", "refs/tags"], folder, calm)
    tags = [f"tag: {line.removeprefix('refs/tags/')}" for line in refs.stdout.split("\n") if line]
    return History(
        top=Path(top),
        commit=commit,
        when=_committed(ask(["cat-file", "commit", commit], folder, calm).stdout),
        described=described.stdout.strip() if described.code == 0 else "",
        refs=", ".join(["HEAD", *tags]),
    )


def ignored(folder: Path, env: Mapping[str, str]) -> list[str]:
    """Files and folders below `folder` that git ignores; folders end in a slash."""
    options = ["--others", "--ignored", "--exclude-standard", "--directory", "-z"]
    done = ask(["ls-files", *options], folder, quiet(env))
    return [one for one in done.stdout.split("\0") if one] if done.code == 0 else []


def tell(copied: Path, project: Path, known: History) -> dict[str, str]:
    """Fill in what `git archive` would in the copy of a checkout, and return the environment for other tools.

    `project` is the project's own folder in `copied`.
    """
    for path in _substituted(copied):
        _fill(path, known)
    settings = b"".join(_content(project / name) for name in _ASKING)
    archival = project / ".git_archival.txt"
    if _SETUPTOOLS_SCM.search(settings) and not archival.exists():
        archival.write_text(_filled(_ARCHIVAL, known))
    version = scm_version(known)
    if not version or _OTHER_SCHEME.search(settings):
        return {}
    told = {"PDM_BUILD_SCM_VERSION": version, "PBR_VERSION": version.partition("+")[0]}
    return {**told, "SETUPTOOLS_SCM_PRETEND_VERSION": version} if _SETUPTOOLS_SCM.search(settings) else told


def scm_version(known: History) -> str:
    """The version in setuptools-scm's default scheme; empty when no tag says one.

    At a tag it is the tag's; N commits later it is the next one's `.devN`, with the commit as local part.
    """
    from packaging.version import InvalidVersion, Version

    match = re.fullmatch(r"(?P<tag>.*)-(?P<count>\d+)-g(?P<hash>[0-9a-f]+)", known.described)
    number = match and re.search(r"(?:^|[^0-9A-Za-z])?[vV]?(\d[\w.+!-]*)$", match["tag"])
    if match is None or not number:
        return ""
    try:
        version = Version(number[1])
    except InvalidVersion:
        return ""
    if match["count"] == "0":
        return str(version)
    return f"{_next(version)}.dev{match['count']}+g{match['hash']}"


def _next(version: object) -> str:
    """1.2.3 → 1.2.4, 1.2rc1 → 1.2rc2: the last number counts on."""
    plain = re.sub(r"(\.post\d+|\.dev\d+|\+.*)", "", str(version))
    return re.sub(r"(\d+)$", lambda m: str(int(m[1]) + 1), plain)


def _committed(text: str) -> datetime:
    """The committer's time in a commit object."""
    match = re.search(r"(?m)^committer .* (\d+) ([+-])(\d\d)(\d\d)$", text)
    if match is None:
        return datetime.fromtimestamp(0, UTC)
    offset = timedelta(hours=int(match[3]), minutes=int(match[4]))
    return datetime.fromtimestamp(int(match[1]), timezone(offset if match[2] == "+" else -offset))


def _substituted(copied: Path) -> list[Path]:
    """Files that .gitattributes marks `export-subst`."""
    found: set[Path] = set()
    for folder, names, files in os.walk(copied):
        names.sort()
        if ".gitattributes" not in files:
            continue
        place = Path(folder)
        for line in _content(place / ".gitattributes").decode("utf-8", "replace").splitlines():
            words = line.split()
            if "export-subst" in words[1:]:
                found.update(
                    p
                    for p in place.rglob("*")
                    if p.is_file() and not p.is_symlink() and _matches(p, place, words[0])
                )
    return sorted(found)


def _matches(path: Path, folder: Path, pattern: str) -> bool:
    relative = path.relative_to(folder).as_posix()
    return fnmatch(relative, pattern.lstrip("/")) if "/" in pattern else fnmatch(path.name, pattern)


def _fill(path: Path, known: History) -> None:
    content = path.read_bytes()
    if b"$Format:" in content:
        text = content.decode("utf-8", "surrogateescape")
        path.write_bytes(_filled(text, known).encode("utf-8", "surrogateescape"))


def _filled(text: str, known: History) -> str:
    """`$Format:…$` with git's placeholders for a commit. Source: git-log(1), PRETTY FORMATS."""
    short = known.commit[:7]
    values = {
        "%H": known.commit, "%h": short, "%D": known.refs, "%d": f" ({known.refs})", "%n": "\n", "%%": "%",
        "%cI": known.when.isoformat(), "%ci": known.when.strftime("%Y-%m-%d %H:%M:%S %z"),
        "%cs": known.when.strftime("%Y-%m-%d"), "%ct": str(int(known.when.timestamp())),
    }  # fmt: skip
    described = re.sub(r"-0-g[0-9a-f]+$", "", known.described)

    def one(match: re.Match[str]) -> str:
        return described if match[0].startswith("%(describe") else values.get(match[0], match[0])

    def whole(match: re.Match[str]) -> str:
        return re.sub(r"%\(describe[^)]*\)|%c[Iist]|%[HhDdn%]", one, match[1])

    return re.sub(r"\$Format:([^$\n]*)\$", whole, text)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes() if path.is_file() and not path.is_symlink() else b""
    except OSError:
        return b""
