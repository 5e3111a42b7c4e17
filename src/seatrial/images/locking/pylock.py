"""A lock as `pylock.toml`. Source: https://packaging.python.org/en/latest/specifications/pylock-toml/"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from seatrial.images.locking.requirements import header
from seatrial.images.solving.places import PUBLIC_FILES

if TYPE_CHECKING:
    from seatrial.images.locking.model import Locked, Pin
    from seatrial.images.solving.releases import File

_q = json.dumps  # a JSON string is a TOML basic string


def to_text(locked: Locked, name: str) -> str:
    """The file called `name`, with the files that the target can use.

    A file on the public index, or on a host that the image's own files name, has its address; of any other only the
    name is written, as a path beside the lock: which index a company asks is nobody else's business.
    """
    machine = f"sys_platform == 'linux' and platform_machine == '{locked.target.architecture}'"
    lines = [
        *header(locked, name),
        'lock-version = "1.0"',
        f"environments = [{_q(machine)}]",
        f"requires-python = {_q(f'=={locked.target.python}.*')}",
        'created-by = "seatrial"',
    ]
    hosts = {PUBLIC_FILES, *(urlsplit(one).netloc for one in _named(locked))}
    for one in locked.pins:
        lines += _package(one, hosts)
    lines += [
        "",
        "[tool.seatrial]",
        f"platform = {_q(locked.target.platform)}",
        f"glibc = {_q(locked.target.glibc)}",
    ]
    return "\n".join(lines) + "\n"


def beside(locked: Locked) -> tuple[str, ...]:
    """The names of files that must lie beside the lock, because their address is not written."""
    hosts = {PUBLIC_FILES, *(urlsplit(one).netloc for one in _named(locked))}
    return tuple(file.name for one in locked.pins for file in one.usable if not _has_address(file, hosts))


def _named(locked: Locked) -> tuple[str, ...]:
    return (locked.index, *locked.extra_indexes, *locked.find_links)


def _package(one: Pin, hosts: set[str]) -> list[str]:
    lines = ["", "[[packages]]", f"name = {_q(one.name)}", f"version = {_q(one.version)}"]
    wheels = [file for file in one.usable if file.wheel]
    if wheels:
        return [*lines, "wheels = [", *(f"    {_file(file, hosts)}," for file in wheels), "]"]
    return [*lines, f"sdist = {_file(one.usable[0], hosts)}"]


def _file(file: File, hosts: set[str]) -> str:
    place = f"url = {_q(file.url)}" if _has_address(file, hosts) else f"path = {_q(f'./{file.name}')}"
    return f"{{ name = {_q(file.name)}, {place}, hashes = {{ sha256 = {_q(file.sha256)} }} }}"


def _has_address(file: File, hosts: set[str]) -> bool:
    parts = urlsplit(file.url)
    return parts.scheme in ("http", "https") and parts.netloc in hosts
