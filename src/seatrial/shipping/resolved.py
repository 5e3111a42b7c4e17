"""Findings about what the resolver chose."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from seatrial.findings import Finding
    from seatrial.images.assemble.spec import ImageSpec


def findings_of(spec: ImageSpec, versions: Mapping[str, str], python: str) -> list[Finding]:
    """What is known to fail in this set of versions, placed where the requirement files ask for it."""
    from seatrial.images.requirements import read_files
    from seatrial.images.rules import check_resolved

    files = read_files([spec.root / name for name in spec.requirements], spec.root)
    return check_resolved(versions, files, python=python)
