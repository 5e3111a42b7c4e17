"""Sizes and numbers as people read them."""

from __future__ import annotations


def megabytes(size: float) -> str:
    """Bytes as decimal megabytes, as registries count them: `128.2 MB`."""
    return f"{size / 1_000_000:.1f} MB"


def counted(number: int, word: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number} {word}{'' if number == 1 else 's'}"
