"""A lock holds what the final image gets beside its base, and installers accept it."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING

import pytest

from seatrial.checking.locking import lock
from seatrial.errors import SeatrialError, UsageError
from seatrial.images.uv_program import find_uv
from support import wheels
from support.asking import sdist
from support.image_checks import write
from support.indexes import serving

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.checking.locking import Written

BASE = "FROM python:3.11-slim\n"
TARGET = {"python": "3.11"}


@pytest.fixture
def house(wheelhouse: Path) -> Path:
    """`app` and `tool` need `leaf`, of which `tool` takes old ones only."""
    wheels.wheel(wheelhouse, "app", "1.0", requires=("leaf",))
    wheels.wheel(wheelhouse, "app", "1.1", requires=("leaf",))
    wheels.wheel(wheelhouse, "tool", "3.0", requires=("leaf<2",))
    for version in ("1.0", "1.5", "2.0"):
        wheels.wheel(wheelhouse, "leaf", version)
    return wheelhouse


def locked(tmp_path: Path, files: dict[str, str], name: str = "requirements.lock", **target: str) -> Written:
    write(tmp_path / "app", files)
    return lock(tmp_path / "app", tmp_path / name, target)


def text(tmp_path: Path, name: str = "requirements.lock") -> str:
    return (tmp_path / name).read_text()


def install(folder: Path, file: Path, *options: str) -> set[str]:
    """What uv installs from a file into an environment of its own; only what is in the wheelhouse is there."""
    venv = folder / "venv"
    uv = find_uv()
    subprocess.run([uv, "venv", "-q", "--clear", "--python", sys.executable, str(venv)], check=True)
    python = str(venv / "bin" / "python")
    done = subprocess.run(
        [uv, "pip", "install", "--python", python, *options, "-r", file.name],
        cwd=file.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    freeze = subprocess.run(
        [uv, "pip", "freeze", "--python", python], capture_output=True, text=True, check=True
    )
    return {line.partition(" ")[0] for line in freeze.stdout.split("\n") if line}


def test_all_installs_together_are_what_an_installer_then_installs(house: Path, tmp_path: Path) -> None:
    written = locked(
        tmp_path,
        {
            "Dockerfile": BASE
            + "COPY requirements.txt .\nRUN pip install -r requirements.txt\nRUN pip install tool\n",
            "requirements.txt": "app==1.0  # the one\n",
        },
    )

    assert written.packages == {"app": "1.0", "leaf": "1.5", "tool": "3.0"}
    done = install(tmp_path, tmp_path / "requirements.lock", "--require-hashes")
    assert {one.partition("==")[0] for one in done} == {"app", "leaf", "tool"}
    hashes = {hashlib.sha256(one.read_bytes()).hexdigest() for one in house.glob("leaf-1.5*")}
    assert f"leaf==1.5 \\\n    --hash=sha256:{hashes.pop()}\n" in text(tmp_path)
    head = " ".join(line.strip("# ") for line in text(tmp_path).splitlines() if line.startswith("#"))
    assert "Everything that Dockerfile installs, on python:3.11-slim" in head
    assert "for Python 3.11 on linux/amd64, glibc 2.41" in head
    assert "pip install --require-hashes -r requirements.lock" in head


def test_the_same_files_give_the_same_lock_also_where_it_lies_beside_them(
    house: Path, tmp_path: Path
) -> None:
    write(tmp_path, {"requirements.txt": "app\n"})
    lock(tmp_path, tmp_path / "requirements.lock.txt", TARGET)
    first = (tmp_path / "requirements.lock.txt").read_bytes()
    wheels.wheel(house, "unrelated", "1.0")
    lock(tmp_path, tmp_path / "requirements.lock.txt", TARGET)

    assert (tmp_path / "requirements.lock.txt").read_bytes() == first


def test_what_a_later_install_overrules_does_not_count(house: Path, tmp_path: Path) -> None:
    written = locked(tmp_path, {"Dockerfile": BASE + "RUN pip install app==1.0 && pip install app==1.1\n"})

    assert written.packages == {"app": "1.1", "leaf": "2.0"}
    assert any("app==1.0 is overruled by a later install" in one for one in written.notes)


def test_what_was_taken_away_is_not_in_it(house: Path, tmp_path: Path) -> None:
    dockerfile = BASE + "RUN pip install app tool\nRUN pip uninstall -y tool\n"

    assert set(locked(tmp_path, {"Dockerfile": dockerfile}).packages) == {"app", "leaf"}


def test_an_environment_that_is_copied_from_a_stage_counts(house: Path, tmp_path: Path) -> None:
    dockerfile = f"""{BASE.strip()} AS build
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
RUN pip install app==1.0
FROM build AS test
RUN pip install tool
{BASE}COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
"""
    assert locked(tmp_path, {"Dockerfile": dockerfile}).packages == {"app": "1.0", "leaf": "2.0"}


def test_packages_of_the_base_are_named_and_not_pinned(house: Path, tmp_path: Path) -> None:
    wheels.wheel(house, "above", "1.0", requires=("torch>=2", "leaf"))
    written = locked(
        tmp_path,
        {"Dockerfile": "FROM pytorch/pytorch:2.4.0-cuda12.1-cudnn9-runtime\nRUN pip install above\n"},
    )

    assert set(written.packages) == {"above", "leaf"}
    assert "# From the base, and not pinned here: torch 2.4.0" in text(tmp_path)
    assert "--no-deps --require-hashes" in text(tmp_path).replace("\n#  ", "")
    assert any("not all that the base has is known" in one for one in written.notes)
    assert len(install(tmp_path, tmp_path / "requirements.lock", "--require-hashes", "--no-deps")) == 2


def test_what_cannot_be_pinned_is_written_as_it_is_asked_for_with_the_reason(
    house: Path, tmp_path: Path
) -> None:
    dockerfile = """
