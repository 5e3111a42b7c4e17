"""Locks: every package that a final image gets beside its base, at one version, with the hashes of its files."""

from __future__ import annotations

from seatrial.images.locking.make import lock
from seatrial.images.locking.model import Left, Locked, Pin

__all__ = ["Left", "Locked", "Pin", "lock"]
