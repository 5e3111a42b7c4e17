"""The same message with other quotation marks, in a line of JSON, or within a sentence has the same cause."""

from __future__ import annotations

import json
import re

import pytest

from seatrial.diagnosis import loading
from seatrial.diagnosis.explain import explain
from seatrial.diagnosis.wording import loosened

EXAMPLES = [(one.id, example) for one in loading.builtin() for example in one.examples]


@pytest.mark.parametrize("mark", ['"', "`", "\u2019"])
def test_every_example_has_its_cause_with_other_quotation_marks(mark: str) -> None:
    quoted = [(cause, text) for cause, text in EXAMPLES if "'" in text]

    missed = [text for cause, text in quoted if _first(text.replace("'", mark)) != _first(text)]

    assert len(quoted) > 100
    assert missed == []


def test_an_example_has_its_cause_within_a_line_of_a_structured_log() -> None:
    lines = [text for _, text in EXAMPLES if "\n" not in text.strip()]

    missed = [
        text
        for text in lines
        if _first(json.dumps({"level": "error", "message": text}, ensure_ascii=False)) != _first(text)
    ]

    assert len(lines) > 500
    assert missed == []


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ('{"level":"error","msg":"boot","error":"connect ECONNREFUSED 127.0.0.1:5432"}', "connection-refused"),
        ('{"message": "ModuleNotFoundError: No module named \'x\'"}', "python-module-missing"),
        ('2024-01-01T00:00:00Z {"log": "No module named \'x\'", "exc_info": "T\\nModuleNotFoundError: No module named \'x\'"}', "python-module-missing"),
        ("wrong number of container tags, expected 1", "buildspec-yaml-syntax"),
        ('Build stopped: unable to locate credentials. You can configure credentials by running "aws configure".', "aws-credentials-missing"),
    ],
)  # fmt: skip
def test_messages_are_known_within_others(line: str, cause: str) -> None:
    assert _first(line) == cause


@pytest.mark.parametrize(
    ("expression", "text", "found"),
    [
        ("No module named '(?P<x>[^']+)'", 'no module named "a.b"', "a.b"),
        ('(?P<x>[^"\\s]+)" is not', "key` is not", "key"),
        ("(?<!')can't (?P<x>\\w+)", "can`t parse", "parse"),
        ("^(?P<x>Error) \\[[^\\]']+\\]", "error [a]", "error"),
        ("(?:no room|(?:too|very) many) (?P<x>\\w+)", "No room left", "left"),
        ("(?:no room|(?:too|very) many) (?P<x>\\w+)", "Very many files", "files"),
        ("full disk|\\bquota (?P<x>\\w+)", "Quota reached", "reached"),
        ("(?i)Say '(?P<x>\\w)'", 'say "b"', "b"),
        (r"\\(?P<x>'?)x", "\\x", ""),
    ],
)
def test_an_expression_takes_any_quotation_mark_and_first_letter(
    expression: str, text: str, found: str
) -> None:
    match = re.search(loosened(expression), text)

    assert match is not None
    assert match["x"] == found


def test_a_backslash_before_a_mark_is_no_part_of_what_is_said() -> None:
    [cause] = explain("ModuleNotFoundError: No module named \\'cupy\\'").causes

    assert "cupy" in cause.cause
    assert "\\" not in cause.cause + cause.fix


def test_other_letters_keep_their_case() -> None:
    assert not re.search(loosened("The OAuth token"), "the oauth token")


def _first(text: str) -> str:
    return next((cause.id for cause in explain(text).causes), "")
