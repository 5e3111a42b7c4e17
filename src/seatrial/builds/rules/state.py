"""What one command leaves behind for the next: less than in a script.

In 0.2 each command runs in a shell of its own to which the variables and the folder of the one before are given back;
in 0.1 nothing is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.builds.refusals import SPEC
from seatrial.findings import Fix, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.builds.rules.look import Command, Look
    from seatrial.findings import Finding

_SOURCE = "https://docs.aws.amazon.com/codebuild/latest/userguide/build-env-ref-env-vars.html"

RULES: tuple[Rule, ...] = (
    Rule(
        id="buildspec/lost-function",
        severity="warning",
        title="A function or alias is used in another command",
        explanation=(
            "Each command runs in a new shell. Variables and the folder are carried over, functions and aliases are "
            "not. Define and use them in one `|` block, or put them into a file and read it with `.`."
        ),
        source=SPEC,
        example='version: 0.2\nphases:\n  build:\n    commands:\n      - say() { echo "$1"; }\n      - say hello\n',
    ),
    Rule(
        id="buildspec/lost-option",
        severity="warning",
        title="A shell option ends with its command",
        explanation=(
            "`set -e` and `set -o pipefail` hold for the command they are in, and each command is a new shell. A failing "
            "command ends its phase anyway; within a `|` block the option must be in the block."
        ),
        source=SPEC,
        example="version: 0.2\nphases:\n  build:\n    commands:\n      - set -e\n      - make\n",
    ),
    Rule(
        id="buildspec/exit-saves-nothing",
        severity="note",
        title="exit 0 ends one command, not the build",
        explanation=(
            "After `exit 0` the next command runs as if nothing had been said, and the variables and the folder that "
            "this command set are not carried over."
        ),
        source=SPEC,
        example='version: 0.2\nphases:\n  build:\n    commands:\n      - if [ -z "$TAG" ]; then exit 0; fi\n      - make\n',
    ),
    Rule(
        id="buildspec/nothing-survives",
        severity="warning",
        title="Version 0.1 carries nothing over",
        explanation=(
            "In version 0.1 every command starts in the source folder with the variables of the project. A `cd` or an "
            "`export` that stands alone has no effect. Version 0.2 carries both over."
        ),
        source=f"{SPEC}#build-spec.version",
        example="version: 0.1\nphases:\n  build:\n    commands:\n      - cd app\n      - make\n",
    ),
)

_FUNCTION = re.compile(
    r"^[ \t]*(?:function[ \t]+([A-Za-z_]\w*)|([A-Za-z_]\w*)[ \t]*\([ \t]*\))[ \t\n]*(?:\(\))?[ \t\n]*[{(]",
    re.MULTILINE,
)
_ALIAS = re.compile(r"^[ \t]*alias[ \t]+([A-Za-z_][\w-]*)=", re.MULTILINE)
_OPTION = re.compile(r"\s*set(?:[ \t]+[-+][a-zA-Z]+(?:[ \t]+[a-z]+)?)+\s*;?\s*")
_TRACE = re.compile(r"\s*set\s+[-+][xv]+\s*")
_EXIT = re.compile(
    r"(?:^|[;&|({]|\bthen\b|\bdo\b|\belse\b)[ \t]*(?P<exit>exit)(?:[ \t]+0)?[ \t]*(?=$|[;)}\n|&])",
    re.MULTILINE,
)
_ALONE = re.compile(
    r"\s*(?:cd\s+\S+|(?:export\s+)?[A-Za-z_]\w*=(?:\S*|\"[^\"]*\"|'[^']*'|\$\(.*\))|pushd\s+\S+)\s*"
)


def check(look: Look) -> Iterator[Finding]:
    """Each command that counts on what an earlier one left."""
    if not look.is_posix:
        return
    if look.spec.version == "0.1":
        yield from _old(look)
    yield from _functions(look)
    for command in look.commands:
        following = [one for one in look.commands if one.phase == command.phase and one.index > command.index]
        if following and _OPTION.fullmatch(command.text):
            what = "tracing" if _TRACE.fullmatch(command.text) else "the option"
            yield look.at(
                "lost-option", "warning", command.node, f"{what} ends with this command; the next one is a new shell",
                cause="each command runs in a shell of its own", source=SPEC,
            )  # fmt: skip
        if following and "exit" in command.text:
            yield from _exits(look, command)


def _exits(look: Look, command: Command) -> Iterator[Finding]:
    found = _EXIT.search(command.text)
    if found is None or "<<" in command.text:
        return
    before = command.text[: found.start("exit")]
    if before.count("'") % 2 or before.count('"') % 2 or "#" in before.rsplit("\n", 1)[-1]:
        return
    start = command.offset(found.start("exit"))
    yield look.within(
        "exit-saves-nothing", "note", (start, start + 4), "exit ends this command; the next one of the phase runs all the same",
        cause="only an exit that is not 0 ends the phase; variables set before it are not carried over", source=SPEC,
    )  # fmt: skip


def _functions(look: Look) -> Iterator[Finding]:
    seen: dict[str, Command] = {}
    for command in look.commands:
        own = {one[1] or one[2] for one in _FUNCTION.finditer(command.text)}
        own |= {one[1] for one in _ALIAS.finditer(command.text)}
        for name in seen.keys() - own:
            used = re.search(
                rf"(?:^|[;&|(]|\bthen|\bdo|\belse|!)[ \t]*{re.escape(name)}(?=[\s;&|)]|$)",
                command.text,
                re.MULTILINE,
            )
            if used is None or "<<" in command.text[: used.start()]:
                continue
            start = command.offset(used.end() - len(name))
            at = look.source.position(seen[name].node.start)[0]
            yield look.within(
                "lost-function", "warning", (start, start + len(name)),
                f"{name} is not defined here: the command that defines it, on line {at}, ran in another shell",
                cause="functions and aliases are not carried over", source=SPEC,
            )  # fmt: skip
        seen |= dict.fromkeys(own, command)


def _old(look: Look) -> Iterator[Finding]:
    for command in look.commands:
        following = [one for one in look.commands if one.index > command.index or one.phase != command.phase]
        if following and _ALONE.fullmatch(command.text):
            yield look.at(
                "nothing-survives", "warning", command.node,
                "this has no effect on the commands that follow: version 0.1 starts each in the source folder",
                cause="version 0.2 carries variables and the folder over", source=RULES[3].source, fix=_newer(look),
            )  # fmt: skip


def _newer(look: Look) -> Fix | None:
    from seatrial.builds.nodes import child, children

    version = child(look.root, "version")
    if version is None or "environment_variables" in children(look.root):
        return None
    return look.replace(version, "0.2", "use version 0.2", safe=False)
