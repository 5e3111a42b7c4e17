"""Keys and passwords anywhere in the image: in every layer, also where a later one deletes them, and in its settings.

Values are never shown: a finding says the kind, the file and the line. What the operating system's packages and
installed distributions own is public; at level full those files are read as well, for complete key pairs only.
"""

from __future__ import annotations

import json
import re
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from seatrial.images.rootfs import LayerIndex, read_layer_index
from seatrial.images.testing import secrets_settings
from seatrial.images.testing.model import Check, Subject, failed, passed
from seatrial.images.testing.secret_forms import PLACEHOLDER, is_secret, matches, with_password

if TYPE_CHECKING:
    from collections.abc import Iterator

_LARGEST = 1 << 20
_LARGEST_FULL = 16 << 20
_BINARY = re.compile(
    r"\.(?:so(?:\.[0-9]+)*|pyc|a|o|whl|zip|gz|xz|bz2|zst|png|jpe?g|gif|ico|woff2?|ttf|mo|onnx|pt|bin|npy|npz|parquet|safetensors)$"
)
_SKIPPED = re.compile(
    r"(?:^|/)(?:tests?|testing|examples?|docs?)/|"
    # Packages carry keys of accounts that are there to be tested with.
    r"(?:^|/)(?:conftest|tests?_[^/]*|testing(?:_[^/]*)?|[^/]*_(?:tests?|testing))\.py$|"
    r"^usr/share/(?:doc|man|locale|i18n|zoneinfo|perl)/|^usr/lib/python3(?:\.\d+)?/test/"
)
_APT_LOGINS = re.compile(r"(?:^|/)etc/apt/auth\.conf(?:\.d/[^/]+)?$")
# Settings of programs that fetch, and lists of what to fetch.
_WITH_ADDRESSES = re.compile(
    r"(?:^|/)(?:pip\.(?:conf|ini)|uv\.toml|\.condarc|\.gitconfig|\.?git/config|\.gitmodules|\.yarnrc(?:\.yml)?|"
    r"[^/]*requirements[^/]*\.(?:txt|in)|sources\.list(?:\.d/[^/]+)?)$"
)


def check(subject: Subject) -> Iterator[Check]:
    """Search every layer; files that a later layer hides are named with the layer that still has them."""
    found = list(secrets_settings.search(subject))
    indexes = {name: read_layer_index(Path(subject.root.store), name) for name in subject.root.layers}
    owned = _owned(subject, indexes)
    full = subject.at_least("full")
    count = 0
    for layer, index in indexes.items():
        for path, size in _files(index):
            count += 1
            public = path in owned
            if public and not full:
                continue
            for kind, line in _in_file(subject, layer, path, size, public=public):
                gone = subject.tree.get(path, ("", None))[0] != layer
                where = f"/{path}:{line}" + (f" (deleted later, still in layer {layer})" if gone else "")
                if not any(fnmatch(f"/{path}", allowed.path) for allowed in subject.spec.allow):
                    found.append(f"{kind}: {where}")
    if found:
        message = f"{found[0]}" if len(found) == 1 else f"{len(found)} secrets: {found[0]}"
        fix = (
            "revoke the secret, keep it out of the build (deleting in a later step keeps it in the layer), "
            "and pass it when the image runs; what is no secret is named under images.NAME.test.secrets.allow"
        )
        yield failed("secrets", message, fix, found)
    else:
        yield passed("secrets", f"no keys in {count} files of {len(indexes)} layers")


def _files(index: LayerIndex) -> Iterator[tuple[str, int]]:
    for entry in index.entries:
        if entry.kind == "f" and entry.size and not _BINARY.search(entry.path):
            yield entry.path, entry.size


