"""Findings reach people, code hosts, build services and scripts in the form each of them reads."""

from __future__ import annotations

import io
import json as standard
import re
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from junitparser import JUnitXml

from seatrial.findings import Edit, Finding, Fix, Rule
from seatrial.reports import json, junit, sarif, text
from seatrial.sources.text import Source

SOURCE = Source("dir/a b.yml", "one: 1\ntwo: é\t漢: x\x07\n")
FIX = Fix(title="Quote it", safe=True, edits=(Edit(path=SOURCE.path, start=(2, 6), end=(2, 7), text="'é'"),))
FINDING = Finding(
    rule="source/yaml-syntax", severity="error", path=SOURCE.path, line=2, column=9, message="wrong <here> & \x1b[0m",
    cause="because", source="https://example.com/", fix=FIX,
    alternatives=(Fix(title="Drop it", safe=False, edits=FIX.edits),),
)  # fmt: skip
NOTE = Finding(rule="check/unknown-rule", severity="note", path="b.yml", line=1, column=1, message="hm \x00")
CHECKED = [(SOURCE.path, "buildspec"), ("b.yml", "appspec"), ("c.yml", "kubernetes")]

# The parts of https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json that apply here, closed.
TEXT = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}}
POSITIVE = {"type": "integer", "minimum": 1}
REGION = {
    "type": "object",
    "required": ["startLine", "startColumn"],
    "properties": dict.fromkeys(("startLine", "startColumn", "endLine", "endColumn"), POSITIVE),
    "additionalProperties": False,
}
ARTIFACT = {
    "type": "object",
    "required": ["uri"],
    "properties": {"uri": {"type": "string", "pattern": "^[^\\s\\\\]+$"}},
    "additionalProperties": False,
}
REPLACEMENT = {
    "type": "object",
    "required": ["deletedRegion"],
    "properties": {
        "deletedRegion": REGION,
        "insertedContent": TEXT | {"properties": {"text": {"type": "string"}}},
    },
    "additionalProperties": False,
}
SARIF: dict[str, Any] = {
    "type": "object",
    "required": ["version", "runs"],
    "additionalProperties": False,
    "properties": {
        "$schema": {"type": "string", "format": "uri"},
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["tool", "results"],
                "additionalProperties": False,
                "properties": {
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "tool": {
                        "type": "object",
                        "required": ["driver"],
                        "properties": {
                            "driver": {
                                "type": "object",
                                "required": ["name"],
                                "additionalProperties": False,
                                "properties": {
                                    "name": {"type": "string"},
                                    "semanticVersion": {"type": "string"},
                                    "rules": {
                                        "type": "array",
                                        "uniqueItems": True,
                                        "items": {
                                            "type": "object",
                                            "required": ["id"],
                                            "additionalProperties": False,
                                            "properties": {
                                                "id": {"type": "string"},
                                                "name": {"type": "string", "pattern": "^[A-Z][A-Za-z0-9]+$"},
                                                "shortDescription": TEXT,
                                                "fullDescription": TEXT,
                                                "helpUri": {"type": "string", "pattern": "^https://"},
                                                "defaultConfiguration": {
                                                    "type": "object",
                                                    "properties": {
                                                        "level": {
                                                            "enum": ["none", "note", "warning", "error"]
                                                        }
                                                    },
                                                    "additionalProperties": False,
                                                },
                                            },
                                        },
                                    },
                                },
                            }
                        },
                        "additionalProperties": False,
                    },
                    "results": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["message", "ruleId", "locations", "partialFingerprints"],
                            "additionalProperties": False,
                            "properties": {
                                "ruleId": {"type": "string"},
                                "ruleIndex": {"type": "integer", "minimum": 0},
                                "level": {"enum": ["none", "note", "warning", "error"]},
                                "message": TEXT,
                                "partialFingerprints": {
                                    "type": "object",
                                    "additionalProperties": {"type": "string", "minLength": 8},
                                },
                                "locations": {
                                    "type": "array",
                                    "items": {
                                        "type": "object",
                                        "additionalProperties": False,
                                        "properties": {
                                            "physicalLocation": {
                                                "type": "object",
                                                "required": ["artifactLocation", "region"],
                                                "properties": {
                                                    "artifactLocation": ARTIFACT,
                                                    "region": REGION,
                                                },
                                                "additionalProperties": False,
                                            }
                                        },
                                    },
                                },
                                "fixes": {
                                    "type": "array",
                                    "items": {
                                        "type": "object",
                                        "required": ["artifactChanges"],
                                        "additionalProperties": False,
                                        "properties": {
                                            "description": TEXT,
                                            "artifactChanges": {
                                                "type": "array",
                                                "minItems": 1,
                                                "items": {
                                                    "type": "object",
                                                    "required": ["artifactLocation", "replacements"],
                                                    "additionalProperties": False,
                                                    "properties": {
                                                        "artifactLocation": ARTIFACT,
                                                        "replacements": {
                                                            "type": "array",
                                                            "minItems": 1,
                                                            "items": REPLACEMENT,
                                                        },
                                                    },
                                                },
                                            },
                                        },
                                    },
                                },
                            },
                        },
                    },
                },
            },
        },
    },
}


