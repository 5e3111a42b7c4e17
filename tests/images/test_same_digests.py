"""The same inputs give the same digests, whoever makes them, wherever, and on whatever processor."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from seatrial.images.assemble import packing
from support import bases, foreign, layer_digests, wheels

ROOT = Path(__file__).parents[2]
SCRIPT = Path(layer_digests.__file__)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheels and source with enough ordinary text that a compressor has something to decide."""
    folder = tmp_path_factory.mktemp("inputs")
    standard = Path(os.__file__).parent
    texts = {f"texts/{p.name}": p.read_bytes() for p in sorted(standard.glob("[a-m]*.py"))}
    wheels.wheel(folder / "wheels", "texts", "1.0", texts, stored=("texts/ast.py", "texts/argparse.py"))
    wheels.wheel(
        folder / "wheels",
        "odd",
        "1.0",
        {"odd/ü.bin": bytes(range(256)) * 3000, "odd/empty": b"", "odd/z": bytes(70_000)},
    )
    (folder / "source" / "package").mkdir(parents=True)
    (folder / "source" / "package" / "large.txt").write_bytes((standard / "typing.py").read_bytes() * 5)
    (folder / "source" / "run.sh").write_text("#!/bin/sh\n")
    (folder / "source" / "run.sh").chmod(0o755)
    return folder


def digests(argv: list[str], inputs: Path, env: dict[str, str] | None = None, **options: object) -> str:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests"), *_site()]),
        **(env or {}),
    }
    done = subprocess.run(
        [*argv, str(SCRIPT), str(inputs)], env=environment, capture_output=True, text=True, check=False, timeout=300,
        **options,  # type: ignore[call-overload]
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def _site() -> list[str]:
    return [path for path in sys.path if path.endswith("site-packages")]


@pytest.fixture(scope="module")
def expected(inputs: Path) -> str:
    return digests([str(Path(sys.executable).resolve())], inputs)


@pytest.mark.parametrize("processor", ["Nehalem", "Haswell", "EPYC", "max", ""])
def test_on_other_processors(inputs: Path, expected: str, processor: str) -> None:
    """ISA-L chooses its code by processor; without a model qemu takes its own."""
    program = shutil.which("qemu-x86_64") or shutil.which("qemu-x86_64-static")
    if program is None:
        pytest.skip("qemu-x86_64 (qemu-user) is not installed")
    if os.uname().machine != "x86_64":
        pytest.skip("this Python is not for x86-64")
    model = ["-cpu", processor] if processor else []
    assert digests([program, *model, str(Path(sys.executable).resolve())], inputs) == expected


def test_on_another_architecture(inputs: Path, expected: str, tmp_path: Path) -> None:
    foreign.needs_emulator()
    argv, env = foreign.python(tmp_path / "foreign", ("deflate", "isal", "msgspec", "packaging"))
    env["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests"), env["PYTHONPATH"]])
    assert digests(argv, inputs, env) == expected


def test_by_other_pythons(inputs: Path, expected: str) -> None:
    """SEATRIAL_OTHER_PYTHONS: command lines (separated by `;`) of Pythons that have Seatrial's dependencies."""
    given = os.environ.get("SEATRIAL_OTHER_PYTHONS", "")
    if not given:
        pytest.skip("SEATRIAL_OTHER_PYTHONS names no other Python")
    for command in given.split(";"):
        assert (
            digests(shlex.split(command), inputs, {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}"})
            == expected
        ), command


@pytest.mark.parametrize(
    "env",
    [
        {"TZ": "Asia/Kathmandu", "LC_ALL": "C", "PYTHONHASHSEED": "1"},
        {"TZ": "America/St_Johns", "LC_ALL": "tr_TR.UTF-8", "PYTHONUTF8": "0", "PYTHONHASHSEED": "2"},
        {"HOME": "/nonexistent", "USER": "somebody", "LANG": "de_DE.ISO-8859-1", "COLUMNS": "20"},
    ],
    ids=["Kathmandu", "Turkish", "nobody"],
)
def test_in_another_environment(inputs: Path, expected: str, env: dict[str, str]) -> None:
    assert digests([sys.executable], inputs, env, umask=0o077) == expected


def test_by_another_user(inputs: Path, expected: str) -> None:
    """One that owns nothing and may do nothing, as far as the program can tell."""
    if shutil.which("unshare") is None:
        pytest.skip("unshare (util-linux) is not installed")
    user = ["unshare", "--user", "--map-user=12345", "--map-group=12345"]
    if subprocess.run([*user, "true"], capture_output=True, check=False).returncode:
        pytest.skip("unshare may not make user namespaces here")
    assert digests([*user, sys.executable], inputs) == expected


def test_in_another_folder_with_other_times_and_order(inputs: Path, expected: str, tmp_path: Path) -> None:
    for path in sorted((p for p in inputs.rglob("*") if p.is_file()), reverse=True):
        target = tmp_path / "elsewhere" / path.relative_to(inputs)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
        target.chmod(0o700 if os.access(path, os.X_OK) else 0o600)
        os.utime(target, (1, 1))
    assert digests([sys.executable], tmp_path / "elsewhere") == expected


def test_a_whole_image_with_any_number_of_threads_and_a_cold_or_warm_cache(
    inputs: Path, tmp_path: Path, wheelhouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from seatrial.images.assemble.image import ImageSpec, assemble_project

    base = bases.base(tmp_path / "base")
    for wheel in (inputs / "wheels").iterdir():
        shutil.copy(wheel, wheelhouse)
    shutil.copytree(inputs / "source", tmp_path / "project")
    (tmp_path / "project" / "requirements.txt").write_text("texts\nodd\n")
    spec = ImageSpec(
        root=tmp_path / "project", base=str(base), requirements=("requirements.txt",), bytecode=False
    )
    found = []
    for number, threads in enumerate((1, 2, 7, 7)):
        if number < 3:
            monkeypatch.setenv("SEATRIAL_CACHE", str(tmp_path / f"cache{number}"))
        found.append(assemble_project(spec, out=tmp_path / f"out{number}", threads=threads).digest)
    assert len(set(found)) == 1


def test_the_compressor_does_not_choose_by_processor() -> None:
    """ISA-L's level 3 does: it has other code for AVX2 and AVX-512."""
    assert packing.LEVEL <= 2
