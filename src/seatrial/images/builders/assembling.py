"""A Dockerfile that only takes a base, installs with pip and copies, as the specification of an assembled image.

Whatever else a Dockerfile does would be lost, so it is refused with its place. Nothing is run.
"""

from __future__ import annotations

import fnmatch
import os
import posixpath
import re
import shlex
from typing import TYPE_CHECKING

import msgspec

from seatrial.errors import SeatrialError
from seatrial.images.assemble.source import content
from seatrial.images.assemble.spec import ImageSpec
from seatrial.sources.dockerfile import read
from seatrial.sources.dockerfile_words import expand

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from seatrial.sources.dockerfile_model import Instruction, Pair
    from seatrial.sources.text import Source

_PIP = re.compile(r"(?:\S*/)?(?:pip[\d.]*|python[\d.]*\s+-m\s+pip)\s+install\s+(?P<rest>.*)", re.DOTALL)
_IGNORED = ("--no-cache-dir", "--upgrade", "-U", "-q", "--quiet", "-qq", "--disable-pip-version-check", "--no-input", "--root-user-action=ignore", "--break-system-packages", "--prefer-binary")  # fmt: skip
_KEPT = (
    "--index-url",
    "-i",
    "--extra-index-url",
    "--find-links",
    "-f",
    "--pre",
    "--only-binary",
    "--require-hashes",
    "--no-index",
)
_FILES = ("-r", "--requirement", "-c", "--constraint")
_OPERATORS = re.compile(r"[;|<>`]|\$\(|(?<!&)&(?!&)")


class NotAssemblableError(SeatrialError):
    """The Dockerfile does more than assembling can do; `where` is file:line."""


class _Read(msgspec.Struct):
    """What was read so far."""

    base: str = ""
    workdir: str = ""
    user: str = "root"
    env: dict[str, str] = {}
    arguments: dict[str, str] = {}
    labels: dict[str, str] = {}
    ports: list[int] = []
    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    lines: list[str] = []
    copies: list[tuple[Instruction, str, list[str], str]] = []
    compiled: bool = True


def plan(
    dockerfile: Source, context: Path, stage: Path, arguments: Mapping[str, str], bases: Mapping[str, Path]
) -> ImageSpec:
    """The specification that gives the same image. What COPY takes is linked into the empty folder `stage`.

    Raises:
        NotAssemblableError: an instruction cannot be expressed; says which and why.
    """
    context = context.absolute()
    whole = read(dockerfile)
    if whole.findings:
        wrong = whole.findings[0]
        raise NotAssemblableError(
            wrong.message, where=f"{wrong.path}:{wrong.line}:{wrong.column}", fix="correct this line"
        )
    found = _Read()
    for one in whole.instructions:
        try:
            _take(one, found, arguments)
        except _Unfit as why:
            raise NotAssemblableError(
                f"{one.keyword} cannot be assembled: {why}", where=str(dockerfile.place(one.start)),
                fix="build it without --assemble",
            ) from None  # fmt: skip
    if not found.workdir or found.workdir == "/":
        raise NotAssemblableError(
            "there is no WORKDIR for the source", where=dockerfile.path, fix="add WORKDIR /app, or build without --assemble"
        )  # fmt: skip
    source, requirements = stage / "source", stage / "requirements.txt"
    source.mkdir()
    placed = _stage(found, context, source, dockerfile)
    requirements.write_text("".join(_requirement(line, found, placed, dockerfile) for line in found.lines))
    base = bases.get(found.base)
    return ImageSpec(
        root=source,
        base=str(base.absolute()) if base else found.base,
        requirements=(str(requirements),) if found.lines else (),
        project=False,
        source=("*",) if placed else (),
        workdir=found.workdir,
        env=found.env,
        labels=found.labels,
        ports=tuple(found.ports),
        command=found.command,
        entrypoint=found.entrypoint,
        user=found.user,
        bytecode=found.compiled,
    )


class _Unfit(Exception):  # noqa: N818 - it is caught here and becomes an error with its place
    """Why an instruction cannot be expressed."""


