"""Images assembled here are pulled, loaded and run by the engines that people have."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, NamedTuple

import pytest

from seatrial.errors import MissingToolError, SeatrialError
from seatrial.images import layout as oci
from seatrial.images import registry
from seatrial.images.assemble.image import assemble_project
from seatrial.images.outputs import archive, engines
from seatrial.images.outputs.names import name_of
from seatrial.images.target import this_platform
from support import assembling, registries
from support.assembling import PLATFORMS, spec
from support.engines import containers, docker, output

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SAYS = "seven is 7"


class Pushed(NamedTuple):
    """An image in a registry: REGISTRY/REPOSITORY:TAG, its digest, and the layout that it came from."""

    reference: str
    digest: str
    layout: Path


@pytest.fixture(scope="module")
def image(base: Path, probed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pushed]:
    """The same image for all engines, in a registry that lives as long as they need it."""
    folder = tmp_path_factory.mktemp("pushed")
    with pytest.MonkeyPatch.context() as patch:
        for name in [n for n in os.environ if n.startswith("UV_")]:
            patch.delenv(name)
        assembling.share_probes(folder / "cache", probed)
        for name, value in {
            "UV_OFFLINE": "1", "UV_NO_CONFIG": "1", "UV_FIND_LINKS": str(folder / "house"), "UV_CACHE_DIR": str(folder / "uv"),
            "SEATRIAL_CACHE": str(folder / "cache"), "SEATRIAL_HOME": str(folder / "home"),
        }.items():  # fmt: skip
            patch.setenv(name, value)
        project = assembling.project(folder / "project", folder / "house")
        done = assemble_project(spec(project, base, user="model"), out=folder / "out")
        with registries.running(folder / "registry") as host:
            registry.push(folder / "out", f"{host}/team/app:1")
            yield Pushed(f"{host}/team/app:1", done.digest, folder / "out")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with docker(tmp_path_factory.mktemp("docker") / "engine") as environment:
        yield environment


@pytest.fixture
def docker_here(engine: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DOCKER_HOST", "DOCKER_CONFIG"):
        monkeypatch.setenv(name, engine[name])


@pytest.mark.usefixtures("docker_here")
def test_docker_pulls_and_runs_it(image: Pushed) -> None:
    output(["docker", "pull", "--quiet", image.reference])
    digests = output(["docker", "image", "inspect", "--format", "{{.RepoDigests}}", image.reference])
    assert image.digest in digests
    run = ["docker", "run", "--rm", "--network", "none"]
    assert output([*run, image.reference]) == SAYS
    assert output([*run, "--entrypoint", "outer", image.reference]) == SAYS
    who = ["--entrypoint", "python3", image.reference, "-c", "import os; print(os.getuid(), os.getcwd())"]
    assert output([*run, *who]) == "10001 /app"


@pytest.mark.usefixtures("docker_here")
def test_docker_loads_and_runs_it(image: Pushed) -> None:
    names = [name_of("app:2"), name_of("team/other:3")]
    program = engines.choose("auto")
    assert program.engine == "docker"
    loaded = engines.load(image.layout, names, program)
    assert loaded == engines.Loaded(engine="docker", reference="app:2", run="docker run --rm app:2")
    for reference in ("app:2", "team/other:3"):
        assert output(["docker", "run", "--rm", "--network", "none", reference]) == SAYS


@pytest.mark.usefixtures("docker_here")
def test_docker_takes_this_machines_image_of_several(project: Path, both: Path, tmp_path: Path) -> None:
    assemble_project(spec(project, both, platforms=PLATFORMS), out=tmp_path / "out")
    engines.load(tmp_path / "out", [name_of("app")], engines.choose("docker"))
    shown = output(["docker", "image", "inspect", "--format", "{{.Os}}/{{.Architecture}}", "app"])
    assert shown == this_platform()
    assert output(["docker", "run", "--rm", "--network", "none", "app"]) == SAYS


def test_buildah_pulls_and_runs_it(image: Pushed, tmp_path: Path) -> None:
    buildah = registries.need("buildah")
    environment = containers(tmp_path / "containers")
    pull = [buildah, "from", "--tls-verify=false", f"docker://{image.reference}"]
    working = output(pull, environment).splitlines()[-1]
    run = [buildah, "run", "--isolation", "chroot", working, "--"]
    assert output([*run, "python3", "/app/app.py"], environment) == SAYS
    assert output([*run, "outer"], environment) == SAYS
    shown = json.loads(output([buildah, "inspect", working], environment))
    assert shown["FromImageDigest"] == image.digest


def test_what_skopeo_pulls_runs(image: Pushed, tmp_path: Path) -> None:
    """Skopeo brings images from place to place; bubblewrap runs what it brought."""
    skopeo, bwrap = registries.need("skopeo"), registries.need("bwrap")
    environment = containers(tmp_path / "containers")
    brought = tmp_path / "brought"
    output(
        [skopeo, "copy", "--src-tls-verify=false", f"docker://{image.reference}", f"oci:{brought}:1"],
        environment,
    )
    found, root = oci.read_image(brought), tmp_path / "root"
    root.mkdir()
    for layer in found.manifest.layers:
        blob = str(oci.blob_path(brought, layer.digest))
        subprocess.run(["tar", "-xf", blob, "-C", str(root), "--no-same-owner"], check=True)
    for folder in ("proc", "dev"):
        (root / folder).mkdir(exist_ok=True)
    settings = found.config["config"]
    argv = [
        bwrap,
        "--unshare-all",
        "--ro-bind",
        str(root),
        "/",
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        "--clearenv",
    ]
    for item in settings["Env"]:
        argv += ["--setenv", *item.split("=", 1)]
    assert output([*argv, "--chdir", settings["WorkingDir"], *settings["Entrypoint"]]) == SAYS


def test_podman_loads_it_and_buildah_runs_it(
    image: Pushed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Podman and Buildah share a storage; `podman run` is not allowed in every sandbox."""
    podman, buildah = registries.need("podman"), registries.need("buildah")
    environment = containers(tmp_path / "containers")
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", environment["CONTAINERS_STORAGE_CONF"])
    loaded = engines.load(image.layout, [name_of("app:2"), name_of("app:3")], engines.choose("podman"))
    assert loaded.run == "podman run --rm localhost/app:2"
    for name in ("app:2", "app:3"):
        shown = [podman, "image", "inspect", "--format", "{{.Digest}} {{.Config.User}}", name]
        assert output(shown) == f"{image.digest} 10001:10001"
    working = output([buildah, "from", "--pull-never", "localhost/app:3"]).splitlines()[-1]
    assert output([buildah, "run", "--isolation", "chroot", working, "--", "python3", "/app/app.py"]) == SAYS


