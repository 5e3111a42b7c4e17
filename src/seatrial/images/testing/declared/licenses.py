"""Search license files for words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.images.testing.declared.files import find, read
from seatrial.images.testing.declared.model import LicenseTest, Problem, answer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.images.testing.model import Check, Subject

_DOCUMENTATION = "/usr/share/doc"


def check(subject: Subject, test: LicenseTest) -> Check:
    """Every Debian package's copyright file and the named files are there and have none of the words."""
    packages = list(_packages(subject, test)) if test.debian else []
    problems = _problems(subject, test, packages)
    return answer(
        test.id,
        f"{len(packages) + len(test.files)} license files have none of {', '.join(test.deny)}",
        problems,
    )


def _packages(subject: Subject, test: LicenseTest) -> Iterator[str]:
    """Folders of packages; a link is a package that has its documentation elsewhere."""
    top = _DOCUMENTATION.strip("/") + "/"
    for path, (_, entry) in sorted(subject.tree.items()):
        name = path.removeprefix(top)
        if path.startswith(top) and "/" not in name and entry.kind == "d" and name not in test.allow:
            yield name


def _problems(subject: Subject, test: LicenseTest, packages: list[str]) -> Iterator[Problem]:
    if test.debian and find(subject, _DOCUMENTATION, engine=test.engine) is None:
        yield f"{_DOCUMENTATION} does not exist: there are no Debian packages with documentation", test.where
    for file in (*(f"{_DOCUMENTATION}/{name}/copyright" for name in packages), *test.files):
        content, trouble = read(subject, file, engine=test.engine)
        upper = content.upper()
        words = [word for word in test.deny if word.upper() in upper]
        if trouble:
            yield trouble, test.where
        elif words:
            yield f"{file} must not have {' or '.join(test.deny)}, got {', '.join(words)}", test.where
