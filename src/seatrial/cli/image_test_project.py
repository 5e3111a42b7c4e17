"""What a project says about testing its image, for `seatrial image test --project DIR`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seatrial.config.model import Call
    from seatrial.images.testing.advice import Project
    from seatrial.images.testing.model import TestSpec


def chosen_project(folder: Path | None, name: str | None) -> Project | None:
    """The project that the command line names.

    Raises:
        UsageError: its settings cannot be read, it describes no image, or several and none is chosen.
    """
    from seatrial.errors import UsageError
    from seatrial.images.testing.advice import find_project

    if folder is None:
        if name is not None:
            raise UsageError("--image needs --project", fix="say in which project the image is described")
        return None
    project = find_project(folder.resolve(), name)
    if project is None:
        raise UsageError(
            "it does not say which image is meant",
            where=str(folder),
            fix="choose one with --image, or describe one under `images` in seatrial.yaml",
        )
    return project


def project_of(digest: str) -> Project | None:
    """The project that an image was assembled from on this machine, for advice only; None when that is not clear."""
    from seatrial.errors import SeatrialError
    from seatrial.images.outputs.records import origin
    from seatrial.images.testing.advice import find_project

    folder = origin(digest)
    try:
        return find_project(folder) if folder is not None else None
    except SeatrialError:
        return None  # it has changed since; there is only less to say


def spec_for(project: Project | None, given: dict[str, Any], scans: Sequence[str], source: str) -> TestSpec:
    """What is tested: what the project says, with what the command line says (`given`, by field) instead or as well."""
    from seatrial.config.load import load
    from seatrial.images.testing.model import TestSpec
    from seatrial.shipping.testing import spec_of

    spec = TestSpec()
    if project is not None:
        services = [s for s in load(project.folder).services.values() if s.image == project.name]
        service = msgspec.to_builtins(services[0]) if services else None
        spec = spec_of(str(project.folder), project.image, service)
        if service is None:
            spec = msgspec.structs.replace(spec, serves=None)
        given = {
            **given,
            "imports": (*spec.imports, *given["imports"]),
            "inference": tuple(map(_from_here, given["inference"])) or spec.inference,
        }
    gate = spec.vulnerabilities
    if scans:
        gate = msgspec.structs.replace(gate, reports=tuple(scans))
    reference = "" if source.startswith(("/", "./", "../")) or Path(source).exists() else source
    return msgspec.structs.replace(spec, **given, vulnerabilities=gate, reference=reference)


def with_configs(spec: TestSpec, files: Sequence[Path]) -> TestSpec:
    """The same with the checks that files declare.

    Raises:
        ConfigError: a file says something that cannot be.
    """
    from seatrial.images.testing.declared.reading import read

    return msgspec.structs.replace(spec, declared=(*spec.declared, *(read(file) for file in files)))


def _from_here(call: Call) -> Call:
    """Files on the command line are those of the current folder; all others are the project's."""
    names = {
        name: str(Path(value).absolute()) for name in ("request", "expect") if (value := getattr(call, name))
    }
    return msgspec.structs.replace(call, **names)
