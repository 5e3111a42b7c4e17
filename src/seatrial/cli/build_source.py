"""The source that a build or a batch is to take: a folder, or what is fetched from elsewhere before it."""

from __future__ import annotations

import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from seatrial.cli.common import note

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.builds.plan import Refusal


class Got(NamedTuple):
    """A source as the build takes it: a folder, or why there is none."""

    place: str
    name: str = ""
    commit: str = ""
    url: str = ""
    refusal: Refusal | None = None


@contextmanager
def fetched(source: str, version: str) -> Iterator[Got]:
    """A folder is taken as it is; everything else is fetched before the build, since its buildspec says what to do."""
    import tempfile

    from seatrial import paths
    from seatrial.builds import sources
    from seatrial.builds.plan import Refusal
    from seatrial.builds.refused import Refused
    from seatrial.files import remove_tree

    if sources.kind_of(source, version) == "folder":
        yield Got(source)
        return
    top = paths.cache() / "build-sources"
    top.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=top))
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", source.rstrip("/").rpartition("/")[2].removesuffix(".git")).strip(
        "-_"
    )
    try:
        try:
            got = sources.fetch(source, folder / "src", version=version)
        except Refused as refused:
            note(str(refused))
            (folder / "src").mkdir(exist_ok=True)
            why = Refusal("DOWNLOAD_SOURCE", refused.code, (refused.message,))
            yield Got(str(folder / "src"), name=name or "build", refusal=why)
        else:
            yield Got(str(folder / "src"), name=name or "build", commit=got.commit, url=got.url)
    finally:
        remove_tree(folder)
