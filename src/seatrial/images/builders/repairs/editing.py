"""Small edits of a Dockerfile: before an instruction, inside its commands, and for packages of the system."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.images.builders.repairs.case import Fix
from seatrial.images.builders.repairs.project import Change
from seatrial.sources.edits import edited

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from seatrial.images.builders.repairs.case import Case
    from seatrial.sources.dockerfile_model import Instruction
    from seatrial.sources.edits import Span

_APT = re.compile(r"\bapt(?:-get)?\s+(?:-\S+\s+)*install\b")
_APT_WORDS = re.compile(
    r"\bapt(?:-get)?\s+(?:-\S+\s+)*install((?:[ \t]+|\\\r?\n[ \t]*)(?:-[^\s&;|]+|[A-Za-z0-9][A-Za-z0-9.+:=~*-]*))+"
)
_APK_WORDS = re.compile(
    r"\bapk\s+(?:-\S+\s+)*add((?:[ \t]+|\\\r?\n[ \t]*)(?:-[^\s&;|]+|[A-Za-z0-9][A-Za-z0-9.+=~-]*))+"
)
_DNF_WORDS = re.compile(
    r"\b(?:micro)?(?:dnf|yum)\s+(?:-\S+\s+)*install((?:[ \t]+|\\\r?\n[ \t]*)(?:-[^\s&;|]+|[A-Za-z0-9][A-Za-z0-9.+-]*))+"
)
_MANAGERS = {
    "apk": (_APK_WORDS, "apk add --no-cache {}"),
    "dnf": (_DNF_WORDS, "{tool} install -y {} && {tool} clean all"),
    "apt": (_APT_WORDS, "apt-get update && apt-get install -y --no-install-recommends {} && rm -rf /var/lib/apt/lists/*"),
}  # fmt: skip


def changed(case: Case, title: str, spans: Sequence[Span]) -> Fix | None:
    """The fix that edits the Dockerfile so; None when nothing would change."""
    source = case.dockerfile.source
    after = edited(source, spans)
    if after.text == source.text:
        return None
    return Fix(title=title, changes=(Change(path=case.project.dockerfile, content=after.encoded()),))


def before(case: Case, title: str, lines: Sequence[str], *, root: bool = False) -> Fix | None:
    """Lines of their own before the instruction that failed; as root where they must be and the user is another."""
    if case.failed is None:
        return None
    newline = case.dockerfile.source.newline
    user = user_at(case, case.failed)
    if root and user not in ("", "root", "0"):
        lines = ["USER root", *lines, f"USER {user}"]
    at = case.failed.start
    return changed(case, title, [(at, at, "".join(f"{line}{newline}" for line in lines))])


def within(case: Case, title: str, edit: Callable[[str], str], *, every: bool = False) -> Fix | None:
    """Change the text of the instruction that failed, or of every RUN."""
    chosen = [one for one in case.dockerfile.instructions if one.keyword == "RUN"] if every else [case.failed]
    spans = []
    for one in chosen:
        if one is not None:
            old = case.dockerfile.source.text[one.start : one.end]
            new = edit(old)
            if new != old:
                spans.append((one.start, one.end, new))
    return changed(case, title, spans)


def stage_of(case: Case, one: Instruction) -> list[Instruction]:
    """The instructions of the stage that `one` is in, up to it."""
    found: list[Instruction] = []
    for other in case.dockerfile.instructions:
        if other.start >= one.start:
            break
        found = [other] if other.keyword == "FROM" else [*found, other]
    return found


def user_at(case: Case, one: Instruction) -> str:
    """The user that an instruction runs as, as the Dockerfile says; empty when it does not."""
    users = [other.body.text.strip() for other in stage_of(case, one) if other.keyword == "USER"]
    return users[-1] if users else ""


def manager(case: Case) -> str:
    """The package manager of the stage that failed: `apt`, `apk` or `dnf`."""
    stage = stage_of(case, case.failed) if case.failed else list(case.dockerfile.instructions)
    text = " ".join(one.body.text for one in [*stage, *([case.failed] if case.failed else [])])
    if re.search(r"\bapk\b|alpine", text):
        return "apk"
    if re.search(r"\b(?:micro)?dnf\b|\byum\b|amazonlinux|fedora|rockylinux|almalinux|\bubi\d?|centos", text):
        return "dnf"
    return "apt"


def install(case: Case, packages: Sequence[str], why: str) -> Fix | None:
    """Install packages of the system before the failing step: in a step that installs some already, else in one more."""
    if case.failed is None or not packages:
        return None
    kind = manager(case)
    pattern, command = _MANAGERS[kind]
    source, title = case.dockerfile.source, f"Install {', '.join(packages)}: {why}"
    for one in reversed(stage_of(case, case.failed)):
        if one.keyword != "RUN" or one.json is not None:
            continue
        text = source.text[one.start : one.end]
        found = list(pattern.finditer(text))
        if found:
            at = one.start + found[-1].end()
            missing = [name for name in packages if name not in found[-1][0].split()]
            return changed(case, title, [(at, at, "".join(f" {name}" for name in missing))])
    tool = "microdnf" if "microdnf" in source.text else "yum" if re.search(r"\byum\b", source.text) else "dnf"
    # str.format would read braces in nothing of ours: packages come from our own tables.
    line = command.replace("{tool}", tool).replace("{}", " ".join(packages))
    return before(case, title, [f"RUN {line}"], root=True)


def apt_installs(text: str) -> bool:
    """Whether a command installs packages with apt."""
    return _APT.search(text) is not None
