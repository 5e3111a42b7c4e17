"""What an image is called where it goes: as people type it, as containerd stores it, and as a layout notes it."""

from __future__ import annotations

from typing import NamedTuple

from seatrial.errors import UsageError
from seatrial.images.reference import DOCKER_HUB, Reference, parse


class Name(NamedTuple):
    """`familiar` is `app:1`, `full` is `docker.io/library/app:1`, `tag` is `1`."""

    familiar: str
    full: str
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
    return Name(f"{_familiar(parsed)}:{tag}", f"{parsed.name}:{tag}", tag)


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
