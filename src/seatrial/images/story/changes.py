"""Commands that install nothing but change where later ones run, or what they install into."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from seatrial.images.story.installer_options import UV_PIP
from seatrial.images.story.options import Options, parse
from seatrial.images.story.scene import environment_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from seatrial.images.story.machine import Machine, Shell
    from seatrial.images.story.scene import Call
    from seatrial.sources.shell_model import ShellCommand

_ACTIVATE = re.compile(r"(?P<prefix>.*?)/?bin/activate$")
_CONDA_ACTIVATE = re.compile(r"(?:conda|mamba|micromamba|source)\s+activate\s+(?P<name>[^\s;&|'\"]+)")


def change(call: Call, command: ShellCommand, shell: Shell, machine: Machine) -> None:
    """Note what a command changes for those after it."""
    texts = [word.text for word in call.arguments]
    change = _CHANGES.get(call.program)
    if change is not None:
        change(texts, call, shell, machine)
    elif command.output is not None and "rc" in command.output.raw:
        match = _CONDA_ACTIVATE.search(" ".join(texts))
        if match:
            machine.login_environment = _conda_name(match["name"])


def _cd(texts: list[str], _call: Call, shell: Shell, _machine: Machine) -> None:
    first = next((text for text in texts if not text.startswith("-")), "/root")
    if "$" not in first:
        shell.directory = posixpath.normpath(posixpath.join(shell.directory, first))


def _activate(texts: list[str], _call: Call, shell: Shell, _machine: Machine) -> None:
    if texts[:1] == ["activate"]:
        shell.active = _conda_name(texts[1] if len(texts) > 1 else "base")


def _deactivate(_texts: list[str], _call: Call, shell: Shell, _machine: Machine) -> None:
    shell.active = None


def _venv(texts: list[str], _call: Call, shell: Shell, machine: Machine) -> None:
    """`python -m venv DIR`, `virtualenv -p python3 DIR`."""
    valued = ("-p", "--python", "--prompt", "--seeder", "--app-data")
    plain = [
        text
        for index, text in enumerate(texts)
        if not text.startswith("-") and (index == 0 or texts[index - 1] not in valued)
    ]
    for path in plain[-1:]:
        _made(path, shell, machine)


def _uv(texts: list[str], call: Call, shell: Shell, machine: Machine) -> None:
    if texts[:1] == ["venv"]:
        words = parse(call.arguments, UV_PIP).words[1:]
        _made(words[0].text if words else ".venv", shell, machine)


def _made(path: str, shell: Shell, machine: Machine) -> None:
    if "$" not in path:
        machine.made.add(posixpath.normpath(posixpath.join(shell.directory, path)))


def _pip(texts: list[str], _call: Call, _shell: Shell, machine: Machine) -> None:
    """`pip config set global.index-url URL` holds for every pip after it."""
    words = [text for text in texts if not text.startswith("-")]
    if words[:2] == ["config", "set"] and len(words) > 3 and "." in words[2]:  # noqa: PLR2004 - config set NAME VALUE
        name = words[2].split(".", 1)[1].replace("-", "_").upper()
        machine.settings[f"PIP_{name}"] = " ".join(words[3:])


def _poetry(texts: list[str], _call: Call, _shell: Shell, machine: Machine) -> None:
    words = [text for text in texts if not text.startswith("-")]
    if words[:2] == ["config", "virtualenvs.create"]:
        machine.settings["POETRY_VIRTUALENVS_CREATE"] = "".join(words[2:3])


def _conda_name(name: str) -> str:
    if "/" in name:
        return environment_of(name, frozenset({name}))
    return "" if name in ("base", "root") or "$" in name else f"conda:{name}"


def _source(texts: list[str], _call: Call, shell: Shell, machine: Machine) -> None:
    match = _ACTIVATE.match(texts[0]) if texts else None
    if match is None:
        if texts[:1] == ["activate"]:
            shell.active = _conda_name("".join(texts[1:2]) or "base")
        return
    if len(texts) > 1:
        # `source activate NAME`, `. /opt/conda/bin/activate NAME`
        shell.active = _conda_name(texts[1])
    elif match["prefix"]:
        prefix = posixpath.normpath(posixpath.join(shell.directory, match["prefix"]))
        shell.active = environment_of(prefix, frozenset(machine.made))


_CLONE_VALUED = frozenset(
    [
        "branch",
        "depth",
        "origin",
        "upload-pack",
        "template",
        "config",
        "separate-git-dir",
        "server-option",
        "jobs",
        "reference",
        "filter",
        "shallow-since",
        "shallow-exclude",
    ]
)
_CLONE = Options(
    valued=_CLONE_VALUED,
    short={"b": "branch", "o": "origin", "c": "config", "j": "jobs", "u": "upload-pack"},
)


def _git(texts: list[str], call: Call, shell: Shell, machine: Machine) -> None:
    """`git clone -b TAG URL [DIR]`"""
    if "clone" not in texts:
        return
    parsed = parse(call.arguments[texts.index("clone") + 1 :], _CLONE)
    if not parsed.words or "$" in parsed.words[-1].text:
        return
    url = parsed.words[0].text.removesuffix("/")
    folder = parsed.words[1].text if len(parsed.words) > 1 else posixpath.basename(url).removesuffix(".git")
    branch = parsed.last("branch")
    path = posixpath.normpath(posixpath.join(shell.directory, folder))
    machine.clones[path] = f"git+{url}" + (f"@{branch.text}" if branch is not None else "")


_CHANGES: dict[str, Callable[[list[str], Call, Shell, Machine], None]] = {
    "cd": _cd,
    "pushd": _cd,
    ".": _source,
    "source": _source,
    "conda": _activate,
    "mamba": _activate,
    "micromamba": _activate,
    "deactivate": _deactivate,
    "venv": _venv,
    "virtualenv": _venv,
    "pyvenv": _venv,
    "uv": _uv,
    "git": _git,
    "pip": _pip,
    "poetry": _poetry,
}
