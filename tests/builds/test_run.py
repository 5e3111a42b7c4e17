"""Whole builds, run by the command line on this machine and in an image."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from support import debian
from support.built import build, context, living, log, phases, statuses, write
from support.commands import seatrial

ORDER = (
    *(
        "SUBMITTED",
        "QUEUED",
        "PROVISIONING",
        "DOWNLOAD_SOURCE",
        "INSTALL",
        "PRE_BUILD",
        "BUILD",
        "POST_BUILD",
    ),
    *("UPLOAD_ARTIFACTS", "FINALIZING", "COMPLETED"),
)
WHOLE = """
version: 0.2
env:
  variables: {GREETING: "0644", WHO: you}
  exported-variables: [RESULT, MISSING]
phases:
  install:
    commands: ["cd sub", "VALUE=one; value() { echo two; }"]
  build:
    commands:
      - echo "$GREETING $WHO $VALUE $(pwd | sed 's|.*/src/|src/|')"
      - value 2>/dev/null && exit 1 || RESULT="it's $VALUE"
      - echo made > ../made.txt
artifacts:
  files: [made.txt, sub/given.txt]
  name: out-$VALUE
"""


@pytest.fixture(params=["host", "image"])
def where(
    request: pytest.FixtureRequest, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    if request.param == "host":
        return ["--on", "host"]
    debian.needs_bwrap()
    # One cache for all: the image's layers are unpacked once.
    shared = tmp_path_factory.getbasetemp() / "cache-of-images"
    shared.mkdir(exist_ok=True)
    (tmp_path / "cache").symlink_to(shared)
    return ["--on", f"image:{debian.base()}"]


def whole(folder: Path) -> Path:
    write(folder, WHOLE)
    (folder / "sub").mkdir()
    (folder / "sub" / "given.txt").write_text("given")
    return folder


def test_a_build_is_a_run_whose_stages_are_the_phases(tmp_path: Path, where: list[str]) -> None:
    folder = whole(tmp_path / "demo")
    found = build(folder, *where, "--env", "WHO=me", "--artifacts", str(tmp_path / "out"))
    assert tuple(statuses(found)) == ORDER
    assert set(statuses(found).values()) == {"SUCCEEDED", None}
    assert found["build_status"] == "SUCCEEDED"
    assert context(found, "BUILD") == ("", "")
    assert found["outputs"]["exported_variables"] == {"RESULT": "it's one"}
    assert found["outputs"]["artifacts"] == {"out-one": ["made.txt", "sub/given.txt"]}
    assert (tmp_path / "out" / "made.txt").read_text() == "made\n"
    assert "0644 me one src/sub" in log(folder, found, "build").splitlines()
    assert not (folder / "made.txt").exists(), "the build ran in a copy"
    assert not list((tmp_path / "home" / "runs" / found["id"]).glob("work/build/output/*")), "nothing is kept"


def test_what_runs_in_the_background_goes_on_until_the_build_ends(tmp_path: Path, where: list[str]) -> None:
    start = "(echo $$ > pid; while :; do date > beat; sleep 0.02; done) & echo started"
    wait = (
        "rm -f beat; n=0; until [ -e beat ] || [ $n -gt 500 ]; do n=$((n+1)); sleep 0.01; done; test -e beat"
    )
    folder = write(tmp_path / "demo", phases(install=[start], build=[wait, "echo $PPID > parent"]))
    found = build(folder, *where)
    assert found["build_status"] == "SUCCEEDED", log(folder, found)
    assert not living(f"/{found['id']}", "cmdline")
    assert not list(Path("/dev/shm").glob(f"*{found['id']}*"))


def test_a_workspace_goes_whatever_still_writes_into_it(tmp_path: Path, where: list[str]) -> None:
    """A command in the background makes files while the build ends, and its folder is removed with it."""
    start = "(n=0; while n=$((n+1)); do mkdir -p d$((n % 9)); : > d$((n % 9))/$n; done) & echo started"
    folder = write(tmp_path / "demo", phases(build=[start]))
    found = build(folder, *where)
    assert found["build_status"] == "SUCCEEDED", context(found, "FINALIZING")
    assert not (tmp_path / "home" / "runs" / found["id"] / "work" / "build").exists()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (phases(build=["true"]).replace('- "true"', "- echo a: b"),
         ("Expected Commands[0] to be of string type: found subkeys instead at line 5,"
         " value of the key tag on line 4 might be empty")),
        ("version: 1.0\nphases: {}\n", "invalid buildspec `version` specified: 1.0, see documentation"),
    ],
)  # fmt: skip
def test_what_codebuild_does_not_read_fails_as_there(tmp_path: Path, spec: str, message: str) -> None:
    folder = write(tmp_path / "demo", spec)
    found = build(folder)
    assert context(found, "DOWNLOAD_SOURCE") == ("YAML_FILE_ERROR", message)
    after = {stage["name"]: stage["status"] for stage in found["stages"][4:]}
    assert set(after.values()) == {"skip", "pass"}
    assert after["FINALIZING"] == after["COMPLETED"] == "pass"


def test_what_can_only_fail_stops_before_the_build(tmp_path: Path) -> None:
    folder = write(tmp_path / "demo", phases(build=["touch ran", 'echo "open']))
    done = seatrial(folder, "build", "run", ".")
    assert done.returncode == 1
    assert "buildspec.yml:6:10: error: " in done.stderr
    found = build(folder)
    assert statuses(found)["SUBMITTED"] == "FAILED"
    assert "buildspec.yml:6:10: " in context(found, "SUBMITTED")[1]
    assert statuses(found)["PROVISIONING"] is None
    found = build(folder, "--no-check")
    assert context(found, "BUILD")[1].endswith("exit status 2")


def test_a_value_that_is_secret_is_nowhere_on_disk(tmp_path: Path, where: list[str]) -> None:
    secret = "horse-battery-4711"
    commands = ["echo got $API_TOKEN", "DERIVED=x-$API_TOKEN", "echo $DERIVED >&2; false"]
    folder = write(tmp_path / "demo", phases(build=commands))
    found = build(folder, *where, "--env", "API_TOKEN", API_TOKEN=secret)
    assert found["build_status"] == "FAILED"
    assert "got ***" in log(folder, found)
    assert "x-***" in log(folder, found)
    assert secret not in str(found)
    for path in (tmp_path / "home").rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path


def test_a_failed_build_keeps_its_workspace_for_a_shell_and_goes_on_where_it_failed(
    tmp_path: Path, where: list[str]
) -> None:
    commands = phases(
        install=["echo x >> installs"],
        build=["mkdir -p here; cd here; X=5", "test -e ../fixed"],
        post_build=["echo $CODEBUILD_BUILD_SUCCEEDING >> ../posts; cp ../installs ../posts ../../"],
    )
    folder = write(tmp_path / "demo", commands)
    found = build(folder, *where)
    assert statuses(found)["BUILD"] == "FAILED"
    assert statuses(found)["POST_BUILD"] == "SUCCEEDED"
    inside = seatrial(folder, "build", "shell", found["id"], "--", "sh", "-c", "echo $X; pwd; touch ../fixed")
    assert inside.returncode == 0, inside.stderr
    assert inside.stdout.splitlines()[0] == "5"
    assert inside.stdout.splitlines()[1].endswith("/src/here")
    workspace = found["outputs"]["workspace"]
    resumed = seatrial(folder, "runs", "resume", found["id"], "--json")
    assert resumed.returncode == 0, resumed.stderr
    assert '"build_status": "SUCCEEDED"' in resumed.stdout
    attempts = {
        row: resumed.stdout.count(f'/steps/{row}.2/log"') for row in ("install", "build", "post_build")
    }
    assert attempts["install"] == 0
    assert attempts["build"] > 0
    assert attempts["post_build"] > 0
    assert not os.path.exists(workspace)  # noqa: PTH110 - a text of the run


def test_a_long_log_arrives_complete_and_in_order(tmp_path: Path) -> None:
    lines = 400_000
    program = f"import sys\nfor n in range({lines}): sys.stdout.write(f'line {{n:08}} ' + 'x' * 50 + '\\n')\n"
    folder = write(tmp_path / "demo", phases(build=[f"{sys.executable} noisy.py"]), noisy__py=program)
    for more in ([], ["--env", "API_TOKEN=horse-battery-4711"]):
        found = build(folder, *more)
        assert found["build_status"] == "SUCCEEDED"
        shown = [line for line in log(folder, found, "build").splitlines() if line.startswith("line ")]
        assert len(shown) == lines
        assert shown == sorted(shown)


def test_commands_run_as_the_user_that_is_named(tmp_path: Path, where: list[str]) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    spec = phases(
        install=["id -un; W=1"],
        build="run-as: daemon\ncommands: ['id -un; touch mine 2>/dev/null || V=no', 'echo v$V$W']",
    )
    folder = write(tmp_path / "demo", spec)
    found = build(folder, *where)
    assert "root" in log(folder, found, "install").splitlines()
    assert {"daemon", "vno1"} <= set(log(folder, found, "build").splitlines())


def test_an_ordinary_user_is_told_that_run_as_cannot_hold(tmp_path: Path) -> None:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root and setpriv, to become an ordinary user")
    base = Path(tempfile.mkdtemp(dir="/var/tmp"))
    try:
        folder = write(base / "demo", phases(build="run-as: daemon\ncommands: ['id -un']"))
        os.chown(base, 65534, 65534)
        line = [
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            sys.executable,
            "-m",
            "seatrial",
        ]
        env = os.environ | {
            "SEATRIAL_HOME": str(base / "home"),
            "SEATRIAL_CACHE": str(base / "cache"),
            "HOME": str(base),
        }
        done = subprocess.run(
            [*line, "build", "run", str(folder)],
            env=env,
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        if "Permission denied" in done.stderr:
            pytest.skip("an ordinary user cannot read this Python")
        assert done.returncode == 1, done.stdout + done.stderr
        assert "run-as daemon cannot hold here" in done.stderr
        assert "SUBMITTED         FAILED" in done.stdout
    finally:
        shutil.rmtree(base)


def test_phases_before_the_one_named_are_left_out(tmp_path: Path) -> None:
    folder = write(tmp_path / "demo", phases(install=["exit 1"], build=["echo built"]))
    found = build(folder, "--from-phase", "build")
    assert found["build_status"] == "SUCCEEDED"


def test_variables_come_from_files_and_secondary_sources_have_folders(tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "tool.txt").write_text("a tool\n")
    (tmp_path / "vars").write_text("# comment\nONE=1 and 'more'\nTWO=from file\n")
    folder = write(
        tmp_path / "demo", phases(build=['echo "$ONE|$TWO"', 'cat "$CODEBUILD_SRC_DIR_tools/tool.txt"'])
    )
    found = build(
        folder, "--env-file", "../vars", "--env", "TWO=2", "--source", f"tools={tmp_path / 'tools'}"
    )
    assert {"1 and 'more'|2", "a tool"} <= set(log(folder, found, "build").splitlines())


def test_a_source_that_is_a_repository_is_fetched_at_its_version(tmp_path: Path) -> None:
    folder = write(tmp_path / "demo", phases(build=["echo first"]))
    run = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-C", str(folder)]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"], ["tag", "v1"]):
        subprocess.run([*run, *words], check=True)
    write(folder, phases(build=["echo second"]))
    subprocess.run([*run, "commit", "-qam", "two"], check=True)
    found = build(folder, "--source-version", "v1")
    assert "first" in log(folder, found, "build").splitlines()


def test_a_place_that_is_none_is_a_mistake_of_usage(tmp_path: Path) -> None:
    folder = write(tmp_path / "demo", phases(build=["true"]))
    assert seatrial(folder, "build", "run", "--on", "moon").returncode == 2
    assert seatrial(folder, "build", "run", "--timeout", "soon").returncode == 2
    assert seatrial(folder, "build", "run", "--env", "CODEBUILD_X=1").returncode == 2
    found = build(folder, "--on", f"image:{tmp_path / 'nowhere'}")
    assert context(found, "PROVISIONING")[0] == "BUILD_CONTAINER_UNABLE_TO_PULL_IMAGE"


def test_a_breakpoint_stops_the_build_until_it_is_told_to_go_on(tmp_path: Path, where: list[str]) -> None:
    folder = write(tmp_path / "demo", phases(build=["X=7", "codebuild-breakpoint", "cat seen"]))
    ignored = build(folder, *where)
    assert "codebuild-breakpoint is ignored" in log(folder, ignored, "build")
    env = os.environ | {"SEATRIAL_HOME": str(tmp_path / "home"), "SEATRIAL_CACHE": str(tmp_path / "cache")}
    line = [
        sys.executable,
        "-m",
        "seatrial",
        "build",
        "run",
        str(folder),
        *where,
        "--breakpoint",
        "--project",
        "demo",
    ]
    with subprocess.Popen(line, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for said in process.stdout:
            if said.startswith("The build waits here."):
                break
        inside = seatrial(
            folder, "build", "shell", "latest", "--", "sh", "-c", "echo saw $X > seen; codebuild-resume"
        )
        assert inside.returncode == 0, inside.stderr
        assert "saw 7" in process.stdout.read()
        assert process.wait() == 0


def test_a_cache_never_reaches_folders_outside_of_the_build(tmp_path: Path) -> None:
    """Restoring replaces what is there; on the host that would be somebody's own."""
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "kept.txt").write_text("before")
    folder = tmp_path / "demo"
    write(
        folder,
        "version: 0.2\nphases: {build: {commands: ['mkdir -p own && date +%N > own/file']}}\n"
        f"cache: {{paths: ['{mine}/**/*', 'own/**/*']}}\n",
    )
    first = build(folder, "--on", "host")
    (mine / "kept.txt").write_text("after")
    second = build(folder, "--on", "host")
    assert first["build_status"] == second["build_status"] == "SUCCEEDED"
    assert (mine / "kept.txt").read_text() == "after"
    said = log(folder, second)
    assert f"Skipping cache path {mine}/**/*: it is outside of the build's own folders" in said
    assert "Unarchiving cache..." in said
