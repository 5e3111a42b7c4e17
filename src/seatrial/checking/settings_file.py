"""seatrial.yaml and files of checks of an image, checked by what reads them."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from seatrial.checking.subject import Subject
    from seatrial.findings import Finding
    from seatrial.sources.text import Source


def check(subjects: Sequence[Subject]) -> list[Finding]:
    """Findings about each such file; one with unresolved conflicts has been spoken of already."""
    files = [subject for subject in subjects if subject.recognised.kind in ("seatrial", "image-tests")]
    return [one for subject in files for one in _check(subject)]


def _check(subject: Subject) -> Iterator[Finding]:
    from seatrial.checking.syntax import in_conflict

    if in_conflict(subject.source):
        return
    if subject.recognised.kind == "image-tests":
        yield from _tests(subject.source)
        return
    from seatrial.config import check_text

    yield from check_text(subject.source.path, subject.source.text, subject.folder)
    for name in _named(subject.source):
        path = posixpath.normpath(posixpath.join(posixpath.dirname(subject.source.path), name))
        source = None if path.startswith("../") else subject.read(path)
        if source is not None and not in_conflict(source):
            yield from _tests(source)


def _tests(source: Source) -> list[Finding]:
    from seatrial.images.testing.declared import reading

    return reading.check(source)


def _named(source: Source) -> Iterator[str]:
    """Files of checks that a seatrial.yaml names, also one that has other faults."""
    from seatrial.config.reading import UnreadableError, read_table
    from seatrial.config.tree import Listing, Scalar, Table, at

    try:
        table = read_table(source.path, source.text)
    except UnreadableError:
        return
    images = table.get("images")
    for _, image in images.entries if isinstance(images, Table) else ():
        listed = at(image, ("test", "config")) if isinstance(image, Table) else None
        for item in listed.items if isinstance(listed, Listing) else ():
            if isinstance(item, Scalar):
                yield item.text
