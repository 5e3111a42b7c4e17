"""What a build has kept for the next one can be seen and forgotten."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from support.commands import seatrial

if TYPE_CHECKING:
    from pathlib import Path

SPEC = """version: 0.2
phases:
  build:
    commands:
      - if [ -e kept/file ]; then echo was kept; else mkdir kept; date > kept/file; fi
cache: {key: one, paths: [kept]}
"""


def test_local_caches_are_listed_and_cleared(tmp_path: Path) -> None:
    project = tmp_path / "app"
    project.mkdir()
    (project / "buildspec.yml").write_text(SPEC)
    assert "\nwas kept\n" not in seatrial(project, "build", "run").stdout
    assert "\nwas kept\n" in seatrial(project, "build", "run").stdout

    [cache] = json.loads(seatrial(project, "build", "cache", "--json").stdout)["caches"]
    shown = seatrial(project, "build", "cache").stdout
    cleared = seatrial(project, "build", "cache", "--clear")

    assert (cache["key"], cache["files"]) == ("one", 1)
    assert cache["size"] > 0
    assert shown.rstrip().endswith("one")
    assert cleared.stdout == "forgot 1 of 1 caches of app\n"
    assert seatrial(project, "build", "cache").stdout == "app has no local caches\n"
    assert "\nwas kept\n" not in seatrial(project, "build", "run").stdout


def test_caches_of_another_project_stay(tmp_path: Path) -> None:
    project = tmp_path / "app"
    project.mkdir()
    (project / "buildspec.yml").write_text(SPEC)
    seatrial(project, "build", "run")

    cleared = seatrial(project, "build", "cache", "--project", "other", "--clear", "--json")

    assert json.loads(cleared.stdout) == {"project": "other", "cleared": 0}
    assert len(json.loads(seatrial(project, "build", "cache", "--json").stdout)["caches"]) == 1
