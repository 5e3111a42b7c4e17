"""Several platforms from one machine: an index that everyone reads, and what is the same made once."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from seatrial.errors import SeatrialError
from seatrial.images import layout as oci
from seatrial.images import registry
from seatrial.images.assemble.image import assemble_project
from seatrial.images.outputs.names import name_of
from support import assembling, registries
from support.assembling import PLATFORMS, spec

if TYPE_CHECKING:
    from pathlib import Path


def blobs(layout: Path) -> set[str]:
    return {f"sha256:{path.name}" for path in (layout / "blobs" / "sha256").iterdir()}


def reachable(layout: Path) -> set[str]:
    found = {top.digest for top in oci.read_index(layout).manifests}
    for entry in oci.list_images(layout):
        image = oci.read_image(layout, digest=entry.digest)
        found |= {
            image.digest,
            image.manifest.config.digest,
            *(layer.digest for layer in image.manifest.layers),
        }
    return found


def test_two_platforms_make_one_index_of_two_images(project: Path, both: Path, tmp_path: Path) -> None:
    done = assemble_project(spec(project, both, platforms=PLATFORMS), out=tmp_path / "out")
    (top,) = oci.read_index(tmp_path / "out").manifests
    assert (top.media_type, top.digest, top.annotations) == (oci.INDEX, done.digest, {})
    index = oci.read_json(tmp_path / "out", top.digest, oci.Index)
    assert [str(entry.platform) for entry in index.manifests] == list(PLATFORMS)
    assert [image.platform for image in done.images] == list(PLATFORMS)
    for image in done.images:
        found = oci.read_image(tmp_path / "out", platform=image.platform)
        assert found.digest == image.digest
        assert f"{found.config['os']}/{found.config['architecture']}" == image.platform
        assert image.size == sum(layer.size for layer in found.manifest.layers)
        assert [layer.digest for layer in image.layers] == [layer.digest for layer in found.manifest.layers]
    assert blobs(tmp_path / "out") == reachable(tmp_path / "out")
    above = [{a.digest for a in image.layers if not a.what.startswith("base")} for image in done.images]
    assert above[0] == above[1], "packages and source are the same for both, so they are one layer"
    assert done.size == sum({a.digest: a.size for image in done.images for a in image.layers}.values())
    assert len(done.layers) == len({layer.digest for layer in done.layers})


def test_the_order_of_platforms_changes_nothing(project: Path, both: Path, tmp_path: Path) -> None:
    first = assemble_project(spec(project, both, platforms=PLATFORMS), out=tmp_path / "one")
    other = (*PLATFORMS[::-1], "linux/arm64/v8")
    assert assemble_project(spec(project, both, platforms=other), out=tmp_path / "two").digest == first.digest
    for name in ("index.json", "oci-layout"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_each_image_of_an_index_is_the_one_that_is_made_alone(
    project: Path, both: Path, tmp_path: Path
) -> None:
    done = assemble_project(spec(project, both, platforms=PLATFORMS), out=tmp_path / "out")
    for image in done.images:
        alone = assemble_project(spec(project, both, platforms=(image.platform,)), out=tmp_path / "alone")
        assert alone.digest == image.digest
        assert [top.media_type for top in oci.read_index(tmp_path / "alone").manifests] == [oci.MANIFEST]
        assert blobs(tmp_path / "alone") == reachable(tmp_path / "alone")


def test_a_platform_that_the_base_lacks_is_named(project: Path, base: Path, tmp_path: Path) -> None:
    with pytest.raises(SeatrialError, match=r"linux/a\w+64: no image for") as caught:
        assemble_project(spec(project, base, platforms=PLATFORMS), out=tmp_path / "out")
    assert "it holds linux/" in (caught.value.why or "")
    assert not (tmp_path / "out").exists()


def test_the_base_is_not_replaced_by_its_image(project: Path, base: Path) -> None:
    before = blobs(base)
    with pytest.raises(SeatrialError, match="replace its own base"):
        assemble_project(spec(project, base), out=base)
    assert blobs(base) == before


def test_a_name_is_noted_where_others_look_for_it(project: Path, base: Path, tmp_path: Path) -> None:
    skopeo = registries.need("skopeo")
    done = assemble_project(spec(project, base), out=tmp_path / "out", names=[name_of("team/app:1.4")])
    (top,) = oci.read_index(tmp_path / "out").manifests
    assert top.annotations["io.containerd.image.name"] == "docker.io/team/app:1.4"
    seen = subprocess.run(
        [skopeo, "inspect", f"oci:{tmp_path / 'out'}:1.4"], capture_output=True, text=True, check=True
    )
    assert json.loads(seen.stdout)["Digest"] == done.digest


def test_a_registry_and_other_tools_have_the_whole_index(project: Path, both: Path, tmp_path: Path) -> None:
    skopeo = registries.need("skopeo")
    done = assemble_project(spec(project, both, platforms=PLATFORMS), out=tmp_path / "out")
    with registries.running(tmp_path / "registry") as host:
        pushed = registry.push(tmp_path / "out", f"{host}/app:1")
        assert pushed.digest == done.digest
        options = ["--src-tls-verify=false", "--dest-tls-verify=false"]
        subprocess.run(
            [skopeo, "copy", "--all", "--preserve-digests", *options, f"docker://{host}/app:1", f"docker://{host}/copy:1"],
            capture_output=True, check=True,
        )  # fmt: skip
        subprocess.run(
            [skopeo, "copy", "--all", "--preserve-digests", "--src-tls-verify=false", f"docker://{host}/copy:1", f"oci:{tmp_path / 'back'}:1"],
            capture_output=True, check=True,
        )  # fmt: skip
        assert registry.resolve(f"{host}/copy:1") == done.digest
        for image in done.images:
            layout = tmp_path / image.platform.replace("/", "-")
            assert registry.pull(f"{host}/copy:1", layout, platform=image.platform) == image.digest
            assert oci.read_image(tmp_path / "back", platform=image.platform).digest == image.digest
            name = image.platform.removeprefix("linux/")
            seen = subprocess.run(
                [skopeo, "--override-arch", name, "inspect", "--tls-verify=false", f"docker://{host}/app:1"],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            assert json.loads(seen.stdout)["Architecture"] == name


CRASH = """
import os, sys
from pathlib import Path
from seatrial.images.assemble.image import ImageSpec, assemble_project
def point(name):
    if name == sys.argv[4]:
        os.kill(os.getpid(), 9)
