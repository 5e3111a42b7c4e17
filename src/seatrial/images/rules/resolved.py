"""image/unsatisfiable, image/no-such-version: what a resolver says about the requests of one install."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from seatrial.findings import Rule
from seatrial.images import edit
from seatrial.images.rules.verdict import Verdict, verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from seatrial.findings import Edit, Fix, Severity
    from seatrial.images.solving.model import Change, Conflict
    from seatrial.images.story.model import Install, Request
    from seatrial.images.timeline.model import Resolved, Timeline

UNSATISFIABLE = Rule(
    id="image/unsatisfiable",
    severity="error",
    title="No set of versions satisfies what one install asks for",
    explanation=(
        "The requests of one command, or what the packages need themselves, exclude each other, so pip or uv ends with "
        "an error. The message names the shortest chain of requirements that contradict each other. A warning where the "
        "command may not run. The alternatives were resolved again and work; the first one changes the least."
    ),
    source="https://pip.pypa.io/en/stable/topics/dependency-resolution/",
    example="RUN pip install vllm==0.8.5 torch==2.7.1\n",
)

NO_SUCH_VERSION = Rule(
    id="image/no-such-version",
    severity="error",
    title="A version is asked for that the index does not have",
    explanation=(
        "The package index has no such release, or none for the Python or the platform of the image, and an installer "
        "stops there. A warning where the base image is not known: it may be configured for another index."
    ),
    source="https://packaging.python.org/en/latest/specifications/simple-repository-api/",
    example="torch==2.7.9\n",
)

NOT_RESOLVED = Rule(
    id="image/not-resolved",
    severity="note",
    title="What an install brings could not be resolved",
    explanation=(
        "The package index could not be asked, or what is asked for cannot be known without running code of the project "
        "or of a source distribution, which a check never does. Conflicts that only a resolver sees may be there."
    ),
    source="docs/explanation/facts.md",
    example="RUN pip install git+https://github.com/example/project\n",
)

RULES = (UNSATISFIABLE, NO_SUCH_VERSION, NOT_RESOLVED)


def check(timeline: Timeline) -> list[Verdict]:
    """What could not be resolved; nothing where no resolver was asked."""
    found = []
    for one in timeline.moments:
        if one.resolved is None:
            continue
        if one.resolved.conflict is not None:
            found.append(_about(one.resolved, one.resolved.conflict, one.install, timeline.python.version))
        elif one.resolved.reason:
            found.append(
                verdict(NOT_RESOLVED, "note", one.install.at, f"not resolved: {one.resolved.reason}")
            )
    return found


def _about(resolved: Resolved, conflict: Conflict, install: Install, python: str) -> Verdict:
    rule = UNSATISFIABLE if conflict.kind == "conflict" else NO_SUCH_VERSION
    involved = [resolved.asked[one] for one in conflict.asks if one in resolved.asked]
    severity: Severity = "error" if install.certain and not resolved.doubt else "warning"
    where = f" on Python {python}" if python and conflict.kind == "python" else ""
    words = conflict.message + (where if where not in conflict.message else "")
    made = verdict(
        rule,
        severity,
        involved[-1].at if involved else install.at,
        words + (f" ({resolved.doubt})" if resolved.doubt else ""),
        about=[one.name for one in involved],
        cause="; ".join(str(link) for link in conflict.chain),
    )
    changes = resolved.changes
    if changes is None:
        return made
    return msgspec.structs.replace(
        made, later=lambda: [as_fix(change, resolved.asked) for change in changes()]
    )


def as_fix(change: Change, asked: Mapping[str, Request]) -> Fix | None:
    """The edits of a change; None where one of its requests cannot be edited."""
    edits: list[Edit | None] = []
    words: list[str] = []
    for one in change.edits:
        request = asked.get(one.ask)
        if request is None:
            return None
        if one.specifier is None:
            edits.append(edit.remove(request))
            words.append(f"do not ask for {request.name}")
        elif one.specifier.startswith("==") and "," not in one.specifier:
            edits.append(edit.pin(request, one.specifier[2:]))
            words.append(f"pin {request.name} to {one.specifier[2:]}")
        else:
            edits.append(edit.specify(request, one.specifier))
            words.append(f"ask for {request.name}{one.specifier}")
    title = " and ".join(words)
    return edit.fix(title[:1].upper() + title[1:], edits)
