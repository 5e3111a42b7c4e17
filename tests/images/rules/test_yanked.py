"""Pins of releases that were withdrawn."""

from __future__ import annotations

from support.image_checks import applied, findings


def test_a_withdrawn_release_is_a_warning_with_its_neighbours() -> None:
    files = {"requirements.txt": "transformers == 4.57.0  # for the tokenizer\n"}
    (found,) = findings(files, "image/yanked")

    assert (found.severity, found.line, found.column) == ("warning", 1, 1)
    assert "Error in the setup" in found.message
    assert found.fix is not None
    assert applied(files, found.fix)["requirements.txt"] == "transformers == 4.57.1  # for the tokenizer\n"


def test_a_range_that_allows_it_is_left_alone() -> None:
    assert not findings({"requirements.txt": "transformers>=4.57\n"}, "image/yanked")


def test_a_release_that_stands_is_left_alone() -> None:
    assert not findings({"requirements.txt": "transformers==4.57.1\n"}, "image/yanked")
