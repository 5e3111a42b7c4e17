"""How this machine's apt reaches its mirrors: sources, proxies, certificates, credentials. None of it stays in an image."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from seatrial.errors import MissingToolError
from seatrial.images.runtimes.host import ca_bundle
from seatrial.images.system.sources import AptSettings, parse
from seatrial.processes import run

if TYPE_CHECKING:
    from collections.abc import Sequence

_FOLDER = Path("/etc/apt")
# Source: apt.conf(5), apt-transport-http(1), apt-transport-https(1). The certificate options name files.
_PASSED = re.compile(
    r"Acquire::(https?::.*(Proxy|CAInfo|SslCert|SslKey|Verify-Peer|Verify-Host)|Check-Valid-Until|Check-Date|Retries)",
    re.IGNORECASE,
)
_FILES = re.compile(r".*(CAInfo|SslCert|SslKey)", re.IGNORECASE)


def apt_settings() -> AptSettings:
    """What this machine's apt is configured with, empty where there is no apt.

    Certificates that the environment names count when apt's own configuration names none.
    """
    options = apt_options()
    if not any(name.lower() == "acquire::https::cainfo" for name, _ in options) and (
        bundle := ca_bundle(os.environ)
    ):
        options.append(("Acquire::https::CAInfo", bundle))
    listed = [_FOLDER / "sources.list", *sorted((_FOLDER / "sources.list.d").glob("*"))]
    files = [
        (p.name, p.read_text("utf-8", "replace")) for p in listed if p.is_file() and os.access(p, os.R_OK)
    ]
    secret = [_FOLDER / "auth.conf", *sorted((_FOLDER / "auth.conf.d").glob("*.conf"))]
    return AptSettings(
        sources=tuple(parse(f for f in files if f[0].endswith((".list", ".sources")))),
        options=tuple(options),
        credentials=tuple(str(p) for p in secret if p.is_file() and os.access(p, os.R_OK)),
    )


def apt_options() -> list[tuple[str, str]]:
    """Options that say how servers are reached, as (name, value)."""
    try:
        dump = run(["apt-config", "dump"], timeout=10).stdout
    except MissingToolError:
        return []
    found = re.findall(r'^(\S+) "(.+)";$', dump, re.MULTILINE)
    return [(name, value) for name, value in found if _PASSED.fullmatch(name)]


def names_file(option: str) -> bool:
    """Whether the option's value is a path."""
    return _FILES.fullmatch(option) is not None


def conf(options: Sequence[tuple[str, str]]) -> str:
    """The text of an apt.conf."""
    return "".join(f'{name} "{value}";\n' for name, value in options)


def write_private(path: Path, text: str) -> None:
    """Write a file for its owner alone: mirrors and proxies may have passwords."""
    path.touch(mode=0o600)
    path.write_text(text)
