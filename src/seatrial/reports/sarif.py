"""Findings as SARIF 2.1.0, which code hosts show beside the changed lines.

Source: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from seatrial.findings import Edit, Finding, Fix, Rule

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json"


def render(
    findings: Sequence[Finding], rules: Mapping[str, Rule], fingerprints: Sequence[str], *, version: str
) -> str:
    """A log with one run. `fingerprints` belong to `findings` one by one; `rules` has those that can be found."""
    import msgspec

    used = sorted({one.rule for one in findings})
    index = {rule: number for number, rule in enumerate(used)}
    results = [_result(one, index[one.rule], mark) for one, mark in zip(findings, fingerprints, strict=True)]
    log = {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "Seatrial",
                        "semanticVersion": version,
                        "rules": [_rule(rule, rules.get(rule)) for rule in used],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "results": results,
            }
        ],
    }
    return msgspec.json.format(msgspec.json.encode(log), indent=2).decode() + "\n"


def _rule(identifier: str, rule: Rule | None) -> dict[str, Any]:
    if rule is None:
        return {"id": identifier}
    described: dict[str, Any] = {
        "id": identifier,
        "name": "".join(part.capitalize() for part in identifier.replace("/", "-").split("-")),
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.explanation},
        "defaultConfiguration": {"level": rule.severity},
    }
    if rule.source.startswith("https://"):
        described["helpUri"] = rule.source
    return described


def _result(one: Finding, index: int, fingerprint: str) -> dict[str, Any]:
    text = f"{one.message}\nCause: {one.cause}" if one.cause else one.message
    result: dict[str, Any] = {
        "ruleId": one.rule,
        "ruleIndex": index,
        "level": one.severity,
        "message": {"text": text},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": _uri(one.path)},
                    "region": {"startLine": one.line, "startColumn": one.column},
                }
            }
        ],
        "partialFingerprints": {"seatrialFinding/v1": fingerprint},
    }
    fixes = [fix for fix in (one.fix, *one.alternatives) if fix is not None and fix.edits]
    if fixes:
        result["fixes"] = [_fix(fix) for fix in fixes]
    return result


def _fix(fix: Fix) -> dict[str, Any]:
    files: dict[str, list[Edit]] = {}
    for edit in fix.edits:
        files.setdefault(edit.path, []).append(edit)
    return {
        "description": {"text": fix.title if fix.safe else f"{fix.title} (not safe: can change behaviour)"},
        "artifactChanges": [
            {
                "artifactLocation": {"uri": _uri(path)},
                "replacements": [_replacement(edit) for edit in edits],
            }
            for path, edits in files.items()
        ],
    }


def _replacement(edit: Edit) -> dict[str, Any]:
    return {
        "deletedRegion": {
            "startLine": edit.start[0],
            "startColumn": edit.start[1],
            "endLine": edit.end[0],
            "endColumn": edit.end[1],
        },
        "insertedContent": {"text": edit.text},
    }


def _uri(path: str) -> str:
    return quote(path, safe="/")
