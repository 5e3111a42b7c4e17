"""Signatures as data: each explains its examples first and no counter-example; a bad file is refused with its place."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from seatrial.diagnosis import loading
from seatrial.diagnosis.explain import explain
from seatrial.errors import UsageError

SIGNATURES = loading.builtin()
SERVICES = sorted({one.service for one in SIGNATURES})
ROOT = Path(__file__).parents[2]
GOOD = """\
- id: disk-of-ours-full
  service: system
  title: The disk is full
  patterns: ['scratch volume (?P<name>[a-z]+) is full']
  cause: '{name} is full{{}} on {host|this host}.'
  fix: {text: 'Empty {name}; ${HOME} stays.'}
  confidence: high
"""


@pytest.mark.parametrize("service", SERVICES)
def test_signatures_explain_their_examples_and_nothing_near(service: str) -> None:
    wrong = []
    for one in (one for one in SIGNATURES if one.service == service):
        if not (one.examples and one.counter_examples):
            wrong.append(f"{one.origin}: {one.id} has no example or no counter-example")
        for text in one.examples:
            found = [cause.id for cause in explain(text).causes]
            if found[:1] != [one.id]:
                wrong.append(f"{one.origin}: {one.id} is explained by {found}: {text}")
        wrong += [
            f"{one.origin}: {one.id} explains its counter-example: {text}"
            for text in one.counter_examples
            if explain(text, signatures=(one,)).causes
        ]

    assert not wrong, "\n".join(wrong)


def test_the_reference_page_has_every_cause() -> None:
    page = (ROOT / "docs" / "reference" / "signatures.md").read_text(encoding="utf-8")
    current = runpy.run_path(str(ROOT / "scripts" / "signature_table.py"))["page"](page)

    assert page == current, "run `python scripts/signature_table.py`"


def test_what_follows_from_something_names_what_exists() -> None:
    ids = {one.id for one in SIGNATURES}

    assert {name for one in SIGNATURES for name in one.follows} <= ids


@pytest.mark.parametrize(
    ("template", "captures", "text"),
    [
        ("Role {name|} may not {what|}.", {}, "Role may not."),
        ("{name|} stopped ({why|see it})", {}, "stopped (see it)"),
        ("Role {name} stopped", {"name": "a/b."}, "Role a/b stopped"),
        ("at {one,other|x} ({why|})", {"other": "y", "why": " no "}, "at y (no)"),
    ],
)
def test_a_text_reads_well_with_and_without_its_captures(
    template: str, captures: dict[str, str | None], text: str
) -> None:
    assert loading.fill(template, captures) == text


def test_a_file_of_ones_own_is_used(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(GOOD)

    found = explain("scratch volume alpha is full\n", signatures=loading.load([file])).causes[0]

    assert (found.id, found.cause, found.fix) == (
        "disk-of-ours-full",
        "alpha is full{} on this host.",
        "Empty alpha; ${HOME} stays.",
    )


def test_ones_own_signature_replaces_the_one_of_that_name(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(GOOD.replace("disk-of-ours-full", "no-space-left"))

    known = loading.load([file])

    assert [one.title for one in known if one.id == "no-space-left"] == ["The disk is full"]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("(?P<name>[a-z]+)", "(?P<name>[a-z]+", "no regular expression"),
        ("'scratch volume (?P<name>[a-z]+) is full'", r"'^\d+$'", "without any fixed word"),
        ("'scratch", "'.*scratch", "begins with any text"),
        ("{name} is full", "{nam} is full", "no capture"),
        ("id: disk", "id: Disk", "the id must be"),
        ("service: system", "servce: system", "servce"),
        ("confidence: high", "confidence: sure", "sure"),
        ("- id: disk-of-ours-full", "id: disk-of-ours-full", "own.yaml"),
        ("  title: The disk is full\n", "", "title"),
    ],
)
def test_a_bad_signature_is_refused_with_its_place(tmp_path: Path, old: str, new: str, says: str) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(GOOD.replace(old, new))

    with pytest.raises(UsageError) as caught:
        loading.read(file)

    assert says in str(caught.value)
    assert str(file) in str(caught.value.where)


def test_a_file_without_signatures_is_no_mistake_and_one_that_is_absent_is(tmp_path: Path) -> None:
    empty = tmp_path / "empty.yaml"
    empty.write_text("# nothing yet\n")

    assert loading.read(empty) == ()
    with pytest.raises(UsageError):
        loading.read(tmp_path / "absent.yaml")
