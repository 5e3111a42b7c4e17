"""What is inside a base image, by its reference alone. What is not known stays unknown: nothing is guessed."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.images.catalog import tables

if TYPE_CHECKING:
    from seatrial.images.catalog.model import Contents

_AWS_ACCOUNT = re.compile(r"(\d{12})\.dkr\.ecr(?:-fips)?\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?")


class Image(msgspec.Struct, frozen=True):
    """A reference, taken apart. `name` is the repository as the catalog lists it, `module` what reads its tags."""

    reference: str
    name: str
    tag: str
    digest: str
    module: str

    @property
    def common(self) -> dict[str, Any]:
        """The fields that `Contents` takes over."""
        return {"reference": self.reference, "family": self.name, "tag": self.tag, "digest": self.digest}


@lru_cache(maxsize=4096)
def identify(reference: str) -> Contents | None:
    """What is inside the image `reference`, or None where the catalog does not know images of that kind.

    Takes whatever a FROM line may have: `python:3.11-slim`, `library/python`, `docker.io/library/python`, mirrors of
    AWS's images by account and region, a digest after the tag. Text that is no reference is an unknown image.
    """
    image = _take_apart(reference)
    if image is None:
        return None
    family = import_module(f"seatrial.images.catalog.families.{image.module}")
    contents: Contents | None = family.read(image)
    if contents is None:
        return None
    if image.digest:  # it stays what it is, whatever its tag does
        return msgspec.structs.replace(contents, moving="", removed=None)
    return _as_observed(contents, image.name)


def forget() -> None:
    """Look again from the beginning: what registries listed has changed."""
    from seatrial.images.catalog import observed

    observed.read.cache_clear()
    identify.cache_clear()


def _as_observed(contents: Contents, name: str) -> Contents:
    """A registry that was asked knows better than a table which tags there are, and how large they are."""
    from seatrial.images.catalog import observed
    from seatrial.images.catalog.model import Removed

    listing = observed.read().repositories.get(name)
    if listing is None:
        return contents
    if contents.tag in listing.tags:
        return msgspec.structs.replace(contents, removed=None, size_bytes=listing.tags[contents.tag])
    if contents.removed is not None or contents.moving:
        return contents
    reason = f"{listing.registry} listed no such tag on {listing.date}"
    return msgspec.structs.replace(contents, removed=Removed(reason, f"https://{listing.registry}/v2/"))


def _take_apart(reference: str) -> Image | None:
    from seatrial.errors import UsageError
    from seatrial.images.reference import parse

    try:
        parsed = parse(reference)
    except UsageError:
        return None
    name = _catalog_name(parsed.registry, parsed.repository)
    family = _family(name)
    if family is None or (parsed.digest and not parsed.tag):
        return None
    tag = parsed.tag or "latest"
    return Image(f"{parsed.name}:{tag}", name, tag, parsed.digest, family)


def _catalog_name(registry: str, repository: str) -> str:
    """`docker.io/library/python` is `python`, `docker.io/pytorch/pytorch` is `pytorch/pytorch`, others keep their host."""
    table = tables.load("repositories")
    if registry == "docker.io":
        owner, _, rest = repository.partition("/")
        return rest if owner == "library" or owner in table["processors"] else repository
    mirrors: dict[str, str] = table["mirrors"]
    for prefix, stands_for in mirrors.items():
        if f"{registry}/{repository}".startswith(prefix):
            return stands_for + f"{registry}/{repository}".removeprefix(prefix)
    account = _AWS_ACCOUNT.fullmatch(registry)
    if account is not None and account[1] in tables.load("aws")["accounts"]:
        return f"aws/{repository}"
    return f"{registry}/{repository}"


def _family(name: str) -> str | None:
    families: dict[str, str] = tables.load("repositories")["families"]
    if name in families:
        return families[name]
    parent = name.rpartition("/")[0]
    return families.get(f"{parent}/*")
