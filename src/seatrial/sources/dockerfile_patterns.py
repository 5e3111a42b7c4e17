"""The patterns of `${X#p}`, `${X%p}` and `${X/p/text}` in a Dockerfile: `*` and `?`, and a backslash before either.

Matched with sets of states, so no pattern takes more than length of pattern times length of value.
Source: https://docs.docker.com/reference/dockerfile/#environment-replacement
"""

from __future__ import annotations

from typing import Final

_ANY: Final = 0
_ONE: Final = 1

Token = str | int
"""A character, or what stands for one character or for any number."""


def without_prefix(value: str, pattern: str, *, longest: bool) -> str:
    """The value without its shortest or longest beginning that the pattern matches.

    Raises:
        ValueError: a backslash in the pattern escapes what needs none, which BuildKit refuses.
    """
    end = _match(value, 0, _tokens(pattern), longest=longest)
    return value if end is None else value[end:]


def without_suffix(value: str, pattern: str, *, longest: bool) -> str:
    """The value without its shortest or longest end that the pattern matches.

    Raises:
        ValueError: as for `without_prefix`.
    """
    end = _match(value[::-1], 0, _tokens(pattern)[::-1], longest=longest)
    return value if end is None else value[: len(value) - end]


def replaced(value: str, pattern: str, text: str, *, every: bool) -> str:
    """The value with the first, or every, longest match of the pattern replaced.

    Raises:
        ValueError: as for `without_prefix`.
    """
    tokens = _tokens(pattern)
    out: list[str] = []
    at, after = 0, -1
    while at <= len(value):
        end = _match(value, at, tokens, longest=True)
        if end is None or end == at == after:
            out.append(value[at : at + 1])
            at += 1
            continue
        out.append(text)
        if not every:
            return "".join(out) + value[end:]
        after = end
        if end == at:
            out.append(value[at : at + 1])
            at += 1
        else:
            at = end
    return "".join(out)


def _tokens(pattern: str) -> list[Token]:
    tokens: list[Token] = []
    at = 0
    while at < len(pattern):
        character = pattern[at]
        at += 1
        if character == "*":
            # Several stars are one; so a state is followed by one star at most.
            tokens += [_ANY] if tokens[-1:] != [_ANY] else []
        elif character == "?":
            tokens.append(_ONE)
        elif character == "\\":
            following = pattern[at : at + 1]
            if following and following in "}/":
                continue
            if not following or following not in "*?\\":
                raise ValueError(f"invalid escape '\\{following}' in pattern {pattern}")
            tokens.append(following)
            at += 1
        else:
            tokens.append(character)
    return tokens


def _match(value: str, start: int, tokens: list[Token], *, longest: bool) -> int | None:
    """Where the shortest or longest match that begins at `start` ends."""
    states = _closed({0}, tokens)
    found = None
    at = start
    while True:
        if len(tokens) in states:
            found = at
            if not longest:
                return found
        if at >= len(value) or not states:
            return found
        states = _step(states, tokens, value[at])
        at += 1


def _closed(states: set[int], tokens: list[Token]) -> set[int]:
    """With the states that are reached because `*` may stand for nothing."""
    closed = set(states)
    for state in states:
        after = state
        while after < len(tokens) and tokens[after] == _ANY:
            after += 1
            closed.add(after)
    return closed


def _step(states: set[int], tokens: list[Token], character: str) -> set[int]:
    reached: set[int] = set()
    for state in states:
        if state == len(tokens):
            continue
        token = tokens[state]
        if token == _ANY:
            if character != "\n":
                reached.add(state)
        elif token == character or (token == _ONE and character != "\n"):
            reached.add(state + 1)
    return _closed(reached, tokens)
