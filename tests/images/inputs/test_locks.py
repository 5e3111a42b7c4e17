"""uv.lock, poetry.lock and pylock.toml: exactly what they say, for the target, from where they or the indexes say."""

from __future__ import annotations

import hashlib
import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from seatrial.errors import SeatrialError, UsageError
from seatrial.images.target import Target
from seatrial.images.uv_program import find_uv
from support import wheels
from support.builders import project, sdist, versions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from seatrial.images.resolve import Resolution
    from support.builders import Builder

    Resolve = Callable[..., Resolution]

PROJECT = """\
[project]
name = "mine"
version = "1.0"
requires-python = ">=3.10"
dependencies = ["one>=1", "member", 'two ; sys_platform == "win32"']
[project.optional-dependencies]
fast = ["four"]
[dependency-groups]
dev = ["six"]
[tool.uv.workspace]
members = ["libs/*"]
[tool.uv.sources]
member = { workspace = true }
"""
MEMBER = '[project]\nname = "member"\nversion = "5.0"\nrequires-python = ">=3.10"\ndependencies = ["five"]\n'
BUILT = '[build-system]\nrequires = ["x"]\nbuild-backend = "x"\n'


@pytest.fixture
def packages(wheelhouse: Path) -> Path:
    for name in ("one", "two", "four", "five", "six"):
        wheels.wheel(wheelhouse, name, "1.0")
    return wheelhouse


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def uv_lock(root: Path, text: str = PROJECT) -> None:
    """Write the lock of a workspace with uv itself."""
    project(root, text)
    project(root / "libs" / "any", MEMBER + BUILT)
    done = subprocess.run([find_uv(), "lock"], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("packages")
class TestUv:
    @pytest.mark.parametrize(
        ("text", "options", "expected"),
        [
            (PROJECT, {}, "five member one"),
            (PROJECT, {"extras": ("fast",)}, "five four member one"),
            (PROJECT, {"groups": ("dev",)}, "five member one six"),
            (PROJECT + BUILT, {}, "five member mine one"),
            (PROJECT + BUILT, {"project": False}, "five member one"),
            (PROJECT, {"project": True}, "five member mine one"),
        ],
    )
    def test_what_it_installs(
        self, root: Path, resolved: Resolve, text: str, options: dict[str, object], expected: str
    ) -> None:
        uv_lock(root, text)
        assert sorted(versions(resolved("uv.lock", **options))) == expected.split()

    def test_a_member_of_the_workspace_may_be_the_project(self, root: Path, resolved: Resolve) -> None:
        uv_lock(root)
        assert sorted(versions(resolved("uv.lock", "libs/any/pyproject.toml"))) == ["five", "member"]

    def test_newer_versions_do_not_matter_and_nothing_is_asked(
        self, root: Path, packages: Path, resolved: Resolve
    ) -> None:
        uv_lock(root)
        wheels.wheel(packages, "one", "2.0")
        assert versions(resolved("uv.lock"))["one"] == "1.0"

    def test_a_lock_without_a_wheel_for_the_target_is_built_from_its_source(
        self, root: Path, packages: Path, builder: Builder, resolved: Resolve
    ) -> None:
        wheels.wheel(packages, "native", "1.0", tag="cp312-cp312-manylinux_2_17_x86_64")
        archive = sdist(packages, "native", "1.0")
        uv_lock(root, PROJECT.replace('"one>=1"', '"native"').replace("dependencies", "dependencies"))
        assert versions(resolved("uv.lock"))["native"] == "1.0"
        assert builder.asked[-1].sha256 == sha256(archive)
        with pytest.raises(SeatrialError, match=r"member, native 1\.0 have no wheel"):
            resolved("uv.lock", building=False, refresh=True)

    @pytest.mark.parametrize(
        ("before", "after", "message"),
        [
            ('"one>=1"', '"one>=2"', "uv.lock has one 1.0, not >=2"),
            ('"one>=1"', '"one>=1", "four"', "four is not in uv.lock"),
        ],
    )
    def test_a_lock_that_the_project_has_left_behind_is_an_error_at_the_request(
        self, root: Path, resolved: Resolve, before: str, after: str, message: str
    ) -> None:
        uv_lock(root)
        (root / "pyproject.toml").write_text(PROJECT.replace(before, after))
        with pytest.raises(SeatrialError) as caught:
            resolved("uv.lock")
        assert caught.value.what == message
        assert str(caught.value.where).startswith(f"{root / 'pyproject.toml'}:5:")
        assert "uv lock" in str(caught.value.fix)

    def test_a_lock_that_still_satisfies_a_changed_project_is_used_with_a_note(
        self, root: Path, resolved: Resolve
    ) -> None:
        uv_lock(root)
        (root / "pyproject.toml").write_text(PROJECT.replace("one>=1", "one>=0.5"))
        found = resolved("uv.lock")
        assert any("asked for one" in note for note in found.notes)

    def test_what_does_not_go_together_is_said(self, root: Path, resolved: Resolve) -> None:
        uv_lock(root)
        (root / "requirements.txt").write_text("one\n")
        with pytest.raises(UsageError, match="named together"):
            resolved("uv.lock", "requirements.txt")
        with pytest.raises(UsageError, match="no extra"):
            resolved("uv.lock", extras=("none",))
        (root / "pyproject.toml").unlink()
        with pytest.raises(SeatrialError, match="the project of this lock is not there"):
            resolved("uv.lock")


POETRY = """\
[tool.poetry]
name = "mine"
version = "1.0"
[tool.poetry.dependencies]
python = "^3.10"
one = { version = "^1.0", extras = ["more"] }
two = { version = "*", platform = "win32" }
three = [{ version = "<2", python = "<3.11" }, { version = ">=2", python = ">=3.11" }]
four = { version = "*", optional = true }
[tool.poetry.extras]
fast = ["four"]
[tool.poetry.group.dev.dependencies]
six = "*"
"""
# Each with its group and marker, and the tables of what it needs.
POETRY_PACKAGES = [
    ("one", "1.0", "main", "", '[package.dependencies]\nfive = { version = ">=1,<2 || >3", optional = true, markers = "extra == \\"more\\"" }\nfar = { version = "*", markers = "sys_platform == \\"win32\\"" }\n[package.extras]\nmore = ["five (>=1)"]\n'),
    ("two", "1.0", "main", 'sys_platform == \\"win32\\"', ""),
    ("three", "1.0", "main", 'python_version < \\"3.11\\"', ""),
    ("three", "2.0", "main", 'python_version >= \\"3.11\\"', ""),
    ("four", "1.0", "main", 'extra == \\"fast\\"', ""),
    ("five", "1.0", "main", "", ""),
    ("six", "1.0", "dev", "", ""),
    ("far", "1.0", "main", "", ""),
]  # fmt: skip


def poetry_lock(root: Path, house: Path, lock_format: str) -> None:
    """A lock as Poetry 1.4 (files in one table), 1.8 (no groups) and 2.1 write them, with the hashes of the files."""
    project(root, POETRY)
    text, files = "", "[metadata.files]\n"
    for name, version, group, marker, rest in POETRY_PACKAGES:
        path = wheels.wheel(house, name, version)
        listed = f'[{{ file = "{path.name}", hash = "sha256:{sha256(path)}" }}]'
        text += f'[[package]]\nname = "{name}"\nversion = "{version}"\noptional = {str(name == "four").lower()}\npython-versions = "*"\n'
        if lock_format == "2.1":
            text += f'groups = ["{group}"]\n' + (f'markers = "{marker}"\n' if marker else "")
        if lock_format != "1.1":
            text += f"files = {listed}\n"
        elif (name, version) != ("three", "1.0"):
            files += f"{name} = {listed}\n"
        text += rest + "\n"
    text += f'[metadata]\nlock-version = "{lock_format}"\npython-versions = "^3.10"\ncontent-hash = "x"\n'
    (root / "poetry.lock").write_text(text + (files if lock_format == "1.1" else ""))


@pytest.mark.parametrize("lock_format", ["1.1", "2.0", "2.1"])
class TestPoetry:
    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({}, "five one three"),
            ({"extras": ("fast",)}, "five four one three"),
            ({"groups": ("dev",)}, "five one six three"),
            ({"project": True}, "five mine one three"),
        ],
    )
    def test_what_it_installs(
        self,
        root: Path,
        wheelhouse: Path,
        resolved: Resolve,
        lock_format: str,
        options: dict[str, object],
        expected: str,
    ) -> None:
        poetry_lock(root, wheelhouse, lock_format)
        found = resolved("poetry.lock", **options)
        assert sorted(versions(found)) == expected.split()
        assert versions(found)["three"] == "2.0"

    def test_only_the_files_of_the_lock_are_taken(
        self, root: Path, wheelhouse: Path, resolved: Resolve, lock_format: str
    ) -> None:
        poetry_lock(root, wheelhouse, lock_format)
        wheels.wheel(wheelhouse, "one", "1.0", {"one.py": b"other = 1\n"})
        with pytest.raises(SeatrialError, match="hash"):
            resolved("poetry.lock")

    def test_a_lock_that_the_project_has_left_behind_is_an_error_at_the_request(
        self, root: Path, wheelhouse: Path, resolved: Resolve, lock_format: str
    ) -> None:
        poetry_lock(root, wheelhouse, lock_format)
        (root / "pyproject.toml").write_text(POETRY.replace('"^1.0"', '"^2.0"'))
        with pytest.raises(SeatrialError, match=r"poetry\.lock has one 1\.0") as caught:
            resolved("poetry.lock")
        assert str(caught.value.where).startswith(f"{root / 'pyproject.toml'}:6:")
        assert "poetry lock" in str(caught.value.fix)


