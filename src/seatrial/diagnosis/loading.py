"""Signatures from YAML, checked, and ready for matching."""

from __future__ import annotations

import hashlib
import re
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.diagnosis import fragments, marks, wording
from seatrial.diagnosis.fragments import Need  # noqa: TC001 - msgspec reads the annotations
from seatrial.diagnosis.model import Sequence, Signature
from seatrial.errors import SeatrialError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

FOLDER = Path(__file__).parent / "signatures"
_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_SLOT = re.compile(
    r"\$?\{(?P<names>[A-Za-z_][A-Za-z0-9_]*(?:,[A-Za-z_][A-Za-z0-9_]*)*)(?:\|(?P<default>[^{}]*))?\}"
)
_NESTED = re.compile(r"\{\w+\|[^{}]*\{")
_SLOW = re.compile(r"^(\(\?[a-z]+\))?\^?\.[*+]")


class Library(msgspec.Struct, frozen=True, kw_only=True):
    """The signatures that come with Seatrial and what a line needs for each of their expressions.

    `key` tells the files and the code that it was made from.
    """

    key: str
    signatures: tuple[Signature, ...]
    needs: dict[str, tuple[Need, ...]]


def builtin() -> tuple[Signature, ...]:
    """The signatures that come with Seatrial."""
    return library().signatures


@cache
def library() -> Library:
    """What comes with Seatrial, from the cache when its files are still the same: reading YAML takes a second."""
    from seatrial import files, paths

    known = sorted(FOLDER.glob("*.yaml"))
    key = _key(known)
    place = paths.cache() / "signatures.json"
    with suppress(OSError, SeatrialError, msgspec.DecodeError):
        found = msgspec.json.decode(place.read_bytes(), type=Library)
        if found.key == key:
            return found
    signatures = tuple(one for path in known for one in read(path))
    own = (text for one in signatures for text in expressions(one))
    wanted = dict.fromkeys((*own, *marks.ALL, *(text for _, text in marks.TELLING)))
    made = Library(key=key, signatures=signatures, needs={text: _needed(text) for text in wanted})
    with suppress(OSError, SeatrialError):
        files.write_atomic(place, msgspec.json.encode(made), mode=0o600)
    return made


def needs_of(texts: Iterable[str]) -> dict[str, tuple[Need, ...]]:
    """What a line needs for each of some expressions."""
    known = library().needs
    return {text: known.get(text) or _needed(text) for text in texts}


def _needed(text: str) -> tuple[Need, ...]:
    return fragments.needed(wording.loosened(text))


def _key(known: list[Path]) -> str:
    digest = hashlib.sha256(sys.version.encode())
    for path in (*known, *sorted(Path(__file__).parent.glob("*.py"))):
        content = path.read_bytes()
        digest.update(f"{path.name}:{len(content)}:".encode())
        digest.update(content)
    return digest.hexdigest()


def load(files: Iterable[Path] = ()) -> tuple[Signature, ...]:
    """The user's signatures, which win, and the ones that come with Seatrial.

    Raises:
        UsageError: a file is not a list of signatures; says where.
    """
    own = [one for path in files for one in read(path)]
    names = {one.id for one in own}
    return (*own, *(one for one in builtin() if one.id not in names))


def read(path: Path) -> tuple[Signature, ...]:
    """The signatures in one file.

    Raises:
        UsageError: the file cannot be read, or something in it is wrong; says where, what and why.
    """
    from seatrial.sources import text, yaml

    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("the signatures cannot be read", where=str(path), why=str(error)) from error
    name = str(path.name if path.parent == FOLDER else path)
    try:
        document = yaml.read_text(name, content)
    except text.SourceError as error:
        raise UsageError(error.what, where=error.where, why=error.why, fix=error.fix) from error
    if document.value is None:
        return ()
    if not isinstance(document.value, list):
        raise UsageError(
            "the file is not a list of signatures", where=f"{name}:1:1", fix="begin each with `- id:`"
        )
    found = []
    for item in document.root.items:
        line, column = document.source.position(item.start)
        found.append(_signature(item.value, f"{name}:{line}:{column}"))
    return tuple(found)


