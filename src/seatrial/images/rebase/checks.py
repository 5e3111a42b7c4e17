"""May the image be moved? Every question, answered with its reason."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from seatrial.images.assemble.groups import MAX_LAYERS
from seatrial.images.rebase import hidden, linking
from seatrial.images.rebase.config import variables
from seatrial.images.rebase.python_checks import bytecode, distributions, python
from seatrial.images.rebase.source import platform_of
from seatrial.images.rebase.tree import find, program, resolve
from seatrial.images.testing.model import Check, failed, passed, skipped
from seatrial.reports.units import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.images import layout as oci
    from seatrial.images.rebase.case import Case
    from seatrial.images.rebase.scan import Entry, Layer
    from seatrial.images.rebase.tree import Tree

_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_REBUILD = "build the image again on the new base"


def platform(image: oci.Image, target: oci.Image) -> Check:
    """The only question whose answer makes all others idle."""
    mine, theirs = platform_of(image, variant=True), platform_of(target, variant=True)
    if mine == theirs or (platform_of(image) == platform_of(target) and mine.count("/") != theirs.count("/")):
        return passed("platform", f"both are for {theirs}")
    message = f"the image is for {mine}, the new base for {theirs}"
    return failed("platform", message, f"name a base for {mine} with --onto")


def layer_count(image: oci.Image, base_layers: int, target: oci.Image) -> Check:
    """Overlay file systems and registries take only so many."""
    count = len(target.manifest.layers) + len(image.manifest.layers) - base_layers
    if count > MAX_LAYERS:
        message = f"the rebased image would have {count} layers; engines take about {MAX_LAYERS}"
        return failed("layers", message, "choose a base with fewer layers, or build the image again")
    return passed("layers", f"{count} layers, of which {len(target.manifest.layers)} are the new base's")


def run_checks(case: Case) -> list[Check]:
    """Everything that needs the layers to be read, in the order in which it is shown."""
    return [
        files(case), *libraries(case), *python(case), *bytecode(case), *distributions(case), links(case),
        scripts(case), accounts(case), entrypoint(case), workdir(case),
    ]  # fmt: skip


def files(case: Case) -> Check:
    """Nothing that the new base patched is hidden by a file of the image's own."""
    ours = _assembled_layers(case)
    found = hidden.hidden(case.old_base, case.new_base, case.layers)
    bad = [one for one in found if not one.harmless and one.layer not in ours]
    good = [
        f"{one.path}: {one.why}; " + (one.harmless or "assembling anew would do the same")
        for one in found if one not in bad
    ]  # fmt: skip
    if bad:
        message = f"{counted(len(bad), 'file')} of the image would hide what the new base has: {bad[0].path}"
        said = [f"{one.path}: {one.why} (layer {one.layer + 1})" for one in bad]
        return failed("hidden", message, _REBUILD, said)
    return passed("hidden", "no patch of the new base would be hidden", good)


def _assembled_layers(case: Case) -> frozenset[int]:
    """Layers that assembling anew would make the same: wheels, bytecode and source, but no system packages."""
    if case.assembly is None:
        return frozenset()
    from seatrial.images.rebase.base import ASSEMBLED, history

    texts = history(case.image)
    return frozenset(
        number for number, layer in case.layers
        if texts[number].startswith(ASSEMBLED) and not _has_system_packages(layer)
    )  # fmt: skip


def _has_system_packages(layer: Layer) -> bool:
    return any(entry.path.startswith("/var/lib/dpkg/") for entry in layer.entries)


def libraries(case: Case) -> Iterator[Check]:
    """Shared libraries and their symbol versions, as the loader would look them up."""
    found = linking.problems(case.old, case.new)
    count = sum(1 for _, layer in case.layers for entry in layer.entries if entry.elf)
    groups = (
        ("glibc", "glibc", [p for p in found if p.version and linking.is_glibc(p.library)]),
        ("libstdcxx", "libstdc++", [p for p in found if p.version and linking.is_cxx(p.library)]),
        ("libraries", "shared libraries", [
            p for p in found if not p.version or not (linking.is_glibc(p.library) or linking.is_cxx(p.library))
        ]),
    )  # fmt: skip
    for identifier, what, problems in groups:
        if not problems:
            yield passed(
                identifier, f"{what}: {counted(count, 'object')} of the image checked, nothing is missing"
            )
            continue
        first = problems[0]
        lacks = f"{first.library} without {first.version}" if first.version else f"no {first.library}"
        fix = "choose a base that has it" if not first.version else "choose a base that is not older"
        yield failed(
            identifier, f"the new base has {lacks}, which {first.path} needs", f"{fix}, or {_REBUILD}",
            [f"{p.path}: {p.library} {p.version}".rstrip() for p in problems],
        )  # fmt: skip


def links(case: Case) -> Check:
    """Links of the image's own that lead into the base still lead somewhere."""
    lost = []
    for path, entry in _own(case):
        folder = posixpath.dirname(path)
        if (
            entry.kind == "l"
            and find(case.old.tree, entry.value, folder)
            and not find(case.new.tree, entry.value, folder)
        ):
            lost.append(f"{path} → {entry.value}")
    lost += [f"{path} (hard link)" for path in sorted(case.new.tree.broken - case.old.tree.broken)]
    if lost:
        message = f"{counted(len(lost), 'link')} of the image would lead nowhere: {lost[0]}"
        return failed("links", message, f"choose a base that has the target, or {_REBUILD}", lost)
    return passed("links", "every link of the image leads where it did")


