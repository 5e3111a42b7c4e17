"""A batch as data and as text: the run that the engine describes, in CodeBuild's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seatrial.builds.batch_plan import step_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from seatrial.builds.batch import Expansion

_STATUSES = {"pass": "SUCCEEDED", "fail": "FAILED", "stopped": "STOPPED", "running": "IN_PROGRESS"}
_WHOLE = {"succeeded": "SUCCEEDED", "failed": "FAILED", "stopped": "STOPPED"}
_OURS = "FINALIZING"


def data(run: Mapping[str, Any], expansion: Expansion, children: Mapping[str, str]) -> dict[str, Any]:
    """A run of the kind `batch` as `--json` prints it, with `batch_status`, `phases` and `groups` (one for each build).

    `children` maps builds that have begun to their runs.
    """
    status = run["outputs"].get("verdict", {}).get("status") or _WHOLE.get(run["status"], "IN_PROGRESS")
    if (
        run["status"] in ("failed", "stopped") and status == "SUCCEEDED"
    ):  # combining failed, or somebody stopped it
        status = _WHOLE[run["status"]]
    if run["status"] == "stopped":
        status = "STOPPED"
    phases = [
        {"phase": stage["name"], "status": _STATUSES[stage["status"]], "duration": stage["duration"]}
        for stage in run["stages"]
        if stage["name"] != _OURS and stage["status"] in _STATUSES
    ]
    if status != "IN_PROGRESS":
        phases.append({"phase": status, "status": status, "duration": None})
    steps = {step["name"]: step for stage in run["stages"] for step in stage["steps"]}
    return {
        **run,
        "batch_status": status,
        "phases": phases,
        "groups": [
            {
                "identifier": build.identifier,
                "depends_on": list(build.depend_on),
                "ignore_failure": build.ignore_failure,
                **_of_build(
                    run["outputs"].get(step_name(build.identifier)),
                    steps.get(step_name(build.identifier)),
                    children.get(build.identifier, ""),
                ),
            }
            for build in expansion.builds
        ],
        "combined": run["outputs"].get("combine"),
    }


def text(found: Mapping[str, Any]) -> str:
    """One line for each build, then how the whole went; `found` is what `data` returned."""
    width = max((len(group["identifier"]) for group in found["groups"]), default=0)
    lines = []
    for group in found["groups"]:
        took = f"{group['duration']:.1f} s" if group["duration"] is not None else ""
        why = " ".join(filter(None, (group["phase"], _first(group["why"]))))
        ignored = " (ignored)" if group["ignore_failure"] and group["status"] != "SUCCEEDED" else ""
        earlier = "done before" if group["earlier"] else ""
        lines.append(
            f"{group['identifier']:{width}}  {group['status'] + ignored:11} {took:>8}  "
            f"{group['run'] or '':24}  {earlier or why}".rstrip()
        )
    for group in found["groups"]:
        for name, place in group["artifacts_at"].items():
            lines.append(f"artifact {group['identifier']}/{name}: {place}")
    if found["combined"]:
        lines.append(f"artifacts: {found['combined']['summary']}")
    took = f" in {found['duration']:.1f} s" if found["duration"] is not None else ""
    lines.append(f"batch {found['name']} ({found['id']}): {found['batch_status']}{took}")
    failed = next(
        (group for group in found["groups"] if group["status"] in ("FAILED", "TIMED_OUT", "FAULT")), None
    )
    if failed and failed["run"]:
        lines.append(f"log of {failed['identifier']}: seatrial runs logs {failed['run']}")
        if found["batch_status"] == "FAILED":
            lines.append("`seatrial build batch … --retry` runs again what has not succeeded")
    if found["error"] and found["batch_status"] == "FAILED" and not failed:
        lines.append(f"error: {found['error']}")
    return "\n".join(lines) + "\n"


def _of_build(
    outputs: Mapping[str, Any] | None, step: Mapping[str, Any] | None, child: str
) -> dict[str, Any]:
    """How a build went; one that was cut off has no outputs."""
    if outputs:
        return dict(outputs)
    status = {"running": "IN_PROGRESS", "stopped": "STOPPED", "fail": "FAULT"}.get(
        (step or {}).get("status") or "", "NOT_STARTED"
    )
    if step and status == "STOPPED" and not step["attempts"]:
        status = "NOT_STARTED"
    return {
        "status": status,
        "run": child,
        "duration": (step or {}).get("duration"),
        "phase": "",
        "why": (step or {}).get("error") or "" if status == "FAULT" else "",
        "exported_variables": {},
        "artifacts": {},
        "artifacts_at": {},
        "reports": [],
        "earlier": False,
    }


def _first(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else ""
