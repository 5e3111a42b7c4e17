"""Which texts a line must contain so that a regular expression can match it.

Logs are searched for these texts, which is many times as fast as the expressions. Letters are compared without case
and all digits are alike, as `fold` makes them.
"""

from __future__ import annotations

import re
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

import msgspec

_MOST = 64
"""More alternatives than this in one pattern are not told apart."""
_LONG = 4
"""Shorter words are in too many others to be worth a look."""
_BREAK = "\0"
_RUN = re.compile(r"[a-z_]{2,}")
_INLINE = (codes.SUBPATTERN, getattr(codes, "ATOMIC_GROUP", None))
_REPEATS = (codes.MAX_REPEAT, codes.MIN_REPEAT, getattr(codes, "POSSESSIVE_REPEAT", None))

_LETTERS = b"abcdefghijklmnopqrstuvwxyz"
FOLD = bytes.maketrans(_LETTERS.upper() + b"123456789", _LETTERS + b"0" * 9)
"""Upper case to lower case, every digit to 0."""
WORDS = bytes(c if c in _LETTERS + b"_" else 32 for c in range(256))
"""Of folded bytes, everything but letters and underscores to a space."""

# Words that most lines with something to say have: a rarer one is looked for when there is one.
_COMMON_TEXT = """
error errors failed failure fail warning not found the to of in is for with and or from on at by no be was command file
line build run running step exit code status module python package install version image user access request response
resource name type http https com amazonaws aws docker pip could cannot unable can exception message an container phase
complete state codebuild while required invalid call calling operation when because reason out has have are it this that
"""
_COMMON = frozenset(_COMMON_TEXT.split())


def fold(text: str) -> bytes:
    """A text as the search compares it."""
    return text.encode("utf-8", "replace").translate(FOLD)


class Need(msgspec.Struct, frozen=True, array_like=True):
    """One way in which a pattern can match: the rarest word, all words, and all texts that the line then has."""

    anchor: bytes
    words: tuple[bytes, ...]
    texts: tuple[bytes, ...]


def needed(pattern: str) -> tuple[Need, ...]:
    """What a line must have so that the pattern can match, one answer for each of its alternatives.

    Raises:
        re.error: the pattern is no regular expression.
        LookupError: the pattern also matches lines without any word of two letters or more.
    """
    found: dict[Need, None] = {}
    for text in dict.fromkeys(_walk(list(parser.parse(pattern)))):
        runs = [run.lower() for run in text.split(_BREAK) if run]
        words = sorted({word for run in runs for word in _RUN.findall(run)}, key=_rarity, reverse=True)
        if not words:
            raise LookupError(pattern)
        long = tuple(word.encode() for word in words if len(word) >= _LONG)
        texts = tuple(sorted({fold(run) for run in runs}, key=lambda one: (-len(one), one)))
        found[Need(words[0].encode(), long or (words[0].encode(),), texts)] = None
    return tuple(found)


def _rarity(word: str) -> tuple[int, int, str]:
    return (0 if word in _COMMON else min(len(word), 4), len(word), word)


def _walk(tokens: list[Any]) -> list[str]:
    """Every way through the tokens as text; what is not fixed is a break."""
    ways = [""]
    for kind, value in tokens:
        step = _step(kind, value)
        if len(step) * len(ways) > _MOST:
            step = [_BREAK]
        ways = [way + more for way in ways for more in step]
    return ways


def _step(kind: Any, value: Any) -> list[str]:
    ways = [_BREAK]
    if kind is codes.LITERAL:
        ways = [chr(value)]
    elif kind is codes.AT:
        ways = [""]
    elif kind in _INLINE:
        ways = _walk(list(value[-1] if kind is codes.SUBPATTERN else value))
    elif kind is codes.BRANCH:
        ways = list(dict.fromkeys(way for branch in value[1] for way in _walk(list(branch))))
    elif kind in _REPEATS and value[0] >= 1:
        ways = [way if tuple(value[:2]) == (1, 1) else way + _BREAK for way in _walk(list(value[2]))]
    elif kind is codes.IN:
        letters = {chr(v).lower() if k is codes.LITERAL else _BREAK for k, v in value}
        ways = [letters.pop()] if len(letters) == 1 else ways
    return ways
