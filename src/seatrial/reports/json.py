"""Findings as JSON, the form that other programs rely on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seatrial.findings import Finding


def render(findings: Sequence[Finding], checked: Sequence[tuple[str, str]], summary: dict[str, int]) -> str:
    """`{"findings": […], "checked": [{"path", "kind"}], "summary": {"error", "warning", "note"}}`, indented."""
    import msgspec

    content: dict[str, Any] = {
        "findings": findings,
        "checked": [{"path": path, "kind": kind} for path, kind in checked],
        "summary": summary,
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=2).decode() + "\n"
