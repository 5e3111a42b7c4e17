"""Command lines of builders: no value that could be a secret is in them, and no argument steers the builder itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from seatrial.images.builders import commands
from seatrial.images.builders.model import Request

REQUEST = Request(
    context=Path("/project"),
    dockerfile=Path("/project/Dockerfile"),
    arguments={
        "HTTPS_PROXY": "http://jane:secret@proxy.example",
        "PATH": "/odd",
        "DOCKER_HOST": "tcp://x",
        "V": "3",
    },
    secrets={"token": Path("/project/token")},
    target="last",
)


@pytest.mark.parametrize("builder", ["docker", "buildah"])
def test_arguments_are_named_and_their_values_are_in_the_environment(builder: str) -> None:
    argv = (
        commands.docker(["docker", "build"], REQUEST, Path("/project"), mounts=True)
        if builder == "docker"
        else commands.buildah(["buildah", "build"], REQUEST, Path("/project"), isolation="chroot")
    )
    assert not any("secret@" in word for word in argv)
    assert {"--build-arg=HTTPS_PROXY", "--build-arg=V", "--target=last"} <= set(argv)
    assert {"--build-arg=PATH=/odd", "--build-arg=DOCKER_HOST=tcp://x"} <= set(argv)
    assert "--secret=id=token,src=/project/token" in argv
    assert argv[-1] == "/project"
    assert commands.environment(REQUEST) == {"HTTPS_PROXY": "http://jane:secret@proxy.example", "V": "3"}
