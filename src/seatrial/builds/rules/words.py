"""The simple commands of a buildspec's commands, read once for all rules that ask."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from seatrial.sources.shell import commands

if TYPE_CHECKING:
    from seatrial.sources.shell_model import ShellCommand, ShellWord


@lru_cache(maxsize=4096)
def simple(text: str) -> tuple[ShellCommand, ...]:
    """The simple commands of a text; places are offsets in it."""
    return commands(text)


def shown(word: ShellWord) -> str:
    """A word without its quotes, variables as they are written: `$REPO:latest`."""
    return "".join(part.text if part.kind == "text" else part.raw for part in word.parts)


def arguments(command: ShellCommand) -> list[str]:
    """The words of a command after leading `sudo` and the like."""
    words = [shown(one) for one in command.words]
    while words and words[0] in ("sudo", "time", "command", "exec", "nohup"):
        words = words[1:]
    return words
