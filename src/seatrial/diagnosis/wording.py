"""The same message in other words: programs quote with other marks, and begin a sentence in the midst of another."""

from __future__ import annotations

import re

_QUOTES = "'\"`\u2018\u2019\u201c\u201d"
_MARK = re.compile(r"\\?['\"`]")
_QUOTED = rf"(?:\\?[{_QUOTES}])"
_BEHIND = ("(?<=", "(?<!")
_FIRST = re.compile(r"(?P<before>(?:\^|\(\?:|\(\?P<\w+>|\\b)*)(?P<letter>[A-Za-z])(?=[a-z])")


def loosened(expression: str) -> str:
    """A regular expression that takes any quotation mark for any other (in JSON with its backslash), and a capital or
    small letter at the beginning.
    """
    first = _FIRST.match(expression)
    begun = ""
    if first and not expression.startswith("(?i)"):
        letter = first["letter"]
        begun = f"{first['before']}[{letter.upper()}{letter.lower()}]"
        expression = expression[first.end() :]
    return (
        begun + _any_quotes(expression) if any(mark in expression for mark in "'\"`") else begun + expression
    )


def _any_quotes(expression: str) -> str:
    found: list[str] = []
    place, depth, behind = (
        0,
        0,
        0,
    )  # `behind` is the depth at which a look behind began, which takes a fixed width
    while place < len(expression):
        if mark := _MARK.match(expression, place):
            found.append(f"[{_QUOTES}]" if behind else _QUOTED)
            place = mark.end()
        elif expression[place] == "\\":
            found.append(expression[place : place + 2])
            place += 2
        elif expression[place] == "[":
            end = _end_of_class(expression, place)
            found.append(_class(expression[place:end]))
            place = end
        else:
            depth += {"(": 1, ")": -1}.get(expression[place], 0)
            behind = depth if not behind and expression.startswith(_BEHIND, place) else behind
            behind = 0 if depth < behind else behind
            found.append(expression[place])
            place += 1
    return "".join(found)


def _end_of_class(expression: str, place: int) -> int:
    end = place + 1
    end += expression.startswith("^", end)
    end += expression.startswith("]", end)
    while expression[end] != "]":
        end += 2 if expression[end] == "\\" else 1
    return end + 1


def _class(text: str) -> str:
    if not any(mark in text for mark in "'\"`"):
        return text
    more = "".join(mark for mark in _QUOTES if mark not in text)
    return f"{text[:-1]}{more}]"
