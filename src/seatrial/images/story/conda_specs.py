"""What conda is asked for: `channel::name=version=build`, translated to PyPI's name and PEP 440.

Source: https://docs.conda.io/projects/conda/en/stable/user-guide/concepts/pkg-specs.html#package-match-specifications
"""

from __future__ import annotations

import functools
import re
from importlib import resources
from typing import TYPE_CHECKING

from seatrial.images.story.model import Request, Span
from seatrial.images.story.requests import normalised

if TYPE_CHECKING:
    from collections.abc import Callable

    from seatrial.images.story.model import Style

_SPEC = re.compile(
    r"\s*(?:(?P<channel>[^\s:\[\]]+)::)?(?P<name>[A-Za-z0-9_][A-Za-z0-9._-]*)"
    r"(?P<rest>\s*(?:[=<>!~ ][^\[]*)?)(?:\[(?P<keys>[^\]]*)\])?\s*$"
)
_BUILD = re.compile(r"(?P<sign>={1,2}|\s+)\s*(?P<version>[^=<>!~,|\s]+)(?:=|\s+)(?P<build>[^=\s,|]+)\s*$")
_KEY = re.compile(r"(?P<key>version|build|channel)\s*=\s*(?P<quote>['\"]?)(?P<value>[^'\"]*)(?P=quote)")
_PART = re.compile(r"\s*(?P<sign>===|==|!=|>=|<=|~=|>|<|=)?\s*(?P<version>[A-Za-z0-9.*+!_-]+)\s*$")


@functools.cache
def _names() -> dict[str, str]:
    import tomllib

    text = resources.files(__package__).joinpath("conda_names.toml").read_text(encoding="utf-8")
    names: dict[str, str] = tomllib.loads(text)["names"]
    return {normalised(name): other for name, other in names.items()}


def pypi_name(name: str) -> str:
    """What PyPI calls a package of conda; the same name where nothing else is known."""
    return _names().get(normalised(name), normalised(name))


def read(text: str, at: Span, where: Callable[[int, int], Span | None], *, style: Style) -> Request | None:
    """Read one specification; None when it is none."""
    match = _SPEC.match(text)
    if match is None:
        return None
    build = _BUILD.match(match["rest"].rstrip())
    number: tuple[int, int] | None
    if build is not None:
        first = match.start("rest") + build.start("version")
        specifier, build_text = f"=={build['version']}", build["build"]
        number = (first, match.start("rest") + build.end("version"))
    else:
        specifier, build_text = _pep440(match["rest"]), ""
        number = _number(match)
    keys = {one["key"]: one["value"] for one in _KEY.finditer(match["keys"] or "")}
    if "version" in keys:
        specifier = _pep440(keys["version"])
    start, end = match.span("rest")
    end = start + len(match["rest"].rstrip())
    return Request(
        name=pypi_name(match["name"]),
        conda=match["name"].lower(),
        at=at,
        specifier=specifier,
        index=(match["channel"] or keys.get("channel", "")).split("/")[0],
        build=build_text or keys.get("build", ""),
        style=style,
        versions=None if match["keys"] else where(min(start, end), end),
        version=where(*number) if number and specifier.startswith("==") and not match["keys"] else None,
    )


def _number(match: re.Match[str]) -> tuple[int, int] | None:
    """Where the one version of `name=1.2`, `name==1.2` or `name 1.2` stands."""
    part = _PART.match(match["rest"]) if match["rest"].strip() else None
    if part is None or part["sign"] not in ("=", "==", None) or "*" in part["version"]:
        return None
    start = match.start("rest")
    return start + part.start("version"), start + part.end("version")


def _pep440(text: str) -> str:
    """Conda's versions as PEP 440; empty for any, and for what PEP 440 cannot say (`1.2|1.4`)."""
    if "|" in text:
        return ""
    parts = []
    for one in text.split(","):
        match = _PART.match(one)
        if match is None or match["version"] == "*":
            continue
        parts.append(_part(match["sign"], match["version"]))
    joined = ",".join(parts)
    return joined if _valid(joined) else ""


def _part(sign: str | None, version: str) -> str:
    if sign == "=":
        # A single equals sign matches everything that starts so.
        return f"=={version.removesuffix('*').removesuffix('.')}.*"
    if sign in (None, "=="):
        return f"=={version}" if version.endswith(".*") else f"=={version.removesuffix('*')}"
    return f"{sign}{version.removesuffix('.*')}"


@functools.lru_cache(maxsize=2048)
def _valid(text: str) -> bool:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        return False
    return True
