"""The archive: the same bytes for the same image, whole or absent, and never in memory."""

from __future__ import annotations

import hashlib
import io
import json
import os
import resource
import subprocess
import sys
import tarfile
import threading
from typing import TYPE_CHECKING

import pytest

from seatrial.errors import SeatrialError, UsageError
from seatrial.images import layout as oci
from seatrial.images.outputs import archive
from seatrial.images.outputs.names import name_of
from seatrial.images.target import this_platform
from support import layouts

if TYPE_CHECKING:
    from pathlib import Path

NAMES = [name_of("app"), name_of("registry.example:5000/team/app:2")]


def written(layout: Path) -> bytes:
    out = io.BytesIO()
    assert archive.write(layout, out, NAMES) == len(out.getvalue())
    return out.getvalue()


def test_it_is_a_layout_and_what_docker_save_writes(tmp_path: Path) -> None:
    layouts.image(tmp_path / "image")
    image = oci.read_image(tmp_path / "image")
    (tmp_path / "app.tar").write_bytes(written(tmp_path / "image"))
    with tarfile.open(tmp_path / "app.tar") as opened:
        opened.extractall(tmp_path / "again", filter="data")
    assert oci.read_image(tmp_path / "again").digest == image.digest
    (entry,) = json.loads((tmp_path / "again" / "manifest.json").read_bytes())
    assert entry["RepoTags"] == ["app:latest", "registry.example:5000/team/app:2"]
    paths = [entry["Config"], *entry["Layers"]]
    wanted = [image.manifest.config, *image.manifest.layers]
    for path, blob in zip(paths, wanted, strict=True):
        content = (tmp_path / "again" / path).read_bytes()
        assert f"sha256:{hashlib.sha256(content).hexdigest()}" == blob.digest
    named = [d.annotations["io.containerd.image.name"] for d in oci.read_index(tmp_path / "again").manifests]
    assert named == ["docker.io/library/app:latest", "registry.example:5000/team/app:2"]


def test_the_same_image_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        layouts.image(tmp_path / name, seed=3)
        for path in (tmp_path / name).rglob("*"):
            os.utime(path, (1, len(name)))
    (tmp_path / "two" / "index.json").chmod(0o600)
    assert written(tmp_path / "one") == written(tmp_path / "two")


def test_of_several_platforms_old_engines_get_that_of_this_machine(tmp_path: Path) -> None:
    top = layouts.two_platforms(tmp_path / "image")
    with tarfile.open(fileobj=io.BytesIO(written(tmp_path / "image"))) as opened:
        members = {member.name for member in opened.getmembers() if member.isfile()}
        manifest = opened.extractfile("manifest.json")
        assert manifest is not None
        (entry,) = json.load(manifest)
    here = oci.read_image(tmp_path / "image", platform=this_platform())
    assert entry["Config"].endswith(here.manifest.config.digest.removeprefix("sha256:"))
    blobs = {f"blobs/sha256/{path.name}" for path in (tmp_path / "image" / "blobs" / "sha256").iterdir()}
    assert members == blobs | {"manifest.json", "index.json", "oci-layout"}
    assert f"blobs/sha256/{top.digest.removeprefix('sha256:')}" in members


@pytest.mark.parametrize("damage", ["shorter", "longer", "missing"])
def test_a_damaged_blob_leaves_the_former_archive(tmp_path: Path, damage: str) -> None:
    layouts.image(tmp_path / "image")
    layer = oci.read_image(tmp_path / "image").manifest.layers[-1]
    blob = oci.blob_path(tmp_path / "image", layer.digest)
    content = blob.read_bytes()
    blob.unlink()
    if damage != "missing":
        blob.write_bytes(content[:-1] if damage == "shorter" else content + b"x")
    (tmp_path / "app.tar").write_bytes(b"former")
    with pytest.raises(SeatrialError, match=f"blob {layer.digest} is missing or damaged"):
        archive.save(tmp_path / "image", tmp_path / "app.tar", NAMES)
    assert (tmp_path / "app.tar").read_bytes() == b"former"
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_a_pipe_is_written_to_as_it_is(tmp_path: Path) -> None:
    layouts.image(tmp_path / "image")
    os.mkfifo(tmp_path / "pipe")
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    archive.save(tmp_path / "image", tmp_path / "pipe", NAMES)
    reader.join(60)
    assert found == [written(tmp_path / "image")]
    assert (tmp_path / "pipe").is_fifo()


def test_memory_does_not_grow_with_the_image(tmp_path: Path) -> None:
    """A layer of 600 MB under a limit on data of 300 MB."""
    size = 600 << 20
    oci.create(tmp_path / "image")
    digest = hashlib.sha256()
    place = tmp_path / "big"
    with place.open("wb") as out:
        out.truncate(size)
    for _ in range(600):
        digest.update(bytes(1 << 20))
    name = f"sha256:{digest.hexdigest()}"
    oci.link_blob(tmp_path / "image", name, place)
    config = oci.add_blob(
        tmp_path / "image",
        oci.encode(
            {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [name]}}
        ),
        oci.CONFIG,
    )
    manifest = oci.Manifest(config=config, layers=(oci.Descriptor(oci.LAYER_GZIP, name, size),))
    top = oci.add_blob(tmp_path / "image", oci.encode(manifest), oci.MANIFEST)
    oci.set_index(tmp_path / "image", oci.Index(manifests=(top,)))
    program = (
        "import sys; from pathlib import Path; from seatrial.images.outputs import archive\n"
        "print(archive.write(Path(sys.argv[1]), open('/dev/null', 'wb'), []))"
    )

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (300 << 20, 300 << 20))

    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "image")],
        capture_output=True, text=True, check=False, preexec_fn=limited,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > size


@pytest.mark.parametrize(
    ("text", "familiar", "full", "local"),
    [
        ("app", "app:latest", "docker.io/library/app:latest", "localhost/app:latest"),
        ("team/app:1", "team/app:1", "docker.io/team/app:1", "localhost/team/app:1"),
        ("docker.io/team/app:1", "team/app:1", "docker.io/team/app:1", "docker.io/team/app:1"),
        ("127.0.0.1:5000/app:1", "127.0.0.1:5000/app:1", "127.0.0.1:5000/app:1", "127.0.0.1:5000/app:1"),
    ],
)
def test_names_are_those_of_the_engines(text: str, familiar: str, full: str, local: str) -> None:
    found = name_of(text)
    assert (found.familiar, found.full, found.local) == (familiar, full, local)


def test_nobody_can_give_a_digest() -> None:
    with pytest.raises(UsageError, match="names a digest"):
        name_of(f"app@sha256:{'0' * 64}")
