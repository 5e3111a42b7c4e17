"""Where the files of wheels go in an image, and the layer that holds them.

Same rules as pip's (`pip/_internal/operations/install/wheel.py`), except that nothing is run and the result does
not depend on the machine: fixed times, modes 0644 or 0755, sorted order.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import posixpath
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from seatrial.images.assemble.refusal import refuse
from seatrial.images.assemble.splice import digest_of, read_entry, splice

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from seatrial.images.assemble.layer import LayerWriter
    from seatrial.images.assemble.wheel import Entry, Wheel

_INSTALLER = b"seatrial\n"
# As pip writes it.
_SCRIPT = """\
import sys
from {module} import {first}
if __name__ == '__main__':
    sys.argv[0] = sys.argv[0].removesuffix('.exe')
    sys.exit({call}())
"""
_LONGEST_SHEBANG = 127
_MAX_PATH = 4095

Half = Literal["largest files", "other files"]
"""What of a very large wheel goes into a layer; RECORD is one of the other files."""


class Scheme(msgspec.Struct, frozen=True, kw_only=True):
    """Absolute folders of the image's interpreter, and its own path for `#!` lines.

    `links` are folders of the base that are symbolic links, with what they point to; `python` is `3.11`.
    """

    purelib: str
    platlib: str
    scripts: str
    headers: str
    data: str
    shebang: str
    links: tuple[tuple[str, str], ...] = ()
    python: str = ""


class Placement(NamedTuple):
    """One installed file: absolute path in the image, and either a file of the wheel or a content."""

    path: str
    entry: Entry | None
    content: bytes
    mode: int
    rewrite: bool = False


Digests = dict[str, tuple[bytes, int]]
"""sha256 and size of files, by their paths."""


class Installed(NamedTuple):
    """What a layer of wheels holds: path → sha256, and the paths that its wheels disagree about.

    `compared` has for each wheel's file name the sha256 of its files that were compared with RECORD, by their names there.
    """

    files: dict[str, str]
    disputed: tuple[str, ...] = ()
    compared: Mapping[str, Mapping[str, bytes]] = MappingProxyType({})


def placements(wheel: Wheel, scheme: Scheme) -> list[Placement]:
    """Every file that installing the wheel makes, except RECORD, sorted by path.

    Raises:
        WheelError: a file would land outside of the folder it belongs to.
    """
    root = scheme.purelib if wheel.pure else scheme.platlib
    scripts = _programs(wheel.scripts, scheme)
    wrappers, linked = {name for name, _ in scripts}, tuple(link + "/" for link, _ in scheme.links)
    found = [
        placed
        for entry in wheel.entries
        if entry.name != f"{wheel.dist_info}/RECORD"
        and (placed := _place(wheel, entry, scheme, root, wrappers)) is not None
    ]
    found += [
        Placement(f"{scheme.scripts}/{name}", None, entry_script(target, scheme.shebang), 0o755)
        for name, target in scripts
    ]
    found.append(Placement(f"{root}/{wheel.dist_info}/INSTALLER", None, _INSTALLER, 0o644))
    if wheel.direct_url:
        origin = wheel.direct_url.encode()
        found.append(Placement(f"{root}/{wheel.dist_info}/direct_url.json", None, origin, 0o644))
    by_path = {
        _through_links(p.path, scheme) if p.path.startswith(linked) else p.path: p for p in found
    }  # later ones win: pip overwrites INSTALLER too
    _check_places(wheel, by_path, scheme)
    return [by_path[path]._replace(path=path) for path in sorted(by_path)]


def _place(wheel: Wheel, entry: Entry, scheme: Scheme, root: str, wrappers: set[str]) -> Placement | None:
    mode = 0o755 if entry.executable else 0o644
    top, _, inner = entry.name.partition("/")
    if not (inner and top.endswith(".data")):
        return Placement(f"{root}/{entry.name}", entry, b"", mode)
    key, _, rest = inner.partition("/")
    folders = {
        "purelib": scheme.purelib,
        "platlib": scheme.platlib,
        "scripts": scheme.scripts,
        "headers": f"{scheme.headers}/{wheel.name}",
        "data": scheme.data,
    }
    if top != wheel.data or key not in folders or not rest:
        raise refuse(wheel.filename, f"{entry.name!r} belongs to no known installation folder")
    if key != "scripts":
        return Placement(f"{folders[key]}/{rest}", entry, b"", mode)
    name = rest.removesuffix(".exe").removesuffix("-script.py").removesuffix(".pya")
    if name in wrappers:
        return None  # the entry point makes it
    return Placement(f"{folders[key]}/{rest}", entry, b"", 0o755, rewrite=True)


def _check_places(wheel: Wheel, paths: Iterable[str], scheme: Scheme) -> None:
    """What a wheel brings as data can reach the folders in which packages say what belongs to them."""
    own = f"{scheme.purelib if wheel.pure else scheme.platlib}/{wheel.dist_info}/"
    for path in paths:
        if len(path) > _MAX_PATH // 4 and len(path.encode()) > _MAX_PATH:
            raise refuse(wheel.filename, f"{path[:80] + '…'!r} is longer than a path may be")
        if (".dist-info/" in path or ".egg-info" in path) and not path.startswith(own):
            for library in (scheme.purelib, scheme.platlib):
                top = (
                    path.removeprefix(library + "/").partition("/")[0]
                    if path.startswith(library + "/")
                    else ""
                )
                if top.endswith((".dist-info", ".egg-info")):
                    raise refuse(wheel.filename, f"it writes {path}, which says what another package is")


def _programs(scripts: tuple[tuple[str, str], ...], scheme: Scheme) -> tuple[tuple[str, str], ...]:
    """Entry points as programs; pip and old setuptools name theirs after the Python that they are installed for."""
    found = dict(scripts)
    for name, versioned, pattern in (
        ("pip", ("pip", f"pip{scheme.python.partition('.')[0]}", f"pip{scheme.python}"), r"pip\d+(\.\d+)?"),
        ("easy_install", ("easy_install", f"easy_install-{scheme.python}"), r"easy_install-\d+\.\d+"),
    ):
        if name in found and scheme.python:
            kept = {n: t for n, t in found.items() if not re.fullmatch(pattern, n)}
            found = {**kept, **dict.fromkeys(versioned, found[name])}
    return tuple(sorted(found.items()))


def _through_links(path: str, scheme: Scheme) -> str:
    for link, target in scheme.links:
        if path.startswith(link + "/"):
            return target + path[len(link) :]
    return path


def entry_script(target: str, shebang: str) -> bytes:
    """The program that pip writes for `module:attribute`."""
    module, _, attribute = target.partition(":")
    first = attribute.partition(".")[0]
    return first_line(shebang) + _SCRIPT.format(module=module, first=first, call=attribute).encode()


def first_line(interpreter: str) -> bytes:
    """How a program names its interpreter; the kernel takes no long path and none with a space.

    Source: execve(2), and distlib's `scripts.py`, which pip uses.
    """
    if " " not in interpreter and len(interpreter.encode()) + len("#!\n") <= _LONGEST_SHEBANG:
        return f"#!{interpreter}\n".encode()
    quoted = f'"{interpreter}"' if " " in interpreter else interpreter
    # To sh the first two quotes are empty, and it becomes Python; to Python all of it is a string.
    return f"#!/bin/sh\n'''exec' {quoted} \"$0\" \"$@\"\n' '''\n".encode()


def write_wheels(writer: LayerWriter, wheels: Sequence[Wheel], scheme: Scheme) -> Installed:
    """Write the installed files of `wheels` and say which, with the files that two of them disagree about.

    A file that several wheels have is written once, as the last of them has it.

    Raises:
        WheelError: a wheel is damaged or contradicts its RECORD.
    """
    plans = {wheel.filename: placements(wheel, scheme) for wheel in wheels}
    owner = {p.path: wheel.filename for wheel in wheels for p in plans[wheel.filename]}
    for folder in folders_of([*owner, *(record_path(w, scheme) for w in wheels)], scheme):
        writer.add_directory(folder.lstrip("/"))
    files: dict[str, str] = {}
    overwritten: dict[str, str] = {}
    compared: dict[str, dict[str, bytes]] = {wheel.filename: {} for wheel in wheels}
    for wheel in wheels:
        digests = _write_files(writer, wheel, plans[wheel.filename], owner, scheme, compared[wheel.filename])
        for path, (digest, _) in digests.items():
            (files if owner[path] == wheel.filename else overwritten)[path] = digest.hex()
        files |= _write_record(writer, wheel, scheme, digests)
    disputed = tuple(sorted(p for p, digest in overwritten.items() if files[p] != digest))
    return Installed(files, disputed, compared)


def write_half(writer: LayerWriter, wheel: Wheel, scheme: Scheme, half: Half) -> Installed:
    """Write one half of the installed files of `wheel`; both together are the same as all of them.

    Raises:
        WheelError: a file of that half is damaged or contradicts RECORD.
    """
    plan = placements(wheel, scheme)
    largest = _largest(plan)
    here = [placed for placed in plan if (placed.path in largest) == (half == "largest files")]
    paths = {placed.path: wheel.filename for placed in here}
    record = [record_path(wheel, scheme)] if half == "other files" else []
    for folder in folders_of([*paths, *record], scheme):
        writer.add_directory(folder.lstrip("/"))
    compared: dict[str, bytes] = {}
    written = _write_files(writer, wheel, here, paths, scheme, compared)
    files = {path: digest.hex() for path, (digest, _) in written.items()}
    if record:
        others = _recorded(wheel, [placed for placed in plan if placed.path in largest])
        files |= _write_record(writer, wheel, scheme, {**written, **others})
    return Installed(files, (), {wheel.filename: compared})


def _largest(plan: Iterable[Placement]) -> set[str]:
    """Paths of the largest files, which together are half of what is packed in the wheel or more."""
    packed = {p.path: p.entry.packed for p in plan if p.entry is not None and not p.rewrite}
    found: set[str] = set()
    missing = sum(packed.values()) / 2
    for path in sorted(packed, key=lambda path: (-packed[path], path)):
        if missing <= 0:
            break
        found.add(path)
        missing -= packed[path]
    return found


def _write_files(
    writer: LayerWriter,
    wheel: Wheel,
    plan: list[Placement],
    owner: Mapping[str, str],
    scheme: Scheme,
    compared: dict[str, bytes],
) -> Digests:
    """Write those files of `plan` that the wheel owns; sha256 and size of all of them, by path."""
    found: Digests = {}
    descriptor = os.open(wheel.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for placed in plan:
            if owner[placed.path] == wheel.filename:
                found[placed.path] = _write_file(writer, wheel, placed, descriptor, scheme.shebang)
                if placed.entry is not None and not placed.rewrite:
                    compared[placed.entry.name] = found[placed.path][0]
            else:
                content = content_of(wheel, placed, descriptor, scheme.shebang)
                found[placed.path] = hashlib.sha256(content).digest(), len(content)
    finally:
        os.close(descriptor)
    return found


def _write_record(writer: LayerWriter, wheel: Wheel, scheme: Scheme, digests: Digests) -> dict[str, str]:
    record = record_path(wheel, scheme)
    root = posixpath.dirname(posixpath.dirname(record))
    rows = [(posixpath.relpath(record, root), "", "")]
    for path, (digest, size) in digests.items():
        encoded = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        rows.append((_relative(path, root), f"sha256={encoded}", str(size)))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(sorted(rows))
    writer.add_bytes(record.lstrip("/"), text.getvalue().encode())
    return {record: hashlib.sha256(text.getvalue().encode()).hexdigest()}


def _recorded(wheel: Wheel, plan: Iterable[Placement]) -> Digests:
    """What the wheel says of files that another layer has; who writes that one compares it with the content."""
    found: Digests = {}
    descriptor = os.open(wheel.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for placed in plan:
            entry = placed.entry
            assert entry is not None  # noqa: S101 - only files of the wheel are among the largest
            said = wheel.record.get(entry.name)
            if entry.digest:
                digest = entry.digest
            elif said is not None and said.algorithm == "sha256":
                digest = said.digest
            else:
                digest = digest_of(descriptor, entry, said, wheel.filename)
            found[placed.path] = digest, entry.size
    finally:
        os.close(descriptor)
    return found


def _relative(path: str, root: str) -> str:
    """`posixpath.relpath`, for the common case without its cost."""
    return path[len(root) + 1 :] if path.startswith(root + "/") else posixpath.relpath(path, root)


def record_path(wheel: Wheel, scheme: Scheme) -> str:
    """Where the wheel's RECORD is in the image."""
    root = scheme.purelib if wheel.pure else scheme.platlib
    return f"{root}/{wheel.dist_info}/RECORD"


