"""A build as data and as text: the run that the engine describes, in CodeBuild's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seatrial.builds import phases

if TYPE_CHECKING:
    from collections.abc import Mapping

_CODES = (
    *(phases.FAILED_COMMAND, phases.TIMED_OUT, "QUEUED_TIMED_OUT", "YAML_FILE_ERROR", "CLIENT_ERROR"),
    *("Decrypted Variables Error", "Secrets Manager Error", "BUILD_CONTAINER_UNABLE_TO_PULL_IMAGE"),
    *("GIT_CLONE_FAILED", "INVALID_INPUT", "INTERNAL_SERVICE_ERROR"),
)
_STATUSES = {"pass": "SUCCEEDED", "fail": "FAILED", "stopped": "STOPPED", "running": "IN_PROGRESS"}


def build(run: Mapping[str, Any]) -> dict[str, Any]:
    """A run of the kind `build` as `--json` prints it.

    Each stage has `phase_status` and `contexts`; a phase that did not run has neither a status nor a context. `outputs`
    are what comes out of the build; `build_status` is CodeBuild's.
    """
    outputs = run["outputs"]
    stages = [_stage(stage) for stage in run["stages"]]
    return {
        **run,
        "stages": stages,
        "build_status": _status(run, stages),
        "outputs": {
            "exported_variables": outputs.get("finalize", {}).get("exported_variables", {}),
            "artifacts": outputs.get("artifacts", {}).get("artifacts", {}),
            "artifacts_at": outputs.get("artifacts", {}).get("at", {}),
            "reports": outputs.get("reports", {}).get("reports", []),
            "cache": {**outputs.get("download", {}).get("cache", {}), **outputs.get("save", {})},
            "workspace": outputs.get("finalize", {}).get("workspace"),
        },
    }


def text(found: Mapping[str, Any]) -> str:
    """The phases as a table, why they failed, and where everything lies; `found` is what `build` returned."""
    lines = [f"{'phase':17} {'status':12} {'seconds':>8}  context"]
    for stage in found["stages"]:
        if stage["phase_status"] is None and stage["name"] != "COMPLETED":
            continue
        seconds = f"{stage['duration']:.1f}" if stage["duration"] is not None else ""
        context = "; ".join(
            f"{one['statusCode']}: {one['message']}".strip() for one in stage["contexts"] if one["statusCode"]
        )
        first, *_ = context.splitlines() or [""]
        lines.append(f"{stage['name']:17} {stage['phase_status'] or '':12} {seconds:>8}  {first}".rstrip())
    took = f" in {found['duration']:.1f} s" if found["duration"] is not None else ""
    lines.append(f"build {found['name']} ({found['id']}): {found['build_status']}{took}")
    return "\n".join([*lines, *_places(found)]) + "\n"


def _places(found: Mapping[str, Any]) -> list[str]:
    outputs = found["outputs"]
    lines = [f"exported: {name}={value}" for name, value in outputs["exported_variables"].items()]
    for name, files in outputs["artifacts"].items():
        where = outputs["artifacts_at"].get(name, "")
        lines.append(f"artifact {name}: {len(files)} files in {where}")
    lines += [f"report {report['name']}: {report['summary']}" for report in outputs["reports"]]
    lines.append(f"log: seatrial runs logs {found['id']}")
    if outputs["workspace"]:
        lines.append(f"workspace: {outputs['workspace']}")
        lines.append(
            f"`seatrial build shell {found['id']}` opens a shell in it, "
            f"`seatrial runs resume {found['id']}` goes on at the phase that failed"
        )
    return lines


def _stage(stage: Mapping[str, Any]) -> dict[str, Any]:
    code, message = _context(stage)
    status = _STATUSES.get(stage["status"])
    if status in ("FAILED", "STOPPED") and code in (phases.TIMED_OUT, "QUEUED_TIMED_OUT"):
        status = "TIMED_OUT"
    if stage["name"] == "COMPLETED":
        status = None
    contexts = [{"statusCode": code, "message": message}] if status is not None else []
    return {**stage, "phase_status": status, "contexts": contexts}


def _context(stage: Mapping[str, Any]) -> tuple[str, str]:
    """Code and message of what went wrong; a failure that no phase has worded is a fault of the machinery."""
    errors = [stage["error"], *(step["error"] for step in stage["steps"])]
    for error in filter(None, errors):
        for code in _CODES:
            if error.startswith(f"{code}: "):
                return code, error.removeprefix(f"{code}: ")
    return ("INTERNAL_SERVICE_ERROR", stage["error"]) if stage["error"] else ("", "")


def _status(run: Mapping[str, Any], stages: list[dict[str, Any]]) -> str:
    if any(stage["phase_status"] == "TIMED_OUT" for stage in stages):
        return "TIMED_OUT"
    if any(
        one["statusCode"] == "INTERNAL_SERVICE_ERROR"
        for stage in stages
        for one in stage["contexts"]
        if stage["phase_status"] == "FAILED"
    ):
        return "FAULT"
    known = {"succeeded": "SUCCEEDED", "failed": "FAILED", "stopped": "STOPPED"}
    return known.get(run["status"], "IN_PROGRESS")
