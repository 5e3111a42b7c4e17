"""What an image is called where it goes: as people type it, as containerd stores it, and as a layout notes it."""

from __future__ import annotations

from typing import NamedTuple

from seatrial.errors import UsageError
from seatrial.images.reference import DOCKER_HUB, Reference, parse


class Name(NamedTuple):
    """`familiar` is `app:1`, `full` is `docker.io/library/app:1`, `local` is `localhost/app:1`, `tag` is `1`.

    `local` is what Podman calls an image that was made here; with a registry in the name it is the full one.
    """

    familiar: str
    full: str
    local: str
    tag: str


def name_of(text: str) -> Name:
    """The name that an archive or an engine gives an image; without a tag it is `latest`.

    Raises:
        UsageError: it is no reference, or names a digest, which nobody can give.
    """
    parsed = parse(text)
    if parsed.digest:
        raise UsageError(
            f"{text!r} names a digest",
            why="an image is called by a tag; its digest follows from its content",
            fix=f"write {parsed.name}:TAG",
        )
    tag = parsed.tag or "latest"
    full, familiar = f"{parsed.name}:{tag}", f"{_familiar(parsed)}:{tag}"
    named = parsed.registry != DOCKER_HUB or text.partition("/")[0] in (DOCKER_HUB, f"index.{DOCKER_HUB}")
    return Name(familiar, full, full if named else f"localhost/{familiar}", tag)


def index_notes(name: Name) -> dict[str, str]:
    """What a layout's index says of the image, as `docker buildx` and containerd write it.

    Source: OCI image-spec v1.1, annotations.md; containerd, images/annotations.go.
    """
    return {"io.containerd.image.name": name.full, "org.opencontainers.image.ref.name": name.tag}


def _familiar(parsed: Reference) -> str:
    """Without what is added to a name that says no registry. Source: distribution/reference, helpers.go."""
    if parsed.registry != DOCKER_HUB:
        return parsed.name
    return parsed.repository.removeprefix("library/")
