"""`seatrial explain`, as it is called."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

from support.commands import seatrial

if TYPE_CHECKING:
    from pathlib import Path

OWN = """\
- id: tank-empty
  service: system
  title: The tank is empty
  patterns: ['tank (?P<name>\\w+) ran dry']
  cause: 'Tank {name} is empty.'
  fix: {text: 'Fill {name}.', command: 'fill {name}'}
  confidence: high
"""


def test_the_cause_of_a_log_in_every_form(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(OWN)
    (tmp_path / "seatrial.yaml").write_text("explain:\n  signatures: [own.yaml]\n")
    (tmp_path / "log.gz").write_bytes(gzip.compress(b"one\n2024-05-05T10:00:00Z tank a ran dry\n"))

    plain = seatrial(tmp_path, "explain", "log.gz")
    data = seatrial(tmp_path, "explain", "log.gz", "--json")
    marked = seatrial(tmp_path, "explain", "log.gz", "--markdown")
    annotated = seatrial(tmp_path, "explain", "log.gz", "--github")

    assert [one.returncode for one in (plain, data, marked, annotated)] == [0, 0, 0, 0], plain.stderr
    cause = json.loads(data.stdout)["causes"][0]
    assert (cause["id"], cause["confidence"], cause["fix"]) == ("tank-empty", "high", "Fill a.")
    assert cause["evidence"]["line"] == 2
    assert cause["evidence"]["text"] == "tank a ran dry"
    assert "log.gz:2: tank a ran dry" in plain.stdout
    assert "**Fix:** Fill a." in marked.stdout
    assert annotated.stdout.startswith("::error title=The tank is empty::Tank a is empty.%0ALine 2")


def test_nothing_known_is_an_answer_too(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("ok\nFrobnicationError: cannot frob 12\n")

    done = seatrial(tmp_path, "explain", "log", "--json")

    assert done.returncode == 1
    data = json.loads(done.stdout)
    assert data["causes"] == []
    assert "FrobnicationError: cannot frob 12" in [line["text"] for line in data["lines"]]


def test_what_was_learned_explains_the_log_it_was_learned_from(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("ok\nFrobnicationError: cannot frob 12 of '/a/b c'\n")
    (tmp_path / "other").write_text("FrobnicationError: cannot frob 7 of 'x'\n")

    learned = seatrial(tmp_path, "explain", "--learn", "log")
    (tmp_path / "own.yaml").write_text(learned.stdout)
    done = seatrial(tmp_path, "explain", "other", "--signatures", "own.yaml", "--json")

    assert json.loads(done.stdout)["causes"][0]["captures"] == {"number": "7", "quoted": "x"}


def test_what_is_neither_a_file_nor_a_run_is_refused(tmp_path: Path) -> None:
    absent = seatrial(tmp_path, "explain", "absent.log")
    both = seatrial(tmp_path, "explain", "a", "--build-id", "p:1")

    assert (absent.returncode, both.returncode) == (2, 2)
    assert "neither a file nor a run" in absent.stderr


def test_a_failed_run_says_why_by_itself(tmp_path: Path) -> None:
    (tmp_path / "buildspec.yml").write_text(
        "version: 0.2\nphases:\n  build:\n    commands:\n      - python3 -c 'import nosuchmodule_x'\n"
    )

    built = seatrial(tmp_path, "build", "run", ".", "--json")
    shown = seatrial(tmp_path, "runs", "show", "latest")
    asked = seatrial(tmp_path, "explain", "latest", "--json")

    assert built.returncode == 1, built.stderr
    cause = json.loads(built.stdout)["explanation"]["causes"][0]
    assert "nosuchmodule_x" in cause["evidence"]["text"]
    assert f"[{cause['id']}]" in shown.stdout
    assert json.loads(asked.stdout)["causes"][0]["id"] == cause["id"]
