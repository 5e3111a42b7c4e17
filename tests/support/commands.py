"""The command line as a person or a script runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def seatrial(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run in `folder`, with state, cache and home beside it, and no settings of this machine."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder.parent),
        "SEATRIAL_HOME": str(folder.parent / "home"),
        "SEATRIAL_CACHE": str(folder.parent / "cache"),
        **environ,
    }
    return subprocess.run(
        [sys.executable, "-m", "seatrial", *arguments],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
