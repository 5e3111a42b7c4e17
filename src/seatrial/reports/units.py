"""Sizes and numbers as people read them."""

from __future__ import annotations


def megabytes(size: float) -> str:
    """Bytes as decimal megabytes, as registries count them: `128.2 MB`."""
    return f"{size / 1_000_000:.1f} MB"


def size(number: float) -> str:
    """Bytes in the decimal unit that fits, as registries show them: `512 B`, `4.1 kB`, `128.2 MB`, `2.41 GB`."""
    for unit in ("B", "kB", "MB"):
        if number < 1000:  # noqa: PLR2004 - decimal units
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.2f} GB"


def counted(number: int, word: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number} {word}{'' if number == 1 else 's'}"
