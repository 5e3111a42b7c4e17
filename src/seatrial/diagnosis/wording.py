"""The same message in other words: programs quote with other marks, and begin a sentence in the midst of another."""

from __future__ import annotations

import re

_QUOTES = "'\"`\u2018\u2019\u201c\u201d"
_MARK = re.compile(r"\\?['\"`]")
_QUOTED = rf"(?:\\?[{_QUOTES}])"
_BEHIND = ("(?<=", "(?<!")
_GROUP = re.compile(r"\((?:\?:|\?P<\w+>|(?!\?))")
_BEGUN = re.compile(r"[A-Za-z](?=[a-z])")


def loosened(expression: str) -> str:
    """A regular expression that takes any quotation mark for any other (in JSON with its backslash), and a capital or
    small letter at the beginning, also of each alternative that it may begin with.
    """
    if not expression.startswith("(?i)"):
        expression = _any_case(expression)
    return _any_quotes(expression) if any(mark in expression for mark in "'\"`") else expression


def _any_case(expression: str) -> str:
    """With a capital or small first letter: only as long as nothing was read but what takes no text."""
    found: list[str] = []
    place, groups, first = 0, [True], True  # for each open group whether something came before it
    while place < len(expression):
        length = 1
        if group := _GROUP.match(expression, place):
            groups.append(first)
            length = len(group[0])
        elif expression[place] == "|":
            first = groups[-1]
        elif expression[place] == ")":
            groups.pop()
            first = False
        elif expression[place] == "[":
            length, first = _end_of_class(expression, place) - place, False
        elif expression.startswith("(?", place):
            break
        elif expression[place] == "\\":
            length, first = 2, first and expression[place + 1] in "bAB"
        elif first and expression[place] != "^":
            if _BEGUN.match(expression, place):
                letter = expression[place]
                found.append(f"[{letter.upper()}{letter.lower()}]")
                place, first = place + 1, False
                continue
            first = False
        found.append(expression[place : place + length])
        place += length
    return "".join(found) + expression[place:]


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
