"""A judgement in lines that a person reads: what was decided, and every comparison with its numbers and its test."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seatrial.deployments.analysis.model import Judgement

_WORDS = {"pass": "good", "unclear": "unclear", "fail": "worse"}
_WIDEST = max(map(len, _WORDS.values()))


def explain(judgement: Judgement) -> list[str]:
    """The verdict, then one line for each comparison, those that decided first."""
    old, new = judgement.requests
    seen = f"{new:,} requests of the new version and {old:,} of the old one in {judgement.batches} stretches of time"
    found = judgement.comparisons
    counts = [
        f"{sum(one.state == state for one in found)} {word}"
        for state, word in (("fail", "worse"), ("unclear", "unclear"), ("pass", "good"))
        if any(one.state == state for one in found)
    ]
    # Without enough traffic there may be no comparison, or only some, and that is the reason.
    reason = judgement.why if judgement.why not in "; ".join(one.why for one in found) else ""
    return [
        f"{judgement.decision}: {', '.join(filter(None, (reason, *counts)))} ({seen})",
        *(
            f"{_WORDS[one.state]:{_WIDEST}}  {one.why if one.why.startswith(one.metric) else f'{one.metric}: {one.why}'}"
            + (f" [{one.test}]" if one.test else "")
            for one in found
        ),
    ]
