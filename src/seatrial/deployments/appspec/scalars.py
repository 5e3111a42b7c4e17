"""Plain scalars as Ruby's Psych 4 gives them a type: YAML 1.1, with numbers of Ruby's own.

Source of the order and of the forms: Psych's `ScalarScanner`.
"""

from __future__ import annotations

import re
from typing import Any

from seatrial.deployments.appspec.ruby import Symbol, leading_integer, leading_real

_WORD = re.compile(r"^[^0-9.:\-]?(?:[^\W\d_]|[_ \t\r\n\f\v!@#$%^&*(){}<>|/\\~;=])+", re.MULTILINE)
_LONGEST_WORD = 5
_NOT_A_CONSTANT = re.compile(r"^[^ytonf~]", re.MULTILINE | re.IGNORECASE)
_NULL = re.compile(r"^null$", re.MULTILINE | re.IGNORECASE)
_TRUE = re.compile(r"^(?:yes|true|on)$", re.MULTILINE | re.IGNORECASE)
_FALSE = re.compile(r"^(?:no|false|off)$", re.MULTILINE | re.IGNORECASE)
_TIME = re.compile(
    r"-?[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?"
    r"(?:[ \t]*(?:Z|[-+][0-9]{1,2}:?(?:[0-9]{2})?))?"
)
_DATE = re.compile(r"[0-9]{4}-(?:1[012]|0[0-9]|[0-9])-(?:[12][0-9]|3[01]|0[0-9]|[0-9])")
_INFINITE = re.compile(r"([+-]?)\.inf", re.IGNORECASE)
_NAN = re.compile(r"\.nan", re.IGNORECASE)
_SYMBOL = re.compile(r""":(?:(["'])(.*)\1|(.+))""")
_CLOCK = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9]){1,2}")
_REAL_CLOCK = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9]){1,2}\.[0-9_]*")
_FLOAT = re.compile(r"[-+]?(?:[0-9][0-9_,]*)?\.[0-9]*(?:[eE][-+][0-9]+)?")
_INTEGER = re.compile(r"[-+]?(?:0b[01_,]+|0[0-7_,]+|0|[1-9](?:[0-9]|,[0-9]|_[0-9])*|0x[0-9a-fA-F_,]+)")


class DisallowedError(Exception):
    """The text is of a class that the agent's YAML may not hold; `args[0]` is its name."""


def typed(text: str) -> Any:
    """What a plain scalar is: None, a bool, a number, a `Symbol` or text.

    Raises:
        DisallowedError: it is a date or a time.
        ValueError: it looks like a number and is none.
    """
    if not text:
        return None
    if _WORD.search(text) or "\n" in text:
        return _constant(text)
    if _TIME.fullmatch(text):
        raise DisallowedError("Time")
    if _DATE.fullmatch(text):
        raise DisallowedError("Date")
    if found := _INFINITE.fullmatch(text):
        return float(f"{found[1]}inf")
    if _NAN.fullmatch(text):
        return float("nan")
    if found := _SYMBOL.fullmatch(text):
        return Symbol(found[2].removeprefix(":") if found[1] else found[3])
    return _number(text)


def _constant(text: str) -> Any:
    if len(text) > _LONGEST_WORD or _NOT_A_CONSTANT.search(text):
        return text
    if text == "~" or _NULL.search(text):
        return None
    if _TRUE.search(text):
        return True
    return False if _FALSE.search(text) else text


def _number(text: str) -> Any:
    if _CLOCK.fullmatch(text):
        # The first of two parts counts as hours, too.
        return sum(leading_integer(part) * 60 ** abs(at - 2) for at, part in enumerate(text.split(":")))
    if _REAL_CLOCK.fullmatch(text):
        return sum(leading_real(part) * 60 ** abs(at - 2) for at, part in enumerate(text.split(":")))
    if _FLOAT.fullmatch(text):
        return text if text.lstrip("+-") == "." else float(re.sub(r"[,_]|\.(?=[Ee]|$)", "", text))
    if _INTEGER.fullmatch(text):
        return _integer(re.sub(r"[,_]", "", text))
    return text


def _integer(digits: str) -> int:
    body = digits.lstrip("+-").lower()
    sign = -1 if digits.startswith("-") else 1
    if body.startswith(("0b", "0x")):
        return sign * int(body, 0)
    is_octal = body.startswith("0") and body != "0"
    return sign * int(body, 8 if is_octal else 10)
