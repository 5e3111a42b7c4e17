"""Answers that were given before, by the content of the question: in this process and on the disk."""

from __future__ import annotations

import hashlib
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from seatrial import paths
from seatrial.files import write_atomic
from seatrial.locks import locked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from seatrial.images.solving.model import Ask, Setting

_FORMAT = 2
_DAY = 86400.0
_LONG, _SHORT = _DAY, 3600.0  # what is not there today may be published in an hour
_KEPT = 30 * _DAY  # for when the index cannot be asked

T = TypeVar("T")
_memory: dict[str, tuple[float, bytes]] = {}


class _Entry(msgspec.Struct, frozen=True, array_like=True):
    """An answer and until when it is good (seconds since the epoch)."""

    until: float
    answer: msgspec.Raw


def key_of(kind: str, asks: Sequence[Ask], setting: Setting, env: Mapping[str, str]) -> str:
    """Everything that can change the answer, hashed: addresses and variables may hold secrets."""
    settings = sorted(item for item in env.items() if item[0].startswith("UV_") and "CACHE" not in item[0])
    local = sorted(
        (address, _time_of(address))
        for address in (*setting.find_links, env.get("UV_FIND_LINKS", ""))
        if address.startswith(("/", "file:"))
    )
    content = [_FORMAT, kind, _uv_version(), list(asks), setting, settings, local]
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()


def recall(key: str, kind: type[T], *, anyhow: bool = False) -> T | None:
    """An answer that is still good, or, with `anyhow`, any that is there."""
    until, raw = _memory.get(key, (0.0, b""))
    if not raw:
        try:
            entry = msgspec.json.decode(_place(key).read_bytes(), type=_Entry)
        except (OSError, msgspec.MsgspecError):
            return None
        until, raw = entry.until, bytes(entry.answer)
        _memory[key] = (until, raw)
    if not anyhow and until < time.time():
        return None
    with suppress(msgspec.MsgspecError):
        return msgspec.json.decode(raw, type=kind)
    return None


def remember(key: str, answer: Any, *, short: bool = False) -> None:
    """Keep an answer for a day, or for an hour."""
    until = time.time() + (_SHORT if short else _LONG)
    raw = msgspec.json.encode(answer)
    _memory[key] = (until, raw)
    place = _place(key)
    place.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(place, msgspec.json.encode(_Entry(until, msgspec.Raw(raw))), mode=0o600)


@contextmanager
def answering(key: str) -> Iterator[None]:
    """Hold the right to find the answer, against other threads and other processes."""
    lock = _place(key).with_suffix(".lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with locked(lock):
        yield


def _place(key: str) -> Path:
    return paths.cache() / "solving" / "answers" / f"{key}.json"


def forget_old() -> None:
    """Remove what nobody has used for a month; looked at once a day."""
    root = paths.cache() / "solving"
    root.mkdir(parents=True, exist_ok=True)
    stamp = root / "swept"
    now = time.time()
    with suppress(OSError):
        if now - stamp.stat().st_mtime < _DAY:
            return
    stamp.touch()
    from seatrial.files import remove_tree

    for path in root.glob("*/*"):
        with suppress(OSError):
            if now - path.stat().st_mtime > _KEPT:
                remove_tree(path)


def _time_of(address: str) -> float:
    from pathlib import Path
    from urllib.parse import unquote, urlsplit

    try:
        return Path(unquote(urlsplit(address).path)).stat().st_mtime
    except (OSError, ValueError):
        return 0.0


def _uv_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("uv")
    except PackageNotFoundError:
        return ""
