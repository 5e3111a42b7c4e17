"""Base images as data: what is inside them, by their reference."""

from __future__ import annotations

from seatrial.images.catalog.identify import identify
from seatrial.images.catalog.model import Contents, Moving, Removed

__all__ = ["Contents", "Moving", "Removed", "identify"]
