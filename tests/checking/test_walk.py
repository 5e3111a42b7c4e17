"""The walk finds what git would not ignore, at every level."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from seatrial.checking.walk import excluded, walk
from seatrial.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def tree(root: Path, *paths: str, **contents: str) -> None:
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(contents.get(path, "a: 1\n"))


def ignoring(root: Path, folder: str, *patterns: str) -> None:
    (root / folder).mkdir(parents=True, exist_ok=True)
    (root / folder / ".gitignore").write_text("\n".join(patterns) + "\n")


FILES = (
    "a.yml", "b.yml", "keep.yml", "build/a.yml", "build/keep.yml", "src/a.yml", "src/build/b.yml",
    "src/gen/a.yml", "src/gen/keep.yml", "src/deep/er/a.yml", "src/deep/er/keep.yml", "odd name/é.yml",
    "logs/x.yml", "logs/y/x.yml", "foo/bar/a.yml",
)  # fmt: skip

IGNORES = [
    {"": ["build/"]},
    {"": ["/build"]},
    {"": ["*.yml", "!keep.yml"]},
    {"": ["build/*", "!build/keep.yml"]},
    {"": ["gen"], "src": ["!gen"]},
    {"": ["*.yml"], "src/deep": ["!*.yml"], "src/deep/er": ["keep.yml"]},
    {"": ["src/**/a.yml", "# comment", "", "  "]},
    {"": ["**/er/", "logs/**", "!logs/y"]},
    {"": ["foo/*", "!foo/bar"], "foo": ["bar/a.yml"]},
    {"": ["odd\\ name/", "[ab].yml", "k??p.yml"]},
    {"": ["!", "a["], "src": ["/a.yml", "/gen/"]},
    {"": ["src", "!src/a.yml"]},
    {"": ["a.yml\r", "logs/y/\r"]},
]


@pytest.mark.parametrize("ignores", IGNORES, ids=range(len(IGNORES)))
def test_the_walk_agrees_with_git(tmp_path: Path, ignores: dict[str, list[str]]) -> None:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    tree(tmp_path, *FILES)
    for folder, patterns in ignores.items():
        ignoring(tmp_path, folder, *patterns)
    (tmp_path / ".git/info/exclude").write_text("b.yml\n")
    listed = subprocess.run(
        ["git", "-c", "core.excludesFile=", "ls-files", "-z", "--others", "--exclude-standard"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")

    assert set(walk(tmp_path)) == {one for one in listed if one.endswith(".yml")}
    below = {one for one in listed if one.startswith("src/") and one.endswith(".yml")}
    if not any(one.strip("/") == "src" for one in ignores[""]):
        assert set(walk(tmp_path, "src")) == below
        assert {f"src/{one}" for one in walk(tmp_path / "src")} == below
    assert set(walk(tmp_path, use_ignore=False)) == set(FILES)


def test_what_others_made_is_passed_over(tmp_path: Path) -> None:
    tree(
        tmp_path,
        "a.yml",
        "node_modules/x/a.yml",
        "env/pyvenv.cfg",
        "env/lib/a.yml",
        ".git/a.yml",
        ".venv/a.yml",
    )

    assert list(walk(tmp_path, use_ignore=False)) == ["a.yml"]


def test_links_are_not_followed_twice_or_round(tmp_path: Path) -> None:
    outside = tmp_path / "outside.yml"
    outside.write_text("a: 1\n")
    root = tmp_path / "root"
    tree(root, "a.yml", "sub/b.yml")
    (root / "same.yml").symlink_to("a.yml")
    (root / "loop").symlink_to(root)
    (root / "gone.yml").symlink_to("nowhere")
    (root / "far.yml").symlink_to(outside)

    assert list(walk(root)) == ["a.yml", "far.yml", "sub/b.yml"]


def test_special_and_enormous_files_are_passed_over(tmp_path: Path) -> None:
    tree(tmp_path, "a.yml")
    os.mkfifo(tmp_path / "pipe.yml")
    with (tmp_path / "big.json").open("wb") as stream:
        stream.truncate(50_000_000)

    assert list(walk(tmp_path)) == ["a.yml"]


def test_names_that_are_no_text_are_passed_over(tmp_path: Path) -> None:
    tree(tmp_path, "é.yml")
    (tmp_path / os.fsdecode(b"\xff.yml")).write_text("a: 1\n")

    assert list(walk(tmp_path)) == ["é.yml"]


def test_excluded_patterns_are_relative_to_where_they_are_written(tmp_path: Path) -> None:
    tree(tmp_path, "a.yml", "sub/a.yml", "sub/deep/a.yml")

    assert list(walk(tmp_path, exclude=["/a.yml", "deep/"])) == ["sub/a.yml"]
    assert list(walk(tmp_path / "sub", exclude=["sub/a.yml"], exclude_base=tmp_path)) == ["deep/a.yml"]
    assert excluded(tmp_path, "sub/a.yml", ["sub/"], tmp_path)
    assert not excluded(tmp_path, "a.yml", ["sub/"], tmp_path)


def test_a_malformed_exclude_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="pattern"):
        list(walk(tmp_path, exclude=["!"]))
