"""Requirement files are read as pip reads them, and each part knows where it is."""

from __future__ import annotations

import pytest

from seatrial.sources.requirements import Line, RequirementsFile, read
from seatrial.sources.text import Source


def lines(text: str) -> tuple[Line, ...]:
    return read(Source("r.txt", text)).lines


def part(text: str, span: tuple[int, int]) -> str:
    return text[slice(*span)]


@pytest.mark.parametrize(
    ("text", "name", "specifier"),
    [
        ("numpy\n", "numpy", ""),
        ("NumPy==1.26.4\n", "numpy", "==1.26.4"),
        ("scikit_learn >= 1.2 , < 2 ; python_version < '3.12'  # why\n", "scikit-learn", ">= 1.2 , < 2"),
        ("torch[cuda, x]==2.0.1+cu118\n", "torch", "==2.0.1+cu118"),
        ("pandas(>=1)\n", "pandas", "(>=1)"),
        ("numpy; python_version<'3'", "numpy", ""),
        ("  numpy~=1.26", "numpy", "~=1.26"),
        ("numpy\\\n  ==1.26.4\n", "numpy", "==1.26.4"),
        ("a==1#2\n", "", ""),
    ],
)
def test_names_and_specifiers(text: str, name: str, specifier: str) -> None:
    file = read(Source("r.txt", text))
    if not name:
        assert file.findings
        return
    (line,) = file.lines
    assert line.name == name
    assert part(text, line.specifier) == specifier


def test_an_absent_specifier_goes_behind_the_name_and_its_extras() -> None:
    for text, before in (("numpy", "numpy"), ("a [x] ; os_name=='nt'", "a [x]"), ("b  # c", "b")):
        (line,) = lines(text)
        assert line.specifier == (len(before), len(before))


def test_options_includes_and_constraints() -> None:
    found = lines(
        "-r base.txt\n--requirement=more.txt\n-c ../c.txt # x\n--extra-index-url https://x/\n-e .\n"
    )

    assert [(one.kind, one.target) for one in found] == [
        ("include", "base.txt"), ("include", "more.txt"), ("constraint", "../c.txt"), ("option", ""), ("url", "."),
    ]  # fmt: skip


def test_hashes_on_continued_lines() -> None:
    text = "a==1 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\nb==2\n"
    first, second = lines(text)

    assert first.hashes == ("sha256:aa", "sha256:bb")
    assert text[first.start : first.end].endswith("sha256:bb")
    assert part(text, first.specifier) == "==1"
    assert second.start == text.index("b==2")
    assert read(Source("r.txt", text)).hashed


@pytest.mark.parametrize(
    "text",
    [
        "./local",
        "git+https://x/y.git#egg=z",
        "https://x/y.whl",
        "pkg-1.0-py3-none-any.whl",
        "../dir/",
        "${HOME}/x",
    ],
)
def test_what_is_no_name_is_a_location(text: str) -> None:
    (line,) = lines(text)
    assert (line.kind, line.target) == ("url", text)


def test_a_direct_reference_has_a_name() -> None:
    (line,) = lines("foo @ https://x/foo.whl ; python_version > '3'")
    assert (line.kind, line.name) == ("requirement", "foo")


def test_a_line_that_pip_refuses_is_a_finding_and_the_others_are_read() -> None:
    file: RequirementsFile = read(Source("r.txt", "numpy==1.26\r\n  torch=2.1\r\nflask\r\n"))

    assert [one.name for one in file.lines] == ["numpy", "flask"]
    (found,) = file.findings
    assert (found.rule, found.line, found.column) == ("requirements/syntax", 2, 3)
    assert "torch=2.1" in found.message


def test_comments_and_blank_lines_are_passed_over() -> None:
    assert [one.name for one in lines("# a\n\n  # b\nc # d\n\\\n\nurl#x\n")] == ["c"]


def test_a_comment_within_a_continuation_ends_it() -> None:
    assert [one.text for one in lines("a==1 \\\n# note\nb==2\n")] == ["a==1", "b==2"]
