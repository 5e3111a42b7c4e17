"""Sizes as people read them."""

from __future__ import annotations


def megabytes(size: float) -> str:
    """Bytes as decimal megabytes, as registries count them: `128.2 MB`."""
    return f"{size / 1_000_000:.1f} MB"
