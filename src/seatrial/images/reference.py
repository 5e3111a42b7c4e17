"""Image references: `registry/repository:tag@digest` as the distribution project writes them.

Source: github.com/distribution/reference, regexp.go and normalize.go.
"""

from __future__ import annotations

import ipaddress
import re

import msgspec

from seatrial.errors import UsageError

DOCKER_HUB = "docker.io"

_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_HOST = re.compile(
    r"(?:(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9])"
    r"(?:\.(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9]))*|\[[0-9a-fA-F:]+\])(?::(?P<port>[0-9]+))?"
)
_LONGEST_NAME = 255
_LONGEST_PORT = 65535


class Reference(msgspec.Struct, frozen=True):
    """Where an image is. `tag` and `digest` are empty when not given; `registry` has the port in it."""

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """Registry and repository."""
        return f"{self.registry}/{self.repository}"

    @property
    def host(self) -> str:
        """The registry without its port."""
        return _without_port(self.registry)

    def __str__(self) -> str:
        return self.name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def parse(text: str) -> Reference:
    """Read a reference; a name without a registry is on Docker Hub, and there `ubuntu` is `library/ubuntu`.

    Raises:
        UsageError: it breaks the grammar; says which part and what would be right.
    """
    if "://" in text:
        raise _wrong(text, "a reference has no scheme", f"leave out `{text.split('://', 1)[0]}://`")
    if text != text.strip() or not text:
        raise _wrong(text, "it is empty or has spaces around it")
    rest, _, digest = text.partition("@")
    if "@" in text and not _DIGEST.fullmatch(digest):
        raise _wrong(
            text, f"{digest[:80]!r} is not a digest", "a digest is `sha256:` and 64 hexadecimal digits"
        )
    name, tag = _split_tag(rest)
    if tag is not None and not _TAG.fullmatch(tag):
        raise _wrong(
            text,
            f"{tag[:140]!r} is not a tag",
            "a tag has at most 128 letters, digits, `_`, `.` and `-`, and starts with none of `.-`",
        )
    registry, repository = _split_registry(name)
    _check_registry(text, registry)
    _check_repository(text, registry, repository)
    return Reference(registry, repository, tag or "", digest)


def check_tag(tag: str) -> str:
    """Return `tag` when a registry takes it.

    Raises:
        UsageError: it breaks the grammar.
    """
    if not _TAG.fullmatch(tag):
        raise UsageError(
            f"{tag[:140]!r} is not a tag",
            fix="a tag has at most 128 letters, digits, `_`, `.` and `-`, and starts with none of `.-`",
        )
    return tag


def is_loopback(registry: str) -> bool:
    """Whether the registry is on this machine: `localhost`, 127.0.0.0/8 or ::1."""
    host = _without_port(registry).strip("[]").lower()
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def api_host(registry: str) -> str:
    """The host that answers the distribution API; only Docker Hub's differs from its name."""
    return "registry-1.docker.io" if registry == DOCKER_HUB else registry


def _split_tag(rest: str) -> tuple[str, str | None]:
    head, colon, tail = rest.rpartition(":")
    if not colon or "/" in tail:
        return rest, None
    return head, tail


def _split_registry(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    looks_like_host = "." in first or ":" in first or first == "localhost" or first != first.lower()
    if slash and looks_like_host:
        registry, repository = first, rest
    else:
        registry, repository = DOCKER_HUB, name
    if registry in ("index.docker.io", DOCKER_HUB):
        registry = DOCKER_HUB
        if "/" not in repository:
            repository = f"library/{repository}"
    return registry, repository


def _check_registry(text: str, registry: str) -> None:
    match = _HOST.fullmatch(registry)
    if match is None:
        raise _wrong(text, f"{registry!r} is not a host name", "write HOST:PORT/REPOSITORY:TAG")
    if match["port"] is not None and not 0 < int(match["port"]) <= _LONGEST_PORT:
        raise _wrong(text, f"there is no port {match['port']}", f"ports go from 1 to {_LONGEST_PORT}")


def _check_repository(text: str, registry: str, repository: str) -> None:
    if len(f"{registry}/{repository}") > _LONGEST_NAME:
        raise _wrong(text, f"the name is longer than {_LONGEST_NAME} characters")
    for component in repository.split("/"):
        if _COMPONENT.fullmatch(component):
            continue
        if _COMPONENT.fullmatch(component.lower()):
            raise _wrong(
                text, "repository names are lowercase", f"write {component.lower()!r} for {component!r}"
            )
        why = (
            "a part of the name is empty" if not component else f"{component[:80]!r} cannot be part of a name"
        )
        raise _wrong(text, why, "a part is lowercase letters and digits, joined by `.`, `_`, `__` or `-`")


def _without_port(registry: str) -> str:
    if registry.startswith("["):
        return registry.partition("]")[0] + "]"
    return registry.partition(":")[0]


def _wrong(text: str, why: str, fix: str | None = None) -> UsageError:
    return UsageError(f"{text[:300]!r} is not an image reference", why=why, fix=fix)
