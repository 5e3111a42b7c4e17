"""Packages of conda, npm and Alpine, from what their installers leave behind.

Sources: conda, "conda-meta"; npm, "package.json"; Alpine's wiki, "Apk spec", and purl-spec's types for all three.
"""

from __future__ import annotations

import json
import posixpath
import re
from typing import TYPE_CHECKING, Any

from seatrial.images.attesting.licences import spdx
from seatrial.images.attesting.model import Found, Package
from seatrial.images.attesting.purl import page, purl

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.images.attesting.content import Content
    from seatrial.images.attesting.model import System

_CONDA = re.compile(r"(?P<prefix>.*)/conda-meta/[^/]+\.json")
_NODE = re.compile(r"(?P<folder>.*/node_modules/(?:@[^/]+/)?[^/]+)/package\.json")
_ALPINE = ("/lib/apk/db/installed", "/usr/lib/apk/db/installed")


def conda_packages(content: Content, notes: list[str]) -> Iterator[Found]:
    """Packages of every conda environment."""
    for path, match in _matching(content, _CONDA):
        told = _object(content, path, notes)
        if not told.get("name") or not told.get("version"):
            continue
        found = purl(
            "conda", str(told["name"]), str(told["version"]), build=str(told.get("build") or ""),
            # The address of a channel may be private, and hold a token; its name is its last part.
            channel=str(told.get("channel") or "").rstrip("/").removesuffix("/" + str(told.get("subdir"))).rpartition("/")[2],
            subdir=str(told.get("subdir") or ""),
        )  # fmt: skip
        hashes = {
            str(one.get("_path")): f"sha256:{one['sha256_in_prefix']}"
            for one in _list(_dict(told.get("paths_data")).get("paths"))
            if isinstance(one, dict) and one.get("sha256_in_prefix")
        }
        prefix = match["prefix"]
        owns = {
            content.real(posixpath.join(prefix, str(name))): hashes.get(str(name), "")
            for name in _list(told.get("files"))
        }
        package = _package(found, "conda", told, path, licence=str(told.get("license") or ""))
        needs = tuple((str(one).partition(" ")[0],) for one in _list(told.get("depends")))
        yield Found(package, {**owns, path: ""}, needs, (str(told["name"]),))


def node_packages(content: Content, notes: list[str]) -> Iterator[Found]:
    """Packages of npm, also those that lie within others."""
    for path, match in _matching(content, _NODE):
        told = _object(content, path, notes)
        # A package.json without a version only says how a folder is to be loaded.
        if not isinstance(told.get("name"), str) or not isinstance(told.get("version"), str):
            continue
        folder = match["folder"]
        namespace, _, name = told["name"].rpartition("/")
        licence = told.get("license")
        licence = licence.get("type") if isinstance(licence, dict) else licence
        owns = {p: "" for p in content.below(folder) if "/node_modules/" not in p[len(folder) :]}
        found = purl("npm", name, told["version"], namespace=namespace)
        needs = tuple((str(one),) for one in _dict(told.get("dependencies")))
        yield Found(
            _package(found, "npm", told, path, licence=str(licence or "")), owns, needs, (told["name"],)
        )


def alpine_packages(content: Content, system: System) -> Iterator[Found]:
    """Packages of apk."""
    for place in _ALPINE:
        for block in content.texts.get(place, b"").decode("utf-8", "replace").split("\n\n"):
            fields: dict[str, str] = {}
            owns: dict[str, str] = {}
            folder = ""
            for line in block.splitlines():
                key, _, value = line.partition(":")
                if key == "F":
                    folder = value
                elif key == "R":
                    owns[content.real(f"/{folder}/{value}")] = ""
                else:
                    fields.setdefault(key, value)
            if not fields.get("P") or not fields.get("V"):
                continue
            arch, distro = fields.get("A", ""), f"{system.id}-{system.version}".strip("-")
            found = purl(
                "apk", fields["P"], fields["V"], namespace=system.id or "alpine", arch=arch, distro=distro
            )
            told = {"name": fields["P"], "version": fields["V"], "description": fields.get("T", "")}
            package = _package(found, "apk", told, place, licence=fields.get("L", ""))
            needs = tuple(
                (re.split(r"[<>=~]", one)[0],) for one in fields.get("D", "").split() if one[0] != "!"
            )
            provides = tuple(re.split(r"[<>=~]", one)[0] for one in fields.get("p", "").split())
            yield Found(package, owns, needs, (fields["P"], *provides))


def _package(found: str, kind: str, told: dict[str, Any], place: str, *, licence: str) -> Package:
    return Package(
        ref=found,
        kind=kind,
        name=str(told["name"]),
        version=str(told["version"]),
        purl=found,
        places=(place,),
        licences=(spdx(licence) or licence[:200],) if licence else (),
        summary=str(told.get("description") or told.get("summary") or "")[:500],
        homepage=page(str(told.get("homepage") or "")),
        architecture=str(told.get("subdir") or "") if kind == "conda" else "",
    )


def _matching(content: Content, pattern: re.Pattern[str]) -> Iterator[tuple[str, re.Match[str]]]:
    for path in sorted(content.texts):
        if match := pattern.fullmatch(path):
            yield path, match


def _object(content: Content, path: str, notes: list[str]) -> dict[str, Any]:
    try:
        return _dict(json.loads(content.texts[path]))
    except (ValueError, RecursionError) as error:
        notes.append(f"{path} cannot be read: {error}")
        return {}


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
