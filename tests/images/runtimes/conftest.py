"""The backends that this machine has, each with nothing of the machine's own in it."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, get_args

import pytest

from seatrial.images import runtime
from seatrial.images.runtime import Backend, Launch
from seatrial.images.runtimes import backends
from support import roots
from support.debian import needs_bwrap, own_cache
from support.engines import containers, docker
from support.registries import need

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from seatrial.images.rootfs import Root

_ENGINE_VARIABLES = ("DOCKER_HOST", "DOCKER_CONFIG", "CONTAINERS_STORAGE_CONF")


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    needs_bwrap()
    yield from own_cache(tmp_path_factory)


@pytest.fixture(scope="session")
def small(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Root:
    layout = tmp_path_factory.mktemp("images") / "small"
    return runtime.prepare(layout, roots.alpine_like(layout))


@pytest.fixture(scope="module", params=get_args(Backend))
def backend(
    request: pytest.FixtureRequest, small: Root, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Backend]:
    """Each backend in turn, with the small image brought to it once; skips those that are not here."""
    name: Backend = request.param
    need(name)
    folder = tmp_path_factory.mktemp(name) / "engine"
    if name == "docker":
        with docker(folder) as environment:
            yield from _held(name, small, environment)
    else:
        yield from _held(name, small, containers(folder) if name == "podman" else {})
        shutil.rmtree(folder, ignore_errors=True)


def _held(name: Backend, small: Root, environment: Mapping[str, str]) -> Iterator[Backend]:
    with pytest.MonkeyPatch.context() as patch:
        for variable in _ENGINE_VARIABLES:
            if variable in environment:
                patch.setenv(variable, environment[variable])
        # A run keeps the image in the engine's store, so that the others need not bring it.
        idle = Launch(network="none")
        with backends.module(name).ready(small, ["true"], idle, interactive=False):
            tried = runtime.run(small, ["echo", "up"], idle, backend=name)
            if os.environ.get("CI") is None and tried.code == runtime.CANNOT_START:
                pytest.skip(f"{name} does not run here: {tried.stderr.strip()[-200:]}")
            assert (tried.code, tried.stdout) == (0, "up\n"), tried
            yield name
