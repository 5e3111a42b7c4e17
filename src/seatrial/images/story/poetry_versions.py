"""Poetry's way to write versions, translated to PEP 440.

Source: https://python-poetry.org/docs/dependency-specification/
"""

from __future__ import annotations

import re

_PART = re.compile(r"\s*(?P<sign>\^|~=|~|===|==|!=|>=|<=|>|<|=)?\s*(?P<version>\d[A-Za-z0-9.*+!_-]*|\*)\s*$")


def to_pep440(text: str) -> str | None:
    """`^1.2` and the like as PEP 440; empty for any version, None for what PEP 440 cannot say in one set (`1.2 || 2.0`)."""
    parts: list[str] = []
    for part in re.sub(r"(?<=[\d*])\s+(?=[\^~=!<>])", ",", text.strip()).split(","):
        match = _PART.match(part)
        if match is None:
            return None
        if match["version"] != "*":
            parts.append(_translated(match["sign"] or "", match["version"]))
    return ",".join(parts)


def _translated(sign: str, version: str) -> str:
    if sign == "^":
        return f">={version},<{_caret(version)}"
    if sign == "~":
        return f">={version},<{_tilde(version)}"
    if sign in ("", "="):
        return f"=={version}"
    return f"{sign}{version}"


def _caret(version: str) -> str:
    """The next version that changes the first number that is not zero."""
    numbers = _numbers(version)
    place = next((index for index, number in enumerate(numbers) if number), len(numbers) - 1)
    return ".".join(map(str, [*numbers[:place], numbers[place] + 1]))


def _tilde(version: str) -> str:
    """The next minor version, or the next major one where no minor is given."""
    numbers = _numbers(version)
    place = 1 if len(numbers) > 1 else 0
    return ".".join(map(str, [*numbers[:place], numbers[place] + 1]))


def _numbers(version: str) -> list[int]:
    release = re.match(r"\d+(?:\.\d+)*", version)
    return [int(number) for number in release.group().split(".")] if release else [0]
