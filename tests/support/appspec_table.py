"""The verdicts of AWS's own parser beside ours: rows for a test and for a table to read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.deployments.appspec.model import Server
from seatrial.deployments.appspec.reading import read
from seatrial.sources.text import Source
from seatrial.sources.text import read as read_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Errors with a text of their own; the others come from within Ruby, and only that there is one counts.
_WORDED = ("AppSpecValidationException", "SyntaxError", "BadAlias", "DisallowedClass")


class Row(msgspec.Struct, frozen=True):
    """One verdict. `wrong` is what differs, empty where nothing does."""

    name: str
    verdict: str
    said: str
    wrong: str


def rows(cases: Path) -> Iterator[Row]:
    """One row for each verdict of `appspec_verdicts.jsonl`."""
    for line in (cases / "appspec_verdicts.jsonl").read_text(encoding="utf-8").splitlines():
        verdict = json.loads(line)
        name = verdict.get("file") or verdict["synthetic"]
        source = Source("appspec.yml", verdict["text"]) if "text" in verdict else read_file(cases / name)
        yield _row(name, verdict, source)


def _row(name: str, verdict: dict[str, Any], source: Source) -> Row:
    reading = read(source, "server")
    said = reading.refusals[0].message if reading.refusals else "taken"
    if verdict["ok"]:
        wrong = (
            ""
            if isinstance(reading.spec, Server) and _content(reading.spec) == _theirs(verdict)
            else "content"
        )
        return Row(name, "taken", said, wrong or ("" if reading.spec else "verdict"))
    if reading.spec is not None:
        return Row(name, verdict["error"], said, "verdict")
    is_worded = verdict["error_class"].rsplit("::", 1)[-1] in _WORDED
    wrong = "text" if is_worded and said != verdict["error"] else ""
    return Row(name, verdict["error"], said, wrong)


def _theirs(verdict: dict[str, Any]) -> dict[str, Any]:
    return {
        key: verdict[key]
        for key in ("version", "os", "file_exists_behavior", "hooks", "files", "permissions")
    }


def _content(spec: Server) -> dict[str, Any]:
    """What was understood, as the verdicts say it."""
    return {
        "version": spec.version,
        "os": spec.os,
        "file_exists_behavior": spec.file_exists_behavior,
        "hooks": {
            event: [
                {
                    "location": one.location,
                    "timeout": one.timeout,
                    "runas": one.runas,
                    "sudo": one.sudo or None,
                }
                for one in scripts
            ]
            for event, scripts in spec.hooks.items()
        },
        "files": [{"source": one.source, "destination": one.destination} for one in spec.files],
        "permissions": [
            {
                "object": one.object,
                "pattern": one.pattern,
                "except": list(one.except_),
                "type": list(one.type),
                "owner": one.owner,
                "group": one.group,
                "mode": one.mode,
                "acls": None if one.acls is None else [str(ace) for ace in one.acls],
                "context": None if one.context is None else msgspec.to_builtins(one.context),
            }
            for one in spec.permissions
        ],
    }


def markdown(found: list[Row]) -> str:
    """The table."""
    right = sum(1 for one in found if not one.wrong)
    lines = [
        "# Application specifications: the agent's parser and Seatrial\n",
        f"{right} of {len(found)} verdicts match.\n",
        "| file | the agent | differs |",
        "|---|---|---|",
    ]
    lines += [f"| {one.name} | {one.verdict.replace('|', '/')} | {one.wrong or 'nothing'} |" for one in found]
    return "\n".join(lines) + "\n"
