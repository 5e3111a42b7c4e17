"""Why an instance fails its health check: Envoy says only that it does, so we ask it ourselves, now and then."""

from __future__ import annotations

import http.client
import time
from typing import TYPE_CHECKING

import msgspec

from seatrial.files import write_atomic

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.deployments.proxy import ProxyStatus, SlotStatus

FAILED = "failed"
_FILE = "reasons.json"
_EVERY = 0.5
_PATIENCE = 0.05
"""Seconds. Whoever asks for the status is kept waiting, so this is short, and Envoy's verdict stands whatever comes."""


class Reasons(msgspec.Struct, frozen=True, kw_only=True):
    """What was found last, by slot and port, and when: asking more often would be a load of its own."""

    at: float = 0.0
    found: dict[str, str] = {}


def with_reasons(folder: Path, status: ProxyStatus, path: str) -> ProxyStatus:
    """The status in which the checks of sick slots say what their instances answer to `path`."""
    sick = {f"{slot.name}:{slot.port}": slot for slot in status.slots.values() if slot.check == FAILED}
    if not sick:
        return status
    known = _read(folder)
    if not sick.keys() <= known.found.keys() or not 0 <= time.time() - known.at < _EVERY:
        known = Reasons(at=time.time(), found={key: _asked(slot, path) for key, slot in sick.items()})
        write_atomic(folder / _FILE, msgspec.json.encode(known), mode=0o600)
    told = {slot.name: msgspec.structs.replace(slot, check=known.found[key]) for key, slot in sick.items()}
    return msgspec.structs.replace(status, slots=status.slots | told)


def _read(folder: Path) -> Reasons:
    try:
        return msgspec.json.decode((folder / _FILE).read_bytes(), type=Reasons)
    except (OSError, msgspec.DecodeError):
        return Reasons()


def _asked(slot: SlotStatus, path: str) -> str:
    connection = http.client.HTTPConnection(slot.host, slot.port, timeout=_PATIENCE)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
    except TimeoutError:
        return f"{FAILED}: no answer yet"
    except (OSError, http.client.HTTPException) as error:
        return f"{FAILED}: {getattr(error, 'strerror', None) or error or type(error).__name__}"
    else:
        return f"{FAILED}: {answer.status} {answer.reason}".rstrip()
    finally:
        connection.close()
