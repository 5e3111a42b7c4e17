"""Which program a command runs, whatever stands before it."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from seatrial.images.story.scene import Call, environment_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seatrial.images.story.words import Word

_PIP = re.compile(r"pip(?:[23](?:\.\d+)?)?$")
_PYTHON = re.compile(r"(?:python|pypy)(?:[23](?:\.\d+)?)?(?:\.exe)?$")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_CONDAS = frozenset({"conda", "mamba", "micromamba"})

# A program that runs another one: its options that take a value. `timeout` and the like also take an argument of their own.
_WRAPPERS: dict[str, tuple[frozenset[str], int]] = {
    "sudo": (frozenset({"-u", "-g", "-U", "--user", "--group"}), 0),
    "env": (frozenset({"-u", "--unset", "-C", "--chdir"}), 0),
    "gosu": (frozenset(), 1),
    "su-exec": (frozenset(), 1),
    "time": (frozenset({"-f", "-o"}), 0),
    "nice": (frozenset({"-n"}), 0),
    "ionice": (frozenset({"-c", "-n"}), 0),
    "nohup": (frozenset(), 0),
    "exec": (frozenset({"-a"}), 0),
    "command": (frozenset(), 0),
    "stdbuf": (frozenset({"-o", "-e", "-i"}), 0),
    "timeout": (frozenset({"-s", "-k", "--signal", "--kill-after"}), 1),
    "xvfb-run": (frozenset({"-s", "-n"}), 0),
    "retry": (frozenset({"-t", "-d", "--times", "--delay"}), 0),
    "setarch": (frozenset(), 1),
    "linux64": (frozenset(), 0),
    "scl_enable": (frozenset(), 1),
    "ccache": (frozenset(), 0),
}
_XARGS = frozenset({"-n", "-L", "-P", "-I", "-d", "-a", "-s", "-E"})


def identify(words: Sequence[Word], made: frozenset[str]) -> Call:
    """Take off what stands before the program and name it; `made` are the virtual environments that exist."""
    environment: str | None = None
    piped = False
    rest = tuple(words)
    while rest:
        name = posixpath.basename(rest[0].text)
        if name in _WRAPPERS:
            following = _after(rest[1:], *_WRAPPERS[name], assignments=name in ("env", "sudo"))
        elif name == "xargs":
            piped = True
            following = _after(rest[1:], _XARGS, 0)
        elif name in _CONDAS and len(rest) > 1 and rest[1].text == "run":
            environment, following = _conda_run(rest[2:], environment)
        elif name in ("poetry", "pipenv", "pdm") and len(rest) > 1 and rest[1].text == "run":
            following = rest[2:]
        else:
            return _named(rest, name, environment, made, piped=piped)
        if not following:
            return Call(program=name, words=rest, arguments=rest[1:], piped=piped)
        rest = following
    return Call(program="", words=(), arguments=())


def _after(
    words: Sequence[Word], valued: frozenset[str], own: int, *, assignments: bool = False
) -> tuple[Word, ...]:
    """What follows a wrapper's options and its own arguments."""
    index = 0
    while index < len(words):
        text = words[index].text
        if text == "--":
            index += 1
            break
        if text in valued:
            index += 2
        elif text.startswith("-") or (assignments and _ASSIGNMENT.match(text)):
            index += 1
        elif own:
            own -= 1
            index += 1
        else:
            break
    return tuple(words[index:])


def _conda_run(words: Sequence[Word], environment: str | None) -> tuple[str | None, tuple[Word, ...]]:
    for index, word in enumerate(words):
        if word.text in ("-n", "--name", "-p", "--prefix") and index + 1 < len(words):
            given = words[index + 1].text
            environment = "" if given == "base" else environment_of(given, frozenset()) or f"conda:{given}"
    return environment, _after(words, frozenset({"-n", "--name", "-p", "--prefix", "--cwd"}), 0)


def _named(
    words: tuple[Word, ...], name: str, environment: str | None, made: frozenset[str], *, piped: bool
) -> Call:
    path = words[0].text
    if environment is None and "/" in path and posixpath.basename(posixpath.dirname(path)) == "bin":
        environment = environment_of(posixpath.dirname(posixpath.dirname(path)), made)
    if _PIP.match(name):
        return Call(program="pip", words=words, arguments=words[1:], environment=environment, piped=piped)
    if name == "python.sh":
        # NVIDIA's Omniverse applications bring a Python of their own behind a script.
        environment = posixpath.dirname(path)
    if _PYTHON.match(name) or name == "python.sh":
        module = _module(words)
        if module is not None:
            program, arguments = module
            return Call(
                program=program, words=words, arguments=arguments, environment=environment, piped=piped
            )
    return Call(program=name, words=words, arguments=words[1:], environment=environment, piped=piped)


def _module(words: tuple[Word, ...]) -> tuple[str, tuple[Word, ...]] | None:
    """`python -m NAME`: the module as a program."""
    index = 1
    while index < len(words):
        text = words[index].text
        if text in ("-X", "-W"):
            index += 2
        elif re.match(r"-[A-Za-ln-zA-Z]*m$", text):
            if index + 1 >= len(words):
                return None
            return words[index + 1].text, words[index + 2 :]
        elif text.startswith("-") and text != "-c":
            index += 1
        else:
            return None
    return None


def own_variables(words: Sequence[Word]) -> dict[str, str]:
    """The variables that `env` and `sudo` set for the program after them."""
    found: dict[str, str] = {}
    for word in words:
        match = _ASSIGNMENT.match(word.text)
        if match:
            found[match.group()[:-1]] = word.text[match.end() :]
        elif posixpath.basename(word.text) not in ("env", "sudo") and not word.text.startswith("-"):
            break
    return found
