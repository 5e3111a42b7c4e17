"""Lines of YAML that say exactly what they are given."""

from __future__ import annotations

import json
import re
import textwrap

_WIDTH = 110
# What YAML reads as this very text, at any place where a list item may stand.
_PLAIN = re.compile(r"[A-Za-z./](?:[A-Za-z0-9 ./_=@,<>|{}$()-]|:(?=[A-Za-z0-9]))*")
_OTHERWISE = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})


def comment(*paragraphs: str, indent: int = 0) -> str:
    """Comment lines of limited width."""
    start = " " * indent + "# "
    lines = [
        line
        for paragraph in paragraphs
        for line in textwrap.wrap(paragraph, _WIDTH - indent, break_long_words=False, break_on_hyphens=False)
    ]
    return "\n".join(start + line for line in lines)


def quoted(value: str) -> str:
    """A scalar; in double quotes unless it is safe without."""
    if _PLAIN.fullmatch(value) and not value.endswith(" ") and value.lower() not in _OTHERWISE:
        return value
    return json.dumps(value, ensure_ascii=False)


def item(value: str, indent: int = 6) -> str:
    """An entry of a list: plain when that is safe, else a block, in which nothing needs quotes."""
    if _PLAIN.fullmatch(value) and value.lower() not in _OTHERWISE:
        return f"{' ' * indent}- {value}"
    return block(value, indent=indent)


def block(*lines: str, indent: int = 6) -> str:
    """An entry of a list that has these lines, in one block."""
    start = " " * indent
    return "\n".join([f"{start}- |", *(f"{start}  {line}".rstrip() for line in lines)])
