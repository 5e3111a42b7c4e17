"""Answers of both versions to the same request: where they differ, and what that says about the new one.

A copied request is answered by the old version, for the client, and by the new one, for nobody. Of an answer the
status, the content type and the body are compared; other headers are neither read nor kept, for they may hold
secrets. `recording.Recorder` collects the answers while requests are copied.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import msgspec

from seatrial import answers
from seatrial.deployments.observing import latencies
from seatrial.masking import hide_known

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.config.deploying import Shadow
    from seatrial.deployments.analysis.model import Decision

LARGEST = 1 << 20
"""Bytes of an answer that are compared; larger answers are only counted. Envoy's program knows the same number."""
EXAMPLES = 5
_PARTS = 5
_LONGEST = 400
_UNPACKED = 16 * LARGEST
_ZLIB_OR_GZIP = 47
_WRONG = 400
_CSV = ("text/csv", "application/csv")


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One answer. `asked` is method and path, `request` the beginning of the request's body; `size` bytes is the whole
    answer, `body` at most LARGEST of them. `seconds` is from the request's arrival to the answer's end.
    """

    asked: str
    status: int
    kind: str = ""
    encoding: str = ""
    body: bytes = b""
    size: int = 0
    seconds: float = 0.0
    request: bytes = b""


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """One request that was answered differently: what was asked, both statuses, and where the answers differ."""

    asked: str
    request: str
    old: int
    new: int
    differences: tuple[str, ...]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What came out so far: answers `compared`, how many of them were `different`, and the first examples.

    Of `alone` copies one answer never came: they were left out because too many were in flight, or a client went away.
    `large` answers were too large to be compared. `old` and `new` are the latencies of compared answers, as
    histograms; see `latencies`.
    """

    compared: int = 0
    different: int = 0
    alone: int = 0
    large: int = 0
    examples: tuple[Example, ...] = ()
    old: tuple[int, ...] = ()
    new: tuple[int, ...] = ()


def differences(old: Told, new: Told, settings: Shadow) -> Iterator[str]:
    """Where two answers to one request differ: by status, by content type, or by the values in their bodies."""
    if old.status != new.status:
        said = f": {answers.excerpt(_plain(new))}" if new.status >= _WRONG else ""
        yield f"status: expected {old.status}, got {new.status}{said}"
        return
    kind, other = _media_type(old.kind), _media_type(new.kind)
    if kind != other:
        yield f"content type: expected {kind or 'none'}, got {other or 'none'}"
        return
    csv = kind in _CSV
    left, right = _plain(old), _plain(new)
    try:
        yield from answers.compared(
            left, right, csv=csv, tolerance=settings.tolerance, ignore=settings.ignore
        )
    except RecursionError:  # nested deeper than anything that is meant
        if left != right:
            yield f"expected {answers.excerpt(left)!r}, got {answers.excerpt(right)!r}"


def example(old: Told, new: Told, found: list[str]) -> Example:
    """What is kept of a request that was answered differently, without what looks like a secret."""
    more = [f"and {len(found) - _PARTS} more"] if len(found) > _PARTS else []
    return Example(
        asked=hide_known(old.asked)[:_LONGEST],
        request=hide_known(answers.excerpt(old.request)) if old.request else "",
        old=old.status,
        new=new.status,
        differences=tuple(hide_known(one)[:_LONGEST] for one in [*found[:_PARTS], *more]),
    )


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done, and the numbers that say so."""

    decision: Decision
    why: str


def verdict(settings: Shadow, comparison: Comparison) -> Verdict:
    """Whether the new version may have traffic.

    It is rolled back as soon as too many answers differ even if all that are still needed were equal, and held
    while too few were compared.
    """
    found = comparison
    needed = max(found.compared, settings.min_requests)
    if found.different and 100 * found.different / needed > settings.max_different:
        return Verdict(
            decision="roll back", why=f"{_counts(found, settings)}{_first(found)}{_left_out(found)}"
        )
    if found.compared < settings.min_requests:
        why = f"{_number(found.compared, 'answer')} of both versions compared, {settings.min_requests} are needed"
        return Verdict(decision="hold", why=why + _left_out(found))
    return Verdict(decision="promote", why=f"{_counts(found, settings)}{_speed(found)}{_left_out(found)}")


def _counts(found: Comparison, settings: Shadow) -> str:
    share = 100 * found.different / found.compared
    if not found.different:
        return f"all {found.compared} compared answers are the same"
    return (
        f"{found.different} of {found.compared} compared answers differ ({share:.3g} %), "
        f"{settings.max_different:g} % are allowed"
    )


def _first(found: Comparison) -> str:
    if not found.examples:
        return ""
    one = found.examples[0]
    return f"; the first was {one.asked}: {one.differences[0]}"


def _speed(found: Comparison) -> str:
    old, new = latencies.quantile(found.old, 0.5), latencies.quantile(found.new, 0.5)
    if old is None or new is None:
        return ""
    return f"; half of them took the old version {old * 1000:.3g} ms and the new one {new * 1000:.3g} ms"


def _left_out(found: Comparison) -> str:
    parts = []
    if found.alone:
        parts.append(f"{_number(found.alone, 'copy', 'copies')} had one answer only")
    if found.large:
        parts.append(f"{_number(found.large, 'answer')} of more than {LARGEST >> 20} MB left out")
    return "".join(f"; {part}" for part in parts)


def _number(count: int, one: str, more: str = "") -> str:
    return f"{count} {one if count == 1 else more or one + 's'}"


def _media_type(text: str) -> str:
    return text.partition(";")[0].strip().lower()


def _plain(told: Told) -> bytes:
    """The body as it was before it was compressed for the way; as it is where that cannot be told."""
    encoding = told.encoding.strip().lower()
    if encoding not in ("gzip", "x-gzip", "deflate"):
        return told.body
    try:
        return zlib.decompressobj(_ZLIB_OR_GZIP).decompress(told.body, _UNPACKED)
    except zlib.error:
        return told.body
