"""What each format of report says, mostly in files that the programs themselves wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from seatrial.builds import test_reports as reports

DATA = Path(__file__).parent / "data"

# file, format, total, status counts as succeeded/failed/error/skipped/unknown, seconds, one case: suite, name, status, words
TESTS = [
    ("pytest.xml", "JUNITXML", (3, 1, 1, 1, 0), 0.001, ("test_calc.TestSign", "test_wrong", "FAILED", "'zero' == 'null & <nothing>'")),
    ("pytest.xml", "JUNITXML", (3, 1, 1, 1, 0), 0.001, ("test_calc", "test_errs", "ERROR", "RuntimeError: no database")),
    ("pytest.xml", "JUNITXML", (3, 1, 1, 1, 0), 0.001, ("test_calc", "test_skipped", "SKIPPED", "not on this platform")),
    ("mocha.xml", "JUNITXML", (1, 1, 0, 1, 0), 0.010, ("sign of a number", "is zero & <nothing> at zero", "FAILED", "'zero' !== 'null'")),
    ("jest.xml", "JUNITXML", (1, 1, 0, 1, 0), 0.026, ("sign of a number is positive above zero", "sign of a number is positive above zero", "SUCCEEDED", "")),
    ("nunit2.xml", "NUNITXML", (1, 1, 1, 1, 1), 0.062, ("Shop.Tests.CartTests", 'Prices(1.5,"a.b")', "FAILED", "Expected: 3")),
    ("nunit2.xml", "NUNITXML", (1, 1, 1, 1, 1), 0.062, ("Shop.Tests.CartTests", "Later", "SKIPPED", "next sprint")),
    ("nunit3.xml", "NUNIT3XML", (2, 1, 1, 1, 1), 0.058, ("Shop.Tests.CartTests", "Prices", "FAILED", "CartTests.cs:line 21")),
    ("nunit3.xml", "NUNIT3XML", (2, 1, 1, 1, 1), 0.058, ("Shop.Tests.CartTests", "Saves", "ERROR", "no space")),
    ("testng.xml", "TESTNGXML", (3, 1, 1, 1, 0), None, ("demo.CalcTest", "many(1, a<b)", "SUCCEEDED", "")),
    ("testng.xml", "TESTNGXML", (3, 1, 1, 1, 0), None, ("demo.CalcTest", "wrong", "FAILED", "expected [null & <nothing>] but found [zero]")),
    ("testng.xml", "TESTNGXML", (3, 1, 1, 1, 0), None, ("demo.CalcTest", "cleanup", "ERROR", "cleanup broke")),
    ("results.trx", "VISUALSTUDIOTRX", (2, 1, 1, 1, 1), 92.817, ("Shop.Tests.CartTests", "Prices", "FAILED", "Expected:<3>")),
    ("results.trx", "VISUALSTUDIOTRX", (2, 1, 1, 1, 1), 92.817, ("Shop.Tests.CartTests", "Many (Data Row 1)", "UNKNOWN", "")),
    ("cucumber-js.json", "CUCUMBERJSON", (1, 1, 1, 0, 1), None, ("Signs", "A wrong expectation", "FAILED", "'negative'")),
    ("cucumber-js.json", "CUCUMBERJSON", (1, 1, 1, 0, 1), None, ("Signs", "Nobody wrote this step", "ERROR", "When I dance: undefined")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("file", "form", "counts", "seconds", "one"), TESTS, ids=lambda value: str(value)[:40]
)
def test_cases(
    file: str, form: str, counts: tuple[int, ...], seconds: float | None, one: tuple[str, str, str, str]
) -> None:
    report = reports.read_files("unit", form, [DATA / file], root=DATA)

    assert (report.type, report.status, report.files, report.problems) == ("TEST", "FAILED", (file,), ())
    assert tuple(report.counts[status] for status in reports.CASE_STATUSES) == counts
    assert report.total == sum(counts) == len(report.cases)
    assert seconds is None or report.duration == pytest.approx(seconds, abs=0.01)
    suite, name, status, words = one
    case = next(case for case in report.cases if (case.suite, case.name) == (suite, name))
    assert (case.status, case.file) == (status, file)
    assert words in case.message


# file, format, source file, lines covered/of, branches covered/of
COVERAGE = [
    ("istanbul-clover.xml", "CLOVERXML", "/project/sum.js", (4, 5), (3, 4)),
    ("istanbul-cobertura.xml", "COBERTURAXML", "sum.js", (4, 5), (3, 4)),
    ("coverage-py.xml", "COBERTURAXML", "calc.py", (5, 6), (2, 2)),
    ("jacoco.xml", "JACOCOXML", "demo/Calc.java", (2, 5), (1, 4)),
    ("simplecov.resultset.json", "SIMPLECOV", "/project/calc.rb", (5, 7), (1, 2)),
]


@pytest.mark.parametrize(("file", "form", "source", "lines", "branches"), COVERAGE, ids=str)
def test_coverage(
    file: str, form: str, source: str, lines: tuple[int, int], branches: tuple[int, int]
) -> None:
    report = reports.read_files("cover", form, [DATA / file])

    assert (report.type, report.status, report.problems) == ("CODE_COVERAGE", "SUCCEEDED", ())
    (found,) = report.coverage
    assert found.path == source
    assert (found.lines_covered, found.lines) == lines
    assert (found.branches_covered, found.branches) == branches


def test_source_files_below_the_root_have_short_paths(tmp_path: Path) -> None:
    place = tmp_path / "simplecov.json"
    place.write_text((DATA / "simplecov.resultset.json").read_text().replace("/project", str(tmp_path)))

    report = reports.read_files("cover", "SIMPLECOV", [place], root=tmp_path)

    assert [one.path for one in report.coverage] == ["calc.rb"]


@pytest.mark.parametrize(
    ("content", "covered", "lines"),
    [
        ('{"meta": {}, "coverage": {"a.rb": {"lines": [1, null, 0, "ignored"], "branches": []}}}', 1, 2),
        ('{"timestamp": 1, "files": [{"filename": "a.rb", "coverage": {"lines": [2, 0, 0]}}]}', 1, 3),
        ('{"RSpec": {"coverage": {"a.rb": [0, 1, null]}}, "Cucumber": {"coverage": {"a.rb": [3, 0, null]}}}', 2, 2),
    ],
    ids=["formatter", "simplecov-json", "two commands"],
)  # fmt: skip
def test_forms_of_simplecov(tmp_path: Path, content: str, covered: int, lines: int) -> None:
    (tmp_path / "coverage.json").write_text(content)

    (found,) = reports.read_files("cover", "SIMPLECOV", [tmp_path / "coverage.json"]).coverage

    assert (found.path, found.lines_covered, found.lines) == ("a.rb", covered, lines)


def test_php_clover_has_files_in_packages_and_metrics_without_lines(tmp_path: Path) -> None:
    (tmp_path / "clover.xml").write_text(
        '<coverage generated="1"><project timestamp="1"><package name="App">'
        '<file name="/app/A.php"><line num="3" type="method" name="a" count="2"/><line num="4" type="stmt" count="0"/>'
        '<metrics statements="1" coveredstatements="0" conditionals="0" coveredconditionals="0"/></file>'
        '<file name="/app/B.php"><metrics statements="8" coveredstatements="6"/></file>'
        '</package></project><testproject><file name="/app/T.php"/></testproject></coverage>'
    )

    found = reports.read_files("cover", "CLOVERXML", [tmp_path / "clover.xml"]).coverage

    assert [(one.path, one.lines_covered, one.lines) for one in found] == [
        ("/app/A.php", 1, 2),
        ("/app/B.php", 6, 8),
    ]
