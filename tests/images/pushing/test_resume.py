"""A push that was killed goes on where the registry says, by the bytes that arrive there."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from seatrial.images import registry
from seatrial.images.pushing.destination import POINTS
from support.clocks import SimulatedClock
from support.faults import Fault, Proxy, proxy
from support.layouts import image
from support.registries import running
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BIG, CHUNK = 1_000_000, 150_000
UPLOAD = "/blobs/uploads/"

# Ends itself without a word when it reaches a point for the n-th time.
PUSHER = """
import os, signal, sys
from pathlib import Path
from seatrial.images import registry
layout, target, point, number = sys.argv[1:5]
left = int(number)
def reach(name):
    global left
    if name == point:
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
registry.push(Path(layout), target, tags=["second"], chunk=int(sys.argv[5]), workers=2, point=reach)
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture
def recorder(host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    monkeypatch.setenv("SEATRIAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    with proxy(host) as front:
        yield front


def _pushed_until(layout: Path, target: str, point: str, number: int = 1) -> int:
    arguments = [sys.executable, "-c", PUSHER, str(layout), target, point, str(number), str(CHUNK)]
    done = subprocess.run(arguments, env=dict(os.environ), capture_output=True, check=False, timeout=60)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr.decode()
    return done.returncode


def _entries(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache/registries/uploads").glob("*.json"))


def test_after_kill_9_only_the_rest_is_sent(recorder: Proxy, host: str, tmp_path: Path) -> None:
    made = image(tmp_path / "image", seed=101, sizes=(20, 3_000, BIG))
    target = f"{recorder.host}/resume/rest:1"
    assert _pushed_until(tmp_path / "image", target, "registry.push.chunk", 3) == -signal.SIGKILL
    assert len(_entries(tmp_path)) == 1
    recorder.seen.clear()
    pushed = registry.push(tmp_path / "image", target, chunk=CHUNK)

    ranges = [seen.headers["Content-Range"] for seen in recorder.seen if seen.method == "PATCH"]
    assert ranges[0].startswith(f"{3 * CHUNK}-"), "it goes on after the third chunk"
    assert recorder.blob_bytes() <= BIG - 3 * CHUNK + 5_000
    assert pushed.digest == made.digest == registry.resolve(f"{host}/resume/rest:1")
    assert registry.pull(f"{host}/resume/rest:1", tmp_path / "back") == made.digest
    assert _entries(tmp_path) == [], "nothing is remembered of what is complete"


def test_killed_inside_a_chunk_that_blob_alone_goes_again(recorder: Proxy, host: str, tmp_path: Path) -> None:
    """docker-registry 2.8 forgets an upload whose PATCH was cut."""
    made = image(tmp_path / "image", seed=102, sizes=(100_000, BIG))
    target = f"{recorder.host}/resume/forgot:1"
    hold = Fault("PATCH", UPLOAD, skip=2, hold=50_000)
    recorder.faults.append(hold)
    arguments = [sys.executable, "-c", PUSHER, str(tmp_path / "image"), target, "none", "1", str(CHUNK)]
    process = subprocess.Popen(arguments, env=dict(os.environ))
    try:
        until(lambda: recorder.blob_bytes() > 2 * CHUNK + 150_000, "the third chunk is on its way")
    finally:
        process.kill()
        process.wait()
    hold.release.set()
    recorder.seen.clear()
    pushed = registry.push(tmp_path / "image", target, chunk=CHUNK)
    assert pushed.digest == made.digest
    assert BIG < recorder.blob_bytes() < BIG + 5_000, "the other layer is not sent again"
    assert registry.pull(f"{host}/resume/forgot:1", tmp_path / "back") == made.digest


def test_an_upload_that_went_wrong_is_begun_anew(recorder: Proxy, host: str, tmp_path: Path) -> None:
    """What the registry kept of it is not what we sent: its digest does not fit, and all of the blob goes again."""
    made = image(tmp_path / "image", seed=103, sizes=(20, BIG))
    target = f"{recorder.host}/resume/wrong:1"
    recorder.faults.append(Fault("PATCH", UPLOAD, corrupt="request"))
    assert _pushed_until(tmp_path / "image", target, "registry.push.chunk", 2) == -signal.SIGKILL
    pushed = registry.push(tmp_path / "image", target, chunk=CHUNK, clock=SimulatedClock())
    assert pushed.digest == made.digest
    assert registry.pull(f"{host}/resume/wrong:1", tmp_path / "back") == made.digest


def test_what_is_kept_is_for_its_owner_for_a_day_and_holds_no_password(
    recorder: Proxy, tmp_path: Path
) -> None:
    image(tmp_path / "image", seed=104, sizes=(20, BIG))
    target = f"{recorder.host}/resume/kept:1"
    _pushed_until(tmp_path / "image", target, "registry.push.chunk", 2)
    [entry] = _entries(tmp_path)
    assert stat.S_IMODE(entry.stat().st_mode) == 0o600
    assert stat.S_IMODE(entry.parent.stat().st_mode) == 0o700
    content = json.loads(entry.read_text())
    assert set(content) == {"digest", "size", "location", "offset", "chunk", "at"}
    assert content["offset"] == 2 * CHUNK
    content["at"] -= 90_000
    entry.write_text(json.dumps(content))
    recorder.seen.clear()
    registry.push(tmp_path / "image", target, chunk=CHUNK)
    assert recorder.count("GET", UPLOAD) == 0, "an entry of yesterday is not asked about"
    assert recorder.blob_bytes() > BIG


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"digest":1}', b"[" * 5000])
def test_a_damaged_entry_is_none(content: bytes, recorder: Proxy, tmp_path: Path) -> None:
    made = image(tmp_path / "image", seed=105, sizes=(20, BIG))
    target = f"{recorder.host}/resume/damaged-{len(content)}:1"
    _pushed_until(tmp_path / "image", target, "registry.push.chunk", 1)
    for entry in _entries(tmp_path):
        entry.write_bytes(content)
    assert registry.push(tmp_path / "image", target, chunk=CHUNK).digest == made.digest


def test_two_at_once_do_not_take_each_others_upload(recorder: Proxy, host: str, tmp_path: Path) -> None:
    made = image(tmp_path / "image", seed=106, sizes=(20, BIG))
    target = f"{recorder.host}/resume/two:1"
    _pushed_until(tmp_path / "image", target, "registry.push.chunk", 2)
    arguments = [sys.executable, "-c", PUSHER, str(tmp_path / "image"), target, "none", "1", str(CHUNK)]
    both = [subprocess.Popen(arguments, env=dict(os.environ), stderr=subprocess.PIPE) for _ in range(2)]
    told = [process.communicate(timeout=60)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert registry.pull(f"{host}/resume/two:1", tmp_path / "back") == made.digest


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_any_point_no_tag_is_wrong_and_nothing_complete_is_sent_again(
    point: str, recorder: Proxy, host: str, tmp_path: Path
) -> None:
    """The tag names another image before: it stays there, or names the new one, and never anything else."""
    old = image(tmp_path / "old", seed=200, sizes=(20, 2_000))
    new = image(tmp_path / "new", seed=201 + POINTS.index(point), sizes=(20, 200_000, BIG))
    name = f"killed/{point.rpartition('.')[2]}"
    registry.push(tmp_path / "old", f"{host}/{name}:1", tags=["second"])
    recorder.seen.clear()
    for number in (1, 2):
        if _pushed_until(tmp_path / "new", f"{recorder.host}/{name}:1", point, number) == 0:
            break
        for tag in ("1", "second"):
            assert registry.resolve(f"{host}/{name}:{tag}") in (old.digest, new.digest)
            registry.pull(f"{host}/{name}:{tag}", tmp_path / "back")  # whole, whichever it is
    assert (
        registry.push(tmp_path / "new", f"{recorder.host}/{name}:1", tags=["second"], chunk=CHUNK).digest
        == new.digest
    )
    for tag in ("1", "second"):
        assert registry.resolve(f"{host}/{name}:{tag}") == new.digest
    closed = [
        seen.path.rpartition("digest=")[2]
        for seen in recorder.seen
        if seen.method == "PUT" and UPLOAD in seen.path
    ]
    # A blob whose last request had been answered is there: it is not closed, so not sent, a second time. Only one
    # that was cut between request and answer may be.
    assert len(closed) <= len(set(closed)) + 2
    assert recorder.blob_bytes() <= 2 * (BIG + 200_000) + 10_000
