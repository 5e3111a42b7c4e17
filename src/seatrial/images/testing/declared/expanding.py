"""Variables in texts, and files of variables, as container-structure-test reads them.

Sources: Go's os.Expand; github.com/joho/godotenv.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# ${NAME}, $NAME and the one-character parameters of a shell; `${}` and an unclosed `${` are dropped by Go.
_VARIABLE = re.compile(r"\$(?:\{([^}]*)\}|(\{)|([*#$@!?0-9-])|([A-Za-z0-9_]+))", re.ASCII)
_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.]*)\s*(?:=|:\s)\s*(.*)", re.ASCII)
_NAME = re.compile(r"\\?\$(?:\{([A-Za-z0-9_]+)\}|([A-Za-z0-9_]+))", re.ASCII)


def expand(text: str, values: Mapping[str, str]) -> str:
    """Replace $NAME and ${NAME}; what is not known becomes nothing. A `$` before anything else stays."""
    return _VARIABLE.sub(lambda match: values.get(match[1] or match[3] or match[4] or "", ""), text)


def variables(text: str) -> dict[str, str]:
    """The variables of a .env file: NAME=VALUE with quotes, comments, `export` and ${NAME} of earlier ones."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = None if line.lstrip().startswith("#") else _LINE.fullmatch(line)
        if match is not None:
            found[match[1]] = _value(match[2], found)
    return found


def _value(text: str, known: Mapping[str, str]) -> str:
    quote = text[:1]
    if quote in ("'", '"') and (end := _closing(text, quote)) > 0:
        inner = text[1:end]
        if quote == "'":
            return inner
        for escaped, plain in (("\\n", "\n"), ("\\r", "\r"), ('\\"', '"')):
            inner = inner.replace(escaped, plain)
        return _known(inner, known)
    return _known(re.split(r"\s#", f" {text}", maxsplit=1)[0].strip(), known)


def _closing(text: str, quote: str) -> int:
    at = text.find(quote, 1)
    while at > 0 and text[at - 1] == "\\":
        at = text.find(quote, at + 1)
    return at


def _known(text: str, known: Mapping[str, str]) -> str:
    return _NAME.sub(
        lambda match: match[0][1:] if match[0][0] == "\\" else known.get(match[1] or match[2], ""), text
    )
