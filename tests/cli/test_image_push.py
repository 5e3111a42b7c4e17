"""`seatrial image push` and `image tags` as a person and a script use them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from support.faults import Fault, proxy
from support.layouts import image, two_platforms
from support.registries import need, running
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The command group is assembled elsewhere; this runs the commands with the same ends and exit codes.
_RUN = """
import sys
from seatrial.cli import image_push, image_tags
from seatrial.cli.failure import report_failure
command = {"push": image_push.push, "tags": image_tags.tags}[sys.argv.pop(1)]
try:
    code = command.main(standalone_mode=False)
except BaseException as error:
    code = report_failure(error)
sys.exit(code if isinstance(code, int) else 0)
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("registry")) as address:
        yield address


def _seatrial(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    places = {
        "HOME": str(tmp_path),
        "SEATRIAL_HOME": str(tmp_path / "home"),
        "SEATRIAL_CACHE": str(tmp_path / "cache"),
    }
    return subprocess.run(
        [sys.executable, "-c", _RUN, *arguments],
        env={**os.environ, **places, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_push_then_tags(host: str, tmp_path: Path) -> None:
    made = image(tmp_path / "image", seed=1)
    repository = f"{host}/cli/app"
    pushed = _seatrial(
        tmp_path, "push", str(tmp_path / "image"), f"{repository}:1.0", "--tag", "latest", "--json"
    )
    assert (pushed.returncode, pushed.stderr) == (0, "")
    [answer] = json.loads(pushed.stdout)["pushed"]
    assert answer["digest"] == made.digest
    assert answer["reference"] == f"{repository}@{made.digest}"
    assert answer["tags"] == ["1.0", "latest"]
    assert answer["pushed_bytes"] > 400_000

    again = _seatrial(tmp_path, "push", str(tmp_path / "image"), f"{repository}:1.0", f"{host}/cli/other:2")
    assert again.returncode == 0
    assert again.stdout.splitlines() == [f"{repository}@{made.digest}", f"{host}/cli/other@{made.digest}"]
    assert again.stderr.count("sent 0 B") == 2

    listed = _seatrial(tmp_path, "tags", repository, "--json")
    assert [tag["tag"] for tag in json.loads(listed.stdout)["tags"]] == ["latest", "1.0"]
    shown = _seatrial(tmp_path, "tags", repository)
    assert made.digest in shown.stdout.splitlines()[0]
    assert "2026-01-02T03:04:05Z" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["push", "image", "https://{host}/a:1"], 2, "a reference has no scheme"),
        (["push", "image", "{host}/a:1", "{host}/B:1"], 2, "write 'b' for 'B'"),
        (["push", "image", "{host}/a:1", "--tag", "x y"], 2, "'x y' is not a tag"),
        (["push", "image"], 2, "where to is not said"),
        (["push", "image", "{host}/a:1", "--bump", "major"], 2, "add --strategy semantic"),
        (["push", "image", "{host}/a", "--strategy", "semantic"], 2, "the strategy semantic needs git"),
        (["push", "image", "{host}/a:1", "--region", "eu-west-1"], 2, "none of the references has regions"),
        (["push", "image", "{host}/a:1", "--immutable"], 2, "add --create"),
        (["push", "image", "{host}/a:1", "--image", "api"], 2, "REF is given instead of them"),
        (["push", "absent", "{host}/a:1"], 1, "not an OCI image layout"),
        (["push", "both", "{host}/a:1", "--platform", "linux/s390x"], 1, "no image for linux/s390x"),
        (["push", "image", "127.0.0.1:1/a:1"], 1, "refuses the connection"),
        (["tags", "{host}/none"], 1, "has no repository none"),
        (["tags", "{host}/none:1"], 2, "give the repository alone"),
    ],
)
def test_what_goes_wrong_is_said_without_a_traceback(
    arguments: list[str], code: int, message: str, host: str, tmp_path: Path
) -> None:
    image(tmp_path / "image", seed=2)
    two_platforms(tmp_path / "both")
    done = _seatrial(tmp_path, *(argument.format(host=host) for argument in arguments), "-C", str(tmp_path))
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def _git(folder: Path, *arguments: str) -> None:
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_GLOBAL": "/dev/null"}
    for who in ("AUTHOR", "COMMITTER"):
        env |= {f"GIT_{who}_NAME": "ann", f"GIT_{who}_EMAIL": "ann@example.org"}
    subprocess.run(["git", *arguments], cwd=folder, env=env, check=True, capture_output=True)


