"""The source layer: what of a folder goes into the image, and what must not."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from seatrial.errors import SeatrialError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Never wanted in an image; a project's own patterns can bring any of them back with `!pattern`.
DEFAULT_EXCLUDES = (
    ".git", ".hg", ".svn", "**/__pycache__", "**/*.pyc", ".venv", "venv", ".tox", ".nox", ".mypy_cache",
    ".pytest_cache", ".ruff_cache", "node_modules", ".dockerignore", ".gitignore", "Dockerfile", "*.egg-info",
)  # fmt: skip
_KEY = re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----")
_KEY_NAMES = re.compile(
    r"id_(rsa|dsa|ecdsa|ed25519)|.*\.(pfx|p12|jks|keystore)|\.netrc|\.pypirc|\.git-credentials"
)
_ENV_EXAMPLES = (".example", ".sample", ".template", ".dist")
_HEAD = 1 << 16


class SecretFileError(SeatrialError):
    """A file that would give a secret to everyone who can pull the image."""


def select(root: Path, include: Sequence[str], exclude: Sequence[str]) -> list[tuple[str, Path]]:
    """Files, links and folders below `root` that go into the image, as (relative path, place), sorted.

    `include` and `exclude` are patterns of .gitignore. What .dockerignore names stays out, and so do version
    control, caches and virtual environments, unless .dockerignore brings them back by `!`.

    Raises:
        SeatrialError: an include matches nothing.
        SecretFileError: one of the files holds a secret.
    """
    import pathspec

    include = [_pattern(one) for one in include]
    out = pathspec.GitIgnoreSpec.from_lines(exclude)
    there = [
        (relative, place) for relative, place in content(root) if not out.match_file(_named(relative, place))
    ]
    for pattern in include:
        one = pathspec.GitIgnoreSpec.from_lines([pattern.removeprefix("!")])
        if pattern != "*" and not any(one.match_file(_named(*item)) for item in there):
            raise SeatrialError(
                f"`source: {pattern}` matches nothing",
                where=str(root),
                fix="correct the pattern, or remove it",
            )
    wanted = pathspec.GitIgnoreSpec.from_lines(include)
    chosen = {relative: place for relative, place in there if wanted.match_file(_named(relative, place))}
    for relative, place in sorted(chosen.items()):
        refuse_secret(relative, place)
    for relative in list(chosen):
        for parent in PurePosixPath(relative).parents:
            if parent.name:
                chosen.setdefault(parent.as_posix(), root / parent)
    return sorted(chosen.items())


def content(root: Path) -> Iterator[tuple[str, Path]]:
    """What a folder holds of its own, as (relative path, place): all but what .dockerignore names, version control,
    caches and virtual environments.

    Raises:
        SeatrialError: a folder cannot be read.
    """
    return _walk(root, matcher([*DEFAULT_EXCLUDES, *_dockerignore(root)]))


def _pattern(text: str) -> str:
    """Paths as people write them on a command line, as patterns: `.` is everything, `./x` is x at the top."""
    if text.rstrip("/") in (".", ""):
        return "*"
    return "/" + text[2:] if text.startswith("./") else text


def _named(relative: str, place: Path) -> str:
    """Patterns that end in a slash mean folders alone."""
    return f"{relative}/" if place.is_dir() and not place.is_symlink() else relative


def _walk(root: Path, ignored: Matcher) -> Iterator[tuple[str, Path]]:
    for folder, names, files in os.walk(root, onerror=_unreadable):
        place = Path(folder)
        base = place.relative_to(root).as_posix()
        prefix = "" if base == "." else base + "/"
        linked = [name for name in names if (place / name).is_symlink()]
        names[:] = [
            n
            for n in names
            if n not in linked and (ignored.has_exceptions or not ignored.matches(prefix + n))
        ]
        for name in (*files, *linked, *names):
            if not ignored.matches(prefix + name):
                yield prefix + name, place / name


def _unreadable(error: OSError) -> None:
    raise SeatrialError(
        f"cannot be read: {error.strerror}", where=str(error.filename), fix="make it readable or exclude it"
    ) from error


def _dockerignore(root: Path) -> list[str]:
    try:
        text = (root / ".dockerignore").read_text("utf-8-sig", "replace")
    except FileNotFoundError:
        return []
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


class Matcher:
    """Patterns in order, compiled. Source: moby/patternmatcher and Go's `filepath.Match`."""

    def __init__(self, rules: list[tuple[bool, re.Pattern[str]]]) -> None:
        self._rules = rules
        self.has_exceptions = any(not excludes for excludes, _ in rules)

    def matches(self, path: str) -> bool:
        """Whether the last pattern that matches `path`, or a folder above it, excludes it."""
        parts = path.split("/")
        ladder = ["/".join(parts[:n]) for n in range(1, len(parts) + 1)]
        excluded = False
        for excludes, pattern in self._rules:
            if excludes != excluded and any(pattern.fullmatch(step) for step in ladder):
                excluded = excludes
        return excluded


def matcher(patterns: Sequence[str]) -> Matcher:
    """Compile .dockerignore patterns."""
    rules = []
    for pattern in patterns:
        excludes = not pattern.startswith("!")
        text = os.path.normpath(pattern.removeprefix("!").strip()).lstrip("/")
        if text not in (".", ""):
            rules.append((excludes, _translate(text)))
    return Matcher(rules)


def _translate(pattern: str) -> re.Pattern[str]:
    out, i = "", 0
    while i < len(pattern):
        if pattern.startswith("**/", i):
            out, i = out + "(?:.*/)?", i + 3
        elif pattern.startswith("**", i):
            out, i = out + ".*", i + 2
        elif pattern[i] == "*":
            out, i = out + "[^/]*", i + 1
        elif pattern[i] == "?":
            out, i = out + "[^/]", i + 1
        elif pattern[i] == "[" and (end := pattern.find("]", i + 2)) > 0:
            body = pattern[i + 1 : end].replace("\\", "\\\\")
            out, i = out + f"[{'^' + body[1:] if body[0] in '^!' else body}]", end + 1
        elif pattern[i] == "\\" and i + 1 < len(pattern):
            out, i = out + re.escape(pattern[i + 1]), i + 2
        else:
            out, i = out + re.escape(pattern[i]), i + 1
    return re.compile(out, re.DOTALL)


def refuse_secret(relative: str, path: Path) -> None:
    """Raise for environment files, key stores and private keys.

    Raises:
        SecretFileError: the file is one.
    """
    name = relative.rsplit("/", 1)[-1]
    why = ""
    if (name == ".env" or name.startswith(".env.")) and not name.endswith(_ENV_EXAMPLES):
        why = "files of that name hold the secrets of an environment"
    elif _KEY_NAMES.fullmatch(name):
        why = "files of that name hold keys or passwords"
    elif stat.S_ISREG(path.lstat().st_mode):
        with path.open("rb") as stream:
            if match := _KEY.search(stream.read(_HEAD)):
                why = f"it contains {match[0].decode()}"
    if why:
        raise SecretFileError(
            f"{relative} would give a secret to everyone who can pull the image",
            where=str(path), why=why,
            fix=f"add `{relative}` to .dockerignore and give the secret to the container when it runs",
        )  # fmt: skip
