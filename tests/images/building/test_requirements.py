"""What a project is built with: found, placed where its programs work, and built first where it has no wheel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from seatrial.errors import SeatrialError
from support.builds import BACKEND, building, content_of, of_folder, project, sdist, write
from support.wheels import wheel

if TYPE_CHECKING:
    from pathlib import Path

USES = '[build-system]\nrequires = ["mini-backend"]\nbuild-backend = "mini_backend"\n'


@pytest.fixture
def house(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels and source archives that is the only index."""
    assert cache.is_dir()
    folder = tmp_path / "house"
    folder.mkdir()
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("SEATRIAL_HOME", str(tmp_path / "home"))
    return folder


def backend(run: str = "pass", more: str = "") -> dict[str, bytes]:
    body = "".join(f"    {line}\n" for line in run.splitlines())
    return {"mini_backend.py": f"{BACKEND}\n{more}\ndef run():\n{body}".encode()}


def uses(folder: Path, requires: str = USES) -> Path:
    return write(
        folder, {"pyproject.toml": requires, "demo/__init__.py": "value = 1\n", "own.txt": str(folder)}
    )


def test_a_backend_from_an_index_builds(image_base: Path, tmp_path: Path, house: Path) -> None:
    wheel(house, "mini-backend", "2.0", backend("import sys; open('demo/by', 'w').write(__file__)"))
    with building(image_base) as build:
        files = content_of(build(of_folder(uses(tmp_path / "p"))))
    assert files["demo/by"].startswith(b"/build/env/lib/python3.")


def test_programs_and_data_of_requirements_work_where_they_lie(
    image_base: Path, tmp_path: Path, house: Path
) -> None:
    tool = {"tool.py": b"import sys\ndef main():\n    print('tool', sys.prefix)\n"}
    wheel(house, "tool", "1.0", tool, entry_points="[console_scripts]\ntool = tool:main\n")
    run = "import subprocess\nopen('demo/said', 'wb').write(subprocess.run(['tool'], capture_output=True, check=True).stdout)"
    wheel(house, "mini-backend", "2.0", backend(run), requires=("tool",))
    with building(image_base) as build:
        assert content_of(build(of_folder(uses(tmp_path / "p"))))["demo/said"] == b"tool /build/env\n"


def test_what_the_backend_asks_for_is_there_as_well(image_base: Path, tmp_path: Path, house: Path) -> None:
    asks = "def get_requires_for_build_wheel(config_settings=None):\n    return ['late>1', 'both==2.0']\n"
    wheel(
        house,
        "mini-backend",
        "2.0",
        backend("import both, late\nopen('demo/got', 'w').write(both.v + late.v)", asks),
        requires=("both",),
    )
    for version in ("1.0", "2.0", "3.0"):
        wheel(house, "both", version, {"both.py": f"v = 'both {version} '".encode()})
        wheel(house, "late", version, {"late.py": f"v = 'late {version}'".encode()})
    with building(image_base) as build:
        assert content_of(build(of_folder(uses(tmp_path / "p"))))["demo/got"] == b"both 2.0 late 3.0"


def test_a_requirement_without_a_wheel_is_built_first(image_base: Path, tmp_path: Path, house: Path) -> None:
    files = project(NAME="mini_backend")
    files["backend.py"] = files["backend.py"].replace('os.walk("demo")', 'os.walk("mini_backend")')
    sdist(
        house,
        {**files, "mini_backend/__init__.py": backend()["mini_backend.py"].decode()},
        name="mini_backend",
    )
    lines: list[str] = []
    with building(image_base, lines=lines) as build:
        built = build(of_folder(uses(tmp_path / "p")))
    assert content_of(built)["demo/__init__.py"] == b"value = 1\n"
    said = [line.split()[1] for line in lines if line.startswith("built")]
    assert said == ["mini_backend-1.0-py3-none-any.whl", "demo-1.0-py3-none-any.whl"]


def test_packages_that_need_each_other_are_named(image_base: Path, tmp_path: Path, house: Path) -> None:
    needs = (
        '[build-system]\nrequires = ["{}"]\nbuild-backend = "x"\n[project]\nname = "{}"\nversion = "1.0"\n'
    )
    for one, other in (("ping", "pong"), ("pong", "ping")):
        sdist(house, {"pyproject.toml": needs.format(other, one)}, name=one)
    folder = write(tmp_path / "p", {"pyproject.toml": needs.format("ping", "demo")})
    with building(image_base) as build, pytest.raises(SeatrialError) as error:
        build(of_folder(folder, name="demo"))
    assert "demo → ping → pong → ping" in str(error.value)


def test_what_cannot_be_found_is_named_with_its_place(image_base: Path, tmp_path: Path, house: Path) -> None:
    assert house.is_dir()
    with building(image_base) as build, pytest.raises(SeatrialError) as error:
        build(of_folder(uses(tmp_path / "p"), where="requirements.txt:7"))
    assert "mini-backend" in str(error.value)
    assert error.value.where == "requirements.txt:7"


def test_a_missing_module_is_told_from_one_that_python_lacks(
    image_base: Path, tmp_path: Path, house: Path
) -> None:
    cases = {
        "import numpy": "it needs numpy while it is built, and does not say so",
        "import pkg_resources": "the module pkg_resources, which what it is built with no longer has",
        "import idlelib": "lacks idlelib, a part of the standard library",
    }
    for number, (run, named) in enumerate(cases.items()):
        wheel(house, "mini-backend", f"{number}.0", backend(run))
        with building(image_base, refresh=True) as build, pytest.raises(SeatrialError) as error:
            build(of_folder(uses(tmp_path / str(number))))
        assert named in str(error.value)
