"""Commands that install nothing but change where later ones run, or what they install into."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from seatrial.images.story import installs
from seatrial.images.story.scene import environment_of

if TYPE_CHECKING:
    from seatrial.images.story.machine import Machine, Shell
    from seatrial.images.story.scene import Call
    from seatrial.sources.shell_model import ShellCommand

_SOURCES = frozenset({".", "source"})
_ACTIVATE = re.compile(r"(?P<prefix>.*?)/?bin/activate$")
_CONDA_ACTIVATE = re.compile(r"(?:conda|mamba|micromamba|source)\s+activate\s+(?P<name>[^\s;&|'\"]+)")


def change(call: Call, command: ShellCommand, shell: Shell, machine: Machine) -> None:
    """Commands that change where later ones run, or what they install into."""
    texts = [word.text for word in call.arguments]
    first = next((text for text in texts if not text.startswith("-")), "")
    if call.program in ("cd", "pushd"):
        if "$" not in first:
            shell.directory = posixpath.normpath(posixpath.join(shell.directory, first or "/root"))
    elif call.program in _SOURCES and texts:
        _source(texts, shell, machine)
    elif call.program in ("conda", "mamba", "micromamba") and texts[:1] == ["activate"]:
        shell.active = _conda_name(texts[1] if len(texts) > 1 else "base")
    elif call.program == "deactivate":
        shell.active = None
    elif call.program == "venv" or call.program in ("virtualenv", "pyvenv"):
        _make_environment(call, first, shell, machine)
    elif call.program == "uv" and texts[:1] == ["venv"]:
        words = installs.parse(call.arguments, installs.UV_PIP).words[1:]
        _make_environment(call, words[0].text if words else ".venv", shell, machine)
    elif (call.program == "pip" and texts[:2] == ["config", "set"]) or texts[:3] == [
        "config",
        "--global",
        "set",
    ]:
        _configure(texts, machine)
    elif call.program == "poetry" and texts[:2] == ["config", "virtualenvs.create"]:
        machine.settings["POETRY_VIRTUALENVS_CREATE"] = texts[2] if len(texts) > 2 else ""  # noqa: PLR2004 - config NAME VALUE
    elif command.output is not None and "rc" in command.output.raw:
        match = _CONDA_ACTIVATE.search(" ".join(texts))
        if match:
            machine.login_environment = _conda_name(match["name"])


def _conda_name(name: str) -> str:
    if "/" in name:
        return environment_of(name, frozenset({name}))
    return "" if name in ("base", "root") or "$" in name else f"conda:{name}"


def _source(texts: list[str], shell: Shell, machine: Machine) -> None:
    match = _ACTIVATE.match(texts[0])
    if match is None:
        return
    if len(texts) > 1:
        # `source activate NAME`, `. /opt/conda/bin/activate NAME`
        shell.active = _conda_name(texts[1])
    elif match["prefix"]:
        prefix = posixpath.normpath(posixpath.join(shell.directory, match["prefix"]))
        shell.active = environment_of(prefix, frozenset(machine.made))


def _make_environment(call: Call, path: str, shell: Shell, machine: Machine) -> None:
    words = [word.text for word in call.arguments]
    valued = ("-p", "--python", "--prompt", "--seeder", "--app-data")
    plain = [
        text
        for index, text in enumerate(words)
        if not text.startswith("-") and (index == 0 or words[index - 1] not in valued)
    ]
    if call.program != "uv" and plain:
        path = plain[-1]
    if path and "$" not in path:
        machine.made.add(posixpath.normpath(posixpath.join(shell.directory, path)))


def _configure(texts: list[str], machine: Machine) -> None:
    """`pip config set global.index-url URL` holds for every pip after it."""
    words = [text for text in texts if not text.startswith("-")]
    if len(words) > 3 and "." in words[2]:  # noqa: PLR2004 - config set NAME VALUE
        name = words[2].split(".", 1)[1].replace("-", "_").upper()
        machine.settings[f"PIP_{name}"] = " ".join(words[3:])