spec = ImageSpec(root=Path(sys.argv[1]), base=sys.argv[2], requirements=("requirements.txt",), bytecode=False,
                 entrypoint=("python3", "app.py"), platforms=("linux/amd64", "linux/arm64"))
assemble_project(spec, out=Path(sys.argv[3]), point=point, threads=1)
"""


def test_killed_while_an_index_replaces_another_it_is_the_old_or_the_new(
    project: Path, both: Path, tmp_path: Path
) -> None:
    out, wanted = tmp_path / "out", spec(project, both, platforms=PLATFORMS)
    old = assemble_project(wanted, out=out).digest
    shutil.copytree(out, tmp_path / "kept")
    (project / "more.py").write_text("x = 1\n")
    new = assemble_project(wanted, out=tmp_path / "whole").digest
    for place, expected in {"layer/written": old, "image/blobs-written": old, "image/indexed": new}.items():
        shutil.rmtree(out)
        shutil.copytree(tmp_path / "kept", out)
        assembling.forget_layers(tmp_path / "cache")
        argv = [sys.executable, "-c", CRASH, str(project), str(both), str(out), place]
        done = subprocess.run(argv, capture_output=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr
        (top,) = oci.read_index(out).manifests
        assert top.digest == expected, place
        assert reachable(out) <= blobs(out), "everything that the index names is there"
        assert assemble_project(wanted, out=out).digest == new
        assert blobs(out) == reachable(out)


def test_an_index_becomes_an_image_and_an_image_an_index(project: Path, both: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for platforms in (PLATFORMS, PLATFORMS[:1], PLATFORMS, PLATFORMS[1:]):
        done = assemble_project(spec(project, both, platforms=platforms), out=out)
        assert [top.digest for top in oci.read_index(out).manifests] == [done.digest]
        assert blobs(out) == reachable(out)
        assert len(oci.list_images(out)) == len(platforms)
