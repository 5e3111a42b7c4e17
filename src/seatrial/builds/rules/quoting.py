"""Writing a command in YAML so that it stays what it is."""

from __future__ import annotations

import re

_PLAIN = re.compile(r"""[A-Za-z0-9_./$][^\n]*""")
_TYPED = re.compile(
    r"(?:true|false|yes|no|on|off|null|~|[-+]?[\d._:]+(?:e[-+]?\d+)?|0[xob][\da-f_]+)", re.IGNORECASE
)


def quoted(text: str, indent: int) -> str:
    """A text as a YAML scalar. `indent` is the column, from 0, of what follows a line break."""
    if "\n" in text:
        lines = [f"{' ' * indent}{one}".rstrip() for one in text.rstrip("\n").split("\n")]
        return "|\n" + "\n".join(lines)
    if "'" not in text:
        return f"'{text}'"
    if '"' not in text and "\\" not in text:
        return f'"{text}"'
    if text != text.strip():
        return "'" + text.replace("'", "''") + "'"
    return f"|-\n{' ' * indent}{text}"


def needs_quotes(text: str) -> bool:
    """Whether a line of text would be read as something else, or cut, without quotes."""
    if not _PLAIN.fullmatch(text) or text != text.strip() or _TYPED.fullmatch(text):
        return True
    return ": " in text or " #" in text or text.endswith(":")
