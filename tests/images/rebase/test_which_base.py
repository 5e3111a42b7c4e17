"""Which layers are the old base's is verified, never guessed."""

from __future__ import annotations

import gzip
import shutil
from typing import TYPE_CHECKING

import msgspec
import pytest

from seatrial.errors import SeatrialError, UsageError
from seatrial.images import layout as oci
from support import debian, rebasing
from support.debian import Item, symlink

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.images.rebase.run import Report

pytestmark = pytest.mark.usefixtures("wheelhouse")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return rebasing.base(tmp_path / "old", [Item("etc/version", "1")])


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return rebasing.base(tmp_path / "new", [Item("etc/version", "2")])


def problem(report: Report) -> str:
    assert report.verdict == "may not"
    check = rebasing.answers(report)["base"]
    return " ".join([check.message, *check.details, check.fix])


def test_an_image_that_says_nothing_is_refused(tmp_path: Path, old: Path, new: Path) -> None:
    image = rebasing.built(tmp_path / "image", old, [Item("own", "1")], told="")
    assert "--from" in problem(rebasing.moved(image, new))


def test_a_digest_that_cannot_be_had_is_refused(tmp_path: Path, old: Path, new: Path) -> None:
    image = rebasing.built(tmp_path / "image", old, [Item("own", "1")])
    assert "cannot be had any more" in problem(rebasing.moved(image, new))


@pytest.mark.parametrize("told", ["annotation", "label"])
def test_a_digest_is_looked_for_on_this_machine(tmp_path: Path, old: Path, new: Path, told: str) -> None:
    image = rebasing.built(tmp_path / "image", old, [Item("own", "1")], told=told)
    shutil.copytree(old, tmp_path / "cache" / "bases" / "pulled-x")
    report = rebasing.moved(image, new, tmp_path / "out")
    assert report.verdict == "may"
    moved = oci.read_image(tmp_path / "out")
    digest = oci.read_image(new).digest
    if told == "label":
        assert moved.config["config"]["Labels"] == {rebasing.DIGEST: digest}
        assert moved.manifest.annotations == {}
    else:
        assert moved.manifest.annotations == {rebasing.DIGEST: digest}


def test_another_base_than_was_said_is_refused(tmp_path: Path, old: Path, new: Path) -> None:
    image = rebasing.built(tmp_path / "image", old, [Item("own", "1")], told="")
    other = rebasing.base(tmp_path / "other", [Item("etc/version", "other")])
    assert "layer 1 is" in problem(rebasing.moved(image, new, old=str(other)))
    longer = rebasing.built(tmp_path / "longer", old, [Item("a", "1")], [Item("b", "1")])
    assert "the base has 3 layers, the image 2" in problem(rebasing.moved(image, new, old=str(longer)))


def test_a_label_that_lies_is_refused(tmp_path: Path, old: Path, new: Path) -> None:
    image = rebasing.built(tmp_path / "image", old, [Item("own", "1")], told="")
    shutil.copytree(new, tmp_path / "cache" / "bases" / "pulled-x")
    rebasing.annotate(image, {rebasing.DIGEST: oci.read_image(new).digest})
    assert "does not stand on" in problem(rebasing.moved(image, new))


def test_layers_that_were_packed_anew_are_the_same(tmp_path: Path, old: Path, new: Path) -> None:
    image = rebasing.built(tmp_path / "image", old, [Item("own", "1")], told="")
    inside = oci.read_image(image)
    plain = gzip.decompress(oci.blob_path(old, oci.read_image(old).manifest.layers[0].digest).read_bytes())
    other = oci.add_blob(image, gzip.compress(plain, 9, mtime=1), oci.LAYER_GZIP)
    assert other.digest != inside.manifest.layers[0].digest
    manifest = msgspec.structs.replace(inside.manifest, layers=(other, inside.manifest.layers[1]))
    top = oci.add_blob(image, oci.encode(manifest), oci.MANIFEST)
    oci.set_index(image, oci.Index(manifests=(top,)))
    assert rebasing.moved(image, new, old=str(old)).verdict == "may"


def test_a_number_of_layers_is_enough(tmp_path: Path, old: Path, new: Path) -> None:
    image = rebasing.built(tmp_path / "image", old, [Item("own", "1")], [Item("more", "1")], told="")
    report = rebasing.moved(image, new, tmp_path / "out", old="1")
    assert report.verdict == "may"
    before, after = oci.read_image(image).manifest, oci.read_image(tmp_path / "out").manifest
    assert after.layers == (*oci.read_image(new).manifest.layers, *before.layers[1:])
    assert after.annotations == {rebasing.DIGEST: oci.read_image(new).digest}


@pytest.mark.parametrize("count", ["0", "3", "99"])
def test_a_number_that_cannot_be_right_is_a_usage_error(
    tmp_path: Path, old: Path, new: Path, count: str
) -> None:
    image = rebasing.built(tmp_path / "image", old, [Item("own", "1")], [Item("more", "1")], told="")
    with pytest.raises(UsageError, match="the image has 3 layers"):
        rebasing.moved(image, new, old=count)


def test_the_same_base_is_nothing_to_do(tmp_path: Path, old: Path) -> None:
    image = rebasing.built(tmp_path / "image", old, [Item("own", "1")])
    report = rebasing.moved(image, old, tmp_path / "out", old=str(old))
    assert report.verdict == "nothing to do"
    assert not (tmp_path / "out").exists()
    assert rebasing.moved(image, old, old="1").verdict == "nothing to do"


