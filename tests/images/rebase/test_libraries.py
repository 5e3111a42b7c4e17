"""Objects that the image brings find in the new base what they found in the old: libraries and symbol versions."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, NamedTuple

import pytest

from support import rebasing
from support.debian import Item, folder, symlink

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.images.rebase.run import Report

pytestmark = [
    pytest.mark.usefixtures("wheelhouse"),
    pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed: there is nothing to link"),
]


class Objects(NamedTuple):
    """A library that offers one symbol version more than its older build, and a program that needs it."""

    newer: bytes
    older: bytes
    program: bytes


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Objects:
    place = tmp_path_factory.mktemp("objects")
    (place / "newer.map").write_text("DEMO_1.0 { global: one; };\nDEMO_2.0 { global: two; } DEMO_1.0;\n")
    (place / "older.map").write_text("DEMO_1.0 { global: one; local: *; };\n")
    (place / "lib.c").write_text("int one(void) { return 1; }\nint two(void) { return 2; }\n")
    (place / "main.c").write_text("int one(void); int two(void);\nint main(void) { return one() + two(); }\n")
    for name in ("newer", "older"):
        (place / name).mkdir()
        script = f"-Wl,--version-script={place / name}.map"
        shared = [
            "-shared",
            "-fPIC",
            "-Wl,-soname,libdemo.so.1",
            script,
            "-o",
            str(place / name / "libdemo.so.1"),
        ]
        compiled(place, "lib.c", *shared)
    compiled(place, "main.c", str(place / "newer" / "libdemo.so.1"), "-o", "main")
    return Objects(
        (place / "newer" / "libdemo.so.1").read_bytes(),
        (place / "older" / "libdemo.so.1").read_bytes(),
        (place / "main").read_bytes(),
    )


def compiled(place: Path, *arguments: str) -> None:
    subprocess.run(["gcc", *arguments], cwd=place, check=True, capture_output=True)


def ask(
    tmp_path: Path, objects: Objects, new: list[Item], own: list[Item] | None = None, told: str = "annotation"
) -> Report:
    old = rebasing.base(tmp_path / "old", [folder("usr/lib"), Item("usr/lib/libdemo.so.1", objects.newer)])
    onto = rebasing.base(tmp_path / "new", [folder("usr/lib"), Item("etc/version", "2"), *new])
    layer = own if own is not None else [Item("app/main", objects.program, mode=0o755)]
    image = rebasing.built(tmp_path / "image", old, layer, told=told)
    return rebasing.moved(image, onto, old=str(old))


def test_a_library_that_is_still_there_is_enough(tmp_path: Path, objects: Objects) -> None:
    report = ask(tmp_path, objects, [Item("usr/lib/libdemo.so.1.0", objects.newer), symlink("usr/lib/libdemo.so.1", "libdemo.so.1.0")])  # fmt: skip
    assert report.verdict == "may", rebasing.failures(report)


def test_a_library_that_is_gone_is_named_with_who_needs_it(tmp_path: Path, objects: Objects) -> None:
    report = ask(tmp_path, objects, [])
    check = rebasing.answers(report)["libraries"]
    assert rebasing.failures(report) == {"libraries"}
    assert "libdemo.so.1" in check.message
    assert "/app/main" in check.message


def test_a_library_without_the_symbol_version_is_refused(tmp_path: Path, objects: Objects) -> None:
    report = ask(tmp_path, objects, [Item("usr/lib/libdemo.so.1", objects.older)])
    assert rebasing.failures(report) == {"libraries"}
    assert rebasing.answers(report)["libraries"].details == ("/app/main: libdemo.so.1 DEMO_2.0",)


def test_a_library_of_the_image_itself_is_no_concern_of_the_base(tmp_path: Path, objects: Objects) -> None:
    own = [Item("app/main", objects.program, mode=0o755), Item("usr/local/lib/libdemo.so.1", objects.newer)]
    report = ask(tmp_path, objects, [], own)
    # Found in the base first, since /usr/lib comes before /usr/local/lib where nothing is configured.
    assert report.verdict == "may", rebasing.failures(report)


def test_what_was_missing_before_is_no_reason(tmp_path: Path, objects: Objects) -> None:
    old = rebasing.base(tmp_path / "old", [Item("etc/version", "1")])
    onto = rebasing.base(tmp_path / "new", [Item("etc/version", "2")])
    image = rebasing.built(tmp_path / "image", old, [Item("app/main", objects.program)])
    report = rebasing.moved(image, onto, old=str(old))
    assert report.verdict == "may", rebasing.failures(report)


def test_a_program_of_the_new_base_is_not_given_an_old_library(tmp_path: Path, objects: Objects) -> None:
    old = rebasing.base(tmp_path / "old", [Item("etc/version", "1")])
    onto = rebasing.base(
        tmp_path / "new", [Item("usr/bin/main", objects.program), Item("usr/lib/libdemo.so.1", objects.newer)]
    )
    image = rebasing.built(
        tmp_path / "image", old, [Item("opt/lib/libdemo.so.1", objects.older)],
        settings={"Env": [rebasing.PATH, "LD_LIBRARY_PATH=/opt/lib"]},
    )  # fmt: skip
    report = rebasing.moved(image, onto, old=str(old))
    assert rebasing.failures(report) == {"libraries"}
    assert "/usr/bin/main" in rebasing.answers(report)["libraries"].message


@pytest.mark.parametrize(
    ("soname", "version", "check"),
    [("libc.so.6", "GLIBC_2.99", "glibc"), ("libstdc++.so.6", "GLIBCXX_3.4.99", "libstdcxx")],
)
def test_an_older_c_or_cxx_library_has_a_check_of_its_own(
    tmp_path: Path, soname: str, version: str, check: str
) -> None:
    (tmp_path / "lib.c").write_text("int special(void) { return 1; }\n")
    (tmp_path / "main.c").write_text("int special(void);\nint _start(void) { return special(); }\n")
    (tmp_path / "with.map").write_text(f"{version} {{ global: special; }};\n")
    (tmp_path / "without.map").write_text("OTHER_1 { global: special; };\n")
    for name in ("with", "without"):
        (tmp_path / name).mkdir()
        plain = ["-nostdlib", "-shared", "-fPIC", f"-Wl,-soname,{soname}", f"-Wl,--version-script={name}.map"]
        compiled(tmp_path, "lib.c", *plain, "-o", f"{name}/{soname}")
    compiled(tmp_path, "main.c", "-nostdlib", f"with/{soname}", "-o", "main")
    old = rebasing.base(
        tmp_path / "old", [Item(f"usr/lib/{soname}", (tmp_path / "with" / soname).read_bytes())]
    )
    onto = rebasing.base(
        tmp_path / "new", [Item(f"usr/lib/{soname}", (tmp_path / "without" / soname).read_bytes())]
    )
    image = rebasing.built(tmp_path / "image", old, [Item("app/main", (tmp_path / "main").read_bytes())])
    report = rebasing.moved(image, onto, old=str(old))
    assert rebasing.failures(report) == {check}
    assert version in rebasing.answers(report)[check].message
