"""What the image's environment points to: caches that its user can write, certificates and time zones that exist.

Folders of declared volumes are not judged, since something is mounted there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.errors import SeatrialError
from seatrial.images.rootfs import Entry, locate
from seatrial.images.testing.model import Check, Subject, failed, passed
from seatrial.images.testing.permissions import Person, may, person_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_WRITE, _ENTER = 2, 1
# Folders that a library writes to while it works and fails without; Triton, Inductor and Numba compile into theirs.
_WRITTEN = {
    "TRITON_CACHE_DIR": "Triton", "TORCHINDUCTOR_CACHE_DIR": "torch.compile", "NUMBA_CACHE_DIR": "Numba",
    "CUPY_CACHE_DIR": "CuPy", "CUDA_CACHE_PATH": "CUDA", "TMPDIR": "whatever needs temporary files",
    "PROMETHEUS_MULTIPROC_DIR": "Prometheus",
}  # fmt: skip
# Those may be filled when the image is made and only read later; they must be there, or it must be possible to make them.
_FILLED = {
    "HF_HOME": "Hugging Face", "HF_HUB_CACHE": "Hugging Face", "HUGGINGFACE_HUB_CACHE": "Hugging Face",
    "TRANSFORMERS_CACHE": "transformers", "HF_DATASETS_CACHE": "datasets", "TORCH_HOME": "torch.hub",
    "SENTENCE_TRANSFORMERS_HOME": "sentence-transformers", "NLTK_DATA": "NLTK", "MPLCONFIGDIR": "Matplotlib",
    "XDG_CACHE_HOME": "caches", "JOBLIB_TEMP_FOLDER": "joblib", "KERAS_HOME": "Keras", "TFHUB_CACHE_DIR": "TensorFlow Hub",
}  # fmt: skip
_BUNDLES = {
    "SSL_CERT_FILE": "every TLS connection of Python, curl and OpenSSL", "REQUESTS_CA_BUNDLE": "requests",
    "CURL_CA_BUNDLE": "curl and requests", "NODE_EXTRA_CA_CERTS": "Node.js", "AWS_CA_BUNDLE": "AWS's SDKs",
}  # fmt: skip
# Brought by the platform: docs.aws.amazon.com, "How Amazon SageMaker runs your inference image"; docker and Kubernetes.
_MOUNTED = ("/opt/ml", "/dev", "/run", "/var/run", "/proc", "/sys", "/mnt", "/secrets")
# A zone's own rules instead of a name: POSIX, "Other Environment Variables", TZ.
_RULE = re.compile(r"^:?(?:UTC|GMT|<[^>]+>[-+]?\d.*|[A-Za-z]{3,}[-+]?\d[^/]*)$")
_PLACES = ("/tmp", "/var/tmp", "/usr/tmp")  # noqa: S108 - tempfile.gettempdir looks there


def check(subject: Subject) -> Iterator[Check]:
    """Follow the variables that commonly point to files and folders, as the image's user."""
    values = dict(str(item).partition("=")[::2] for item in subject.root.settings.get("Env") or [])
    try:
        person = person_of(subject)
    except SeatrialError:
        return  # the check of permissions says that there is no such user
    problems = [*_bundles(subject, values), *_zone(subject, values), *_caches(subject, values, person)]
    problems += _temporary(subject, values, person)
    for name, message, fix in problems:
        yield failed(f"settings:{name}", message, fix)
    if not problems:
        yield passed("settings", "what the environment points to is there", _remarks(subject, person))


def _mounted(subject: Subject, path: str) -> bool:
    volumes = [str(name).rstrip("/") for name in subject.root.settings.get("Volumes") or {}]
    return any(path == place or path.startswith(f"{place}/") for place in (*volumes, *_MOUNTED))


def _bundles(subject: Subject, values: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    for name, who in _BUNDLES.items():
        path = values.get(name, "")
        if path.startswith("/") and not _mounted(subject, path) and locate(subject.root, path)[1] is None:
            message = f"{name} is {path}, which is not in the image: it breaks {who}"
            yield name, message, "install ca-certificates, copy the file, or leave the variable out"


def _zone(subject: Subject, values: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    zone = values.get("TZ", "")
    if not zone or _RULE.match(zone):
        return
    path = zone.lstrip(":")
    folder = values.get("TZDIR", "/usr/share/zoneinfo")
    path = path if path.startswith("/") else f"{folder}/{path}"
    if not _mounted(subject, path) and locate(subject.root, path)[1] is None:
        message = f"TZ is {zone}, but {path} is not in the image: its time is UTC"
        yield "TZ", message, "install tzdata, or correct the name of the zone"


def _caches(subject: Subject, values: dict[str, str], person: Person) -> Iterator[tuple[str, str, str]]:
    for name, who in (_WRITTEN | _FILLED).items():
        path = values.get(name, "").rstrip("/")
        if not path.startswith("/") or "," in path or ":" in path or _mounted(subject, path):
            continue
        exists, writable = _writable(subject, path, person)
        if writable or (exists and name in _FILLED):
            continue
        what = "cannot write there" if exists else "cannot make it"
        message = f"{name} is {path}, and user {person.name} {what}: {who} needs it"
        yield (
            name,
            message,
            f"make it in the image and give it away: mkdir -p {path} && chown {person.name} {path}",
        )


def _temporary(subject: Subject, values: dict[str, str], person: Person) -> Iterator[tuple[str, str, str]]:
    """Python's `tempfile` takes the first of these that can be written, and fails without one."""
    workdir = str(subject.root.settings.get("WorkingDir") or "/")
    named = [values[n] for n in ("TMPDIR", "TEMP", "TMP") if values.get(n, "").startswith("/")]
    places = [*named, *_PLACES, workdir]
    if subject.python is None or any(_mounted(subject, place) for place in places):
        return
    if not any(_writable(subject, place, person) == (True, True) for place in places):
        message = f"user {person.name} has no folder for temporary files: none of {', '.join(places)} can be written"
        yield "tmp", message, "chmod 1777 /tmp"


def _remarks(subject: Subject, person: Person) -> Iterator[str]:
    """What is allowed and often a mistake."""
    if person.uid and _writable(subject, person.home, person) != (True, True):
        yield f"user {person.name} cannot write to its home, {person.home}: caches and settings have no place there"
    names = [str(item).partition("=")[0] for item in subject.root.settings.get("Env") or []]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{name} is set more than once; the last one counts"
    for folder in (
        dict(str(item).partition("=")[::2] for item in subject.root.settings.get("Env") or [])
        .get("PATH", "")
        .split(":")
    ):
        entry = subject.tree.get(locate(subject.root, folder)[0].strip("/"))
        if folder and entry is not None and entry[1].kind == "d" and entry[1].mode & 0o1002 == 0o2:  # noqa: PLR2004 - o+w
            yield f"{folder} is in PATH and anyone may write to it"


def _writable(subject: Subject, path: str, person: Person) -> tuple[bool, bool]:
    """Whether a folder is there, and whether the person may write to it, or else make it."""
    resolved, file = locate(subject.root, path)
    exists = file is not None
    if person.uid == 0:
        return exists, True
    while file is None and resolved not in ("", "/"):
        resolved = resolved.rpartition("/")[0] or "/"
        resolved, file = locate(subject.root, resolved)
    # A folder without a header of its own was made by whoever unpacked what is in it: root.
    entry = subject.tree.get(resolved.strip("/"), ("", Entry("", "d", 0o755)))[1]
    return exists, entry.kind == "d" and may(entry, person.uid, person.groups, _WRITE | _ENTER)
