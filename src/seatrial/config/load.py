"""The settings of a project: flag before environment before file before what is detected before default."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from seatrial.config import model
from seatrial.config.check import as_finding, problems_of
from seatrial.config.decode import decode, dotted
from seatrial.config.detect import detected
from seatrial.config.overrides import with_environment, with_flags
from seatrial.config.reading import UnreadableError, read_table
from seatrial.config.tree import Place, Table
from seatrial.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from seatrial.findings import Finding

FILE = "seatrial.yaml"


class ConfigError(UsageError):
    """Settings that cannot be used; `findings` has every reason, the message the first."""

    def __init__(self, findings: list[Finding]) -> None:
        first = findings[0]
        more = f" (and {len(findings) - 1} more: run `seatrial check`)" if len(findings) > 1 else ""
        super().__init__(
            first.message + more,
            where=f"{first.path}:{first.line}:{first.column}",
            why=first.cause or None,
            fix=f"{first.fix.title[0].lower()}{first.fix.title[1:]}" if first.fix else None,
        )
        self.findings = findings

    def __reduce__(self) -> tuple[object, ...]:
        return (ConfigError, (self.findings,))


class Setting(NamedTuple):
    """One effective setting. `source`: `seatrial.yaml:3:5`, a variable, a flag, what it was detected from, or default."""

    key: str
    value: Any
    source: str


class Loaded(NamedTuple):
    config: model.Config
    origins: dict[tuple[str, ...], Place]


def load(
    directory: Path, *, flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> model.Config:
    """The settings of the project in `directory`, which needs no seatrial.yaml.

    `flags` are settings by their dotted name (`images.*.platform`; see `overrides.with_flags`), None for
    those not given; `environ` is the process's environment unless given. Every service has its image named.

    Raises:
        ConfigError: the file, a variable or a flag says something that cannot be; all reasons are in it.
        UsageError: `directory` is no folder, or a variable or flag names no setting.
    """
    return _loaded(directory, flags or {}, os.environ if environ is None else environ).config


def explain(
    directory: Path, *, flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> list[Setting]:
    """Every effective setting and where it came from. Raises as `load` does."""
    loaded = _loaded(directory, flags or {}, os.environ if environ is None else environ)
    return list(_settings(loaded.config, (), loaded.origins))


def _loaded(directory: Path, flags: Mapping[str, Any], environ: Mapping[str, str]) -> Loaded:
    said = _read(directory)
    said = detected(directory, said)
    said = with_flags(with_environment(said, environ), flags)
    decoded = decode(said, model.Config)
    problems = problems_of(said, decoded, directory)
    if problems:
        ordered = sorted(problems, key=lambda one: (one.place.line, one.place.column))
        raise ConfigError([as_finding(problem, FILE) for problem in ordered])
    return _with_images(Loaded(decoded.value, decoded.origins))


def _read(directory: Path) -> Table:
    if not directory.is_dir():
        raise UsageError("there is no such folder", where=str(directory))
    file = directory / FILE
    other = directory / "seatrial.yml"
    if not file.exists() and other.exists():
        raise UsageError(f"the settings must be in {FILE}", where=str(other), fix=f"rename it to {FILE}")
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return Table((), Place("default", FILE))
    except OSError as error:
        raise UsageError(f"cannot read it: {error.strerror}", where=str(file)) from error
    except UnicodeDecodeError as error:
        raise UsageError(
            "the file is not UTF-8 text",
            where=str(file),
            why=f"byte {error.start} is 0x{error.object[error.start]:02x}",
        ) from error
    try:
        return read_table(FILE, text)
    except UnreadableError as error:
        raise ConfigError([error.finding]) from error


def _with_images(loaded: Loaded) -> Loaded:
    """Services that name no image get the only one there is."""
    config = loaded.config
    if len(config.images) != 1:
        return loaded
    (image,) = config.images
    origins = dict(loaded.origins)
    services = {}
    for name, service in config.services.items():
        services[name] = service
        if service.image is None:
            services[name] = msgspec.structs.replace(service, image=image)
            origins["services", name, "image"] = Place("detected", "the only image")
    return Loaded(msgspec.structs.replace(config, services=services), origins)


def _settings(value: Any, path: tuple[str, ...], origins: dict[tuple[str, ...], Place]) -> Iterator[Setting]:
    if isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _settings(getattr(value, name), (*path, name), origins)
    elif isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _settings(inner, (*path, name), origins)
    elif isinstance(value, tuple) and value and isinstance(value[0], msgspec.Struct):
        for index, inner in enumerate(value):
            yield from _settings(inner, (*path[:-1], f"{path[-1]}[{index}]"), origins)
    elif value not in (None, (), {}) or path in origins:
        yield Setting(dotted(path), value, str(_origin(path, origins)))


def _origin(path: tuple[str, ...], origins: dict[tuple[str, ...], Place]) -> Place:
    for length in range(len(path), 0, -1):
        if path[:length] in origins:
            return origins[path[:length]]
    return Place("default", "default")
