"""Requirement files: what lies at a place is built first, what has no wheel is built when uv has chosen its version."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest

from seatrial.errors import SeatrialError
from seatrial.images.target import Target
from support import wheels
from support.builders import COMMIT, project, sdist, versions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from seatrial.images.resolve import Resolution
    from support.builders import Builder

    Resolve = Callable[..., Resolution]

MINE = '[project]\nname = "mine"\nversion = "2.0"\ndependencies = ["inner"]\n[build-system]\nrequires = []\n'
GIT = "https://git.invalid/team/mine.git"

PLACES = {
    "folder": ("./mine", "folder mine"),
    "folder without a dot": ("sub/../mine", "folder mine"),
    "folder with an extra": ("./mine[fast]", "folder mine"),
    "editable": ("-e ./mine", "folder mine"),
    "editable, long": ("--editable=./mine", "folder mine"),
    "named folder": ("mine @ file://{root}/mine", "folder mine"),
    "archive": ("./mine-2.0.tar.gz", "sdist mine-2.0.tar.gz"),
    "named archive": ("mine @ file://{root}/mine-2.0.tar.gz", "sdist mine-2.0.tar.gz"),
    "marker that holds": ('./mine ; python_version >= "3.9"', "folder mine"),
    "repository": (f"git+{GIT}@v1", "git mine.git"),
    "repository with a name": (f"mine @ git+{GIT}@v1", "git mine.git"),
    "repository, older form": (f"git+{GIT}@v1#egg=mine&subdirectory=lib", "git mine.git"),
    "editable repository": (f"-e git+{GIT}@v1#egg=mine", "git mine.git"),
}


@pytest.fixture
def mine(root: Path, wheelhouse: Path, builder: Builder) -> None:
    wheels.wheel(wheelhouse, "inner", "1.0")
    project(root / "mine", MINE, mine_py="value = 1\n")
    sdist(root, "mine", "2.0", ("inner",))
    builder.repositories[GIT] = "mine"


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize("case", PLACES)
def test_what_lies_at_a_place_is_built_and_its_needs_resolved(
    case: str, root: Path, builder: Builder, resolved: Resolve
) -> None:
    line, built = PLACES[case]
    (root / "requirements.txt").write_text(line.format(root=root) + "\n")
    found = resolved("requirements.txt")
    assert builder.names == [built]
    assert "mine" in versions(found)
    if not built.startswith("git"):
        assert versions(found) == {"inner": "1.0", "mine": "2.0"}
    if "lib" in line:
        assert builder.asked[0].subfolder == "lib"
    assert any("a copy of" in note for note in found.notes) == line.startswith("-")


@pytest.mark.usefixtures("mine")
def test_what_is_not_for_the_target_is_neither_built_nor_installed(
    root: Path, builder: Builder, resolved: Resolve
) -> None:
    lines = [
        './mine ; sys_platform == "win32"',
        'inner ; python_version < "3"',
        'nothere @ git+https://x.invalid/y ; platform_machine == "aarch64"',
    ]
    (root / "requirements.txt").write_text("\n".join(lines) + "\n")
    assert versions(resolved("requirements.txt")) == {}
    assert builder.asked == []


@pytest.mark.usefixtures("mine")
def test_where_a_package_came_from_is_said_without_who_may_read_it(
    root: Path, builder: Builder, resolved: Resolve
) -> None:
    address = "https://me:s3cret@git.invalid/team/mine.git"
    builder.repositories[address] = "mine"
    (root / "requirements.txt").write_text(f"git+{address}@v1#subdirectory=lib\n")
    (wheel,) = resolved("requirements.txt").lock.wheels
    assert json.loads(wheel.direct_url) == {
        "url": GIT,
        "vcs_info": {"vcs": "git", "requested_revision": "v1", "commit_id": COMMIT},
        "subdirectory": "lib",
    }
    for line in ("./mine", "./mine-2.0.tar.gz"):
        (root / "requirements.txt").write_text(f"{line}\n")
        assert {one.direct_url for one in resolved("requirements.txt").lock.wheels} == {""}


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("./nothere", "not there"),
        ("./empty", "no Python project"),
        ("./requirements.txt", "neither a wheel nor a source archive"),
        ("hg+https://x.invalid/y#egg=y", "hg repositories"),
        ("other @ file://{root}/mine", "what is there is mine"),
    ],
)
def test_a_place_that_cannot_be_installed_is_said_with_its_line(
    root: Path, resolved: Resolve, line: str, what: str
) -> None:
    (root / "empty").mkdir()
    (root / "requirements.txt").write_text(f"# first\ninner\n{line.format(root=root)}\n")
    with pytest.raises(SeatrialError, match=what) as caught:
        resolved("requirements.txt")
    assert caught.value.where == f"{root / 'requirements.txt'}:3:1"


def test_packages_of_an_index_that_are_sources_only_are_built_until_everything_is_there(
    root: Path, builder: Builder, wheelhouse: Path, resolved: Resolve
) -> None:
    sdist(wheelhouse, "outer", "1.0", ("middle>=2",))
    sdist(wheelhouse, "middle", "2.0", ("inner",))
    sdist(wheelhouse, "middle", "1.0")
    wheels.wheel(wheelhouse, "inner", "1.0")
    (root / "requirements.txt").write_text("outer\n")
    found = resolved("requirements.txt")
    assert versions(found) == {"inner": "1.0", "middle": "2.0", "outer": "1.0"}
    assert builder.names == ["sdist outer-1.0.tar.gz", "sdist middle-2.0.tar.gz"]
    assert [one.sha256 for one in builder.asked] == [
        hashlib.sha256((wheelhouse / name).read_bytes()).hexdigest()
        for name in ("outer-1.0.tar.gz", "middle-2.0.tar.gz")
    ]
    assert any("middle 2.0, outer 1.0" in note for note in found.notes)


def test_what_the_build_says_it_needs_may_exclude_the_version(
    root: Path, builder: Builder, wheelhouse: Path, resolved: Resolve
) -> None:
    sdist(wheelhouse, "outer", "2.0", ("inner>=5",))
    sdist(wheelhouse, "outer", "1.0", ("inner",))
    wheels.wheel(wheelhouse, "inner", "1.0")
    (root / "requirements.txt").write_text("outer\n")
    assert versions(resolved("requirements.txt")) == {"inner": "1.0", "outer": "1.0"}
    assert builder.names == ["sdist outer-2.0.tar.gz", "sdist outer-1.0.tar.gz"]


def test_a_wheel_for_the_target_is_taken_before_a_newer_source(
    root: Path, builder: Builder, wheelhouse: Path, resolved: Resolve
) -> None:
    wheels.wheel(wheelhouse, "fast", "1.0", tag="cp311-cp311-manylinux_2_17_x86_64")
    sdist(wheelhouse, "fast", "2.0")
    (root / "requirements.txt").write_text("fast\n")
    assert versions(resolved("requirements.txt")) == {"fast": "1.0"}
    assert builder.asked == []
    arm = resolved("requirements.txt", target=Target(platform="linux/arm64"))
    assert versions(arm) == {"fast": "2.0"}


@pytest.mark.parametrize(
    "option", ["--no-binary fast", "--no-binary=:all:", "--only-binary other\n--no-binary fast"]
)
def test_what_is_wanted_from_source_is_built_though_there_is_a_wheel(
    root: Path, builder: Builder, wheelhouse: Path, resolved: Resolve, option: str
) -> None:
    wheels.wheel(wheelhouse, "fast", "1.0")
    sdist(wheelhouse, "fast", "1.0")
    (root / "requirements.txt").write_text(f"{option}\nfast\n")
    resolved("requirements.txt")
    assert builder.names == ["sdist fast-1.0.tar.gz"]


def test_what_must_not_be_built_is_named_with_what_to_do(
    root: Path, builder: Builder, wheelhouse: Path, resolved: Resolve
) -> None:
    sdist(wheelhouse, "outer")
    project(root / "mine", MINE)
    for lines in ("outer", "./mine"):
        (root / "requirements.txt").write_text(f"{lines}\n")
        with pytest.raises(SeatrialError, match="would have to be built") as caught:
            resolved("requirements.txt", building=False)
        assert "--build" in str(caught.value.fix)
    (root / "requirements.txt").write_text("--only-binary :all:\nouter\n")
    with pytest.raises(SeatrialError, match="has a wheel"):
        resolved("requirements.txt")
    assert builder.asked == []


def test_hashes_are_those_of_the_source_that_is_built(
    root: Path, builder: Builder, wheelhouse: Path, resolved: Resolve
) -> None:
    archive = sdist(wheelhouse, "outer")
    good = hashlib.sha256(archive.read_bytes()).hexdigest()
    file = root / "requirements.txt"
    for line in ("outer==1.0", f"outer @ {archive.as_uri()}", str(archive)):
        file.write_text(f"{line} --hash=sha256:{good}\n")
        assert versions(resolved("requirements.txt")) == {"outer": "1.0"}
        file.write_text(f"{line} \\\n  --hash=sha256:{'0' * 64}\n")
        with pytest.raises(SeatrialError, match=r"hash|not the file"):
            resolved("requirements.txt")
    project(root / "mine", MINE)
    file.write_text(f"outer==1.0 --hash=sha256:{good}\n./mine\n")
    with pytest.raises(SeatrialError, match="has no hash") as caught:
        resolved("requirements.txt")
    assert caught.value.where == f"{file}:2:1"
    assert {one.kind for one in builder.asked} == {"sdist"}


def test_a_folder_says_where_its_own_dependencies_are(
    root: Path, builder: Builder, resolved: Resolve
) -> None:
    sources = '[tool.uv.sources]\ninner = { path = "../inner" }\n'
    project(root / "mine", MINE + sources)
    project(root / "inner", '[project]\nname = "inner"\nversion = "7.0"\n')
    (root / "requirements.txt").write_text("./mine\n")
    assert versions(resolved("requirements.txt")) == {"inner": "7.0", "mine": "2.0"}
    assert builder.names == ["folder mine", "folder inner"]


def test_includes_constraints_and_folders_of_wheels_are_found_beside_their_file(
    root: Path, tmp_path: Path, resolved: Resolve
) -> None:
    for version in ("1.0", "2.0"):
        wheels.wheel(root / "more" / "house", "inner", version)
    (root / "more" / "base.txt").write_text("--find-links house\ninner\n-c limits.txt\n")
    (root / "more" / "limits.txt").write_text("inner<2\n")
    (root / "requirements.txt").write_text("-r more/base.txt\n")
    assert versions(resolved("requirements.txt")) == {"inner": "1.0"}
