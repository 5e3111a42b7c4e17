"""From the files and the metadata of a package to its derived table. Pure: `index` does the asking."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from seatrial.images.facts.published import PYTHONS, Release, Table, linux
from seatrial.images.facts.versions import parsed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from packaging.version import Version


class File(msgspec.Struct, frozen=True, rename="kebab"):
    """One file of a simple index page (PEP 691 and 700)."""

    filename: str
    url: str
    requires_python: str | None = None
    yanked: bool | str = False
    upload_time: str | None = None


class Tracked(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"first": "from"}):
    """A row of `tracked.yaml`."""

    name: str
    first: str = "0"
    requires: bool = True
    extras: tuple[str, ...] = ()


_X86 = re.compile(r"(?:manylinux\w*|linux)_x86_64$")
_ARM = re.compile(r"(?:manylinux\w*|linux)_aarch64$")
_LEGACY = {"manylinux1": "2.5", "manylinux2010": "2.12", "manylinux2014": "2.17"}


def by_version(files: Iterable[File], first: str) -> dict[str, list[File]]:
    """The files of each release from version `first` on, newest release first; names that are no version are left out."""
    from packaging.utils import parse_sdist_filename, parse_wheel_filename

    found: dict[Version, list[File]] = {}  # 69.4 and 69.4.0 are one release
    for file in files:
        try:
            if file.filename.endswith(".whl"):
                version = parse_wheel_filename(file.filename)[1]
            elif file.filename.endswith((".tar.gz", ".zip")):
                version = parse_sdist_filename(file.filename)[1]
            else:
                continue
        except ValueError:  # names from before the rules for them
            continue
        if version >= parsed(first) and not version.is_prerelease and version.local is None:
            found.setdefault(version, []).append(file)
    return {str(version): ones for version, ones in sorted(found.items(), reverse=True)}


def describing_wheel(files: Sequence[File]) -> File | None:
    """The wheel whose metadata speaks for a release on Linux x86-64: that of the newest Python."""
    fitting = [one for one in files if _platform(one.filename, _X86)]
    return max(fitting, key=lambda one: _order(one.filename), default=None)


def release_of(version: str, files: Sequence[File], requires: tuple[str, ...] | None) -> Release:
    """The row of one release."""
    wheels = [one for one in files if one.filename.endswith(".whl")]
    x86 = [one.filename for one in wheels if _platform(one.filename, _X86)]
    dates = sorted(one.upload_time[:10] for one in files if one.upload_time)
    reasons = [one.yanked for one in files]
    return Release(
        version=version,
        uploaded=dates[0] if dates else "",
        python=next((one.requires_python for one in (*wheels, *files) if one.requires_python), ""),
        linux=_tags(x86),
        arm=_tags([one.filename for one in wheels if _platform(one.filename, _ARM)]),
        glibc=min(filter(None, map(_glibc, x86)), key=parsed, default=""),
        sdist=len(wheels) < len(files),
        yanked=next((one if isinstance(one, str) else "" for one in reasons), "") if all(reasons) else None,
        requires=requires,
    )


def _platform(filename: str, wanted: re.Pattern[str]) -> bool:
    if not filename.endswith(".whl"):
        return False
    platforms = filename[:-4].rsplit("-", 1)[1].split(".")
    return any(one == "any" or wanted.match(one) for one in platforms)


def _tags(filenames: Iterable[str]) -> tuple[str, ...]:
    found = set()
    for filename in filenames:
        python, abi, _ = filename[:-4].rsplit("-", 3)[1:]
        for one in python.split("."):
            if abi == "abi3":
                found.add(f"{one}+")
            elif abi.endswith("t") and abi.startswith("cp"):
                found.add(abi)
            elif one.startswith(("cp3", "py3")):
                found.add(one)
    return tuple(sorted(found, key=_natural))


def _natural(tag: str) -> tuple[str, int, str]:
    digits = re.sub(r"\D", "", tag)[1:] or "0"
    return (tag[:2], int(digits), tag)


def _order(filename: str) -> tuple[int, int]:
    python, abi, _ = filename[:-4].rsplit("-", 3)[1:]
    return (not abi.endswith("t"), int(re.sub(r"\D", "", python.rpartition(".")[2])[1:] or "0"))


def _glibc(filename: str) -> str:
    found = []
    for one in filename[:-4].rsplit("-", 1)[1].split("."):
        if modern := re.fullmatch(r"manylinux_(\d+)_(\d+)_x86_64", one):
            found.append(f"{modern[1]}.{modern[2]}")
        elif one.split("_", 1)[0] in _LEGACY:
            found.append(_LEGACY[one.split("_", 1)[0]])
    return min(found, key=parsed, default="")


def requirements(lines: Iterable[str], known: frozenset[str], extras: Sequence[str]) -> tuple[str, ...]:
    """The Requires-Dist lines that count on Linux x86-64, for packages in `known`, with what is open in their markers.

    A marker that holds, or does not, for every Python is decided; one of another platform or extra drops its line.
    """
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    found = []
    for line in lines:
        try:
            one = Requirement(line)
        except InvalidRequirement:  # metadata from before the grammar
            continue
        name = canonicalize_name(one.name)
        if name not in known or one.url:
            continue
        for extra in ("", *extras):
            rest = _open_marker(one, extra)
            if rest is None:
                continue
            parts = f"[{','.join(sorted(one.extras))}]" if one.extras else ""
            found.append(f"{name}{parts}{one.specifier}" + (f"; {rest}" if rest else ""))
            break
    return tuple(sorted(set(found)))


def _open_marker(one: object, extra: str) -> str | None:
    """None: never on Linux x86-64. Empty: always. Else what depends on Python or the extra."""
    marker = getattr(one, "marker", None)
    if marker is None:
        return None if extra else ""
    holds = [python for python in PYTHONS if marker.evaluate(linux(python, extra))]
    if not holds:
        return None
    suffix = f"extra == '{extra}'" if extra else ""
    if len(holds) == len(PYTHONS):
        return suffix
    together = list(PYTHONS[PYTHONS.index(holds[0]) : PYTHONS.index(holds[-1]) + 1]) == holds
    if together and ("extra" in str(marker) or "platform" in str(marker)):
        pythons = f"python_version >= '{holds[0]}'" if holds[0] != PYTHONS[0] else ""
        upper = f"python_version <= '{holds[-1]}'" if holds[-1] != PYTHONS[-1] else ""
        return " and ".join(filter(None, (pythons, upper, suffix)))
    return str(marker).replace('"', "'")


def encode(table: Table) -> str:
    """A table as text: one release per line, so that a change is a line in a diff."""
    import json

    head = {"package": table.package, "derived": table.derived, "source": table.source}
    rows = [json.dumps(msgspec.to_builtins(one), ensure_ascii=False) for one in table.releases]
    return json.dumps(head)[:-1] + ', "releases": [\n' + ",\n".join(rows) + "\n]}\n"


def known_requirements(rows: Sequence[Release]) -> Mapping[str, tuple[str, ...]]:
    """What is known already: the metadata of a published release does not change."""
    return {one.version: one.requires for one in rows if one.requires is not None}
