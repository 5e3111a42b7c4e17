"""Run a declared command in an image and compare what it said."""

from __future__ import annotations

import os
import select
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from seatrial.config.patterns import compiled
from seatrial.errors import SeatrialError
from seatrial.images import runtime
from seatrial.images.runtimes.probe import refused
from seatrial.images.testing.declared.model import CommandTest, Problem, Wanted, answer, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.images.rootfs import Root
    from seatrial.images.testing.model import Check

_PIECE = 1 << 16
_LINE = 120


class _Said(NamedTuple):
    """What the command left; `trouble` is why it did not get that far."""

    code: int
    output: str
    error: str
    trouble: str = ""


def check(root: Root, test: CommandTest) -> Check:
    """Run the command in a fresh root.

    Raises:
        MissingToolError: this machine cannot run programs in images.
    """
    begin = time.monotonic()
    said = _Said(-1, "", "", test.refusal) if test.refusal else _run(root, test)
    problems = [(said.trouble, test.where)] if said.trouble else list(_problems(test, said))
    notes = [f"note: {note}" for note in test.notes]
    words = _last_words(said) if problems and not said.trouble else []
    line = " ".join(" ".join(test.command).split())
    good = f"`{line[:_LINE]}{'…' if len(line) > _LINE else ''}` ended with {said.code}, as expected"
    if not problems and test.notes:
        good += f"; {test.notes[0]}"
    found = answer(test.id, good, problems, [*notes, *words])
    return msgspec.structs.replace(found, seconds=round(time.monotonic() - begin, 3))


def _problems(test: CommandTest, said: _Said) -> Iterator[Problem]:
    """The exit code first: what is missing in the output mostly follows from it."""
    if said.code != test.exit_code:
        error = said.error.strip() or said.output.strip()
        words = f": {error.splitlines()[-1][:200]}" if error else ""
        yield f"expected exit code {test.exit_code}, got {said.code}{words}", test.where
    yield from unmet(test.output, said.output, "the output")
    yield from unmet(test.error, said.error, "the error output")


def unmet(wanted: tuple[Wanted, ...], text: str, what: str) -> Iterator[Problem]:
    """Patterns that are not in a text, or should not be."""
    for one in wanted:
        match = compiled(one.pattern).search(text)
        if match is None and one.found:
            yield f"expected {shown(one.pattern, 80)} in {what}, got {shown(text)}", one.where
        elif match is not None and not one.found:
            yield (
                f"{what} must not have {shown(one.pattern, 80)}, got {shown(match.group() or text)}",
                one.where,
            )


def _run(root: Root, test: CommandTest) -> _Said:
    with tempfile.TemporaryDirectory(prefix="seatrial-") as folder:
        binds = [*test.binds]
        for number, target in enumerate(test.empty):
            place = Path(folder) / str(number)
            place.mkdir()
            binds.append(runtime.Bind(str(place), target, read_only=False))
        launch = runtime.Launch(
            env=({"TERM": "xterm"} if test.terminal else {}) | test.env,
            user=test.user,
            workdir=test.workdir,
            entrypoint=(),
            binds=tuple(binds),
            network=test.network,
            before=test.before,
            own_tmp=True,
        )
        try:
            said = _on_terminal(root, test, launch) if test.terminal else _on_pipes(root, test, launch)
        except subprocess.TimeoutExpired:
            return _Said(-1, "", "", f"expected an end within {test.timeout:g} s, and it still ran")
        except SeatrialError as error:
            if error.exit_code != SeatrialError.exit_code:
                raise
            return _Said(
                -1,
                "",
                "",
                f"it could not be started: {error.what}" + (f" ({error.why})" if error.why else ""),
            )
    return _understood(said)


def _understood(said: _Said) -> _Said:
    """What the launcher and bwrap say is no answer of the program."""
    first = (said.error or said.output).partition("\n")[0].strip()
    if said.code == runtime.CANNOT_START and first.startswith("seatrial: before: "):
        return said._replace(
            trouble=f"what runs before it failed: {first.removeprefix('seatrial: before: ')}"
        )
    if said.code == runtime.CANNOT_START and first.startswith("seatrial: "):
        raise refused(first.removeprefix("seatrial: "))
    if first.startswith("bwrap: "):
        return said._replace(trouble=f"it could not be started: {first.removeprefix('bwrap: ')}")
    return said


def _on_pipes(root: Root, test: CommandTest, launch: runtime.Launch) -> _Said:
    with runtime.start(root, test.command, launch, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        out, err = process.communicate(timeout=test.timeout)
    return _Said(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))


def _on_terminal(root: Root, test: CommandTest, launch: runtime.Launch) -> _Said:
    """Output and errors come as one, with the line ends of a terminal."""
    ours, theirs = os.openpty()
    try:
        with runtime.start(root, test.command, launch, stdin=theirs, stdout=theirs, stderr=theirs) as process:
            os.close(theirs)
            theirs = -1
            content = _read(ours, time.monotonic() + test.timeout, test)
            code = process.wait(test.timeout)
    finally:
        os.close(ours)
        if theirs >= 0:
            os.close(theirs)
    return _Said(code, content.decode(errors="replace"), "")


def _read(descriptor: int, deadline: float, test: CommandTest) -> bytes:
    """Everything until the last one on the other side has gone, which the kernel reports as an error (pty(7))."""
    content = b""
    while True:
        if not select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise subprocess.TimeoutExpired(test.command, test.timeout)
        try:
            piece = os.read(descriptor, _PIECE)
        except OSError:
            return content
        if not piece:
            return content
        content += piece


def _last_words(said: _Said) -> list[str]:
    lines = [f"error: {line}" for line in said.error.strip().splitlines()[-8:]]
    return [*lines, *(f"output: {line}" for line in said.output.strip().splitlines()[-8:])]
