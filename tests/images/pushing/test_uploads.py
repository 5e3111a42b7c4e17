"""Several repositories at once, and uploads that run while layers are still being made."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from seatrial.errors import SeatrialError, UsageError
from seatrial.images import layout as layouts
from seatrial.images import registry
from seatrial.images.pushing.destination import Settings
from seatrial.images.pushing.preview import preview
from seatrial.images.pushing.uploads import Uploads, push_all
from seatrial.transport import Retry
from support.clocks import SimulatedClock
from support.faults import Fault, proxy
from support.layouts import image, two_platforms
from support.registries import running
from support.tokens import PasswordGuard
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("other")) as address:
        yield address


@pytest.fixture(autouse=True)
def _own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEATRIAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)


def test_one_that_fails_does_not_stop_the_others(host: str, other: str, tmp_path: Path) -> None:
    made = image(tmp_path / "image", seed=301)
    with proxy(host) as closed, proxy(other) as breaks:
        closed.guard = PasswordGuard("ann", "secret")
        breaks.faults.append(Fault("PUT", "/blobs/uploads/", times=99, status=413, body=b"too big"))
        references = [
            f"{closed.host}/several/one:1", f"{host}/several/two:1", "127.0.0.1:1/several/three:1",
            f"{breaks.host}/several/four:1", f"{other}/several/five:1",
        ]  # fmt: skip
        results = push_all(
            tmp_path / "image", references, tags=["also"], settings=Settings(clock=SimulatedClock())
        )
    assert [result.reference for result in results] == [one.rpartition(":")[0] for one in references]
    assert [result.pushed is not None for result in results] == [False, True, False, False, True]
    for result, words in zip(
        (results[0], results[2], results[3]),
        ("no credentials", "refuses the connection", "too big"),
        strict=True,
    ):
        assert words in str(result.error)
    for address in (f"{host}/several/two", f"{other}/several/five"):
        assert {tag.tag: tag.digest for tag in registry.tags(address)} == {
            "1": made.digest,
            "also": made.digest,
        }
    with pytest.raises(SeatrialError, match="has no repository"):
        registry.tags(f"{host}/several/one")


def test_a_registry_gets_each_blob_once_for_all_its_repositories(host: str, tmp_path: Path) -> None:
    made = image(tmp_path / "image", seed=302)
    with proxy(host) as recorder:
        names = [f"{recorder.host}/lend/{name}" for name in ("a:1", "a:2", "b:1", "c:1")]
        results = push_all(tmp_path / "image", names)
        assert recorder.blob_bytes() == sum(r.pushed.pushed_bytes for r in results if r.pushed)
    done = [result.pushed for result in results]
    assert [one and one.tags for one in done] == [("1", "2"), ("1",), ("1",)]
    assert [{blob.how for blob in one.blobs} for one in done if one] == [{"sent"}, {"mounted"}, {"mounted"}]
    assert {registry.resolve(f"{host}/lend/{name}:1") for name in "abc"} == {made.digest}


def test_a_neighbour_that_failed_lends_nothing(host: str, tmp_path: Path) -> None:
    image(tmp_path / "image", seed=303)
    with proxy(host) as recorder:
        recorder.faults.append(Fault("POST", "/v2/fails/", times=99, status=413))
        failed, done = push_all(
            tmp_path / "image", [f"{recorder.host}/fails/a:1", f"{recorder.host}/works/b:1"]
        )
    assert failed.error
    assert done.pushed
    assert {blob.how for blob in done.pushed.blobs} == {"sent"}


def test_blobs_are_on_their_way_before_the_image_is_made(host: str, tmp_path: Path) -> None:
    made = image(tmp_path / "image", seed=304, sizes=(300_000, 200_000))
    manifest = layouts.read_json(tmp_path / "image", made.digest, layouts.Manifest)
    with proxy(host) as recorder, Uploads([f"{recorder.host}/early/app"]) as uploads:
        uploads.ready()
        for layer in manifest.layers:
            uploads.offer(layer, layouts.blob_path(tmp_path / "image", layer.digest))
            uploads.offer(layer, layouts.blob_path(tmp_path / "image", layer.digest))
        until(lambda: recorder.count("PUT", "/blobs/uploads/") == 2, "both layers were sent")
        assert recorder.count("PUT", "/manifests/") == 0
        [result] = uploads.finish(tmp_path / "image", tags=["late"])
    assert result.pushed
    assert (result.pushed.digest, result.pushed.tags) == (made.digest, ("late",))
    assert registry.pull(f"{host}/early/app:late", tmp_path / "back") == made.digest


def test_a_layer_that_is_not_part_of_the_image_in_the_end_does_no_harm(host: str, tmp_path: Path) -> None:
    made = image(tmp_path / "image", seed=305)
    stray = image(tmp_path / "stray", seed=306)
    with Uploads([f"{host}/stray/app:1"]) as uploads:
        for blob in layouts.read_json(tmp_path / "stray", stray.digest, layouts.Manifest).layers:
            uploads.offer(blob, layouts.blob_path(tmp_path / "stray", blob.digest))
        [result] = uploads.finish(tmp_path / "image")
    assert result.pushed
    assert result.pushed.digest == made.digest
    assert len(result.pushed.blobs) == 4


def test_a_registry_that_lets_nobody_in_is_told_before_anything_is_made(host: str, tmp_path: Path) -> None:
    made = image(tmp_path / "image", seed=307)
    blob = layouts.read_json(tmp_path / "image", made.digest, layouts.Manifest).layers[0]
    with proxy(host) as closed:
        closed.guard = PasswordGuard("ann", "secret")
        with Uploads([f"{closed.host}/closed/app:1"]) as uploads:
            with pytest.raises(SeatrialError, match="does not let us push"):
                uploads.ready()
            with pytest.raises(SeatrialError, match="does not let us push"):
                uploads.offer(blob, layouts.blob_path(tmp_path / "image", blob.digest))
        # Without one of them having a chance, the others go on.
        with Uploads([f"{closed.host}/closed/app:1", f"{host}/open/app:1"]) as uploads:
            uploads.ready()
            results = uploads.finish(tmp_path / "image")
    assert [bool(result.pushed) for result in results] == [False, True]


def test_leaving_early_ends_the_threads(host: str, tmp_path: Path) -> None:
    made = image(tmp_path / "image", seed=308)
    manifest = layouts.read_json(tmp_path / "image", made.digest, layouts.Manifest)
    before = threading.active_count()
    with proxy(host) as recorder:
        recorder.faults.append(
            Fault("PUT", "/blobs/uploads/", times=99, status=503, headers={"Retry-After": "100"})
        )
        started = time.monotonic()
        with Uploads([f"{recorder.host}/left/app:1"]) as uploads:
            for blob in manifest.layers:
                uploads.offer(blob, layouts.blob_path(tmp_path / "image", blob.digest))
            until(lambda: recorder.count("PUT", "/blobs/uploads/") > 0, "a blob was refused for now")
        assert time.monotonic() - started < 50
    until(lambda: threading.active_count() <= before, "the threads have ended")
    with pytest.raises(SeatrialError, match="has no"):
        registry.resolve(f"{host}/left/app:1")


def test_questions_are_asked_once_and_at_the_same_time(host: str, tmp_path: Path) -> None:
    """Of 20 blobs one is new: each is asked for once, the new one once more after it was sent."""
    image(tmp_path / "old", seed=309, sizes=[1_000] * 18 + [2_000])
    image(tmp_path / "new", seed=309, sizes=[1_000] * 18 + [3_000])
    with proxy(host) as recorder:
        registry.push(tmp_path / "old", f"{recorder.host}/few/app:1")
        recorder.seen.clear()
        registry.push(tmp_path / "new", f"{recorder.host}/few/app:1")
        asked = Counter(seen.method for seen in recorder.seen)
        blobs = Counter(seen.path for seen in recorder.seen if "/blobs/sha256:" in seen.path)
        # 20 blobs, 2 of them again (layer and config); the tag before and after.
        assert (asked["HEAD"], asked["POST"], asked["PUT"], asked["GET"]) == (24, 2, 4, 2)
        assert sorted(blobs.values()) == [1] * 18 + [2] * 2
        recorder.seen.clear()
        registry.push(tmp_path / "new", f"{recorder.host}/few/app:1")
        asked = Counter(seen.method for seen in recorder.seen)
        assert (asked["HEAD"], asked["GET"], asked["PUT"], asked["POST"]) == (22, 2, 0, 0)


def test_a_version_is_not_given_twice(host: str, tmp_path: Path) -> None:
    first = image(tmp_path / "first", seed=310)
    image(tmp_path / "second", seed=311)
    fixed = Settings(fixed=frozenset({"1.0.0"}))
    [done] = push_all(tmp_path / "first", [f"{host}/fixed/app"], tags=["1.0.0", "latest"], settings=fixed)
    assert done.pushed
    with proxy(host) as recorder:
        [refused] = push_all(
            tmp_path / "second", [f"{recorder.host}/fixed/app"], tags=["1.0.0", "latest"], settings=fixed
        )
        assert "1.0.0 is another image already" in str(refused.error)
        assert recorder.blob_bytes() == 0, "that is known before anything is sent"
    assert {tag.digest for tag in registry.tags(f"{host}/fixed/app")} == {first.digest}
    [again] = push_all(tmp_path / "first", [f"{host}/fixed/app"], tags=["1.0.0"], settings=fixed)
    assert again.pushed


def test_looking_ahead_says_what_would_happen_and_writes_nothing(host: str, tmp_path: Path) -> None:
    old, new = (
        image(tmp_path / "old", seed=312, sizes=(50_000, 60_000)),
        image(tmp_path / "new", seed=312, sizes=(50_000, 70_000)),
    )
    registry.push(tmp_path / "old", f"{host}/ahead/app:1")
    with proxy(host) as recorder:
        here, nowhere, dead = preview(
            tmp_path / "new", [f"{recorder.host}/ahead/app:1", f"{recorder.host}/ahead/none", "127.0.0.1:1/a:1"],
            tags=["2"], settings=Settings(retry=Retry(attempts=1)),
        )  # fmt: skip
        assert {seen.method for seen in recorder.seen} == {"GET", "HEAD"}
    assert (here.repository, here.digest, len(here.send)) == ("there", new.digest, 2)
    assert 70_000 < here.send_bytes < 75_000
    assert here.reused_bytes > 50_000
    assert [(move.tag, move.now, move.moves) for move in here.tags] == [
        ("1", old.digest, True),
        ("2", None, True),
    ]
    assert (nowhere.repository, len(nowhere.send)) == ("would be made", 3)
    assert "refuses the connection" in dead.error


def test_an_index_goes_to_several(host: str, other: str, tmp_path: Path) -> None:
    top = two_platforms(tmp_path / "both")
    results = push_all(tmp_path / "both", [f"{host}/index/app:1", f"{other}/index/app:1"])
    assert {result.pushed.digest for result in results if result.pushed} == {top.digest}
    [tag] = registry.tags(f"{other}/index/app")
    assert [one.platform for one in tag.platforms] == ["linux/amd64", "linux/arm64"]
    assert tag.size == tag.platforms[0].size > 1_000


@pytest.mark.parametrize("references", [["a b"], ["x.example/A:1"], [f"127.0.0.1:1/a@sha256:{'0' * 64}"]])
def test_what_is_no_reference_is_said_before_anything(references: list[str], tmp_path: Path) -> None:
    image(tmp_path / "image", seed=313)
    with pytest.raises((UsageError, SeatrialError), match=r"not an image reference|not the one"):
        push_all(tmp_path / "image", [*references, "127.0.0.1:1/fine:1"])


def test_memory_stays_flat(host: str, tmp_path: Path) -> None:
    """Blobs are read piece by piece, however large they are and however many go at a time."""
    image(tmp_path / "image", seed=314, sizes=(25_000_000, 24_000_000))
    code = (
        "import sys; from pathlib import Path; from seatrial.images import registry\n"
        "registry.push(Path(sys.argv[1]), sys.argv[2])\n"
        "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path / "image"), f"{host}/flat/app:1"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert int(done.stdout) * 1024 < 60_000_000
