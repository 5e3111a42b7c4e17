"""Why a buildspec is not where CodeBuild looks for it."""

from __future__ import annotations

import os
from pathlib import Path


def is_inside(name: str) -> bool:
    """Whether a path in a source stays in it."""
    return not os.path.isabs(name) and os.path.normpath(name).split("/")[0] != ".."  # noqa: PTH117 - no Path is read


def why(root: Path, name: str) -> str:
    """Why there is no file `name` in the source `root`, and what to do; what is near it is looked at."""
    cause, fix = _why(root, name)
    return f"{cause}: {fix}"


def _why(root: Path, name: str) -> tuple[str, str]:
    if not is_inside(name):
        return "the path leads out of the source", "name a file of the source"
    names = sorted(entry.name for entry in root.iterdir())
    tops = [top for top in names if top != "__MACOSX"]
    if len(tops) == 1 and (root / tops[0] / name).is_file():
        return (
            f"the zip has one folder on top, {tops[0]}, and the buildspec is in there",
            f"zip the files themselves (`cd {tops[0]} && zip -r ../source.zip .`), or set the buildspec to {tops[0]}/{name}",
        )
    parent = (root / name).parent
    near = sorted(entry.name for entry in parent.iterdir()) if parent.is_dir() else []
    for other in near:
        if other != Path(name).name and _plain(other) == _plain(Path(name).name):
            return (
                f"there is {other}, which CodeBuild does not look for",
                f"rename it to {Path(name).name}, or set the buildspec to it in the project",
            )
    if (root / name).is_dir():
        return "it is a folder", "name the file in it"
    if not names:
        return "the source is empty", "a build without a source needs its buildspec written in the project"
    return "no such file is in the source", "add it, or give its path with the project's buildspec"


def _plain(name: str) -> str:
    """`Buildspec.yaml` and `buildspec.yml` are the same mistake."""
    return name.lower().replace(".yaml", ".yml").replace("_", "").replace("-", "")
