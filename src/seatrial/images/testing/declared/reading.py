"""Files with tests of an image: Seatrial's own form and container-structure-test's, in YAML or JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seatrial.config.check import as_finding
from seatrial.config.checks import Checks
from seatrial.config.decode import Problem, decode, dotted
from seatrial.config.load import FILE, ConfigError
from seatrial.config.patterns import PatternError, compiled
from seatrial.config.reading import UnreadableError, read_table, syntax
from seatrial.config.tree import Kind, Listing, Node, Place, Scalar, Table, at
from seatrial.images.testing.declared import as_in_go
from seatrial.images.testing.declared.declaration import Declared
from seatrial.images.testing.declared.structure import Structure1, Structure2

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from seatrial.config.decode import Decoded
    from seatrial.findings import Finding
    from seatrial.sources.text import Source
    from seatrial.sources.tree import Node as Written

_VERSIONS: dict[str, type] = {"1.0.0": Structure1, "2.0.0": Structure2}
_STRUCTURE_KEYS = frozenset({
    "schemaVersion", "globalEnvVars", "commandTests", "fileExistenceTests", "fileContentTests", "metadataTest",
    "licenseTests", "containerRunOptions",
})  # fmt: skip


def read(file: Path, name: str = "") -> Declared:
    """Read a file of tests; `name` is what messages call it, by default as it is given.

    Raises:
        ConfigError: something in it is unknown, misspelt or wrong; every reason with its line and column.
        UsageError: it cannot be read.
    """
    from seatrial.errors import UsageError
    from seatrial.sources import text

    shown = name or file.as_posix()
    try:
        source = text.read(file, shown)
    except text.SourceError as error:
        raise UsageError(error.what, where=shown, why=error.why, fix="give a file of tests") from error
    decoded, found = _decoded(source)
    if decoded is None or found:
        raise ConfigError(found)
    return Declared(
        name=shown, folder=str(file.parent), content=decoded.value, places=_places(decoded.origins, shown)
    )


def check(source: Source) -> list[Finding]:
    """Everything that is wrong in a file of tests, in its order. Files that it names are not looked at."""
    return _decoded(source)[1]


def inline(folder: Path, checks: Checks) -> Declared | None:
    """The checks that the seatrial.yaml of `folder` has, with the lines where they are; None for no checks."""
    from seatrial.config.model import Config

    if checks == Checks():
        return None
    try:
        decoded = decode(read_table(FILE, (folder / FILE).read_text(encoding="utf-8-sig")), Config)
    except (OSError, ValueError, UnreadableError):
        return Declared(name=FILE, folder=str(folder), content=checks)
    config = decoded.value if isinstance(decoded.value, Config) else Config()
    name = next((name for name, image in config.images.items() if image.test.checks == checks), "")
    prefix = ("images", name, "test", "checks")
    inside = {key[4:]: place for key, place in decoded.origins.items() if key[:4] == prefix}
    return Declared(name=FILE, folder=str(folder), content=checks, places=_places(inside, FILE))


def is_structure(keys: frozenset[str]) -> bool:
    """Whether a file with these keys at its top is one of container-structure-test's."""
    return "schemaVersion" in keys and len(keys & _STRUCTURE_KEYS) > 1


def _decoded(source: Source) -> tuple[Decoded | None, list[Finding]]:
    try:
        table = _table(source)
    except UnreadableError as error:
        return None, [error.finding]
    kind, problem = _kind(table)
    if problem is not None:
        return None, [as_finding(problem, source.path)]
    decoded = decode(table, kind)
    problems = [*decoded.problems, *_broken_patterns(table)]
    ordered = sorted(problems, key=lambda one: (one.place.line, one.place.column))
    return decoded, [as_finding(one, source.path) for one in ordered]


def _kind(table: Table) -> tuple[type, Problem | None]:
    keys = {key.text for key, _ in table.entries}
    if not keys & _STRUCTURE_KEYS:
        return Checks, None
    version = table.get("schemaVersion")
    known = " and ".join(_VERSIONS)
    if version is None:
        message = f"the file needs schemaVersion; there are {known}"
        return Structure2, Problem("config/wrong-value", table.place, message, ("schemaVersion",))
    if not isinstance(version, Scalar) or version.text not in _VERSIONS:
        message = f"this schemaVersion is not known; there are {known}"
        return Structure2, Problem("config/wrong-value", version.place, message, ("schemaVersion",))
    return _VERSIONS[version.text], None


def _broken_patterns(table: Table) -> Iterator[Problem]:
    """Values of variables and labels that are patterns because their `isRegex` says so."""
    for name in ("envVars", "labels"):
        listed = at(table, ("metadataTest", name))
        for number, item in enumerate(listed.items if isinstance(listed, Listing) else ()):
            value, flag = (
                (item.get("value"), item.get("isRegex")) if isinstance(item, Table) else (None, None)
            )
            if not isinstance(value, Scalar) or not isinstance(flag, Scalar) or flag.kind != "boolean":
                continue
            try:
                if flag.text.lower() in ("true", "yes", "on"):
                    compiled(value.text)
            except PatternError as error:
                path = ("metadataTest", f"{name}[{number}]", "value")
                message = f"{dotted(path)} must be a regular expression as Go has them: {error}"
                yield Problem("config/wrong-value", value.place, message, path)


def _places(origins: dict[Any, Place], shown: str) -> dict[str, str]:
    ordered = sorted(origins.items(), key=lambda one: (one[1].line, one[1].column))
    return {dotted(key): f"{shown}:{place.line}" for key, place in ordered if place.line}


def _table(source: Source) -> Table:
    """The settings of a file; JSON by its name, as container-structure-test tells them apart."""
    if not source.path.endswith(".json"):
        table = read_table(source.path, source.text)
        keys = {key.text for key, _ in table.entries}
        return as_in_go.yaml(table) if keys & _STRUCTURE_KEYS else table
    from seatrial.sources import json
    from seatrial.sources.text import SourceError

    try:
        document = json.read(source)
    except SourceError as error:
        there = error.finding
        raise UnreadableError(
            syntax(source.path, there.line, there.column, there.message, there.cause)
        ) from error
    node = _node(source, document.root)
    if not isinstance(node, Table):
        place = node.place
        raise UnreadableError(
            syntax(source.path, place.line, place.column, "the file must be an object of tests", "")
        )
    folded = {key.text.lower() for key, _ in node.entries}
    return as_in_go.json(node) if folded & {key.lower() for key in _STRUCTURE_KEYS} else node


def _node(source: Source, written: Written) -> Node:
    place = _place(source, written)
    if written.kind == "mapping":
        entries = tuple(
            (Scalar(key.text, "text", _place(source, key)), _node(source, value))
            for key, value in written.entries
        )
        return Table(entries, place)
    if written.kind == "sequence":
        return Listing(tuple(_node(source, item) for item in written.items), place)
    kinds: dict[type, Kind] = {
        str: "text",
        bool: "boolean",
        int: "integer",
        float: "number",
        type(None): "null",
    }
    return Scalar(written.text, kinds[type(written.value)], place)


def _place(source: Source, written: Written) -> Place:
    return Place("file", source.path, *source.position(written.start), *source.position(written.end))
