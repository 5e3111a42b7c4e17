"""Report groups: which files are theirs, what is cut, and what becomes of files that are damaged or hostile."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from seatrial.builds import test_reports as reports
from seatrial.builds.model import ReportGroup, Text
from seatrial.builds.test_reports.html import page
from seatrial.findings import Place
from support.commands import seatrial

DATA = Path(__file__).parent / "data"
HERE = Place("buildspec.yml", (9, 5), (9, 9))


def group(*files: str, **over: Any) -> ReportGroup:
    return ReportGroup(name="unit", place=HERE, files=tuple(Text(one, HERE) for one in files), **over)


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text('<testsuite name="s"><testcase name="a" time="1"/></testsuite>')


def suite(inner: str) -> str:
    return f'<?xml version="1.0"?><testsuites><testsuite name="s">{inner}</testsuite></testsuites>'


@pytest.mark.parametrize(
    ("base", "patterns", "found"),
    [
        ("", ["**/*"], ["a.xml", "out/b.xml", "out/deep/c.xml"]),
        ("", ["*.xml", "out/*.xml", "a.xml"], ["a.xml", "out/b.xml"]),
        ("out", ["**/*.xml"], ["out/b.xml", "out/deep/c.xml"]),
        ("o*", ["*.xml"], ["out/b.xml"]),
        ("./out/", ["deep/c.xml"], ["out/deep/c.xml"]),
    ],
)
def test_files_of_a_group(tmp_path: Path, base: str, patterns: list[str], found: list[str]) -> None:
    put(tmp_path, "a.xml", "out/b.xml", "out/deep/c.xml")

    report = reports.read(group(*patterns, base_directory=base), tmp_path)

    assert sorted(report.files) == found
    assert report.total == len(found)
    assert f"Found {len(found)} file(s)" in report.log
    assert report.status == "SUCCEEDED"


def test_a_group_without_files_is_incomplete_and_says_why(tmp_path: Path) -> None:
    report = reports.read(group("target/*.xml", base_directory="."), tmp_path)
    elsewhere = reports.read(group("*.xml", base_directory="target"), tmp_path)

    assert (report.status, elsewhere.status) == ("INCOMPLETE", "INCOMPLETE")
    assert "target/*.xml matches no file" in report.notes
    assert "no folder matches the base-directory target" in elsewhere.notes
    assert "Skipping invalid file path target/*.xml" in report.log


def test_an_empty_suite_is_incomplete(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text("<testsuites/>")

    report = reports.read(group("a.xml"), tmp_path)

    assert (report.status, report.notes) == ("INCOMPLETE", ("the file holds no test case",))


DAMAGED = [
    ("JUNITXML", b"", "the file is empty", 0),
    ("JUNITXML", suite('<testcase name="a">').encode()[:-30], "the file ends too early", 1),
    ("JUNITXML", suite("\n<testcase name=a/>").encode(), "this is not XML: not well-formed", 2),
    ("JUNITXML", b"<html><body/></html>", "the document is <html>, not <testsuite> or <testsuites>", 1),
    ("JUNITXML", b'<?xml version="1.0" encoding="klingon"?><testsuites/>', "encoding", 1),
    ("NUNITXML", (DATA / "nunit3.xml").read_bytes(), "the document is <test-run>, not <test-results>", 2),
    ("CUCUMBERJSON", b"[{\n]", "this is not JSON", 2),
    ("CUCUMBERJSON", b'[{"elements": [', "the file ends too early", 1),
    ("CUCUMBERJSON", b'{"a": 1}', "a list of features is expected", 0),
    ("CUCUMBERJSON", b"[" * 100_000, "nested too deep", 0),
    ("SIMPLECOV", b'{"RSpec": 3}', "it has no coverage", 0),
    ("SIMPLECOV", b"\xff\xfe\x00\xd8", "encoding", 1),
    ("CLOVERXML", (DATA / "coverage-py.xml").read_bytes(), "this is Cobertura's XML", 8),
    ("COBERTURAXML", (DATA / "istanbul-clover.xml").read_bytes(), "this is Clover's XML", 3),
    ("JUNITXML", suite("<a>" * 5000 + "</a>" * 5000).encode(), "nested more than 200 deep", 1),
]


@pytest.mark.parametrize(("form", "content", "message", "line"), DAMAGED)
def test_a_damaged_file_fails_the_report_and_says_where(
    tmp_path: Path, form: str, content: bytes, message: str, line: int
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/report").write_bytes(content)

    report = reports.read(group("out/*", file_format=form), tmp_path)

    assert report.status == "FAILED"
    (problem,) = report.problems
    assert message in problem.message
    assert (problem.path, problem.line) == ("out/report", line)


def test_what_was_read_before_the_damage_counts(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(suite('<testcase name="a"/><testcase name="b"><failure/>')[:-40])
    put(tmp_path, "b.xml")

    report = reports.read(group("*.xml"), tmp_path)

    assert [case.file for case in report.cases] == ["a.xml", "b.xml"]
    assert len(report.problems) == 1


HOSTILE = [
    '<!DOCTYPE t [<!ENTITY e SYSTEM "file:///etc/passwd">]><testsuites><testsuite><testcase name="&e;">&e;</testcase></testsuite></testsuites>',
    '<!DOCTYPE t [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><testsuites>&b;</testsuites>',
    '<!DOCTYPE t [<!ENTITY % p SYSTEM "http://127.0.0.1:9/x.dtd"> %p;]><testsuites/>',
]


@pytest.mark.parametrize("content", HOSTILE, ids=["file", "laughs", "parameter"])
def test_entities_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.xml").write_text(content)

    report = reports.read(group("a.xml"), tmp_path)

    assert report.status == "FAILED"
    assert "which is not read for safety" in report.problems[0].message
    assert "root:" not in json.dumps(reports.data(report))


def test_a_doctype_of_a_known_format_is_no_obstacle_and_is_not_fetched(tmp_path: Path) -> None:
    (tmp_path / "c.xml").write_text(
        '<?xml version="1.0"?><!DOCTYPE coverage SYSTEM "http://127.0.0.1:9/coverage-04.dtd">'
        '<coverage><packages><package><classes><class filename="a.py"><lines><line number="1" hits="1"/></lines>'
        '</class><class filename="a.py"><methods><method><lines><line number="2" hits="0"/></lines></method></methods>'
        "</class></classes></package></packages></coverage>"
    )

    (found,) = reports.read(group("c.xml", file_format="COBERTURAXML"), tmp_path).coverage

    assert (found.path, found.lines_covered, found.lines) == ("a.py", 1, 2)


def test_links_out_of_the_workspace_are_not_followed(tmp_path: Path) -> None:
    put(tmp_path, "outside/a.xml", "work/b.xml")
    (tmp_path / "work/a.xml").symlink_to(tmp_path / "outside/a.xml")

    report = reports.read(group("*.xml"), tmp_path / "work")

    assert report.files == ("b.xml",)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1", "windows-1252"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    declared = encoding.replace("-sig", "")
    text = f'<?xml version="1.0" encoding="{declared}"?><testsuite><testcase name="Größe"/></testsuite>'
    (tmp_path / "a.xml").write_bytes(text.encode(encoding))

    assert [case.name for case in reports.read(group("a.xml"), tmp_path).cases] == ["Größe"]


def test_a_declared_utf_16_that_is_utf_8_is_read_as_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(
        '<?xml version="1.0" encoding="utf-16"?><testsuite><testcase name="é"/></testsuite>'
    )

    assert [case.name for case in reports.read(group("a.xml"), tmp_path).cases] == ["é"]


def test_the_limits_of_codebuild_are_kept_and_said(tmp_path: Path) -> None:
    cases = "".join(f'<testcase name="t{number}"/>' for number in range(600))
    long = f'<testcase name="{"n" * 1200}"><failure message="{"m" * 6000}"/></testcase>'
    (tmp_path / "a.xml").write_text(
        suite(long + cases + '<testcase name="last"><error message="late"/></testcase>')
    )

    report = reports.read(group("a.xml"), tmp_path)

    assert (report.total, len(report.cases), report.truncated) == (602, 500, True)
    assert (len(report.cases[0].name), len(report.cases[0].message)) == (1000, 5000)
    assert [case.name for case in report.beyond] == ["last"]
    assert any("first 500 of these 602" in note for note in report.notes)
    assert any("name over 1000" in note for note in report.notes)
    assert "late" in reports.text([report])


def test_a_test_group_takes_no_coverage_and_the_other_way_round(tmp_path: Path) -> None:
    (tmp_path / "c.xml").write_bytes((DATA / "coverage-py.xml").read_bytes())
    coverage = group("c.xml", file_format="COBERTURAXML")

    refused = reports.read(coverage, tmp_path, group_type="TEST")
    other = reports.read(group("c.xml"), tmp_path, group_type="CODE_COVERAGE")

    assert (refused.status, refused.problems[0].line) == ("FAILED", 9)
    assert "of type TEST and cannot take COBERTURAXML" in refused.problems[0].message
    assert "of type CODE_COVERAGE and cannot take JUNITXML" in other.problems[0].message
    assert reports.read(coverage, tmp_path, group_type="CODE_COVERAGE").status == "SUCCEEDED"
    assert (
        "is not a file format"
        in reports.read(group("c.xml", file_format="TAP"), tmp_path).problems[0].message
    )


READ_HUGE = """
import re, sys
from pathlib import Path
from seatrial.builds import test_reports as reports
report = reports.read_files("big", "JUNITXML", [Path(sys.argv[1])])
# Not ru_maxrss, which begins with that of the process that started this one.
peak = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]
print(report.total, report.counts["FAILED"], peak)
"""


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    output = "o" * 20_000
    with (tmp_path / "big.xml").open("w") as stream:
        stream.write("<testsuite>")
        for number in range(3000):
            stream.write(
                f'<testcase name="t{number}"><failure message="x"/><system-out>{output}</system-out></testcase>'
            )
        stream.write(f"<system-out>{output * 500}</system-out></testsuite>")
    assert (tmp_path / "big.xml").stat().st_size > 65_000_000

    done = subprocess.run(
        [sys.executable, "-c", READ_HUGE, str(tmp_path / "big.xml")],
        capture_output=True,
        text=True,
        check=True,
    )

    total, failed, peak = map(int, done.stdout.split())
    assert (total, failed) == (3000, 3000)
    assert peak < 80_000, f"{peak} KiB"


def test_a_report_survives_json_and_names_stay() -> None:
    report = reports.read_files("unit", "JUNITXML", [DATA / "pytest.xml"], root=DATA)

    held = json.loads(json.dumps(reports.data(report)))

    assert reports.from_data(held) == report
    assert held["totals"] == {"total": 6, "pass_rate": 60.0, "duration": report.duration}
    assert held["summary"].startswith(
        "FAILED, 6 cases: 3 succeeded, 1 failed, 1 error, 1 skipped, 60.00 % passed"
    )
    assert set(held["cases"][0]) == {"name", "status", "suite", "duration", "message", "file"}


def test_text_cannot_steer_a_terminal_and_the_page_cannot_run_anything(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(
        suite(
            '<testcase name="&lt;script&gt;alert(1)&lt;/script&gt;"><failure message="&#x9b;31m&quot;x"/></testcase>'
        )
    )
    report = reports.read(group("a.xml"), tmp_path)

    assert "\x9b" not in reports.text([report])
    shown = page([report], summary="<b>")
    assert "<script" not in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert "&lt;b&gt;" in shown
    assert "default-src 'none'" in shown


def test_the_trend_of_a_group_is_oldest_first() -> None:
    passed = reports.data(reports.read_files("unit", "JUNITXML", []))
    runs = [
        {"id": name, "started": name, "outputs": {"reports": [{**passed, "totals": {"total": 4, "pass_rate": rate, "duration": 1.5}}]}}
        for name, rate in (("2026-03", 100.0), ("2026-01", 0.0), ("2026-02", 50.0))
    ]  # fmt: skip

    points = reports.trend([*runs, {"id": "x", "started": None, "outputs": {"reports": []}}])

    assert [(one.run, one.rate, one.duration) for one in points] == [
        ("2026-01", 0.0, 1.5), ("2026-02", 50.0, 1.5), ("2026-03", 100.0, 1.5)
    ]  # fmt: skip


def test_the_command_line_reads_files_and_says_no_when_a_test_failed(tmp_path: Path) -> None:
    project = tmp_path / "project"
    put(project, "good.xml")

    good = seatrial(project, "build", "reports", "--format", "junitxml", "good.xml", "--json")
    bad = seatrial(
        project, "build", "reports", "--format", "TESTNGXML", str(DATA / "testng.xml"), "--html", "r.html"
    )
    wrong = seatrial(project, "build", "reports", "--format", "TAP", "good.xml")

    assert good.returncode == 0, good.stderr
    assert json.loads(good.stdout)["reports"][0]["counts"]["SUCCEEDED"] == 1
    assert (bad.returncode, bad.stdout) == (1, "")
    assert "cleanup broke" in (project / "r.html").read_text()
    assert wrong.returncode == 2
    assert "JUNITXML" in wrong.stderr


def test_the_command_line_shows_the_reports_of_builds_and_their_trend(tmp_path: Path) -> None:
    project = tmp_path / "project"
    put(project, "out/a.xml")
    (project / "buildspec.yml").write_text(
        "version: 0.2\nphases:\n  build:\n    commands: [echo hello]\nreports:\n  unit:\n    files: ['out/*.xml']\n"
    )
    for _ in range(2):
        assert seatrial(project, "build", "run", ".", "--on", "host").returncode == 0

    shown = seatrial(project, "build", "reports", "--trend")
    missing = seatrial(project, "build", "reports", "--group", "other")

    assert shown.returncode == 0, shown.stderr
    assert "unit (JUNITXML): SUCCEEDED, 1 case: 1 succeeded, 100.00 % passed, 1.00 s" in shown.stdout
    assert "unit  ██" in shown.stdout
    assert missing.returncode == 2
    assert "it has unit" in missing.stderr
