"""The environment that a build runs in: what the project says that it is built with, placed like in a virtual environment.

Source: PEP 517, PEP 518 (`[build-system]`), PEP 405 (pyvenv.cfg).
"""

from __future__ import annotations

import os
import tomllib
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, cast

from seatrial.errors import SeatrialError
from seatrial.files import write_atomic
from seatrial.images.assemble.fetch import fetch, wheel_path
from seatrial.images.assemble.install import Scheme, write_wheels
from seatrial.images.assemble.wheel import read_wheel
from seatrial.images.building.model import BuildError, System, Workshop

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import IO

    from seatrial.images.assemble.layer import LayerWriter
    from seatrial.images.lock import LockedWheel
    from seatrial.images.resolve import Resolution

_INSIDE = "/build/env"
# PEP 517: what a project without `[build-system]` means. setuptools before 70.1 needs wheel besides.
LEGACY_REQUIRES = ("setuptools>=40.8.0", "wheel")
LEGACY_BACKEND = "setuptools.build_meta:__legacy__"


class Recipe(NamedTuple):
    """How a project says that it is built."""

    requires: tuple[str, ...]
    backend: str
    path: tuple[str, ...]


def read_recipe(project: Path, where: str) -> Recipe:
    """`[build-system]` of the project, or what its absence means.

    Raises:
        BuildError: the folder is no project, or says this in a way that no installer accepts.
    """
    place = project / "pyproject.toml"
    try:
        text = place.read_text("utf-8") if place.is_file() and not place.is_symlink() else ""
        table = tomllib.loads(text).get("build-system")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _malformed(where, f"pyproject.toml cannot be read: {error}") from error
    if table is None:
        if not text and not any((project / name).is_file() for name in ("setup.py", "setup.cfg")):
            raise BuildError(
                "this is no Python project", where=where, why="it has no pyproject.toml, setup.py or setup.cfg",
                fix="name the folder that has one (`subdirectory=` of an address)",
            )  # fmt: skip
        return Recipe(LEGACY_REQUIRES, LEGACY_BACKEND, ())
    if not isinstance(table, dict):
        raise _malformed(where, "`build-system` is no table")
    requires, path = _texts(table.get("requires")), _texts(table.get("backend-path", []))
    backend = table.get("build-backend", LEGACY_BACKEND)
    if requires is None or path is None or not isinstance(backend, str):
        raise _malformed(where, "`build-system` must have `requires`, a list of texts (PEP 518)")
    inside = project.resolve()
    for one in path:
        if os.path.isabs(one) or not (project / one).resolve().is_relative_to(inside):  # noqa: PTH117 - a text
            raise _malformed(where, f"`backend-path` leaves the project: {one!r}")
    return Recipe(requires, backend, path)


def _texts(value: object) -> tuple[str, ...] | None:
    """A list of texts; None when it is none."""
    return tuple(value) if isinstance(value, list) and all(isinstance(one, str) for one in value) else None


def _malformed(where: str, why: str) -> BuildError:
    return BuildError(
        "the project does not say how it is built", where=where, why=why, fix="correct pyproject.toml"
    )


def empty(folder: Path, system: System) -> None:
    """Make the environment without any package in the new `folder`."""
    scheme = _scheme(system)
    for place in (scheme.purelib, scheme.scripts):
        _outside(folder, place).mkdir(parents=True, exist_ok=True)
    write_atomic(
        folder / "pyvenv.cfg",
        f"home = {system.home}\ninclude-system-site-packages = false\nversion = {system.interpreter.version}\n",
    )
    for name in ("python", "python3", f"python{system.interpreter.target.python}"):
        (folder / "bin" / name).symlink_to(system.interpreter.executable)


def install(
    shop: Workshop, needed: Resolution, wheels: Sequence[LockedWheel], folder: Path, system: System
) -> None:
    """Fetch `wheels`, some of what is `needed`, and place them into the environment in `folder`.

    Raises:
        SeatrialError: one cannot be had, or is refused.
    """
    for wheel in wheels:
        shop.use.hold("wheels", wheel.sha256)
    fetch(wheels, needed.urls, logins=needed.logins, point=shop.point)
    read = [read_wheel(wheel_path(wheel.sha256), wheel.filename) for wheel in wheels]
    # It takes the same calls, and the bytes go to files instead of an archive.
    write_wheels(cast("LayerWriter", _Placer(folder)), read, _scheme(system))


def _scheme(system: System) -> Scheme:
    library = f"{_INSIDE}/lib/python{system.interpreter.target.python}/site-packages"
    return Scheme(
        purelib=library, platlib=library, scripts=f"{_INSIDE}/bin",
        headers=f"{_INSIDE}/include/site/python{system.interpreter.target.python}", data=_INSIDE,
        shebang=f"{_INSIDE}/bin/python",
    )  # fmt: skip


def _outside(folder: Path, inside: str) -> Path:
    path = "/" + inside.lstrip("/")
    if not path.startswith(_INSIDE + "/"):
        raise SeatrialError(f"{path} lies outside of the build's environment")
    return folder / path.removeprefix(_INSIDE + "/")


class _Placer:
    """Takes what a `LayerWriter` takes and writes it as files below a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._out: IO[bytes] | None = None

    def add_directory(self, name: str, *, mode: int = 0o755) -> None:
        if f"/{name}" != _INSIDE and f"/{name}/".startswith(_INSIDE + "/"):
            _outside(self._folder, name).mkdir(mode=mode, parents=True, exist_ok=True)

    def add_bytes(self, name: str, content: bytes, *, mode: int = 0o644) -> None:
        with self._open(name, mode) as out:
            out.write(content)

    @contextmanager
    def member(self, name: str, _size: int, *, mode: int = 0o644) -> Iterator[None]:
        with self._open(name, mode) as self._out:
            yield
        self._out = None

    def plain(self, data: bytes) -> None:
        if self._out is not None:
            self._out.write(data)

    def packed(self, data: bytes) -> None:
        """The compressed form is not wanted here."""

    def close_member(self, crc: int, size: int) -> None:
        """Nothing follows the content."""

    @contextmanager
    def _open(self, name: str, mode: int) -> Iterator[IO[bytes]]:
        place = _outside(self._folder, name)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        descriptor = os.open(
            place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        with os.fdopen(descriptor, "wb") as out:
            yield out
            os.fchmod(descriptor, mode)
