"""What `*` and `**` find, against the user guide's examples and against the rule written down a second time."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from seatrial.builds.patterns import excludes, expand, find, matches
from seatrial.builds.view import View, below
from seatrial.errors import SeatrialError
from support.buildspecs import tree

if TYPE_CHECKING:
    from pathlib import Path

NAMES = (
    "a",
    "ab",
    "b.a",
    ".a",
    "a/a",
    "a/b",
    "ab/a/b",
    "ab/.a/b.a",
    "b/ab/a/a",
    "b/ab/.b",
    "b/b/b/b",
    ".b/a/ab",
)


def names(root: Path, pattern: str, **options: bool) -> list[str]:
    return [found.name for found in find(below(root), str(root), pattern, **options)]


def by_the_rule(pattern: list[str], name: list[str]) -> bool:
    """`**` is any number of folders, `*` any characters of one name; a `**` at the end still wants a name."""
    if not pattern or not name:
        return not pattern and not name
    if pattern[0] == "**":
        rest = pattern[1:] or ["*"]
        return any(by_the_rule(rest, name[number:]) for number in range(len(name)))
    return one_name(pattern[0], name[0]) and by_the_rule(pattern[1:], name[1:])


def one_name(pattern: str, name: str) -> bool:
    if not pattern:
        return not name
    if pattern[0] == "*":
        return one_name(pattern[1:], name) or (name != "" and one_name(pattern, name[1:]))
    return name[:1] == pattern[0] and one_name(pattern[1:], name[1:])


PARTS = some.lists(
    some.one_of(
        some.just("**"), some.sampled_from(["*", "a", "b", "a*", "*a", ".a", "*.*", ".*", "*b*", "ab"])
    ),
    min_size=1,
    max_size=5,
)


@pytest.fixture(scope="module")
def small_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    for name in NAMES:
        if name in ("a", "ab"):
            continue
        tree(root, name)
    return root


@settings(max_examples=100, deadline=None)
@given(parts=PARTS)
def test_finds_exactly_what_the_rule_says(parts: list[str], small_tree: Path) -> None:
    there = [str(path.relative_to(small_tree)) for path in small_tree.rglob("*") if path.is_file()]
    wanted = {name for name in there if by_the_rule(parts, name.split("/"))}
    assert set(names(small_tree, "/".join(parts))) == wanted
    assert {name for name in there if matches("/".join(parts), name)} == wanted


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("my-file.jar", ["my-file.jar"]),
        ("./my-file.jar", ["my-file.jar"]),
        ("my-subdirectory/my-file.jar", ["my-subdirectory/my-file.jar"]),
        ("my-subdirectory/*", ["my-subdirectory/my-file.jar"]),
        ("my-subdirectory/**/*", ["my-subdirectory/deep/x", "my-subdirectory/my-file.jar"]),
        ("my-subdirectory/**", ["my-subdirectory/deep/x", "my-subdirectory/my-file.jar"]),
        ("pages/[id].js", ["pages/[id].js"]),
        ("pages/{a,b}.js", []),
        ("my-subdirectory", []),
        ("my-subdirectory/", []),
        ("nothing/*", []),
        ("**/*.jar", ["my-file.jar", "my-subdirectory/my-file.jar"]),
    ],
)
def test_user_guides_examples(tmp_path: Path, pattern: str, wanted: list[str]) -> None:
    tree(
        tmp_path,
        "my-file.jar",
        "my-subdirectory/my-file.jar",
        "my-subdirectory/deep/x",
        "pages/[id].js",
        "pages/i.js",
    )
    assert names(tmp_path, pattern) == wanted


@pytest.mark.parametrize(
    ("pattern", "left_out", "stays"),
    [
        (
            "**/file-name/**/*",
            ["file-name", "a/b/file-name", "file-name/x"],
            ["file-names", "a/my-file-name"],
        ),
        ("**/.*/**/*", [".git/config", "a/.cache/x/y", ".env"], ["a/b", "a.b/c"]),
        ("**/node_modules/**/*", ["node_modules/a", "x/node_modules/a/b"], ["node_module/a"]),
        ("*.map", ["a.map"], ["dist/a.map"]),
    ],
)
def test_exclusions_of_the_user_guide(pattern: str, left_out: list[str], stays: list[str]) -> None:
    assert [name for name in left_out if not excludes(pattern, name)] == []
    assert [name for name in stays if excludes(pattern, name)] == []


def test_names_with_newlines_and_bytes_that_are_no_text(tmp_path: Path) -> None:
    odd = [b"new\nline", b"\xff\xfe.bin", b"'\"$(x)"]
    for name in odd:
        os.close(os.open(os.fsencode(tmp_path) + b"/" + name, os.O_CREAT | os.O_WRONLY))
    found = names(tmp_path, "**/*")
    assert sorted(os.fsencode(name) for name in found) == sorted(odd)


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    tree(tmp_path, "real/x")
    (tmp_path / "real/up").symlink_to("..")
    (tmp_path / "to-file").symlink_to("real/x")
    (tmp_path / "to-folder").symlink_to("real")
    (tmp_path / "dangling").symlink_to("nowhere")
    assert set(names(tmp_path, "**/*")) == {"real/x", "to-file", "to-folder/x"}
    assert set(names(tmp_path, "**/*", links=True)) == {
        "real/x",
        "real/up",
        "to-file",
        "to-folder",
        "dangling",
    }


def test_a_link_in_an_image_means_a_file_of_the_image(tmp_path: Path) -> None:
    outside = tree(tmp_path, "secret", "image/etc/passwd", "image/work/x") / "secret"
    work = tmp_path / "image/work"
    (work / "etc").symlink_to("/etc/passwd")
    (work / "climbing").symlink_to("../../secret")
    (work / "absolute").symlink_to(outside)
    (work / "folder").symlink_to("/etc")
    view = View({"/": tmp_path / "image", "/src": work})
    found = {one.name: one.place for one in find(view, "/src", "**/*")}
    assert found == {
        "x": str(work / "x"),
        "etc": str(tmp_path / "image/etc/passwd"),
        "folder/passwd": str(tmp_path / "image/etc/passwd"),
    }
    assert names(work, "**/*") == ["x"]  # and with no view, nothing outside of the workspace at all


def test_links_that_multiply_come_to_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seatrial.builds.patterns._MOST", 300)
    for one in range(9):
        (tmp_path / str(one)).mkdir()
        for other in range(9):
            (tmp_path / str(one) / f"to{other}").symlink_to(f"../{other}")
    with pytest.raises(SeatrialError, match="finds more than"):
        names(tmp_path, "**/*")


def test_variables() -> None:
    values = {"DIR": "dist", "N": "1"}
    assert expand("$DIR/a-${N}.js", values) == "dist/a-1.js"
    assert expand("$NONE/x$", values) == "/x$"