def scripts(case: Case) -> Check:
    """The programs that `#!` lines name are there."""
    lost = []
    for path, entry in _own(case):
        if entry.kind == "f" and entry.mode & 0o111 and entry.head.startswith(b"#!"):
            words = entry.head[2:].decode("utf-8", "replace").split()
            worked = bool(words) and _starts(case.old.tree, words, _path(case.settings))
            if worked and not _starts(case.new.tree, words, _path(case.new_settings)):
                lost.append(f"{path}: {' '.join(words)}")
    if lost:
        message = f"{counted(len(lost), 'script')} would have no interpreter: {lost[0]}"
        return failed("scripts", message, f"choose a base that has it, or {_REBUILD}", lost)
    return passed("scripts", "every script's interpreter is there")


def _starts(tree: Tree, words: list[str], path: str) -> bool:
    if find(tree, words[0]) is None:
        return False
    if posixpath.basename(words[0]) != "env":
        return True
    name = next((w for w in words[1:] if not w.startswith("-") and "=" not in w), "")
    return not name or program(tree, name, path) is not None


def accounts(case: Case) -> Check:
    """Owners of the image's files, and the user that it runs as, are who they were."""
    old, new = (_names(one.tree, "/etc/passwd") for one in (case.old, case.new))
    old_groups, new_groups = (_names(one.tree, "/etc/group") for one in (case.old, case.new))
    users = {entry.uid for _, entry in _own(case)}
    members = {entry.gid for _, entry in _own(case)}
    wrong = _renamed("user", users, old, new) + _renamed("group", members, old_groups, new_groups)
    user, _, group = str(case.new_settings.get("User") or "").partition(":")
    for kind, name, before, after in (("user", user, old, new), ("group", group, old_groups, new_groups)):
        if name and not name.isdigit():
            was = next((number for number, names in before.items() if name in names), None)
            now = next((number for number, names in after.items() if name in names), None)
            if was is not None and was != now:
                wrong.append(
                    f"the image runs as {kind} {name}, number {was}; in the new base {now or 'there is none'}"
                )
    if case.assembly is not None:
        mine, anew = case.assembly.own.account, case.assembly.ground.account
        if (mine.uid, mine.gid) != (anew.uid, anew.gid) and mine.uid in users:
            wrong.append(f"{mine.name} was {mine.uid}:{mine.gid} and would be {anew.uid}:{anew.gid}")
    if wrong:
        return failed("accounts", f"files would belong to somebody else: {wrong[0]}", _REBUILD, wrong)
    return passed("accounts", "the owners of the image's files are the same")


def _names(tree: Tree, path: str) -> dict[int, frozenset[str]]:
    place = resolve(tree, path) or path
    rows = [line.split(":") for line in tree.texts.get(place, b"").decode("utf-8", "replace").splitlines()]
    found: dict[int, frozenset[str]] = {}
    for row in rows:
        if len(row) > 2 and row[2].isdigit():  # noqa: PLR2004 - name, password, number
            found[int(row[2])] = found.get(int(row[2]), frozenset()) | {row[0]}
    return found


def _renamed(
    kind: str, numbers: set[int], old: dict[int, frozenset[str]], new: dict[int, frozenset[str]]
) -> list[str]:
    wrong = []
    for number in sorted(numbers):
        before, after = old.get(number, frozenset()), new.get(number, frozenset())
        if before != after and not before & after:
            was, now = (", ".join(sorted(names)) or "nobody" for names in (before, after))
            wrong.append(f"{kind} {number} was {was} and would be {now}")
    return wrong


def entrypoint(case: Case) -> Check:
    """The program that a container starts with is there."""
    before = _command(case.settings)
    after = _command(case.new_settings)
    if not after:
        return skipped("entrypoint", "the image names no program")
    worked = bool(before) and program(case.old.tree, before[0], _path(case.settings), _folder(case.settings))
    works = program(case.new.tree, after[0], _path(case.new_settings), _folder(case.new_settings))
    if worked and not works:
        message = f"{after[0]}, which a container starts, would not be found"
        return failed("entrypoint", message, f"choose a base that has it, or {_REBUILD}")
    return passed("entrypoint", f"a container starts {after[0]}")


def _command(settings: dict[str, object]) -> list[str]:
    found: list[str] = []
    for key in ("Entrypoint", "Cmd"):
        value = settings.get(key)
        if isinstance(value, list):
            found += [str(item) for item in value]
    return found


def _path(settings: dict[str, object]) -> str:
    return variables(settings).get("PATH") or _DEFAULT_PATH


def _folder(settings: dict[str, object]) -> str:
    return str(settings.get("WorkingDir") or "/")


def workdir(case: Case) -> Check:
    """The working folder is the same place, and nothing of the new base turns up in it."""
    folder = _folder(case.settings)
    if folder == "/":
        return skipped("workdir", "the image has no working folder of its own")
    before, after = resolve(case.old.tree, folder), resolve(case.new.tree, folder)
    if before != after:
        message = f"the working folder {folder} was {before} and would be {after or 'missing'}"
        return failed("workdir", message, _REBUILD)
    place = before or folder
    new = [p for p in case.new_base.nodes if p.startswith(place + "/") and p not in case.old_base.nodes]
    if new:
        message = f"the new base has {counted(len(new), 'file')} in the working folder {place}: {new[0]}"
        return failed(
            "workdir", message, f"choose a base that leaves {place} alone, or {_REBUILD}", sorted(new)
        )
    return passed("workdir", f"the new base leaves {place} alone")


def _own(case: Case) -> Iterator[tuple[str, Entry]]:
    """What the image adds, as far as the new stack shows it."""
    kept = {number for number, _ in case.layers}
    for path, node in case.old.tree.nodes.items():
        if node.layer in kept:
            yield path, node.entry
