"""The parts of one instruction: flags before its arguments, and `key=value` words.

Source: https://github.com/moby/buildkit/tree/v0.29.0/frontend/dockerfile/parser, split_command.go and line_parsers.go
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from seatrial.sources.dockerfile_model import Flag, Pair
from seatrial.sources.dockerfile_text import BLANKS, SPACE, Joined, concatenate

if TYPE_CHECKING:
    from collections.abc import Iterator


_ASCII = "\t\n\v\f\r "
"""BuildKit looks for flags byte by byte, so no other space counts there."""


def flags(rest: Joined, escape: str) -> tuple[tuple[Flag, ...], Joined]:
    """The flags that a text begins with, and what follows them; `--` alone ends them."""
    text = rest.text
    found: list[Flag] = []
    at = 0
    while True:
        at = _skip(text, at)
        if not text.startswith("--", at):
            return tuple(found), rest.piece(at, len(text))
        word, end = _flag_word(rest, at, escape)
        if word.text == "--":
            return tuple(found), rest.piece(end, len(text))
        found.append(_flag(word, rest.span(at, end)))
        at = end


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _ASCII:
        at += 1
    return at


def _flag_word(rest: Joined, start: int, escape: str) -> tuple[Joined, int]:
    """The word at `start` without quotes and escapes, and where it ends."""
    kept: list[Joined] = []
    quote = ""
    at = since = start
    text = rest.text
    while at < len(text):
        character = text[at]
        if not quote and character in _ASCII:
            break
        if character == escape:
            kept.append(rest.piece(since, at))
            since = at + 1
            at += 2
        elif character == quote or (not quote and character in "'\""):
            kept.append(rest.piece(since, at))
            quote = "" if quote else character
            at += 1
            since = at
        else:
            at += 1
    at = min(at, len(text))
    return concatenate([*kept, rest.piece(since, at)]), at


def _flag(word: Joined, span: tuple[int, int]) -> Flag:
    equals = word.text.find("=")
    name = word.text[2:] if equals < 0 else word.text[2:equals]
    return Flag(name, None if equals < 0 else word.piece(equals + 1, len(word.text)), *span)


def key_values(body: Joined, keyword: str, escape: str) -> tuple[Pair, ...]:
    """The pairs of ENV and LABEL: `key=value …`, or one `key value`.

    Raises:
        ValueError: what is there is neither; the message is BuildKit's.
    """
    found = list(_words(body, escape))
    if not found:
        return ()
    if "=" not in found[0].text:
        split = re.search(f"[{BLANKS}]+", body.text)
        if split is None:
            raise ValueError(f"{keyword} must have two arguments")
        key = body.piece(0, split.start())
        return (Pair(key, body.piece(split.end(), len(body.text)), legacy=True),)
    for word in found:
        if "=" not in word.text:
            raise ValueError(f"can't find = in {_shown(word.text)}. Must be of the form: name=value")
    return tuple(_pair(word) for word in found)


def arguments(body: Joined, escape: str) -> tuple[Pair, ...]:
    """The pairs of ARG: `key` or `key=value`."""
    return tuple(_pair(word) for word in _words(body, escape))


def _pair(word: Joined) -> Pair:
    equals = word.text.find("=")
    if equals < 0:
        return Pair(word, None)
    return Pair(word.piece(0, equals), word.piece(equals + 1, len(word.text)))


def _words(body: Joined, escape: str) -> Iterator[Joined]:
    """The words, quotes and escapes kept; an escape at the very end is dropped."""
    for match in _word(escape).finditer(body.text):
        if match["word"]:
            yield body.piece(*match.span("word"))


@cache
def _word(escape: str) -> re.Pattern[str]:
    e, space = re.escape(escape), re.escape(SPACE)
    double = f'"(?:[^"{e}]|{e}.)*+"?'
    return re.compile(rf"(?P<word>(?:[^{space}'\"{e}]|{e}.|'[^']*+'?|{double})*+)(?:{e}\Z)?", re.DOTALL)


def _shown(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
