"""Whatever breaks: the push finishes, or fails clearly and no tag names a wrong image."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from seatrial.errors import SeatrialError
from seatrial.images import layout as layouts
from seatrial.images import registry
from seatrial.transport import Retry, TransportError
from support.clocks import SimulatedClock
from support.faults import Fault, Proxy, proxy
from support.layouts import image
from support.registries import running
from support.tokens import PasswordGuard, TokenGuard
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BIG = 400_000
UPLOAD = "/blobs/uploads/"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture
def faulty(host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    monkeypatch.setenv("SEATRIAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    with proxy(host) as front:
        yield front


@pytest.fixture
def made(tmp_path: Path, request: pytest.FixtureRequest) -> layouts.Descriptor:
    """An image of its own for each test, so that no test finds another's blobs."""
    seed = int.from_bytes(request.node.nodeid.encode(), "big") % 1_000_003
    return image(tmp_path / "image", seed=seed, sizes=(20, 3_000, BIG))


def _name(request: pytest.FixtureRequest) -> str:
    return "faults/" + "".join(c if c.isalnum() else "-" for c in request.node.name.lower()).strip("-")[:80]


@pytest.mark.parametrize(
    "fault",
    [
        Fault("PUT", UPLOAD, cut_upload=100_000),
        Fault("PUT", UPLOAD, times=3, cut_upload=10),
        Fault("PUT", UPLOAD, lose_answer=True),
        Fault("PUT", UPLOAD, corrupt="request"),
        Fault("PUT", UPLOAD, times=3, status=500),
        Fault("PUT", UPLOAD, times=2, status=503, headers={"Retry-After": "2"}),
        Fault("POST", UPLOAD, times=2, status=429, headers={"Retry-After": "7"}),
        Fault("POST", UPLOAD, times=2, status=429),
        Fault("POST", UPLOAD, status=429, headers={"Retry-After": "Fri, 15 Jan 2027 08:00:30 GMT"}),
        Fault("PUT", UPLOAD, status=503, headers={"Retry-After": "Fri, 15 Jan 2027 08:00:30 GMT"}),
        Fault("POST", UPLOAD, times=2, lose_answer=True),
        Fault("HEAD", "/blobs/", times=3, status=502),
        Fault("GET", "/v2/$", times=2, status=500),
        Fault("PUT", "/manifests/sha256", lose_answer=True),
        Fault("PUT", "/manifests/1.0", times=2, status=504),
        Fault("PUT", "/manifests/1.0", lose_answer=True),
        Fault("HEAD", "/manifests/1.0", times=2, status=500),
        Fault("PUT", UPLOAD, slow=0.02),
        Fault("GET", "/manifests/sha256", cut_answer=50),
        # A registry that shows what it has stored a moment later.
        Fault("GET", "/manifests/sha256", status=404),
        Fault("HEAD", "/blobs/", skip=4, times=2, status=404),
        Fault("HEAD", "/manifests/1.0", skip=1, times=2, status=404),
    ],
    ids=lambda f: "-".join(filter(None, [f.method, f.path.strip("/$"), _what(f)])),
)
def test_a_passing_fault_is_survived(
    fault: Fault,
    faulty: Proxy,
    host: str,
    made: layouts.Descriptor,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    name = _name(request)
    faulty.faults.append(fault)
    clock = SimulatedClock()
    pushed = registry.push(tmp_path / "image", f"{faulty.host}/{name}:1.0", clock=clock)

    assert fault.times == 0, "the fault did not happen"
    assert registry.resolve(f"{host}/{name}:1.0") == pushed.digest == made.digest
    assert registry.pull(f"{host}/{name}:1.0", tmp_path / "back") == made.digest
    asked = fault.headers.get("Retry-After", "0")
    if asked != "0":  # the date is 30 s after the simulated clock's beginning
        assert max(clock.sleeps) >= (float(asked) if asked.isdigit() else 29)
    # Each of the other blobs is sent once; the broken one again for every break.
    assert BIG < faulty.blob_bytes() <= (BIG + 5_000) * 4


def _what(fault: Fault) -> str:
    if fault.status:
        return str(fault.status)
    return next(
        name
        for name in ("cut_upload", "cut_answer", "lose_answer", "corrupt", "slow")
        if getattr(fault, name) not in (None, "", False)
    )


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault("PUT", UPLOAD, times=99, corrupt="request"), "does not take blob"),
        (Fault("PUT", UPLOAD, times=99, cut_upload=10), "broke the connection"),
        (Fault("PUT", UPLOAD, times=99, status=500), "does not take blob"),
        (Fault("POST", UPLOAD, times=99, status=429), "answered 429 Too Many Requests 5 times"),
        (Fault("POST", UPLOAD, times=99, status=429, headers={"Retry-After": "3600"}), "come back in 3600 s"),
        (Fault("POST", UPLOAD, times=99, status=413, body=b"too big"), "413 too big"),
        (Fault("PUT", UPLOAD, times=99, status=507), "has no space left for blob"),
        (
            Fault(
                "PUT",
                UPLOAD,
                times=99,
                status=500,
                body=b'{"errors":[{"code":"UNKNOWN","detail":{"Err":28}}]}',
            ),
            "has no space left for blob",
        ),
        (Fault("HEAD", "/blobs/", skip=4, times=99, status=404), "not in the registry although"),
        (Fault("PUT", "/manifests/sha256", times=99, corrupt="request"), "does not take the manifest"),
        (Fault("GET", "/manifests/sha256", times=99, corrupt="answer"), "is damaged"),
        (
            Fault("PUT", UPLOAD, times=99, replace={"Docker-Content-Digest": "sha256:" + "0" * 64}),
            "stored sha256",
        ),
    ],
    ids=lambda value: None if isinstance(value, Fault) else value.replace(" ", "-"),
)
def test_a_lasting_fault_is_told_and_no_tag_appears(
    fault: Fault,
    message: str,
    faulty: Proxy,
    host: str,
    made: layouts.Descriptor,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    name = _name(request)
    faulty.faults.append(fault)
    with pytest.raises(SeatrialError, match=message) as caught:
        registry.push(tmp_path / "image", f"{faulty.host}/{name}:1.0", clock=SimulatedClock())
    assert faulty.host in str(caught.value)
    with pytest.raises(SeatrialError, match=r"has no tag 1\.0"):
        registry.resolve(f"{host}/{name}:1.0")

    fault.times = 0
    assert registry.push(tmp_path / "image", f"{faulty.host}/{name}:1.0").digest == made.digest


def test_a_registry_that_is_not_there_is_named(
    tmp_path: Path, faulty: Proxy, made: layouts.Descriptor
) -> None:
    clock = SimulatedClock()
    with pytest.raises(TransportError, match=r"127\.0\.0\.1:1 refuses the connection") as refused:
        registry.push(tmp_path / "image", "127.0.0.1:1/a/b:1", clock=clock)
    assert refused.value.kind == "refused"
    assert len(clock.sleeps) == 4
    with pytest.raises(TransportError, match=r"the host nowhere\.invalid is not known") as unknown:
        registry.push(tmp_path / "image", "nowhere.invalid/a/b:1", clock=clock)
    assert unknown.value.kind == "unknown-host"


def test_chunks_go_on_after_the_last_one_acknowledged(
    faulty: Proxy, host: str, made: layouts.Descriptor, tmp_path: Path
) -> None:
    """The answer to the second chunk is lost on a registry that keeps it: only the rest is sent."""
    faulty.faults.append(Fault("PATCH", UPLOAD, skip=1, status=500))
    pushed = registry.push(
        tmp_path / "image", f"{faulty.host}/chunks/on:1", clock=SimulatedClock(), chunk=100_000
    )
    received = [seen.received for seen in faulty.seen if seen.method == "PATCH"]
    # Chunk 1, chunk 2 (refused, nothing kept), then from byte 100,000 on.
    ranges = [seen.headers["Content-Range"] for seen in faulty.seen if seen.method == "PATCH"]
    assert ranges[:4] == ["0-99999", "100000-199999", "100000-199999", "200000-299999"]
    assert sum(received) <= BIG + 1_000 + 100_000
    assert registry.resolve(f"{host}/chunks/on:1") == pushed.digest == made.digest


def test_a_chunk_cut_in_the_middle_restarts_that_blob_alone(
    faulty: Proxy, host: str, made: layouts.Descriptor, tmp_path: Path
) -> None:
    """docker-registry 2.8 drops an upload whose PATCH was cut: the blob goes again, the others do not."""
    faulty.faults.append(Fault("PATCH", UPLOAD, skip=2, cut_upload=50_000))
    pushed = registry.push(
        tmp_path / "image", f"{faulty.host}/chunks/cut:1", clock=SimulatedClock(), chunk=100_000
    )
    assert registry.resolve(f"{host}/chunks/cut:1") == pushed.digest == made.digest
    assert registry.pull(f"{host}/chunks/cut:1", tmp_path / "back") == made.digest
    assert faulty.blob_bytes() <= 2 * BIG + 10_000
    puts = [seen.path for seen in faulty.seen if seen.method == "PUT" and UPLOAD in seen.path]
    assert len(puts) == len({path.rpartition("digest=")[2] for path in puts}) == 4


def test_a_pull_goes_on_in_the_middle_of_a_blob(
    faulty: Proxy, host: str, made: layouts.Descriptor, tmp_path: Path
) -> None:
    registry.push(tmp_path / "image", f"{host}/pull/on:1")
    big = max(
        layouts.read_json(tmp_path / "image", made.digest, layouts.Manifest).layers,
        key=lambda layer: layer.size,
    )
    faulty.faults.append(Fault("GET", f"/blobs/{big.digest}", times=2, cut_answer=150_000))
    registry.pull(f"{faulty.host}/pull/on:1", tmp_path / "back", clock=SimulatedClock())
    asked = [seen.headers.get("Range") for seen in faulty.seen if big.digest in seen.path]
    assert asked[0] is None
    assert len(asked) == 3
    assert all(value and value.startswith("bytes=") for value in asked[1:])
    assert layouts.blob_path(tmp_path / "back", big.digest).stat().st_size == big.size


def test_a_pulled_blob_with_another_content_never_gets_its_name(
    faulty: Proxy, host: str, made: layouts.Descriptor, tmp_path: Path
) -> None:
    registry.push(tmp_path / "image", f"{host}/pull/wrong:1")
    big = max(
        layouts.read_json(tmp_path / "image", made.digest, layouts.Manifest).layers,
        key=lambda layer: layer.size,
    )
    faulty.faults.append(Fault("GET", f"/blobs/{big.digest}", times=99, corrupt="answer"))
    with pytest.raises(SeatrialError, match=f"blob {big.digest} could not be fetched: .*other content"):
        registry.pull(f"{faulty.host}/pull/wrong:1", tmp_path / "back", clock=SimulatedClock())
    assert not layouts.blob_path(tmp_path / "back", big.digest).exists()
    assert not list((tmp_path / "back").rglob("*.tmp"))
    assert layouts.read_index(tmp_path / "back").manifests == ()


def test_tokens_that_run_out_in_the_middle_are_renewed(
    faulty: Proxy, host: str, made: layouts.Descriptor, tmp_path: Path
) -> None:
    guard = TokenGuard(faulty.host, uses=3)
    faulty.guard = guard
    pushed = registry.push(tmp_path / "image", f"{faulty.host}/tokens/out:1", clock=SimulatedClock())
    assert registry.resolve(f"{host}/tokens/out:1") == pushed.digest == made.digest
    assert guard.refused > 3
    assert "repository:tokens/out:pull,push" in guard.scopes
    registry.push(tmp_path / "image", f"{faulty.host}/tokens/other:1", clock=SimulatedClock())
    assert "repository:tokens/out:pull" in guard.scopes, "mounting asks for the neighbour too"
    registry.pull(f"{faulty.host}/tokens/out:1", tmp_path / "back", clock=SimulatedClock())


def test_a_token_ends_when_its_server_said(faulty: Proxy, made: layouts.Descriptor, tmp_path: Path) -> None:
    """Renewed by the clock, before a request is wasted on it."""
    guard = TokenGuard(faulty.host, uses=10_000)
    faulty.guard = guard
    clock = SimulatedClock()

    def later(name: str) -> None:
        if name == "registry.push.blobs":
            clock.sleep(400)  # tokens live 300 s

    registry.push(tmp_path / "image", f"{faulty.host}/tokens/clock:1", clock=clock, point=later)
    assert (len(guard.left), guard.refused) == (2, 1)


def _log_in(tmp_path: Path, host: str, user: str, password: str) -> None:
    import base64

    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    (tmp_path / ".docker").mkdir(exist_ok=True)
    (tmp_path / ".docker/config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))


@pytest.mark.parametrize("kind", ["basic", "bearer"])
def test_credentials_are_checked_before_anything_is_sent(
    kind: str, faulty: Proxy, host: str, made: layouts.Descriptor, tmp_path: Path
) -> None:
    password = "s3cret-value"
    faulty.guard = (
        PasswordGuard("ann", password)
        if kind == "basic"
        else TokenGuard(faulty.host, uses=100, user="ann", password=password)
    )
    target = f"{faulty.host}/login/{kind}:1"
    with pytest.raises(TransportError, match="no credentials were found") as nobody:
        registry.push(tmp_path / "image", target, clock=SimulatedClock())
    assert f"skopeo login {faulty.host}" in str(nobody.value)

    _log_in(tmp_path, faulty.host, "ann", "wrong-value")
    with pytest.raises(TransportError, match="are not enough") as wrong:
        registry.push(tmp_path / "image", target, clock=SimulatedClock())
    assert str(tmp_path / ".docker/config.json") in str(wrong.value)
    assert "wrong-value" not in str(wrong.value)
    assert faulty.blob_bytes() == 0

    _log_in(tmp_path, faulty.host, "ann", password)
    assert registry.push(tmp_path / "image", target, clock=SimulatedClock()).digest == made.digest
    assert [tag.digest for tag in registry.tags(target, clock=SimulatedClock())] == [made.digest]


def test_credentials_stay_with_the_registry(
    faulty: Proxy, host: str, made: layouts.Descriptor, tmp_path: Path
) -> None:
    """A registry that sends the upload to another host does not make us tell that host our password."""
    faulty.guard = PasswordGuard("ann", "s3cret")
    _log_in(tmp_path, faulty.host, "ann", "s3cret")
    with proxy(host) as storage:
        faulty.faults.append(
            Fault("POST", UPLOAD, times=99, status=202, headers={"Location": f"http://{storage.host}/x"})
        )
        with pytest.raises(SeatrialError):
            registry.push(tmp_path / "image", f"{faulty.host}/stay/here:1", clock=SimulatedClock())
        assert storage.seen
        assert not [seen for seen in storage.seen if "Authorization" in seen.headers]


def test_a_blob_that_lies_elsewhere_is_fetched_there_without_credentials(
    faulty: Proxy, host: str, made: layouts.Descriptor, tmp_path: Path
) -> None:
    registry.push(tmp_path / "image", f"{host}/lies/elsewhere:1")
    faulty.guard = PasswordGuard("ann", "s3cret")
    _log_in(tmp_path, faulty.host, "ann", "s3cret")
    with proxy(host) as storage:
        for blob in (tmp_path / "image/blobs/sha256").iterdir():
            path = f"/v2/lies/elsewhere/blobs/sha256:{blob.name}"
            target = {"Location": f"http://{storage.host}{path}"}
            faulty.faults.append(Fault("GET", path, times=9, status=307, headers=target))
        assert registry.pull(f"{faulty.host}/lies/elsewhere:1", tmp_path / "back") == made.digest
        assert storage.count("GET", "/blobs/") == 4
        assert not [seen for seen in storage.seen if "Authorization" in seen.headers]


IMMUTABLE = {
    "ECR's registry": (
        400,
        (
            b'{"errors":[{"code":"TAG_INVALID","message":"The image tag \'1.0\' already exists in the \'app\' repository '
            b'and cannot be overwritten because the tag is immutable."}]}'
        ),
    ),
    "ECR's API": (
        400,
        b'{"errors":[{"code":"UNKNOWN","message":"ImageTagAlreadyExistsException: tag 1.0 exists"}]}',
    ),
    "Harbor": (
        412,
        (
            b'{"errors":[{"code":"PRECONDITION","message":"Failed to process request due to \'app:1.0\' configured as '
            b'immutable."}]}'
        ),
    ),
    "without a word": (409, b""),
}


@pytest.mark.parametrize("wording", IMMUTABLE)
def test_a_tag_that_must_not_move_is_explained(
    wording: str,
    faulty: Proxy,
    host: str,
    made: layouts.Descriptor,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    name = _name(request)
    registry.push(tmp_path / "image", f"{host}/{name}:1.0")
    status, body = IMMUTABLE[wording]
    faulty.faults.append(Fault("PUT", "/manifests/1.0", times=99, status=status, body=body))
    image(tmp_path / "next", seed=77)
    with pytest.raises(
        TransportError, match=r"the tag 1\.0 exists and this registry does not let tags move"
    ) as caught:
        registry.push(tmp_path / "next", f"{faulty.host}/{name}:1.0", tags=["latest"], clock=SimulatedClock())
    assert made.digest in (caught.value.fix or "")
    assert "push under another tag" in (caught.value.fix or "")
    assert [tag.tag for tag in registry.tags(f"{host}/{name}")] == ["1.0"], "latest has not moved before it"
    assert registry.resolve(f"{host}/{name}:1.0") == made.digest
    # The same image under the same tag is no change, so it is no error either.
    registry.push(tmp_path / "image", f"{faulty.host}/{name}:1.0", clock=SimulatedClock())
    # Not even when the tag appeared while we were pushing.
    faulty.faults.insert(0, Fault("HEAD", "/manifests/1.0", status=404))
    registry.push(tmp_path / "image", f"{faulty.host}/{name}:1.0", clock=SimulatedClock())
    assert faulty.count("PUT", "/manifests/1.0") >= 2


def test_a_registry_whose_disk_is_full_is_told_once(
    tmp_path: Path, made: layouts.Descriptor, faulty: Proxy
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mount is only for root: no disk can be made full")
    try:
        with running(disk) as small, proxy(small) as recorder:
            clock = SimulatedClock()
            with pytest.raises(SeatrialError, match="has no space left for blob") as caught:
                registry.push(tmp_path / "image", f"{recorder.host}/full/app:1", clock=clock)
            assert "free space there" in (caught.value.fix or "")
            assert recorder.blob_bytes() < 2 * BIG, "it is not sent again and again"
            with pytest.raises(SeatrialError, match="has no"):
                registry.resolve(f"{small}/full/app:1")
            subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
            pushed = registry.push(tmp_path / "image", f"{recorder.host}/full/app:1", clock=clock)
            assert pushed.digest == made.digest
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_registry_with_half_a_note_about_a_blob_gets_it_again(
    tmp_path: Path, made: layouts.Descriptor, faulty: Proxy
) -> None:
    """What a full disk leaves behind: the registry then fails over that blob whenever it is asked."""
    with running(tmp_path / "store") as address:
        registry.push(tmp_path / "image", f"{address}/half/app:1")
    notes = sorted((tmp_path / "store").rglob("_layers/sha256/*/link"))
    assert notes
    for note in notes:
        note.write_bytes(b"")
    with running(tmp_path / "store") as address:
        pushed = registry.push(tmp_path / "image", f"{address}/half/app:1", clock=SimulatedClock())
        assert pushed.digest == made.digest
        assert registry.pull(f"{address}/half/app:1", tmp_path / "back") == made.digest


def test_kill_9_in_the_middle_leaves_no_tag_and_the_next_push_finishes(
    faulty: Proxy, host: str, made: layouts.Descriptor, tmp_path: Path
) -> None:
    hold = Fault("PUT", UPLOAD, times=9, hold=100_000)  # longer than the other blobs
    faulty.faults.append(hold)
    target = f"{faulty.host}/killed/app:1"
    code = f"from pathlib import Path; from seatrial.images import registry; registry.push(Path({str(tmp_path / 'image')!r}), {target!r}, workers=1)"
    process = subprocess.Popen([sys.executable, "-c", code], env=dict(os.environ), start_new_session=True)
    try:
        until(lambda: faulty.blob_bytes() > 100_000, "the push is in the middle of the large blob")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    hold.release.set()
    with pytest.raises(SeatrialError, match="has no"):
        registry.resolve(f"{host}/killed/app:1")
    assert registry.push(tmp_path / "image", target).digest == made.digest
    assert registry.pull(f"{host}/killed/app:1", tmp_path / "back") == made.digest


def test_a_silent_registry_ends_in_a_clear_timeout(
    faulty: Proxy, made: layouts.Descriptor, tmp_path: Path
) -> None:
    faulty.faults.append(Fault("PUT", UPLOAD, times=99, hold=0))
    with pytest.raises(TransportError, match="fell silent") as caught:
        registry.push(tmp_path / "image", f"{faulty.host}/silent/app:1", retry=Retry(attempts=1), timeout=0.3)
    assert caught.value.kind == "timeout"


def test_one_blobs_end_is_everyones_also_in_a_long_pause(
    faulty: Proxy, made: layouts.Descriptor, tmp_path: Path
) -> None:
    faulty.faults += [
        Fault("POST", UPLOAD, status=429, headers={"Retry-After": "100"}),
        Fault("POST", UPLOAD, times=99, status=413, body=b"too big"),
    ]
    started = time.monotonic()
    with pytest.raises(TransportError, match="413 too big"):
        registry.push(tmp_path / "image", f"{faulty.host}/pause/app:1")
    assert time.monotonic() - started < 50
