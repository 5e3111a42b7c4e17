"""What a file of container-structure-test asks of one image, with the meaning that its Docker driver gives it.

Surprising parts, each so that verdicts are the same:

- Command lines and the paths of existence tests have $NAME replaced by the image's variables and the global ones,
  unknown names by nothing; paths of content tests do not.
- A test's own variables reach its setup with $NAME replaced, its command as they are, and its command not at all
  when there are run options. In version 1.0.0 global variables reach the setup alone.
- Setup may end with any code, but must start. Teardown is not run: every test has a root of its own.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from seatrial.images.rootfs import locate
from seatrial.images.runtimes.launch import CAPABILITIES, Before, Bind
from seatrial.images.testing.declared.expanding import expand, variables
from seatrial.images.testing.declared.model import (
    CommandTest,
    ContentTest,
    FileTest,
    LicenseTest,
    MetadataTest,
    Named,
    Value,
    Wanted,
)  # fmt: skip
from seatrial.images.testing.declared.structure import Command2, Existence1, Structure1, Structure2

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from seatrial.images.rootfs import Root
    from seatrial.images.testing.declared.declaration import Declared
    from seatrial.images.testing.declared.structure import (
        Command1,
        Existence2,
        Expected,
        RunOptions,
        Variable,
    )

Test = CommandTest | ContentTest | FileTest | LicenseTest | MetadataTest
_DENIED, _EXCUSED = ("AGPL", "WTFPL"), ("libgnutls30",)


def tests(
    declared: Declared, content: Structure1 | Structure2, root: Root, host: Mapping[str, str]
) -> Iterator[Test]:
    """Every test of a file. `host` are this machine's variables, which run options may pass on."""
    image = dict(str(item).partition("=")[::2] for item in root.settings.get("Env") or [])
    everywhere: dict[str, str] = {}
    options = _Options()
    if isinstance(content, Structure2):
        everywhere = {one.key: expand(one.value, image) for one in content.global_env_vars}
        options = _options(content.container_run_options, declared, root, host)
    programs: Sequence[Command1 | Command2] = content.command_tests
    places: Sequence[Existence1 | Existence2] = content.file_existence_tests
    for number, command in enumerate(programs):
        yield _command(
            declared, content, command, f"commandTests[{number}]", image | everywhere, everywhere, options
        )
    for number, one in enumerate(content.file_content_tests):
        key = f"fileContentTests[{number}]"
        wanted = (
            *_wanted(declared, f"{key}.expectedContents", one.expected_contents, found=True),
            *_wanted(declared, f"{key}.excludedContents", one.excluded_contents, found=False),
        )
        yield ContentTest(
            id=f"content:{one.name}", where=declared.at(key), path=one.path, wanted=wanted, engine=True
        )
    for number, file in enumerate(places):
        yield _existence(declared.at(f"fileExistenceTests[{number}]"), file, image | everywhere)
    for number, license_ in enumerate(content.license_tests):
        yield LicenseTest(
            id="license", where=declared.at(f"licenseTests[{number}]"), debian=license_.debian,
            files=license_.files, deny=_DENIED, allow=_EXCUSED, engine=True,
        )  # fmt: skip
    if isinstance(content, Structure2) and content.metadata_test != type(content.metadata_test)():
        yield _metadata(declared, content)


class _Options(NamedTuple):
    """Run options as far as a command sees them; `env` is None when a test's own variables count."""

    env: dict[str, str] | None = None
    user: str = ""
    terminal: bool = False
    binds: tuple[Bind, ...] = ()
    empty: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    refusal: str = ""


def _command(
    declared: Declared,
    content: Structure1 | Structure2,
    test: Command1 | Command2,
    key: str,
    known: dict[str, str],
    everywhere: dict[str, str],
    options: _Options,
) -> CommandTest:
    old = isinstance(content, Structure1)
    line = (test.command, *test.args) if isinstance(test, Command2) else test.command
    before, left = _setup(test.setup, [*(content.global_env_vars if old else ()), *test.env_vars], known)
    own = {one.key: one.value for one in test.env_vars} if options.env is None else options.env
    wanted = {
        name: _wanted(declared, f"{key}.{name}", values, found=name.startswith("expected"))
        for name, values in (
            ("expectedOutput", test.expected_output),
            ("excludedOutput", test.excluded_output),
            ("expectedError", test.expected_error),
            ("excludedError", test.excluded_error),
        )
    }
    command = tuple(expand(word, known | left) for word in line)
    # An engine says the machine's name in a variable, too, unless the image does.
    machine = {} if "HOSTNAME" in known else {"HOSTNAME": os.uname().nodename}
    return CommandTest(
        id=f"command:{test.name}",
        where=declared.at(key),
        command=command,
        env=machine | everywhere | left | own,
        before=before,
        user=options.user,
        network="host",
        exit_code=test.exit_code,
        output=wanted["expectedOutput"] + wanted["excludedOutput"],
        error=wanted["expectedError"] + wanted["excludedError"],
        terminal=options.terminal,
        binds=options.binds,
        empty=options.empty,
        notes=options.notes,
        refusal=options.refusal or ("" if command[0] else f"{line[0]} is empty with the image's variables"),
    )


