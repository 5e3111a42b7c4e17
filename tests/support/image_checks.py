"""Checking a few files as `seatrial check` does, without resolving."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from seatrial.checking.run import Options, check

if TYPE_CHECKING:
    from seatrial.findings import Finding, Fix


def findings(files: dict[str, str], rule: str = "", **target: str) -> list[Finding]:
    """Findings of the area `image` (or of one rule) about files, path → text."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), files)
        found = check([Path(folder)], Options(target=target)).findings
    return [one for one in found if one.rule == (rule or one.rule) and one.rule.startswith("image/")]


def applied(files: dict[str, str], fix: Fix) -> dict[str, str]:
    """The files after a fix."""
    from seatrial.sources import edits
    from seatrial.sources.text import Source

    sources = {path: Source(path, text) for path, text in files.items()}
    chosen = edits.select([fix], sources)
    changed = {path: edits.edited(sources[path], spans).text for path, spans in chosen.edits.items()}
    return {**files, **changed}


def write(folder: Path, files: dict[str, str]) -> None:
    """Write files below a folder."""
    for path, text in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
