"""What a build gets from this machine, and what of it must not be found in the image.

Certificates, package indexes and logins are files that are mounted while a RUN runs; variables that name them are
build arguments, so they end with the build. Proxies are arguments that every builder knows and keeps out of history.
Sources: Docker "Build secrets" and "Predefined ARGs"; pip, uv, npm and apt on their configuration files.
"""

from __future__ import annotations

import configparser
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

import msgspec

from seatrial.errors import SeatrialError, UsageError
from seatrial.images.builders.certificates import private_marks
from seatrial.images.runtimes.host import PROXY_VARIABLES, ca_bundle
from seatrial.images.system.machine import apt_options, conf, names_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

INSIDE = "/run/secrets/seatrial"
"""Where what is passed is seen. Every engine makes /run anew when a container starts."""
_CA_VARIABLES = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "PIP_CERT",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO",
    "AWS_CA_BUNDLE",
)
_LARGEST = 500 << 10  # BuildKit takes no larger secret.
_SHORTEST = 6
# Of pip's settings those that say where packages are. Places of this machine's disk mean nothing in a container.
_PIP = (
    "index-url",
    "extra-index-url",
    "find-links",
    "trusted-host",
    "timeout",
    "retries",
    "proxy",
    "no-index",
)


class Mark(NamedTuple):
    """Bytes that must not be in an image, and what they are; `kind` is shown, `value` never."""

    kind: str
    value: bytes


