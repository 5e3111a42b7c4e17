"""The JSON form of a Dockerfile's instruction: an array of strings, each with its place."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from seatrial.sources.dockerfile_text import SPACE, Joined, Run, concatenate

if TYPE_CHECKING:
    from collections.abc import Iterator

_GAP = re.compile(r"[ \t\r\n]*")
_STRING = re.compile(r'"((?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+)"')
_ESCAPE = re.compile(r"\\(?:u(?P<hex>[0-9a-fA-F]{4})|(?P<one>.))")
_PAIR = re.compile(r"\\u(?P<high>[dD][89abAB][0-9a-fA-F]{2})\\u(?P<low>[dD][c-fC-F][0-9a-fA-F]{2})")
_PLAIN = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def strings(body: Joined) -> tuple[Joined, ...] | None:
    """The strings of a JSON array, without quotes and escapes; None when the text is no JSON array.

    Raises:
        ValueError: it is a JSON array, but not of strings alone; BuildKit refuses that.
    """
    text = body.text.lstrip(SPACE)
    lead = len(body.text) - len(text)
    if not text.startswith("["):
        return None
    found = _array(text)
    if found is not None:
        return tuple(_unescaped(body.piece(lead + start, lead + end)) for start, end in found)
    if _is_array(text):
        raise ValueError("when using JSON array syntax, arrays must be comprised of strings only")
    return None


def _array(text: str) -> list[tuple[int, int]] | None:
    """Where the strings of an array stand, without their quotes; None unless it is an array of strings and no more."""
    found: list[tuple[int, int]] = []
    at = _skip(text, 1)
    if text[at : at + 1] != "]":
        while True:
            string = _STRING.match(text, at)
            if string is None:
                return None
            found.append(string.span(1))
            at = _skip(text, string.end())
            if text[at : at + 1] != ",":
                break
            at = _skip(text, at + 1)
    return found if text[at : at + 1] == "]" and _skip(text, at + 1) == len(text) else None


def _skip(text: str, at: int) -> int:
    gap = _GAP.match(text, at)
    return gap.end() if gap else at


def _is_array(text: str) -> bool:
    def refuse(name: str) -> None:
        raise ValueError(f"{name} is Python's alone")

    try:
        json.loads(text, parse_constant=refuse, parse_int=str)
    except (ValueError, RecursionError):
        return False
    return True


def _unescaped(piece: Joined) -> Joined:
    return concatenate(_parts(piece)) if "\\" in piece.text else piece


def _parts(piece: Joined) -> Iterator[Joined]:
    text = piece.text
    at = 0
    while at < len(text):
        escape = _PAIR.match(text, at) or _ESCAPE.match(text, at)
        if escape is None:
            stop = text.find("\\", at)
            stop = len(text) if stop < 0 else stop
            yield piece.piece(at, stop)
            at = stop
        else:
            at = escape.end()
            yield Joined(_character(escape), (Run(0, *piece.span(escape.start(), at)),))


def _character(escape: re.Match[str]) -> str:
    if escape.re is _PAIR:
        return chr(0x10000 + ((int(escape["high"], 16) & 0x3FF) << 10) + (int(escape["low"], 16) & 0x3FF))
    if escape["hex"]:
        code = int(escape["hex"], 16)
        # Half a surrogate pair alone is what Go replaces.
        return "\ufffd" if 0xD800 <= code <= 0xDFFF else chr(code)  # noqa: PLR2004 - Unicode's surrogates
    return _PLAIN.get(escape["one"], escape["one"])