def rule(identifier: str) -> Rule:
    return Rule(id=identifier, severity="error", title="t", explanation="e", source="https://example.com/")


def test_json_is_exactly_the_contract() -> None:
    content = standard.loads(json.render([FINDING], CHECKED[:1], {"error": 1, "warning": 0, "note": 0}))

    assert list(content) == ["findings", "checked", "summary"]
    assert content["checked"] == [{"path": "dir/a b.yml", "kind": "buildspec"}]
    assert content["summary"] == {"error": 1, "warning": 0, "note": 0}
    (one,) = content["findings"]
    assert list(one) == [
        "rule", "severity", "path", "line", "column", "message", "cause", "source", "fix", "alternatives",
    ]  # fmt: skip
    assert one["fix"] == {
        "title": "Quote it",
        "safe": True,
        "edits": [{"path": "dir/a b.yml", "start": [2, 6], "end": [2, 7], "text": "'é'"}],
    }


def test_sarif_has_the_structure_of_the_standard() -> None:
    rules = {FINDING.rule: rule(FINDING.rule)}
    log = standard.loads(
        sarif.render([FINDING, NOTE, FINDING], rules, ["a" * 32, "b" * 32, "c" * 32], version="1.2.3")
    )

    jsonschema.validate(log, SARIF)
    (run,) = log["runs"]
    defined = run["tool"]["driver"]["rules"]
    for result in run["results"]:
        assert defined[result["ruleIndex"]]["id"] == result["ruleId"]
    assert [one["partialFingerprints"]["seatrialFinding/v1"][0] for one in run["results"]] == ["a", "b", "c"]
    location = run["results"][0]["locations"][0]["physicalLocation"]
    assert location["artifactLocation"]["uri"] == "dir/a%20b.yml"
    assert (location["region"]["startLine"], location["region"]["startColumn"]) == (2, 9)
    assert [len(one.get("fixes", [])) for one in run["results"]] == [2, 0, 2]


def test_sarif_of_nothing_is_a_run_without_results() -> None:
    log = standard.loads(sarif.render([], {}, [], version="1.2.3"))

    jsonschema.validate(log, SARIF)
    assert log["runs"][0]["results"] == []


def test_junit_has_a_case_for_each_file() -> None:
    rendered = junit.render([FINDING, NOTE], CHECKED)

    read = JUnitXml.fromstring(rendered.encode())
    assert (read.tests, read.failures, read.errors) == (3, 1, 0)
    cases = {case.name: case for suite in read for case in suite}
    assert list(cases) == ["dir/a b.yml", "b.yml", "c.yml"]
    (failure,) = cases["dir/a b.yml"].result
    assert failure.message == "wrong <here> & ?[0m"
    assert failure.type == "error: source/yaml-syntax"
    assert not cases["b.yml"].result
    assert "hm ?" in cases["b.yml"].system_out
    assert ET.fromstring(rendered).tag == "testsuites"


class TestText:
    def rendered(self, **more: Any) -> str:
        return text.render([FINDING], {SOURCE.path: SOURCE}, **more)

    def test_it_says_where_what_why_and_how(self) -> None:
        assert self.rendered(prefix="x/").splitlines() == [
            "x/dir/a b.yml:2:9: error[source/yaml-syntax] wrong <here> & \\x1b[0m",
            "  2 | two: é 漢: x\\x07",
            "    | " + " " * 9 + "^",
            "  cause: because",
            "  fix: Quote it",
            "    -two: é 漢: x\\x07",
            "    +two: 'é' 漢: x\\x07",
            "  or: Drop it (not safe)",
            "    -two: é 漢: x\\x07",
            "    +two: 'é' 漢: x\\x07",
            "  see: https://example.com/",
        ]

    def test_colour_repeats_what_words_say(self) -> None:
        coloured = self.rendered(colour=True)

        assert "\x1b[1;31m" in coloured
        assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == self.rendered()

    def test_a_long_line_is_shown_around_the_place(self) -> None:
        source = Source("a", "x" * 500 + "HERE" + "y" * 500)
        one = Finding(rule="a/b", severity="note", path="a", line=1, column=501, message="m")

        shown, caret = text.render([one], {"a": source}).splitlines()[1:3]

        assert len(shown) < 200
        assert shown[caret.index("^") :].startswith("HERE")

    @pytest.mark.parametrize(
        ("terminal", "variables", "colour"),
        [
            (True, {}, True),
            (False, {}, False),
            (True, {"NO_COLOR": "1"}, False),
            (True, {"NO_COLOR": ""}, True),
            (True, {"TERM": "dumb"}, False),
        ],
    )
    def test_colour_is_for_terminals_that_want_it(
        self, terminal: bool, variables: dict[str, str], colour: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Stream(io.StringIO):
            def isatty(self) -> bool:
                return terminal

        for name in ("NO_COLOR", "TERM"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

        assert text.wants_colour(Stream()) is colour
