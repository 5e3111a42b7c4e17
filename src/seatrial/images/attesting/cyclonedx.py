"""The inventory as CycloneDX 1.6. Source: cyclonedx.org/docs/1.6/json."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import seatrial
from seatrial.images.attesting.documents import Folder, encoded, grouped, moment, serial
from seatrial.images.attesting.licences import spdx

if TYPE_CHECKING:
    from collections.abc import Mapping

    from seatrial.images.attesting.model import Inventory, Loose, Package, System

MEDIA_TYPE = "application/vnd.cyclonedx+json"
PREDICATE = "https://cyclonedx.org/bom"


def document(inventory: Inventory, *, full: bool = False) -> bytes:
    """The bill of materials; with `full` every loose file is in it, else many are summed up by folder."""
    files, folders = grouped(inventory.loose, full=full)
    top = _top(inventory)
    components = [
        *([_system(inventory.system)] if inventory.system.id else []),
        *map(_package, inventory.packages),
        *map(_file, files),
        *map(_folder, folders),
    ]
    refs = {one.ref for one in inventory.packages}
    body: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": moment(inventory.created),
            "tools": {
                "components": [{"type": "application", "name": "seatrial", "version": seatrial.__version__}]
            },
            "component": top,
            "properties": _properties({"seatrial:note": list(inventory.notes)}),
        },
        "components": components,
        "dependencies": [
            {"ref": top["bom-ref"], "dependsOn": sorted(refs)},
            *(
                {"ref": one.ref, "dependsOn": list(one.requires)}
                for one in sorted(inventory.packages, key=lambda one: one.ref)
            ),
        ],
    }
    return encoded({**body, "serialNumber": f"urn:uuid:{serial(body)}"})


def _top(inventory: Inventory) -> dict[str, Any]:
    return {
        "type": "container",
        "bom-ref": inventory.digest,
        "name": inventory.title,
        "version": inventory.digest,
        "hashes": [_hash("SHA-256", inventory.digest.removeprefix("sha256:"))],
        "properties": _properties(
            {"seatrial:image:platform": inventory.platform, "seatrial:image:config": inventory.config_digest}
        ),
    }


def _system(system: System) -> dict[str, Any]:
    return {
        "type": "operating-system",
        "bom-ref": f"os:{system.id}-{system.version}",
        "name": system.id,
        **({"version": system.version} if system.version else {}),
        **({"description": system.name} if system.name else {}),
    }


def _package(one: Package) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": "library",
        "bom-ref": one.ref,
        "name": one.name,
        "version": one.version,
        "purl": one.purl,
    }
    if one.summary:
        found["description"] = one.summary
    if one.licences:
        found["licenses"] = _licences(one.licences)
    if one.homepage:
        found["externalReferences"] = [{"type": "website", "url": one.homepage}]
    found["evidence"] = {"occurrences": [{"location": place} for place in one.places]}
    found["properties"] = _properties(
        {
            "seatrial:package:kind": one.kind,
            "seatrial:package:architecture": one.architecture,
            "seatrial:package:source": one.upstream,
            "seatrial:package:within": one.within,
            "seatrial:package:editable": "true" if one.editable else "",
            "seatrial:layer": str(one.layer),
            "seatrial:files": str(one.files),
            "seatrial:files:bytes": str(one.size),
            "seatrial:files:sha256": one.digest,
            "seatrial:files:missing": str(one.missing) if one.missing else "",
            "seatrial:files:changed": list(one.changed),
        }
    )
    return found


def _file(one: Loose) -> dict[str, Any]:
    return {
        "type": "file",
        "bom-ref": f"file:{one.path}",
        "name": one.path,
        "hashes": [_hash("SHA-1", one.sha1), _hash("SHA-256", one.sha256)],
        "properties": _properties({"seatrial:layer": str(one.layer), "seatrial:file:bytes": str(one.size)}),
    }


def _folder(one: Folder) -> dict[str, Any]:
    return {
        "type": "file",
        "bom-ref": f"folder:{one.path}",
        "name": f"{one.path.rstrip('/')}/",
        "description": f"{one.files} files that no package owns",
        "properties": _properties(
            {
                "seatrial:files": str(one.files),
                "seatrial:files:bytes": str(one.size),
                "seatrial:files:sha256": one.sha256,
            }
        ),
    }


def _licences(declared: tuple[str, ...]) -> list[dict[str, Any]]:
    """One expression when all are SPDX's; else each by its name, for the two must not be mixed."""
    if all(map(spdx, declared)):
        parts = [f"({one})" if " OR " in one and len(declared) > 1 else one for one in declared]
        return [{"expression": " AND ".join(parts)}]
    return [{"license": {"name": one}} for one in declared]


def _hash(kind: str, value: str) -> dict[str, str]:
    return {"alg": kind, "content": value}


def _properties(values: Mapping[str, str | list[str]]) -> list[dict[str, str]]:
    return [
        {"name": name, "value": text}
        for name, value in values.items()
        for text in (value if isinstance(value, list) else [value])
        if text
    ]
