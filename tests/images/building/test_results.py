"""What a build makes is checked, is the same every time, and is made once."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from seatrial.errors import SeatrialError
from seatrial.images.assemble.fetch import wheel_path
from seatrial.images.building.model import Limits
from support.builds import building, content_of, of_folder, of_sdist, project, sdist, write

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.images.inputs.model import Built

LIES = {
    "another name": (project(NAME="other"), "it calls itself other, and demo was asked for"),
    "another version": (project(VERSION="2.0"), "it says that it is version 2.0, and 1.0 was asked for"),
    "another platform": (project(TAG="cp311-cp311-win_amd64"), "does not fit Python"),
    "another Python": (project(TAG="cp27-cp27m-linux_x86_64"), "does not fit Python"),
    "a newer C library": (project(TAG="py3-none-manylinux_2_99_x86_64"), "does not fit Python"),
}
HOSTILE = {
    "a link": (
        'os.symlink("/etc/passwd", "/build/out/demo-1.0-py3-none-any.whl"); os._exit(answer())',
        "no plain file",
    ),
    "a pipe": ('os.mkfifo("/build/out/demo-1.0-py3-none-any.whl"); os._exit(answer())', "no plain file"),
    "nothing": ("os._exit(answer())", "cannot be read"),
    "no archive": (
        'open("/build/out/demo-1.0-py3-none-any.whl", "w").write("x"); os._exit(answer())',
        "cannot be read",
    ),
    "a path": ('os._exit(answer("../../../etc/passwd.whl"))', "names no wheel"),
    "no text": ("os._exit(answer(7))", "names no wheel"),
    "no answer": ("os._exit(0)", "build_wheel failed"),
    "a damaged answer": (
        'open("/build/answer/wheel.json", "w").write("{"); os._exit(0)',
        "build_wheel failed",
    ),
    "a linked answer": (
        'os.symlink("/etc/passwd", "/build/answer/wheel.json"); os._exit(0)',
        "build_wheel failed",
    ),
}
ANSWER = """
def answer(name="demo-1.0-py3-none-any.whl"):
    import json
    with open("/build/answer/wheel.json", "w") as stream:
        json.dump({"returned": name, "left": []}, stream)
    return 0
"""


def hostile(run: str) -> dict[str, str]:
    files = project(run)
    return {**files, "backend.py": files["backend.py"] + ANSWER}


@pytest.mark.parametrize("lie", LIES)
def test_a_wheel_that_is_not_what_was_asked_for_is_refused(
    image_base: Path, tmp_path: Path, lie: str
) -> None:
    files, named = LIES[lie]
    with building(image_base) as build, pytest.raises(SeatrialError) as error:
        build(of_sdist(sdist(tmp_path, files), where="requirements.txt:3"))
    assert named in str(error.value)
    assert error.value.where == "requirements.txt:3"


@pytest.mark.parametrize("trick", HOSTILE)
def test_what_is_no_wheel_is_refused_and_nothing_else_is_read(
    image_base: Path, tmp_path: Path, trick: str
) -> None:
    run, named = HOSTILE[trick]
    with building(image_base) as build, pytest.raises(SeatrialError) as error:
        build(of_sdist(sdist(tmp_path, hostile(run))))
    assert named in str(error.value)
    assert "root:" not in str(error.value)


def test_the_wheel_is_in_the_store_with_its_metadata(image_base: Path, tmp_path: Path) -> None:
    with building(image_base) as build:
        built = build(of_sdist(sdist(tmp_path, project()), name="", version=""))
    assert (built.wheel.name, built.wheel.version) == ("demo", "1.0")
    assert wheel_path(built.wheel.sha256).stat().st_size == built.wheel.size
    assert built.metadata == "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"
    assert content_of(built)["demo/__init__.py"] == b"value = 1\n"


def test_the_same_source_gives_the_same_bytes_anywhere(
    made_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folder, umask, time zone, locale, times of the files and the order on disk make no difference."""
    run = 'open("demo/made.py", "w").write(repr((os.getcwd(), sorted(os.environ.items()), os.umask(0o22), hash("x"))))'
    found = []
    for number, (umask, zone) in enumerate(((0o022, "UTC"), (0o077, "Asia/Tokyo"))):
        monkeypatch.setenv("SEATRIAL_CACHE", str(tmp_path / f"cache{number}"))
        monkeypatch.setenv("TZ", zone)
        monkeypatch.setenv("LC_ALL", ("C", "de_DE.UTF-8")[number])
        time.tzset()
        before = os.umask(umask)
        try:
            names = sorted(project(run), reverse=bool(number))
            folder = write(tmp_path / f"{number}/deep/project", {n: project(run)[n] for n in names})
            (folder / "demo/data.txt").write_text("late")
            os.utime(folder / "demo/data.txt", (1e9 * (number + 1), 1e9))
            with building(made_base) as build:
                found.append(build(of_folder(folder)))
        finally:
            os.umask(before)
            monkeypatch.undo() if number else None
            time.tzset()
    assert found[0] == found[1]
    assert b"Tokyo" not in repr(found).encode()


