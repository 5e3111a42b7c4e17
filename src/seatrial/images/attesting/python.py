"""Python distributions by their own metadata, wherever they lie in an image.

Sources: packaging.python.org, "Recording installed projects"; PEP 610; the old forms are those of setuptools.
"""

from __future__ import annotations

import base64
import binascii
import csv
import io
import json
import posixpath
import re
import zipfile
import zlib
from email.parser import HeaderParser
from typing import TYPE_CHECKING

from seatrial.images.attesting.licences import from_metadata
from seatrial.images.attesting.model import Found, Package
from seatrial.images.attesting.purl import page, purl
from seatrial.images.testing.python import normalize

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message

    from seatrial.images.attesting.content import Content

_METADATA = re.compile(
    r"(?P<info>.*\.dist-info)/METADATA$|(?P<egg>.*\.egg-info)/PKG-INFO$|(?P<file>.*\.egg-info)$"
    r"|(?P<whole>.*/EGG-INFO)/PKG-INFO$|(?P<egg_file>.*\.egg)$"
)
_LONGEST = 8 << 20
_REQUIRED = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)")


def distributions(content: Content, notes: list[str]) -> Iterator[Found]:
    """Every distribution whose metadata names it; what does not goes to `notes`."""
    for path in sorted(content.texts):
        match = _METADATA.fullmatch(path)
        if match is None:
            continue
        text = content.texts[path]
        told = _headers(_from_egg(text, path, notes) if match["egg_file"] else text)
        name, version = (told["Name"] or "").strip(), (told["Version"] or "").strip()
        if not name or not version:
            notes.append(f"{path} does not say the name and version of its package")
            continue
        place = next(group for group in match.groups() if group)
        yield _distribution(content, place, told, name, version, notes)


def _distribution(
    content: Content, place: str, told: Message, name: str, version: str, notes: list[str]
) -> Found:
    licences = from_metadata(
        told["License-Expression"] or "", told["License"] or "", tuple(told.get_all("Classifier") or ())
    )
    normal = normalize(name)
    reference = purl("pypi", normal, version)
    package = Package(
        ref=reference,
        kind="pypi",
        name=name,
        version=version,
        purl=reference,
        places=(place,),
        licences=licences,
        summary=(told["Summary"] or "").strip()[:500],
        homepage=_homepage(told),
        editable=_editable(content, place),
    )
    return Found(package, _owned(content, place, notes), _needs(told), (normal,))


def _from_egg(content: bytes, path: str, notes: list[str]) -> bytes:
    """The metadata in an egg that is one file; empty when it has none."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entry = archive.getinfo("EGG-INFO/PKG-INFO")
            if entry.file_size <= _LONGEST:
                return archive.read(entry)
            notes.append(f"the metadata in {path} is too large")
    except (
        zipfile.BadZipFile,
        KeyError,
        RuntimeError,
        NotImplementedError,
        OSError,
        EOFError,
        zlib.error,
    ) as error:
        notes.append(f"{path} cannot be read: {error}")
    return b""


def _headers(text: bytes) -> Message:
    """Only the fields: the description after them may be long."""
    head = re.split(rb"\r?\n\r?\n", text, maxsplit=1)[0]
    return HeaderParser().parsestr(head.decode("utf-8", "replace"))


def _homepage(told: Message) -> str:
    pages = [line.partition(",") for line in told.get_all("Project-URL") or ()]
    named = {label.strip().lower(): url.strip() for label, _, url in pages}
    found = (told["Home-page"] or "").strip()
    if not found or found == "UNKNOWN":
        found = (
            named.get("homepage") or named.get("home") or named.get("repository") or named.get("source") or ""
        )
    return page(found)


def _needs(told: Message) -> tuple[tuple[str, ...], ...]:
    """Names that it requires without any extra; whether a marker holds is decided by what is installed."""
    lines = [line for line in told.get_all("Requires-Dist") or () if not re.search(r"\bextra\s*==", line)]
    return tuple((normalize(match[1]),) for line in lines if (match := _REQUIRED.match(line)))


def _editable(content: Content, place: str) -> bool:
    text = content.texts.get(f"{place}/direct_url.json")
    if text is None:
        # `setup.py develop` left metadata beside the source and a link to it among the packages.
        stem = posixpath.basename(place).removesuffix(".egg-info").lower().replace("_", "-")
        links = (path for path in content.ordered if path.endswith(".egg-link"))
        return any(posixpath.basename(path)[:-9].lower().replace("_", "-") == stem for path in links)
    try:
        return bool((json.loads(text).get("dir_info") or {}).get("editable"))
    except (ValueError, AttributeError):
        return False


def _owned(content: Content, place: str, notes: list[str]) -> dict[str, str]:
    site = posixpath.dirname(place)
    found = dict.fromkeys(content.below(place), "")
    if place in content.texts:
        found[place] = ""
    record = content.texts.get(f"{place}/RECORD")
    installed = content.texts.get(f"{place}/installed-files.txt")
    if record is not None:
        try:
            for row in csv.reader(io.StringIO(record.decode("utf-8", "replace"))):
                if row and row[0]:
                    found[_at(content, site, row[0])] = _recorded(row[1] if len(row) > 1 else "")
        except csv.Error as error:
            notes.append(f"{place}/RECORD cannot be read to its end: {error}")
    elif installed is not None:
        for line in installed.decode("utf-8", "replace").splitlines():
            if line.strip():
                found[_at(content, place, line.strip())] = ""
    elif posixpath.basename(place) == "EGG-INFO":
        found |= dict.fromkeys(content.below(site), "")
    return found


def _at(content: Content, folder: str, row: str) -> str:
    return content.real(posixpath.normpath(posixpath.join(folder, row)))


def _recorded(text: str) -> str:
    """RECORD's base64 as hexadecimal digits; only sha256 is compared."""
    kind, _, value = text.partition("=")
    if kind != "sha256":
        return ""
    try:
        return f"sha256:{base64.urlsafe_b64decode(value + '=' * (-len(value) % 4)).hex()}"
    except (binascii.Error, ValueError):
        return ""
