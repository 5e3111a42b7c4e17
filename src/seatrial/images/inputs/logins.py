"""Names and passwords for package indexes, from the places where pip, uv and Poetry look.

They are found anew for every run and live in memory alone: no lock, cache or message has them.
"""

from __future__ import annotations

import itertools
import os
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from seatrial.images.uv_program import without_credentials

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_ADDRESS = re.compile(r"[a-z+]*https?://[^\s'\"<>,\]]+@[^\s'\"<>,\]]+")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
_PORTS = {"http": 80, "https": 443}


class Login:
    """A name and a password for what lies below an address; neither is ever printed."""

    __slots__ = ("_password", "origin", "path", "user")

    def __init__(self, url: str, user: str, password: str) -> None:
        parts = urlsplit(url)
        self.origin = origin(url)
        self.path = parts.path.rstrip("/")
        self.user = user
        self._password = password

    @property
    def password(self) -> str:
        """What must not be shown."""
        return self._password

    def __repr__(self) -> str:
        return f"Login({self.origin})"


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of an address."""
    parts = urlsplit(url)
    scheme = parts.scheme.rpartition("+")[2]
    try:
        port = parts.port
    except ValueError:
        port = None
    return scheme, (parts.hostname or "").lower(), port or _PORTS.get(scheme, 0)


def find_logins(
    env: Mapping[str, str], files: Iterable[Path] = (), root: Path | None = None
) -> tuple[Login, ...]:
    """Every login that the environment, the user's settings and the project's `files` state; the nearest come first."""
    found = [*_of_texts(map(_text, files), env), *_of_texts(_variables(env), env)]
    tables = [_toml(place) for place in _uv_files(env, root)]
    poetry = _toml(root / "pyproject.toml") if root else {}
    found += _named(env, [*_indexes(tables), *_indexes([_table(poetry, "tool", "uv")])], "UV_INDEX_{}_{}")
    found += _of_texts([str(table) for table in tables], env)
    found += _of_poetry(env, _table(poetry, "tool", "poetry").get("source"))
    found += _of_texts(map(_text, _pip_files(env)), env)
    return tuple(found)


def authorization(url: str, logins: Iterable[Login], env: Mapping[str, str] | None = None) -> dict[str, str]:
    """The header that opens `url`: the login of the longest path on its host, else netrc, else keyring; empty without one."""
    pair = _pair(url, logins, os.environ if env is None else env)
    if pair is None:
        return {}
    import base64

    return {"Authorization": "Basic " + base64.b64encode(":".join(pair).encode()).decode()}


def with_login(url: str, logins: Iterable[Login], env: Mapping[str, str] | None = None) -> str:
    """The address with name and password in it, for a program that takes them no other way."""
    parts = urlsplit(url)
    if parts.password or parts.scheme not in ("http", "https"):
        return url
    pair = _pair(url, logins, os.environ if env is None else env)
    if pair is None:
        return url
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{quote(pair[0], safe='')}:{quote(pair[1], safe='')}@{host}"))


def netrc_text(logins: Iterable[Login], env: Mapping[str, str]) -> str:
    """A netrc file with these logins before the user's own: how uv is told of them without an argument."""
    lines = []
    for one in logins:
        words = (one.origin[1], one.user or "__token__", one.password)
        if one.password and not any(re.search(r"[\s\"'#\\]", word) for word in words):
            lines.append("machine {} login {} password {}".format(*words))
    own = _text(_netrc(env))
    return "\n".join([*dict.fromkeys(lines), own]) + "\n" if lines or own else ""


def _pair(url: str, logins: Iterable[Login], env: Mapping[str, str]) -> tuple[str, str] | None:
    place, path = origin(url), urlsplit(url).path
    there = [one for one in logins if one.origin == place]
    full = [one for one in there if one.password]
    if full:
        best = max(full, key=lambda one: _shared(one.path, path))
        return best.user, best.password
    asked = next((pair for one in there if (pair := _from_keyring(url, one.user, env))), None)
    # A token alone in an address is a name without a password.
    return _from_netrc(place[1], env) or asked or next(((one.user, "") for one in there), None)


def _shared(one: str, other: str) -> int:
    """How many folders two paths begin with in common."""
    parts = zip(one.split("/"), other.split("/"), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], parts))


def _from_netrc(host: str, env: Mapping[str, str]) -> tuple[str, str] | None:
    import netrc

    try:
        found = netrc.netrc(str(_netrc(env))).authenticators(host)
    except (OSError, netrc.NetrcParseError):
        return None
    return (found[0], found[2] or "") if found else None


def _netrc(env: Mapping[str, str]) -> Path:
    return Path(env.get("NETRC") or Path(env.get("HOME") or Path.home()) / ".netrc")


