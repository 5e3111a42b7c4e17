"""Application specifications."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.checking.syntax import in_conflict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seatrial.checking.subject import Subject
    from seatrial.findings import Finding
    from seatrial.sources.text import Source

# Cheap, before a file is read once more: a buildspec has none of these at the top level.
_MAY_BE = re.compile(r"""^["']?(?:os|files|Resources)["']?[ \t]*:""", re.MULTILINE | re.IGNORECASE)


def check(subjects: Sequence[Subject]) -> list[Finding]:
    """Findings about application specifications: what AWS refuses, ignores, or does otherwise than meant."""
    specs = [one for one in subjects if one.recognised.kind == "appspec" and not in_conflict(one.source)]
    if not specs:
        return []
    from seatrial.deployments.appspec.reading import read
    from seatrial.deployments.appspec.rules import check as look_at
    from seatrial.deployments.appspec.rules.look import Beside

    found = []
    for one in specs:
        reading = read(one.source, one.appspecs.platform)
        beside = Beside(one.folder, one.source.path.count("/"), one.read)
        found += look_at(one.source, reading, beside)
    return found


def in_buildspec_place(source: Source) -> list[Finding]:
    """One finding where a file that is named as a buildspec is an application specification; else none."""
    if not _MAY_BE.search(source.text):
        return []
    from seatrial.builds.reading import read
    from seatrial.deployments.appspec.kind import is_appspec
    from seatrial.sources.text import finding

    reading = read(source)
    if reading.document is None or not is_appspec(reading.document.root) or not reading.refusals:
        return []
    first = reading.refusals[0]
    place = source.place(source.offset((first.line, first.column)))
    return [
        finding(
            "appspec/in-buildspec-place",
            "error",
            place,
            first.message,
            cause="this is an application specification, which CodeDeploy reads; name it appspec.yml, and give "
            "CodeBuild a file with `version: 0.2` and `phases`",
            source=first.source,
        )
    ]