def _signature(value: Any, where: str) -> Signature:
    try:
        one = msgspec.convert({**value, "origin": where} if isinstance(value, dict) else value, Signature)
    except msgspec.ValidationError as error:
        who = f" of {value['id']}" if isinstance(value, dict) and "id" in value else ""
        raise UsageError(f"the signature{who} is not one: {error}", where=where, fix=_SEE) from error
    for problem in problems(one):
        raise UsageError(f"signature {one.id!r}: {problem}", where=where, fix=_SEE)
    return one


_SEE = "docs/reference/signatures.md describes every key"


def problems(one: Signature) -> list[str]:
    """What is wrong with a signature beyond its shape."""
    found = []
    if not _ID.fullmatch(one.id):
        found.append("the id must be words of a-z and 0-9 joined by -")
    if not one.patterns:
        found.append("it has no patterns")
    for pattern in expressions(one):
        found += _wrong(pattern)
    if found:
        return found
    known = {name for pattern in expressions(one) for name in re.compile(pattern).groupindex}
    for text in (one.cause, one.fix.text, one.fix.command):
        found += [
            f"{{{name}}} is no capture of its patterns; write {{{{{name}}}}} for braces that stay"
            for slot in _SLOT.finditer(text.replace("{{", "").replace("}}", ""))
            for name in slot["names"].split(",")
            if not slot[0].startswith("$") and name not in known and slot["default"] is None
        ]
        if _NESTED.search(text):
            found.append(
                "captures do not nest: {a,b|words} is the first of them that is there, else the words"
            )
    return found


def expressions(one: Signature) -> list[str]:
    """All regular expressions of a signature."""
    return patterns(one) + contexts(one)


def patterns(one: Signature) -> list[str]:
    """The regular expressions of its patterns."""
    return [text for p in one.patterns for text in (p.lines if isinstance(p, Sequence) else (p,))]


def contexts(one: Signature) -> list[str]:
    """The regular expressions of what it needs besides."""
    return [text for text in (one.needs.earlier, one.needs.later, one.needs.absent) if text]


def _wrong(pattern: str) -> list[str]:
    try:
        re.compile(pattern)
        _needed(pattern)
    except re.error as error:
        return [f"{pattern!r} is no regular expression: {error}"]
    except LookupError:
        return [f"{pattern!r} also matches lines without any fixed word; give it one of two letters or more"]
    if _SLOW.match(pattern):
        return [f"{pattern!r} begins with any text, which is slow; leave that out"]
    return []


_NOTHING = "\0"
_EMPTY = re.compile(r" \0(?=[ .,;:)]|\Z)|\A\0 |\0")
"""A slot that is left out, and the space that would then be one too many."""
_NAME_AT_AN_END = re.compile(r"\S*\w\.\Z")
"""One word with the full stop of the sentence that it ended."""


def fill(template: str, captures: dict[str, str | None]) -> str:
    """A text with its captures: {name} or {name|what to say without it}; {one,other} is the first that is there, and
    {{ and }} are braces.
    """

    def put(slot: re.Match[str]) -> str:
        if slot[0].startswith("$"):
            return slot[0]
        value = next((found for name in slot["names"].split(",") if (found := captures.get(name))), None)
        before, after = slot.string[: slot.start()], slot.string[slot.end() :]
        if value and (after.startswith(".") or _NAME_AT_AN_END.match(value)):
            value = value.rstrip(".")  # a message may bring the full stop of its own sentence
        if value and before.endswith((" ", "(")):
            value = value.strip()
        if value and slot["default"] is not None:
            return _set_off(value, before, after)
        return value or (_NOTHING if slot["default"] == "" else slot["default"] or "…")

    parts = [_EMPTY.sub("", _SLOT.sub(put, part)) for part in re.split(r"\{\{|\}\}", template)]
    braces = re.findall(r"\{\{|\}\}", template)
    return parts[0] + "".join(brace[0] + part for brace, part in zip(braces, parts[1:], strict=True))


def _set_off(value: str, before: str, after: str) -> str:
    """What may be left out is written without a space before it, which it needs when it is there."""
    if before[-1:].isalnum() and value[0] not in " ,.;:)":
        value = f": {value}" if after[:1] in {".", ";", ""} and value[0] != "(" else f" {value}"
    return f"{value} " if after[:1].isalnum() else value
