"""Whether the image's Python packages fit the new base's Python: version, places, bytecode, what they rely on."""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

from seatrial.images.rebase import packages
from seatrial.images.rebase.hidden import same
from seatrial.images.rebase.scan import ASKING
from seatrial.images.testing.model import Check, failed, passed, skipped
from seatrial.reports.units import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from seatrial.images.probe import Interpreter
    from seatrial.images.rebase.case import Case
    from seatrial.images.rebase.packages import Distribution, Python
    from seatrial.images.rebase.scan import Entry
    from seatrial.images.target import Target

_REBUILD = "assemble or build the image again on the new base"
_PYC = re.compile(r"(.*)/__pycache__/([^/]+)\.cpython-(\d)(\d+)(?:\.opt-[12])?\.pyc")
# Flags of a .pyc. Source: PEP 552.
_HASHED, _CHECKED = 1, 2
_TOOLS = frozenset(("pip", "setuptools", "wheel"))


def python(case: Case) -> Iterator[Check]:
    """The interpreter that the image's packages were installed for is the same, at the same place."""
    if case.assembly is not None:
        yield _assembled(case.assembly.old.interpreter, case.assembly.new.interpreter)
        return
    used = [one for one in packages.pythons(case.old_base) if _uses(case, one)]
    if not used:
        yield skipped("python", "the image has no packages for a Python of its base")
        return
    there = {(one.prefix, one.minor) for one in packages.pythons(case.new_base)}
    lost = [one for one in used if (one.prefix, one.minor) not in there]
    if lost:
        has = ", ".join(f"{prefix}/bin/python{minor}" for prefix, minor in sorted(there)) or "none"
        message = (
            f"the image's packages are for {lost[0].prefix}/bin/python{lost[0].minor}; the new base has {has}"
        )
        yield failed("python", message, f"choose a base with Python {lost[0].minor} there, or {_REBUILD}")
        return
    yield passed("python", ", ".join(f"Python {one.minor} in {one.prefix}" for one in used))


def _uses(case: Case, one: Python) -> bool:
    """Whether an own layer brings modules into its folders."""
    folders = tuple(
        f"{prefix}/{lib}/python{version}/"
        for prefix in {one.prefix, "/usr/local" if one.prefix == "/usr" else one.prefix}
        for lib in ("lib", "lib64")
        for version in (one.minor, "3")
    )
    return any(
        entry.path.startswith(folders) and not entry.path.endswith(".pyc") and entry.kind == "f"
        for _, layer in case.layers for entry in layer.entries
    )  # fmt: skip


def _assembled(old: Interpreter, new: Interpreter) -> Check:
    wrong = []
    if old.target.python != new.target.python:
        wrong.append(f"Python {old.target.python} became {new.target.python}")
    for field in ("purelib", "platlib", "scripts", "headers", "data", "shebang", "links"):
        before, after = getattr(old.scheme, field), getattr(new.scheme, field)
        if before != after:
            wrong.append(f"{field}: {before} became {after}")
    if wrong:
        fix = f"choose a base with Python {old.target.python} in the same place, or {_REBUILD}"
        return failed(
            "python", f"the packages are not where the new base's Python looks: {wrong[0]}", fix, wrong
        )
    versions = old.version if old.version == new.version else f"{old.version} → {new.version}"
    return passed("python", f"Python {versions}, packages in {new.scheme.purelib}")


def bytecode(case: Case) -> Iterator[Check]:
    """Compiled modules are still valid, and none stands for a module that the new base has patched."""
    found = [(path, entry, match) for path, entry in _pycs(case) if (match := _PYC.fullmatch(path))]
    if not found:
        yield skipped("bytecode", "the image brings no compiled modules")
        return
    magics = _magics(case)
    stale = [
        path for path, entry, match in found
        if (known := magics.get(f"{match[3]}.{match[4]}")) and entry.head[:4].hex() not in known
    ]  # fmt: skip
    frozen = [path for path, entry, match in found if _outlives(case, entry, f"{match[1]}/{match[2]}.py")]
    if frozen:
        message = f"{frozen[0]} would be run instead of the module that the new base patched"
        yield failed("bytecode", message, _REBUILD, frozen)
    elif stale:
        message = f"{counted(len(stale), 'compiled module')} are for another build of Python: {stale[0]}"
        fix = "leave them out with --drop-bytecode (imports take longer then), or assemble again"
        yield failed("bytecode", message, fix if case.assembly else _REBUILD, stale)
    else:
        yield passed("bytecode", f"{counted(len(found), 'compiled module')} are valid")


