"""TOML 1.0, with the place of a syntax error."""

from __future__ import annotations

import re
from typing import Any

from seatrial.sources.text import Source, SourceError, finding

_AT = re.compile(r" \((?:at line (\d+), column (\d+)|at end of document)\)$")


def read(source: Source) -> dict[str, Any]:
    """Read a TOML file into plain values; dates and times are Python's.

    Raises:
        SourceError: the text is not TOML; a key given twice is such an error.
    """
    import tomllib

    try:
        return tomllib.loads(source.text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SourceError(_syntax(source, error)) from error


def _syntax(source: Source, error: Exception) -> Any:
    message = str(error)
    match = _AT.search(message)
    offset = 0
    if match and match[1]:
        # tomllib counts lines by LF alone and replaces CRLF first, which leaves line and column the same.
        offset = source.offset((int(match[1]), 1)) + int(match[2]) - 1
    elif match:
        offset = len(source.text)
    message = _AT.sub("", message)
    place = source.place(offset)
    text = "tables are nested too deep" if isinstance(error, RecursionError) else message
    return finding("source/toml-syntax", "error", place, text, source="https://toml.io/en/v1.0.0")
