"""What is said about each buildspec of public projects that was wrong, as a table."""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING

import msgspec

from seatrial.builds.rules import check
from seatrial.sources.text import Source, read

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


# What is known to be refused, by what was written down about a file, and the rule that must say so.
REFUSED = (
    (re.compile(r"commands\[\d+\] is dict"), "buildspec/command-type"),
    (re.compile(r"^YAML: "), "source/yaml-syntax"),
    (re.compile(r"invalid phase"), "buildspec/phase-name"),
    (re.compile(r"no version; unknown"), "buildspec/version"),
    (re.compile(r"empty file"), "buildspec/no-mapping"),
)
# What is accepted and odd, and the rule that names it. `phases` is missing, `files` is one text, …
ODD = (
    (re.compile(r"post_build no commands"), "buildspec/no-commands"),
    (re.compile(r"artifacts\.files is str"), "buildspec/text-for-list"),
    (re.compile(r"unknown top key eb_codebuild_settings"), "buildspec/other-tools-key"),
    (re.compile(r"unknown (?:top )?key (?!environment_variables)|unknown key"), "buildspec/misplaced-key"),
    (re.compile(r"no phases"), "buildspec/no-phases"),
    (re.compile(r"^no version$"), "buildspec/no-version"),
    (re.compile(r"pre_build is "), "buildspec/phase-shape"),
)


class Row(msgspec.Struct, frozen=True):
    """One file: what was wrong, the rule that must say it, and what was said.

    `following`: its next version is there and differs. `mended`: the lines of it that the next version changed, where
    that has fewer findings; `named`: what is expected was said, or something about one of those lines.
    """

    file: str
    problem: str
    expected: str
    refused: bool
    found: tuple[str, ...]
    errors: tuple[str, ...]
    following: bool
    mended: tuple[int, ...]
    named: bool

    @property
    def is_right(self) -> bool:
        """What must be said was said, and nothing is an error where CodeBuild takes the file."""
        return (not self.expected or self.expected in self.found) and bool(self.errors) >= self.refused


def rows(cases: Path) -> Iterator[Row]:
    """Every buildspec of the list, with its next version where that is in the list too."""
    with (cases / "aws_broken.tsv").open(encoding="utf-8") as stream:
        listed = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    own = [one for one in listed if one["kind"] == "buildspec"]
    versions = {(one["repo"], one["path"], one["commit"]): one["file"] for one in own}
    for one in own:
        source = read(cases / "broken" / one["file"])
        following = versions.get((one["repo"], one["path"], one["next_commit"]))
        after = read(cases / "broken" / following) if following else None
        yield _row(one["file"], one["problem"], source, after)


def _row(file: str, problem: str, source: Source, after: Source | None) -> Row:
    findings = check(source)
    refused = next((rule for pattern, rule in REFUSED if pattern.search(problem)), "")
    expected = refused or next((rule for pattern, rule in ODD if pattern.search(problem)), "")
    following = after is not None and after.text != source.text
    mended: tuple[int, ...] = ()
    if after is not None and following and len(check(after)) < len(findings):
        mended = _changed(source, after)
    rules = {one.rule for one in findings}
    return Row(
        file,
        problem,
        expected,
        bool(refused),
        tuple(sorted(rules)),
        tuple(f"{one.line}: {one.message}" for one in findings if one.severity == "error"),
        following,
        mended,
        expected in rules or any(one.line in mended for one in findings),
    )


def _changed(source: Source, after: Source) -> tuple[int, ...]:
    """The lines of a file that its next version changed, and those right beside an insertion."""
    import difflib

    old, new = source.text.splitlines(), after.text.splitlines()
    lines: set[int] = set()
    for tag, first, last, _, _ in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag != "equal":
            lines |= set(range(first + 1, last + 1)) or {first, first + 1}
    return tuple(sorted(lines))


def markdown(found: list[Row]) -> str:
    """The table for people."""
    lines = ["| file | what was wrong | must be said by | said | errors |", "|---|---|---|---|---|"]
    for one in found:
        cells = (
            one.file,
            one.problem[:90],
            one.expected or "—",
            ", ".join(one.found),
            "; ".join(one.errors)[:200],
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines) + "\n"