def stale_layers(case: Case) -> frozenset[int]:
    """The numbers of Seatrial's own bytecode layers whose modules the new base's Python would not take."""
    magics = _magics(case)
    assert case.assembly is not None  # noqa: S101 - only asked of assembled images
    found = set()
    for number, layer in case.layers:
        if number in case.assembly.own.bytecode:
            matches = ((_PYC.fullmatch(e.path), e) for e in layer.entries if e.head)
            if any(
                m and magics.get(f"{m[3]}.{m[4]}") and e.head[:4].hex() not in magics[f"{m[3]}.{m[4]}"]
                for m, e in matches
            ):
                found.add(number)
    return frozenset(found)


def _pycs(case: Case) -> Iterator[tuple[str, Entry]]:
    kept = {number for number, _ in case.layers}
    for path, node in case.old.tree.nodes.items():
        if node.layer in kept and node.entry.kind == "f" and path.endswith(".pyc"):
            yield path, node.entry


def _magics(case: Case) -> dict[str, frozenset[str]]:
    """What the new base's interpreters take, by minor version: as they say, else as their own modules have it."""
    found: dict[str, frozenset[str]] = {}
    for one in packages.pythons(case.new_base):
        if one.magics:
            found[one.minor] = found.get(one.minor, frozenset()) | one.magics
    if case.assembly is not None and case.assembly.new.interpreter.magic:
        new = case.assembly.new.interpreter
        found[new.target.python] = frozenset((new.magic,))
    return found


def _outlives(case: Case, entry: Entry, source: str) -> bool:
    """Whether Python would take this bytecode although the base's module has changed."""
    before, after = case.old_base.nodes.get(source), case.new_base.nodes.get(source)
    if before is None or after is None or same(before.entry, after.entry) or len(entry.head) < 16:  # noqa: PLR2004
        return False
    if case.new.tree.nodes[source].layer >= case.new.first:
        return False  # the image has a module of its own there
    flags, mtime, size = struct.unpack_from("<III", entry.head, 4)
    if flags & _HASHED:
        return not flags & _CHECKED
    return (mtime, size) == (after.entry.mtime & 0xFFFFFFFF, after.entry.size & 0xFFFFFFFF)


def distributions(case: Case) -> Iterator[Check]:
    """Packages of the base that the image's own rely on are unchanged, and none is there twice."""
    old, new = packages.distributions(case.old.tree), packages.distributions(case.new.tree)
    wrong = _twice(old, new)
    if wrong:
        yield failed("distributions", f"two versions would be in one place: {wrong[0]}", _REBUILD, wrong)
        return
    mine = [one for one in old if one.layer >= case.old.first]
    if not mine:
        yield skipped("distributions", "the image brings no Python packages")
        return
    theirs = [one for one in old if one.layer < case.old.first]
    relied = _relied_on(mine, theirs, _asked(case, theirs), _environment(case))
    after = {(one.name, one.site): one for one in new if one.layer < case.new.first}
    others = []
    for one, asked in relied.items():
        now = after.get((one.name, one.site))
        if now is not None and now.version == one.version:
            continue
        text = f"{one.name} {one.version} → {now.version if now else '(gone)'}"
        if now is None or case.assembly is not None or not _holds(asked, now.version):
            who = ", ".join(sorted({who for who, _ in asked}))
            wrong.append(f"{text}, which {who} relies on")
        else:
            others.append(f"{text}, as the image's packages allow")
    others += _unused(case, old, after, relied)
    if wrong:
        message = f"the new base has another version of a package that the image relies on: {wrong[0]}"
        yield failed("distributions", message, _REBUILD, wrong)
    else:
        yield passed("distributions", "what the image's packages rely on in the base is there", others)


