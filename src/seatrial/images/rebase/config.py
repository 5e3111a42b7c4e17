"""The configuration of a rebased image: what the image says stays, what it inherited follows the new base.

Source: OCI image-spec v1.1, config.md and annotations.md.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from seatrial.images.assemble.config import image_config
from seatrial.images.assemble.image import source_date_epoch
from seatrial.images.assemble.spec import ImageSpec
from seatrial.images.rebase.base import ASSEMBLED, DIGEST, NAME

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from seatrial.images import layout as oci
    from seatrial.images.assemble.accounts import Account
    from seatrial.images.bases import Base

# Lists of folders: an image usually puts its own in front of the base's.
_PATHS = ("PATH", "LD_LIBRARY_PATH", "LIBRARY_PATH", "CPATH", "PYTHONPATH", "PKG_CONFIG_PATH")
_OF_THE_BASE = ("architecture", "os", "os.version", "os.features", "variant")
_OF_A_BUILD = ("container", "container_config", "docker_version", "id", "parent")
_SETS = ("ExposedPorts", "Volumes")


def assembled(
    image: oci.Image, old: dict[str, Any] | None, new: oci.Image, base: Base, user: Account,
    added: Sequence[tuple[str, str]], root: Path,
) -> dict[str, Any]:  # fmt: skip
    """The configuration of an image of Seatrial's own, as assembling it anew would write it.

    `added` are (what, diff_id) of the layers above the base; `root` is any folder.
    """
    spec = _spec(image.config.get("config") or {}, (old or {}).get("config") or {}, root)
    layers = len(new.manifest.layers)
    return image_config(spec, new.config, user, base, layers, added, source_date_epoch())


def _spec(mine: dict[str, Any], base: dict[str, Any], root: Path) -> ImageSpec:
    """What the specification must have said, given what came from the base."""
    env, inherited = variables(mine), variables(base)
    entrypoint, command = mine.get("Entrypoint") or (), mine.get("Cmd") or ()
    if entrypoint == (base.get("Entrypoint") or ()):
        entrypoint = ()
        command = () if command == (base.get("Cmd") or ()) else command
    ports = set(mine.get("ExposedPorts") or {}) - set(base.get("ExposedPorts") or {})
    labels, theirs = mine.get("Labels") or {}, base.get("Labels") or {}
    return ImageSpec(
        root=root,
        workdir=mine.get("WorkingDir") or "/",
        env={name: value for name, value in env.items() if inherited.get(name) != value},
        entrypoint=tuple(entrypoint),
        command=tuple(command),
        ports=tuple(sorted(int(n) for port in ports if (n := port.removesuffix("/tcp")).isdigit())),
        labels={k: v for k, v in labels.items() if k not in (NAME, DIGEST) and theirs.get(k) != v},
    )


def variables(settings: dict[str, Any]) -> dict[str, str]:
    """The environment of a container."""
    return dict(str(item).partition("=")[::2] for item in settings.get("Env") or ())


def merged(
    image: oci.Image, old: dict[str, Any] | None, new: oci.Image, base: Base, own: Sequence[tuple[int, str]],
    *, first: int,
) -> dict[str, Any]:  # fmt: skip
    """The configuration of any image: three-way, so without the old base's nothing that the image says changes.

    `own` are the number in the image and the diff_id of each layer that goes onto the new base; `first` is the
    number of the first layer that was not the old base's.
    """
    found = {k: v for k, v in image.config.items() if k not in (*_OF_A_BUILD, *_OF_THE_BASE)}
    found |= {k: new.config[k] for k in _OF_THE_BASE if new.config.get(k)}
    created = _created(image, new)
    found["created"] = created
    found["config"] = _settings(image.config.get("config") or {}, old, new.config.get("config") or {}, base)
    found["history"] = [*_base_history(new, created), *_own_history(image, old, own, first, created)]
    base_ids = list((new.config.get("rootfs") or {}).get("diff_ids") or ())
    found["rootfs"] = {"type": "layers", "diff_ids": [*base_ids, *(diff_id for _, diff_id in own)]}
    return dict(sorted(found.items()))


def _created(image: oci.Image, new: oci.Image) -> str:
    """`SOURCE_DATE_EPOCH`, else the later of the image and its new base: never the time of day."""
    if os.environ.get("SOURCE_DATE_EPOCH"):
        return datetime.fromtimestamp(source_date_epoch(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    times = [str(one.config.get("created") or "") for one in (image, new)]
    return max(times) or datetime.fromtimestamp(source_date_epoch(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _settings(
    mine: dict[str, Any], old: dict[str, Any] | None, theirs: dict[str, Any], base: Base
) -> dict[str, Any]:
    before = None if old is None else old.get("config") or {}
    found: dict[str, Any] = {}
    for key in sorted({*mine, *theirs}):
        found[key] = mine.get(key)
        if before is not None:
            found[key] = _three(before.get(key), mine.get(key), theirs.get(key))
    if before is not None and _plain(mine.get("Entrypoint")) != _plain(before.get("Entrypoint")):
        found["Cmd"] = mine.get("Cmd")  # an entry point of the image's own takes no arguments of the base's
    found["Env"] = [f"{k}={v}" for k, v in _environment(mine, before, theirs).items()]
    for key in _SETS:
        gone = set((before or {}).get(key) or {}) - set(theirs.get(key) or {})
        items = {
            **(theirs.get(key) or {}),
            **{k: v for k, v in (mine.get(key) or {}).items() if k not in gone},
        }
        found[key] = dict(sorted(items.items()))
    labels = _labels(mine, before or {}, theirs)
    if DIGEST in (mine.get("Labels") or {}):
        labels = {k: v for k, v in labels.items() if k != NAME} | marks(base)
    found["Labels"] = dict(sorted(labels.items()))
    return {key: value for key, value in found.items() if value not in (None, [], {}, "")}


def marks(base: Base) -> dict[str, str]:
    """What says which base an image stands on; the name of a folder says nothing elsewhere."""
    named = {} if base.name.startswith((".", "/", "~")) else {NAME: base.name}
    return {DIGEST: base.digest, **named}


def _three(before: Any, mine: Any, theirs: Any) -> Any:
    return theirs if _plain(before) == _plain(mine) else mine


def _plain(value: Any) -> Any:
    return None if value in ([], {}, "") else value


def _labels(mine: dict[str, Any], before: dict[str, Any], theirs: dict[str, Any]) -> dict[str, str]:
    old = before.get("Labels") or {}
    own = {k: v for k, v in (mine.get("Labels") or {}).items() if old.get(k) != v}
    return {**(theirs.get("Labels") or {}), **own}


def _environment(
    mine: dict[str, Any], before: dict[str, Any] | None, theirs: dict[str, Any]
) -> dict[str, str]:
    now, new = variables(mine), variables(theirs)
    if before is None:
        return {**new, **now}
    old = variables(before)
    found = dict(new)
    for name, value in now.items():
        if old.get(name) == value:
            continue  # inherited: as the new base has it, or not at all
        found[name] = _extended(name, old.get(name), value, new.get(name))
    return found


def _extended(name: str, before: str | None, mine: str, theirs: str | None) -> str:
    """A list of folders that the image made longer keeps its own part, around what the new base has."""
    if name not in _PATHS or not before or not theirs:
        return mine
    parts, inner = mine.split(":"), before.split(":")
    for start in range(len(parts) - len(inner) + 1):
        if parts[start : start + len(inner)] == inner:
            return ":".join([*parts[:start], theirs, *parts[start + len(inner) :]])
    return mine


def _base_history(new: oci.Image, created: str) -> list[dict[str, Any]]:
    entries = list(new.config.get("history") or ())
    layers = len(new.manifest.layers)
    if sum(not entry.get("empty_layer") for entry in entries) == layers:
        return entries
    return [{"created": created, "created_by": "base"}] * layers


def _own_history(
    image: oci.Image, old: dict[str, Any] | None, own: Sequence[tuple[int, str]], first: int, created: str
) -> list[dict[str, Any]]:
    """The entries after those of the old base, without those of layers that were left out."""
    entries = list(image.config.get("history") or ())
    if sum(not entry.get("empty_layer") for entry in entries) != len(image.manifest.layers):
        return [{"created": created, "created_by": f"layer {number + 1}"} for number, _ in own]
    inherited = list((old or {}).get("history") or ())
    start = len(inherited) if inherited and entries[: len(inherited)] == inherited else -1
    kept, found, number = {n for n, _ in own}, [], 0
    for position, entry in enumerate(entries):
        empty = bool(entry.get("empty_layer"))
        past = position >= start if start >= 0 else number >= first
        if past and (empty or number in kept):
            found.append(entry)
        number += not empty
    return found


def differences(
    image: oci.Image, old: dict[str, Any] | None, new: oci.Image, result: dict[str, Any]
) -> list[str]:
    """What a container gets otherwise than before, and what the base changed in vain. Own values are not shown."""
    mine, theirs = image.config.get("config") or {}, new.config.get("config") or {}
    now = result.get("config") or {}
    before = None if old is None else old.get("config") or {}
    found = []
    names = sorted(
        {*variables(mine), *variables(theirs), *variables(before or {})}, key=lambda n: (not _telling(n), n)
    )
    for name in names:
        sides = [variables(one).get(name) for one in (before or {}, mine, theirs, now)]
        found += _told(f"Env {name}", *sides, known=before is not None)
    for key in sorted({*mine, *theirs, *now} - {"Env", "Labels"}):
        sides = [_plain((one or {}).get(key)) for one in (before, mine, theirs, now)]
        found += _told(key, *sides, known=before is not None)
    return found


def _told(what: str, before: Any, mine: Any, theirs: Any, now: Any, *, known: bool) -> list[str]:
    if now != mine:
        return [f"{what} follows the new base: {_shown(mine)} → {_shown(now)}"]
    if known and before != theirs and mine not in (before, theirs) and before is not None:
        return [
            f"{what} stays as the image sets it; the base changed it from {_shown(before)} to {_shown(theirs)}"
        ]
    if not known and theirs is not None and theirs != mine:
        return [f"{what} stays as the image has it; the new base has {_shown(theirs)}"]
    return []


def _shown(value: Any) -> str:
    if value is None:
        return "(none)"
    if isinstance(value, list):
        return " ".join(str(item) for item in value)
    return ", ".join(sorted(value)) if isinstance(value, dict) else str(value)


def _telling(name: str) -> bool:
    return name in _PATHS or name.startswith(("CUDA", "NVIDIA", "NV_", "PYTHON", "LD_"))


def what(text: str) -> str:
    """A layer's history without the assembler's mark."""
    return text.removeprefix(ASSEMBLED)
