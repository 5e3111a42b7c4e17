"""From where packages come: what the files ask for, what the user configured, and what of it can be asked from here."""

from __future__ import annotations

import os
import time
import tomllib
from functools import cache, lru_cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote, urlsplit

import msgspec

from seatrial.errors import SeatrialError
from seatrial.images.uv_program import without_credentials

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from seatrial.images.solving.model import Ask, Setting

PUBLIC = "https://pypi.org/simple"
PUBLIC_FILES = "files.pythonhosted.org"
"""Where the files that the public index lists are."""

_FRESH = 60.0  # seconds for which a server that does not answer is not asked again


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """What uv is told to ask. Addresses may hold credentials. An empty `default` is no index at all.

    `left_out` are addresses, fit to be shown, of places that the files name and that cannot be asked.
    `only_pytorch` says that all of them are PyTorch's own; `missing` names a place without which nothing can be told.
    """

    default: str = PUBLIC
    extras: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    only_pytorch: bool = True
    missing: str = ""

    @property
    def indexes(self) -> tuple[str, ...]:
        return (*((self.default,) if self.default else ()), *self.extras)


class _Mirror(msgspec.Struct, frozen=True):
    host: str
    source: str


class _PyTorch(msgspec.Struct, frozen=True):
    hosts: frozenset[str]
    previews: tuple[str, ...]
    source: str


class Known(msgspec.Struct, frozen=True):
    mirrors: tuple[_Mirror, ...]
    pytorch: _PyTorch
    companions: dict[str, tuple[str, ...]]


@cache
def known() -> Known:
    """The data of `places.yaml`."""
    import yaml

    text = resources.files("seatrial.images.solving").joinpath("places.yaml").read_text("utf-8")
    return msgspec.convert(yaml.safe_load(text), Known)


def find_places(setting: Setting, asks: Iterable[Ask], env: Mapping[str, str]) -> Places:
    """Decide what is asked; each place that the files add is tried once per process."""
    places = Places() if setting.no_index else _configured(env)
    if setting.no_index:
        places = msgspec.structs.replace(places, default="")
    if setting.index:
        places = _replace_default(places, setting.index)
    own = [ask.index for ask in asks if ask.index]
    if places.default and not places.missing and not reachable(places.default):
        return msgspec.structs.replace(places, missing=shown(places.default))
    for address in dict.fromkeys((*setting.extra_indexes, *own)):
        places = _add(places, address, "extras")
    for address in dict.fromkeys(setting.find_links):
        places = _add(places, address, "find_links")
    return places


def leave_out(places: Places, text: str) -> Places | None:
    """Places without those that uv's message names as out of reach; None: it names none that can be spared."""
    spare = [one for one in (*places.extras, *places.find_links) if _stem(one) in text]
    for address in spare:
        places = _without(
            msgspec.structs.replace(
                places,
                extras=tuple(one for one in places.extras if one != address),
                find_links=tuple(one for one in places.find_links if one != address),
            ),
            address,
        )
    return places if spare else None


