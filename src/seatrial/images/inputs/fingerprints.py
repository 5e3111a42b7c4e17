"""Whether a folder of sources is still the one that was built, told by names, sizes and times alone."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

_NEVER = frozenset(
    [
        ".git",
        ".hg",
        ".svn",
        "__pycache__",
        ".venv",
        "venv",
        ".tox",
        ".nox",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        "node_modules",
    ]
)


def fingerprint(folder: str) -> str:
    """A hash that changes with any file of the folder, caches and environments aside, and with its commit.

    A changed time of an unchanged file changes it too: then the builder, which compares contents, has nothing to do.
    """
    total = hashlib.sha256()
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(one for one in folders if one not in _NEVER and not one.endswith(".egg-info"))
        for name in sorted(files):
            if name.endswith(".pyc"):
                continue
            path = os.path.join(place, name)  # noqa: PTH118 - strings from os.walk, many of them
            try:
                found = os.lstat(path)
            except OSError:
                continue
            total.update(
                f"{path[len(folder) :]}\0{found.st_size}\0{found.st_mtime_ns}\0{found.st_mode}\n".encode(
                    "utf-8", "surrogateescape"
                )
            )
    for name in ("HEAD", "logs/HEAD"):
        try:
            total.update((Path(folder) / ".git" / name).read_bytes())
        except OSError:
            continue
    return total.hexdigest()
