"""A registry on this machine: how Debian's `docker-registry` is configured and started. Nothing here starts it.

Source: the configuration reference of distribution 2.8.
"""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def config(storage: Path, port: int) -> str:
    """The configuration: 127.0.0.1:`port` only, images under `storage`, deletion allowed, no debug server.

    JSON, which YAML readers accept, so no path can change the meaning of the file.
    """
    return (
        json.dumps(
            {
                "version": "0.1",
                "log": {"level": "error", "accesslog": {"disabled": True}},
                "storage": {
                    "filesystem": {"rootdirectory": str(storage)},
                    "delete": {"enabled": True},
                    # What is known about blobs lives in memory: a blob deleted by another process would be promised.
                    "cache": {},
                    "maintenance": {
                        "uploadpurging": {"enabled": True, "age": "24h", "interval": "1h", "dryrun": False}
                    },
                },
                "http": {"addr": f"127.0.0.1:{port}", "headers": {"X-Content-Type-Options": ["nosniff"]}},
            },
            indent=2,
        )
        + "\n"
    )


def argv(config_path: Path, *, program: str = "docker-registry") -> list[str]:
    """The command that runs the registry in the foreground."""
    return [program, "serve", str(config_path)]


def environment() -> dict[str, str]:
    """Variables to add: a random secret for upload sessions, which belongs in no file and no command line."""
    return {"REGISTRY_HTTP_SECRET": secrets.token_hex(32), "OTEL_TRACES_EXPORTER": "none"}


def url(port: int) -> str:
    """The address of its API; it answers 200 when the registry is ready."""
    return f"http://127.0.0.1:{port}/v2/"


def ready(address: str) -> bool:
    """Whether a registry (and no other server) answers at `address`, such as `url(port)`; asked once."""
    from seatrial.transport import Retry, TransportError, connect, send

    with connect(retry=Retry(attempts=1), timeout=2) as link:
        try:
            answer = send(link, "GET", address, limit=1 << 16)
        except TransportError:
            return False
    version = answer.headers.get("Docker-Distribution-Api-Version", "")
    return answer.status_code in (200, 401) and version.startswith("registry/2")
