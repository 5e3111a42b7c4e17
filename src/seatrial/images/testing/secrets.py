"""Keys and passwords anywhere in the image: in every layer, also where a later one deletes them, and in its settings.

Values are never shown: a finding says the kind, the file and the line. What the operating system's packages and
installed distributions own is public; at level full those files are read as well, for complete key pairs only.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from seatrial.images.rootfs import LayerIndex, read_layer_index
from seatrial.images.testing.model import Check, Subject, failed, passed

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


class Pattern(NamedTuple):
    """`needle` is searched first, being quick; then `exact`, whose first group, if any, must look random.

    `exact` begins with plain characters, by which it is found fast; that no word goes on before it is looked at after.
    """

    kind: str
    needle: bytes
    exact: re.Pattern[bytes]


# Forms: GitHub "Token formats", Hugging Face, Slack, GitLab, PyPI and OpenAI documentation; AWS IAM "Identifiers".
_PATTERNS = (
    Pattern(
        "private key",
        b"PRIVATE KEY-----",
        re.compile(
            rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----(?:\\n|\s)+(?:[A-Za-z-]+: [^\n]+\n|\s)*[A-Za-z0-9+/=]{40}"
        ),
    ),
    *(
        Pattern("GitHub token", needle, re.compile(rb"(" + needle + rb"[A-Za-z0-9]{36})\b"))
        for needle in (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_")
    ),
    Pattern("GitHub token", b"github_pat_", re.compile(rb"(github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59})\b")),
    Pattern("Hugging Face token", b"hf_", re.compile(rb"(hf_[A-Za-z0-9]{34,37})\b")),
    Pattern("Slack token", b"xox", re.compile(rb"(xox[abprs]-[0-9]{10,}-[A-Za-z0-9-]{20,})\b")),
    Pattern("GitLab token", b"glpat-", re.compile(rb"(glpat-[A-Za-z0-9_-]{20})\b")),
    Pattern("PyPI token", b"pypi-AgEI", re.compile(rb"(pypi-AgEI[A-Za-z0-9_-]{50,})\b")),
    Pattern(
        "OpenAI key", b"sk-", re.compile(rb"(sk-(?:proj-)?[A-Za-z0-9_-]{20}T3BlbkFJ[A-Za-z0-9_-]{20,})\b")
    ),
    Pattern("Anthropic key", b"sk-ant-", re.compile(rb"(sk-ant-[a-z0-9]+-[A-Za-z0-9_-]{80,})")),
)
_AWS_ID = re.compile(rb"\b((?:AKIA|ASIA)[A-Z2-7]{16})\b")
_AWS_SECRET = re.compile(rb"(?<![A-Za-z0-9/+=])([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])")
_SECRET_NAME = re.compile(
    r"(?:^|_)(?:SECRET(?:_?ACCESS)?(?:_KEY)?|TOKEN|PASSWORD|PASSWD|API_?KEY|PRIVATE_KEY|ACCESS_KEY|CREDENTIALS?)(?:$|_)",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(
    r"^(?:|\$.*|<.*>|\{.*\}|%.*%|x+|\*+|\.+|changeme|change[-_]me|your[-_ ].*|.*example.*|.*placeholder.*|none|null|"
    r"true|false|\d{1,5}|/.*|https?://[^@]*|secret|password|token|test|dummy|todo)$",
    re.IGNORECASE,
)
_RANDOM_BITS = 3.0


def check(subject: Subject) -> Iterator[Check]:
    """Search every layer; files that a later layer hides are named with the layer that still has them."""
    found = list(_in_settings(subject))
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
            "and pass it when the image runs"
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
    if size > (_LARGEST_FULL if subject.at_least("full") else _LARGEST) or (public and _SKIPPED.search(path)):
        return
    if not public and path.startswith(("usr/share/", "var/lib/dpkg/")):
        return  # made by packages when they were installed
    # One path of one piece: there are tens of thousands.
    content = Path(f"{subject.root.folder(layer)}/{path}").read_bytes()
    if b"\0" in content[:1024]:
        return
    for kind, at in _matches(path, content, public=public):
        yield kind, content.count(b"\n", 0, at) + 1


def _matches(path: str, content: bytes, *, public: bool) -> Iterator[tuple[str, int]]:
    if b"AKIA" in content or b"ASIA" in content:
        yield from _aws(content, pair_only=public)
    for pattern in _PATTERNS:
        if pattern.needle not in content:
            continue
        for match in pattern.exact.finditer(content):
            if not pattern.exact.groups or (_begins(content, match) and _looks_random(match[1].decode())):
                yield pattern.kind, match.start()
    if not public:
        yield from _by_name(path, content)


def _begins(content: bytes, match: re.Match[bytes]) -> bool:
    before = content[match.start() - 1 : match.start()] if match.start() else b""
    return not (before.isalnum() or before == b"_")


def _aws(content: bytes, *, pair_only: bool) -> Iterator[tuple[str, int]]:
    for match in _AWS_ID.finditer(content):
        if b"EXAMPLE" in match[1] or not _looks_random(match[1][4:].decode()):
            continue
        near = content[max(0, match.start() - 300) : match.end() + 300]
        secret = any(_is_aws_secret(m[1].decode()) for m in _AWS_SECRET.finditer(near))
        if secret:
            yield "AWS access key with its secret", match.start()
        elif not pair_only:
            yield "AWS access key id", match.start()


def _is_aws_secret(text: str) -> bool:
    kinds = (any(c.islower() for c in text), any(c.isupper() for c in text), any(c.isdigit() for c in text))
    return all(kinds) and "EXAMPLE" not in text and _looks_random(text)


def _by_name(path: str, content: bytes) -> Iterator[tuple[str, int]]:
    """Files that are made to hold secrets."""
    name = path.rpartition("/")[2]
    text = content.decode(errors="replace")
    if name == ".env" or (
        name.startswith(".env.") and not name.endswith((".example", ".sample", ".template", ".dist"))
    ):
        yield from (("value in an .env file", at) for at in _assignments(text))
    elif path.endswith((".aws/credentials", ".pypirc", ".git-credentials", ".netrc", "_netrc")):
        match = re.search(
            r"(?:aws_secret_access_key\s*=|password[ =:\t]+|://[^/\s:]+:)\s*(\S+)", text, re.IGNORECASE
        )
        if match and not _PLACEHOLDER.match(match[1]):
            yield f"credentials in {name}", len(text[: match.start()].encode())
    elif name == ".npmrc" and (match := re.search(r":_authToken=(?!\$)\S+", text)):
        yield "credentials in .npmrc", len(text[: match.start()].encode())
    elif path.endswith((".docker/config.json", ".dockercfg")) and _has_docker_auth(text):
        yield "registry credentials", 0


def _assignments(text: str) -> Iterator[int]:
    at = 0
    for line in text.splitlines(keepends=True):
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and not name.startswith("#") and _is_secret(name.strip(), value):
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


def _in_settings(subject: Subject) -> Iterator[str]:
    for item in subject.root.settings.get("Env") or []:
        name, _, value = str(item).partition("=")
        if _is_secret(name, value) and not any(fnmatch(f"ENV {name}", a.path) for a in subject.spec.allow):
            yield f"value in the image's settings: ENV {name}"
    for number, step in enumerate(subject.root.config.get("history") or []):
        text = str(step.get("created_by") or "").encode() if isinstance(step, dict) else b""
        for kind, _ in _matches("history", text, public=False):
            yield f"{kind}: the image's history, step {number + 1}"


def _is_secret(name: str, value: str) -> bool:
    value = value.strip().strip("'\"")
    if name.upper().endswith(("_FILE", "_PATH", "_URL", "_NAME", "_ID", "_TYPE", "_LIMIT", "TOKENS")):
        return False
    return bool(_SECRET_NAME.search(name)) and not _PLACEHOLDER.match(value)


def _looks_random(text: str) -> bool:
    """Shannon entropy per character: words and patterns like `xxxx` and `abcabc` are below, keys above."""
    body = text.rpartition("_")[2] if "_" in text[:12] else text
    counts = Counter(body)
    bits = -sum(n / len(body) * math.log2(n / len(body)) for n in counts.values()) if body else 0.0
    return bits >= _RANDOM_BITS
