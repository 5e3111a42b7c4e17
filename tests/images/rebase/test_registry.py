"""With a real registry: only what the checks read is fetched, and what the registry has is not sent again."""

from __future__ import annotations

import random
import shutil
from typing import TYPE_CHECKING

import msgspec
import pytest

from seatrial.images import layout as oci
from seatrial.images import registry
from seatrial.images.rebase.run import Request, rebase
from support import faults, rebasing, registries
from support.debian import Item

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("wheelhouse")
SIDES = ("old", "new", "app")
LARGE = random.Random(1).randbytes(300_000)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registries.running(tmp_path_factory.mktemp("registry")) as place:
        yield place


@pytest.fixture
def team(host: str, tmp_path: Path) -> str:
    """A base that was patched after an image was built on it: TEAM/base:1 and TEAM/app:1."""
    team = f"{host}/{tmp_path.name.lower().replace('_', '-')}"
    old = rebasing.base(tmp_path / "old", [Item("etc/version", "1")])
    new = rebasing.base(tmp_path / "new", [Item("etc/version", "2")])
    image = rebasing.built(tmp_path / "image", old, [Item("opt/model", LARGE)])
    rebasing.annotate(image, {rebasing.NAME: f"{team}/base:1", rebasing.DIGEST: oci.read_image(old).digest})
    registry.push(old, f"{team}/base:1")
    registry.push(image, f"{team}/app:1")
    registry.push(new, f"{team}/base:1")
    forget(tmp_path)
    return team


def forget(tmp_path: Path) -> None:
    """As on another machine."""
    shutil.rmtree(tmp_path / "cache")


def check_image(reference: str, tmp_path: Path) -> oci.Image:
    """Pull the result, which verifies every blob, and compare it with what was wanted."""
    place = tmp_path / "pulled"
    image = oci.read_image(place, digest=registry.pull(reference, place))
    assert image.manifest.layers[0] == oci.read_image(tmp_path / "new").manifest.layers[0]
    assert image.manifest.layers[1:] == oci.read_image(tmp_path / "image").manifest.layers[1:]
    return image


def test_the_base_s_name_is_looked_up_again(team: str, tmp_path: Path) -> None:
    report = rebase(Request(image=f"{team}/app:1", tag=f"{team}/app:2"))
    assert report.verdict == "may", rebasing.failures(report)
    image = check_image(f"{team}/app:2", tmp_path)
    assert image.digest == report.digest
    assert image.manifest.annotations[rebasing.DIGEST] == oci.read_image(tmp_path / "new").digest
    assert image.manifest.annotations[rebasing.NAME] == f"{team}/base:1"
    assert report.pushed_bytes < 5_000  # the configuration; the base's layer is mounted
    layers = [*oci.read_image(tmp_path / "image").manifest.layers, image.manifest.layers[0]]
    assert report.read == {layer.digest: layer.size for layer in layers}  # old base, new base, own layer
    again = rebase(Request(image=f"{team}/app:2", tag=f"{team}/app:3"))
    assert again.verdict == "nothing to do"
    assert again.read_bytes == 0


def test_layers_that_were_read_before_are_not_fetched(team: str, tmp_path: Path) -> None:
    assert rebase(Request(image=f"{team}/app:1", check=True)).verdict == "may"
    shutil.rmtree(tmp_path / "cache" / "pulled")
    report = rebase(Request(image=f"{team}/app:1", tag=f"{team}/other:1"))
    assert report.read == {}
    assert report.pushed_bytes < 5_000
    check_image(f"{team}/other:1", tmp_path)


def test_a_folder_gets_every_layer(team: str, tmp_path: Path) -> None:
    report = rebase(Request(image=f"{team}/app:1", out=tmp_path / "out"))
    image = oci.read_image(tmp_path / "out")
    assert image.digest == report.digest
    assert all(
        oci.blob_path(tmp_path / "out", layer.digest).stat().st_size == layer.size
        for layer in image.manifest.layers
    )


def test_another_registry_gets_what_it_lacks(team: str, tmp_path: Path) -> None:
    with registries.running(tmp_path / "second") as other:
        report = rebase(Request(image=f"{team}/app:1", tag=f"{other}/app:1"))
        assert report.pushed_bytes > len(LARGE)
        check_image(f"{other}/app:1", tmp_path)


def test_another_registry_gets_also_what_was_read_before(team: str, tmp_path: Path) -> None:
    assert rebase(Request(image=f"{team}/app:1", check=True)).verdict == "may"
    shutil.rmtree(tmp_path / "cache" / "pulled")
    with registries.running(tmp_path / "second") as other:
        report = rebase(Request(image=f"{team}/app:1", tag=f"{other}/elsewhere:1"))
        assert report.read_bytes > len(LARGE)
        check_image(f"{other}/elsewhere:1", tmp_path)