def test_podman_takes_this_machines_image_of_several(
    project: Path, both: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    podman = registries.need("podman")
    environment = containers(tmp_path / "containers")
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", environment["CONTAINERS_STORAGE_CONF"])
    assemble_project(spec(project, both, platforms=PLATFORMS), out=tmp_path / "out")
    engines.load(tmp_path / "out", [name_of("app")], engines.choose("podman"))
    shown = output([podman, "image", "inspect", "--format", "{{.Os}}/{{.Architecture}}", "app"])
    assert shown == this_platform()


@pytest.mark.parametrize("kind", ["docker-archive", "oci-archive"])
def test_skopeo_reads_an_archive_either_way(image: Pushed, tmp_path: Path, kind: str) -> None:
    skopeo = registries.need("skopeo")
    archive.save(image.layout, tmp_path / "app.tar", [name_of("app:2")])
    name = f"{kind}:{tmp_path / 'app.tar'}:{'app:2' if kind == 'docker-archive' else '2'}"
    output([skopeo, "copy", name, f"dir:{tmp_path / 'dir'}"], containers(tmp_path / "containers"))
    copied = json.loads((tmp_path / "dir" / "manifest.json").read_text())
    assert copied["config"]["digest"] == oci.read_image(image.layout).manifest.config.digest


def test_without_an_engine_it_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingToolError, match="neither Docker nor Podman") as caught:
        engines.choose("auto")
    assert caught.value.why == "docker is not installed; podman is not installed"
    with pytest.raises(MissingToolError, match="Podman cannot take") as caught:
        engines.choose("podman")
    assert "--docker-archive" in (caught.value.fix or "")


def test_docker_without_its_engine_is_not_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    client = registries.need("docker")
    (tmp_path / "docker").symlink_to(client)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path / 'nobody'}")
    with pytest.raises(MissingToolError, match="Docker cannot take") as caught:
        engines.choose("docker")
    assert "docker says" in (caught.value.why or "")
    podman = shutil.which("podman", path="/usr/bin:/usr/local/bin")
    if podman:
        (tmp_path / "podman").symlink_to(podman)
        assert engines.choose("auto").engine == "podman"


def test_an_engine_that_refuses_is_quoted(
    image: Pushed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registries.need("podman")
    (tmp_path / "storage.conf").write_text(
        f'[storage]\ndriver = "none-such"\ngraphroot = "{tmp_path}/g"\nrunroot = "{tmp_path}/r"\n'
    )
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", str(tmp_path / "storage.conf"))
    with pytest.raises(SeatrialError, match="Podman did not take the image") as caught:
        engines.load(image.layout, [name_of("app")], engines.choose("podman"))
    assert "none-such" in (caught.value.why or "")