class Passing(msgspec.Struct, frozen=True, kw_only=True):
    """`files`: name of the secret → file here; `places`: name → where RUN sees it. `variables` are set while RUN
    runs; they hold no values of this machine. `environment` are proxies, handed on as arguments of those names.
    `marks` must not be found in the result. `notes` say what could not be passed.
    """

    files: dict[str, Path] = {}
    places: dict[str, str] = {}
    variables: dict[str, str] = {}
    environment: dict[str, str] = {}
    marks: tuple[Mark, ...] = ()
    notes: tuple[str, ...] = ()


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which of this machine's settings are passed, and the build's own secrets: name → `src=FILE` or `env=NAME`."""

    certificates: bool = True
    proxies: bool = True
    indexes: bool = True
    secrets: tuple[str, ...] = ()


def gather(wanted: Wanted, folder: Path, env: Mapping[str, str] | None = None) -> Passing:
    """Write what is passed into `folder` (its owner's alone) and say where it goes.

    Raises:
        UsageError: a secret is written wrongly, or is not there.
        SeatrialError: the certificates are more than a builder takes.
    """
    env = os.environ if env is None else env
    parts = [_secrets(wanted.secrets, folder, env)]
    parts += [_certificates(env)] if wanted.certificates else []
    parts += [_proxies(env)] if wanted.proxies else []
    parts += [_pip(folder, env), _uv(folder, env), _npm(env), _apt(folder, certificates=wanted.certificates)] if wanted.indexes else []  # fmt: skip
    return _together(parts)


def _together(parts: Sequence[Passing]) -> Passing:
    return Passing(
        files={k: v for part in parts for k, v in part.files.items()},
        places={k: v for part in parts for k, v in part.places.items()},
        variables={k: v for part in parts for k, v in part.variables.items()},
        environment={k: v for part in parts for k, v in part.environment.items()},
        marks=tuple(dict.fromkeys(mark for part in parts for mark in part.marks)),
        notes=tuple(note for part in parts for note in part.notes),
    )


def _secrets(asked: Sequence[str], folder: Path, env: Mapping[str, str]) -> Passing:
    files: dict[str, Path] = {}
    marks: list[Mark] = []
    for text in asked:
        fields = dict(part.partition("=")[::2] for part in text.split(","))
        name, source, variable = (
            fields.get("id", ""),
            fields.get("src") or fields.get("source"),
            fields.get("env"),
        )
        if (
            not re.fullmatch(r"[A-Za-z0-9_.-]+", name)
            or name.startswith("seatrial-")
            or bool(source) == bool(variable)
        ):
            raise UsageError(
                f"--secret {text.partition(',')[0]!r} is not understood",
                fix="write --secret id=NAME,src=FILE or --secret id=NAME,env=VARIABLE",
            )
        if variable and variable not in env:
            raise UsageError(
                f"the variable {variable} of the secret {name} is not set", fix=f"export {variable}"
            )
        try:
            value = env[variable].encode() if variable else Path(source or "").expanduser().read_bytes()
        except OSError as error:
            raise UsageError(f"the secret {name} cannot be read: {error.strerror}", where=source) from error
        files[name] = _private(folder / f"secret-{name}", value)
        marks += [Mark(f"the secret {name}", one) for one in _values(value)]
    return Passing(files=files, marks=tuple(marks))


def _values(value: bytes) -> list[bytes]:
    """The whole secret, and each line of it that is long enough to be one."""
    lines = [line.strip() for line in value.splitlines()]
    return [one for one in dict.fromkeys([value.strip(), *lines]) if len(one) >= _SHORTEST]


def _certificates(env: Mapping[str, str]) -> Passing:
    bundle = ca_bundle(env)
    if bundle is None:
        return Passing(notes=("this machine has no bundle of certificates to pass",))
    if Path(bundle).stat().st_size > _LARGEST:
        raise SeatrialError(
            "the bundle of certificates is larger than builders take", where=bundle,
            why="a secret has at most 500 KiB", fix="name a smaller one in SSL_CERT_FILE, or pass none with --no-certificates",
        )  # fmt: skip
    place = f"{INSIDE}/ca.pem"
    marks = tuple(Mark("a certificate of this machine", one) for one in private_marks(Path(bundle)))
    return Passing(
        files={"seatrial-ca": Path(bundle)},
        places={"seatrial-ca": place},
        variables=dict.fromkeys(_CA_VARIABLES, place),
        marks=marks,
    )


def _proxies(env: Mapping[str, str]) -> Passing:
    found = {name: value for name, value in env.items() if name.upper() in PROXY_VARIABLES and value}
    marks = []
    for name, value in found.items():
        if name.upper() != "NO_PROXY":
            marks += [
                Mark("the address of a proxy", value.encode()),
                *_passwords(value, "the login of a proxy"),
            ]
    return Passing(environment=found, marks=tuple(mark for mark in marks if len(mark.value) >= _SHORTEST))


def _passwords(address: str, kind: str) -> list[Mark]:
    """The login in an address, as it is written and as it is meant."""
    try:
        parts = urlsplit(address.strip())
        secret = parts.password or (parts.username if parts.scheme and parts.username else "") or ""
    except ValueError:
        return []
    return [
        Mark(kind, one.encode()) for one in dict.fromkeys((secret, unquote(secret))) if len(one) >= _SHORTEST
    ]


def _pip(folder: Path, env: Mapping[str, str]) -> Passing:
    settings: dict[str, str] = {}
    for path in _pip_files(env):
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue  # pip says what is wrong with it, where it is used
        for section in ("global", "install"):
            if parser.has_section(section):
                settings |= {k.replace("_", "-"): v for k, v in parser.items(section)}
    settings |= {
        name[4:].lower().replace("_", "-"): value for name, value in env.items() if name.startswith("PIP_")
    }
    kept, lost = {}, []
    for name in _PIP:
        words = settings.get(name, "").split()
        reachable = [word for word in words if not _local(word) or name not in ("index-url", "extra-index-url", "find-links")]  # fmt: skip
        lost += [name] if len(reachable) < len(words) else []
        if reachable:
            kept[name] = "\n    ".join(reachable)
    notes = tuple(f"pip's {name} names a folder of this machine, which the build cannot see" for name in lost)
    if not kept:
        return Passing(notes=notes)
    text = "[global]\n" + "".join(f"{name} = {value}\n" for name, value in kept.items())
    marks = [
        mark
        for value in kept.values()
        for word in value.split()
        for mark in _passwords(word, "a login of pip's index")
    ]
    return Passing(
        files={"seatrial-pip": _private(folder / "pip.conf", text.encode())},
        places={"seatrial-pip": f"{INSIDE}/pip.conf"},
        variables={"PIP_CONFIG_FILE": f"{INSIDE}/pip.conf"},
        marks=tuple(marks),
        notes=notes,
    )


def _pip_files(env: Mapping[str, str]) -> list[Path]:
    """In the order in which later ones win. Source: pip, "Configuration"."""
    home = Path(env.get("HOME") or Path.home())
    system = [
        Path(one) / "pip" / "pip.conf" for one in env.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":") if one
    ]
    own = Path(env.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf"
    named = [Path(env["PIP_CONFIG_FILE"])] if env.get("PIP_CONFIG_FILE") else []
    return [*system, Path("/etc/pip.conf"), home / ".pip" / "pip.conf", own, *named]


def _local(word: str) -> bool:
    return word.startswith(("file:", "/", ".", "~"))


# uv's variables and the keys of its configuration file.
_UV = {"UV_DEFAULT_INDEX": "index-url", "UV_INDEX_URL": "index-url", "UV_EXTRA_INDEX_URL": "extra-index-url", "UV_INDEX": "extra-index-url"}  # fmt: skip


def _uv(folder: Path, env: Mapping[str, str]) -> Passing:
    found: dict[str, list[str]] = {}
    for variable, key in _UV.items():
        words = [
            word.partition("=")[2] if re.match(r"[\w-]+=\w+:", word) else word
            for word in env.get(variable, "").split()
        ]
        found.setdefault(key, []).extend(word for word in words if not _local(word))
    index, more = found["index-url"][:1], found["extra-index-url"]
    if not index and not more:
        return Passing()
    text = f"index-url = {_quoted(index[0])}\n" if index else ""
    text += f"extra-index-url = [{', '.join(_quoted(one) for one in more)}]\n" if more else ""
    return Passing(
        files={"seatrial-uv": _private(folder / "uv.toml", text.encode())},
        places={"seatrial-uv": f"{INSIDE}/uv.toml"},
        variables={"UV_CONFIG_FILE": f"{INSIDE}/uv.toml"},
        marks=tuple(mark for one in (*index, *more) for mark in _passwords(one, "a login of uv's index")),
    )


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()


def _npm(env: Mapping[str, str]) -> Passing:
    path = Path(env.get("NPM_CONFIG_USERCONFIG") or Path(env.get("HOME") or Path.home()) / ".npmrc")
    try:
        text = path.read_text("utf-8", "replace")
    except OSError:
        return Passing()
    secrets = re.findall(r"(?:_authToken|_password|_auth)\s*=\s*[\"']?([^\s\"']+)", text)
    return Passing(
        files={"seatrial-npm": path.absolute()},
        places={"seatrial-npm": f"{INSIDE}/npmrc"},
        variables={"NPM_CONFIG_USERCONFIG": f"{INSIDE}/npmrc"},
        marks=tuple(Mark("a login of npm", one.encode()) for one in secrets if len(one) >= _SHORTEST and not one.startswith("${")),
    )  # fmt: skip


def _apt(folder: Path, *, certificates: bool) -> Passing:
    options = [(name, value) for name, value in apt_options() if not names_file(name)]
    if certificates:
        options.append(("Acquire::https::CAInfo", f"{INSIDE}/ca.pem"))
    login = Path("/etc/apt/auth.conf")
    marks = [mark for _, value in options for mark in _passwords(value, "the login of apt's proxy")]
    files, places = {}, {}
    if login.is_file() and os.access(login, os.R_OK):
        files["seatrial-apt-login"], places["seatrial-apt-login"] = login, f"{INSIDE}/auth.conf"
        options.append(("Dir::Etc::netrc", f"{INSIDE}/auth.conf"))
        found = re.findall(r"\bpassword\s+(\S+)", login.read_text("utf-8", "replace"))
        marks += [Mark("a login of apt", one.encode()) for one in found if len(one) >= _SHORTEST]
    if not options:
        return Passing()
    files["seatrial-apt"] = _private(folder / "apt.conf", conf(options).encode())
    places["seatrial-apt"] = f"{INSIDE}/apt.conf"
    return Passing(
        files=files, places=places, variables={"APT_CONFIG": f"{INSIDE}/apt.conf"}, marks=tuple(marks)
    )


def _private(path: Path, content: bytes) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(content)
    return path