def test_poetry_keeps_places_of_their_own(
    root: Path, wheelhouse: Path, builder: Builder, resolved: Resolve
) -> None:
    builder.repositories["https://git.invalid/three.git"] = "three"
    project(root, POETRY.replace('one = { version = "^1.0", extras = ["more"] }', 'one = { path = "lib" }'))
    project(root / "lib", '[project]\nname = "one"\nversion = "9.0"\n')
    (root / "poetry.lock").write_text(
        '[[package]]\nname = "one"\nversion = "9.0"\noptional = false\npython-versions = "*"\nfiles = []\ndevelop = true\n'
        '[package.source]\ntype = "directory"\nurl = "lib"\n\n'
        '[[package]]\nname = "three"\nversion = "3.0"\noptional = false\npython-versions = "*"\nfiles = []\n'
        '[package.source]\ntype = "git"\nurl = "https://git.invalid/three.git"\nreference = "main"\n'
        'resolved_reference = "abc123"\n\n[metadata]\nlock-version = "2.0"\n'
    )
    assert versions(resolved("poetry.lock")) == {"one": "9.0", "three": "3.0"}
    assert [(one.kind, one.revision) for one in builder.asked] == [("folder", ""), ("git", "abc123")]


def pylock(root: Path, *packages: str, head: str = "") -> None:
    text = f'lock-version = "1.0"\ncreated-by = "test"\n{head}\n'
    (root / "pylock.toml").write_text(text + "".join(f"[[packages]]\n{one}\n" for one in packages))


