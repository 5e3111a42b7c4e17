"""User names and passwords for registries, from the places where other tools keep them, and from AWS for its own.

Sources: containers-auth.json(5), and Docker's `docker login` and docker-credential-helpers documentation.
"""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.errors import MissingToolError, SeatrialError
from seatrial.images.reference import DOCKER_HUB

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_HUB_KEYS = ("https://index.docker.io/v1/", "index.docker.io", DOCKER_HUB, "registry-1.docker.io")


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """A user name and password, or an identity token. `source` says where they were found; it holds no secret.

    `life` is how many seconds they are good for from when they were found; 0 when that is not known.
    """

    username: str = ""
    password: str = ""
    identity_token: str = ""
    source: str = ""
    life: float = 0.0

    def __repr__(self) -> str:
        return f"Credentials(source={self.source!r})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("source", self.source)]


def find(registry: str, repository: str = "", *, env: Mapping[str, str] | None = None) -> Credentials | None:
    """Look up credentials for a registry, the most specific entry of the first file that has one.

    Returns None when nobody has logged in. `env` is the environment, by default this process's.

    Raises:
        SeatrialError: a credentials file is damaged, or a credential helper failed.
        MissingToolError: a credential helper that the file names is not installed.
    """
    variables = os.environ if env is None else env
    for path in places(variables):
        content = _read(path)
        if content is None:
            continue
        found = _from_file(path, content, registry, repository, variables)
        if found is not None:
            return found
    return None


def on_request(registry: str) -> Callable[[], Credentials] | None:
    """How to get a password for a registry that hands one out for other credentials; None when it is not such a one."""
    from seatrial.cloud import ecr

    amazon = ecr.parse_host(registry)
    if amazon is None:
        return None

    def log_in() -> Credentials:
        login = ecr.login(amazon)
        return Credentials(
            username=login.username,
            password=login.password,
            source=f"AWS ({amazon.region})",
            life=login.life,
        )

    return log_in


def places(env: Mapping[str, str]) -> list[Path]:
    """The files that may hold credentials, first one first."""
    home = Path(env["HOME"]) if env.get("HOME") else Path.home()
    runtime = env.get("XDG_RUNTIME_DIR")
    settings = Path(env["XDG_CONFIG_HOME"]) if env.get("XDG_CONFIG_HOME") else home / ".config"
    docker = Path(env["DOCKER_CONFIG"]) if env.get("DOCKER_CONFIG") else home / ".docker"
    candidates = [
        Path(env["REGISTRY_AUTH_FILE"]) if env.get("REGISTRY_AUTH_FILE") else None,
        Path(runtime) / "containers/auth.json" if runtime else None,
        settings / "containers/auth.json",
        docker / "config.json",
    ]
    return [path for path in candidates if path is not None]


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = msgspec.json.decode(path.read_bytes() or b"{}")
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not JSON"
        raise SeatrialError(
            "the registry credentials cannot be read",
            where=str(path),
            why=reason,
            fix="log in again, or correct the file",
        ) from error
    if not isinstance(content, dict):
        raise SeatrialError(
            "the registry credentials cannot be read", where=str(path), why="it is not a JSON object"
        )
    return content


def _from_file(
    path: Path, content: dict[str, Any], registry: str, repository: str, env: Mapping[str, str]
) -> Credentials | None:
    keys = _keys(registry, repository)
    helpers = {_normal(key): str(value) for key, value in _table(content, "credHelpers").items()}
    entries = {_normal(key): value for key, value in _table(content, "auths").items()}
    for key in keys:
        if key in helpers:
            return _from_helper(path, helpers[key], registry, env)
        if key in entries:
            found = _from_entry(path, key, entries[key])
            if found is not None:
                return found
    store = content.get("credsStore")
    return _from_helper(path, store, registry, env) if isinstance(store, str) and store else None


def _table(content: dict[str, Any], name: str) -> dict[str, Any]:
    value = content.get(name) or {}
    return value if isinstance(value, dict) else {}


def _keys(registry: str, repository: str) -> list[str]:
    """The names an entry may have: `host/team/app`, `host/team`, `host`."""
    hosts = [_normal(key) for key in _HUB_KEYS] if registry == DOCKER_HUB else [registry]
    parts = repository.split("/") if repository else []
    return [
        *(f"{host}/" + "/".join(parts[:count]) for host in hosts for count in range(len(parts), 0, -1)),
        *dict.fromkeys(hosts),
    ]


def _normal(key: str) -> str:
    """`https://host/v1/` and `host` are the same registry."""
    bare = key.split("://", 1)[-1].rstrip("/")
    for version in ("/v1", "/v2"):
        bare = bare.removesuffix(version)
    return bare


def _from_entry(path: Path, key: str, entry: Any) -> Credentials | None:
    if not isinstance(entry, dict):
        return None
    source = f"{path} ({key})"
    if entry.get("identitytoken"):
        return Credentials(identity_token=str(entry["identitytoken"]), source=source)
    if entry.get("username") and entry.get("password"):
        return Credentials(username=str(entry["username"]), password=str(entry["password"]), source=source)
    if not entry.get("auth"):
        return None
    try:
        username, colon, password = (
            base64.b64decode(str(entry["auth"]), validate=True).decode().partition(":")
        )
    except (binascii.Error, UnicodeDecodeError):
        colon = username = password = ""
    if not colon:
        raise SeatrialError(
            f"the entry for {key} is damaged",
            where=str(path),
            why="`auth` is not base64 of USER:PASSWORD",
            fix="log in again",
        )
    return Credentials(username=username, password=password.rstrip("\0"), source=source)


def _from_helper(path: Path, helper: str, registry: str, env: Mapping[str, str]) -> Credentials | None:
    """Ask `docker-credential-NAME get`: the server's name goes in by stdin, so nothing is in the process list."""
    from seatrial.processes import run

    if not helper.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise SeatrialError(f"{helper[:80]!r} is not the name of a credential helper", where=str(path))
    program = f"docker-credential-{helper}"
    server = _HUB_KEYS[0] if registry == DOCKER_HUB else registry
    try:
        done = run([program, "get"], stdin=server, env=env, timeout=60)
    except MissingToolError as error:
        raise MissingToolError(
            f"{program} is not installed",
            where=str(path),
            why="this file says that it keeps the registry credentials",
            fix=f"install {program}, or remove it from the file and log in again",
        ) from error
    if done.code != 0:
        said = (done.stdout + done.stderr).strip()
        if "credentials not found" in said.lower():
            return None
        raise SeatrialError(
            f"{program} failed for {registry}",
            where=str(path),
            why=f"exit code {done.code}",  # what it printed may hold a secret
            fix=f"try `echo {server} | {program} get` by hand",
        )
    return _helper_answer(path, program, done.stdout)


def _helper_answer(path: Path, program: str, stdout: str) -> Credentials | None:
    try:
        answer = msgspec.json.decode(stdout)
        username, secret = str(answer["Username"]), str(answer["Secret"])
    except (msgspec.MsgspecError, KeyError, TypeError):
        # The cause would carry what the helper printed.
        raise SeatrialError(
            f"{program} gave an answer that is not of its protocol", where=str(path)
        ) from None
    if not secret:
        return None
    if username == "<token>":
        return Credentials(identity_token=secret, source=program)
    return Credentials(username=username, password=secret, source=program)