def _setup(
    lines: Sequence[tuple[str, ...]], given: Sequence[Variable | Expected], known: dict[str, str]
) -> tuple[tuple[Before, ...], dict[str, str]]:
    """What runs before, and the variables that it leaves: each step is an image of its own to the next."""
    before: list[Before] = []
    left: dict[str, str] = {}
    for line in lines:
        left = left | {one.key: expand(one.value, known | left) for one in given}
        before.append(Before(line, dict(left), must=False))
    return tuple(before), left


def _wanted(declared: Declared, key: str, patterns: Sequence[str], *, found: bool) -> tuple[Wanted, ...]:
    return tuple(
        Wanted(pattern, found, declared.at(f"{key}[{number}]")) for number, pattern in enumerate(patterns)
    )


def _existence(where: str, file: Existence1 | Existence2, known: Mapping[str, str]) -> FileTest:
    test = FileTest(
        id=f"file:{file.name}", where=where, path=file.path, engine=True,
        exists=file.should_exist, permissions=file.permissions,
    )  # fmt: skip
    if isinstance(file, Existence1):
        return test
    return msgspec.structs.replace(
        test, path=expand(file.path, known), uid=file.uid, gid=file.gid, executable_by=file.is_executable_by
    )


def _metadata(declared: Declared, content: Structure2) -> MetadataTest:
    said = content.metadata_test

    def values(key: str, given: Sequence[Expected]) -> tuple[Value, ...]:
        places = (declared.at(f"metadataTest.{key}[{number}]") for number in range(len(given)))
        return tuple(
            Value(one.key, one.value, one.is_regex, place) for one, place in zip(given, places, strict=True)
        )

    def named(key: str, given: Sequence[str], *, listed: bool) -> tuple[Named, ...]:
        return tuple(
            Named(name, listed, declared.at(f"metadataTest.{key}[{number}]"))
            for number, name in enumerate(given)
        )

    return MetadataTest(
        id="metadata",
        where=declared.at("metadataTest"),
        env=values("envVars", said.env_vars),
        no_env=named("unboundEnvVars", [one.key for one in said.unbound_env_vars], listed=False),
        labels=values("labels", said.labels),
        entrypoint=said.entrypoint,
        command=said.cmd,
        ports=(
            *named("exposedPorts", said.exposed_ports, listed=True),
            *named("unexposedPorts", said.unexposed_ports, listed=False),
        ),
        volumes=(
            *named("volumes", said.volumes, listed=True),
            *named("unmountedVolumes", said.unmounted_volumes, listed=False),
        ),
        workdir=said.workdir,
        user=said.user,
        places={
            name: declared.at(f"metadataTest.{key}")
            for name, key in (
                ("command", "cmd"),
                ("entrypoint", "entrypoint"),
                ("workdir", "workdir"),
                ("user", "user"),
            )
        },
    )


def _options(said: RunOptions, declared: Declared, root: Root, host: Mapping[str, str]) -> _Options:
    if not said.given:
        return _Options()
    notes: list[str] = []
    env: dict[str, str] = {}
    if said.env_file:
        text = _env_file(said.env_file, declared)
        if text is None:
            notes.append(f"there is no envFile {said.env_file}")
        env |= {name: value for name, value in variables(text or "").items() if value}
    absent = [name for name in said.env_vars if not host.get(name)]
    env |= {name: host[name] for name in said.env_vars if name not in absent}
    if said.privileged:
        notes.append("privileged: programs have an ordinary container's rights here")
    for name in said.capabilities:
        whole = name.upper() if name.upper().startswith("CAP_") else f"CAP_{name.upper()}"
        if whole not in CAPABILITIES:
            notes.append(f"the capability {whole} is not given here")
    binds, empty = _binds(said.bind_mounts, root)
    # An engine refuses to create a container with a variable that has no name.
    refusal = (
        f"the variable {absent[0]} of {declared.at('containerRunOptions.envVars')} is not set here"
        if absent
        else ""
    )
    return _Options(env, said.user, said.allocate_tty, binds, empty, tuple(notes), refusal)


def _env_file(name: str, declared: Declared) -> str | None:
    """Relative to where the program runs, as there; else to the file of tests."""
    for place in (Path(name), Path(declared.folder) / name):
        try:
            return place.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError):
            continue
    return None


def _binds(given: Sequence[str], root: Root) -> tuple[tuple[Bind, ...], tuple[str, ...]]:
    """Folders of this machine; an engine makes those that do not exist, here an empty one is lent instead."""
    binds, empty = [], []
    for text in given:
        source, _, rest = text.partition(":")
        target, _, mode = rest.partition(":")
        if not source.startswith("/"):  # a volume: it begins as what the image has there
            if locate(root, target)[1] is None:
                empty.append(target)
        elif os.path.exists(source):  # noqa: PTH110 - a string on both sides
            binds.append(Bind(source, target, read_only="ro" in mode.split(",")))
        else:
            empty.append(target)
    return tuple(binds), tuple(empty)