def _take(one: Instruction, found: _Read, arguments: Mapping[str, str]) -> None:  # noqa: C901 - one branch for each keyword
    known = {**found.arguments, **found.env}
    kind = one.keyword
    if kind == "FROM":
        _from(one, found, known)
    elif kind == "ARG":
        for pair in one.pairs:
            default = _value(pair, known) if pair.value is not None else ""
            found.arguments[pair.key.text] = arguments.get(pair.key.text, default)
    elif kind in ("ENV", "LABEL"):
        values = {_plain(pair.key.text, known): _value(pair, known) for pair in one.pairs}
        (found.env if kind == "ENV" else found.labels).update(values)
    elif kind == "WORKDIR":
        found.workdir = posixpath.normpath(posixpath.join(found.workdir or "/", _plain(one.body.text, known)))
    elif kind == "USER":
        found.user = _plain(one.body.text, known)
    elif kind == "EXPOSE":
        found.ports += [_port(_plain(word.text, known)) for word in one.words]
    elif kind in ("CMD", "ENTRYPOINT"):
        words = (
            tuple(word.text for word in one.json)
            if one.json is not None
            else ("/bin/sh", "-c", one.body.text)
        )
        found.command, found.entrypoint = (words, found.entrypoint) if kind == "CMD" else ((), words)
    elif kind in ("COPY", "ADD"):
        _copy(one, found, known)
    elif kind == "RUN":
        _run(one, found, known)
    else:
        raise _Unfit("assembled images have none")


def _from(one: Instruction, found: _Read, known: Mapping[str, str]) -> None:
    if found.base:
        raise _Unfit("it is a second stage")
    if one.flags:
        raise _Unfit(f"--{one.flags[0].name} is not known there")
    found.base = _plain(one.words[0].text, known)


def _copy(one: Instruction, found: _Read, known: Mapping[str, str]) -> None:
    for flag in one.flags:
        if flag.name != "link":
            raise _Unfit(f"--{flag.name} asks for more than files of the folder that root owns")
    if one.heredocs:
        raise _Unfit("it writes a here-document")
    words = [_plain(word.text, known) for word in one.words]
    if one.keyword == "ADD" and any(
        "://" in word or word.endswith((".tar", ".gz", ".xz", ".bz2", ".tgz")) for word in words[:-1]
    ):
        raise _Unfit("ADD fetches or unpacks")
    target = posixpath.join(found.workdir or "/", words[-1])
    found.copies.append((one, target, words[:-1], found.workdir or "/"))


def _run(one: Instruction, found: _Read, known: Mapping[str, str]) -> None:
    if one.json is not None or one.heredocs or [flag for flag in one.flags if flag.name != "mount"]:
        raise _Unfit("only `pip install` is")
    if any(flag.name == "mount" and flag.value and "type=cache" not in flag.value.text for flag in one.flags):
        raise _Unfit("it mounts more than a cache")
    text = one.script.text
    if _OPERATORS.search(re.sub(r"'[^']*'|\"[^\"]*\"", "", text)):
        raise _Unfit("it is more than a row of `pip install`")
    for command in text.split("&&"):
        match = _PIP.fullmatch(command.strip())
        if match is None:
            raise _Unfit(f"`{' '.join(command.split())[:60]}` is no `pip install`")
        found.lines += _installs(_plain_words(match["rest"], known), found)


def _installs(words: list[str], found: _Read) -> list[str]:
    """Lines of a requirement file that ask for the same."""
    lines, at = [], 0
    while at < len(words):
        word, at = words[at], at + 1
        name, has, value = word.partition("=")
        if word in _IGNORED:
            continue
        if word == "--no-compile":
            found.compiled = False
        elif word in _FILES or (name in _FILES and has) or word in _KEPT or (name in _KEPT and has):
            takes = name not in ("--pre", "--require-hashes", "--no-index")
            if takes and not has:
                value, at = words[at] if at < len(words) else "", at + 1
            lines.append(f"{name} {value}".strip())
        elif word.startswith("-"):
            raise _Unfit(f"pip's option {word} is not known there")
        elif word.startswith((".", "/")) or "://" in word:
            raise _Unfit(f"{word} is built in the image")
        else:
            lines.append(word)
    return lines


def _requirement(line: str, found: _Read, placed: Mapping[str, Path], dockerfile: Source) -> str:
    """A line with the file it names where it lies here."""
    name, _, path = line.partition(" ")
    target = posixpath.normpath(posixpath.join(found.workdir, path))
    if name in ("-f", "--find-links") and "://" not in path:
        inside = [place for copied, place in placed.items() if posixpath.dirname(copied) == target]
        if not inside:
            raise NotAssemblableError(
                f"pip looks into {path}, which no COPY puts there",
                where=dockerfile.path,
                fix="copy it before pip runs",
            )
        return f"{name} {inside[0].parent}\n"
    if name not in _FILES:
        return f"{line}\n"
    if target not in placed:
        raise NotAssemblableError(
            f"pip reads {path}, which no COPY puts there",
            where=dockerfile.path,
            fix="copy it before pip reads it",
        )
    return f"{name} {placed[target]}\n"


