"""Results of steps that may be used again: same key, and everything it names is still there."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from seatrial.errors import SeatrialError
from seatrial.files import write_atomic

if TYPE_CHECKING:
    from seatrial.engine.plan import Step


def key_of(step: Step, what: dict[str, Any]) -> str:
    """The step's key: SHA-256 over its target, the inputs that count, the content of files, tools and code.

    Raises:
        SeatrialError: a file that counts cannot be read.
    """
    spec = step.key
    if spec is None:
        return ""
    inputs = what.get("inputs", what)
    value = {
        "target": what.get("target") or what.get("argv"),
        "inputs": {name: inputs.get(name) for name in spec.inputs},
        "files": {name: content_hash(Path(inputs[name])) for name in spec.files if inputs.get(name)},
        "tools": {tool: _identity(tool) for tool in spec.tools},
        "code": spec.code,
    }
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()


def content_hash(path: Path) -> str:
    """SHA-256 over a file, or over the names, modes and contents of everything in a folder.

    Raises:
        SeatrialError: something in it cannot be read.
    """
    total = hashlib.sha256()
    try:
        for place in [path] if path.is_file() else sorted(path.rglob("*")):
            name = place.relative_to(path).as_posix()
            if place.is_symlink():
                total.update(f"link {name} {place.readlink()}\n".encode())
            elif place.is_file():
                with place.open("rb") as stream:
                    digest = hashlib.file_digest(stream, "sha256").hexdigest()
                total.update(f"file {name} {place.stat().st_mode & 0o111} {digest}\n".encode())
    except OSError as error:
        raise SeatrialError(f"cannot read: {error.strerror}", where=str(error.filename or path)) from error
    return total.hexdigest()


class Result(NamedTuple):
    """What a step has put out, and the files and folders that it has made (name, path, size in bytes or -1)."""

    outputs: dict[str, Any]
    artifacts: list[dict[str, Any]]


def recall(folder: Path, key: str) -> Result | None:
    """The result kept under `key`, if there is one and every artifact is still there."""
    try:
        entry = json.loads((folder / f"{key}.json").read_bytes())
        present = all(_present(artifact) for artifact in entry["artifacts"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Result(entry["outputs"], entry["artifacts"]) if present else None


def remember(folder: Path, key: str, outputs: dict[str, Any], artifacts: list[dict[str, Any]]) -> None:
    """Keep a result under its key."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomic(folder / f"{key}.json", json.dumps({"outputs": outputs, "artifacts": artifacts}), mode=0o600)


def _present(artifact: dict[str, Any]) -> bool:
    path = Path(artifact["path"])
    return (
        path.is_dir() if artifact["size"] < 0 else path.is_file() and path.stat().st_size == artifact["size"]
    )


def _identity(tool: str) -> str:
    """Which program that is; asking it for its version would cost more than most cached steps."""
    path = shutil.which(tool) or shutil.which(tool, path="/usr/sbin:/sbin")
    if path is None:
        return "absent"
    status = Path(path).resolve().stat()
    return f"{path} {status.st_size} {status.st_mtime_ns}"
