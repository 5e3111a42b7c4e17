"""Small builds whose outcome AWS's documentation or logs of real builds tell, run everywhere a build can run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.testing import CliRunner

from seatrial.cli.root import root
from support import debian
from support.commands import seatrial

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent / "conformance"
PHASES = (
    "SUBMITTED",
    "QUEUED",
    "PROVISIONING",
    "DOWNLOAD_SOURCE",
    "INSTALL",
    "PRE_BUILD",
    "BUILD",
    "POST_BUILD",
    "UPLOAD_ARTIFACTS",
    "FINALIZING",
)
EXECUTORS = ("host", "debian", "bash")
SOURCES = set(yaml.safe_load((HERE / "sources.yaml").read_text()))


def _cases() -> list[dict[str, Any]]:
    files = sorted(HERE.glob("*.yaml"))
    return [
        case | {"file": file.stem}
        for file in files
        if file.stem != "sources"
        for case in yaml.safe_load(file.read_text())
    ]


CASES = _cases()


def _params() -> Iterator[Any]:
    for executor in EXECUTORS:
        for case in CASES:
            # Which shell `sh` is matters to what shells do; the rest is the same in any image.
            usual: tuple[str, ...] = EXECUTORS if case["file"] in ("shell", "state") else ("host", "debian")
            if case.get("failed") == ["DOWNLOAD_SOURCE"] or "refused" in case:
                usual = ("host",)  # no container is asked
            if executor in case.get("executors", usual):
                marks = (
                    [pytest.mark.xfail(strict=True, reason=case["diverges"])] if "diverges" in case else []
                )
                yield pytest.param(
                    executor, case, id=f"{executor}-{case['file']}-{case['name']}", marks=marks
                )


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What `--on` takes for each executor."""
    own = tmp_path_factory.getbasetemp()
    # Workers of one run unpack the image once.
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEATRIAL_CACHE", str(shared / "conformance-cache"))
        yield _Places({"host": "host"}, tmp_path_factory)


class _Places(dict[str, str]):
    """Images are made when the first test wants one, and once."""

    def __init__(self, known: dict[str, str], factory: pytest.TempPathFactory) -> None:
        super().__init__(known)
        self.factory = factory

    def __missing__(self, name: str) -> str:
        debian.needs_bwrap()
        below = debian.base()
        layout = self.factory.mktemp(name) / "image"
        shell = [] if name == "debian" else [[debian.symlink("usr/bin/sh", "bash")]]
        debian.image(
            layout,
            shell,
            {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]},
            base=below,
        )
        self[name] = f"image:{layout}"
        return self[name]