def _from_keyring(url: str, user: str, env: Mapping[str, str]) -> tuple[str, str] | None:
    """What the `keyring` program knows of a name; as with uv, it is asked only for addresses that have a name."""
    import shutil

    program = shutil.which("keyring", path=env.get("PATH"))
    if program is None or not user:
        return None
    from seatrial.processes import run

    bare = without_credentials(url)
    for service in (bare, urlsplit(bare).netloc):
        done = run([program, "get", service, user], env=env, timeout=60)
        if done.code == 0 and done.stdout.strip():
            return user, done.stdout.strip()
    return None


def _of_texts(texts: Iterable[str], env: Mapping[str, str]) -> Iterator[Login]:
    """Logins inside of addresses; `${NAME}` stands for a variable, as in requirement files."""
    for text in texts:
        for match in _ADDRESS.finditer(text) if "@" in text else ():
            url = _VARIABLE.sub(lambda one: env.get(one[1], one[0]), match.group())
            parts = urlsplit(url)
            if parts.username:
                yield Login(url, unquote(parts.username), unquote(parts.password or ""))


def _variables(env: Mapping[str, str]) -> Iterator[str]:
    for name, value in sorted(env.items(), key=lambda item: not item[0].startswith("UV_")):
        if name.startswith(("UV_", "PIP_")) and ("INDEX" in name or "FIND_LINKS" in name):
            yield value


def _indexes(tables: Iterable[dict[str, Any]]) -> list[tuple[str, str]]:
    """Name and address of each `[[index]]`."""
    listed = [one for table in tables for one in table.get("index") or () if isinstance(one, dict)]
    return [(str(one.get("name", "")), one["url"]) for one in listed if isinstance(one.get("url"), str)]


def _named(env: Mapping[str, str], named: Iterable[tuple[str, str]], pattern: str) -> Iterator[Login]:
    """Logins that variables state for an index by its name, also for `UV_INDEX=NAME=URL`."""
    words = " ".join(env.get(name, "") for name in ("UV_INDEX", "UV_DEFAULT_INDEX")).split()
    given = [
        (name, url)
        for name, equals, url in (one.partition("=") for one in words)
        if equals and "/" not in name
    ]
    for name, url in (*named, *given):
        stem = re.sub(r"[^A-Za-z0-9]", "_", name).upper()
        user, password = (env.get(pattern.format(stem, kind), "") for kind in ("USERNAME", "PASSWORD"))
        if name and (user or password):
            yield Login(url, user, password)


def _of_poetry(env: Mapping[str, str], sources: object) -> Iterator[Login]:
    """Poetry's own: `POETRY_HTTP_BASIC_NAME_…`, and its auth.toml. Source: https://python-poetry.org/docs/repositories/"""
    if not isinstance(sources, list):
        return
    named = [(str(one.get("name", "")), str(one.get("url", ""))) for one in sources if isinstance(one, dict)]
    yield from _named(env, named, "POETRY_HTTP_BASIC_{}_{}")
    folder = env.get("POETRY_CONFIG_DIR") or _config(env) / "pypoetry"
    basic = _table(_toml(Path(folder) / "auth.toml"), "http-basic")
    for name, url in named:
        one = _table(basic, name)
        if one.get("username"):
            yield Login(url, str(one["username"]), str(one.get("password", "")))


def _uv_files(env: Mapping[str, str], root: Path | None) -> list[Path]:
    """https://docs.astral.sh/uv/concepts/configuration-files/"""
    if env.get("UV_CONFIG_FILE"):
        return [Path(env["UV_CONFIG_FILE"])]
    if env.get("UV_NO_CONFIG", "").lower() in ("1", "true"):
        return []
    own = [root / "uv.toml"] if root else []
    return [*own, _config(env) / "uv" / "uv.toml", Path("/etc/uv/uv.toml")]


def _pip_files(env: Mapping[str, str]) -> list[Path]:
    """https://pip.pypa.io/en/stable/topics/configuration/"""
    home = Path(env.get("HOME") or Path.home())
    explicit = [Path(env["PIP_CONFIG_FILE"])] if env.get("PIP_CONFIG_FILE") else []
    return [*explicit, _config(env) / "pip" / "pip.conf", home / ".pip" / "pip.conf", Path("/etc/pip.conf")]


def _config(env: Mapping[str, str]) -> Path:
    return Path(env.get("XDG_CONFIG_HOME") or Path(env.get("HOME") or Path.home()) / ".config")


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError:
        return {}


def _table(data: dict[str, Any], *keys: str) -> dict[str, Any]:
    for key in keys:
        value = data.get(key)
        data = value if isinstance(value, dict) else {}
    return data
