"""pyproject.toml: what the project, its extras and groups ask for, and from where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from seatrial.errors import SeatrialError, UsageError
from support import wheels
from support.builders import project, versions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from seatrial.images.resolve import Resolution
    from support.builders import Builder

    Resolve = Callable[..., Resolution]

STANDARD = """\
[project]
name = "mine"
version = "1.0"
requires-python = ">=3.9"
dependencies = ["one", 'two ; sys_platform == "win32"', 'three ; python_full_version < "3.11.2"']
[project.optional-dependencies]
fast = ["four"]
all = ["mine[fast]", "five"]
[dependency-groups]
dev = ["six"]
docs = [{ include-group = "dev" }, "seven"]
itself = ["mine[fast]"]
"""
POETRY = """\
[tool.poetry]
name = "mine"
version = "1.0"
[tool.poetry.dependencies]
python = "^3.9"
one = "^1.0"
two = { version = "*", platform = "win32" }
three = [{ version = "<1", python = "<3.11" }, { version = ">=1", python = ">=3.11" }]
four = { version = "*", optional = true }
[tool.poetry.extras]
fast = ["four"]
[tool.poetry.group.dev.dependencies]
six = "~1.0"
"""
BUILT = '[build-system]\nrequires = ["x"]\nbuild-backend = "x"\n'

CASES: dict[str, tuple[str, dict[str, Any], str]] = {
    "standard": (STANDARD, {}, "one"),
    "extra": (STANDARD, {"extras": ("fast",)}, "four one"),
    "extra of extras": (STANDARD, {"extras": ("all",)}, "five four one"),
    "group": (STANDARD, {"groups": ("dev",)}, "one six"),
    "group of groups": (STANDARD, {"groups": ("docs",)}, "one seven six"),
    "group that asks for the project": (STANDARD, {"groups": ("itself",)}, "four one"),
    "older Python": (STANDARD, {"python": "3.11.1"}, "one three"),
    "how it is built": (STANDARD + BUILT, {}, "mine one"),
    "how it is built, with an extra": (STANDARD + BUILT, {"extras": ("fast",)}, "four mine one"),
    "how it is built, left out": (STANDARD + BUILT, {"project": False}, "one"),
    "not said, but wanted": (STANDARD, {"project": True}, "mine one"),
    "no package to uv": (STANDARD + BUILT + "[tool.uv]\npackage = false\n", {}, "one"),
    "poetry": (POETRY, {}, "one three"),
    "poetry's extra": (POETRY, {"extras": ("fast",)}, "four one three"),
    "poetry's group": (POETRY, {"groups": ("dev",)}, "one six three"),
    "poetry, built": (POETRY + BUILT, {}, "mine one three"),
    "poetry, no package": (
        POETRY.replace('version = "1.0"\n', "package-mode = false\n", 1) + BUILT,
        {},
        "one three",
    ),
    "dynamic": (
        STANDARD.replace("dependencies = [", 'dynamic = ["dependencies"]\nnone = [', 1) + BUILT,
        {},
        "mine",
    ),
}


@pytest.fixture
def packages(wheelhouse: Path) -> None:
    for name in ("one", "two", "three", "four", "five", "six", "seven"):
        wheels.wheel(wheelhouse, name, "1.0")


@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize("case", CASES)
def test_what_a_project_installs(case: str, root: Path, resolved: Resolve) -> None:
    text, options, expected = CASES[case]
    project(root, text)
    assert sorted(versions(resolved("pyproject.toml", **options))) == expected.split()


@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize(
    ("options", "fix"),
    [({"extras": ("fsat",)}, "did you mean 'fast'"), ({"groups": ("nothing",)}, "dev, docs, itself")],
)
def test_an_unknown_extra_or_group_is_said(
    root: Path, resolved: Resolve, options: dict[str, Any], fix: str
) -> None:
    project(root, STANDARD)
    with pytest.raises(UsageError, match="the project has no") as caught:
        resolved("pyproject.toml", **options)
    assert fix in str(caught.value.fix)


def test_extras_need_a_file_that_has_them(root: Path, resolved: Resolve) -> None:
    (root / "requirements.txt").write_text("one\n")
    with pytest.raises(UsageError, match="`extras` is given"):
        resolved("requirements.txt", extras=("fast",))


def test_a_project_for_another_python_is_refused_at_its_place(root: Path, resolved: Resolve) -> None:
    project(root, STANDARD.replace(">=3.9", ">=3.12"))
    with pytest.raises(SeatrialError, match=r"needs Python >=3\.12, and the base has 3\.11\.2") as caught:
        resolved("pyproject.toml")
    assert str(caught.value.where).startswith(f"{root / 'pyproject.toml'}:4:")


def test_dependencies_that_only_a_build_knows_need_the_project(root: Path, resolved: Resolve) -> None:
    project(root, '[project]\nname = "mine"\nversion = "1"\ndynamic = ["dependencies"]\n')
    with pytest.raises(SeatrialError, match="is not in the file") as caught:
        resolved("pyproject.toml")
    assert "--project" in str(caught.value.fix)


@pytest.mark.usefixtures("packages")
def test_setuptools_may_name_requirement_files_as_the_dependencies(root: Path, resolved: Resolve) -> None:
    text = '[project]\nname = "mine"\nversion = "1"\ndynamic = ["dependencies"]\n'
    text += '[tool.setuptools.dynamic]\ndependencies = { file = ["needs.txt"] }\n'
    project(root, text)
    (root / "needs.txt").write_text("one\n")
    assert list(versions(resolved("pyproject.toml"))) == ["one"]


@pytest.mark.usefixtures("packages")
def test_uv_says_where_packages_come_from(root: Path, builder: Builder, resolved: Resolve) -> None:
    builder.repositories["https://git.invalid/six.git"] = "six"
    text = STANDARD.replace('"one"', '"one", "local", "member", "six"')
    text += """\
