"""What one command of a buildspec becomes: a script that takes up what the command before it left, and leaves it.

CodeBuild's agent runs each command in a shell process of its own. Folder and variables are carried from one to the
next in files, so functions, aliases, options and traps are not. The command begins on line 4 of the script, as
messages of failed builds show (`script.sh: line 4: …`).
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

STATE_FILE = "env.sh"
FOLDER_FILE = "dir.txt"
SCRIPT = "script.sh"
_EXPORT = re.compile(r"(?:export|declare -[a-z]*x[a-z]*|typeset -x)[ \t]+([A-Za-z_][A-Za-z0-9_]*)(=)?")
_DECLARED = re.compile(r"^(?:export|declare|typeset)[ \t]", re.MULTILINE)
_ESCAPES = {
    "n": "\n",
    "t": "\t",
    "r": "\r",
    "a": "\a",
    "b": "\b",
    "e": "\x1b",
    "E": "\x1b",
    "f": "\f",
    "v": "\v",
}


def script(command: str, state: str, *, keep: bool = True) -> str:
    """The script of one command. `state` is the folder of the state files as the command sees it.

    Without `keep` (version 0.1) nothing of the command is carried on; the lines before it are the same.
    """
    place = shlex.quote(state)
    head = f'cd "$(cat {place}/{FOLDER_FILE})"\nset -a\n. {place}/{STATE_FILE}\n{command}\n'
    if not keep:
        return head
    return (
        f"{head}CODEBUILD_LAST_EXIT=$?\n"
        f"export -p > {place}/{STATE_FILE}\n"
        f"pwd > {place}/{FOLDER_FILE}\n"
        "exit $CODEBUILD_LAST_EXIT\n"
    )


def exports(values: Mapping[str, str]) -> str:
    """A script that sets and exports these variables."""
    return "".join(f"export {name}={_quoted(value)}\n" for name, value in values.items())


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "'\"'\"'") + "'"


def read_exports(text: str) -> dict[str, str]:
    """The variables in what `export -p` of dash, BusyBox or bash printed, or `exports` wrote; the last of a name counts.

    A variable that is exported and has no value is left out.
    """
    found: dict[str, str] = {}
    position = 0
    while match := _EXPORT.search(text, position):
        position = match.end()
        if not match.group(2):
            continue
        value, position = _word(text, position)
        found[match.group(1)] = value
        # What follows a value on its line is no declaration; what looks like one inside a value was just read over.
        declared = _DECLARED.search(text, position)
        position = declared.start() if declared else len(text)
    return found


def _word(text: str, position: int) -> tuple[str, int]:
    """One word of a shell from `position`, without its quotes, and where it ends."""
    parts: list[str] = []
    while position < len(text) and text[position] not in " \t\n;":
        if text[position] == "'":
            end = text.index("'", position + 1)
            parts.append(text[position + 1 : end])
            position = end + 1
        elif text[position] == '"':
            value, position = _double(text, position + 1)
            parts.append(value)
        elif text.startswith("$'", position):
            value, position = _ansi(text, position + 2)
            parts.append(value)
        elif text[position] == "\\":
            parts.append(text[position + 1 : position + 2])
            position += 2
        else:
            parts.append(text[position])
            position += 1
    return "".join(parts), position


def _double(text: str, position: int) -> tuple[str, int]:
    parts: list[str] = []
    while text[position] != '"':
        if text[position] == "\\" and text[position + 1] in '$`"\\\n':
            position += 1
        parts.append(text[position])
        position += 1
    return "".join(parts), position + 1


def _ansi(text: str, position: int) -> tuple[str, int]:
    raw = bytearray()
    while text[position] != "'":
        if text[position] != "\\":
            raw += text[position].encode(errors="surrogateescape")
            position += 1
        elif digits := re.compile(r"[0-7]{1,3}").match(text, position + 1):
            raw.append(int(digits.group(), 8) & 0xFF)
            position = digits.end()
        else:
            letter = text[position + 1]
            raw += _ESCAPES.get(letter, letter).encode()
            position += 2
    return raw.decode(errors="surrogateescape"), position + 1
