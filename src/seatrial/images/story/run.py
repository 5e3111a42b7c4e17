"""The commands of a RUN instruction, one after the other, as steps."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.images.story import calls, changes, conda, installs, making, projects, system
from seatrial.images.story.machine import active_environment
from seatrial.images.story.model import Command, Span, Step
from seatrial.images.story.scene import Scene
from seatrial.images.story.values import given, in_assignment, in_shell, joined, texts_in_shell
from seatrial.images.story.words import Word

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from seatrial.images.story.machine import Machine, Shell
    from seatrial.images.story.scene import Call
    from seatrial.sources.dockerfile_text import Joined
    from seatrial.sources.shell_model import ShellCommand

_INSTALLERS = re.compile(r"pip|uv|conda|mamba|poetry|pdm|apt|apk|dnf|yum|zypper|dpkg|tee|virtualenv|venv")
"""Without one of these in it, a command installs nothing, and where its words stand does not matter."""


def steps(script: Joined, shell: Shell, machine: Machine, *, certain: bool = True) -> Iterator[Step]:
    """The steps of a script."""
    from seatrial.sources.shell import commands

    shells: dict[tuple[int, ...], Shell] = {(): shell}
    for command in commands(script, shell.variables.texts):
        inside = _shell(shells, command.scope)
        placed = command.output is not None or not command.name or _INSTALLERS.search(command.raw)
        words = (in_shell if placed else texts_in_shell)(command.words, inside.variables, machine.source)
        own = _assign(command, inside)
        if words:
            at = Span(machine.source, command.start, command.end)
            sure = certain and command.certain
            yield from _called(words, at, own, inside, machine, certain=sure, command=command)


def program(
    strings: tuple[Joined, ...], shell: Shell, machine: Machine, at: tuple[int, int]
) -> Iterator[Step]:
    """The steps of the exec form, where no shell takes part: its strings are the words."""
    words = tuple(
        Word(machine.source, one.start, one.end, one.text, (0,), (one.start,))
        if one.end - one.start == len(one.text)
        else Word(machine.source, one.start, one.end, one.text)
        for one in strings
    )
    yield from _called(words, Span(machine.source, *at), {}, shell, machine, certain=True)


def _shell(shells: dict[tuple[int, ...], Shell], scope: tuple[int, ...]) -> Shell:
    if scope not in shells:
        shells[scope] = _shell(shells, scope[:-1]).copy()
    return shells[scope]


def _assign(command: ShellCommand, shell: Shell) -> dict[str, str]:
    """Do a command's assignments; gives those that are for the command alone, as far as they are known."""
    own: dict[str, str] = {}
    for one in command.assignments:
        value = in_assignment(one.value, shell.variables)
        if one.append:
            value = joined([shell.variables.values.get(one.name, given("")), value])
        if command.lasting:
            shell.variables.set(one.name, value)
        elif value.known:
            own[one.name] = value.text
    return own


def _called(
    words: tuple[Word, ...],
    at: Span,
    own: dict[str, str],
    shell: Shell,
    machine: Machine,
    *,
    certain: bool,
    command: ShellCommand | None = None,
) -> Iterator[Step]:
    made = frozenset(machine.made)
    call = calls.identify(words, made)
    if call.program in _KNOWN:
        variables = shell.variables
        active = active_environment(variables.values, made) if shell.active is None else shell.active
        scene = Scene(
            at=at,
            directory=shell.directory,
            read=machine.files.read,
            variables=machine.settings | variables.texts,
            own=own | calls.own_variables(words),
            environment=active,
            made=made,
            clones=machine.clones,
            certain=certain,
        )
        found = steps_of(call, scene)
        if found:
            yield from found
            return
    if command is not None:
        changes.change(call, command, shell, machine)
        making.make(call, command, shell.directory, machine.source, machine.files)
    yield Command(at=at, words=tuple(word.text for word in words), variables=own, certain=certain)


def steps_of(call: Call, scene: Scene) -> tuple[Step, ...]:
    """What an installer's call does; nothing for any other program, and for an installer that installs nothing."""
    if call.program in _CONDAS:
        return conda.conda(call, scene)
    step = _ONE[call.program](call, scene) if call.program in _ONE else system.system(call, scene)
    return (step,) if step is not None else ()


_ONE: dict[str, Callable[[Call, Scene], Step | None]] = {
    "pip": installs.pip,
    "uv": projects.uv,
    "pipx": projects.pipx,
    "poetry": projects.poetry,
    "pipenv": projects.pipenv,
    "pdm": projects.pdm,
}
_CONDAS = frozenset({"conda", "mamba", "micromamba"})
_KNOWN = _ONE.keys() | _CONDAS | system.PROGRAMS
