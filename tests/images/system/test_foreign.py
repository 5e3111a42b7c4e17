"""Images for a processor that this machine does not have: asked by an emulator, compiled for by a twin or by it."""

from __future__ import annotations

import platform
from pathlib import Path

import msgspec
import pytest

from seatrial.errors import MissingToolError
from seatrial.images.assemble.layers import plan_bytecode, plan_wheels
from seatrial.images.assemble.store import using
from seatrial.images.bases import prepare
from seatrial.images.lock import LockedWheel
from seatrial.images.probe import Interpreter, probe
from seatrial.images.system import processors
from seatrial.images.system.pythons import Python, run_python
from seatrial.images.system.running import in_namespaces
from seatrial.processes import find, run
from support import bases, debian, foreign

HERE = f"linux/{processors.architecture()}"
ELSEWHERE = f"linux/{foreign.OTHER}"
WHEEL = LockedWheel(name="pure", version="1", filename="pure-1-py3-none-any.whl", sha256="0" * 64, size=1)


def asked(layout: Path, where: str) -> Interpreter:
    with using() as use:
        return probe(prepare(str(layout), use, platform=where), use).interpreter


def without_emulator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A PATH on which only bwrap is."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "bwrap").symlink_to(find("bwrap"))
    monkeypatch.setenv("PATH", str(programs))


def test_a_twin_of_this_machines_processor_compiles(
    wheelhouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other base has this machine's programs: no emulator starts them, as if there were none."""
    debian.needs_bwrap()
    other = bases.base(tmp_path / "other", architecture=foreign.OTHER)
    native = bases.base(tmp_path / "own", architecture=processors.architecture())
    without_emulator(monkeypatch, tmp_path)
    alone = asked(other, ELSEWHERE)
    assert (alone.compiler, alone.runs, alone.magic) == (None, False, "")
    assert alone.version == platform.python_version()
    with pytest.raises(MissingToolError, match="bytecode cannot be compiled") as caught:
        plan_bytecode((WHEEL,), alone, 1)
    assert "qemu-user-static" in (caught.value.fix or "")
    own = asked(native, HERE)
    found = asked(other, ELSEWHERE)
    assert found.compiler == own.compiler
    assert found.magic == own.magic
    assert plan_wheels((WHEEL,), found.scheme).key == plan_wheels((WHEEL,), own.scheme).key
    assert plan_bytecode((WHEEL,), found, 1).key == plan_bytecode((WHEEL,), own, 1).key


def test_programs_of_another_processor_run_in_a_namespace_that_knows_them(tmp_path: Path) -> None:
    """What makes bases and installs packages starts programs that start others: the kernel must know how."""
    foreign.needs_emulator()
    lines = processors.registrations(ELSEWHERE)
    assert processors.registrations(HERE) == []
    own = ["/bin/sh", "-c", "cat /proc/sys/fs/binfmt_misc/seatrial-* | head -1; id -u"]
    done = run(in_namespaces(own, lines))
    if "No such device" in done.stderr or "not permitted" in done.stderr:
        pytest.skip("the kernel has no table of processors for each namespace (Linux 6.7)")
    assert done.stdout.split() == ["enabled", "0"], done.stderr
    assert not list(Path("/proc/sys/fs/binfmt_misc").glob("seatrial-*"))


@pytest.fixture
def real(wheelhouse: Path, tmp_path: Path) -> Path:
    debian.needs_bwrap()
    foreign.needs_emulator()
    return foreign.base(tmp_path / "base")


def test_a_base_for_another_processor_answers_itself_and_the_kernel_is_told_nothing(real: Path) -> None:
    found = asked(real, ELSEWHERE)
    assert found.magic == "a70d0d0a"
    assert found.version.startswith("3.11.")
    assert found.scheme.purelib == "/usr/local/lib/python3.11/dist-packages"
    assert found.compiler is not None
    assert found.compiler.emulator
    assert not found.runs
    said = run_python(found.compiler, ["-I", "-c", "import os; print(os.uname().machine)"])
    entry = Path("/proc/sys/fs/binfmt_misc") / f"seatrial-{foreign.OTHER}"
    assert not entry.exists()
    assert said.stdout.strip() == {"arm64": "aarch64", "amd64": "x86_64"}[foreign.OTHER]


def test_an_emulator_that_comes_later_is_used(
    real: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        without_emulator(patch, tmp_path)
        before = asked(real, ELSEWHERE)
    assert (before.compiler, before.magic) == (None, "")
    after = asked(real, ELSEWHERE)
    assert isinstance(after.compiler, Python)
    told = msgspec.structs.replace(after, compiler=None, magic="")
    # The files had told all but the bytecode's mark.
    assert told.version == before.version
    assert told.scheme.purelib == before.scheme.purelib
    assert told.target == before.target