COPY . .
RUN pip install app "thing @ git+https://me:s3cret@example.com/thing.git@main" ./lib.whl
RUN pip install tool || true
RUN pip install $UNKNOWN
"""
    written = locked(tmp_path, {"Dockerfile": BASE + dockerfile})
    found = text(tmp_path)

    assert set(written.packages) == {"app", "leaf"}
    assert "#   thing @ git+https://example.com/thing.git@main\n#     (it is built from a repository" in found
    assert "./lib.whl" in found
    assert "#   tool\n#     (Dockerfile:5:5 may not run" in found
    assert "s3cret" not in found + str(written.notes)
    assert "#   what Dockerfile:6:5 installs besides\n" in found
    assert sum("is not pinned: " in one for one in written.notes) == 4


def test_conda_packages_are_named(house: Path, tmp_path: Path) -> None:
    environment = "name: x\ndependencies:\n  - python=3.11\n  - scipy=1.11.4\n  - pip:\n    - app==1.1\n"
    written = locked(tmp_path, {"environment.yml": environment})

    assert written.packages == {"app": "1.1", "leaf": "2.0"}
    assert "From conda, and not pinned here: python ==3.11.*, scipy ==1.11.4" in text(tmp_path)


def test_without_dependencies_is_without_dependencies(house: Path, tmp_path: Path) -> None:
    dockerfile = BASE + "RUN pip install app==1.1\nRUN pip install --no-deps tool==3.0\n"

    assert locked(tmp_path, {"Dockerfile": dockerfile}).packages == {
        "app": "1.1",
        "leaf": "2.0",
        "tool": "3.0",
    }
    assert "--no-deps --require-hashes" in text(tmp_path).replace("\n#  ", "")


def test_of_what_must_be_built_the_lock_says_that_its_needs_are_not_known(
    house: Path, tmp_path: Path
) -> None:
    sdist(house, "old", headers="Dynamic: Requires-Dist\n", metadata="2.2")
    written = locked(tmp_path, {"Dockerfile": BASE + "RUN pip install old app==1.1\n"})

    assert set(written.packages) == {"old", "app", "leaf"}
    assert "not known before they are built: old 1.0" in text(tmp_path)
    assert any("an installer builds it from its source" in one for one in written.notes)


@pytest.mark.parametrize(
    ("dockerfile", "where"),
    [
        ("RUN pip install tool==3.0 leaf==2.0\n", "Dockerfile:2:27"),  # one install
        ("RUN pip install tool==3.0\nRUN pip install leaf==2.0\n", "Dockerfile:"),  # one after the other
    ],
)
def test_a_conflict_is_said_and_nothing_is_written(
    house: Path, tmp_path: Path, dockerfile: str, where: str
) -> None:
    with pytest.raises(SeatrialError) as refused:
        locked(tmp_path, {"Dockerfile": BASE + dockerfile})

    assert refused.value.what == "tool 3.0 needs leaf<2, but leaf==2.0 is asked for"
    assert where in str(refused.value.where)
    assert not (tmp_path / "requirements.lock").exists()


def test_the_python_must_be_known(house: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="which Python") as refused:
        locked(tmp_path, {"requirements.txt": "app\n"})

    assert refused.value.fix == "say it: --target python=3.11"
    assert set(locked(tmp_path, {"requirements.txt": "app\n"}, python="3.12").packages) == {"app", "leaf"}
    assert "Python 3.12 on linux/amd64" in text(tmp_path)


def test_a_lock_of_nothing_is_not_written(house: Path, tmp_path: Path) -> None:
    dockerfile = BASE + "RUN pip install git+https://example.com/thing.git\n"
    with pytest.raises(SeatrialError, match="nothing that the final image installs can be pinned") as refused:
        locked(tmp_path, {"Dockerfile": dockerfile})

    assert "built from a repository" in str(refused.value.why)
    assert not (tmp_path / "requirements.lock").exists()


def test_an_index_that_does_not_answer_is_said_with_what_would_help(house: Path, tmp_path: Path) -> None:
    dockerfile = BASE + "RUN pip install app --index-url http://127.0.0.1:9/simple\n"
    with pytest.raises(SeatrialError, match="cannot be told") as refused:
        locked(tmp_path, {"Dockerfile": dockerfile})

    assert "127.0.0.1:9" in refused.value.what
    assert str(refused.value.where).endswith("Dockerfile")
    assert refused.value.fix


def test_wheels_for_another_python_are_no_choice(house: Path, tmp_path: Path) -> None:
    wheels.wheel(house, "leaf", "1.7", tag="cp312-cp312-manylinux_2_28_x86_64")
    files = {"Dockerfile": BASE + "RUN pip install tool\n"}

    assert locked(tmp_path, files).packages["leaf"] == "1.5"
    assert locked(tmp_path, files, python="3.12").packages["leaf"] == "1.7"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("app/requirements.txt", "made from"),
        ("pyproject.toml", "a file of its own"),
        ("none/x.txt", "no such folder"),
    ],
)
def test_a_lock_is_a_file_of_its_own(house: Path, tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        locked(tmp_path, {"requirements.txt": "app\n"}, name, **TARGET)

    assert (tmp_path / "app/requirements.txt").read_text() == "app\n"


def test_which_image_is_meant(house: Path, tmp_path: Path) -> None:
    one = BASE + "RUN pip install app==1.0\n"
    files = {"gpu/Dockerfile": BASE + "RUN pip install tool\n", "cpu/Dockerfile": one}
    with pytest.raises(UsageError, match="which of them is meant"):
        locked(tmp_path, files)

    assert "tool" not in locked(tmp_path, {**files, "Dockerfile": one}).packages
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="nothing to lock"):
        lock(tmp_path / "empty", tmp_path / "x.txt", {})
    with pytest.raises(SeatrialError, match="installs no Python packages"):
        locked(tmp_path, {"Dockerfile": BASE})


def test_pylock_is_installed_as_it_is_where_its_files_lie_beside_it(house: Path, tmp_path: Path) -> None:
    written = locked(tmp_path, {"Dockerfile": BASE + "RUN pip install app tool\n"}, "pylock.toml")
    found = tomllib.loads(text(tmp_path, "pylock.toml"))

    assert found["lock-version"] == "1.0"
    assert found["requires-python"] == "==3.11.*"
    assert {one["name"]: one["version"] for one in found["packages"]} == written.packages
    assert any("must lie beside the lock" in one for one in written.notes)
    assert str(house) not in text(tmp_path, "pylock.toml")
    for one in house.iterdir():
        shutil.copy(one, tmp_path)
    assert len(install(tmp_path, tmp_path / "pylock.toml")) == 3


def test_an_index_is_written_where_the_files_name_it_and_a_password_never(
    house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("UV_NO_INDEX", "UV_OFFLINE", "UV_FIND_LINKS"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(house) as host:
        address = f"http://me:s3cret@{host}/simple"
        named = f"RUN pip install app==1.0 --index-url {address}\n"
        assert set(locked(tmp_path, {"Dockerfile": BASE + named}).packages) == {"app", "leaf"}
        assert f"\n--index-url http://{host}/simple\n" in text(tmp_path)
        locked(tmp_path, {"Dockerfile": BASE + named}, "pylock.toml")
        assert f'url = "http://{host}/files/app-1.0-' in text(tmp_path, "pylock.toml")

        monkeypatch.setenv("UV_DEFAULT_INDEX", address)
        locked(tmp_path, {"Dockerfile": BASE + "RUN pip install app==1.0\n"}, "other.lock")
        locked(tmp_path, {"Dockerfile": BASE + "RUN pip install app==1.0\n"}, "pylock.other.toml")
        assert host not in text(tmp_path, "other.lock") + text(tmp_path, "pylock.other.toml")
    assert "s3cret" not in "".join(one.read_text() for one in tmp_path.glob("*lock*"))


def test_a_build_that_only_a_place_out_of_reach_has_is_named(house: Path, tmp_path: Path) -> None:
    wheels.wheel(house, "torch", "2.4.0", requires=("leaf",))
    wheels.wheel(house, "torch", "2.4.0+cpu", requires=("leaf",))
    reached = locked(tmp_path, {"Dockerfile": BASE + "RUN pip install torch==2.4.0+cpu\n"})
    assert reached.packages == {"torch": "2.4.0+cpu", "leaf": "2.0"}

    next(house.glob("torch-2.4.0+cpu*")).unlink()
    place = "http://127.0.0.1:9/whl/cpu"
    away = locked(
        tmp_path, {"Dockerfile": BASE + f"RUN pip install torch==2.4.0 --extra-index-url {place}\n"}
    )
    assert away.packages == {"leaf": "2.0"}
    wheels.wheel(house, "above", "1.0", requires=("torch",))
    above = locked(
        tmp_path, {"Dockerfile": BASE + f"RUN pip install above torch --extra-index-url {place}\n"}
    )
    assert above.packages == {"leaf": "2.0", "above": "1.0"}
    assert "#   torch==2.4.0+cpu\n" in text(tmp_path)
    assert any(f"{place} cannot be asked from here" in one for one in away.notes)