[tool.uv.workspace]
members = ["libs/*"]
[tool.uv.sources]
local = { path = "local", editable = true }
member = { workspace = true }
six = [
  { git = "https://git.invalid/other.git", marker = "sys_platform == 'win32'" },
  { git = "https://git.invalid/six.git", tag = "v6", subdirectory = "lib" },
]
"""
    project(root, text)
    project(root / "local", '[project]\nname = "local"\nversion = "4.0"\n')
    project(root / "libs" / "any", '[project]\nname = "member"\nversion = "5.0"\n')
    found = resolved("pyproject.toml")
    assert versions(found) == {"local": "4.0", "member": "5.0", "one": "1.0", "six": "3.0"}
    assert [(one.kind, one.revision, one.subfolder) for one in builder.asked] == [
        ("folder", "", ""), ("folder", "", ""), ("git", "v6", "lib"),
    ]  # fmt: skip
    assert sum("a copy of" in note for note in found.notes) == 2


@pytest.mark.usefixtures("packages")
def test_poetry_says_where_packages_come_from(root: Path, builder: Builder, resolved: Resolve) -> None:
    builder.repositories["ssh://git@git.invalid/six.git"] = "six"
    text = POETRY.replace(
        'one = "^1.0"',
        'local = { path = "local", develop = true }\nsix = { git = "git@git.invalid:six.git", branch = "main" }',
    )
    project(root, text)
    project(root / "local", '[project]\nname = "local"\nversion = "4.0"\n')
    assert versions(resolved("pyproject.toml")) == {"local": "4.0", "six": "3.0", "three": "1.0"}
    assert builder.asked[1].revision == "main"


@pytest.mark.usefixtures("packages")
def test_changed_sources_are_built_again_and_nothing_is_looked_up(
    root: Path, builder: Builder, wheelhouse: Path, resolved: Resolve
) -> None:
    project(root, STANDARD + BUILT, mine_py="value = 1\n")
    before = resolved("pyproject.toml")
    wheels.wheel(wheelhouse, "one", "2.0")
    assert resolved("pyproject.toml").cached
    (root / "mine.py").write_text("value = 2, changed\n")
    after = resolved("pyproject.toml")
    assert versions(after) == versions(before)
    assert [w.sha256 for w in after.lock.wheels if w.name == "one"] == [
        w.sha256 for w in before.lock.wheels if w.name == "one"
    ]
    assert {w.name for w in after.lock.wheels} - {
        w.name for w in after.lock.wheels if w in before.lock.wheels
    } == {"mine"}
    assert resolved("pyproject.toml").cached
    assert builder.names == ["folder project", "folder project"]
