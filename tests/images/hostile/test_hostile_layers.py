"""Base images of the corpus are refused by name with the reason, or taken without anything getting out of them."""

from __future__ import annotations

import re
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from seatrial.errors import SeatrialError
from seatrial.images import layout as oci
from seatrial.images import runtime
from seatrial.images.base_tree import extract, read_tree
from support import hostile_layers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CASES = hostile_layers.CASES
SECONDS = 60
MEMORY = 1 << 30


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """No case may take longer, whatever it claims to hold."""

    def late(*_: object) -> None:
        raise TimeoutError

    monkeypatch.setenv("SEATRIAL_CACHE", str(tmp_path / "cache"))
    former = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    yield tmp_path / "cache"
    signal.alarm(0)
    signal.signal(signal.SIGALRM, former)


def read(layout: Path, into: Path) -> None:
    """As assembling reads a base, and takes files out of it."""
    image = oci.read_image(layout)
    into.mkdir()
    extract(layout, image, read_tree(layout, image), into, lambda _path: True)


def expect(said: str, action: Callable[[], object]) -> None:
    if not said:
        action()
        return
    with pytest.raises(SeatrialError) as caught:
        action()
    assert re.search(said, str(caught.value)), str(caught.value)
    assert caught.value.where, "which image or layer is it?"


@pytest.mark.parametrize("name", CASES)
def test_nothing_gets_out_and_the_reason_is_named(name: str, tmp_path: Path, cache: Path) -> None:
    case, layout, outside = CASES[name], tmp_path / "image", tmp_path / "outside"
    outside.mkdir()
    (outside / "here").write_text("as it was")
    case.write(layout)
    before = {path: path.lstat().st_mtime_ns for path in layout.rglob("*")}
    expect(case.read, lambda: read(layout, tmp_path / "taken"))
    expect(case.unpack, lambda: runtime.prepare(layout))
    assert [path.name for path in outside.iterdir()] == ["here"]
    assert (outside / "here").read_text() == "as it was"
    assert (outside / "here").stat().st_nlink == 1
    assert {path: path.lstat().st_mtime_ns for path in layout.rglob("*")} == before
    assert {path.name for path in tmp_path.iterdir()} <= {"image", "outside", "taken", "cache"}
    assert {path.name for path in cache.iterdir()} <= {"rootfs"} if cache.exists() else True
    if case.unpack and (cache / "rootfs").exists():
        assert list((cache / "rootfs/layers").iterdir()) == list((cache / "rootfs/tmp").iterdir()) == []


def test_the_corpus_is_large() -> None:
    assert len(CASES) >= 55


def test_no_set_user_id_bit_reaches_the_store(tmp_path: Path) -> None:
    CASES["set-user-id"].write(tmp_path / "image")
    root = runtime.prepare(tmp_path / "image")
    assert (root.folder(root.layers[0]) / "bin/su").stat().st_mode & 0o7777 == 0o755


RUNNER = """
import os, re, resource, sys
sys.path[:0] = sys.argv[1:2]
from pathlib import Path
from seatrial.errors import SeatrialError
from seatrial.images import layout as oci
from seatrial.images.base_tree import read_tree
refused = 0
for layout in sorted(Path(sys.argv[2]).iterdir()):
    try:
        image = oci.read_image(layout)
        read_tree(layout, image)
    except SeatrialError:
        refused += 1
print(refused, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10)
"""


def test_no_case_takes_much_memory(tmp_path: Path) -> None:
    for number, case in enumerate(CASES.values()):
        case.write(tmp_path / "cases" / str(number))
    done = subprocess.run(
        [sys.executable, "-c", RUNNER, str(Path(__file__).parents[2]), str(tmp_path / "cases")],
        capture_output=True, text=True, check=True, timeout=300,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30)),
    )  # fmt: skip
    refused, peak = map(int, done.stdout.split())
    assert refused >= 40
    assert peak < MEMORY