def _owned(subject: Subject, indexes: dict[str, LayerIndex]) -> set[str]:
    """Paths that came from public packages, by the lists that these keep of themselves."""
    owned: set[str] = set()
    if subject.python is not None:
        for distribution in subject.python.distributions:
            site = distribution.site.strip("/")
            owned.update(f"{site}/{file}" for file in distribution.files if not file.startswith(".."))
    for layer, index in indexes.items():
        for entry in index.entries:
            if entry.path.startswith("var/lib/dpkg/info/") and entry.path.endswith(".list"):
                text = (subject.root.folder(layer) / entry.path).read_text(errors="replace")
                owned.update(line.strip("/") for line in text.splitlines())
    # Since usrmerge, /lib/x is listed and /usr/lib/x is where it lies.
    owned.update([f"usr/{p}" for p in owned if p.startswith(("lib", "bin/", "sbin/"))])
    return owned


def _in_file(
    subject: Subject, layer: str, path: str, size: int, *, public: bool
) -> Iterator[tuple[str, int]]:
    if size > (_LARGEST_FULL if subject.at_least("full") else _LARGEST):
        return
    # Systems that are not Debian's say nothing here of what their packages own.
    if (public or path.startswith("usr/share/")) and _SKIPPED.search(path):
        return
    if not public and path.startswith("var/lib/dpkg/"):
        return  # made by packages when they were installed
    # One path of one piece: there are tens of thousands.
    content = Path(f"{subject.root.folder(layer)}/{path}").read_bytes()
    if b"\0" in content[:1024]:
        return
    for kind, at in [*matches(content, public=public), *([] if public else _by_name(path, content))]:
        yield kind, content.count(b"\n", 0, at) + 1


def _by_name(path: str, content: bytes) -> Iterator[tuple[str, int]]:
    """Files that are made to hold secrets."""
    name = path.rpartition("/")[2]
    text = content.decode(errors="replace")
    if name == ".env" or (
        name.startswith(".env.") and not name.endswith((".example", ".sample", ".template", ".dist"))
    ):
        yield from (("value in an .env file", at) for at in _assignments(text))
    elif path.endswith(
        (".aws/credentials", ".pypirc", ".git-credentials", ".netrc", "_netrc", ".my.cnf")
    ) or (_APT_LOGINS.search(path)):
        match = re.search(
            r"(?:aws_secret_access_key\s*=|password[ =:\t]+|://[^/\s:]+:)\s*(\S+)", text, re.IGNORECASE
        )
        if match and not PLACEHOLDER.match(match[1]):
            yield f"credentials in {name}", len(text[: match.start()].encode())
    elif name == ".npmrc" and (match := re.search(r":_authToken=(?!\$)\S+", text)):
        yield "credentials in .npmrc", len(text[: match.start()].encode())
    elif name == ".pgpass":
        yield from (("credentials in .pgpass", at) for at in _passwords(text))
    elif _WITH_ADDRESSES.search(path):
        yield from (("password in an address", at) for at in with_password(content))
    elif path.endswith((".docker/config.json", ".dockercfg")) and _has_docker_auth(text):
        yield "registry credentials", 0


def _assignments(text: str) -> Iterator[int]:
    at = 0
    for line in text.splitlines(keepends=True):
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and not name.startswith("#") and is_secret(name.strip(), value):
            yield at
        at += len(line.encode())


def _passwords(text: str) -> Iterator[int]:
    """Lines of host:port:database:user:password. Source: PostgreSQL, "The Password File"."""
    at = 0
    for line in text.splitlines(keepends=True):
        fields = re.split(r"(?<!\\):", line.strip())
        if len(fields) == 5 and not line.startswith("#") and not PLACEHOLDER.match(fields[4]):  # noqa: PLR2004 - as above
            yield at
        at += len(line.encode())


def _has_docker_auth(text: str) -> bool:
    try:
        auths = json.loads(text).get("auths") or {}
        return any(
            isinstance(entry, dict) and (entry.get("auth") or entry.get("password"))
            for entry in auths.values()
        )
    except (ValueError, AttributeError):
        return False
