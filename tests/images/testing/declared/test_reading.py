"""What is wrong in a file of checks is said where it is, before an image is looked at."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from seatrial.checking.run import check
from seatrial.config.load import ConfigError
from seatrial.errors import UsageError
from seatrial.images.testing.declared.reading import read
from seatrial.images.testing.declared.structure import Structure2

if TYPE_CHECKING:
    from pathlib import Path

V2 = "schemaVersion: 2.0.0\n"
# text, line and column, what is said
WRONG = [
    (V2 + "commandTest:\n- {}\n", (2, 1), "unknown key 'commandTest' in the file; the nearest one is commandTests"),
    (V2 + "commandTests:\n- {name: a, command: ls, arg: [x]}\n", (3, 26), "the nearest one is args"),
    (V2 + "commandTests:\n- command: ls\n", (3, 3), "commandTests[0] needs name"),
    (V2 + "commandTests:\n- {name: a, command: [ls]}\n", (3, 22), "must be a text, not a list"),
    (V2 + "commandTests:\n- {name: a, command: ls, exitCode: x}\n", (3, 36), "must be a whole number"),
    (V2 + "commandTests:\n- {name: a, command: ls, setup: [[]]}\n", (3, 34), "must not be empty"),
    (V2 + "commandTests:\n- {name: a, command: ls, expectedOutput: ['(']}\n", (3, 43), "missing closing )"),
    (V2 + "fileExistenceTests:\n- {name: a, path: /x, isExecutableBy: me}\n", (3, 39), "one of"),
    (V2 + "metadataTest:\n  envVars: [{value: x}]\n", (3, 13), "needs key"),
    (V2 + "metadataTest:\n  envVars: [{key: x, value: '(', isRegex: true}]\n", (3, 29), "metadataTest.envVars[0].value must be a regular expression as Go has them: missing closing )"),
    (V2 + "metadataTest:\n  labels: [{key: x, value: '(', isRegex: false}, {key: y, value: 'a**', isRegex: true}]\n", (3, 66), "nested repetition"),
    ("schemaVersion: 1.0.0\nfileExistenceTests:\n- {name: x}\n", (3, 3), "fileExistenceTests[0] needs path"),
    ("schemaVersion: 1.0.0\nmetadataTest: {}\n", (2, 1), "unknown key 'metadataTest'"),
    ("schemaVersion: 3.0.0\ncommandTests: []\n", (1, 16), "this schemaVersion is not known; there are 1.0.0 and 2.0.0"),
    ("commandTests: []\n", (1, 1), "needs schemaVersion"),
    (V2 + V2, (2, 1), "here twice"),
    ("commands:\n- {command: ls}\n", (2, 13), "must be a list"),
    ("commands:\n- {command: [ls], tiemout: 3}\n", (2, 19), "the nearest one is timeout"),
    ("http: {requests: [{path: x}]}\n", (1, 26), "must match ^/"),
    ("http: {requests: [{path: /x, json: '{'}]}\n", (1, 36), "must be JSON"),
    ("a: [\n", (2, 1), "expected node content"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "place", "said"), WRONG)
def test_what_is_wrong_is_said_where_it_is(
    tmp_path: Path, text: str, place: tuple[int, int], said: str
) -> None:
    file = tmp_path / "tests.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read(file, "tests.yaml")
    first = caught.value.findings[0]
    assert (first.path, first.line, first.column) == ("tests.yaml", *place), first.message
    assert said in first.message
    assert caught.value.exit_code == 2


def test_a_file_that_is_not_there_is_an_error_of_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        read(tmp_path / "none.yaml")


def test_scalars_keep_their_text(tmp_path: Path) -> None:
    file = tmp_path / "tests.yaml"
    file.write_text(V2 + "metadataTest: {exposedPorts: [8080], labels: [{key: v, value: 1.10}]}\n")
    content = read(file).content
    assert isinstance(content, Structure2)
    assert content.metadata_test.exposed_ports == ("8080",)
    assert content.metadata_test.labels[0].value == "1.10"


def test_json_is_read_as_go_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "tests.json"
    tests = [
        {"Name": "a", "path": "/x"},
        {"name": "b", "path": "/y", "shouldExist": True, "uid": 5, "gid": 6},
    ]
    file.write_text(json.dumps({"SCHEMAVERSION": "2.0.0", "fileexistencetests": tests}))
    content = read(file).content
    assert isinstance(content, Structure2)
    first, second = content.file_existence_tests
    # The defaults of the YAML form do not hold there: what is left out is nothing, zero or false.
    assert (first.should_exist, first.uid, first.gid) == (False, 0, 0)
    assert (second.should_exist, second.uid, second.gid) == (True, 5, 6)


def test_a_key_of_the_first_files_in_json_is_passed_over(tmp_path: Path) -> None:
    for version, known in (("1.0.0", True), ("2.0.0", False)):
        test = {"name": "a", "path": "/x", "isDirectory": True}
        file = tmp_path / f"{version}.json"
        file.write_text(json.dumps({"schemaVersion": version, "fileExistenceTests": [test]}))
        found = [one.message for one in check([file]).findings]
        assert [one for one in found if "isDirectory" in one] == found, found
        assert (not found) is known


def test_json_has_positions_too(tmp_path: Path) -> None:
    file = tmp_path / "tests.json"
    file.write_text('{"schemaVersion": "2.0.0",\n "commandTests": [{"name": "a", "commnd": "ls"}]}')
    with pytest.raises(ConfigError) as caught:
        read(file, "tests.json")
    assert [(one.line, one.column) for one in caught.value.findings] == [(2, 33)]


def test_check_finds_a_wrong_key_in_files_that_settings_name(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "seatrial.yaml").write_text(
        "images: {a: {test: {config: [tests/own.yaml, tests/cst.yaml]}}}\n"
    )
    (tmp_path / "tests/own.yaml").write_text("files:\n- {pth: /x}\n")
    (tmp_path / "tests/cst.yaml").write_text(V2 + "commandTests:\n- {name: a, comand: ls}\n")
    found = [(one.path, one.line, one.rule) for one in check([tmp_path]).findings]
    assert found == [
        ("tests/cst.yaml", 3, "config/unknown-key"),
        ("tests/own.yaml", 2, "config/unknown-key"),
    ]


def test_check_says_which_file_of_checks_is_missing(tmp_path: Path) -> None:
    (tmp_path / "seatrial.yaml").write_text("images: {a: {test: {config: [tests/own.yaml]}}}\n")
    assert [one.rule for one in check([tmp_path]).findings] == ["config/missing-file"]