def _stage(found: _Read, context: Path, source: Path, dockerfile: Source) -> dict[str, Path]:
    """Link what COPY takes into `source`, laid out as in WORKDIR; path in the image → file here."""
    there = dict(content(context))
    placed: dict[str, Path] = {}
    for one, target, words, _ in found.copies:
        where = str(dockerfile.place(one.start))
        for path, relative in _copied(there, words, target, where).items():
            inside = posixpath.relpath(path, found.workdir)
            if inside.startswith(".."):
                raise NotAssemblableError(
                    f"{one.keyword} writes {path}, outside of {found.workdir}", where=where,
                    fix="copy below WORKDIR, or build without --assemble",
                )  # fmt: skip
            place = source / inside
            place.parent.mkdir(parents=True, exist_ok=True)
            place.unlink(missing_ok=True)
            _link(there[relative], place)
            placed[path] = context / relative
    return placed


def _copied(there: Mapping[str, Path], words: list[str], target: str, where: str) -> dict[str, str]:
    """Path in the image → path in the folder, as COPY decides: a folder's content, or files into or as the target."""
    found: dict[str, str] = {}
    files = [path for path, place in there.items() if place.is_symlink() or not place.is_dir()]
    for word in words:
        wanted = posixpath.normpath(word.lstrip("/"))
        if wanted == ".":
            found |= {posixpath.normpath(posixpath.join(target, path)): path for path in files}
            continue
        names = {path for path in (*files, *_folders(files)) if _matches(path, wanted)}
        if not names:
            raise NotAssemblableError(
                f"{word} is not there",
                where=where,
                why="or .dockerignore leaves it out",
                fix="correct the name",
            )
        into = (
            target.endswith("/")
            or len(words) > 1
            or len(names) > 1
            or posixpath.basename(target) in (".", "..")
        )
        for name in sorted(names):
            below = [path for path in files if path.startswith(f"{name}/")]
            if below:
                found |= {posixpath.normpath(f"{target}/{path[len(name) + 1 :]}"): path for path in below}
            else:
                found[posixpath.normpath(f"{target}/{posixpath.basename(name)}" if into else target)] = name
    return found


def _folders(files: list[str]) -> set[str]:
    return {
        posixpath.join(*parts[:n])
        for path in files
        if (parts := path.split("/"))
        for n in range(1, len(parts))
    }


def _matches(path: str, wanted: str) -> bool:
    """As Go's filepath.Match: a star stays within one part of the path."""
    parts, patterns = path.split("/"), wanted.split("/")
    return len(parts) == len(patterns) and all(
        fnmatch.fnmatchcase(part, pattern) for part, pattern in zip(parts, patterns, strict=True)
    )


def _link(file: Path, place: Path) -> None:
    import shutil

    if file.is_symlink():
        place.symlink_to(file.readlink())
        return
    try:
        os.link(file, place)
    except OSError:
        shutil.copy2(file, place)


def _value(pair: Pair, known: Mapping[str, str]) -> str:
    return _plain(pair.value.text if pair.value is not None else "", known)


def _plain(text: str, known: Mapping[str, str]) -> str:
    """A text with its variables replaced; the base's own are not known here."""
    for name in re.findall(r"(?<!\\)\$\{?([A-Za-z_]\w*)", text):
        if name not in known:
            raise _Unfit(f"it uses ${name}, which the base may set")
    return expand(text, known).text


def _plain_words(text: str, known: Mapping[str, str]) -> list[str]:
    for name in re.findall(r"(?<!\\)\$\{?([A-Za-z_]\w*)", text):
        if name not in known:
            raise _Unfit(f"it uses ${name}, which the base may set")
        text = re.sub(rf"\$\{{{name}\}}|\${name}\b", lambda _m, name=name: known[name], text)  # type: ignore[misc]
    try:
        # A continued line is one line by now; what quotes hold stays one word.
        return shlex.split(text)
    except ValueError as error:
        raise _Unfit(str(error)) from None


def _port(text: str) -> int:
    number, _, protocol = text.partition("/")
    if not number.isdigit() or protocol not in ("", "tcp"):
        raise _Unfit(f"the port {text} is no single port of TCP")
    return int(number)
