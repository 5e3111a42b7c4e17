"""Versions as the tables write them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet
    from packaging.version import Version

_PLAIN = re.compile(r"\d+(?:\.\d+)*")


def key(version: str) -> str:
    """One spelling for versions that are equal: `2.7`, `2.7.0` and `2.7.1+cu118` become `2.7`, `2.7` and `2.7.1`.

    Text that is no version comes back unchanged, so that it is found in no table.
    """
    text = version.strip().split("+", 1)[0]
    if not _PLAIN.fullmatch(text):
        text = _canonical(text)
    while _PLAIN.fullmatch(text) and text.endswith(".0"):
        text = text[:-2]
    return text


def _canonical(text: str) -> str:
    from packaging.version import InvalidVersion, Version

    try:
        return Version(text).public
    except InvalidVersion:
        return text


@lru_cache(4096)
def parsed(version: str) -> Version:
    """A `packaging` version, parsed once.

    Raises:
        packaging.version.InvalidVersion: it is none.
    """
    from packaging.version import Version

    return Version(version)


@lru_cache(4096)
def specifiers(text: str) -> SpecifierSet:
    """A `packaging` specifier set, parsed once.

    Raises:
        packaging.specifiers.InvalidSpecifier: it is none.
    """
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(text)


def fits(version: str, specifier: str) -> bool:
    """Whether a version, without its local label, lies in a specifier; pre-releases count like others."""
    return specifiers(specifier).contains(parsed(version.split("+", 1)[0]), prereleases=True)


def minor(version: str) -> str:
    """`2.7.1+cu118` → `2.7`."""
    return ".".join(version.split("+", 1)[0].split(".")[:2])


def numbers(version: str) -> tuple[int, ...]:
    """`12.10.1` → (12, 10, 1), to compare; parts that are no numbers are left out."""
    return tuple(int(part) for part in version.split(".") if part.isdigit())
