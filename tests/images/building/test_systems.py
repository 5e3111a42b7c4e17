"""Where things are built: in what fits the image, with a compiler where one is needed, and nowhere else."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import msgspec
import pytest

from seatrial.errors import SeatrialError
from seatrial.images import bases
from seatrial.images.assemble.spec import ImageSpec
from seatrial.images.assemble.store import using
from seatrial.images.building.builder import builder
from seatrial.images.building.system import wants_compiler
from seatrial.images.probe import probe
from support.builds import building, content_of, of_folder, of_sdist, project, sdist, write
from support.debian import base as debian_base

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.images.inputs.model import Build

C_SOURCE = """
#include <Python.h>
static PyObject *answer(PyObject *self, PyObject *none) { return PyLong_FromLong(42); }
static PyMethodDef methods[] = {{"answer", answer, METH_NOARGS, ""}, {0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "demo", "", -1, methods};
PyMODINIT_FUNC PyInit_native(void) { return PyModule_Create(&module); }
"""
COMPILE = """
import subprocess, sysconfig
name = "demo/native" + sysconfig.get_config_var("EXT_SUFFIX")
include = sysconfig.get_path("include")
subprocess.run(["gcc", "-g", "-shared", "-fPIC", "-I" + include, "-o", name, os.path.abspath("native.c")], check=True)
"""


def compiled() -> dict[str, str]:
    return {**project(COMPILE, TAG="cp311-cp311-linux_x86_64"), "native.c": C_SOURCE}


@contextmanager
def for_an_image_that_differs(layout: Path, **target: Any) -> Iterator[Build]:
    """A builder on a real base for an image of which something else is said than is true."""
    spec = ImageSpec(root=Path("/"), base=str(layout), build_base=str(layout))
    with using() as use:
        prepared = bases.prepare(spec.base, use)
        probed = probe(prepared, use)
        runs = target.pop("runs", True)
        fitted = msgspec.structs.replace(probed.interpreter.target, **target)
        said = msgspec.structs.replace(probed.interpreter, target=fitted, runs=runs)
        yield builder(
            spec, msgspec.structs.replace(prepared, name="the image"), msgspec.structs.replace(probed, interpreter=said), use
        )  # fmt: skip


def test_a_system_with_another_python_is_refused_for_a_pretended_image(
    image_base: Path, tmp_path: Path
) -> None:
    with for_an_image_that_differs(image_base, python="3.99") as build, pytest.raises(SeatrialError) as error:
        build(of_sdist(sdist(tmp_path, project())))
    assert "the image has 3.99" in str(error.value)


FOREIGN = "linux/amd64" if platform.machine() == "aarch64" else "linux/arm64"
DIFFERENT: dict[str, dict[str, Any]] = {
    "which is newer than the image's 2.17": {"glibc": "2.17"},
    "do not run on this machine": {"platform": FOREIGN, "runs": False},
}


@pytest.mark.parametrize("named", DIFFERENT)
def test_only_wheels_without_compiled_parts_come_from_elsewhere_for_a_pretended_image(
    image_base: Path, tmp_path: Path, named: str
) -> None:
    native = project(TAG="cp311-cp311-linux_x86_64")
    with for_an_image_that_differs(image_base, **DIFFERENT[named]) as build:
        assert build(of_sdist(sdist(tmp_path / "pure", project()))).wheel.filename.endswith(
            "py3-none-any.whl"
        )
        with pytest.raises(SeatrialError) as error:
            build(of_sdist(sdist(tmp_path / "native", native)))
    assert "has compiled parts, which cannot be made here" in str(error.value)
    assert named in str(error.value)


def test_an_image_that_forbids_builds_gets_none(image_base: Path, tmp_path: Path) -> None:
    with (
        building(image_base, build=False) as build,
        pytest.raises(SeatrialError, match="would have to be built"),
    ):
        build(of_sdist(sdist(tmp_path, project())))


def test_a_base_without_a_compiler_says_what_to_do(image_base: Path, tmp_path: Path) -> None:
    with building(image_base) as build, pytest.raises(SeatrialError) as error:
        build(of_sdist(sdist(tmp_path, compiled())))
    assert "there is no C compiler" in str(error.value)
    assert f"build: {{base: {image_base}, packages: [build-essential]}}" in str(error.value)


def test_a_compiler_is_wanted_for_what_looks_like_compiling(tmp_path: Path) -> None:
    cases = {
        "pure": ({"a.py": "", "data.csv": ""}, ["setuptools>=61", "wheel"], False),
        "c": ({"src/a.c": ""}, [], True),
        "rust": ({"Cargo.toml": ""}, [], True),
        "meson": ({"a.py": ""}, ["meson-python>=0.15"], True),
        "cython": ({"a.py": ""}, ["Cython<4 ; python_version > '3'"], True),
        "cffi": ({"a.py": ""}, ["cffi[x]~=1.0"], True),
        "named alike": ({"a.py": ""}, ["cython-lint", "numpydoc"], False),
    }
    for name, (files, requires, expected) in cases.items():
        assert wants_compiler(write(tmp_path / name, files), requires) is expected, name


@pytest.mark.slow
def test_c_code_is_compiled_on_the_same_suite_and_is_the_same_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the real Debian: its compiler and headers, which the image never sees."""
    if shutil.which("mmdebstrap") is None:
        pytest.skip("mmdebstrap is not installed: a Debian system to build in cannot be made")
    monkeypatch.setenv("SEATRIAL_CACHE", str(debian_base().parent.parent))
    # The cache outlives the tests, so each run has to bring something that was not built before.
    files, built = {**compiled(), "unique.txt": uuid4().hex}, []
    for number in range(2):
        folder = write(tmp_path / f"{number}", files)
        with building(Path("debian:bookworm"), refresh=bool(number)) as build:
            built.append(build(of_folder(folder)))
    assert built[0] == built[1]
    name, library = next((n, c) for n, c in content_of(built[0]).items() if n.endswith(".so"))
    assert b"/build/src/native.c" in library
    assert str(tmp_path).encode() not in library
    (tmp_path / Path(name).name).write_bytes(library)
    if Path("/usr/bin/python3.11").exists():
        command = ["/usr/bin/python3.11", "-c", "import native; print(native.answer())"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env={})
        assert done.stdout == "42\n", done.stderr


@pytest.mark.slow
def test_the_second_attempt_has_a_compiler_where_the_first_missed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A project that does not look like compiling, on the real Debian."""
    if shutil.which("mmdebstrap") is None:
        pytest.skip("mmdebstrap is not installed: a Debian system to build in cannot be made")
    monkeypatch.setenv("SEATRIAL_CACHE", str(debian_base().parent.parent))
    files = {
        **project(f"open('native.c', 'w').write({C_SOURCE!r})\n{COMPILE}", TAG="cp311-cp311-linux_x86_64")
    }
    lines: list[str] = []
    with building(Path("debian:bookworm"), lines=lines) as build:
        built = build(of_folder(write(tmp_path / "p", {**files, "unique.txt": uuid4().hex})))
    assert built.wheel.filename == "demo-1.0-cp311-cp311-linux_x86_64.whl"
    assert any("again, with a compiler" in line for line in lines)


def test_what_the_image_says_of_its_environment_does_not_reach_the_backend(
    cache: Path, tmp_path: Path
) -> None:
    """A base with PYTHONPATH, as some images have."""
    from support.builds import base

    assert cache.is_dir()
    layout = base(tmp_path / "layout", env=("PYTHONPATH=/nowhere", "LD_PRELOAD=/evil.so", "SECRET=s3cret"))
    run = 'open("demo/env", "w").write(os.environ["PYTHONPATH"] + "|" + os.environ["LD_PRELOAD"])'
    with building(layout) as build:
        assert content_of(build(of_sdist(sdist(tmp_path, project(run)))))["demo/env"] == b"|"
    assert os.environ.get("PYTHONPATH") != "/nowhere"
