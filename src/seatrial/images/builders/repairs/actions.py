"""From a case to the fixes that may help, the surest first."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from seatrial.images.builders.repairs import dockerfile_text, project_files, python_packages, system_packages
from seatrial.images.builders.repairs.tables import ways

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from seatrial.images.builders.repairs.case import Case, Fix
    from seatrial.images.builders.repairs.tables import Way

    Action = Callable[[Case, Way], Iterator[Fix | None]]

ACTIONS: dict[str, Action] = {
    function.__name__: function
    for function in (
        system_packages.packages,
        system_packages.update_first,
        system_packages.renamed,
        system_packages.unpinned,
        system_packages.assume_yes,
        system_packages.no_questions,
        system_packages.archive_mirror,
        python_packages.break_system_packages,
        python_packages.newer_pip,
        python_packages.older_setuptools,
        python_packages.build_dependency,
        python_packages.nearest_version,
        python_packages.named_instead_of_wheel,
        project_files.name_as_on_disk,
        project_files.not_ignored,
        project_files.copy_first,
        project_files.unix_lines,
        project_files.executable,
        project_files.as_root,
        dockerfile_text.bash,
        dockerfile_text.continued,
        dockerfile_text.spelled,
        dockerfile_text.stage_name,
        dockerfile_text.utf8,
        dockerfile_text.trusted_folder,
        dockerfile_text.npm_install,
    )
}
CONFLICT = "conflict"
"""The action that is not here: `image check` knows how to remove conflicts of requirements, and is above images."""


def propose(case: Case, conflict: Callable[[Case], Iterator[Fix]]) -> Iterator[Fix]:
    """Fixes for the case's cause, in the order of the table; none when nobody knows one."""
    for way in ways():
        if way.cause != case.cause.id:
            continue
        said = f"{case.evidence}\n{case.cause.title}"
        if way.pattern and not re.search(way.pattern, said):
            continue
        if way.log and not re.search(way.log, case.log, re.MULTILINE):
            continue
        if way.action == CONFLICT:
            yield from conflict(case)
            continue
        for fix in ACTIONS[way.action](case, way):
            if fix is not None:
                yield msgspec.structs.replace(fix, cause=way.known_as)
