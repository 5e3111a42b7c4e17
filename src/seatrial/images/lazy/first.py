"""The list of files that a program opens while it starts: in a layer that is pulled lazily they come first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.errors import SeatrialError

if TYPE_CHECKING:
    from pathlib import Path


def read_first(path: Path) -> tuple[str, ...]:
    """Absolute paths in the image, one on each line, sorted; empty lines and those that start with # say nothing.

    Raises:
        SeatrialError: the file cannot be read, or a line is no absolute path.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SeatrialError(
            "the list of first files cannot be read", where=str(path), why=str(why),
            fix="write it with `seatrial image opened`, or leave it out",
        ) from error  # fmt: skip
    found: set[str] = set()
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if not text.startswith("/"):
            raise SeatrialError(
                f"{text[:200]!r} is no absolute path in the image", where=f"{path}:{number}:1",
                fix="write it as `/usr/lib/…`",
            )  # fmt: skip
        found.add(text)
    return tuple(sorted(found))
