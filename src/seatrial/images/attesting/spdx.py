"""The inventory as SPDX 2.3. Source: spdx.github.io/spdx-spec/v2.3."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

import seatrial
from seatrial.images.attesting import licences
from seatrial.images.attesting.documents import Folder, encoded, grouped, moment, serial

if TYPE_CHECKING:
    from seatrial.images.attesting.model import Inventory, Loose, Package, System

MEDIA_TYPE = "application/spdx+json"
PREDICATE = "https://spdx.dev/Document"
_ROOT = "SPDXRef-image"
_UNKNOWN = "NOASSERTION"


def document(inventory: Inventory, *, full: bool = False) -> bytes:
    """The bill of materials; with `full` every loose file is in it, else many are summed up by folder."""
    files, folders = grouped(inventory.loose, full=full)
    packages = [
        _image(inventory),
        *([_system(inventory.system)] if inventory.system.id else []),
        *map(_package, inventory.packages),
        *map(_folder, folders),
    ]
    listed = [_file(one) for one in files]
    body: dict[str, Any] = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": inventory.title,
        "creationInfo": {
            "created": moment(inventory.created),
            "creators": [f"Tool: seatrial-{seatrial.__version__}"],
            **({"comment": "\n".join(inventory.notes)} if inventory.notes else {}),
        },
        "documentDescribes": [_ROOT],
        "packages": packages,
        **({"files": listed} if listed else {}),
        "relationships": _relationships(inventory, packages, listed),
    }
    # The number makes the name unique, as the specification wants it; nothing is to be fetched there.
    return encoded({**body, "documentNamespace": f"https://spdx.org/spdxdocs/seatrial-{serial(body)}"})


def _relationships(
    inventory: Inventory, packages: list[dict[str, Any]], files: list[dict[str, Any]]
) -> list[dict[str, str]]:
    found = [("SPDXRef-DOCUMENT", "DESCRIBES", _ROOT)]
    found += [(_ROOT, "CONTAINS", one["SPDXID"]) for one in packages[1:]]
    # A package whose files were not analyzed as SPDX means it may not contain one, so they stand by themselves.
    found += [("SPDXRef-DOCUMENT", "DESCRIBES", one["SPDXID"]) for one in files]
    for one in inventory.packages:
        found += [(_id(one.ref), "DEPENDS_ON", _id(other)) for other in one.requires]
        if one.within:
            found.append((_id(one.within), "CONTAINS", _id(one.ref)))
    return [{"spdxElementId": a, "relationshipType": kind, "relatedSpdxElement": b} for a, kind, b in found]


def _image(inventory: Inventory) -> dict[str, Any]:
    return {
        **_element(_ROOT, inventory.title, inventory.digest, purpose="CONTAINER"),
        "checksums": [_checksum("SHA256", inventory.digest.removeprefix("sha256:"))],
        "comment": f"an image for {inventory.platform}; its configuration is {inventory.config_digest}",
    }


def _system(system: System) -> dict[str, Any]:
    name = f"{system.id}-{system.version}"
    return _element(_id(f"os:{name}"), system.id, system.version, purpose="OPERATING-SYSTEM")


def _package(one: Package) -> dict[str, Any]:
    # A name of the package's own would need its text in the document.
    declared = ["" if "LicenseRef-" in text else licences.spdx(text) for text in one.licences]
    known = [f"({text})" if " OR " in text and len(declared) > 1 else text for text in declared]
    found = _element(_id(one.ref), one.name, one.version, purpose="LIBRARY")
    found["licenseDeclared"] = " AND ".join(known) if known and all(known) else _UNKNOWN
    if one.licences and not all(known):
        found["licenseComments"] = f"declared as: {'; '.join(one.licences)}"
    if one.homepage:
        found["homepage"] = one.homepage
    if one.summary:
        found["summary"] = one.summary
    said = [f"{one.files} files with {one.size} bytes, sha256 of their paths and hashes: {one.digest}"]
    said += [f"metadata: {place}" for place in one.places]
    said += [f"changed after it was installed: {path}" for path in one.changed]
    said += ["editable"] if one.editable else []
    found["comment"] = "\n".join(said)
    if one.upstream:
        found["sourceInfo"] = f"built from the source package {one.upstream.replace('@', ' ')}"
    found["externalRefs"] = [
        {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": one.purl}
    ]
    return found


def _folder(one: Folder) -> dict[str, Any]:
    return {
        **_element(_id(f"folder:{one.path}"), f"{one.path.rstrip('/')}/", "", purpose="OTHER"),
        "comment": (
            f"{one.files} files that no package owns, {one.size} bytes, sha256 of their hashes and paths: {one.sha256}"
        ),
    }


def _file(one: Loose) -> dict[str, Any]:
    return {
        "SPDXID": _id(f"file:{one.path}"),
        "fileName": f".{one.path}",
        "checksums": [_checksum("SHA1", one.sha1), _checksum("SHA256", one.sha256)],
        "licenseConcluded": _UNKNOWN,
        "copyrightText": _UNKNOWN,
    }


def _element(identifier: str, name: str, version: str, *, purpose: str) -> dict[str, Any]:
    return {
        "SPDXID": identifier,
        "name": name,
        **({"versionInfo": version} if version else {}),
        "downloadLocation": _UNKNOWN,
        "filesAnalyzed": False,
        "licenseConcluded": _UNKNOWN,
        "licenseDeclared": _UNKNOWN,
        "copyrightText": _UNKNOWN,
        "primaryPackagePurpose": purpose,
    }


def _checksum(kind: str, value: str) -> dict[str, str]:
    return {"algorithm": kind, "checksumValue": value}


def _id(text: str) -> str:
    """Letters, digits, dots and dashes only; the hash keeps names apart that would then be the same."""
    plain = re.sub(r"[^A-Za-z0-9.]+", "-", text.removeprefix("pkg:")).strip("-")[:120]
    return f"SPDXRef-{plain}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
