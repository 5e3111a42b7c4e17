"""Rebasing: read, check, and write what may be written."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING

import msgspec

from seatrial import paths
from seatrial.images.assemble.spec import AssembledLayer
from seatrial.images.assemble.store import using
from seatrial.images.rebase.model import Rebased, Report, Request
from seatrial.images.rebase.plan import plan
from seatrial.images.rebase.source import open_image
from seatrial.images.rebase.write import compose, to_layout, to_registry

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from seatrial.images.rebase.model import Answer
    from seatrial.images.rebase.plan import Plan
    from seatrial.images.rebase.source import Opened
    from seatrial.images.rebase.write import Document

__all__ = ["Rebased", "Report", "Request", "rebase"]


def rebase(request: Request) -> Report:
    """Move an image's own layers onto another base if every check allows it, else change nothing.

    Raises:
        SeatrialError: something cannot be read or written.
        TransportError: a registry cannot be reached or refuses.
        UsageError: the request cannot be meant.
        MissingToolError: a tool that makes the new base is missing.
    """
    started = time.monotonic()
    with (
        open_image(request.image, platform=request.platform, insecure=request.insecure) as opened,
        using() as use,
    ):
        plans = [plan(opened, image, request, use) for image in opened.images]
        verdict = _verdict([one.answer.verdict for one in plans])
        report = Report(verdict=verdict, images=tuple(one.answer for one in plans), notes=_notes(opened))
        if verdict == "may" and not request.check:
            report = _write(request, plans, opened, report)
        read = dict(opened.blobs.fetched)
    seconds = round(time.monotonic() - started, 3)
    return msgspec.structs.replace(report, read=read, read_bytes=sum(read.values()), seconds=seconds)


def _verdict(answers: Sequence[Answer]) -> Answer:
    """All platforms or none."""
    if "may not" in answers:
        return "may not"
    return "may" if "may" in answers else "nothing to do"


def _notes(opened: Opened) -> tuple[str, ...]:
    if not opened.dropped:
        return ()
    return (
        f"{len(opened.dropped)} attestations of the former image do not hold for the new one and are left out",
    )


def _write(request: Request, plans: Sequence[Plan], opened: Opened, report: Report) -> Report:
    result = compose(plans, opened)
    pushed, place = 0, ""
    if request.tag is None or request.out is not None:
        out = request.out or default_layout(request)
        to_layout(out, result, plans, opened)
        place = str(out)
    if request.tag is not None:
        sent = to_registry(request.tag, result, plans, opened, insecure=request.insecure)
        pushed, place = sent.pushed_bytes, request.tag
    sizes = {layer.digest: layer.size for document in result.documents for layer in document.layers}
    return msgspec.structs.replace(
        report,
        digest=result.top.digest,
        place=place,
        size=sum(sizes.values()),
        pushed_bytes=pushed,
        images=tuple(_account(one, document) for one, document in zip(plans, result.documents, strict=True)),
    )


def _account(one: Plan, document: Document) -> Rebased:
    layers = tuple(
        AssembledLayer(digest=p.descriptor.digest, size=p.descriptor.size, what=p.what, reused=p.reused)
        for p in one.pieces
    )
    return msgspec.structs.replace(one.answer, digest=document.descriptor.digest, layers=layers)


def default_layout(request: Request) -> Path:
    """Where the result is kept when nobody says: with Seatrial's own data, one per image and platform."""
    from pathlib import Path

    image = str(Path(request.image).resolve()) if Path(request.image).is_dir() else request.image
    key = hashlib.sha256(f"rebase\0{image}\0{request.platform}".encode()).hexdigest()[:16]
    return paths.home() / "images" / key
