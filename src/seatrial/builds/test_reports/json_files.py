"""JSON of strangers: decoded with its byte order mark, bounded in size, its mistakes with their place."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from seatrial.builds.test_reports.model import Damaged

if TYPE_CHECKING:
    from pathlib import Path

LARGEST = 256 << 20
"""Bytes of one file."""


def load(path: Path) -> Any:
    """The value in a JSON file, in UTF-8, UTF-16 or UTF-32.

    Raises:
        Damaged: it is empty, too large, or not JSON.
    """
    if path.stat().st_size > LARGEST:
        raise Damaged(f"the file is larger than {LARGEST >> 20} MiB")
    data = path.read_bytes()
    if not data.strip():
        raise Damaged("the file is empty", fix="the program that writes it did not finish, or ran no test")
    try:
        text = data.decode(json.detect_encoding(data))
    except UnicodeDecodeError as error:
        raise Damaged(f"its encoding cannot be read: {error.reason}", line=1, column=1) from error
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        if error.pos >= len(text.rstrip()):
            raise Damaged("the file ends too early", line=error.lineno, column=error.colno) from error
        hint = "this looks like XML" if text.lstrip()[:1] == "<" else ""
        raise Damaged(
            f"this is not JSON: {error.msg}", line=error.lineno, column=error.colno, fix=hint
        ) from error
    except RecursionError as error:
        raise Damaged("values are nested too deep") from error
