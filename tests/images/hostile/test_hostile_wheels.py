"""Wheels of the corpus are refused by name with the reason; nothing is written but in the output and the cache."""

from __future__ import annotations

import hashlib
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from seatrial.errors import SeatrialError
from seatrial.images.assemble.image import ImageSpec, assemble_project
from support import bases, hostile_wheels, wheels

if TYPE_CHECKING:
    from collections.abc import Iterator

CASES = hostile_wheels.cases(bases.PURELIB.removeprefix("/usr/local/"))
SECONDS = 30
MEMORY = 300 << 20


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bases.base(tmp_path_factory.mktemp("base") / "base")


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("probed")


@pytest.fixture
def in_time() -> Iterator[None]:
    """No case may take longer, whatever it claims to hold."""

    def late(*_: object) -> None:
        raise TimeoutError

    former = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, former)


def project(folder: Path, wheel: Path) -> ImageSpec:
    """A project whose lock names that wheel: nothing else reads it before assembling does."""
    folder.mkdir()
    content = wheel.read_bytes()
    name, version, _ = wheel.name.split("-", 2)
    (folder / wheel.name).write_bytes(content)
    (folder / "pylock.toml").write_text(
        'lock-version = "1.0"\ncreated-by = "test"\n[[packages]]\n'
        f'name = "{name}"\nversion = "{version}"\n'
        f'wheels = [{{ name = "{wheel.name}", path = "./{wheel.name}", size = {len(content)}, '
        f'hashes = {{ sha256 = "{hashlib.sha256(content).hexdigest()}" }} }}]\n'
    )
    return ImageSpec(root=folder, requirements=("pylock.toml",), source=(), bytecode=False)


def snapshot(folder: Path, *apart: Path) -> dict[str, tuple[int, int]]:
    """Every path with its time and size, except below `apart`."""
    return {
        str(path): (path.lstat().st_mtime_ns, path.lstat().st_size)
        for path in folder.rglob("*")
        if not any(path.is_relative_to(one) for one in apart) and path not in {one.parent for one in apart}
    }


def assemble(tmp_path: Path, base: Path, probed: Path, wheel: Path) -> None:
    import msgspec

    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "bases").symlink_to(probed)
    spec = msgspec.structs.replace(project(tmp_path / "project", wheel), base=str(base))
    before = snapshot(tmp_path, tmp_path / "cache", tmp_path / "home", tmp_path / "out")
    here = sorted(Path().iterdir())
    try:
        assemble_project(spec, out=tmp_path / "out")
    finally:
        assert snapshot(tmp_path, tmp_path / "cache", tmp_path / "home", tmp_path / "out") == before
        assert sorted(Path().iterdir()) == here


def test_the_corpus_is_large() -> None:
    assert len(CASES) >= 80


@pytest.mark.usefixtures("in_time", "wheelhouse")
@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_by_name_with_the_reason(name: str, tmp_path: Path, base: Path, probed: Path) -> None:
    case = CASES[name]()
    wheel = tmp_path / hostile_wheels.NAME
    wheel.write_bytes(case.content)
    if not case.why:
        assemble(tmp_path, base, probed, wheel)
        return
    with pytest.raises(SeatrialError) as caught:
        assemble(tmp_path, base, probed, wheel)
    assert re.search(case.why, str(caught.value)), str(caught.value)
    assert hostile_wheels.NAME in str(caught.value)
    assert caught.value.fix
    assert not (tmp_path / "out").exists()


REPLACING: dict[str, dict[str, Any]] = {
    "the interpreter": {"files": {"demo-1.0.data/data/bin/python3": b"evil"}},
    "the interpreter by a script": {
        "files": {f"demo-1.0.data/scripts/{Path(bases.PURELIB).parent.name}": b"evil"}
    },
    "the interpreter by an entry point": {"entry_points": "[console_scripts]\npython3 = demo:main\n"},
    "the standard library": {
        "files": {f"demo-1.0.data/data/lib/{Path(bases.PURELIB).parent.name}/os.py": b"evil"}
    },
}


@pytest.mark.usefixtures("wheelhouse")
@pytest.mark.parametrize("name", REPLACING)
def test_a_package_does_not_replace_the_bases_python(
    name: str, tmp_path: Path, base: Path, probed: Path
) -> None:
    given = REPLACING[name]
    files = {"demo/__init__.py": b"", **given.get("files", {})}
    wheel = wheels.wheel(tmp_path, files=files, entry_points=given.get("entry_points", ""))
    with pytest.raises(SeatrialError, match=r"demo 1\.0 would replace the base's Python") as caught:
        assemble(tmp_path, base, probed, wheel)
    assert caught.value.fix
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("wheelhouse")
def test_replacing_another_file_of_the_base_is_said(tmp_path: Path) -> None:
    import msgspec

    layout = bases.base(tmp_path / "base", extra={"/usr/local/bin/tool": b"#!/bin/sh\n"})
    wheel = wheels.wheel(
        tmp_path, files={"demo/__init__.py": b"", "demo-1.0.data/scripts/tool": b"#!python\n"}
    )
    spec = msgspec.structs.replace(project(tmp_path / "project", wheel), base=str(layout))
    (note,) = assemble_project(spec, out=tmp_path / "out").notes
    assert note.startswith("demo 1.0 replaces /usr/local/bin/tool of the base")


RUNNER = """
import sys
sys.path[:0] = sys.argv[1:2]
from pathlib import Path
from seatrial.errors import SeatrialError
from seatrial.images.assemble.install import Scheme, write_wheels
from seatrial.images.assemble.layer import LayerWriter
from seatrial.images.assemble.wheel import read_wheel
lib = "/usr/local/lib/python3/site-packages"
scheme = Scheme(purelib=lib, platlib=lib, scripts="/usr/local/bin", headers="/usr/local/include", data="/usr/local", shebang="/usr/local/bin/python3")
refused = 0
for path in sorted(Path(sys.argv[2]).iterdir()):
    try:
        with open("/dev/null", "wb") as out, LayerWriter(out) as writer:
            write_wheels(writer, [read_wheel(path, "demo-1.0-py3-none-any.whl")], scheme)
            writer.finish()
    except SeatrialError:
        refused += 1
# Not ru_maxrss: that still knows how large the process was that started this one.
print(refused, int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) << 10)
"""


def test_no_case_takes_much_memory(tmp_path: Path) -> None:
    """Twice what a bomb claims would be allowed by nothing but a machine that is large enough."""
    for number, make in enumerate(CASES.values()):
        (tmp_path / f"{number}.whl").write_bytes(make().content)
    limit = (4 << 30, 4 << 30)
    done = subprocess.run(
        [sys.executable, "-c", RUNNER, str(Path(__file__).parents[2]), str(tmp_path)],
        capture_output=True, text=True, check=True, timeout=300,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, limit),
    )  # fmt: skip
    refused, peak = map(int, done.stdout.split())
    assert refused >= 75
    assert peak < MEMORY
