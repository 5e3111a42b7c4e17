"""Operating systems: C library, the distribution's Python, and whether pip may install into it."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import msgspec

from seatrial.images.catalog import tables

_RELEASE = re.compile(
    r"(ubuntu|debian|amzn|rockylinux|ubi|centos|oraclelinux|cm|azl|opensuse|suse)-?(\d+(?:\.\d+)?)"
)
_ALPINE = re.compile(r"alpine(\d+\.\d+)?")


class System(msgspec.Struct, frozen=True):
    """A release. `python` is what its package `python3` brings; `managed`: pip refuses to install into that (PEP 668).

    A field is None where it is not known.
    """

    name: str
    libc: str | None
    glibc: str | None
    python: str | None
    managed: bool | None


@cache
def known(name: str) -> System:
    """What is known about `ubuntu22.04`, `debian12`, `amzn2023`, `alpine3.20`, …; for others every field is None."""
    if name.startswith("alpine"):
        return System(name, "musl", "", None, None)
    row = _rows().get(name)
    if row is None:
        return System(name, None, None, None, None)
    _, glibc, python, managed, _ = row
    return System(name, "glibc", glibc, python or None, managed == "yes")


def facts(name: str | None) -> dict[str, Any]:
    """The fields of `Contents` that follow from the operating system."""
    if not name:
        return {}
    system = known(name)
    return {"os": name, "libc": system.libc, "glibc": system.glibc, "externally_managed": system.managed}


def in_tag(tag: str) -> str | None:
    """The release that a tag names, by number (`ubuntu22.04`) or by code name (`bookworm`)."""
    if (match := _RELEASE.search(tag)) is not None:
        return match[1] + match[2]
    if (match := _ALPINE.search(tag)) is not None:
        return "alpine" + (match[1] or "")
    for word in re.split(r"[-_.]", tag):
        if word in _names():
            return _names()[word]
    return None


def later(name: str) -> list[str]:
    """The later releases of the same distribution, the next one first."""
    return sorted((one for one in _rows() if is_later(one, name)), key=number)


def is_later(name: str, than: str) -> bool:
    """Whether a release is a later one of the same distribution."""
    kind = name.rstrip("0123456789.")
    return bool(kind) and than.rstrip("0123456789.") == kind and number(name) > number(than)


def spellings(name: str) -> tuple[str, str, str]:
    """How tags write a release: `ubuntu22.04`, `jammy` (empty where it has no such name), `22.04`."""
    word = next((word for word, system in _names().items() if system == name), "")
    return name, word, name.lstrip("abcdefghijklmnopqrstuvwxyz")


def number(name: str) -> tuple[int, ...]:
    """`ubuntu22.04` → (22, 4), to compare releases of one distribution."""
    return tuple(int(one) for one in re.findall(r"\d+", name))


@cache
def _rows() -> dict[str, list[str]]:
    return {row[0]: row for row in tables.columns(tables.load("systems")["systems"], 4)}


@cache
def _names() -> dict[str, str]:
    names: dict[str, str] = tables.load("systems")["names"]
    return names
