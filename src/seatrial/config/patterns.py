r"""Regular expressions as Go has them (RE2), for Python's `re`.

What is written differently, or means something else, is translated; what Go refuses is refused, so that a file
means the same here as for programs written in Go. Three things stay different: Python tries alternatives one after
the other, so that a pattern such as `(a+)+$` can take very long on a long line; classes of scripts (`\p{Greek}`) are
not known; nor is an operator after flags, `a(?i)*`, which Go applies to what stands before them.

Syntax: https://github.com/google/re2/wiki/Syntax and the documentation of Go's package regexp/syntax.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import NamedTuple

_HIGHEST = 0x10FFFF
_MOST_REPEATS = 1000
_OCTAL = 3
# What classes stand for, as inclusive ranges. Go's are ASCII, and \s has no vertical tab.
_PERL = {"d": "09", "s": "\t\n\f\r  ", "w": "09AZ__az"}
_POSIX = {
    "alnum": "09AZaz", "alpha": "AZaz", "ascii": "\0\x7f", "blank": "\t\t  ", "cntrl": "\0\x1f\x7f\x7f",
    "digit": "09", "graph": "!~", "lower": "az", "print": " ~", "punct": "!/:@[`{~", "space": "\t\r  ",
    "upper": "AZ", "word": "09AZ__az", "xdigit": "09AFaf",
}  # fmt: skip
_CONTROL = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_REPEAT = re.compile(r"\{(\d+)(?:(,)(\d*))?\}", re.ASCII)
_FLAGS = re.compile(r"\(\?([imsU]*)(?:-([imsU]+))?([:)])")
_NAMED = re.compile(r"\(\?P?<([A-Za-z0-9_]+)>")
_UNICODE = re.compile(r"\\[pP](?:\{(\^?)([^}]*)\}|(.))")

Ranges = list[tuple[int, int]]


class PatternError(ValueError):
    """Not a regular expression of Go; the message says why."""


@lru_cache(maxsize=512)
def compiled(pattern: str) -> re.Pattern[str]:
    """The pattern as Python's, to be used with `search`.

    Raises:
        PatternError: Go would refuse it, or it has a class of a script.
    """
    text = _Translation(pattern).whole()
    try:
        return re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise PatternError(str(error)) from error


class _Flags(NamedTuple):
    fold: bool = False
    lines: bool = False
    dot_all: bool = False
    lazy: bool = False


class _Translation:
    def __init__(self, pattern: str) -> None:
        self.text = pattern
        self.at = 0

    def whole(self) -> str:
        translated = self.alternatives(_Flags(), top=True)
        if self.at < len(self.text):
            raise PatternError("unexpected )")
        return translated

    def alternatives(self, flags: _Flags, *, top: bool = False) -> str:
        """Up to the closing parenthesis or the end. Flags set on the way hold until there, across `|`."""
        pieces: list[str] = []
        start = True
        while self.at < len(self.text) and self.text[self.at] != ")":
            changed = self.flags(flags)
            if changed is not None:
                flags = changed
                continue
            if self.text[self.at] == "|":
                self.at += 1
                pieces.append("|")
                start = True
                continue
            if self.text[self.at] in "*+?" or _REPEAT.match(self.text, self.at):
                raise PatternError(f"missing argument to repetition operator: {self.text[self.at]}")
            literal = self.quoted(flags)
            atoms = [self.atom(flags)] if literal is None else literal
            repeat = self.repeat(flags)
            # Anything may stand before what is searched for anyway, and looking for it costs the square of a line.
            anything = top and start and atoms == [_dot(flags)] and repeat in ("*", "*?")
            if not anything:
                pieces += atoms
                pieces.append(repeat)
                start = start and not (atoms or repeat)
        return "".join(pieces)

    def flags(self, now: _Flags) -> _Flags | None:
        """Flags for the rest of the group, `(?i)`; None when there are none here."""
        match = _FLAGS.match(self.text, self.at)
        if match is None or match[3] != ")":
            return None
        self.at = match.end()
        return _with(now, match[1], match[2] or "")

    def quoted(self, flags: _Flags) -> list[str] | None:
        if not self.text.startswith("\\Q", self.at):
            return None
        end = self.text.find("\\E", self.at)
        content = self.text[self.at + 2 : end if end >= 0 else len(self.text)]
        self.at = end + 2 if end >= 0 else len(self.text)
        return [_literal(one, flags) for one in content]

    def atom(self, flags: _Flags) -> str:
        one = self.text[self.at]
        if one == "(":
            return self.group(flags)
        if one == "[":
            ranges, negated = self.char_class()
            return _fold(_class(ranges, negated=negated), flags)
        if one == "\\":
            return self.escape(flags)
        self.at += 1
        ends = {"^": "(?m:^)", "$": "(?m:$)"} if flags.lines else {"^": r"(?:\A)", "$": r"(?:\Z)"}
        return {".": _dot(flags), **ends}.get(one) or _literal(one, flags)

    def group(self, flags: _Flags) -> str:
        scoped, named = _FLAGS.match(self.text, self.at), _NAMED.match(self.text, self.at)
        opening = "("
        if scoped is not None and scoped[3] == ":":
            opening, flags, self.at = "(?:", _with(flags, scoped[1], scoped[2] or ""), scoped.end()
        elif named is not None:
            opening, self.at = f"(?P<{named[1]}>", named.end()
        elif self.text.startswith("(?", self.at):
            raise PatternError(f"invalid or unsupported Perl syntax: {self.text[self.at : self.at + 4]}")
        else:
            self.at += 1
        inner = self.alternatives(flags)
        if self.at >= len(self.text):
            raise PatternError("missing closing )")
        self.at += 1
        return f"{opening}{inner})"

    def repeat(self, flags: _Flags) -> str:
        """The operator that follows, with its greediness as Python writes it; empty when there is none."""
        operator = ""
        if self.at < len(self.text) and self.text[self.at] in "*+?":
            operator = self.text[self.at]
            self.at += 1
        elif match := _REPEAT.match(self.text, self.at):
            least, most = int(match[1]), int(match[3] or match[1])
            if max(least, most) > _MOST_REPEATS or most < least:
                raise PatternError(f"invalid repeat count: {match.group()}")
            operator = match.group()
            self.at = match.end()
        if not operator:
            return ""
        lazy = self.text.startswith("?", self.at)
        self.at += lazy
        if self.at < len(self.text) and (self.text[self.at] in "*+?" or _REPEAT.match(self.text, self.at)):
            raise PatternError("invalid nested repetition operator")
        return operator + ("?" if lazy != flags.lazy else "")

    def escape(self, flags: _Flags) -> str:
        following = self.text[self.at + 1 : self.at + 2]
        zero_width = {"A": r"(?:\A)", "z": r"(?:\Z)", "b": r"(?a:\b)", "B": r"(?!(?a:\b))"}
        if following in zero_width and following:
            self.at += 2
            return zero_width[following]
        found = self.escaped_class()
        if found is not None:
            return _fold(_class(found[0], negated=found[1]), flags)
        return _literal(self.escaped_character(), flags)

    def escaped_class(self) -> tuple[Ranges, bool] | None:
        r"""\d, \S, \pL and their like, and whether it is negated; None when this is another escape."""
        letter = self.text[self.at + 1 : self.at + 2]
        if letter and letter.lower() in _PERL:
            self.at += 2
            return _pairs(_PERL[letter.lower()]), letter.isupper()
        match = _UNICODE.match(self.text, self.at)
        if match is None:
            return None
        self.at = match.end()
        negated = (match.group()[1] == "P") != bool(match[1])
        return list(_category(match[2] or match[3] or "")), negated

    def escaped_character(self) -> str:
        text, at = self.text, self.at + 1
        one = text[at : at + 1]
        if not one:
            raise PatternError("trailing backslash at end of expression")
        if one in _CONTROL:
            self.at = at + 1
            return _CONTROL[one]
        if one in "01234567":
            digits = re.compile(r"[0-7]+").match(text, at, at + _OCTAL)
            if digits is not None and (one == "0" or len(digits.group()) > 1):
                self.at = digits.end()
                return chr(int(digits.group(), 8))
        if one == "x":
            match = re.compile(r"x(?:\{([0-9A-Fa-f]+)\}|([0-9A-Fa-f]{2}))").match(text, at)
            if match is not None and int(match[1] or match[2], 16) <= _HIGHEST:
                self.at = match.end()
                return chr(int(match[1] or match[2], 16))
        if one.isascii() and not one.isalnum():
            self.at = at + 1
            return one
        raise PatternError(f"invalid escape sequence: \\{one}")

    def char_class(self) -> tuple[Ranges, bool]:
        begin = self.at
        self.at += 1
        negated = self.text.startswith("^", self.at)
        self.at += negated
        ranges: Ranges = []
        first = True
        while first or not self.text.startswith("]", self.at):
            if self.at >= len(self.text):
                raise PatternError(f"missing closing ]: {self.text[begin:]}")
            first = False
            found = self.posix_class() or (self.escaped_class() if self.text[self.at] == "\\" else None)
            if found is not None:
                ranges += _complement(found[0]) if found[1] else found[0]
                continue
            low = high = self.class_character()
            if self.text.startswith("-", self.at) and self.text[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                high = self.class_character()
            if high < low:
                raise PatternError(f"invalid character class range: {low}-{high}")
            ranges.append((ord(low), ord(high)))
        self.at += 1
        return ranges, negated

    def class_character(self) -> str:
        one = self.text[self.at]
        if one == "\\":
            return self.escaped_character()
        self.at += 1
        return one

    def posix_class(self) -> tuple[Ranges, bool] | None:
        match = re.compile(r"\[:(\^?)(\w*):\]").match(self.text, self.at)
        if match is None:
            return None
        if match[2] not in _POSIX:
            raise PatternError(f"invalid character class range: {match.group()}")
        self.at = match.end()
        return _pairs(_POSIX[match[2]]), bool(match[1])


def _with(flags: _Flags, on: str, off: str) -> _Flags:
    names = {"i": "fold", "m": "lines", "s": "dot_all", "U": "lazy"}
    return flags._replace(**{names[one]: True for one in on}, **{names[one]: False for one in off})


def _literal(one: str, flags: _Flags) -> str:
    return _fold(re.escape(one), flags)


def _fold(text: str, flags: _Flags) -> str:
    return f"(?i:{text})" if flags.fold else text


def _dot(flags: _Flags) -> str:
    return "(?s:.)" if flags.dot_all else "."


def _pairs(text: str) -> Ranges:
    return [(ord(low), ord(high)) for low, high in zip(text[::2], text[1::2], strict=True)]


def _complement(ranges: Ranges) -> Ranges:
    found, start = [], 0
    for low, high in sorted(ranges):
        if low > start:
            found.append((start, low - 1))
        start = max(start, high + 1)
    return [*found, (start, _HIGHEST)] if start <= _HIGHEST else found


def _class(ranges: Ranges, *, negated: bool) -> str:
    if not ranges:  # nothing is in [^\x00-\x{10FFFF}]
        return r"(?s:.)" if negated else r"(?!)"
    inner = "".join(f"\\U{low:08x}" if low == high else f"\\U{low:08x}-\\U{high:08x}" for low, high in ranges)
    return f"[{'^' if negated else ''}{inner}]"


@cache
def _category(name: str) -> tuple[tuple[int, int], ...]:
    """Characters of a general category, such as L or Lu."""
    import sys
    import unicodedata

    known = set("CLMNPSZ") | set(
        "Cc Cf Co Cs Ll Lm Lo Lt Lu Mc Me Mn Nd Nl No Pc Pd Pe Pf Pi Po Ps Sc Sk Sm So Zl Zp Zs".split()  # noqa: SIM905 - easier to read
    )
    if name == "Any":
        return ((0, _HIGHEST),)
    if name not in known:
        raise PatternError(
            f"\\p{{{name}}} is not known here: only general categories such as L, Lu and Nd are"
        )
    ranges: Ranges = []
    for number in range(sys.maxunicode + 1):
        if unicodedata.category(chr(number)).startswith(name):
            if ranges and ranges[-1][1] == number - 1:
                ranges[-1] = (ranges[-1][0], number)
            else:
                ranges.append((number, number))
    return tuple(ranges)
