"""`image fix --lock`: write every package of the final image of a folder, pinned."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from seatrial.checking import images, run
from seatrial.errors import SeatrialError, UsageError
from seatrial.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Mapping

    from seatrial.images.locking import Locked
    from seatrial.images.story.model import Story


class Written(msgspec.Struct, frozen=True):
    """The packages of a lock that was written, name → version, and what a user should know of it."""

    packages: Mapping[str, str]
    notes: tuple[str, ...]


def lock(folder: Path, file: Path, target: Mapping[str, str]) -> Written:
    """Write the lock of the image that `folder` is for to `file`: a `pylock.toml` where its name ends so, else requirements.

    Raises:
        UsageError: `file` cannot become a lock, the folder has no or several images, or which Python one has is not known.
        SeatrialError: what is asked for cannot be installed together, or the index cannot be asked. Nothing was written.
    """
    refuse(file)
    from seatrial.images import locking
    from seatrial.images.timeline import target as targets

    path = Path(os.path.relpath(file.absolute(), folder.absolute())).as_posix()
    subjects = run.subjects([folder], run.image_options(target, offline=False))
    if not subjects:
        raise UsageError("there is nothing to lock", where=str(folder))
    # A lock from before lies there; it is not what this one is made from.
    story = images.final(subjects, without=path if _hashed(file) else "")
    _keep(story, path)
    try:
        locked = locking.lock(story, targets.target(target))
    except SeatrialError as error:
        raise _seen_from_here(error, folder) from error
    write_atomic(file, text(locked, file.name))
    packages = {one.name: one.version for one in locked.pins}
    return Written(packages, (*locked.notes, *_missing(locked, file.name)))


def refuse(file: Path) -> None:
    """Say early where a lock cannot be.

    Raises:
        UsageError: the folder is not there, or the name belongs to another kind of file.
    """
    if not file.absolute().parent.is_dir():
        raise UsageError("there is no such folder", where=str(file.parent))
    if file.name == "pyproject.toml":
        raise UsageError(
            "a lock is a file of its own", where=str(file), fix="call it pylock.toml or requirements.lock"
        )


def text(locked: Locked, name: str) -> str:
    """The lock as the file `name`."""
    from seatrial.images.locking import pylock, requirements

    return pylock.to_text(locked, name) if name.endswith(".toml") else requirements.to_text(locked, name)


def _keep(story: Story, path: str) -> None:
    """What the image is made from is the user's own text; only what is a lock already may be written anew."""
    from seatrial.images.story.model import Install

    own = [
        one
        for stage in story.stages
        for step in stage.steps
        if isinstance(step, Install)
        for one in (*step.requests, *step.constraints)
        if one.at.source.path == path
    ]
    if path in story.sources and not (own and all(one.locked for one in own)):
        raise UsageError(
            "the lock would replace a file that it is made from",
            where=path,
            fix="give another name, such as requirements.lock",
        )


def _hashed(file: Path) -> bool:
    try:
        return "--hash=sha256:" in file.read_text("utf-8", "replace")
    except OSError:
        return False


def _seen_from_here(error: SeatrialError, folder: Path) -> SeatrialError:
    """The same error with its place as it is seen from the working directory."""
    if error.where is None:
        return error
    path = Path(os.path.relpath(folder)) / error.where
    return type(error)(error.what, where=path.as_posix(), why=error.why, fix=error.fix)


def _missing(locked: Locked, name: str) -> tuple[str, ...]:
    """What a `pylock.toml` needs that is not in it."""
    from seatrial.images.locking import pylock

    if not name.endswith(".toml"):
        return ()
    notes = []
    if name != "pylock.toml" and not (name.startswith("pylock.") and name.count(".") == 2):  # noqa: PLR2004 - pylock.NAME.toml
        notes.append(f"installers look for pylock.toml or pylock.NAME.toml, not for {name}")
    files = pylock.beside(locked)
    if files:
        notes.append(
            f"{len(files)} files are on an index that the project does not name; its address is not written, "
            "so they must lie beside the lock"
        )
    return tuple(notes)
