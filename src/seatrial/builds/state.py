"""What a build carries from command to command, and what of it outlives the build.

Variables and values are kept in memory (/dev/shm) where there is such a place, and go with the build. What stays for
`resume` and `build shell` is written without values that are secrets, and without variables made from them.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seatrial.builds import shell
from seatrial.errors import SeatrialError
from seatrial.files import remove_tree, write_atomic
from seatrial.masking import Mask

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from seatrial.builds.setup import Place
    from seatrial.engine.call import Context
    from seatrial.engine.journal import Journal

KIND, WORKSPACE = "build-state", "build-workspace"
_HIDDEN = "hidden"
_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own in it, made for us alone
END = "END"
"""The name of what is kept when the build ends; what is kept at the start of a phase has the phase's name."""


def make(context: Context) -> Path:
    """An empty folder for the state of this run, in the ledger first; commands see the folder `tmp` in it.

    Raises:
        SeatrialError: somebody else has a folder of that name.
    """
    parent = _MEMORY if os.access(_MEMORY, os.W_OK | os.X_OK) else context.work
    folder = parent / f"seatrial-{context.run}"
    context.own(KIND, folder.name, {"path": str(folder)})
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _away(folder)
    folder.mkdir(mode=0o700)
    (folder / "tmp").mkdir(mode=0o700)
    return folder / "tmp"


def remove(journal: Journal, run_id: str, name: str, data: dict[str, Any]) -> None:  # noqa: ARG001 - the ledger's
    """Remove the state of a run; absent is fine."""
    _away(Path(data["path"]))


def own_workspace(context: Context, folders: Iterable[Path]) -> None:
    """Write into the ledger that `folders` are about to be made, before the container is: it writes into them, so
    they are removed after it.
    """
    context.own(WORKSPACE, context.run, {"paths": [str(folder) for folder in folders]})


def remove_workspace(journal: Journal, run_id: str, name: str, data: dict[str, Any]) -> None:  # noqa: ARG001
    """Remove the folders of a build that succeeded; those of another stay, to be looked at."""
    if succeeding(journal, run_id):
        for path in data["paths"]:
            remove_tree(Path(path))


def succeeding(journal: Journal, run_id: str) -> bool:
    """Whether no phase has failed and nobody has asked to stop."""
    rows = journal.rows("SELECT status FROM stages WHERE run=?", run_id)
    return not journal.run(run_id)["request"] and all(row["status"] != "fail" for row in rows)


def _away(folder: Path) -> None:
    try:
        known = folder.lstat()
    except FileNotFoundError:
        return
    if known.st_uid != os.geteuid() or not stat.S_ISDIR(known.st_mode):
        raise SeatrialError("somebody else has a file of that name", where=str(folder), fix="remove it")
    remove_tree(folder)


# Values


def hidden(place: Place | str) -> dict[str, str]:
    """Variables whose values must be nowhere on disk; none where there is no state."""
    return _hidden(place)["variables"]  # type: ignore[no-any-return]


def masked(place: Place | str) -> list[str]:
    """All texts that must not be shown: the values of those variables, and what is inside of those that are JSON."""
    return _hidden(place)["masked"]  # type: ignore[no-any-return]


def hide(place: Place | str, values: Mapping[str, str], *, masked: Iterable[str] = ()) -> None:
    """Add such variables."""
    if values or masked:
        before = _hidden(place)
        now = {
            "variables": {**before["variables"], **values},
            "masked": sorted({*before["masked"], *values.values(), *masked}),
        }
        write_atomic(_root(place) / _HIDDEN, json.dumps(now), mode=0o600)


def _hidden(place: Place | str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((_root(place) / _HIDDEN).read_bytes())
    except FileNotFoundError:
        return {"variables": {}, "masked": []}
    return found


def _root(place: Place | str) -> Path:
    return Path(place if isinstance(place, str) else place.state).parent


# Variables and folder


def begin(place: Place, variables: Mapping[str, str], folder: str) -> None:
    """What the first command finds."""
    write_atomic(Path(place.state) / shell.STATE_FILE, shell.exports(variables), mode=0o600)
    write_atomic(Path(place.state) / shell.FOLDER_FILE, f"{folder}\n", mode=0o600)


def has_begun(place: Place) -> bool:
    """Whether there is something for a command to find."""
    return (Path(place.state) / shell.STATE_FILE).exists()


def variables(place: Place) -> dict[str, str]:
    """The variables as the last command left them."""
    try:
        text = (Path(place.state) / shell.STATE_FILE).read_text(errors="surrogateescape")
    except FileNotFoundError:
        return {}
    return shell.read_exports(text)


def assign(place: Place, name: str, value: str) -> None:
    """Set a variable for the next command."""
    with (Path(place.state) / shell.STATE_FILE).open("a") as stream:
        stream.write(shell.exports({name: value}))


def folder(place: Place) -> str:
    """Where the next command begins, as the container sees it."""
    return (Path(place.state) / shell.FOLDER_FILE).read_text(errors="surrogateescape").removesuffix("\n")


def keep(place: Place, name: str) -> None:
    """Write down variables and folder as they are now, without what is secret."""
    values = hidden(place)
    mask = Mask(masked(place))
    left = {
        key: value
        for key, value in variables(place).items()
        if key not in values and mask.text(value) == value
    }
    kept = Path(place.kept)
    kept.mkdir(mode=0o700, parents=True, exist_ok=True)
    data = json.dumps({"variables": left, "folder": folder(place)})
    write_atomic(kept / f"{name}.json", data, mode=0o600)


def kept(place: Place | str, name: str) -> tuple[dict[str, str], str]:
    """What `keep` wrote down.

    Raises:
        SeatrialError: nothing was.
    """
    file = Path(place if isinstance(place, str) else place.kept) / f"{name}.json"
    try:
        found = json.loads(file.read_bytes())
    except FileNotFoundError as error:
        raise SeatrialError(
            "the build has kept nothing to go on from", where=str(file), fix="start the build again"
        ) from error
    return found["variables"], found["folder"]
