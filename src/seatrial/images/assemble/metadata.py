"""The files in a wheel that say what it is: METADATA, WHEEL, RECORD and entry_points.txt.

Source: packaging.python.org, "Binary distribution format", "Recording installed projects", "Entry points".
"""

from __future__ import annotations

import base64
import csv
import io
import re
from typing import TYPE_CHECKING, NamedTuple

from seatrial.images.assemble.archive import check_name
from seatrial.images.assemble.refusal import refuse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from packaging.version import Version

_HASHES = ("sha256", "sha384", "sha512")
_UNLISTED = ("RECORD", "RECORD.jws", "RECORD.p7s")


class Recorded(NamedTuple):
    """What RECORD says: hash name, digest, size or None."""

    algorithm: str
    digest: bytes
    size: int | None


def check_project(content: bytes | None, name: str, version: Version, filename: str) -> None:
    """Compare the project that METADATA names with the file's name.

    Raises:
        WheelError: METADATA is missing, or names another project or version than the file's name.
    """
    from packaging.utils import canonicalize_name
    from packaging.version import InvalidVersion, Version

    if content is None:
        raise refuse(filename, "it has no METADATA")
    fields: dict[str, str] = {}
    for line in content.decode("utf-8", "replace").splitlines():
        if not line.strip():
            break  # the description follows
        key, colon, value = line.partition(":")
        if colon and not line.startswith((" ", "\t")):
            fields.setdefault(key.strip().lower(), value.strip())
    said, said_version = fields.get("name", ""), fields.get("version", "")
    try:
        same = canonicalize_name(said) == name and Version(said_version) == version
    except InvalidVersion:
        same = False
    if not same:
        raise refuse(filename, f"its METADATA says it is {said or 'nothing'} {said_version}".rstrip())


def read_format(content: bytes | None, filename: str) -> bool:
    """Whether `Root-Is-Purelib` holds.

    Raises:
        WheelError: the wheel is in a format that is not known.
    """
    if content is None:
        raise refuse(filename, "it has no WHEEL file")
    lines = (line.partition(":") for line in content.decode("utf-8", "replace").splitlines())
    fields = {key.strip().lower(): value.strip() for key, _, value in lines}
    version = fields.get("wheel-version", "")
    if not version.startswith("1."):
        raise refuse(filename, f"its format version is {version or 'missing'}; only 1.x is known")
    return fields.get("root-is-purelib", "").lower() == "true"


def read_record(
    content: bytes | None, names: Iterable[str], dist_info: str, filename: str
) -> dict[str, Recorded]:
    """What RECORD says of every file but itself and its signatures.

    Raises:
        WheelError: RECORD is missing or malformed, or lists other files than the archive holds.
    """
    if content is None:
        raise refuse(filename, "it has no RECORD, so nothing says what it should contain")
    unlisted = {f"{dist_info}/{name}" for name in _UNLISTED}
    found: dict[str, Recorded] = {}
    for row in csv.reader(io.StringIO(content.decode("utf-8", "replace"), newline="")):
        if not row or row[0] in unlisted:
            continue
        if len(row) != 3:  # noqa: PLR2004 - path, hash, size
            raise refuse(filename, f"RECORD has a line of {len(row)} fields: {row[0][:200]!r}")
        path, recorded = row[0].removeprefix("./").replace("\\", "/"), _recorded(row, filename)
        if found.setdefault(path, recorded) != recorded:
            raise refuse(filename, f"RECORD says two different things of {path!r}")
    there = set(names)
    for name in sorted(there - found.keys() - unlisted):
        raise refuse(filename, f"RECORD does not list {name!r}")
    for name in sorted(found.keys() - there):
        check_name(name, filename)
        raise refuse(filename, f"RECORD lists {name!r}, which is not in it")
    return found


def _recorded(row: list[str], filename: str) -> Recorded:
    algorithm, _, text = row[1].partition("=")
    if algorithm not in _HASHES:
        raise refuse(filename, f"RECORD gives no sha256 (or stronger) hash of {row[0]!r}")
    try:
        digest = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return Recorded(algorithm, digest, int(row[2]) if row[2] else None)
    except ValueError as error:
        raise refuse(filename, f"RECORD's line of {row[0]!r} is malformed") from error


def read_scripts(content: bytes, filename: str) -> tuple[tuple[str, str], ...]:
    """Console and GUI scripts as (name, `module:attribute`), sorted.

    Raises:
        WheelError: a name is none for a program, or its target cannot be called.
    """
    found: dict[str, dict[str, str]] = {"console_scripts": {}, "gui_scripts": {}}
    section = ""
    for line in content.decode("utf-8", "replace").splitlines():
        text = line.strip()
        if text.startswith("[") and text.endswith("]"):
            section = text[1:-1].strip()
        elif "=" in text and section in found and text[0] not in "#;":
            name, _, value = (part.strip() for part in text.partition("="))
            found[section][name] = _target(name, value, filename)
    return tuple(sorted({**found["console_scripts"], **found["gui_scripts"]}.items()))


def _target(name: str, value: str, filename: str) -> str:
    if not re.fullmatch(r"[^\s/\\'\"$`;&|<>*?\[\]]+", name) or name in (".", ".."):
        raise refuse(filename, f"the entry point {name!r} is not a plain file name")
    check_name(name, filename)
    module, colon, attribute = (part.strip() for part in value.partition("[")[0].partition(":"))
    if not (colon and _dotted(module) and _dotted(attribute)):
        raise refuse(filename, f"the entry point {name} has no `module:attribute` but {value!r}")
    return f"{module}:{attribute}"


def _dotted(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))
