"""Shell texts inside shell texts: `bash -c "…"`, `eval "…"`, and here-documents that a shell reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.sources.dockerfile_text import Joined, Run, concatenate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from seatrial.sources.shell_model import Part, ShellCommand, ShellWord

_SHELLS = frozenset(("sh", "bash", "dash", "ash", "zsh"))
_WRAPPERS = frozenset(("sudo", "exec", "time", "nohup", "env"))
_WITH_VALUE = frozenset(("-o", "+o", "-O", "+O", "--rcfile", "--init-file"))


def nested(command: ShellCommand) -> Joined | None:
    """The shell text that a command runs, with the places of its characters; None where it runs none."""
    words = list(command.words)
    while words and (words[0].literal in _WRAPPERS or (words[0].literal or "").startswith("-")):
        words.pop(0)
    name = (words[0].literal or "").rsplit("/", 1)[-1] if words else ""
    if name == "eval" and len(words) > 1:
        return _joined(words[1:])
    if name not in _SHELLS:
        return None
    script, reads = _script(words[1:])
    if script is not None:
        return _joined([script])
    return _joined([command.input]) if reads and command.input is not None else None


def _script(words: Sequence[ShellWord]) -> tuple[ShellWord | None, bool]:
    """The argument of `-c`; or that there is none, and no file either, so standard input is read."""
    asked = False
    at = 0
    while at < len(words):
        text = words[at].literal
        if text is None or text[:1] not in ("-", "+") or text == "-":
            break
        at += 2 if text in _WITH_VALUE else 1
        if text == "--":
            break
        asked = asked or (not text.startswith("--") and "c" in text[1:])
        if text.startswith("-") and not text.startswith("--") and "s" in text[1:]:
            return None, True
    if asked:
        return (words[at] if at < len(words) else None), False
    return None, at >= len(words) or words[at].literal == "-"


def _joined(words: Iterable[ShellWord]) -> Joined:
    pieces: list[Joined] = []
    for word in words:
        if pieces:
            pieces.append(Joined(" ", (Run(0, pieces[-1].end, pieces[-1].end),)))
        pieces += [_piece(part) for part in word.parts] or [Joined("", (), word.start)]
    return concatenate(pieces)


def _piece(part: Part) -> Joined:
    """A text as the inner shell gets it; a variable stays as written, the inner shell has it too."""
    if part.kind != "text" or part.last - part.first == len(part.text):
        return part.whole.piece(part.first, part.last)
    return Joined(part.text, (Run(0, part.start, part.end),))
