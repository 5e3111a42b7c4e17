"""The timeline of builds: phases, commands, what they fetched and replaced, and what is still to come."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from seatrial.builds import timeline, timeline_picture
from support.commands import seatrial

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

START = datetime(2026, 2, 14, 5, 51, 25, tzinfo=UTC)
# The build that took twenty minutes: phase, seconds, status.
PHASES = [
    ("SUBMITTED", 0, "SUCCEEDED"), ("QUEUED", 1, "SUCCEEDED"), ("PROVISIONING", 2, "SUCCEEDED"),
    ("DOWNLOAD_SOURCE", 5, "SUCCEEDED"), ("INSTALL", 10, "SUCCEEDED"), ("PRE_BUILD", 15, "SUCCEEDED"),
    ("BUILD", 902, "SUCCEEDED"), ("POST_BUILD", 180, "SUCCEEDED"), ("UPLOAD_ARTIFACTS", 1, "SUCCEEDED"),
    ("FINALIZING", 2, "SUCCEEDED"), ("COMPLETED", 0, None),
]  # fmt: skip

LOG = """\
[Container] 2026/02/14 05:51:58.000000 Entering phase BUILD
[Container] 2026/02/14 05:51:58.000000 Running command echo "Building <image> & more"
Building <image> & more
[Container] 2026/02/14 05:52:00.500000 Running command docker build -t fsdp:test .
#5 sha256:0a1b 28.00MB / 28.00MB 0.9s done
#5 sha256:0c1d 12.00MB / 99.00MB 0.9s
Fetched 40.0 MB in 4s (10.0 MB/s)
Collecting torch==2.7.1
  Downloading torch-2.7.1-cp311-cp311-manylinux_2_28_x86_64.whl (821.0 MB)
     ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━ 821.0/821.0 MB 130.0 MB/s eta 0:00:00
  Attempting uninstall: nvidia-cublas-cu12
    Found existing installation: nvidia-cublas-cu12 12.4.5.8
    Uninstalling nvidia-cublas-cu12-12.4.5.8:
      Successfully uninstalled nvidia-cublas-cu12-12.4.5.8
      Successfully uninstalled Same_Name-1.0
Successfully installed nvidia-cublas-cu12-12.6.4.1 same-name-1.0 torch-2.7.1
[Container] 2026/02/14 06:06:59.000000 Running command docker images \\
  --all