def test_a_registry_that_does_not_mount_gets_the_layers_after_all(
    team: str, host: str, tmp_path: Path
) -> None:
    with faults.proxy(host) as proxy:
        front = team.replace(host, proxy.host)
        asked = Request(image=f"{front}/app:1", onto=f"{front}/base:1", old="1", check=True)
        assert rebase(asked).verdict == "may"
        shutil.rmtree(tmp_path / "cache" / "pulled")
        proxy.faults.append(faults.Fault("POST", "mount=", times=99, status=405))
        report = rebase(msgspec.structs.replace(asked, check=False, tag=f"{front}/unmounted:1"))
        assert report.read_bytes > len(LARGE)
        assert report.pushed_bytes > len(LARGE)
        assert proxy.count("POST", "mount=") > 0
    check_image(f"{team}/unmounted:1", tmp_path)


def test_a_refused_image_moves_no_tag(team: str, host: str, tmp_path: Path) -> None:
    bad = rebasing.base(tmp_path / "bad", [Item("opt/model", "another"), Item("etc/version", "2")])
    registry.push(bad, f"{team}/base:1")
    report = rebase(Request(image=f"{team}/app:1", tag=f"{team}/app:1"))
    assert rebasing.failures(report) == {"hidden"}
    assert registry.resolve(f"{team}/app:1") == oci.read_image(tmp_path / "image").digest


def test_an_old_base_that_the_registry_lost_is_not_guessed(team: str, tmp_path: Path) -> None:
    registry.delete_manifest(f"{team}/base@{oci.read_image(tmp_path / 'old').digest}")
    report = rebase(Request(image=f"{team}/app:1", check=True))
    assert report.verdict == "may not"
    check = rebasing.answers(report)["base"]
    assert "cannot be had any more" in check.message
    assert "--from" in check.fix
    assert rebase(Request(image=f"{team}/app:1", old="1", check=True)).verdict == "may"


def test_an_index_is_moved_as_a_whole(host: str, tmp_path: Path) -> None:
    entries: dict[str, list[oci.Descriptor]] = {side: [] for side in SIDES}
    for side in SIDES:
        oci.create(tmp_path / side)
    for architecture in ("amd64", "arm64"):
        for side, version in (("old", "1"), ("new", "2")):
            place = tmp_path / f"{side}-{architecture}"
            rebasing.base(place, [Item("etc/version", version)], architecture=architecture)
        app = tmp_path / f"app-{architecture}"
        below = tmp_path / f"old-{architecture}"
        rebasing.built(app, below, [Item("own", architecture)], architecture=architecture)
        for side in SIDES:
            place = tmp_path / f"{side}-{architecture}"
            for blob in (place / "blobs" / "sha256").iterdir():
                oci.link_blob(tmp_path / side, f"sha256:{blob.name}", blob)
            top = oci.read_image(place).descriptor
            platform = oci.Platform(architecture)
            entries[side].append(oci.Descriptor(top.media_type, top.digest, top.size, platform=platform))
    digests: dict[str, str] = {}
    for side, images in entries.items():
        notes = (
            {rebasing.NAME: f"{host}/multi/old", rebasing.DIGEST: digests.get("old", "")}
            if side == "app"
            else {}
        )
        index = oci.encode(oci.Index(manifests=tuple(images), annotations=notes))
        top = oci.add_blob(tmp_path / side, index, oci.INDEX)
        oci.set_index(tmp_path / side, oci.Index(manifests=(top,)))
        digests[side] = registry.push(tmp_path / side, f"{host}/multi/{side}").digest
    report = rebase(
        Request(
            image=f"{host}/multi/app",
            old=f"{host}/multi/old",
            onto=f"{host}/multi/new",
            tag=f"{host}/multi/app:2",
        )
    )
    assert report.verdict == "may", rebasing.failures(report)
    assert registry.resolve(f"{host}/multi/app:2") == report.digest
    for architecture, one in zip(("amd64", "arm64"), report.images, strict=True):
        place = tmp_path / f"pulled-{architecture}"
        digest = registry.pull(f"{host}/multi/app:2", place, platform=f"linux/{architecture}")
        assert digest == one.digest
        assert oci.read_image(place).config["architecture"] == architecture
        new = oci.read_image(tmp_path / f"new-{architecture}")
        assert oci.read_image(place).manifest.layers[0] == new.manifest.layers[0]
