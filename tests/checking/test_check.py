"""`check` says what is wrong with real files, hides what it is told to, and never more."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from seatrial.checking import baseline, registry
from seatrial.checking.fixing import Choice, changes, fix
from seatrial.checking.run import Options, Report, check
from seatrial.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

TWICE = "version: 0.2\nphases:\n  build: {}\nphases:\n  install: {}\n"


def rules(report: Report) -> list[tuple[str, str, int]]:
    return [(one.rule, one.path, one.line) for one in report.findings]


def put(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return root


def test_findings_of_one_folder_are_relative_to_it(tmp_path: Path) -> None:
    put(tmp_path, sub__buildspec_yml="version: 0.2\nphases: a: b\n", requirements_txt="torch=2\nflask\n")

    report = check([tmp_path])

    assert rules(report) == [
        ("requirements/syntax", "requirements.txt", 1),
        ("source/yaml-syntax", "sub/buildspec.yml", 2),
    ]
    assert [(one.path, one.kind) for one in report.checked] == [
        ("requirements.txt", "requirements"),
        ("sub/buildspec.yml", "buildspec"),
    ]
    assert report.summary.error == 2


def test_findings_of_files_are_relative_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, sub__buildspec_yml=TWICE, other_yml="a: b: c\n")
    monkeypatch.chdir(tmp_path)

    paths = [tmp_path / "sub", tmp_path / "other.yml", tmp_path / "sub/buildspec.yml"]

    assert [one[1] for one in rules(check(paths))] == ["other.yml", "sub/buildspec.yml"]


def test_a_path_that_does_not_exist_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        check([tmp_path / "none"])

    assert caught.value.exit_code == 2


def test_a_conflict_is_all_that_is_said(tmp_path: Path) -> None:
    put(tmp_path, buildspec_yml="version: 0.2\n<<<<<<< HEAD\na: b: c\n=======\nb\n>>>>>>> x\n")
    put(tmp_path, seatrial_yaml="<<<<<<< a\nimages: 1\n=======\nimages: 2\n>>>>>>> b\n")

    assert rules(check([tmp_path])) == [
        ("source/merge-conflict", "buildspec.yml", 2),
        ("source/merge-conflict", "seatrial.yaml", 1),
    ]


def test_a_heading_underlined_with_equals_is_no_conflict(tmp_path: Path) -> None:
    put(tmp_path, buildspec_yml="version: 0.2\n# Title\n# =======\nphases: {}\n")

    assert check([tmp_path]).findings == ()


def test_a_file_that_is_not_utf_8_is_found_when_it_matters(tmp_path: Path) -> None:
    (tmp_path / "buildspec.yml").write_bytes("version: 0.2\nphases: é\n".encode("latin-1"))
    (tmp_path / "other.yml").write_bytes(b"\xff\xfe")

    assert rules(check([tmp_path])) == [("source/not-utf8", "buildspec.yml", 2)]


def test_a_file_that_cannot_be_read_is_found(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    put(tmp_path, buildspec_yml=TWICE)
    (tmp_path / "buildspec.yml").chmod(0)

    assert rules(check([tmp_path])) == [("source/unreadable", "buildspec.yml", 1)]


def test_templates_are_not_expected_to_be_yaml(tmp_path: Path) -> None:
    put(tmp_path, chart_yaml="apiVersion: v1\nkind: Service\n{{- if .x }}\nspec: {{ .y }}\n{{- end }}\n")

    assert check([tmp_path]).findings == ()


def test_every_kind_of_syntax_is_checked(tmp_path: Path) -> None:
    put(tmp_path, p_json='{"stages": [], "actions": [], "actionTypeId": 1, "actionTypeId": 2}')
    put(tmp_path, q_json='{"stages": [], "actions": [], "actionTypeId": 1,}')
    put(tmp_path, pyproject_toml="[project]\na = 1\na = 2\n")

    assert [one[:2] for one in rules(check([tmp_path]))] == [
        ("source/duplicate-key", "p.json"), ("source/toml-syntax", "pyproject.toml"), ("source/json-syntax", "q.json"),
    ]  # fmt: skip


def test_seatrial_yaml_is_checked_by_what_reads_it(tmp_path: Path) -> None:
    put(tmp_path, seatrial_yaml="imges: {}\n")

    assert rules(check([tmp_path])) == [("config/unknown-key", "seatrial.yaml", 1)]


@pytest.mark.parametrize(
    "name", ["gone.txt", "..", "/dev/zero", "a\0b", "x" * 5000, "https://example.com/r.txt", "pipe"]
)
def test_what_a_file_includes_can_be_anything(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    put(tmp_path, requirements_txt=f"-r {name}\nonnxruntime==1.17.3\nnumpy==2.0.2\n")

    assert rules(check([tmp_path])) == [("image/numpy-abi", "requirements.txt", 2)]


class TestDisabling:
    @pytest.mark.parametrize(
        "text",
        [
            TWICE.replace(
                "phases:\n  install", "phases: # seatrial: disable=source/duplicate-key -- why\n  install"
            ),
            TWICE.replace(
                "phases:\n  install", "# seatrial: disable=source/duplicate-key\nphases:\n  install"
            ),
            TWICE + "# seatrial: disable-file = config/*, source/*\n",
        ],
    )
    def test_by_comment(self, tmp_path: Path, text: str) -> None:
        assert check([put(tmp_path, buildspec_yml=text)]).findings == ()

    @pytest.mark.parametrize(
        "text",
        [
            TWICE.replace("version: 0.2", "version: 0.2 # seatrial: disable=source/duplicate-key"),
            TWICE.replace("phases:\n  install", "phases: # seatrial: disable=source/yaml-syntax\n  install"),
        ],
    )
    def test_a_comment_elsewhere_or_for_another_rule_hides_nothing(self, tmp_path: Path, text: str) -> None:
        assert len(check([put(tmp_path, buildspec_yml=text)]).findings) == 1

    def test_by_configuration(self, tmp_path: Path) -> None:
        put(tmp_path, buildspec_yml=TWICE, seatrial_yaml="check:\n  disable: ['source/*']\n")

        assert check([tmp_path]).findings == ()

    def test_a_configuration_with_another_mistake_still_counts(self, tmp_path: Path) -> None:
        put(tmp_path, buildspec_yml=TWICE, seatrial_yaml="x: 1\ncheck:\n  disable: [source/duplicate-key]\n")

        assert [one.rule for one in check([tmp_path]).findings] == ["config/unknown-key"]

    def test_by_excluding_files_even_when_named(self, tmp_path: Path) -> None:
        put(tmp_path, a__buildspec_yml=TWICE, seatrial_yaml="check:\n  exclude: [a/]\n")
        (tmp_path / ".git").mkdir()

        assert [one.path for one in check([tmp_path]).checked] == ["seatrial.yaml"]
        assert check([tmp_path / "a/buildspec.yml"]).checked == ()

    def test_a_rule_that_does_not_exist_is_noted_with_the_nearest(self, tmp_path: Path) -> None:
        put(tmp_path, buildspec_yml="version: 0.2 # seatrial: disable=source/duplicated-key\nphases: {}\n")
        put(tmp_path, seatrial_yaml="check:\n  disable:\n    - sorce/*\n")

        first, second = check([tmp_path]).findings

        assert (first.rule, first.severity, first.line, first.column) == ("check/unknown-rule", "note", 1, 34)
        assert "'source/duplicate-key'" in first.message
        assert (second.path, second.line) == ("seatrial.yaml", 3)
        assert "'source/*'" in second.message


class TestBaseline:
    def test_known_findings_stay_known_when_lines_move(self, tmp_path: Path) -> None:
        put(tmp_path, buildspec_yml=TWICE)
        known = tmp_path / "known.json"
        report = check([tmp_path])
        baseline.write(known, report.findings, report.sources)
        put(
            tmp_path, buildspec_yml="# new\n\n" + TWICE.replace("phases:\n  install", "phases:   \n  install")
        )

        again = check([tmp_path], Options(baseline=known))

        assert (again.findings, again.hidden) == ((), 1)

    def test_new_ones_are_found_also_when_they_look_the_same(self, tmp_path: Path) -> None:
        put(tmp_path, buildspec_yml=TWICE)
        known = tmp_path / "known.json"
        report = check([tmp_path])
        baseline.write(known, report.findings, report.sources)
        put(tmp_path, buildspec_yml=TWICE + "phases:\n", other_yml=TWICE)

        again = check([tmp_path], Options(baseline=known))

        assert rules(again) == [
            ("source/duplicate-key", "buildspec.yml", 6), ("source/duplicate-key", "other.yml", 4),
        ]  # fmt: skip
        assert again.hidden == 1

    def test_two_runs_write_the_same_file(self, tmp_path: Path) -> None:
        put(tmp_path, a_yml=TWICE, b_yml=TWICE)
        for name in ("one", "two"):
            report = check([tmp_path])
            baseline.write(tmp_path / name, report.findings, report.sources)

        assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()

    @pytest.mark.parametrize("content", [None, "{", '{"version": 9, "findings": []}', "[]"])
    def test_a_baseline_that_cannot_be_used_says_how_to_make_one(
        self, tmp_path: Path, content: str | None
    ) -> None:
        file = tmp_path / "known.json"
        if content is not None:
            file.write_text(content)
        with pytest.raises(UsageError) as caught:
            check([tmp_path], Options(baseline=file))

        assert caught.value.where == str(file)


class TestFixing:
    PINS = "# API\r\nflask\r\nonnxruntime==1.17.3   # model\r\nnumpy==2.0.2\t# keep in step\r\n"

    def test_only_the_edit_changes(self, tmp_path: Path) -> None:
        put(tmp_path, requirements_txt=self.PINS)
        report = check([tmp_path])

        fixed = fix([tmp_path], report, Options(), Choice())

        assert fixed.changed == ("requirements.txt",)
        assert fixed.report.findings == ()
        assert (tmp_path / "requirements.txt").read_bytes() == self.PINS.replace("2.0.2", "1.26.4").encode()

    def test_fixing_again_changes_nothing(self, tmp_path: Path) -> None:
        put(tmp_path, requirements_txt=self.PINS)
        fix([tmp_path], check([tmp_path]), Options(), Choice())
        before = (tmp_path / "requirements.txt").read_bytes()

        again = fix([tmp_path], check([tmp_path]), Options(), Choice(unsafe=True))

        assert again.changed == ()
        assert (tmp_path / "requirements.txt").read_bytes() == before

    def test_changes_are_shown_without_being_written(self, tmp_path: Path) -> None:
        put(tmp_path, requirements_txt=self.PINS)

        ((before, after),) = changes(check([tmp_path]), Choice())

        assert after.text == before.text.replace("2.0.2", "1.26.4")
        assert (tmp_path / "requirements.txt").read_bytes() == self.PINS.encode()

    def test_unsafe_fixes_wait_to_be_asked_for(self, tmp_path: Path) -> None:
        put(tmp_path, requirements_txt=self.PINS)
        options = Options(target={"python": "3.13"})

        assert fix([tmp_path], check([tmp_path], options), options, Choice()).changed == ()
        fix([tmp_path], check([tmp_path], options), options, Choice(unsafe=True))
        assert b"onnxruntime==1.20.0   # model" in (tmp_path / "requirements.txt").read_bytes()


def test_every_rule_that_is_found_is_in_the_registry(tmp_path: Path) -> None:
    put(tmp_path, a_yml=TWICE, requirements_txt="torch=1\nonnxruntime==1.17.3\nnumpy==2.0.0\nflask\n")
    put(
        tmp_path,
        buildspec_yml="a: b: c",
        p_json='{"stages":0,"actions":0,"actionTypeId":0',
        seatrial_yaml="x: 1\n",
    )

    found = {one.rule for one in check([tmp_path]).findings}

    assert found <= set(registry.rules())
    assert len(found) == 6


def test_rules_are_whole_and_say_where_they_come_from() -> None:
    for rule in registry.rules().values():
        assert rule.id.count("/") == 1
        assert rule.title
        assert rule.explanation.endswith(".")
        assert rule.source.startswith(("https://", "docs/"))
        assert registry.rule(rule.id) is rule


def test_an_unknown_rule_names_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        registry.rule("image/numpy-api")

    assert "image/numpy-abi" in str(caught.value)


def test_the_reference_is_what_the_registry_says() -> None:
    from pathlib import Path

    from seatrial.checking.reference import page

    written = Path(__file__).parents[2] / "docs/reference/rules.md"
    assert written.read_text() == page(), "run `seatrial rules --markdown > docs/reference/rules.md`"
