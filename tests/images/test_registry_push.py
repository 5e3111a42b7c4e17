"""What is pushed arrives whole, once, and other tools read it."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from seatrial.errors import SeatrialError, UsageError
from seatrial.images import layout as layouts
from seatrial.images import registry
from support.faults import proxy
from support.layouts import image, two_platforms
from support.registries import need, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture(autouse=True)
def _own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEATRIAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)


def _size(layout: Path, digest: str) -> int:
    manifest: layouts.Manifest = layouts.read_json(layout, digest, layouts.Manifest)
    return manifest.config.size + sum(layer.size for layer in manifest.layers)


def test_skopeo_copies_what_was_pushed(host: str, tmp_path: Path) -> None:
    skopeo = need("skopeo")
    made = image(tmp_path / "image", seed=1)
    pushed = registry.push(tmp_path / "image", f"{host}/team/one:1.0", tags=["latest"])

    assert (pushed.digest, pushed.tags) == (made.digest, ("1.0", "latest"))
    assert pushed.pushed_bytes == _size(tmp_path / "image", made.digest)
    for tag in ("1.0", "latest"):
        told = subprocess.run(
            [skopeo, "inspect", "--tls-verify=false", f"docker://{host}/team/one:{tag}"],
            capture_output=True,
            check=True,
        )
        assert json.loads(told.stdout)["Digest"] == made.digest
    source, target = f"docker://{host}/team/one:1.0", f"oci:{tmp_path / 'copy'}:x"
    subprocess.run([skopeo, "copy", "-q", "--src-tls-verify=false", source, target], check=True)
    assert [entry.digest for entry in layouts.read_index(tmp_path / "copy").manifests] == [made.digest]


def test_what_skopeo_pushed_is_pulled_also_in_docker_format(host: str, tmp_path: Path) -> None:
    skopeo = need("skopeo")
    image(tmp_path / "image", seed=2)
    layouts_arg = f"oci:{tmp_path / 'image'}"
    for kind in ("oci", "v2s2"):
        subprocess.run(
            [
                skopeo,
                "copy",
                "-q",
                "--dest-tls-verify=false",
                "-f",
                kind,
                layouts_arg,
                f"docker://{host}/other/two:{kind}",
            ],
            check=True,
        )
        digest = registry.pull(f"{host}/other/two:{kind}", tmp_path / kind)
        found = layouts.read_image(tmp_path / kind)
        assert found.digest == digest == registry.resolve(f"{host}/other/two:{kind}")
        assert found.config["config"]["Labels"] == {"seed": "2"}
        for layer in found.manifest.layers:
            assert layouts.blob_path(tmp_path / kind, layer.digest).stat().st_size == layer.size


def test_what_buildah_pushed_is_pulled(host: str, tmp_path: Path) -> None:
    buildah = need("buildah")
    storage = [
        "--root",
        str(tmp_path / "root"),
        "--runroot",
        str(tmp_path / "run"),
        "--storage-driver",
        "vfs",
    ]
    image(tmp_path / "image", seed=3)
    source = f"oci:{tmp_path / 'image'}"
    started = subprocess.run(
        [buildah, *storage, "from", "--isolation", "chroot", source],
        capture_output=True,
        check=False,
        text=True,
    )
    if started.returncode:
        pytest.skip(f"buildah does not work here: {started.stderr[-200:]}")
    container = started.stdout.strip()
    subprocess.run([buildah, *storage, "config", "--label", "by=buildah", container], check=True)
    destination = f"docker://{host}/buildah/three:1"
    committed = subprocess.run(
        [buildah, *storage, "commit", "-q", "--tls-verify=false", container, destination],
        capture_output=True,
        check=False,
        text=True,
    )
    assert committed.returncode == 0, committed.stderr
    registry.pull(f"{host}/buildah/three:1", tmp_path / "back")
    assert layouts.read_image(tmp_path / "back").config["config"]["Labels"]["by"] == "buildah"


def test_nothing_is_sent_twice_and_neighbours_lend_their_blobs(host: str, tmp_path: Path) -> None:
    image(tmp_path / "image", seed=4)
    with proxy(host) as faulty:
        first = registry.push(tmp_path / "image", f"{faulty.host}/team/four:1")
        assert faulty.blob_bytes() == first.pushed_bytes > 400_000
        faulty.seen.clear()
        again = registry.push(tmp_path / "image", f"{faulty.host}/team/four:2")
        neighbour = registry.push(tmp_path / "image", f"{faulty.host}/elsewhere/four:1")
        assert faulty.blob_bytes() == again.pushed_bytes == neighbour.pushed_bytes == 0
    assert {blob.how for blob in again.blobs} == {"present"}
    assert {blob.how for blob in neighbour.blobs} == {"mounted"}
    assert again.reused_bytes == neighbour.reused_bytes == first.pushed_bytes


def test_a_change_sends_only_what_changed(host: str, tmp_path: Path) -> None:
    image(tmp_path / "old", seed=5, sizes=(50_000, 60_000))
    registry.push(tmp_path / "old", f"{host}/team/five:1")
    image(tmp_path / "new", seed=5, sizes=(50_000, 70_000))
    pushed = registry.push(tmp_path / "new", f"{host}/team/five:2")
    assert 70_000 < pushed.pushed_bytes < 75_000
    assert pushed.reused_bytes > 50_000


def test_an_index_goes_whole_and_comes_back_by_platform(host: str, tmp_path: Path) -> None:
    top = two_platforms(tmp_path / "both")
    pushed = registry.push(tmp_path / "both", f"{host}/team/six:1")
    assert pushed.digest == top.digest == registry.resolve(f"{host}/team/six:1")
    for name in ("amd64", "arm64"):
        registry.pull(f"{host}/team/six:1", tmp_path / "back", platform=f"linux/{name}")
        assert layouts.read_image(tmp_path / "back", platform=f"linux/{name}").config["architecture"] == name
    with pytest.raises(SeatrialError, match=r"no image for linux/s390x") as caught:
        registry.pull(f"{host}/team/six:1", tmp_path / "none", platform="linux/s390x")
    assert caught.value.why == "there are: linux/amd64, linux/arm64"


def test_one_platform_of_several_can_be_pushed(host: str, tmp_path: Path) -> None:
    two_platforms(tmp_path / "both")
    wanted = layouts.read_image(tmp_path / "both", platform="linux/arm64").digest
    assert registry.push(tmp_path / "both", f"{host}/team/arm:1", platform="linux/arm64").digest == wanted


def test_tags_with_sizes_and_dates_and_deletion(host: str, tmp_path: Path) -> None:
    old = image(tmp_path / "old", seed=7, created="2025-05-05T00:00:00Z")
    new = image(tmp_path / "new", seed=8, created="2026-06-06T00:00:00Z")
    registry.push(tmp_path / "old", f"{host}/team/seven:old")
    registry.push(tmp_path / "new", f"{host}/team/seven:new")
    assert [(tag.tag, tag.digest, tag.size, tag.created) for tag in registry.tags(f"{host}/team/seven")] == [
        ("new", new.digest, _size(tmp_path / "new", new.digest), "2026-06-06T00:00:00Z"),
        ("old", old.digest, _size(tmp_path / "old", old.digest), "2025-05-05T00:00:00Z"),
    ]
    assert registry.delete_manifest(f"{host}/team/seven:old")
    assert not registry.delete_manifest(f"{host}/team/seven:old")
    assert [tag.tag for tag in registry.tags(f"{host}/team/seven")] == ["new"]
    with pytest.raises(SeatrialError, match="has no tag old"):
        registry.resolve(f"{host}/team/seven:old")
    with pytest.raises(SeatrialError, match="has no repository team/nothing"):
        registry.tags(f"{host}/team/nothing")


def test_a_pinned_reference_takes_only_that_image(host: str, tmp_path: Path) -> None:
    made = image(tmp_path / "image", seed=9)
    with pytest.raises(SeatrialError, match="not the one that the reference names"):
        registry.push(tmp_path / "image", f"{host}/team/nine:1@sha256:{'0' * 64}")
    pushed = registry.push(tmp_path / "image", f"{host}/team/nine@{made.digest}")
    assert pushed.tags == ()
    assert registry.pull(f"{host}/team/nine@{made.digest}", tmp_path / "back") == made.digest
    with pytest.raises(UsageError, match="'a b' is not a tag"):
        registry.push(tmp_path / "image", f"{host}/team/nine:1", tags=["a b"])


def test_a_damaged_layout_is_not_pushed(host: str, tmp_path: Path) -> None:
    made = image(tmp_path / "image", seed=10)
    victim = layouts.read_json(tmp_path / "image", made.digest, layouts.Manifest).layers[2].digest
    path = layouts.blob_path(tmp_path / "image", victim)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(SeatrialError, match=f"blob {victim} is damaged"):
        registry.push(tmp_path / "image", f"{host}/team/ten:1")
    path.write_bytes(content[:-1])
    with pytest.raises(SeatrialError, match=r"damaged[\s\S]*its manifest says"):
        registry.push(tmp_path / "image", f"{host}/team/ten:1")
    path.unlink()
    with pytest.raises(SeatrialError, match="is missing"):
        registry.push(tmp_path / "image", f"{host}/team/ten:1")
    with pytest.raises(SeatrialError, match="has no"):
        registry.tags(f"{host}/team/ten")


def test_a_killed_pull_goes_on_with_complete_blobs(host: str, tmp_path: Path) -> None:
    image(tmp_path / "image", seed=11)
    registry.push(tmp_path / "image", f"{host}/team/eleven:1")

    class Killed(BaseException):
        pass

    def die(name: str) -> None:
        if name == "registry.pull.blobs":
            raise Killed

    with proxy(host) as faulty:
        with pytest.raises(Killed):
            registry.pull(f"{faulty.host}/team/eleven:1", tmp_path / "back", point=die)
        assert layouts.read_index(tmp_path / "back").manifests == ()
        fetched = faulty.count("GET", "/blobs/sha256")
        registry.pull(f"{faulty.host}/team/eleven:1", tmp_path / "back")
        assert faulty.count("GET", "/blobs/sha256") == fetched == 4
    assert layouts.read_image(tmp_path / "back").config["config"]["Labels"] == {"seed": "11"}
