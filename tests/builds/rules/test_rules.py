"""Each rule finds what it is for and nothing beside it, and `--fix` writes what a person would."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from seatrial.builds import reading
from seatrial.builds.rules import MODULES, RULES, check, here
from seatrial.checking.fixing import Choice, fix
from seatrial.checking.run import Options
from seatrial.checking.run import check as check_folder
from seatrial.sources.text import Source

if TYPE_CHECKING:
    from seatrial.findings import Finding, Rule

CASES: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parent / "cases.yaml").read_text(encoding="utf-8")
)


def of(rule: str, text: str) -> list[Finding]:
    name = rule if "/" in rule else f"buildspec/{rule}"
    return [one for one in check(Source("buildspec.yml", text)) if one.rule == name]


def named(case: dict[str, Any]) -> str:
    return f"{case['rule']}-{case['line']}"


def fixed(folder: Path, text: str) -> str:
    file = folder / "buildspec.yml"
    file.write_bytes(text.encode())
    options = Options()
    fix([folder], check_folder([folder], options), options, Choice())
    return file.read_bytes().decode()


@pytest.mark.parametrize("case", CASES, ids=named)
def test_is_found_at_its_line(case: dict[str, Any]) -> None:
    found = of(case["rule"], case["bad"])

    assert len(found) == case.get("count", 1)
    assert found[0].line == case["line"]
    assert case.get("message", found[0].message) == found[0].message


@pytest.mark.parametrize(
    ("rule", "text"), [(case["rule"], text) for case in CASES for text in case.get("good", [])]
)
def test_is_not_found_where_nothing_is_wrong(rule: str, text: str) -> None:
    assert of(rule, text) == []
    assert not [one for one in check(Source("buildspec.yml", text)) if one.severity == "error"]


@pytest.mark.parametrize("case", [case for case in CASES if "fixed" in case], ids=named)
def test_fix_writes_what_was_meant(tmp_path: Path, case: dict[str, Any]) -> None:
    after = fixed(tmp_path, case["bad"])

    assert after == case["fixed"]
    assert not [one for one in check(Source("buildspec.yml", after)) if one.severity == "error"]


@pytest.mark.parametrize("case", [case for case in CASES if "fixed" in case], ids=named)
def test_fix_keeps_the_line_ends_of_windows(tmp_path: Path, case: dict[str, Any]) -> None:
    after = fixed(tmp_path, case["bad"].replace("\n", "\r\n"))

    assert after.replace("\r\n", "\n") == case["fixed"]
    assert reading.read(Source("buildspec.yml", after)).refusals == ()


@pytest.mark.parametrize("case", [case for case in CASES if "fixed" not in case], ids=named)
def test_nothing_is_fixed_where_the_meaning_is_not_known(tmp_path: Path, case: dict[str, Any]) -> None:
    assert fixed(tmp_path, case["bad"]) == case["bad"]


# What is found when a build starts depends on who starts it.
@pytest.mark.parametrize(
    "rule", [rule for rule in RULES if rule.example and rule not in here.RULES], ids=lambda rule: rule.id
)
def test_the_example_of_a_rule_shows_it(rule: Rule) -> None:
    assert of(rule.id, rule.example)


@pytest.mark.parametrize(
    "rule", [rule for rule in RULES if rule.severity != "error"], ids=lambda rule: rule.id
)
def test_a_warning_never_stands_beside_an_error_in_its_example(rule: Rule) -> None:
    errors = [one for one in check(Source("buildspec.yml", rule.example)) if one.severity == "error"]

    assert rule.id == "buildspec/open-heredoc" or not rule.example or not errors


def test_each_finding_is_of_a_rule_that_is_listed() -> None:
    known = {rule.id for rule in RULES} | {"source/yaml-syntax", "source/duplicate-key"}
    texts = [case["bad"] for case in CASES] + [rule.example for rule in RULES]

    found = {one.rule for text in texts for one in check(Source("buildspec.yml", text))}

    assert found <= known
    assert len({rule.id for rule in RULES}) == len(RULES)
    assert all(one.id.startswith("buildspec/") for module in MODULES for one in module.RULES)


def test_a_command_of_many_quotes_is_quoted_so_that_it_stays_what_it_is(tmp_path: Path) -> None:
    commands = ['echo "a: b"', "echo 'a: b'", "echo 'a: \"b\" \\ c'", "printf '%s: x' \"$A\""]
    text = "version: 0.2\nphases:\n  build:\n    commands:\n" + "".join(
        f"      - {one}\n" for one in commands
    )

    after = reading.read(Source("buildspec.yml", fixed(tmp_path, text)))

    assert after.spec is not None
    assert [one.value.rstrip("\n") for one in after.spec.phases["build"].commands] == commands


@pytest.mark.parametrize("cut", range(0, 900, 7))
def test_a_file_that_is_cut_off_anywhere_is_read_to_an_answer(cut: int) -> None:
    text = "\n".join(case["bad"] for case in CASES)[cut * 9 : cut * 9 + 400]

    for one in check(Source("buildspec.yml", text)):
        assert one.line >= 1
