"""What YAML does to commands that are valid."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from seatrial.builds.rules.shell import is_doubtful
from seatrial.findings import Fix, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.builds.rules.look import Command, Look
    from seatrial.findings import Finding

_SOURCE = "https://yaml.org/spec/1.1/#id926836"

RULES: tuple[Rule, ...] = (
    Rule(
        id="buildspec/folded-lines",
        severity="warning",
        title="Several commands are joined to one",
        explanation=(
            "`>`, and a text that goes on in the next line, become one line with blanks. Where the lines were meant as "
            "commands, all but the first are arguments of the first. A `|` block keeps the lines."
        ),
        source=_SOURCE,
        example="version: 0.2\nphases:\n  build:\n    commands:\n      - >\n        echo one\n        make all\n",
    ),
)

_SHOWN = 40
_STARTS = re.compile(
    r"(?:sudo |echo |cd |export |docker |aws |npm |npx |yarn |pip3? |python3? |make |mkdir |cp |mv |rm |git |curl |wget |"
    r"terraform |kubectl |helm |sam |cdk |apt-get |yum |dnf |chmod |source |set -|if \[|for \w+ in |while |printf |test |"
    r"ls |cat |tar |unzip |zip |mvn |gradle |\./\w|[A-Za-z_]\w*=\S*$|[A-Za-z_]\w*=\$\()"
)
_GOES_ON = re.compile(r"(?:&&|\|\|?|;|\\|\bdo|\bthen|\belse|\{|\(|,|&)\s*$")
_ARGUMENT = re.compile(r"""\s(?:-\w*|--[\w-]+=?|[|&<>"'])\s*$""")
# Programs whose arguments are commands.
_WRAPPERS = re.compile(
    r"^\s*(?:ssh|xargs|docker|podman|env|timeout|time|nohup|sudo|sh|bash|kubectl|parallel|aws)\b"
)


def check(look: Look) -> Iterator[Finding]:
    """Each command of which YAML joins lines that look like commands."""
    if not look.is_posix:
        return
    for command in look.commands:
        raw = look.source.text[command.content : command.node.end]
        if command.style in ("|", "'", '"') or "\n" not in raw.strip():
            continue
        found = _joined(look, command, raw)
        if found is not None:
            yield found


def _joined(look: Look, command: Command, raw: str) -> Finding | None:
    lines = [one.strip() for one in raw.strip("\n").split("\n")]
    if any(not one for one in lines) or _WRAPPERS.match(lines[0]):
        return None
    depth_text = ""
    for number, (one, following) in enumerate(pairwise(lines), 1):
        depth_text += f"{one}\n"
        if _GOES_ON.search(one) or _ARGUMENT.search(one) or not _STARTS.match(following):
            continue
        if is_doubtful(depth_text):
            continue  # within quotes or a loop
        at = command.line_offset(1)
        return look.within(
            "folded-lines", "warning", (at, at + len(lines[0])),
            f"YAML joins these {len(lines)} lines to one command; line {number + 1} of it, {_short(following)!r}, is an argument",
            cause="`>` joins lines with blanks" if command.style == ">" else "a plain text goes on in the next line",
            source=_SOURCE, fix=_keep(look, command),
        )  # fmt: skip
    return None


def _keep(look: Look, command: Command) -> Fix | None:
    if command.style != ">":
        return None
    edits = (look.edit(command.begin, command.begin + 1, "|"),)
    return Fix(title="use | instead of >", safe=False, edits=edits)


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}…"