def entry(path: Path, more: str = "", place: str = "") -> str:
    name, version = path.name.split("-")[:2]
    where = place or f'path = "../wheelhouse/{path.name}"'
    return f'name = "{name}"\nversion = "{version}"\n{more}\nwheels = [{{ {where}, hashes = {{ sha256 = "{sha256(path)}" }} }}]\n'


class TestPylock:
    def test_markers_extras_and_groups_decide(self, root: Path, wheelhouse: Path, resolved: Resolve) -> None:
        marks = {
            "one": "",
            "two": "sys_platform == 'win32'",
            "three": "python_full_version < '3.11.2'",
            "four": "'fast' in extras",
            "five": "'dev' in dependency_groups",
            "six": "'main' in dependency_groups",
        }
        entries = [
            entry(wheels.wheel(wheelhouse, name), f'marker = "{mark}"' if mark else "")
            for name, mark in marks.items()
        ]
        pylock(
            root, *entries, head='extras = ["fast"]\ndependency-groups = ["dev"]\ndefault-groups = ["main"]'
        )
        assert sorted(versions(resolved("pylock.toml"))) == ["one", "six"]
        assert sorted(versions(resolved("pylock.toml", extras=("fast",), groups=("dev",)))) == [
            "five",
            "four",
            "one",
            "six",
        ]
        with pytest.raises(UsageError, match="the lock has no group 'docs'"):
            resolved("pylock.toml", groups=("docs",))

    def test_every_kind_of_source_is_read(
        self, root: Path, wheelhouse: Path, builder: Builder, resolved: Resolve
    ) -> None:
        builder.repositories["https://git.invalid/three.git"] = "three"
        project(root / "lib", '[project]\nname = "two"\nversion = "2.0"\n')
        archive = sdist(root, "four", "4.0")
        hashes = f'hashes = {{ sha256 = "{sha256(archive)}" }}'
        pylock(
            root,
            entry(wheels.wheel(wheelhouse, "one")),
            'name = "two"\ndirectory = { path = "lib", editable = true }\n',
            'name = "three"\nvcs = { type = "git", url = "https://git.invalid/three.git", commit-id = "abc123", subdirectory = "s" }\n',
            f'name = "four"\nversion = "4.0"\nsdist = {{ path = "four-4.0.tar.gz", {hashes} }}\n',
        )
        found = resolved("pylock.toml")
        assert versions(found) == {"four": "4.0", "one": "1.0", "three": "3.0", "two": "2.0"}
        assert [(one.kind, one.revision, one.subfolder) for one in builder.asked] == [
            ("folder", "", ""), ("git", "abc123", "s"), ("sdist", "", ""),
        ]  # fmt: skip
        assert [json.loads(w.direct_url)["url"] for w in found.lock.wheels if w.direct_url] == [
            "https://git.invalid/three.git"
        ]
        assert any("copies of two" in note for note in found.notes)

    def test_a_file_that_is_not_beside_the_lock_is_looked_for_by_its_hash(
        self, root: Path, wheelhouse: Path, tmp_path: Path, resolved: Resolve
    ) -> None:
        one = wheels.wheel(wheelhouse, "one")
        pylock(root, entry(one, place=f'path = "./{one.name}"'))
        assert resolved("pylock.toml").urls == {sha256(one): str(one)}
        moved = tmp_path / "house two" / one.name
        moved.parent.mkdir()
        one.rename(moved)
        assert resolved("pylock.toml", find_links=(moved.parent,)).urls == {sha256(moved): str(moved)}

    @pytest.mark.parametrize(
        ("head", "message"),
        [
            ("environments = [\"sys_platform == 'darwin'\"]", "not for Python 3.11"),
            ('requires-python = ">=3.12"', "needs Python >=3.12"),
        ],
    )
    def test_a_lock_for_something_else_is_refused(
        self, root: Path, resolved: Resolve, head: str, message: str
    ) -> None:
        pylock(root, head=head)
        with pytest.raises(SeatrialError, match=message):
            resolved("pylock.toml")

    def test_a_package_without_a_file_for_the_target_is_named(
        self, root: Path, wheelhouse: Path, resolved: Resolve
    ) -> None:
        pylock(root, entry(wheels.wheel(wheelhouse, "native", tag="cp311-cp311-manylinux_2_17_aarch64")))
        with pytest.raises(SeatrialError, match=r"native 1\.0 has no wheel for Python 3\.11 on linux/amd64"):
            resolved("pylock.toml")
        assert versions(resolved("pylock.toml", target=Target(platform="linux/arm64"))) == {"native": "1.0"}

    @pytest.mark.parametrize("text", ["", "x = [", 'lock-version = "2.0"\npackages = []', "packages = 3"])
    def test_what_is_no_lock_is_refused(self, root: Path, resolved: Resolve, text: str) -> None:
        (root / "pylock.toml").write_text(text)
        with pytest.raises(SeatrialError):
            resolved("pylock.toml")