def _stem(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"


def _replace_default(places: Places, address: str) -> Places:
    kind = _kind(address)
    if kind == "mirror":
        return places
    if kind == "usable":
        return msgspec.structs.replace(places, default=address, extras=())
    if kind == "pytorch":
        return _without(places, address)
    return msgspec.structs.replace(_without(places, address), missing=shown(address))


def _add(places: Places, address: str, field: Literal["extras", "find_links"]) -> Places:
    kind = _kind(address)
    if kind == "mirror":
        return places
    if kind != "usable":
        return _without(places, address)
    if field == "extras":
        return msgspec.structs.replace(places, extras=(*places.extras, address))
    return msgspec.structs.replace(places, find_links=(*places.find_links, address))


def _without(places: Places, address: str) -> Places:
    pytorch = _is_pytorch(address)
    taken = "; releases of the same version are taken from the default index instead" if pytorch else ""
    note = f"{shown(address)} cannot be asked from here and was left out{taken}"
    return msgspec.structs.replace(
        places,
        left_out=tuple(dict.fromkeys((*places.left_out, shown(address)))),
        notes=tuple(dict.fromkeys((*places.notes, note))),
        only_pytorch=places.only_pytorch and pytorch,
    )


def shown(address: str) -> str:
    """An address as it may be shown."""
    try:
        return without_credentials(address).partition("?")[0]
    except ValueError:
        return "an address that cannot be read"


def _kind(address: str) -> Literal["mirror", "usable", "pytorch", "unreachable"]:
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError:
        return "unreachable"
    if host in {one.host for one in known().mirrors} and "/simple" in f"{parts.path}/":
        return "mirror"
    if any(character in address for character in "$ \n\r\t\"'"):
        return "unreachable"  # a variable without a value, or no address at all
    if reachable(address):
        return "usable"
    return "pytorch" if _is_pytorch(address) else "unreachable"


def _is_pytorch(address: str) -> bool:
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    facts = known().pytorch
    return parts.hostname in facts.hosts and not parts.path.startswith(facts.previews)


def reachable(address: str) -> bool:
    """Whether something answers there, tried once a minute. Folders must exist; what a server answers is for uv to judge."""
    parts = urlsplit(address)
    if parts.scheme in ("", "file"):
        path = Path(unquote(parts.path) if parts.scheme else address)
        return path.is_absolute() and path.exists()
    if parts.scheme not in ("http", "https"):
        return False
    return _answers(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/", int(time.monotonic() / _FRESH))


@lru_cache(256)
def _answers(root: str, minute: int) -> bool:  # noqa: ARG001 - part of what is remembered
    from seatrial.transport import Retry, connect, send

    try:
        with connect(timeout=5, retry=Retry(attempts=1)) as link:
            answer = send(link, "HEAD", root)
    except SeatrialError:
        return False
    return answer.status_code not in (407, 502, 503, 504)


def _configured(env: Mapping[str, str]) -> Places:
    """What the user told uv: environment before configuration file."""
    config = _configuration(env)
    indexes = [
        one for one in config.get("index", ()) if isinstance(one, dict) and isinstance(one.get("url"), str)
    ]
    default = next((_named(one, env) for one in indexes if one.get("default")), "") or config.get(
        "index-url", ""
    )
    default = env.get("UV_DEFAULT_INDEX") or env.get("UV_INDEX_URL") or default or PUBLIC
    if _flag(env.get("UV_NO_INDEX", "")) or config.get("no-index") is True:
        default = ""
    extras = [
        *_words(env.get("UV_INDEX", "")),
        *_words(env.get("UV_EXTRA_INDEX_URL", "")),
        *(_named(one, env) for one in indexes if not one.get("default") and not one.get("explicit")),
        *_strings(config.get("extra-index-url")),
    ]
    links = [*_list(env.get("UV_FIND_LINKS", "")), *_strings(config.get("find-links"))]
    return Places(
        default=_unnamed(str(default)),
        extras=tuple(dict.fromkeys(map(_unnamed, extras))) if default else (),
        find_links=tuple(dict.fromkeys(links)),
    )


def _unnamed(index: str) -> str:
    """`NAME=URL` without the name."""
    name, separator, url = index.partition("=")
    return url if separator and "/" not in name else index


def _named(index: dict[str, Any], env: Mapping[str, str]) -> str:
    """An index of the configuration with the credentials that the environment has for its name."""
    url = str(index["url"])
    stem = "UV_INDEX_" + "".join(c if c.isalnum() else "_" for c in str(index.get("name", ""))).upper()
    user, password = env.get(f"{stem}_USERNAME", ""), env.get(f"{stem}_PASSWORD", "")
    if not (user or password):
        return url
    from urllib.parse import quote

    scheme, _, rest = url.partition("://")
    return f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{rest}"


def _configuration(env: Mapping[str, str]) -> dict[str, Any]:
    """What the user, else the machine, has configured for uv; never a file of the repository."""
    if explicit := env.get("UV_CONFIG_FILE"):
        return _toml(Path(explicit))
    if _flag(env.get("UV_NO_CONFIG", "")):
        return {}
    home = Path(env.get("XDG_CONFIG_HOME") or Path(env.get("HOME") or os.path.expanduser("~")) / ".config")  # noqa: PTH111
    found: dict[str, Any] = {}
    for place in (Path("/etc/uv/uv.toml"), home / "uv" / "uv.toml"):
        one = _toml(place)
        pip = one.pop("pip", {})
        found.update({**one, **(pip if isinstance(pip, dict) else {})})
    return found


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def _flag(text: str) -> bool:
    return text.strip().lower() in ("1", "true", "yes", "on", "t", "y")


def _words(text: str) -> list[str]:
    return text.split()


def _list(text: str) -> list[str]:
    return [one for one in text.split(",") if one]


def _strings(value: object) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
