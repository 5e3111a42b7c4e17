"""Captured output without what belongs to the machine: folders, host name, users' paths."""

from __future__ import annotations

import os
import re
import socket
import sys
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

HOST = "builder"
_LONG = 2
_LONGEST = 1000
"""Lines of a captured log; what is between the first and last half is left out."""


class Machine(NamedTuple):
    """`folders` maps paths of this machine to what stands in for them, longest first."""

    folders: dict[str, str]
    names: frozenset[str]

    @staticmethod
    def here(top: Path) -> Machine:
        """This machine, with what was captured in `top`."""
        repository = Path(__file__).parents[2]
        torch = os.environ.get("PROVOKE_TORCH", "")
        folders = {
            str(top / "app"): "/srv/app",
            str(top / "home"): "/home/ci",
            str(top): "/srv",
            str(Path(sys.prefix)): "/usr/local",
            str(Path(sys.base_prefix)): "/usr/local",
            str(repository): "/srv/app",
            str(repository.parent): "/srv",
            str(Path.home()): "/home/ci",
            **({torch: "/usr/local/lib/site"} if torch else {}),
        }
        return Machine(
            dict(sorted(folders.items(), key=lambda item: -len(item[0]))),
            frozenset({socket.gethostname(), socket.getfqdn()} - {"", "localhost"}),
        )


def scrub(text: str, machine: Machine, longest: int = _LONGEST) -> str:
    """Return `text` with the folders and names of `machine` replaced, and no control characters but ANSI's."""
    for found, instead in machine.folders.items():
        # A long path is itself wherever it stands, as behind an option's letter; a short one may be part of another.
        edge = "" if found.count("/") > _LONG else r"(?<![\w-])"
        for form, other in ((found, instead), (quote(found, safe=""), quote(instead, safe=""))):
            text = re.sub(rf"{edge}(?:\.\.(?=/))?(?:/\.\.)*{re.escape(form)}(?![\w.-])", other, text)
    for name in machine.names:
        text = re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", HOST, text)
    text = re.sub(r"/opt/[\w./-]+", "/usr/local/lib/site", text)
    lines = text.replace("\r\n", "\n").split("\n")
    if len(lines) > longest:
        half = longest // 2
        lines = [*lines[:half], *lines[-half:]]
    return "\n".join(re.sub(r"[^\x1b\r\t\x20-\U0010ffff]", "", line).rstrip() for line in lines)
