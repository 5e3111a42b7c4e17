"""Causes before consequences, nothing for what went well, no secrets, and big logs."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from seatrial.diagnosis import loading
from seatrial.diagnosis.explain import explain
from seatrial.diagnosis.model import Context

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OWN = """\
- id: tank-empty
  service: system
  title: The tank is empty
  patterns: ['tank (?P<name>\\w+) ran dry']
  cause: 'Tank {name} is empty.'
  fix: {text: 'Fill {name}.'}
  confidence: high
- id: pump-stopped
  service: system
  title: The pump stopped
  patterns: ['pump stopped unexpectedly']
  cause: 'The pump stopped.'
  fix: {text: 'Start the pump.'}
  rank: consequence
  confidence: high
- id: wheel-broken
  service: system
  title: The wheel broke
  patterns: [{lines: ['^wheel report', 'spoke (?P<number>\\d+) snapped'], within: 5}]
  cause: 'Spoke {number} broke.'
  fix: {text: 'Replace it.'}
  follows: [tank-empty]
- id: killed-here
  service: system
  title: Killed
  patterns: ['^oarsman gone$']
  needs: {exit_code: [137]}
  cause: 'It was killed.'
  fix: {text: 'Give it more.'}
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("own") / "own.yaml"
    file.write_text(OWN)
    return file


def ids(log: str | bytes, own: Path, context: Context | None = None) -> list[str]:
    return [one.id for one in explain(log, signatures=loading.read(own), context=context).causes]


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("pump stopped unexpectedly\ntank a ran dry\n", ["tank-empty"]),
        ("tank a ran dry\nwheel report\nx\nspoke 3 snapped\n", ["tank-empty"]),
        (
            "wheel report\nx\nspoke 3 snapped\n" + "x\n" * 3 + "tank a ran dry\n",
            ["wheel-broken", "tank-empty"],
        ),
        ("wheel report\nx\nspoke 3 snapped\n" + "x\n" * 2 + "tank a ran dry\n", ["tank-empty"]),
        ("wheel report\n" + "x\n" * 6 + "spoke 3 snapped\n", []),
        ("a | wheel report\nb | spoke 3 snapped\n", []),
        ("a | wheel report\nb | other\na | spoke 3 snapped\n", ["wheel-broken"]),
        ("pump stopped unexpectedly\n", ["pump-stopped"]),
        ("tank a ran dry\nall phases\nPhase complete: BUILD State: SUCCEEDED\n", []),
        (
            "tank a ran dry\nPhase complete: BUILD State: FAILED\nPhase complete: UPLOAD_ARTIFACTS State: SUCCEEDED\n",
            ["tank-empty"],
        ),
        ("oarsman gone\n", []),
        ("oarsman gone\nexit status 137\n", ["killed-here"]),
        ("\x1b[1mtank\x1b[0m a ran\x1b[31m dry\r\n", ["tank-empty"]),
        (" 10%\r tank b ran dry\r 20%\n", ["tank-empty"]),
    ],
)
def test_the_first_cause_comes_first(own: Path, log: str, expected: list[str]) -> None:
    assert ids(log, own)[: len(expected) or 1] == expected


def test_what_is_known_of_the_exit_decides(own: Path) -> None:
    assert ids("tank a ran dry\n", own, Context(exit_code=0)) == []
    assert ids("oarsman gone\n", own, Context(exit_code=137)) == ["killed-here"]


def test_repeated_errors_are_one_cause_with_their_count(own: Path) -> None:
    log = "".join(f"2024-05-05T10:00:{i:02}Z tank {name} ran dry\n" for i, name in enumerate("aaab"))

    cause = explain(log, signatures=loading.read(own)).causes[0]

    assert (cause.count, cause.evidence.line, [one.line for one in cause.others]) == (4, 1, [4])


def test_nothing_known_gives_the_lines_that_tell_most_without_secrets() -> None:
    noise = "".join(f"step {i} fine\n" for i in range(3000))
    log = noise + "FrobnicationError: cannot frob the gizmo, token=abcdef0123456\n" + noise

    found = explain(log, context=Context(secrets=("gizmo",)))

    assert not found.causes
    assert (3001, "FrobnicationError: cannot frob the ***, token=***") in [
        (one.line, one.text) for one in found.lines
    ]


def test_a_cause_is_found_wherever_it_is_in_a_big_log_of_one_kind(own: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield from itertools.repeat(b"INFO moved 1 of 9 to tank x in 0.3 s\n" * 5000, 20)
        yield b"tank last ran dry\n"
        yield from itertools.repeat(b"INFO moved 1 of 9 to tank x in 0.3 s\n" * 5000, 20)

    cause = explain(chunks(), signatures=loading.read(own)).causes[0]

    assert (cause.evidence.line, cause.cause) == (100_001, "Tank last is empty.")


@pytest.mark.parametrize("number", ["7", "1234567", "c0ffee12ab", "0f0f-beef"])
def test_numbers_are_part_of_what_a_cause_is_told_by(tmp_path: Path, number: str) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(OWN.replace("tank (?P<name>\\w+) ran dry", f"tank {number} of (?P<name>\\w+) ran dry"))
    other = "".join(f"tank {i:x} of 9 ran dry {i * 7919:x}\n" for i in range(40, 99))

    found = explain(f"{other}tank {number} of c0de ran dry\n{other}", signatures=loading.read(file))

    assert [(one.evidence.line, one.captures) for one in found.causes] == [(60, {"name": "c0de"})]


def test_a_line_without_an_end_is_read_in_pieces(own: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield from itertools.repeat(b"lorem ipsum dolor " * 4000, 60)
        yield b"tank long ran dry"
        yield from itertools.repeat(b" lorem ipsum dolor" * 4000, 60)

    found = explain(chunks(), signatures=loading.read(own))

    assert (found.causes[0].cause, found.causes[0].evidence.line, found.total) == (
        "Tank long is empty.",
        1,
        1,
    )
    assert len(found.causes[0].evidence.text) <= 400


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_where_chunks_end_changes_nothing(own: Path, size: int) -> None:
    log = b"first\nsecond\r\n\ntank a ran dry\nlast"

    found = explain((log[i : i + size] for i in range(0, len(log), size)), signatures=loading.read(own))

    assert (found.causes[0].evidence.line, found.total) == (4, 5)


def test_an_empty_log_has_no_cause() -> None:
    assert explain(b"").causes == ()
    assert explain(b"").total == 0


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        ("widget broke: spring", "The widget is broken: spring."),
        ("widget broke", "The widget is broken."),
        ("widget broke: (spring)", "The widget is broken (spring)."),
    ],
)
def test_a_capture_that_may_be_missing_is_set_off_from_the_word_before_it(
    tmp_path: Path, log: str, cause: str
) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(
        "- id: widget-broken\n  service: system\n  title: Broken\n"
        "  patterns: ['widget broke(?:: (?P<part>.+))?']\n"
        "  cause: 'The widget is broken{part|}.'\n  fix: {text: Mend it.}\n  source: a test\n"
        "  examples: ['widget broke']\n  counter_examples: ['widget works']\n"
    )
    (found,) = explain(log.encode(), signatures=loading.read(file)).causes
    assert found.cause == cause
