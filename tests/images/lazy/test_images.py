"""Whole images that are pulled lazily: by a setting or an option, the same each time, from a real registry."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from seatrial.images import layout as oci
from support import assembling, estargz
from support.commands import seatrial
from support.registries import running

if TYPE_CHECKING:
    from pathlib import Path

TOC = "containerd.io/snapshot/stargz/toc.digest"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project, its base and its wheels; the base's Python is known from the first assembly on."""
    folder = tmp_path_factory.mktemp("lazy")
    assembling.one_base(folder / "base")
    return assembling.project(folder / "app", folder / "wheels")


def assemble(project: Path, *options: str, out: str = "image") -> dict[str, Any]:
    done = seatrial(
        project, "image", "assemble", "--base", "../base", "--find-links", "../wheels", "--offline", "--no-bytecode",
        "--oci", f"../{out}", "--json", *options,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def layers(project: Path, out: str = "image") -> tuple[oci.Descriptor, ...]:
    return oci.read_image(project.parent / out).manifest.layers


@pytest.fixture(scope="module")
def lazy(project: Path) -> dict[str, Any]:
    return assemble(project, "--lazy")


def test_every_layer_can_be_pulled_lazily_and_holds_the_same(project: Path, lazy: dict[str, Any]) -> None:
    assemble(project, out="ordinary")
    trees = {}
    for out in ("image", "ordinary"):
        blobs = [oci.blob_path(project.parent / out, one.digest).read_bytes() for one in layers(project, out)]
        trees[out] = [estargz.tree(blob) for blob in blobs]
        if out == "image":
            found = [estargz.of_bytes(blob).digest for blob in blobs]

    assert [one.annotations[TOC] for one in layers(project)] == found
    assert not any(one.annotations for one in layers(project, "ordinary"))
    assert trees["image"] == trees["ordinary"]
    assert lazy["smoke"]["status"] == "pass"


def test_it_is_made_once_and_the_same_each_time(project: Path, lazy: dict[str, Any]) -> None:
    again = assemble(project, "--lazy", out="again")

    assert again["digest"] == lazy["digest"]
    assert all(layer["reused"] for layer in again["layers"])
    labels = oci.read_image(project.parent / "image").config["config"]["Labels"]
    base = oci.read_image(project.parent / "base").digest
    assert labels["org.opencontainers.image.base.digest"] == base


@pytest.mark.usefixtures("lazy")
def test_the_setting_says_the_same_as_the_option(project: Path) -> None:
    settings = project / "seatrial.yaml"
    settings.write_text("images: {app: {lazy: true}}\n")
    try:
        assemble(project, "--no-smoke", out="set")
        assemble(project, "--no-smoke", "--no-lazy", out="unset")
    finally:
        settings.unlink()

    assert all(TOC in one.annotations for one in layers(project, "set"))
    assert not any(one.annotations for one in layers(project, "unset"))


def test_what_the_list_names_is_fetched_first(project: Path, lazy: dict[str, Any]) -> None:
    listed = project.parent / "first.txt"
    listed.write_text("# needed at once\n\n/app/app.py\n")
    found = assemble(project, "--lazy", "--no-smoke", "--first-files", str(listed), out="first")
    orders = [
        estargz.order(oci.blob_path(project.parent / "first", one.digest).read_bytes())
        for one in layers(project, "first")
    ]

    assert found["digest"] != lazy["digest"]
    assert orders[-1][:3] == ["app/app.py", ".prefetch.landmark", "app/requirements.txt"]
    assert all(".no.prefetch.landmark" in order for order in orders[:-1])


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        ("usr/bin/python3\n", ["--lazy"], "first.txt:1:1"),
        ("/usr/bin/python3\n", [], "give --lazy too"),
        ("/usr/bin/\xff\n", ["--lazy"], "not UTF-8"),
    ],
)
def test_a_list_that_is_of_no_use_is_refused(
    project: Path, tmp_path: Path, content: str, options: list[str], said: str
) -> None:
    (tmp_path / "first.txt").write_bytes(content.encode("latin-1"))
    done = seatrial(
        project, "image", "assemble", "--base", "../base", "--find-links", "../wheels", "--offline", *options,
        "--first-files", str(tmp_path / "first.txt"),
    )  # fmt: skip

    assert done.returncode == 2 if not options else 1
    assert said in done.stderr


def test_one_file_is_read_from_a_registry_without_the_rest(
    project: Path, lazy: dict[str, Any], tmp_path: Path
) -> None:
    with running(tmp_path / "registry") as registry, httpx.Client() as client:
        assemble(project, "--lazy", "--no-smoke", "--push", "--tag", f"{registry}/app:1", out="pushed")
        manifest = client.get(
            f"http://{registry}/v2/app/manifests/{lazy['digest']}", headers={"Accept": oci.MANIFEST}
        ).json()
        base = manifest["layers"][0]
        asked: list[int] = []

        def fetch(offset: int, length: int) -> bytes:
            asked.append(length)
            ranged = {"Range": f"bytes={offset}-{offset + length - 1}"}
            answer = client.get(f"http://{registry}/v2/app/blobs/{base['digest']}", headers=ranged)
            assert answer.status_code == 206
            return answer.content

        opened = estargz.opened(fetch, base["size"])
        content = opened.read("etc/passwd")

    assert opened.digest == base["annotations"][TOC]
    assert content.startswith(b"root:x:0:0:")
    assert sum(asked) < base["size"] / 50
