"""Commands that no shell can parse.

The grammar decides what is in doubt, the shells themselves what is wrong: an error is only said where every shell at
hand that `sh` or `bash` may be refuses the command.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from seatrial.builds.rules.quoting import quoted
from seatrial.errors import MissingToolError
from seatrial.findings import Fix, Rule
from seatrial.processes import find, run
from seatrial.sources.shell import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.builds.rules.look import Command, Look
    from seatrial.findings import Finding

_SOURCE = "https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html"

RULES: tuple[Rule, ...] = (
    Rule(
        id="buildspec/shell-syntax",
        severity="error",
        title="The shell cannot parse a command",
        explanation=(
            "The command fails before any of it runs, with a message such as `unexpected EOF while looking for matching "
            "quote`. Mostly a quote or an `fi` is missing, or YAML took a part of the command away: ` #` begins a "
            "comment, and `>` joins lines."
        ),
        source=_SOURCE,
        example='version: 0.2\nphases:\n  pre_build:\n    commands:\n      - echo "Logging in\n',
    ),
    Rule(
        id="buildspec/open-heredoc",
        severity="warning",
        title="A here-document does not end",
        explanation=(
            "Each item of `commands` is a command of its own, so a here-document must begin and end in the same item, "
            "best in a `|` block, and the word that ends it must stand alone on its line without blanks before it."
        ),
        source=f"{_SOURCE}#tag_19_07_04",
        example="version: 0.2\nphases:\n  build:\n    commands:\n      - cat <<EOF > settings\n      - a=1\n      - EOF\n",
    ),
)

_ENDS = re.compile(r"\s*(?:fi|done|esac|then|else|elif|do|\})(?=[\s;]|$)")
_HEREDOC = re.compile(r"(?<!<)<<(?P<dash>-?)[ \t]*(?P<quote>['\"]?)\\?(?P<word>[A-Za-z_][\w.]*)(?P=quote)")
_LINE = re.compile(r"(?:line (\d+):|^[^:\n]*: (\d+): )", re.MULTILINE)
_WAIT = 10.0
_MOST_ITEMS = 30


def check(look: Look) -> Iterator[Finding]:
    """Each command that cannot be parsed, and each here-document without an end."""
    if not look.is_posix:
        return
    for command in look.commands:
        text = command.text
        if "<<" in text:
            found = _open_document(look, command)
            if found is not None:
                yield found
                continue
        if is_doubtful(text):
            complaint = refusal(text, look.shell)
            if complaint is not None:
                yield _refused(look, command, *complaint)


@lru_cache(maxsize=8192)
def is_doubtful(text: str) -> bool:
    """Whether the grammar does not read all of a text."""
    return _ENDS.match(text) is not None or parse(text).has_error


@lru_cache(maxsize=2048)
def refusal(text: str, shell: str) -> tuple[str, int] | None:
    """What the shell says against a text and on which of its lines; None where a shell that it may be takes it."""
    said: tuple[str, int] | None = None
    for argv in _shells(shell):
        # `-n`: the text is parsed, nothing of it runs. Without the caller's variables, BASH_ENV cannot name a file to run.
        # Not run, `shopt -s extglob` has no effect on what follows it.
        wide = ("-O", "extglob") if "extglob" in text and "--norc" in argv else ()
        answer = run(
            (argv[0], *argv[1:-1], *wide, "-n"), env={"LC_ALL": "C"}, stdin=f"{text}\n", timeout=_WAIT
        )
        if answer.code == 0:
            return None
        if said is None:
            said = _complaint(answer.stderr)
    return said


@cache
def _shells(shell: str) -> tuple[tuple[str, ...], ...]:
    """Each parser at hand; `sh` is dash in one image and bash in another."""
    wanted = (
        [("bash", "--norc", "-n")]
        if shell == "bash"
        else [("bash", "--norc", "--posix", "-n"), ("dash", "-n")]
    )
    found = [(path, *options) for name, *options in wanted if (path := _path(name))]
    own = _path("sh")
    return tuple(found) or (((own, "-n"),) if own else ())


def _path(name: str) -> str:
    try:
        return find(name)
    except MissingToolError:
        return ""


def _complaint(stderr: str) -> tuple[str, int]:
    first = next((one for one in stderr.splitlines() if one.strip()), "syntax error")
    found = _LINE.search(first)
    line = int(found[1] or found[2]) if found else 1
    message = first[found.end() :].strip() if found else first
    return message or "syntax error", line


def _refused(look: Look, command: Command, said: str, line: int) -> Finding:
    line, cause, fix = _repair(look, command, min(line, command.text.count("\n") + 1))
    start = command.line_offset(line)
    end = look.source.text.find("\n", start)
    span = (start, end if end >= 0 else len(look.source.text))
    return look.within(
        "shell-syntax", "error", span, f"{look.shell} cannot parse this command: {said}",
        cause=cause, source=_SOURCE, fix=fix,
    )  # fmt: skip


def _repair(look: Look, command: Command, line: int) -> tuple[int, str, Fix | None]:
    """The line that is wrong, the likely cause, and a change after which the shell takes the command."""
    source = look.source
    comment = _cut_off(look, command)
    if comment:
        whole = f"{command.text}{comment}"
        cause = "` #` begins a comment in YAML, so the command ends before it"
        if refusal(whole, look.shell) is None:
            begin = command.begin
            indent = source.position(begin)[1] - 1
            edits = (look.edit(begin, begin + len(whole), quoted(whole, indent)),)
            return line, cause, Fix(title="quote the command", safe=True, edits=edits)
        return line, cause, None
    if command.style == ">":
        begin = command.begin
        block = "\n".join(
            one.strip(" ") for one in source.text[command.content : command.node.end].split("\n")
        )
        if refusal(block, look.shell) is None:
            fix = Fix(title="use | instead of >", safe=True, edits=(look.edit(begin, begin + 1, "|"),))
            return line, "`>` joins lines with blanks; `|` keeps them", fix
        return line, "", None
    lines = command.text.split("\n")
    for number in dict.fromkeys((line, *range(1, len(lines) + 1))):
        closed = _close_quote(look, command, lines, number)
        if closed is not None:
            return number, *closed
    return line, *_continued(look, command)


def _continued(look: Look, command: Command) -> tuple[str, Fix | None]:
    """A command that goes on in the items after it: `if …; then`, its body, `fi`."""
    later = [
        one for one in look.commands
        if (one.phase, one.kind) == (command.phase, command.kind) and one.index > command.index
    ]  # fmt: skip
    for count in range(1, min(len(later), _MOST_ITEMS) + 1):
        members = [command, *later[:count]]
        if not is_doubtful("\n".join(one.text for one in members)):
            cause = f"it goes on in the next {count} items of the list, and each item is a command of its own"
            return cause, _joined(look, members)
    return "", None


def _cut_off(look: Look, command: Command) -> str:
    """What stands behind a plain scalar on its line: a comment to YAML."""
    if command.style or "\n" in look.source.text[command.begin : command.node.end]:
        return ""
    line, _ = look.source.position(command.begin)
    end = look.source.starts[line - 1] + len(look.source.line(line))
    behind = look.source.text[command.begin + len(command.text) : end].rstrip()
    return behind if behind.lstrip().startswith("#") else ""


def _close_quote(look: Look, command: Command, lines: list[str], line: int) -> tuple[str, Fix | None] | None:
    """Close a quote at the end of a line, where that is all that is missing."""
    for quote in ('"', "'", "`"):
        if lines[line - 1].count(quote) % 2 == 0:
            continue
        changed = [*lines]
        changed[line - 1] = f"{lines[line - 1]}{quote}"
        if is_doubtful("\n".join(changed)) or refusal("\n".join(changed), look.shell) is not None:
            continue
        cause = f"the {_NAMES[quote]} is opened and not closed"
        if command.style not in ("", "|") or (command.style == "" and "\n" in _raw(look, command)):
            return cause, None
        end = command.begin + len(command.text)
        if command.style == "|":
            start = command.line_offset(line)
            stop = look.source.text.find("\n", start)
            end = start + len(look.source.text[start : stop if stop >= 0 else len(look.source.text)].rstrip())
        return cause, Fix(title=f"close the {_NAMES[quote]}", safe=True, edits=(look.edit(end, end, quote),))
    return None


_NAMES = {'"': "double quote", "'": "single quote", "`": "backquote"}


def _raw(look: Look, command: Command) -> str:
    return look.source.text[command.begin : command.node.end].rstrip()


def _open_document(look: Look, command: Command) -> Finding | None:
    for found in _HEREDOC.finditer(command.text):
        before = command.text[: found.start()]
        if before.count("((") > before.count("))") or _is_quoted(before):
            continue
        rest = command.text[found.end() :].split("\n")[1:]
        ends = (one.lstrip("\t") if found["dash"] else one for one in rest)
        if found["word"] in ends:
            continue
        return _unended(look, command, found, rest)
    return None


def _is_quoted(before: str) -> bool:
    line = before.rsplit("\n", 1)[-1]
    return line.count('"') % 2 == 1 or line.count("'") % 2 == 1 or "#" in line


def _unended(look: Look, command: Command, found: re.Match[str], rest: list[str]) -> Finding:
    name = found["word"]
    start = command.offset(found.start())
    span = (start, start + len(found[0]))
    message = f"the here-document does not end: no line is {name} alone"
    near = [one for one in rest if one.strip() == name]
    if near:
        fix = None
        if command.style == "|" and not found["dash"] and all(one.rstrip() == one for one in near):
            fix = _dedent(look, command, name)
        cause = f"the {name} that is there has blanks before or after it"
        return look.within(
            "open-heredoc", "warning", span, message, cause=cause, source=RULES[1].source, fix=fix
        )
    later = [
        one for one in look.commands
        if (one.phase, one.kind) == (command.phase, command.kind) and one.index > command.index
    ]  # fmt: skip
    at = next((index for index, one in enumerate(later) if one.text.strip() == name), None)
    if at is None:
        return look.within("open-heredoc", "warning", span, message, source=RULES[1].source,
                           cause="the shell takes everything up to the end of the command")  # fmt: skip
    members = [command, *later[: at + 1]]
    return look.within(
        "open-heredoc", "error", span, f"{message}; {name} is a command of its own, which is not found",
        cause="each item of the list is a command of its own; a here-document cannot go on in the next",
        source=RULES[1].source, fix=_joined(look, members),
    )  # fmt: skip


def _dedent(look: Look, command: Command, name: str) -> Fix | None:
    line = next((n for n, one in enumerate(command.text.split("\n"), 1) if one.strip() == name), 0)
    if not line:
        return None
    start = command.line_offset(line)
    column = look.source.position(command.line_offset(1))[1] - 1
    begin = look.source.starts[look.source.position(start)[0] - 1]
    edits = (look.edit(begin, start, " " * column),)
    return Fix(title=f"put {name} at the left of the block", safe=False, edits=edits)


def _joined(look: Look, members: list[Command]) -> Fix | None:
    """One `|` block of several items."""
    if any(one.style in ("|", ">") or "\n" in one.text for one in members):
        return None
    between = look.source.text[members[0].begin : members[-1].node.end]
    if "#" in between.replace(members[0].text, ""):
        return None
    indent = look.source.position(members[0].begin)[1] - 1
    text = quoted("\n".join(one.text for one in members) + "\n", indent)
    edits = (look.edit(members[0].begin, members[-1].node.end, text),)
    return Fix(title=f"make one command of these {len(members)} items", safe=True, edits=edits)
