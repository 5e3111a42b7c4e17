"""Generated builds: what is in them, that they are valid, and that nobody's work is overwritten."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml

from seatrial import config
from seatrial.builds.generate import files
from seatrial.builds.generate.project import look
from seatrial.builds.reading import read
from seatrial.errors import UsageError
from seatrial.sources.text import Source
from support import projects, registries
from support.commands import seatrial
from support.registries import need

if TYPE_CHECKING:
    from pathlib import Path

ECR = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/iris"
SETTINGS = "images: {iris: {base: debian:bookworm, requirements: [requirements.txt]}}\n"
PROJECTS: dict[str, dict[str, str]] = {
    "requirements": {"requirements.txt": "six==1.17.0\n"},
    "settings": {"seatrial.yaml": SETTINGS, "requirements.txt": "", "Dockerfile": "FROM scratch\n"},
    "registry base": {
        "seatrial.yaml": SETTINGS.replace("debian:bookworm", "registry.example/python:3.12"),
        "requirements.txt": "",
    },
    "settings that push": {"seatrial.yaml": f"images: {{iris: {{push: {{to: ['{ECR}']}}}}}}\n"},
    "tests": {
        "requirements.txt": "six==1.17.0\n",
        "requirements-dev.txt": "attrs\n",
        "tests/deep/test_it.py": "",
    },
    "library": {
        "pyproject.toml": '[build-system]\nrequires = ["hatchling"]\n[project]\nname = "a"\ndependencies = ["six"]\n',
        "test_a.py": "",
    },
    "dockerfile": {"Dockerfile": "FROM python:3.12\n"},
    "odd names": {"Dockerfile": "FROM python:3.12\n", "requirements.txt": "", "tests/test_it's.py": ""},
}
PUSHES: dict[str, tuple[str, ...]] = {
    "nowhere": (),
    "amazon": (ECR,),
    "github": ("ghcr.io/team/iris",),
    "here": ("127.0.0.1:5000/iris",),
    "everywhere": (ECR, "ghcr.io/team/iris", "quay.io/team/iris", "registry.example:5000/a/b"),
}
VARIANTS = [(project, push) for project in PROJECTS for push in PUSHES]


def project(folder: Path, name: str) -> Path:
    root = folder / "a project's"
    for path, text in PROJECTS[name].items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def generated(root: Path, kind: files.Kind, push: tuple[str, ...]) -> str:
    wanted = look(root, config.load(root), push=push)
    return files.generate(wanted, kind, seatrial="seatrial==1.2.3").text


def shell_is_valid(text: str) -> None:
    done = subprocess.run(["sh", "-n"], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stderr}\n{text}"


@pytest.mark.parametrize(("name", "where"), VARIANTS)
def test_every_buildspec_is_one(tmp_path: Path, name: str, where: str) -> None:
    root = project(tmp_path, name)
    text = generated(root, "codebuild", PUSHES[where])
    assert text == generated(root, "codebuild", PUSHES[where])
    reading = read(Source("buildspec.yml", text))
    assert reading.refusals == ()
    spec = reading.spec
    assert spec is not None
    commands = [command.value for phase in spec.phases.values() for command in phase.commands]
    for command in commands:
        shell_is_valid(command)
    whole = "\n".join(commands)
    assert "seatrial check" in whole
    assert "image test" in whole
    assert ("docker build" in whole) == ("ockerfile" in name or name == "odd names")
    assert ("pytest" in whole) == ("test" in str(PROJECTS[name]))
    pushes = bool(PUSHES[where]) or name == "settings that push"
    assert ("post_build" in spec.phases) == pushes
    assert [group.name for group in spec.reports] == [
        "checks",
        *(["unit-tests"] if "pytest" in whole else []),
        "image-tests",
    ]
    assert spec.artifacts is not None
    assert (spec.cache is None) == ("docker build" in whole and "pytest" not in whole)


def test_nothing_is_pushed_after_a_failed_build(tmp_path: Path) -> None:
    spec = read(
        Source("b", generated(project(tmp_path, "dockerfile"), "codebuild", PUSHES["everywhere"]))
    ).spec
    assert spec is not None
    (command,) = spec.phases["post_build"].commands
    (tmp_path / "bin").mkdir()
    log = tmp_path / "log"
    for program in ("docker", "aws"):
        path = tmp_path / "bin" / program
        path.write_text(f'#!/bin/sh\necho "{program} $*" >> "{log}"\ncat > /dev/null\n')
        path.chmod(0o755)
    env = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "CODEBUILD_BUILD_NUMBER": "7"}
    env |= {f"REGISTRY_{n}_{key}": f"secret-{n}" for n in (1, 2, 3) for key in ("USERNAME", "PASSWORD")}

    def run(succeeding: str) -> None:
        subprocess.run(
            ["sh", "-c", command.value],
            env={**env, "CODEBUILD_BUILD_SUCCEEDING": succeeding},
            cwd=tmp_path,
            check=True,
            stdin=subprocess.DEVNULL,
        )

    (tmp_path / "test-reports").mkdir()
    run("0")
    assert not log.exists()
    run("1")
    said = log.read_text()
    assert f"docker push --quiet {ECR}:build-7" in said
    assert "docker push --quiet registry.example:5000/a/b:build-7" in said
    assert "secret" not in said


@pytest.mark.parametrize(("name", "where"), VARIANTS)
def test_every_workflow_is_one(tmp_path: Path, name: str, where: str) -> None:
    text = generated(project(tmp_path, name), "github", PUSHES[where])
    assert text == generated(project(tmp_path, name), "github", PUSHES[where])
    flow: dict[str, Any] = yaml.load(text, yaml.BaseLoader)
    assert set(flow) == {"name", "on", "permissions", "concurrency", "jobs"}
    assert set(flow["on"]) == {"push", "pull_request", "workflow_dispatch"}
    assert flow["permissions"] == {}
    pushes = bool(PUSHES[where]) or name == "settings that push"
    assert list(flow["jobs"]) == (["build", "push"] if pushes else ["build"])
    assert flow["jobs"]["build"]["permissions"] == {"contents": "read"}
    for job in flow["jobs"].values():
        assert set(job) <= {"needs", "if", "runs-on", "timeout-minutes", "permissions", "steps"}
        assert {"runs-on", "timeout-minutes", "permissions", "steps"} <= set(job)
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
            assert set(step) <= {"name", "uses", "with", "run", "if"}
            if "uses" in step:
                assert re.fullmatch(r"[a-z-]+/[a-z-]+@[0-9a-f]{40}", step["uses"])
            else:
                shell_is_valid(step["run"])
                # Values of events in a script are how others' commands get in.
                assert "${{" not in step["run"]
    if pushes:
        _check_push(flow["jobs"]["push"], name, where)


def _check_push(job: dict[str, Any], name: str, where: str) -> None:
    assert job["needs"] == "build"
    assert "github.event_name != 'pull_request'" in job["if"]
    to = PUSHES[where] or (ECR,)
    rights = {"id-token": "write"} if ECR in to else {}
    rights |= {"packages": "write"} if "ghcr.io/team/iris" in to else {}
    if name == "settings that push" and not PUSHES[where]:
        rights |= {"contents": "read"}
    assert job["permissions"] == rights
    script = "\n".join(step.get("run", "") for step in job["steps"])
    for repository in PUSHES[where]:
        assert repository in script


def test_no_secret_is_in_a_file_and_none_is_asked_for_that_is_not_needed(tmp_path: Path) -> None:
    root = project(tmp_path, "requirements")
    amazon = generated(root, "github", PUSHES["amazon"])
    assert "secrets." not in amazon
    assert "role-to-assume: ${{ vars.AWS_ROLE_ARN }}" in amazon
    assert "secrets-manager" not in generated(root, "codebuild", PUSHES["amazon"])
    assert "seatrial/quay.io:password" in generated(root, "codebuild", PUSHES["everywhere"])


@pytest.mark.parametrize(
    ("push", "what"),
    [
        ("docker.io", "is no repository"),
        ("quay.io/a/b:tag", "is no repository"),
        ("a b/c", "is no repository"),
    ],
)
def test_what_is_no_repository_is_refused(tmp_path: Path, push: str, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        generated(project(tmp_path, "requirements"), "codebuild", (push,))


def test_a_project_with_nothing_to_build_or_too_much_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to build"):
        generated(tmp_path, "codebuild", ())
    (tmp_path / "seatrial.yaml").write_text("images: {a: {}, b: {}}\n")
    with pytest.raises(UsageError, match="2 images: a, b"):
        generated(tmp_path, "codebuild", ())


def test_a_file_is_written_once_and_nobodys_changes_are_lost(tmp_path: Path) -> None:
    root = project(tmp_path, "requirements")
    path = root / "buildspec.yml"

    def run(*options: str) -> tuple[int, str]:
        done = seatrial(root, "build", "generate", *options)
        return done.returncode, done.stdout + done.stderr

    code, said = run("--check")
    assert (code, path.exists()) == (1, False)
    assert f"there is no {path}" in said
    assert run("--push", ECR)[0] == 0
    first = path.read_text()
    assert first.startswith(f"# Generated by `seatrial build generate --push {ECR}`.\n")
    assert run("--check", "--push", ECR)[0] == 0
    code, said = run("--check")
    assert (code, path.read_text()) == (1, first)
    assert "-  post_build:" in said
    # What nobody touched is brought up to date; what somebody did is not.
    assert run()[0] == 0
    second = path.read_text()
    assert second != first
    path.write_text(second.replace("mkdir -p", "mkdir --parents"))
    code, said = run()
    assert code == 1
    assert "-      - mkdir --parents" in said
    assert "changed since Seatrial wrote it" in said
    assert "mkdir --parents" in path.read_text()
    path.write_text("version: 0.2\n")
    code, said = run()
    assert (code, path.read_text()) == (1, "version: 0.2\n")
    assert "did not write it" in said
    assert run("--force")[0] == 0
    assert path.read_text() == second


def test_a_workflow_goes_where_github_looks_and_data_are_data(tmp_path: Path) -> None:
    root = project(tmp_path, "dockerfile")
    done = seatrial(root, "build", "generate", "--for", "github", "--json")
    data = json.loads(done.stdout)
    path = root / ".github/workflows/image.yml"
    assert (data["state"], data["written"], data["path"]) == ("absent", True, str(path))
    assert path.read_text() == data["text"]
    assert seatrial(root, "build", "generate", "--for", "github", "--output", "-").stdout == data["text"]


@pytest.mark.parametrize("name", ["settings", "tests", "dockerfile"])
def test_a_generated_buildspec_has_no_finding(tmp_path: Path, name: str) -> None:
    root = project(tmp_path, name)
    for kind in ("codebuild", "github"):
        assert (
            seatrial(
                root, "build", "generate", "--for", kind, "--push", ECR, "--push", "quay.io/a/b"
            ).returncode
            == 0
        )
    done = seatrial(root, "check", "buildspec.yml", ".github", "--json")
    assert json.loads(done.stdout)["findings"] == []


def test_a_generated_buildspec_runs_here(tmp_path: Path) -> None:
    """Checked, assembled, tested and pushed to a registry of this machine, by the digest that is reported."""
    for tool in ("docker-registry", "bwrap"):
        need(tool)
    env = dict(projects.wheels(tmp_path / "wheels"))
    root = projects.sums(tmp_path)
    (root / "requirements.txt").write_text("onnxruntime==1.17.3\nnumpy==1.26.4\n")
    settings = (root / "seatrial.yaml").read_text()
    (root / "seatrial.yaml").write_text(
        settings.replace("    ports:", "    test: {level: quick}\n    ports:")
    )
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/seatrial"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m seatrial "$@"\n')
    program.chmod(0o755)
    out = tmp_path / "out"
    with registries.running(tmp_path / "registry") as host:
        assert seatrial(root, "build", "generate", "--push", f"{host}/team/sums").returncode == 0
        variables = {
            **env,
            "SEATRIAL_CACHE": str(tmp_path / "cache"),
            "SEATRIAL_HOME": str(tmp_path / "inner"),
        }
        options = [word for name, value in variables.items() for word in ("--env", f"{name}={value}")]
        path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
        done = seatrial(
            root, "build", "run", ".", "--on", "host", "--artifacts", str(out), *options, "--json", PATH=path
        )
        assert done.stdout, done.stderr
        run = json.loads(done.stdout)
        assert run["build_status"] == "SUCCEEDED", run["error"]
        (pushed,) = out.rglob("pushed.json")
        digest = json.loads(pushed.read_text())["pushed"][0]["digest"]
        answer = httpx.head(
            f"http://{host}/v2/team/sums/manifests/{digest}",
            headers={"Accept": "application/vnd.oci.image.manifest.v1+json"},
        )
        assert answer.status_code == 200
    assert (out / "test-reports/check.xml").exists()
    assert [report["name"].rpartition("-")[2] for report in run["outputs"]["reports"]] == ["checks", "tests"]