def _twice(old: list[Distribution], new: list[Distribution]) -> list[str]:
    def several(found: Iterable[Distribution]) -> dict[tuple[str, str], set[str]]:
        table: dict[tuple[str, str], set[str]] = {}
        for one in found:
            table.setdefault((one.name, one.site), set()).add(one.version)
        return {key: versions for key, versions in table.items() if len(versions) > 1}

    before = several(old)
    return [
        f"{name} {' and '.join(sorted(versions))} in {site}"
        for (name, site), versions in several(new).items() if (name, site) not in before
    ]  # fmt: skip


def _asked(case: Case, theirs: list[Distribution]) -> dict[str, str]:
    """Packages of the base that an assembled image's lock may have kept, with what shows it.

    The lock is not in the image, but the files that it was made from usually are. Where there are none, every
    package counts that stands where the assembler looks, except the tools that bases bring for installing.
    """
    if case.assembly is None:
        return {}
    scheme = case.assembly.old.interpreter.scheme
    seen = {one.name for one in theirs if one.site in (scheme.purelib, scheme.platlib)}
    files = {
        path: re.sub(rb"[-_.]+", b"-", text).lower()
        for path, text in case.old.tree.texts.items()
        if ASKING.fullmatch(path) and case.old.own(path)
    }
    if not files:
        return dict.fromkeys(seen - _TOOLS, "the image's lock, for all that is known,")
    return {
        name: path for name in seen for path, text in files.items()
        if re.search(rb"(?<![a-z0-9-])" + re.escape(name.encode()) + rb"(?![a-z0-9-]*[a-z0-9])", text)
    }  # fmt: skip


def _relied_on(
    mine: list[Distribution], theirs: list[Distribution], asked: dict[str, str], environment: dict[str, str]
) -> dict[Distribution, list[tuple[str, str]]]:
    """Packages of the base that own ones or files of the project require, also through others: (who, specifier)."""
    own = {one.name for one in mine}
    by_name: dict[str, list[Distribution]] = {}
    for one in theirs:
        by_name.setdefault(one.name, []).append(one)
    found = {one: [(asked[one.name], "")] for one in theirs if one.name in asked and one.name not in own}
    waiting = [*mine, *found]
    while waiting:
        one = waiting.pop()
        for wanted in one.requires:
            for name, specifier in packages.required(wanted, environment):
                for other in by_name.get(name, []) if name not in own else []:
                    if other not in found:
                        found[other] = []
                        waiting.append(other)
                    found[other].append((one.name, specifier))
    return found


def _holds(asked: list[tuple[str, str]], version: str) -> bool:
    from packaging.specifiers import SpecifierSet
    from packaging.version import InvalidVersion

    try:
        return all(SpecifierSet(text).contains(version, prereleases=True) for _, text in asked)
    except InvalidVersion:
        return False


def _unused(
    case: Case, old: list[Distribution], after: dict[tuple[str, str], Distribution],
    relied: dict[Distribution, list[tuple[str, str]]],
) -> list[str]:  # fmt: skip
    found = []
    for one in old:
        now = after.get((one.name, one.site))
        if one.layer < case.old.first and one not in relied and (now is None or now.version != one.version):
            found.append(
                f"{one.name} {one.version} → {now.version if now else '(gone)'}: nothing in the image requires it"
            )
    return found


def _environment(case: Case) -> dict[str, str]:
    """Markers are asked for the image's Python and processor, not for this machine's."""
    from seatrial.images.target import WHEEL_ARCHITECTURES

    minors = [one.minor for one in packages.pythons(case.old_base)]
    target: Target | None = case.assembly.old.interpreter.target if case.assembly else None
    minor = target.python if target else (minors[-1] if minors else "3.11")
    architecture = str(case.image.config.get("architecture") or "")
    return {
        "python_version": minor, "python_full_version": f"{minor}.0", "implementation_name": "cpython",
        "implementation_version": f"{minor}.0", "platform_python_implementation": "CPython", "os_name": "posix",
        "sys_platform": "linux", "platform_system": "Linux", "platform_release": "", "platform_version": "",
        "platform_machine": WHEEL_ARCHITECTURES.get(architecture, architecture),
    }  # fmt: skip
