"""What Seatrial's own form asks of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.config.checks import LicenseCheck, MetadataCheck
from seatrial.images.runtimes.launch import Before
from seatrial.images.testing.declared.expanding import expand
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

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from seatrial.config.checks import Checks, CommandCheck, FileCheck
    from seatrial.images.rootfs import Root
    from seatrial.images.testing.declared.declaration import Declared

Test = CommandTest | ContentTest | FileTest | LicenseTest | MetadataTest


def tests(declared: Declared, content: Checks, root: Root) -> Iterator[Test]:
    """Every test but those over HTTP, which need the image started."""
    image = dict(str(item).partition("=")[::2] for item in root.settings.get("Env") or [])
    for number, command in enumerate(content.commands):
        yield _command(declared, command, f"commands[{number}]")
    for number, file in enumerate(content.files):
        yield from _file(declared, file, f"files[{number}]", image)
    if content.metadata != MetadataCheck():
        yield _metadata(declared, content.metadata)
    if content.licenses != LicenseCheck():
        said = content.licenses
        yield LicenseTest(
            id="license", where=declared.at("licenses"), debian=said.debian,
            files=said.files, deny=said.deny, allow=said.allow,
        )  # fmt: skip


def _command(declared: Declared, said: CommandCheck, key: str) -> CommandTest:
    return CommandTest(
        id=f"command:{said.name or ' '.join(said.command)[:60]}",
        where=declared.at(key),
        command=said.command,
        env=said.env,
        before=tuple(Before(line) for line in said.setup),
        user=said.user or "",
        workdir=said.workdir or "",
        network="host" if said.network else "none",
        exit_code=said.exit_code,
        output=(
            *_wanted(declared, f"{key}.output", said.output, found=True),
            *_wanted(declared, f"{key}.no_output", said.no_output, found=False),
        ),
        error=(
            *_wanted(declared, f"{key}.error", said.error, found=True),
            *_wanted(declared, f"{key}.no_error", said.no_error, found=False),
        ),
        timeout=said.timeout,
    )


def _file(
    declared: Declared, said: FileCheck, key: str, image: Mapping[str, str]
) -> Iterator[FileTest | ContentTest]:
    path, where, name = expand(said.path, image), declared.at(key), said.name or said.path
    yield FileTest(
        id=f"file:{name}",
        where=where,
        path=path,
        exists=said.exists,
        kind=said.kind or "",
        permissions=said.permissions or "",
        uid=-1 if said.uid is None else said.uid,
        gid=-1 if said.gid is None else said.gid,
        executable_by=said.executable_by or "",
    )
    wanted = (
        *_wanted(declared, f"{key}.contains", said.contains, found=True),
        *_wanted(declared, f"{key}.excludes", said.excludes, found=False),
    )
    if wanted and said.exists:
        yield ContentTest(id=f"content:{name}", where=where, path=path, wanted=wanted)


def _wanted(declared: Declared, key: str, patterns: Sequence[str], *, found: bool) -> tuple[Wanted, ...]:
    return tuple(
        Wanted(pattern, found, declared.at(f"{key}[{number}]")) for number, pattern in enumerate(patterns)
    )


def _metadata(declared: Declared, said: MetadataCheck) -> MetadataTest:
    def values(key: str, given: Mapping[str, str], *, pattern: bool) -> tuple[Value, ...]:
        return tuple(
            Value(name, value, pattern, declared.at(f"metadata.{key}.{name}"))
            for name, value in given.items()
        )

    def named(key: str, given: Sequence[object], *, listed: bool) -> tuple[Named, ...]:
        return tuple(
            Named(str(name), listed, declared.at(f"metadata.{key}[{number}]"))
            for number, name in enumerate(given)
        )

    return MetadataTest(
        id="metadata",
        where=declared.at("metadata"),
        env=values("env", said.env, pattern=False) + values("env_matches", said.env_matches, pattern=True),
        no_env=named("no_env", said.no_env, listed=False),
        labels=values("labels", said.labels, pattern=False)
        + values("label_matches", said.label_matches, pattern=True),
        entrypoint=said.entrypoint,
        command=said.command,
        ports=named("ports", said.ports, listed=True) + named("no_ports", said.no_ports, listed=False),
        volumes=named("volumes", said.volumes, listed=True)
        + named("no_volumes", said.no_volumes, listed=False),
        workdir=said.workdir or "",
        user=said.user or "",
        places={
            name: declared.at(f"metadata.{name}") for name in ("command", "entrypoint", "workdir", "user")
        },
    )