fsdp   test
[Container] 2026/02/14 06:07:00.000000 Phase complete: BUILD State: SUCCEEDED
"""


def build(
    phases: Sequence[tuple[str, float, str | None]], logs: dict[str, str] | None = None, message: str = "", **over: Any
) -> dict[str, Any]:  # fmt: skip
    """A build as `build run --json` prints it."""
    moment, stages = START, []
    for name, seconds, status in phases:
        end = moment + timedelta(seconds=seconds)
        ran = status is not None or name == "COMPLETED"
        ended = ran and status != "IN_PROGRESS"
        code = {"statusCode": "COMMAND_EXECUTION_ERROR", "message": message} if status == "FAILED" else {"statusCode": "", "message": ""}  # fmt: skip
        attempts = [{"log": (logs or {}).get(name)}]
        stages.append(
            {
                "name": name, "status": "pass", "phase_status": status, "contexts": [code] if status else [],
                "started": moment.isoformat() if ran else None, "ended": end.isoformat() if ended else None,
                "duration": seconds if ended else None, "steps": [{"attempts": attempts}],
            }
        )  # fmt: skip
        moment = end
    running = any(status == "IN_PROGRESS" for _, _, status in phases)
    return {
        "id": "20260214-055125-abcdef", "name": "pytorch-fsdp", "status": "running" if running else "succeeded",
        "build_status": "IN_PROGRESS" if running else "SUCCEEDED", "started": START.isoformat(),
        "ended": None if running else moment.isoformat(), "interrupted": False, "stages": stages, "outputs": {}, **over,
    }  # fmt: skip


@pytest.fixture
def finished(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "log").write_text(LOG)
    return build(PHASES, {"BUILD": str(tmp_path / "log")})


def test_phases_have_start_duration_and_status(finished: dict[str, Any]) -> None:
    found = timeline.data(finished)

    assert [(one.name, one.offset, one.duration) for one in found.phases if one.name in ("SUBMITTED", "BUILD", "POST_BUILD")] == [
        ("SUBMITTED", 0, 0), ("BUILD", 33, 902), ("POST_BUILD", 935, 180)
    ]  # fmt: skip
    assert found.duration == 1118
    shown = timeline.text(found)
    assert "BUILD             SUCCEEDED     33.0 s   15m02s" in shown


def test_commands_tell_how_long_they_took_and_what_they_fetched_and_replaced(
    finished: dict[str, Any],
) -> None:
    found = timeline.data(finished)

    commands = next(one.commands for one in found.phases if one.name == "BUILD")
    assert [(one.duration, one.fetched) for one in commands] == [(2.5, 0), (898.5, 889_000_000), (1, 0)]
    assert commands[1].throughput == int(889_000_000 / 898.5)
    assert [tuple(one) for one in timeline.replaced(found)] == [
        ("nvidia-cublas-cu12", "12.4.5.8", "12.6.4.1")
    ]
    shown = timeline.text(found)
    assert "slow: 14m58s in BUILD: docker build -t fsdp:test ." in shown
    assert "fetched 889.0 MB" in shown
    assert "replaced packages: nvidia-cublas-cu12 12.4.5.8 -> 12.6.4.1" in shown


def test_a_failure_shows_its_context_and_phases_that_did_not_run(tmp_path: Path) -> None:
    phases = [*PHASES[:4], ("INSTALL", 3, "FAILED"), ("BUILD", 0, None), PHASES[-2], PHASES[-1]]

    shown = timeline.text(timeline.data(build(phases, message="Error while executing command: false. Reason: exit status 1\x1b[2J")))  # fmt: skip

    assert "INSTALL           FAILED" in shown
    assert "COMMAND_EXECUTION_ERROR: Error while executing command: false. Reason: exit status 1" in shown
    assert "\x1b" not in shown
    assert "BUILD             not run\n" in shown


def test_what_is_still_to_come_is_the_median_of_earlier_builds() -> None:
    earlier = [
        build(
            [("INSTALL", 10, "SUCCEEDED"), ("BUILD", seconds, "SUCCEEDED"), ("POST_BUILD", 30, "SUCCEEDED")]
        )
        for seconds in (100, 120, 900)
    ]
    running = build([("INSTALL", 11, "SUCCEEDED"), ("BUILD", 0, "IN_PROGRESS"), ("POST_BUILD", 0, None)])

    found = timeline.data(running, earlier=earlier, now=(START + timedelta(seconds=31)).timestamp())

    # BUILD has run for 20 of 120 seconds, POST_BUILD takes 30.
    assert found.eta is not None
    assert (found.eta.remaining, found.eta.runs) == (130, 3)
    assert "POST_BUILD        to come\n" in timeline.text(found)
    assert "still about 2m10s, as the median of 3 earlier builds has it" in timeline.text(found)
    assert timeline.data(build(PHASES), earlier=earlier).eta is None
    assert timeline.data(running, now=START.timestamp()).eta is None


def test_the_picture_is_one_file_of_xml_that_loads_nothing(finished: dict[str, Any]) -> None:
    finished["name"] = 'evil <script>alert(1)</script> & "\x00'

    drawn = timeline_picture.svg(timeline.data(finished))

    root = ET.fromstring(drawn)
    assert not [
        one
        for one in root.iter()
        if one.tag.rpartition("}")[2] not in ("svg", "title", "style", "rect", "line", "text")
    ]
    words = " ".join("".join(one.itertext()) for one in root.iter() if one.tag.endswith("text"))
    assert "evil <script>alert(1)</script> &" in words
    assert "DOWNLOAD_SOURCE" in words
    assert "15m02s" in words
    assert "prefers-color-scheme:dark" in drawn
    assert "http" not in drawn.replace("http://www.w3.org/2000/svg", "")
    build_bar = next(
        one
        for one in root.iter()
        if one.get("class") == "SUCCEEDED" and "".join(one.itertext()).startswith("BUILD")
    )
    # 902 of 1118 seconds.
    assert float(build_bar.get("width", "0")) / (960 - 270 - 90) == pytest.approx(902 / 1118, abs=0.01)


def test_the_page_escapes_commands_and_has_no_script(finished: dict[str, Any]) -> None:
    shown = timeline_picture.html(timeline.data(finished))

    assert "echo &quot;Building &lt;image&gt; &amp; more&quot;" in shown
    assert "<script" not in shown
    assert "default-src 'none'" in shown


def test_a_log_of_200_000_lines_is_read_at_once_and_a_long_line_is_no_obstacle(tmp_path: Path) -> None:
    line = "x" * 200
    (tmp_path / "log").write_text(
        LOG.replace(
            "fsdp   test\n",
            f"{line}\n" * 200_000 + "y" * 3_000_000 + "[Container] 2026/02/14 06:06:59.5 no\n",
        )
    )

    found = timeline.data(build(PHASES, {"BUILD": str(tmp_path / "log")}))

    assert [one.duration for one in found.phases[6].commands] == [2.5, 898.5, 1]


def test_the_command_line_shows_a_build_that_ran_here(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "buildspec.yml").write_text(
        "version: 0.2\nphases:\n  build:\n    commands:\n      - echo hello\n      - exit 3\n"
    )
    assert "no build has run here yet" in seatrial(project, "build", "timeline").stderr
    assert seatrial(project, "build", "run", ".", "--on", "host").returncode == 1

    shown = seatrial(project, "build", "timeline", "latest")
    data = json.loads(seatrial(project, "build", "timeline", "--json").stdout)
    drawn = seatrial(project, "build", "timeline", "--svg", "t.svg", "--html", "t.html")

    assert shown.returncode == 0, shown.stderr
    assert (
        "COMMAND_EXECUTION_ERROR: Error while executing command: exit 3. Reason: exit status 3"
        in shown.stdout
    )
    (phase,) = [one for one in data["phases"] if one["name"] == "BUILD"]
    assert phase["status"] == "FAILED"
    assert [one["command"] for one in phase["commands"]] == ["echo hello", "exit 3"]
    assert drawn.returncode == 0
    ET.parse(project / "t.svg")
    assert "exit 3" in (project / "t.html").read_text()
