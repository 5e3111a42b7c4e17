"""Where apt finds packages: what the base says, through the mirrors that this machine uses.

Source: sources.list(5), both formats; apt.conf(5).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Source = dict[str, str]
"""A stanza of the deb822 format: field names in lower case."""

# Servers that every mirror mirrors. Source: https://www.debian.org/mirror/list and https://launchpad.net/ubuntu/+archivemirrors
_OFFICIAL = re.compile(
    r"https?://((deb|security|ftp\.[a-z]{2}|ftp|httpredir|cdn-fastly\.deb)\.debian\.org"
    r"|(([a-z]{2}\.)?archive|security|ports)\.ubuntu\.com)(/.*)?"
)
_NAMES = {"arch": "architectures", "lang": "languages", "target": "targets"}
# What a mirror needs to be believed goes where the mirror goes.
_TRUST = ("signed-by", "trusted", "check-valid-until", "check-date", "allow-insecure", "allow-weak")


class AptSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The apt of this machine: its sources, its options as (name, value), and its files with credentials."""

    sources: tuple[Source, ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    credentials: tuple[str, ...] = ()


def parse(files: Iterable[tuple[str, str]]) -> list[Source]:
    """Sources of files given as (name, text): `.sources` files hold stanzas, others lines."""
    found: list[Source] = []
    for name, text in files:
        found += _stanzas(text) if name.endswith(".sources") else _lines(text)
    return found


def _lines(text: str) -> list[Source]:
    found = []
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)\s*([^#]*)", line)
        if match is None or match[2].startswith("cdrom:"):
            continue
        source = {"types": "deb", "uris": match[2], "suites": match[3]}
        for option in (match[1] or "").split():
            key, _, value = option.partition("=")
            source[_NAMES.get(key.lower(), key.lower())] = value.replace(",", " ")
        if match[4].strip():
            source["components"] = match[4].strip()
        found.append(source)
    return found


def _stanzas(text: str) -> list[Source]:
    found = []
    for stanza in re.split(r"\n[ \t]*\n", re.sub(r"(?m)^#.*\n?", "", text)):
        source: Source = {}
        key = ""
        for line in stanza.splitlines():
            if line[:1] in (" ", "\t") and key:
                source[key] += f"\n{line}"  # a key may stand in the stanza itself
            elif ":" in line:
                key, _, value = line.partition(":")
                key = key.strip().lower()
                source[key] = value.strip()
        if "deb" in source.get("types", "").split() and source.get("enabled", "yes").lower() not in (
            "no",
            "false",
        ):
            found.append(source | {"types": "deb"})
    return found


def through_mirrors(
    base: Sequence[Source], machine: Sequence[Source], architecture: str, own: str
) -> list[Source]:
    """The base's sources, with the distribution's own servers replaced by what this machine uses for the suite.

    Other servers, such as a vendor's, are the base's choice and stay. A machine of the architecture `own` says
    nothing about mirrors of other architectures where the distribution keeps those apart (Ubuntu's ports).
    """
    mirrors = {
        suite: source
        for source in reversed(machine)
        for suite in source.get("suites", "").split()
        if not (source.get("architectures") and architecture not in source["architectures"].split())
    }
    found: list[Source] = []
    for source in base:
        official = all(_OFFICIAL.fullmatch(uri) for uri in source.get("uris", "").split())
        for suite in source.get("suites", "").split():
            mirror = mirrors.get(suite)
            apart = "ubuntu.com" in source["uris"] and architecture != own
            if not official or mirror is None or apart or mirror["uris"] == source["uris"]:
                found.append(source | {"suites": suite})
                continue
            trust = {key: mirror[key] for key in _TRUST if key in mirror}
            found.append(source | {"suites": suite, "uris": mirror["uris"]} | trust)
    return found


def render(sources: Iterable[Source]) -> str:
    """As a `.sources` file."""
    return "\n".join(
        "".join(f"{key.title()}: {value}\n" for key, value in source.items()) for source in sources
    )


def without_passwords(text: str) -> str:
    """The same places without who may read them: apt finds what it fetched from there."""
    return re.sub(r"(\w+://)[^/@\s]+@", r"\1", text)


def keyrings(sources: Iterable[Source]) -> set[str]:
    """Files that sources are verified with."""
    return {
        word for source in sources for word in source.get("signed-by", "").split() if word.startswith("/")
    }
