"""Signatures as data: each explains its examples first and no counter-example; a bad file is refused with its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from seatrial.diagnosis import loading
from seatrial.diagnosis.explain import explain
from seatrial.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.diagnosis.model import Signature

SIGNATURES = loading.builtin()
GOOD = """\
- id: disk-of-ours-full
  service: system
  title: The disk is full
  patterns: ['scratch volume (?P<name>[a-z]+) is full']
  cause: '{name} is full{{}} on {host|this host}.'
  fix: {text: 'Empty {name}; ${HOME} stays.'}
  confidence: high
"""


@pytest.mark.parametrize("one", SIGNATURES, ids=lambda one: one.id)
def test_a_signature_explains_its_examples_and_nothing_near(one: Signature) -> None:
    assert one.examples
    assert one.counter_examples
    for text in one.examples:
        assert [cause.id for cause in explain(text).causes[:1]] == [one.id], text
    for text in one.counter_examples:
        assert not explain(text, signatures=(one,)).causes, text


def test_what_follows_from_something_names_what_exists() -> None:
    ids = {one.id for one in SIGNATURES}

    assert {name for one in SIGNATURES for name in one.follows} <= ids


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
