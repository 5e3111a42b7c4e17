"""What `check` says about a seatrial.yaml: rule, place, and an edit that really puts it right."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from seatrial.config import RULES, check_text
from seatrial.sources import edits
from seatrial.sources.text import Source

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.findings import Finding


class Case(NamedTuple):
    """A text, what must be found at which place, and the text after the safe fixes."""

    text: str
    rule: str
    place: tuple[int, int]
    says: str
    fixed: str | None = None


CASES = {
    "misspelt at the top": Case(
        "imagse:\n  api: {}\n", "config/unknown-key", (1, 1), "images", "images:\n  api: {}\n"
    ),
    "singular": Case(
        "images:\n  api:\n    requirement: [r.txt]  # ours\n",
        "config/unknown-key",
        (3, 5),
        "requirements",
        "images:\n  api:\n    requirements: [r.txt]  # ours\n",
    ),
    "hyphen for underscore": Case(
        "services:\n  api:\n    start-timeout: 5\n",
        "config/unknown-key",
        (3, 5),
        "start_timeout",
        "services:\n  api:\n    start_timeout: 5\n",
    ),
    "a capability that is not there": Case("harness: {}\n", "config/unknown-key", (1, 1), "there are images"),
    "a rename would make a second one": Case(
        "check: {}\nchekc: {}\n", "config/unknown-key", (2, 1), "check", "check: {}\nchekc: {}\n"
    ),
    "one text for a list": Case(
        "images:\n  api:\n    requirements: r.txt\n",
        "config/wrong-type",
        (3, 19),
        "must be a list",
        "images:\n  api:\n    requirements: [r.txt]\n",
    ),
    "a command line": Case(
        "images: {api: {entrypoint: python serve.py}}\n", "config/wrong-type", (1, 28), "a list"
    ),
    "quoted truth": Case(
        'images: {api: {bytecode: "no"}}\n',
        "config/wrong-type",
        (1, 26),
        "true or false",
        "images: {api: {bytecode: false}}\n",
    ),
    "quoted number": Case(
        "services: {api: {port: '8080'}}\n",
        "config/wrong-type",
        (1, 24),
        "whole number",
        "services: {api: {port: 8080}}\n",
    ),
    "a number where a text is wanted": Case(
        "images: {api: {test: {imports: [1.5]}}}\n",
        "config/wrong-type",
        (1, 33),
        "a text",
        "images: {api: {test: {imports: ['1.5']}}}\n",
    ),
    "port out of range": Case(
        "services: {api: {port: 80000}}\n", "config/wrong-value", (1, 24), "at most 65535"
    ),
    "nearly a level": Case(
        "images: {api: {test: {level: standart}}}\n",
        "config/wrong-value",
        (1, 30),
        "full, quick, standard",
        "images: {api: {test: {level: standard}}}\n",
    ),
    "not a number": Case("ship: {timeouts: {push: .nan}}\n", "config/wrong-value", (1, 25), "finite"),
    "a name with capitals": Case("images: {Api: {}}\n", "config/wrong-value", (1, 10), "must match"),
    "two bases": Case(
        "images: {api: {base: {debian: bookworm, oci: x}}}\n", "config/wrong-value", (1, 22), "exactly one"
    ),
    "a platform of a list": Case(
        "images: {api: {platform: [linux/amd64, windows/amd64]}}\n",
        "config/wrong-value",
        (1, 40),
        "must match",
    ),
    "twice": Case("check: {}\ncheck: {}\n", "config/duplicate-key", (2, 1), "twice"),
    "no such image": Case(
        "images: {model: {}}\nservices: {api: {image: modle}}\n",
        "config/unknown-reference",
        (2, 25),
        "model",
        "images: {model: {}}\nservices: {api: {image: model}}\n",
    ),
    "which image": Case(
        "images: {one: {}, two: {}}\nservices: {api: {port: 1}}\n", "config/wrong-value", (2, 17), "one, two"
    ),
    "a list": Case("- images\n", "config/syntax", (1, 1), "mapping"),
    "an open bracket": Case("images: [\n", "config/syntax", (2, 1), ""),
    "a tab": Case("images:\n\tapi: {}\n", "config/syntax", (2, 1), ""),
    "two documents": Case("check: {}\n---\ncheck: {}\n", "config/syntax", (3, 1), "one YAML document"),
    "a list as a key": Case("images: {[a]: {}}\n", "config/syntax", (1, 10), ""),
    "an alias of itself": Case("images: &a\n  api: *a\n", "config/syntax", (1, 9), "part of"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_mistake_is_found_where_it_is(case: Case) -> None:
    found = check_text("seatrial.yaml", case.text)

    assert [one.rule for one in found] == [case.rule]
    assert (found[0].line, found[0].column) == case.place
    assert case.says in found[0].message
    assert found[0].path == "seatrial.yaml"


@pytest.mark.parametrize(
    "case",
    [one for one in CASES.values() if one.fixed],
    ids=[name for name, one in CASES.items() if one.fixed],
)
def test_the_safe_fix_leaves_nothing_but_what_was_meant(case: Case) -> None:
    fixed = _with_safe_fixes(case.text, check_text("seatrial.yaml", case.text))

    assert fixed == case.fixed
    if fixed != case.text:
        assert check_text("seatrial.yaml", fixed) == []


def test_every_mistake_is_reported_in_the_order_of_the_file() -> None:
    text = "imagse: {}\nservices:\n  api: {port: x, replicas: 0}\nchekc: {}\n"

    found = check_text("seatrial.yaml", text)

    assert [one.line for one in found] == [1, 3, 3, 4]


def test_every_rule_has_an_example_that_it_finds(tmp_path: Path) -> None:
    for rule in RULES:
        found = {one.rule for one in check_text("seatrial.yaml", rule.example, tmp_path)}
        assert rule.id in found, rule.id


def test_files_that_do_not_exist_are_found_once_the_folder_is_known(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").touch()
    (tmp_path / "models").mkdir()
    text = "images:\n  api:\n    requirements: [requirement.txt, models]\n"

    assert check_text("seatrial.yaml", text) == []
    first, second = check_text("seatrial.yaml", text, tmp_path)

    assert (first.rule, first.line, first.column) == ("config/missing-file", 3, 20)
    assert "requirements.txt" in first.message
    assert first.fix is not None
    assert not first.fix.safe  # another file may hold something else
    assert "is no file" in second.message


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "images:\n", "check: {}\n", "images: {api: }\n"])
def test_an_empty_part_is_no_mistake(text: str) -> None:
    assert check_text("seatrial.yaml", text) == []


def test_exponential_aliases_end() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]

    (found,) = check_text("seatrial.yaml", "\n".join(lines))

    assert found.rule == "config/syntax"


def _with_safe_fixes(text: str, found: list[Finding]) -> str:
    source = Source("seatrial.yaml", text)
    sources = {"seatrial.yaml": source}
    selection = edits.select([one.fix for one in found if one.fix and one.fix.safe], sources)
    return edits.edited(source, selection.edits.get("seatrial.yaml", ())).text
