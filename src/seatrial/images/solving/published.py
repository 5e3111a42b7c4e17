"""Which files the asked indexes list of chosen versions, with their hashes."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import msgspec

from seatrial.images.solving.asking import Question
from seatrial.images.solving.places import Places, find_places
from seatrial.images.solving.settle import Means, look_up

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from seatrial.images.solving.model import Ask, Setting
    from seatrial.images.solving.releases import File, Release

_BUDGET = 60.0  # seconds


class Published(msgspec.Struct, frozen=True):
    """What was found of each package (name → release, absent where nothing is listed), and which places were asked."""

    releases: Mapping[str, Release]
    places: Places


def places(asks: Sequence[Ask], setting: Setting, *, env: Mapping[str, str] | None = None) -> Places:
    """What `solve` asks for this problem, and what it leaves out because it cannot be reached."""
    return find_places(setting, asks, dict(os.environ if env is None else env))


def published(
    versions: Mapping[str, str],
    asks: Sequence[Ask],
    setting: Setting,
    *,
    refresh: bool = False,
    env: Mapping[str, str] | None = None,
) -> Published:
    """The files of each chosen version, from every place that has it, each with its hash where one can be had."""
    environment = dict(os.environ if env is None else env)
    where = find_places(setting, asks, environment)
    question = Question(asks=(), constraints=(), setting=setting, places=where)
    means = Means(environment, time.monotonic() + _BUDGET, refresh)
    found = _releases(question, versions, means)
    # A page may have been kept since before hashes were.
    bare = {name: versions[name] for name, one in found.items() if not _hashed(one)}
    if bare and not refresh:
        found |= _releases(question, bare, msgspec.structs.replace(means, refresh=True))
    return Published(found, where)


def _releases(question: Question, versions: Mapping[str, str], means: Means) -> dict[str, Release]:
    names = list(versions)
    known = look_up(question, names, means)
    return {
        name: _with_hashes(some[versions[name]])
        for name, some in zip(names, known, strict=True)
        if versions[name] in some
    }


def _hashed(release: Release) -> bool:
    return any(one.sha256 for one in (*release.wheels, *release.sources, *release.others))


def _with_hashes(release: Release) -> Release:
    """Files in a folder have no page that says their hash: it is counted."""
    parts = {
        kind: tuple(_counted(one) for one in getattr(release, kind))
        for kind in ("wheels", "sources", "others")
    }
    return msgspec.structs.replace(release, **parts)


def _counted(file: File) -> File:
    address = urlsplit(file.url)
    if file.sha256 or address.scheme != "file":
        return file
    try:
        with Path(unquote(address.path)).open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return file
    return msgspec.structs.replace(file, sha256=digest)