@pytest.mark.parametrize("name", ["Pipfile", "Pipfile.lock", "pdm.lock", "setup.py"])
def test_files_of_other_tools_are_named_with_what_to_do(root: Path, resolved: Resolve, name: str) -> None:
    (root / name).write_text("")
    with pytest.raises(UsageError, match="is not read") as caught:
        resolved(name)
    assert caught.value.fix


ENVIRONMENT = """\
name: mine
channels: [conda-forge]
dependencies:
  - python=3.11
  - pip
  - pip:
    - one
    - -r more.txt
    - ./mine
"""


class TestEnvironment:
    def test_the_pip_list_is_installed(self, root: Path, packages: Path, resolved: Resolve) -> None:
        (root / "environment.yml").write_text(ENVIRONMENT)
        (root / "more.txt").write_text("two\n")
        project(root / "mine", '[project]\nname = "mine"\nversion = "1.0"\n')
        assert sorted(versions(resolved("environment.yml"))) == ["mine", "one", "two"]

    @pytest.mark.parametrize(
        ("line", "message", "place"),
        [
            ("- python=3.12", "wants Python ==3.12", "4:5"),
            ("- python\n  - numpy=1.26\n  - conda-forge::scipy", "2 packages are conda's: numpy (", "5:5"),
            ("- pip:\n    - '!!'\n  - pip", "not a requirement", "5:7"),
        ],
    )
    def test_what_is_not_pips_is_named_with_its_place(
        self, root: Path, resolved: Resolve, line: str, message: str, place: str
    ) -> None:
        (root / "environment.yml").write_text(ENVIRONMENT.replace("- python=3.11", line))
        (root / "more.txt").write_text("")
        with pytest.raises(SeatrialError) as caught:
            resolved("environment.yml")
        assert message in caught.value.what
        assert caught.value.where == f"{root / 'environment.yml'}:{place}"
