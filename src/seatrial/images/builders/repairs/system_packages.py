"""Repairs with packages of the system: what is missing is installed, and apt is used as it must be."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.images.builders.repairs import editing
from seatrial.images.builders.repairs.tables import names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.images.builders.repairs.case import Case, Fix
    from seatrial.images.builders.repairs.tables import Way

_WORD = re.compile(r"[A-Za-z0-9_+][\w.+/-]*")
_CAPTURES = ("header", "command", "tool", "interpreter", "library", "module")
# The lists that come with an image are never there, and those of an earlier step may be of another day.
_INSTALL = re.compile(r"(?<![\w-])(apt(?:-get)?)(\s+(?:-\S+\s+)*install\b)")


def packages(case: Case, way: Way) -> Iterator[Fix | None]:
    """Install what is missing."""
    kind = editing.manager(case)
    captured = [case.captured(name) for name in _CAPTURES]
    said = [way.name, *captured, *_WORD.findall(case.evidence), way.otherwise]
    for missing in dict.fromkeys(one for one in said if one):
        # A program that the build names by its path belongs to the project.
        if (
            "/" in missing
            and missing.startswith(("/", "."))
            and not missing.startswith(("/usr/bin/", "/bin/"))
        ):
            continue
        found = names().packages(way.tables, missing, kind)
        if found:
            called = {"pip-module": "pip", "certificates": "the certificates of public servers"}.get(
                missing, missing
            )
            yield editing.install(case, found, f"{called} is missing")
            return


def update_first(case: Case, _way: Way) -> Iterator[Fix | None]:
    """`apt-get update` in the same step as the install."""

    def edit(text: str) -> str:
        first = _INSTALL.search(text)
        if first is None or re.search(r"apt(?:-get)?\s+(?:-\S+\s+)*update\b", text[: first.start()]):
            return text
        return f"{text[: first.start()]}{first[1]} update && {text[first.start() :]}"

    yield editing.within(case, "Fetch the package lists in the step that installs", edit)


def renamed(case: Case, _way: Way) -> Iterator[Fix | None]:
    """A package that the distribution has under another name today."""
    old = _unquoted(case.captured("package"))
    new = names().renamed.get(old)
    if new:
        yield _reworded(case, f"Install {new} instead of {old}, which this release does not have", old, new)


def unpinned(case: Case, _way: Way) -> Iterator[Fix | None]:
    """A version that the mirror no longer has: Debian keeps the newest of a release alone."""
    old = _unquoted(case.captured("package"))
    if old and case.failed is not None:
        pattern = re.compile(rf"(?<![\w.+-]){re.escape(old)}=[^\s;&|\\]+")
        yield editing.within(
            case, f"Install {old} in the version that the release has", lambda text: pattern.sub(old, text)
        )


def assume_yes(case: Case, _way: Way) -> Iterator[Fix | None]:
    """Nobody is there to answer."""

    def edit(text: str) -> str:
        return _INSTALL.sub(lambda found: found[0] if _says_yes(text, found) else f"{found[0]} -y", text)

    yield editing.within(case, "Answer apt-get's question with -y", edit)


def no_questions(case: Case, _way: Way) -> Iterator[Fix | None]:
    """Debconf takes defaults; a variable of this step alone stays out of the image."""

    def edit(text: str) -> str:
        if "DEBIAN_FRONTEND" in text:
            return text
        return _INSTALL.sub(r"DEBIAN_FRONTEND=noninteractive \1\2", text)

    yield editing.within(case, "Let packages take their defaults instead of asking", edit)


def archive_mirror(case: Case, _way: Way) -> Iterator[Fix | None]:
    """A release that is no longer kept on the mirrors is in the archive. Source: Debian, "Distribution Archives"."""
    if editing.manager(case) != "apt" or case.failed is None:
        return
    ubuntu = "ubuntu" in case.log
    if not re.search(r"404|no longer has|does not have a Release|expired", case.evidence):
        return
    host = (
        r"\(archive\|security\|ports\).ubuntu.com"
        if ubuntu
        else r"\(deb\|security\|httpredir\|ftp\).debian.org"
    )
    to = "old-releases.ubuntu.com" if ubuntu else "archive.debian.org"
    line = (
        rf"RUN sed -i -e 's#://{host}#://{to}#g' -e '/-updates/d' "
        "$(find /etc/apt -name '*.list' -o -name '*.sources') && "
        "echo 'Acquire::Check-Valid-Until \"false\";' > /etc/apt/apt.conf.d/99archive"
    )
    yield editing.before(case, f"Take the packages of a release that has ended from {to}", [line], root=True)


def _says_yes(text: str, found: re.Match[str]) -> bool:
    rest = re.split(r"[;&|]", text[found.start() :], maxsplit=1)[0]
    return re.search(r"\s(?:-\w*y\w*|--yes|--assume-yes)(?=\s|$)", f"{rest} ") is not None


def _reworded(case: Case, title: str, old: str, new: str) -> Fix | None:
    pattern = re.compile(rf"(?<![\w.+/-]){re.escape(old)}(?:=[^\s;&|\\]+)?(?![\w.+-])")
    return editing.within(case, title, lambda text: pattern.sub(new, text))


def _unquoted(text: str) -> str:
    return text.strip("'\"\u2018\u2019")
