"""Where Seatrial keeps what it knows (state) and what it can make again (cache)."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """State: `SEATRIAL_HOME`, else `$XDG_STATE_HOME/seatrial`. Made when absent, readable by its owner only."""
    return _private(os.environ.get("SEATRIAL_HOME"), "XDG_STATE_HOME", ".local/state")


def cache() -> Path:
    """Cache: `SEATRIAL_CACHE`, else `$XDG_CACHE_HOME/seatrial`. May be deleted at any time."""
    return _private(os.environ.get("SEATRIAL_CACHE"), "XDG_CACHE_HOME", ".cache")


def _private(explicit: str | None, variable: str, fallback: str) -> Path:
    if explicit:
        folder = Path(explicit).expanduser().absolute()
    else:
        base = os.environ.get(variable) or ""
        # The XDG specification says to ignore relative paths.
        folder = (Path(base) if base.startswith("/") else Path.home() / fallback) / "seatrial"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
