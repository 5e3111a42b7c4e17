"""What a command line may call an image, and the shell of one."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from seatrial.cli.image_source import find_image
from seatrial.errors import SeatrialError
from seatrial.images import layout as oci
from seatrial.images import runtime
from seatrial.images.outputs import archive
from seatrial.images.outputs.names import name_of
from support import roots
from support.debian import Item, digest_of, folder, tar
from support.engines import containers, docker, output
from support.registries import need

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    layout = tmp_path_factory.mktemp("sources") / "image"
    roots.alpine_like(layout, Entrypoint=["cat", "/etc/alpine-release"], Cmd=[])
    return layout


@pytest.fixture(scope="module")
def file(image: Path) -> Path:
    archive.save(image, image.parent / "app.tar", [name_of("app:1")])
    return image.parent / "app.tar"


def says(source: str) -> str:
    found = find_image(source, platform="", insecure=False)
    return runtime.run(runtime.prepare(*found), [], runtime.Launch(network="none")).stdout


@pytest.mark.parametrize("source", ["{}", "docker-archive:{}", "oci-archive:{}", "docker-archive:{}:app:1"])
def test_an_archive_is_an_image(file: Path, source: str) -> None:
    assert says(source.format(file)) == "3.20.0\n"


def test_a_packed_archive_is_read_and_read_again_when_it_changes(file: Path, tmp_path: Path) -> None:
    packed = tmp_path / "app.tar.gz"
    packed.write_bytes(gzip.compress(file.read_bytes(), 1))
    assert says(str(packed)) == "3.20.0\n"
    packed.write_bytes(b"no longer an archive")
    with pytest.raises(SeatrialError, match="no archive of an image"):
        says(str(packed))


def old_archive(path: Path, *names: str) -> None:
    """As `docker save` wrote it before version 25: layers in folders, one a link to another's."""
    layer = tar([folder("etc"), Item("etc/name", "x")])
    config = oci.encode(
        {"architecture": "amd64", "os": "linux", "config": {"Env": ["A=b"]},
         "rootfs": {"type": "layers", "diff_ids": [digest_of(layer)] * 2}}
    )  # fmt: skip
    listed = [{"Config": "c.json", "RepoTags": [n], "Layers": ["a/layer.tar", "b/layer.tar"]} for n in names]
    members = [Item("a/layer.tar", layer), Item("b/layer.tar", kind=b"2", link="../a/layer.tar")]
    members += [Item("c.json", config), Item("manifest.json", json.dumps(listed))]
    path.write_bytes(tar(members))


def test_an_archive_of_the_older_form_is_read_by_name(tmp_path: Path) -> None:
    old_archive(tmp_path / "old.tar", "team/app:1", "team/app:2")
    with pytest.raises(SeatrialError, match="several images") as caught:
        find_image(str(tmp_path / "old.tar"), platform="", insecure=False)
    assert caught.value.why == "it holds team/app:1, team/app:2"
    with pytest.raises(SeatrialError, match="has no image 'team/app:3'"):
        find_image(f"docker-archive:{tmp_path / 'old.tar'}:team/app:3", platform="", insecure=False)
    layout, digest = find_image(
        f"docker-archive:{tmp_path / 'old.tar'}:team/app:2", platform="", insecure=False
    )
    found = oci.read_image(layout, digest=digest)
    assert [layer.media_type.rpartition(".")[2] for layer in found.manifest.layers] == ["tar", "tar"]
    assert found.config["config"] == {"Env": ["A=b"]}


def test_members_that_lead_outside_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("outside")
    items = [Item("manifest.json", kind=b"2", link=str(tmp_path / "secret")), Item("../../escaped", "x")]
    (tmp_path / "evil.tar").write_bytes(tar(items))
    with pytest.raises(SeatrialError, match=r"lacks 'manifest\.json'"):
        find_image(str(tmp_path / "evil.tar"), platform="", insecure=False)
    assert not list(tmp_path.parent.glob("**/escaped"))


@pytest.fixture(scope="module", params=["docker", "podman"])
def engine(
    request: pytest.FixtureRequest, file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    need(request.param)
    place = tmp_path_factory.mktemp(request.param) / "engine"
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "podman":
            patch.setenv("CONTAINERS_STORAGE_CONF", containers(place)["CONTAINERS_STORAGE_CONF"])
            output(["podman", "load", "-q", "-i", str(file)])
            yield "podman"
            return
        with docker(place) as environment:
            patch.setenv("DOCKER_HOST", environment["DOCKER_HOST"])
            output(["docker", "load", "-q", "-i", str(file)])
            yield "docker"


def test_an_engines_own_image_is_taken_from_its_store_once(engine: str) -> None:
    assert says(f"{engine}:app:1") == "3.20.0\n"
    first = find_image(f"{engine}:app:1", platform="", insecure=False)
    assert find_image(f"{engine}:app:1", platform="", insecure=False) == first
    with pytest.raises(SeatrialError, match="has no image nobody/has"):
        find_image(f"{engine}:nobody/has", platform="", insecure=False)


def seatrial(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "seatrial", "image", "run", *arguments]
    return subprocess.run(line, input=stdin, capture_output=True, text=True, check=False, env={**os.environ})


@pytest.mark.parametrize("runtime_name", ["bwrap", "runc"])
def test_a_shell_in_place_of_the_entry_point(image: Path, runtime_name: str) -> None:
    need(runtime_name)
    done = seatrial(str(image), "--shell", "--runtime", runtime_name, stdin="echo $0; id -u; exit 5\n")
    assert (done.returncode, done.stdout) == (5, "/bin/sh\n0\n"), done.stderr


def test_an_image_without_a_shell_is_told_apart(tmp_path: Path, image: Path) -> None:
    roots.distroless_like(tmp_path / "image")
    done = seatrial(str(tmp_path / "image"), "--shell")
    assert done.returncode == 1
    assert "the image has no shell" in done.stderr
    assert "--entrypoint" in done.stderr
    done = seatrial(str(image), "--shell", "--", "ls")
    assert done.returncode == 2
    assert "a shell and nothing else" in done.stderr


def test_the_runtime_comes_from_the_environment_too(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEATRIAL_RUNTIME", "docker")
    monkeypatch.setenv("DOCKER_HOST", "unix:///nobody/listens")
    done = seatrial(str(image))
    assert done.returncode == 3
    assert "Docker cannot" in done.stderr
