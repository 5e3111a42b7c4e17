"""Builders of Dockerfiles with storage of their own, a base of busybox, and what a machine would pass to a build."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import tarfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from seatrial.images import layout as oci
from support import engines, roots
from support.commands import seatrial
from support.debian import Item, symlink
from support.registries import need

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

BASE = "python:3.11-slim"
_MORE = ("cp", "printf", "wc", "mktemp", "tail", "rm", "printenv")


def base(layout: Path) -> Path:
    """Busybox with a shell and what small scripts need."""
    links = [symlink(f"bin/{name}", "busybox") for name in _MORE if name not in roots.APPLETS]
    roots.alpine_like(layout, [*links, Item("etc/release", "small\n")], Env=["PATH=/bin"])
    return layout


@contextmanager
def ready(builder: str, folder: Path) -> Iterator[dict[str, str]]:
    """The variables by which the builder keeps everything in `folder`; skips where it is not here."""
    need("docker" if builder == "buildkit" else builder)
    if builder in ("buildah", "podman"):
        yield _only_ours(engines.containers(folder))
        return
    with engines.docker(folder) as environment:
        if builder == "buildkit":
            shown = subprocess.run(
                ["docker", "buildx", "version"], env=environment, capture_output=True, check=False
            )
            if shown.returncode != 0:
                pytest.skip("the buildx plugin of Docker is not installed")
        yield _only_ours(environment)


def _only_ours(environment: Mapping[str, str]) -> dict[str, str]:
    kept = ("CONTAINERS_STORAGE_CONF", "DOCKER_HOST", "DOCKER_CONFIG")
    return {name: environment[name] for name in kept if name in environment}


def project(folder: Path, dockerfile: str, **files: str | bytes) -> Path:
    """A folder with a Dockerfile and further files (`app_py`)."""
    folder.mkdir(parents=True)
    (folder / "Dockerfile").write_text(dockerfile)
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def build(folder: Path, layout: Path, *options: str, **environ: str) -> dict[str, Any]:
    """`seatrial image build --json` in the folder, with the base from `layout`; the answer with its exit code."""
    done = seatrial(
        folder,
        "image",
        "build",
        ".",
        f"--base={BASE}={layout}",
        "--json",
        "--no-indexes",
        *options,
        **environ,
    )
    if not done.stdout:
        return {"code": done.returncode, "error": done.stderr}
    return {**json.loads(done.stdout), "code": done.returncode, "error": done.stderr}


def certificate(folder: Path) -> Path:
    """A bundle with one authority that only this machine has."""
    folder.mkdir(parents=True, exist_ok=True)
    argv = [
        need("openssl"),
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=Ours",
        "-days",
        "2",
    ]
    argv += ["-keyout", str(folder / "ca.key"), "-out", str(folder / "ca.pem")]
    subprocess.run(argv, check=True, capture_output=True)
    return folder / "ca.pem"


def everything(layout: Path) -> bytes:
    """All bytes that leave with an image: its documents, and its layers unpacked."""
    found = b""
    image = oci.read_image(layout)
    for digest in (image.digest, image.manifest.config.digest):
        found += oci.blob_path(layout, digest).read_bytes()
    for blob in image.manifest.layers:
        found += gzip.decompress(oci.blob_path(layout, blob.digest).read_bytes())
    return found


def own_files(layout: Path, below: int) -> dict[str, bytes]:
    """Files of the layers above the lowest `below`, later ones over earlier ones."""
    found: dict[str, bytes] = {}
    for blob in oci.read_image(layout).manifest.layers[below:]:
        raw = gzip.decompress(oci.blob_path(layout, blob.digest).read_bytes())
        with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isfile() else None
                found["/" + member.name.strip("/")] = content.read() if content else b""
    return found
