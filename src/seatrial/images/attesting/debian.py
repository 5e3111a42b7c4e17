"""Packages of Debian and its relatives, from dpkg's own database, and from the one of distroless images.

Sources: dpkg(1), deb-control(5), dpkg-divert(1); GoogleContainerTools/distroless, "status.d".
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from seatrial.images.attesting.licences import from_copyright
from seatrial.images.attesting.model import Found, Package
from seatrial.images.attesting.purl import page, purl

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from seatrial.images.attesting.content import Content
    from seatrial.images.attesting.model import System

_DATABASE = "/var/lib/dpkg"
# States in which files of the package are there. Source: dpkg(1), "Package states".
_THERE = {"installed", "unpacked", "half-configured", "triggers-awaited", "triggers-pending"}
_SOURCE = re.compile(r"(\S+)(?:\s+\((\S+)\))?")


def packages(content: Content, system: System) -> Iterator[Found]:
    """Every package whose files are there, with what it owns and the MD5 that dpkg knows of it."""
    moved = _diversions(content)
    for stanza in _stanzas(content.texts.get(f"{_DATABASE}/status", b"")):
        if stanza.get("status", "").rpartition(" ")[2] in _THERE:
            yield _package(content, system, stanza, f"{_DATABASE}/status", moved)
    for path in sorted(content.texts):
        if path.startswith(f"{_DATABASE}/status.d/") and not path.endswith(".md5sums"):
            for stanza in _stanzas(content.texts[path]):
                yield _package(content, system, stanza, path, moved)


def _package(
    content: Content,
    system: System,
    stanza: Mapping[str, str],
    place: str,
    moved: Mapping[str, tuple[str, str]],
) -> Found:
    name, version = stanza["package"], stanza.get("version", "")
    architecture = stanza.get("architecture", "")
    source = _SOURCE.match(stanza.get("source", ""))
    upstream = f"{source[1]}@{source[2] or version}" if source else ""
    qualifiers = {
        "arch": architecture,
        "distro": f"{system.id}-{system.version}" if system.id and system.version else system.id,
        "upstream": upstream,
    }
    namespace = system.id or "debian"
    reference = purl("deb", name, version, namespace=namespace, arch=architecture)
    package = Package(
        ref=reference,
        kind="deb",
        name=name,
        version=version,
        purl=purl("deb", name, version, namespace=namespace, **qualifiers),
        places=(place,),
        licences=from_copyright(content.text(f"/usr/share/doc/{name}/copyright")),
        summary=stanza.get("description", "").partition("\n")[0],
        homepage=page(stanza.get("homepage", "")),
        architecture=architecture,
        upstream=upstream,
    )
    needs = [
        tuple(filter(None, map(_name, part.split("|"))))
        for field in ("pre-depends", "depends")
        for part in stanza.get(field, "").split(",")
    ]
    provides = filter(None, map(_name, stanza.get("provides", "").split(",")))
    owned = _owned(content, stanza, place, moved)
    return Found(package, owned, tuple(filter(None, needs)), (name, *provides))


def _owned(
    content: Content, stanza: Mapping[str, str], place: str, moved: Mapping[str, tuple[str, str]]
) -> dict[str, str]:
    """Files by their real paths. Folders are in the lists as well; nobody owns those alone."""
    name = stanza["package"]
    if place.startswith(f"{_DATABASE}/status.d/"):
        stems = [place]
        found = {place: "", f"{place}.md5sums": ""}
    else:
        stems = [f"{_DATABASE}/info/{name}:{stanza.get('architecture', '')}", f"{_DATABASE}/info/{name}"]
        found = dict.fromkeys(_of_database(content, stems), "")
    sums = _sums(content, stems)
    listed = next((text for stem in stems if (text := content.texts.get(f"{stem}.list")) is not None), b"")
    paths = [line for line in listed.decode("utf-8", "replace").splitlines() if line.startswith("/")]
    for path in paths or [*sums]:
        diverted, by = moved.get(path, ("", ""))
        real = content.real(diverted if diverted and by != name else path)
        item = content.items.get(real)
        if item is None or item.kind != "folder":
            found[real] = f"md5:{sums[path]}" if path in sums else ""
    return found


def _of_database(content: Content, stems: list[str]) -> list[str]:
    """Dpkg's own files about a package, such as `info/curl.list`."""
    return [
        path
        for stem in stems
        for path in content.starting(f"{stem}.")
        if posixpath.basename(path).rpartition(".")[0] == posixpath.basename(stem)
    ]


def _sums(content: Content, stems: list[str]) -> dict[str, str]:
    """MD5 by absolute path, as the package's md5sums says."""
    text = next((text for stem in stems if (text := content.texts.get(f"{stem}.md5sums")) is not None), b"")
    lines = (line.partition("  ") for line in text.decode("utf-8", "replace").splitlines())
    return {"/" + path.lstrip("/"): digest for digest, gap, path in lines if gap}


def _diversions(content: Content) -> dict[str, tuple[str, str]]:
    """Where files of other packages lie instead: original path → (its new path, the package that took its place)."""
    lines = content.text(f"{_DATABASE}/diversions").splitlines()
    return {lines[at]: (lines[at + 1], lines[at + 2]) for at in range(0, len(lines) - 2, 3)}


def _stanzas(text: bytes) -> Iterator[dict[str, str]]:
    for block in re.split(r"\n[ \t]*\n", text.decode("utf-8", "replace")):
        fields: dict[str, str] = {}
        key = ""
        for line in block.splitlines():
            if line[:1] in (" ", "\t"):
                fields[key] = f"{fields.get(key, '')}\n{line.strip()}"
            else:
                key, _, value = line.partition(":")
                key = key.lower()
                fields[key] = value.strip()
        if fields.get("package"):
            yield fields


def _name(text: str) -> str:
    return text.strip().partition(" ")[0].partition("(")[0].partition(":")[0]
