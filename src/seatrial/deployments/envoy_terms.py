"""Names and forms that all parts of Envoy's configuration share."""

from __future__ import annotations

import re
from typing import Any

from seatrial.errors import SeatrialError

CONFIG = "envoy.json"
SOCKET = "control.sock"
RECORDER = "recorder.sock"
"""Where answers of both versions are sent to be compared; see `deployments.observing.shadow`."""
SLOTS, TESTED, SHADOW, ROUTES = "slots", "tested", "shadow", "routes"
COPIES = "copies"
HOME = "proxy"
"""The zone of Envoy itself; without one it counts nothing by zone."""
COPY_HEADER = "x-seatrial-copy"
TYPE = "type.googleapis.com/envoy."
FILTERS = TYPE + "extensions.filters.http."


def word(text: str, what: str, pattern: str) -> str:
    """The same text, when it is what Envoy can be given."""
    if not re.fullmatch(pattern, text):
        raise SeatrialError(f"{text[:80]!r} is not a {what} that Envoy can be given")
    return text


def resource(content: dict[str, Any]) -> dict[str, Any]:
    """A file that Envoy watches, with one thing in it."""
    return {"resources": [content]}


def watched(name: str) -> dict[str, Any]:
    """Where Envoy reads what may change: a file of that name beside the configuration."""
    return {"path_config_source": {"path": f"./{name}.json"}, "resource_api_version": "V3"}


def pipe(path: str) -> dict[str, Any]:
    """A socket in the file system, which only its owner may use."""
    return {"pipe": {"path": path, "mode": 0o600}}


def seconds(value: float) -> str:
    """A duration, at least a millisecond: 0 would mean none or for ever."""
    return f"{max(0.001, value):.3f}s"
