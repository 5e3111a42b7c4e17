"""The data of repairs: which action for which cause, and what things are called as packages."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import msgspec


class Way(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row: for `cause`, when `pattern` is in the evidence and `log` in what was said, do `action`.

    `known_as` is the cause that is told when the action finds something to do: a vague one is no answer.

    `tables` are those of the names to look in; `name` is what is missing when the log does not say it, `otherwise`
    what is taken when the log's name is in no table.
    """

    cause: str
    action: str = msgspec.field(name="do")
    pattern: str = msgspec.field(name="for", default="")
    log: str = ""
    known_as: str = msgspec.field(name="is", default="")
    tables: tuple[str, ...] = ()
    name: str = ""
    otherwise: str = ""


class Names(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Packages by what is missing and by package manager; `renamed` maps old names of packages to new ones."""

    programs: dict[str, dict[str, str | list[str]]]
    headers: dict[str, dict[str, str | list[str]]]
    libraries: dict[str, dict[str, str | list[str]]]
    linked: dict[str, dict[str, str | list[str]]]
    renamed: dict[str, str]

    def packages(self, tables: tuple[str, ...], missing: str, manager: str) -> list[str]:
        """The packages that hold it; empty when nobody knows. A header may be known by the folder it is in."""
        for table in tables:
            entries: dict[str, dict[str, str | list[str]]] = getattr(self, table)
            for name in (
                missing,
                missing.rpartition("/")[2],
                missing.partition("/")[0],
                missing.partition(".")[0],
            ):
                found = entries.get(name, {}).get(manager, [])
                if found:
                    return [found] if isinstance(found, str) else list(found)
        return []


@cache
def ways() -> tuple[Way, ...]:
    """All rows, the surest of a cause first."""
    return msgspec.convert(_yaml("table.yaml"), tuple[Way, ...])


@cache
def names() -> Names:
    """What things are called as packages."""
    return msgspec.convert(_yaml("names.yaml"), Names)


def _yaml(name: str) -> Any:
    import yaml

    text = files("seatrial.images.builders.repairs").joinpath(name).read_text("utf-8")
    return yaml.safe_load(text)
