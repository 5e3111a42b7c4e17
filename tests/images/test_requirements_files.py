"""What a project asks for is gathered from all its files, in the order pip reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from seatrial.images.requirements import from_pyproject, read_files
from seatrial.images.versions import pinned, reaches, stays_below
from seatrial.sources.text import Source, SourceError

if TYPE_CHECKING:
    from pathlib import Path


def test_files_are_read_with_what_they_include(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "requirements.txt").write_text("-r deep/base.txt\nflask==3\n-c limits.txt\n")
    (tmp_path / "deep/base.txt").write_text("-r ../requirements.txt\n-r more.txt\nnumpy\n")
    (tmp_path / "deep/more.txt").write_text("torch\n")
    (tmp_path / "limits.txt").write_text("numpy<2\n-r deep/more.txt\n")

    (found,) = read_files([tmp_path / "requirements.txt"], tmp_path)

    assert [(one.name, one.source.path, one.constraint) for one in found.asked] == [
        ("flask", "requirements.txt", False),
        ("numpy", "deep/base.txt", False),
        ("numpy", "limits.txt", True),
        ("torch", "deep/more.txt", False),
        ("torch", "deep/more.txt", True),
    ]
    assert [str(one.specifiers) for one in found.named("numpy")] == ["", "<2"]


def test_a_file_that_is_not_there_is_an_error_and_an_include_is_not(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("-r gone.txt\nflask\n")

    assert len(read_files([tmp_path / "a.txt"], tmp_path)[0].asked) == 1
    with pytest.raises(SourceError):
        read_files([tmp_path / "gone.txt"], tmp_path)


@pytest.mark.parametrize(
    "text", ["", "[project]\nname = 'x'\n", "[tool.x]\ndependencies = ['a']\n", "project = 1\n"]
)
def test_a_pyproject_without_dependencies_asks_for_nothing(text: str) -> None:
    assert from_pyproject(Source("pyproject.toml", text)).asked == ()


def test_dependencies_of_pyproject_know_their_place() -> None:
    text = "[tool.x]\na = 'numpy'\n[project]\nname = \"numpy\"\ndependencies = ['numpy', \"numpy\", 'a>1;os_name==\"nt\"']\n"
    found = from_pyproject(Source("pyproject.toml", text)).asked

    assert [text[slice(one.line.start, one.line.end)] for one in found] == [
        "numpy",
        "numpy",
        'a>1;os_name=="nt"',
    ]
    assert found[0].line.start < found[1].line.start
    assert not found[2].holds_for("3.11")


@pytest.mark.parametrize(
    ("specifier", "below", "from_on"),
    [
        ("==1.26.4", True, False), ("<2", True, False), ("<=1.99", True, False), ("<=2", False, False),
        ("==1.*", True, False), ("~=1.26", True, False), ("~=1.26.1", True, False), ("===1.2", True, False),
        ("==2.0.0", False, True), (">=2", False, True), ("~=2.0", False, True), ("==2.1.*", False, True),
        (">=1.21", False, False), ("!=2", False, False), ("", False, False), (">=1,<2", True, False),
        ("==2.0.0+cu118", False, True), ("===anything", False, False), (">=2,!=2.1", False, True),
    ],
)  # fmt: skip
def test_what_a_specifier_promises(specifier: str, below: bool, from_on: bool) -> None:
    from packaging.specifiers import SpecifierSet

    assert stays_below(SpecifierSet(specifier), "2") is below
    assert reaches(SpecifierSet(specifier), "2") is from_on


def test_only_exact_versions_are_pins() -> None:
    from packaging.specifiers import SpecifierSet

    assert [pinned(SpecifierSet(one)) for one in ("==1.2", "==1.*", ">=1", "===1.0+x")] == [
        "1.2",
        None,
        None,
        "1.0+x",
    ]
