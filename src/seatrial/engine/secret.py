"""References to secrets: plans hold these, values are looked up when a step starts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from seatrial.errors import SeatrialError

if TYPE_CHECKING:
    from collections.abc import Mapping


def reveal(references: Mapping[str, str]) -> dict[str, str]:
    """The values behind `env:NAME` and `file:PATH` references (a file's last newline is dropped).

    Raises:
        SeatrialError: one cannot be found; the message names the reference, never a value.
    """
    return {name: _value(name, reference) for name, reference in references.items()}


def _value(name: str, reference: str) -> str:
    kind, _, place = reference.partition(":")
    if kind == "env":
        if place in os.environ:
            return os.environ[place]
        raise SeatrialError(
            f"secret {name}: the variable {place} is not set", fix=f"set {place} and run again"
        )
    if kind == "file":
        try:
            return Path(place).expanduser().read_text(encoding="utf-8").removesuffix("\n")
        except OSError as error:
            raise SeatrialError(
                f"secret {name}: cannot read the file: {error.strerror}", where=place
            ) from error
    raise SeatrialError(
        f"secret {name}: {kind!r} is not a kind of reference", fix="use env:NAME or file:PATH"
    )