def test_what_was_built_is_not_built_again(image_base: Path, tmp_path: Path) -> None:
    path, lines = sdist(tmp_path, project()), list[str]()
    with building(image_base) as build:
        first = build(of_sdist(path))
    with building(image_base, lines=lines) as build:
        assert build(of_sdist(path)) == first
        assert lines == []
        wheel_path(first.wheel.sha256).unlink()  # pruned
        assert build(of_sdist(path)) == first
        assert [line for line in lines if line.startswith("built")] == ["built demo-1.0-py3-none-any.whl"]


def test_a_change_of_the_source_is_seen(image_base: Path, tmp_path: Path) -> None:
    folder = write(tmp_path / "project", project())
    with building(image_base) as build:
        first = build(of_folder(folder))
        (folder / "demo/__init__.py").write_text("value = 2\n")
        assert content_of(build(of_folder(folder)))["demo/__init__.py"] == b"value = 2\n"
        (folder / "demo/__init__.py").write_text("value = 1\n")
        assert build(of_folder(folder)) == first


def test_two_processes_build_it_once(image_base: Path, tmp_path: Path, cache: Path) -> None:
    path = sdist(tmp_path, project('import time; time.sleep(1); print("BUILDING")'))

    def one(_number: int) -> tuple[Built, list[str]]:
        lines: list[str] = []
        with building(image_base, lines=lines) as build:
            return build(of_sdist(path)), lines

    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(one, range(3)))
    assert len({built.wheel.sha256 for built, _ in results}) == 1
    log = next(place for place in cache.glob("built/*/build.log") if "BUILDING" in place.read_text())
    assert log.read_text().count("BUILDING") == 1


POINTS = (
    "building/source-stored", "building/system-ready", "building/built", "building/wheel-stored", "building/remembered",
)  # fmt: skip


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_anywhere_leaves_nothing_that_matters(
    image_base: Path, tmp_path: Path, cache: Path, point: str
) -> None:
    path = sdist(tmp_path, project(f"print({point!r})"))

    def die(name: str) -> None:
        if name == point:
            os.kill(os.getpid(), 9)

    child = os.fork()
    if child == 0:
        with building(image_base, point=die) as build:
            build(of_sdist(path))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 9
    with building(image_base, limits=Limits()) as build:
        built = build(of_sdist(path))
    assert content_of(built)["demo/__init__.py"] == b"value = 1\n"
    assert list((cache / "scratch").glob("*.d")) == []


def test_built_things_are_pruned_as_everything_else(image_base: Path, tmp_path: Path) -> None:
    from seatrial.images.cache import entries

    with building(image_base) as build:
        built = build(of_sdist(sdist(tmp_path, project("print('prune')"))))
        mine = [e for e in entries() if e.kind == "built" and e.in_use]
    assert mine
    assert any(e.kind == "wheels" and e.name == built.wheel.sha256 for e in entries())
    assert not any(e.in_use for e in entries() if e.kind == "built")
