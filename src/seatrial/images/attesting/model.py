"""Packages and files of an image, whoever installed them."""

from __future__ import annotations

from typing import NamedTuple

import msgspec


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """One package that is installed.

    `kind` is the purl type (pypi, deb, apk, conda, npm); `places` are where its metadata lies. `licences` are as the
    package declares them. `upstream` is the source package, as `glibc@2.36`. `requires` are the refs of packages it
    needs that are there. `within` is the ref of the package whose files its metadata is among: Debian's Python
    packages, and what others carry with them. `changed` are files that are not what the package brought.
    `layer` counts from 0; `digest` is sha256 over the paths and hashes of its files.
    """

    ref: str
    kind: str
    name: str
    version: str
    purl: str
    places: tuple[str, ...]
    licences: tuple[str, ...] = ()
    summary: str = ""
    homepage: str = ""
    architecture: str = ""
    upstream: str = ""
    requires: tuple[str, ...] = ()
    within: str = ""
    editable: bool = False
    files: int = 0
    size: int = 0
    missing: int = 0
    changed: tuple[str, ...] = ()
    layer: int = 0
    digest: str = ""


class Loose(msgspec.Struct, frozen=True, kw_only=True):
    """A file that no package owns; hashes as hexadecimal digits, `size` in bytes."""

    path: str
    size: int
    sha256: str
    sha1: str
    layer: int
    executable: bool = False


class System(msgspec.Struct, frozen=True, kw_only=True):
    """What os-release says: `debian`, `12`, `Debian GNU/Linux 12 (bookworm)`."""

    id: str = ""
    version: str = ""
    name: str = ""


class Inventory(msgspec.Struct, frozen=True, kw_only=True):
    """All that is in an image: packages and loose files in a fixed order. `created` is in seconds, `digest` the manifest's.

    `title` is what the image calls itself, else its digest. `notes` are what could not be read.
    """

    digest: str
    config_digest: str
    title: str
    platform: str
    created: int
    system: System
    packages: tuple[Package, ...]
    loose: tuple[Loose, ...]
    notes: tuple[str, ...] = ()


class Found(NamedTuple):
    """A package as its own metadata tells it: `owns` maps absolute paths to hashes such as `sha256:…`, `` if unknown.

    `needs` are names of its own kind, each a tuple of alternatives; `provides` other names by which it is needed.
    """

    package: Package
    owns: dict[str, str]
    needs: tuple[tuple[str, ...], ...] = ()
    provides: tuple[str, ...] = ()
