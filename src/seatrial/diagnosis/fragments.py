"""Which texts a line must contain so that a regular expression can match it.

Logs are searched for these texts, which is many times as fast as the expressions. They are compared without case,
digits, and words that may be numbers in base 16, so that lines that differ in numbers only are alike.
"""

from __future__ import annotations

import re
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

_MOST = 64
"""More alternatives than this in one pattern are not told apart."""
_LONG = 4
"""Shorter words are in too many others to be worth a look."""
_BREAK = "\0"
_RUN = re.compile(rb"[a-z_]{2,}")
_INLINE = (codes.SUBPATTERN, getattr(codes, "ATOMIC_GROUP", None))
_REPEATS = (codes.MAX_REPEAT, codes.MIN_REPEAT, getattr(codes, "POSSESSIVE_REPEAT", None))

_LETTERS = b"abcdefghijklmnopqrstuvwxyz"
_FOLD = bytes.maketrans(_LETTERS.upper(), _LETTERS)
_DIGITS = b"0123456789"
WORDS = bytes(c if c in _LETTERS + b"_" else 32 for c in range(256))
"""Of folded bytes, everything but letters and underscores to a space."""
HEX = re.compile(rb"\b[a-f]+\b")
"""In folded bytes, what may be left of a number in base 16. A few short words look the same, and are not needed."""
_HEX = re.compile(rb"(?<![a-z_])[a-f]+\Z|\A[a-f]+(?![a-z_])|" + HEX.pattern)
"""The same in a part of a line, where what is next to it may belong to the number."""

# Words that most lines with something to say have: a rarer one is looked for when there is one.
_COMMON_TEXT = """
error errors failed failure fail warning not found the to of in is for with and or from on at by no be was command file
line build run running step exit code status module python package install version image user access request response
resource name type http https com amazonaws aws docker pip could cannot unable can exception message an container phase
complete state codebuild while required invalid call calling operation when because reason out has have are it this that
"""
_COMMON = frozenset(_COMMON_TEXT.encode().split())


def fold(text: bytes) -> bytes:
    """A text as the search compares it: in lower case, without digits."""
    return text.translate(_FOLD, _DIGITS)


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
        whole = {fold(run.encode("utf-8", "replace")) for run in text.split(_BREAK)} - {b""}
        texts = {part for run in whole for part in _HEX.split(run) if part}
        words = _words(texts)
        if not words:
            texts, words = whole, _words(whole)
        if not words:
            raise LookupError(pattern)
        long = tuple(word for word in words if len(word) >= _LONG)
        longest_first = tuple(sorted(texts, key=lambda one: (-len(one), one)))
        found[Need(words[0], long or words[:1], longest_first)] = None
    return tuple(found)


def _words(texts: Iterable[bytes]) -> tuple[bytes, ...]:
    """The words in some texts, the rarest first."""
    return tuple(sorted({word for text in texts for word in _RUN.findall(text)}, key=_rarity, reverse=True))


def _rarity(word: bytes) -> tuple[int, int, bytes]:
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
