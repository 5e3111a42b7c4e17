"""Explain a log: the one entry to everything here."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from seatrial.diagnosis import lines, loading, marks, matching, ranking
from seatrial.diagnosis.model import Cause, Context, Evidence, Explanation
from seatrial.masking import Mask, hide_known

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import BinaryIO

    from seatrial.diagnosis.model import Signature

_CHUNK = 1 << 18
_SHOWN = 400
_INFORMATIVE = 8


def explain(
    stream: BinaryIO | Iterable[bytes] | bytes | str,
    *,
    context: Context | None = None,
    signatures: Sequence[Signature] | None = None,
) -> Explanation:
    """Why a log failed, told from what it says.

    `stream` is an open binary file, chunks of bytes, or the whole log. It is read once, in memory that does not grow
    with it. `signatures`: those that come with Seatrial unless others are given.
    """
    known = loading.builtin() if signatures is None else tuple(signatures)
    context = context or Context()
    scan = matching.scan(_chunks(stream), _index(known))
    last = next((line for _, line in reversed(scan.tail) if line.strip()), b"")
    course = marks.course(scan.hits, scan.total, context.exit_code, lines.clean(last).text)
    ranked = ranking.rank(ranking.found(known, scan.hits, course), course)
    mask = Mask(context.secrets)

    def shown(text: str) -> str:
        return hide_known(mask.text(text))

    causes = tuple(_cause(one, course, shown) for one in ranked.causes)
    informative = () if causes or course.outcome == "succeeded" else _informative(scan, shown)
    return Explanation(
        causes=causes,
        lines=informative,
        follows=ranked.follows,
        outcome=course.outcome,
        phase=course.failed_phase or context.phase,
        exit_code=course.exit_code,
        total=scan.total,
    )


@lru_cache(maxsize=4)
def _index(known: tuple[Signature, ...]) -> matching.Index:
    patterns = {text for one in known for text in loading.patterns(one)}
    context = {text for one in known for text in loading.contexts(one)} - patterns - set(marks.ALL)
    strong = loading.needs_of((*sorted(patterns), *sorted(context), *marks.ALL))
    return matching.Index(strong, loading.needs_of(text for _, text in marks.TELLING), frozenset(context))


def _chunks(stream: BinaryIO | Iterable[bytes] | bytes | str) -> Iterable[bytes]:
    if isinstance(stream, str):
        stream = stream.encode("utf-8", "surrogateescape")
    if isinstance(stream, bytes):
        yield from (stream[i : i + _CHUNK] for i in range(0, len(stream), _CHUNK))
    elif hasattr(stream, "read"):
        while chunk := stream.read(_CHUNK):
            yield chunk
    else:
        yield from stream


def _cause(one: ranking.Found, course: marks.Course, shown: Callable[[str], str]) -> Cause:
    signature = one.signature
    # A mark may have had a backslash before it.
    captures = {name: shown(value).rstrip("\\") for name, value in one.hit.captures.items()}
    evidence = [
        Evidence(line=hit.number, text=shown(hit.text)[:_SHOWN], source=hit.source)
        for hit in (one.hit, *one.others)
    ]
    return Cause(
        id=signature.id,
        service=signature.service,
        title=signature.title,
        cause=loading.fill(signature.cause, dict(captures)),
        fix=loading.fill(signature.fix.text, dict(captures)),
        command=loading.fill(signature.fix.command, dict(captures)),
        rule=signature.fix.rule,
        confidence=one.confidence,
        retry=signature.retry,
        rank=signature.rank,
        phase=course.phase(one.hit.number),
        evidence=evidence[0],
        others=tuple(evidence[1:]),
        count=one.times,
        captures=captures,
        reference=signature.source,
    )


def _informative(scan: matching.Scan, shown: Callable[[str], str]) -> tuple[Evidence, ...]:
    """The lines that tell most, and the last ones; repeated texts once, in the order of the log."""
    weights: dict[str, tuple[float, int, str]] = {}
    for weight, hit in marks.telling(scan.hits):
        score = weight + hit.number / max(scan.total, 1)
        if hit.text not in weights or weights[hit.text][0] < score:
            weights[hit.text] = (score, hit.number, hit.source)
    last = [(number, lines.clean(raw)) for number, raw in scan.tail]
    for number, line in [(n, line) for n, line in last if line.text.strip()][-3:]:
        weights.setdefault(line.text, (1.0, number, line.source))
    best = sorted(weights.items(), key=lambda item: -item[1][0])[:_INFORMATIVE]
    return tuple(
        Evidence(line=number, text=shown(text)[:_SHOWN], source=source)
        for text, (_, number, source) in sorted(best, key=lambda item: item[1][1])
    )