@pytest.mark.parametrize(("executor", "case"), list(_params()))
def test_case(
    executor: str,
    case: dict[str, Any],
    places: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if case.get("root") and os.geteuid() != 0:
        pytest.skip("commands as root, or as another user, need root")
    _lay_out(case, tmp_path / "demo")
    monkeypatch.setenv("SEATRIAL_HOME", str(tmp_path / "state"))
    for name, value in case.get("caller", {}).items():
        monkeypatch.setenv(name, value)
    options = [f"--env={name}={value}" for name, value in case.get("env", {}).items()]
    options += [f"--timeout={case['timeout']}s"] if "timeout" in case else []
    words = [
        "build", "run", str(tmp_path / "demo"), f"--on={places[executor]}", "--artifacts", str(tmp_path / "artifacts"),
        "--json", "--no-check", *options, *case.get("options", []),
    ]  # fmt: skip
    if "refused" in case:
        # A build that does not begin leaves to the end of the process what it had started.
        refused = seatrial(tmp_path, *words)
        assert refused.returncode == 2, refused.stderr
        assert case["refused"] in refused.stderr
        return
    done = CliRunner().invoke(root, words)
    assert done.stdout.startswith("{"), f"{done.output}\n{done.exception!r}"
    _compare(case, json.loads(done.stdout), done.exit_code, tmp_path / "artifacts")


def _lay_out(case: dict[str, Any], folder: Path) -> None:
    folder.mkdir()
    files = dict(case.get("files", {}))
    if "buildspec" in case:
        files["buildspec.yml"] = case["buildspec"]
    if case.get("generate") == "long":
        command = f'TEXT={"x" * 20_000}; echo "> ${{#TEXT}}"'
        files["buildspec.yml"] = json.dumps({"version": 0.2, "phases": {"build": {"commands": [command]}}})
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


def _compare(case: dict[str, Any], run: dict[str, Any], exit_code: int, artifacts: Path) -> None:
    stages = {stage["name"]: stage for stage in run["stages"]}
    failed, skipped = set(case.get("failed", [])), set(case.get("skipped", []))
    statuses = {name: stages[name]["phase_status"] for name in PHASES}
    failure = "TIMED_OUT" if "timeout" in case else "FAILED"
    expected = {
        name: failure if name in failed else None if name in skipped else "SUCCEEDED" for name in PHASES
    }
    contexts = {name: stages[name]["contexts"] for name in PHASES if stages[name]["contexts"]}
    assert statuses == expected, {name: said for name, said in contexts.items() if said[0]["statusCode"]}
    assert exit_code == (1 if failed else 0)
    assert stages["COMPLETED"]["phase_status"] is None
    for name, context in contexts.items():
        if name not in failed:
            assert context == [{"statusCode": "", "message": ""}]
    for name, (code, message) in case.get("context", {}).items():
        assert contexts[name] == [{"statusCode": code, "message": message}]
    for name, code in case.get("code", {}).items():
        assert contexts[name][0]["statusCode"] == code
    for name, start in case.get("begins", {}).items():
        assert contexts[name][0]["message"].startswith(start)
    if "out" in case:
        assert _printed(run) == case["out"]
    _compare_outputs(case, run["outputs"], artifacts)


def _compare_outputs(case: dict[str, Any], outputs: dict[str, Any], artifacts: Path) -> None:
    if "exported" in case:
        assert outputs["exported_variables"] == case["exported"]
    if "artifacts" in case or "secondary" in case:
        wanted = dict(case.get("secondary", {}))
        found = {name: sorted(files) for name, files in outputs["artifacts"].items()}
        if "artifacts" in case:
            (primary,) = found.keys() - wanted.keys()
            wanted[primary] = case["artifacts"]
        assert found == {name: sorted(files) for name, files in wanted.items()}
        there = {path.name for path in artifacts.rglob("*") if path.is_file()}
        assert there >= {Path(file).name for files in wanted.values() for file in files}
    if "reports" in case:
        reports = {
            report["name"]: {"status": report["status"], **report["totals"], **report["counts"]}
            for report in outputs["reports"]
        }
        totals = case["reports"]
        assert reports.keys() == totals.keys()
        assert {name: {key: reports[name][key] for key in totals[name]} for name in totals} == totals


def _printed(run: dict[str, Any]) -> list[str]:
    """What commands printed in lines that begin with `> `; the log's own lines never do."""
    logs = [attempt["log"] for stage in run["stages"] for attempt in stage["attempts"] if attempt["log"]]
    lines = [line for log in logs for line in Path(log).read_text().splitlines()]
    return [line[2:] for line in lines if line.startswith("> ")]


def test_cases_say_where_they_come_from() -> None:
    assert len(CASES) >= 120
    assert len({case["name"] for case in CASES}) == len(CASES)
    known = {
        "name", "source", "buildspec", "files", "env", "options", "timeout", "caller", "executors", "root", "failed", "skipped",
        "context", "code", "begins", "out", "artifacts", "secondary", "exported", "reports", "refused", "diverges",
        "generate", "file",
    }  # fmt: skip
    for case in CASES:
        assert case["source"].partition(":")[0].partition(";")[0] in SOURCES, case["name"]
        assert case.keys() <= known, case["name"]