def _write_file(
    writer: LayerWriter, wheel: Wheel, placed: Placement, descriptor: int, shebang: str
) -> tuple[bytes, int]:
    name = placed.path.lstrip("/")
    if placed.entry is not None and not placed.rewrite:
        recorded = wheel.record.get(placed.entry.name)
        digest = splice(
            writer, descriptor, placed.entry, recorded, name=name, mode=placed.mode, filename=wheel.filename
        )
        return digest, placed.entry.size
    content = content_of(wheel, placed, descriptor, shebang)
    writer.add_bytes(name, content, mode=placed.mode)
    return hashlib.sha256(content).digest(), len(content)


def content_of(wheel: Wheel, placed: Placement, descriptor: int, shebang: str) -> bytes:
    """What the file will hold; for scripts with the interpreter of the image in their first line.

    Raises:
        WheelError: it is damaged or not what RECORD describes.
    """
    if placed.entry is None:
        return placed.content
    content, _ = read_entry(descriptor, placed.entry, wheel.record.get(placed.entry.name), wheel.filename)
    if placed.rewrite and content.startswith(b"#!python"):
        _, _, rest = content.partition(b"\n")
        return first_line(shebang) + rest
    return content


def scheme_folders(scheme: Scheme) -> set[str]:
    """The folders that belong to the base, with all their parents; layers of wheels leave them alone."""
    return {parent for folder in scheme_roots(scheme) for parent in parents(folder + "/x")}


def scheme_roots(scheme: Scheme) -> tuple[str, ...]:
    """The folders that files of wheels go to, or into folders of."""
    return (scheme.purelib, scheme.platlib, scheme.scripts, scheme.headers, scheme.data)


def folders_of(files: Iterable[str], scheme: Scheme) -> list[str]:
    """The folders that a layer with these files has to bring, sorted."""
    folders = {path.rpartition("/")[0] for path in files}
    return sorted(
        (folders | {parent for folder in folders for parent in parents(folder)} - {""})
        - scheme_folders(scheme)
    )


def parents(path: str) -> list[str]:
    """`/a/b/c` → `/a/b`, `/a`."""
    found = []
    while path := path.rpartition("/")[0]:
        found.append(path)
    return found
