"""A build in an image without bash or GNU tools comes out the same whichever runtime runs the image."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from support import debian, roots
from support.built import build, context, living, log, phases, statuses, write
from support.engines import containers, docker
from support.registries import need

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SPEC = """
version: 0.2
env:
  variables: {A: one}
  exported-variables: [B, WHO, WHERE, LEFT]
phases:
  install:
    commands:
      - (while :; do date > "$CODEBUILD_SRC_DIR/beat"; sleep 0.05; done) &
      - WHO=$(id -u):$HOME
      - cd sub
  pre_build:
    run-as: app
    commands: ["id -un > /tmp/who.txt"]
  build:
    commands:
      - B=$A-two WHERE=${PWD##*/} LEFT=$(cat /tmp/who.txt)
      - touch /bin/of-the-image
      - rm -f ../beat; n=0; until [ -e ../beat ] || [ $n -gt 100 ]; do n=$((n+1)); sleep 0.05; done; test -e ../beat
      - echo made > ../made.txt
artifacts: {files: [made.txt]}
"""


@pytest.fixture(scope="module", params=["bwrap", "runc", "podman", "docker"])
def runtime(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, dict[str, str]]]:
    folder = tmp_path_factory.mktemp("engine")
    if request.param == "docker":
        with docker(folder / "docker") as environment:
            yield "docker", environment
        return
    debian.needs_bwrap() if request.param == "bwrap" else need(request.param)
    yield request.param, containers(folder / "podman") if request.param == "podman" else {}


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    folder = write(tmp_path / "demo", SPEC)
    (folder / "sub").mkdir()
    (folder / "sub" / "given.txt").write_text("given")
    roots.alpine_like(tmp_path / "image")
    return folder


def test_a_build_in_an_image(runtime: tuple[str, dict[str, str]], demo: Path, tmp_path: Path) -> None:
    name, environment = runtime
    place = ["--on", f"image:{tmp_path / 'image'}", "--runtime", name, "--artifacts", str(tmp_path / "out")]
    found = build(demo, *place, **environment)
    assert set(statuses(found).values()) == {"SUCCEEDED", None}, log(demo, found)
    assert found["outputs"]["exported_variables"] == {
        "B": "one-two",
        "WHO": "0:/root",
        "WHERE": "sub",
        "LEFT": "app",
    }
    assert (tmp_path / "out" / "made.txt").read_text() == "made\n"
    assert not living(f"/{found['id']}", "cmdline")


def test_a_stop_at_the_time_limit_leaves_no_container(
    runtime: tuple[str, dict[str, str]], tmp_path: Path
) -> None:
    name, environment = runtime
    folder = write(tmp_path / "demo", phases(build=[f"echo begun; sleep {600 + os.getpid()}"]))
    roots.alpine_like(tmp_path / "image")
    place = ["--on", f"image:{tmp_path / 'image'}", "--runtime", name, "--timeout", "4s"]
    found = build(folder, *place, **environment)
    assert context(found, "BUILD")[0] == "BUILD_TIMED_OUT", log(folder, found)
    assert "begun" in log(folder, found, "build")
    assert not living(str(600 + os.getpid()), "cmdline")
    assert found["held"] == []