def test_settings_say_where_to_and_git_says_the_tags(host: str, tmp_path: Path) -> None:
    need("git")
    project = tmp_path / "project"
    project.mkdir()
    made = image(project / "image", seed=3)
    (project / "seatrial.yaml").write_text(
        f"images: {{app: {{push: {{to: [{host}/cli/settings], strategy: semantic, floating: true}}}}}}\n"
    )
    _git(project, "init", "-q", "-b", "main")
    for message, tag in (("fix: one", "v1.4.2"), ("feat: two", "")):
        (project / message[:3]).write_text(message)
        _git(project, "add", "seatrial.yaml", message[:3])
        _git(project, "commit", "-q", "-m", message)
        if tag:
            _git(project, "tag", tag)

    ahead = _seatrial(tmp_path, "push", "image", "--dry-run", "-C", str(project))
    assert ahead.returncode == 0, ahead.stderr
    assert "tag 1.5.0: a minor version after 1.4.2" in ahead.stderr
    assert "would send 4 blobs" in ahead.stderr
    assert "has no repository" in _seatrial(tmp_path, "tags", f"{host}/cli/settings").stderr

    done = _seatrial(tmp_path, "push", "image", "--json", "-C", str(project))
    answer = json.loads(done.stdout)
    assert answer["pushed"][0]["tags"] == ["1.5.0", "1.5", "1"]
    assert [(one["tag"], one["fixed"]) for one in answer["decision"]["tags"]] == [
        ("1.5.0", True), ("1.5", False), ("1", False),
    ]  # fmt: skip
    assert any("git tag v1.5.0" in note for note in answer["decision"]["notes"])

    other = image(project / "image", seed=4)
    refused = _seatrial(tmp_path, "push", "image", "-C", str(project))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "1.5.0 is another image already" in refused.stderr
    listed = json.loads(_seatrial(tmp_path, "tags", f"{host}/cli/settings", "--json").stdout)
    assert {tag["digest"] for tag in listed["tags"]} == {made.digest}
    moved = _seatrial(tmp_path, "push", "image", "--replace", "-C", str(project))
    assert moved.stdout.strip().endswith(other.digest)

    (project / "fix").write_text("changed")
    dirty = _seatrial(tmp_path, "push", "image", "-C", str(project))
    assert (dirty.returncode, dirty.stdout) == (2, "")
    assert "changed or unknown to git: fix" in dirty.stderr


def test_one_of_several_fails(host: str, tmp_path: Path) -> None:
    made = image(tmp_path / "image", seed=5)
    references = [f"{host}/cli/several:1", "127.0.0.1:1/cli/several:1"]
    done = _seatrial(tmp_path, "push", str(tmp_path / "image"), *references, "--json")
    assert (done.returncode, done.stderr) == (1, "")
    answer = json.loads(done.stdout)
    assert [one["digest"] for one in answer["pushed"]] == [made.digest]
    [failure] = answer["failed"]
    assert failure["reference"] == "127.0.0.1:1/cli/several"
    assert "refuses the connection" in failure["error"]["what"]
    shown = _seatrial(tmp_path, "push", str(tmp_path / "image"), *references)
    assert shown.returncode == 1
    assert shown.stdout.splitlines() == [f"{host}/cli/several@{made.digest}"]
    assert "failed: 127.0.0.1:1/cli/several" in shown.stderr


def test_an_interrupt_ends_all_of_it(host: str, tmp_path: Path) -> None:
    image(tmp_path / "image", seed=6)
    with proxy(host) as one, proxy(host) as two:
        for front in (one, two):
            front.faults.append(
                Fault("PUT", "/blobs/uploads/", times=99, status=503, headers={"Retry-After": "100"})
            )
        places = {"HOME": str(tmp_path), "SEATRIAL_CACHE": str(tmp_path / "cache")}
        process = subprocess.Popen(
            [
                sys.executable, "-m", "seatrial", "image", "push", str(tmp_path / "image"),
                f"{one.host}/cut/app:1", f"{two.host}/cut/app:1",
            ],
            env={**os.environ, **places}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            for front in (one, two):
                until(lambda front=front: front.count("PUT", "/blobs/") > 0, "both wait")  # type: ignore[misc]
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=120)
        finally:
            process.kill()
            process.wait()
    assert (process.returncode, out, err.strip()) == (130, b"", b"interrupted")