def test_new_settings_alone_are_something_to_do(tmp_path: Path, old: Path) -> None:
    image = rebasing.built(tmp_path / "image", old, [Item("own", "1")])
    new = rebasing.base(tmp_path / "new", [Item("etc/version", "1")], {"Env": [rebasing.PATH, "TZ=UTC"]})
    report = rebasing.moved(image, new, tmp_path / "out", old=str(old))
    assert report.images[0].changes == ("Env TZ follows the new base: (none) → UTC",)
    assert "TZ=UTC" in oci.read_image(tmp_path / "out").config["config"]["Env"]


def test_an_image_that_does_not_name_its_base_needs_to_be_told(tmp_path: Path, old: Path) -> None:
    from seatrial.images.rebase.run import Request, rebase

    image = rebasing.built(tmp_path / "image", old, [Item("own", "1")])
    report = rebase(Request(image=str(image), old=str(old), check=True))
    assert "--onto" in problem(report)


def test_another_processor_is_refused_before_anything_is_read(tmp_path: Path, old: Path) -> None:
    new = debian.image(tmp_path / "new", [[Item("etc/version", "2")]], architecture="arm64")
    image = rebasing.built(tmp_path / "image", old, [Item("own", "1")])
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    report = rebasing.moved(image, tmp_path / "new", old=str(old))
    assert new
    # A layout of one image is that image, whatever it is for.
    assert report.verdict == "may not"


def test_a_layer_that_is_not_what_the_image_says_is_found(tmp_path: Path, old: Path, new: Path) -> None:
    image = rebasing.built(tmp_path / "image", old, [Item("own", "1")])
    layer = oci.read_image(image).manifest.layers[1]
    content = gzip.compress(debian.tar([Item("own", "2")]), 1, mtime=0)
    assert len(content) == layer.size
    oci.blob_path(image, layer.digest).write_bytes(content)
    with pytest.raises(SeatrialError, match="is not what the image's configuration says"):
        rebasing.moved(image, new, old=str(old))
    oci.blob_path(image, layer.digest).write_bytes(content[:-9] + bytes(9))
    with pytest.raises(SeatrialError, match="damaged"):
        rebasing.moved(image, new, old=str(old))
    oci.blob_path(image, layer.digest).unlink()
    with pytest.raises(SeatrialError, match="missing"):
        rebasing.moved(image, new, old=str(old))


@pytest.mark.parametrize(
    "settings",
    [
        {"Env": "PATH=/bin"},
        {"Env": [1]},
        {"Labels": ["a"]},
        {"Entrypoint": {"a": 1}},
        {"ExposedPorts": 1},
        {"User": 5},
    ],
)
def test_a_configuration_of_other_types_is_refused(
    tmp_path: Path, old: Path, new: Path, settings: dict[str, object]
) -> None:
    debian.image(tmp_path / "image", [[Item("own", "1")]], settings, base=old)
    report = rebasing.moved(tmp_path / "image", new, old=str(old))
    assert "configuration is none" in problem(report)


def test_hostile_layers_are_refused(tmp_path: Path, old: Path, new: Path) -> None:
    outside = rebasing.built(tmp_path / "outside", old, [Item("../../etc/own", "1")])
    with pytest.raises(SeatrialError, match="outside of itself"):
        rebasing.moved(outside, new, old=str(old))
    broken = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\xff" * 200
    endless = b"\x7fELF\x02\x01\x01" + bytes(9) + bytes(16) + b"\x40" + bytes(100_000)
    items = [
        Item("lib/broken.so", broken), Item("lib/endless.so", endless), symlink("loop", "loop"), symlink("up", "../../.."),
        Item("odd\udcff name\n", "1"), Item("etc/passwd", "root::::\n:x:\n\xff"), Item("run", "#!", mode=0o755),
        Item("empty/.wh.", ""), Item("x-1.dist-info/METADATA", "Name: \nVersion"), Item("a.pyc", "x"),
    ]  # fmt: skip
    odd = rebasing.built(tmp_path / "odd", old, items)
    assert rebasing.moved(odd, new, tmp_path / "out", old=str(old)).verdict == "may"


def test_attestations_are_left_out_and_told(tmp_path: Path, old: Path, new: Path) -> None:
    image = rebasing.built(tmp_path / "image", old, [Item("own", "1")])
    inside = oci.read_image(image)
    note = oci.add_blob(
        image, b'{"schemaVersion":2}', oci.MANIFEST, platform=oci.Platform("unknown", "unknown")
    )
    mine = msgspec.structs.replace(inside.descriptor, platform=oci.Platform("amd64"))
    top = oci.add_blob(
        image, oci.encode(oci.Index(manifests=(mine, note), annotations={"a": "b"})), oci.INDEX
    )
    oci.set_index(image, oci.Index(manifests=(top,)))
    report = rebasing.moved(image, new, tmp_path / "out", old=str(old))
    assert len(report.notes) == 1
    assert "attestation" in report.notes[0]
    index = oci.read_json(tmp_path / "out", report.digest, oci.Index)
    assert [d.platform for d in index.manifests] == [oci.Platform("amd64")]
    assert index.annotations == {"a": "b"}


def test_the_result_replaces_the_former_one_in_its_folder(tmp_path: Path, old: Path, new: Path) -> None:
    image = rebasing.built(tmp_path / "image", old, [Item("own", "1")])
    first = rebasing.moved(image, new, tmp_path / "out", old=str(old))
    again = rebasing.moved(image, new, tmp_path / "out", old=str(old))
    assert again.digest == first.digest
    in_place = rebasing.moved(image, new, image, old=str(old))
    assert in_place.digest == first.digest == oci.read_image(image).digest
    names = {path.name for path in (tmp_path / "out" / "blobs" / "sha256").iterdir()}
    assert {path.name for path in (image / "blobs" / "sha256").iterdir()} == names
