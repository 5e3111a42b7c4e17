"""What to change, and in which file, about a check that failed.

A check says what is wrong with the image. Here that becomes a place in the project it was made from: a line of its
requirements, of seatrial.yaml or .dockerignore, or the mode of a file. Nothing is changed, it is only said.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from seatrial.images.testing import advice_names as names
from seatrial.images.testing import advice_project as projects
from seatrial.images.testing.advice_project import Project, find_project
from seatrial.images.testing.model import Check, Edit, Subject
from seatrial.images.testing.python import normalize

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from seatrial.images.testing.vulnerabilities_reports import Vulnerability

__all__ = ["Project", "advise", "find_project", "for_base", "for_vulnerable"]

_NO_MODULE = re.compile(r"No module named '([^']+)'")
_NO_LIBRARY = re.compile(r"(\S+\.so[.0-9]*): cannot open shared object file")
_SECRET = re.compile(r": (/.+?):\d+(?: \(.*\))?$")
_DENIED = re.compile(r"^(/.+) \(may not (enter|read)[^:]*: mode (\d+), owner (\d+:\d+)\)")
_AT = re.compile(r"(/\S+)")
_NUMPY = ("against NumPy 1", "_ARRAY_API", "numpy.dtype size changed")


def advise(check: Check, subject: Subject) -> Check:
    """The failed check with a fix that names the file and the edit, where that is known; any other as it is."""
    if check.status != "fail" or check.edit is not None:
        return check
    adviser = _ADVISERS.get(check.id.partition(":")[0])
    return adviser(check, subject) if adviser else check


def for_vulnerable(check: Check, subject: Subject, package: str, target: str, *, python: bool) -> Check:
    """What to do about a package with vulnerabilities, of which `target` (when there is one) has none."""
    if not target:
        return _with(
            check,
            f"no version of {package} is free of them: accept them with a reason, or do without {package}",
        )
    if not python:
        return _with(check, f"take {package} {target} or newer where it comes from")
    users = _users(subject, package)
    because = f"; {', '.join(users[:3])} needs it" if users else ""
    if subject.project is None:
        return _with(check, f"ask for {package}>={target} in the requirements{because}")
    asked = projects.asked_for(subject.project, package)
    edit, where = projects.requirement_edit(subject.project, package, f">={target}")
    if edit is None:
        return _with(check, f"{where}{because}")
    if asked is None:
        return _with(check, f"{where}: add {package}>={target}{because}", edit)
    new = f"=={target}" if "==" in asked.text else f">={target}"
    edit, where = projects.requirement_edit(subject.project, package, new)
    return _with(check, f"{where}: ask for {package}{new}", edit)


def for_base(check: Check, subject: Subject, found: Sequence[Vulnerability]) -> Check:
    """What to do about packages of the operating system: a newer base has them fixed."""
    fixed = sum(bool(one.fixed) for one in found)
    if not fixed:
        return _with(
            check, "the distribution has not fixed them yet: accept them with a reason, or set ignore_unfixed"
        )
    much = "all of them" if fixed == len(found) else f"{fixed} of {len(found)}"
    if subject.project is None:
        return _with(check, f"take a newer base image: {much} are fixed in newer packages")
    number, line = projects.line_of(subject.project, r"^\s*base\s*:")
    where = f" (seatrial.yaml:{number}: {line.strip()})" if number else ""
    return _with(
        check,
        f"make the base again with `seatrial image assemble --refresh-base`{where}: {much} are fixed there",
    )


def _users(subject: Subject, package: str) -> list[str]:
    """Distributions of the image that need the package."""
    wanted = normalize(package)
    found = subject.python.distributions if subject.python else ()
    return sorted(
        one.name
        for one in found
        if any(
            normalize(match[0]) == wanted
            for text in one.requires
            if (match := re.match(r"[A-Za-z0-9._-]+", text))
        )
    )


def _with(check: Check, fix: str, edit: Edit | None = None) -> Check:
    return msgspec.structs.replace(check, fix=fix, edit=edit)


def _versions(check: Check, subject: Subject) -> Check:
    """The first package that differs: where it is asked for decides whether the lock or the image is out of date."""
    project, lock = subject.project, subject.lock or {}
    if project is None or subject.python is None:
        return check
    installed = {one.name: one.version for one in subject.python.distributions}
    for name, version in sorted(lock.items()):
        if installed.get(normalize(name)) == version:
            continue
        asked = projects.asked_for(project, name)
        if asked is None:
            return check
        place = f"{asked.file}:{asked.line}"
        if asked.held or "==" not in asked.text or f"=={version}" in asked.text.replace(" ", ""):
            return _with(
                check, f"assemble the image again; {place} asks for `{asked.text}`, the lock has {version}"
            )
        edit, _ = projects.requirement_edit(project, name, f"=={version}")
        return _with(
            check,
            f"{place} asks for `{asked.text}`, the lock has {version}: lock again, or ask for that version",
            edit,
        )
    return check


def _libraries(check: Check, subject: Subject) -> Check:
    soname = check.id.partition(":")[2]
    return check if ".so" not in soname else _missing(check, subject, soname)


def _missing(check: Check, subject: Subject, soname: str) -> Check:
    package = names.debian_package(soname)
    # Whoever found the gap may know more about it than its name says.
    if not package or not check.fix.startswith("install the system package"):
        return check
    if not names.is_known(soname):
        fix = f"install the system package that has {soname}, by its name probably {package}, or a wheel that carries it"
        return _with(check, fix)
    if subject.project is None:
        return _with(
            check,
            f"install {package}, the Debian package that has {soname}: `packages: [{package}]` of the base in seatrial.yaml, or apt-get install {package}",
        )
    edit = projects.packages_edit(subject.project, package)
    return _with(
        check,
        f"{edit.file}:{edit.line}: put {package}, the Debian package that has {soname}, into the base",
        edit,
    )


def _imports(check: Check, subject: Subject) -> Check:
    library = _NO_LIBRARY.search(check.message)
    if library:
        return _missing(check, subject, library[1].rpartition("/")[2])
    module = _NO_MODULE.search(check.message)
    if module and check.fix.startswith("add the distribution"):
        return _not_there(check, subject, module[1])
    if any(words in check.message for words in _NUMPY) and subject.project is not None:
        edit, where = projects.requirement_edit(subject.project, "numpy", "<2")
        return _with(
            check,
            f"{where}: ask for numpy<2, or take a version of the package that was built for NumPy 2",
            edit,
        )
    return check


def _not_there(check: Check, subject: Subject, module: str) -> Check:
    top = module.partition(".")[0]
    installed = {m for one in (subject.python.distributions if subject.python else ()) for m in one.modules}
    if top in installed:
        return _with(check, f"{top} is installed but has no {module}: another version of it is needed")
    wanted = names.distribution(module)
    if subject.project is None:
        named = (
            f"{wanted}, the distribution that has {module}," if wanted.replace("-", "_") != top else wanted
        )
        return _with(check, f"add {named} to the requirements and lock again")
    local = subject.project.folder / top
    if local.is_dir() or local.with_suffix(".py").is_file():
        return _with(
            check,
            f"{top} is the project's own: `source` or .dockerignore leaves it out, or it is not on the path of the interpreter",
        )
    edit, where = projects.requirement_edit(subject.project, wanted, "")
    return _with(check, f"{where}: add {wanted} to the requirements", edit) if edit else _with(check, where)


def _dependencies(check: Check, subject: Subject) -> Check:
    first = check.details[0] if check.details else check.message
    match = re.search(
        r"(?P<who>\S+) \S+ needs (?P<name>[A-Za-z0-9._-]+?)(?P<specifier>[<>=!~][^ ]*)?, (?:which|but)", first
    )
    if match is None or subject.project is None:
        return check
    edit, where = projects.requirement_edit(
        subject.project, match["name"], (match["specifier"] or "").rstrip(",")
    )
    fix = f"{where}: ask for {match['name']}{match['specifier'] or ''}, which {match['who']} needs"
    return _with(check, fix, edit) if edit else _with(check, where)


def _secrets(check: Check, subject: Subject) -> Check:
    if subject.project is None:
        return check
    for line in check.details:
        match = _SECRET.search(line)
        local = subject.project.local(match[1]) if match else ""
        if local:
            edit = projects.exclude_edit(subject.project, local)
            return _with(
                check,
                f"revoke the secret, keep {local} out of the image with a line in {edit.file}, and pass it when the image runs",
                edit,
            )
    setting = re.search(r"ENV (\w+)", "\n".join((check.message, *check.details)))
    if setting:
        number, line = projects.line_of(subject.project, rf"\b{re.escape(setting[1])}\s*:")
        if number:
            name = re.sub(r":.*", ": …", line.strip())  # the value is the secret
            return _with(
                check,
                f"revoke the secret, remove seatrial.yaml:{number} (`{name}`), and pass it when the image runs",
            )
    return check


def _entrypoint(check: Check, subject: Subject) -> Check:
    project, place = subject.project, _AT.search(check.message)
    if project is None or place is None:
        return check
    local = project.local(place[1])
    if "is not executable" in check.message and local:
        mode = (project.folder / local).stat().st_mode & 0o777
        new = mode | ((mode & 0o444) >> 2)
        edit = Edit(file=local, line=0, old=f"{mode:04o}", new=f"{new:04o}")
        return _with(check, f"chmod +x {local}, and assemble again", edit)
    if "Windows line ends" in check.message and local:
        return _with(check, f"save {local} with \\n line ends: sed -i 's/\\r$//' {local}")
    number, line = projects.line_of(project, r"^\s*(?:entrypoint|command)\s*:")
    return _with(check, f"{check.fix}; seatrial.yaml:{number} says `{line.strip()}`") if number else check


def _permissions(check: Check, subject: Subject) -> Check:
    if subject.project is None:
        return check
    for line in check.details:
        match = _DENIED.match(line)
        local = subject.project.local(match[1]) if match else ""
        if match and local:
            mode = (subject.project.folder / local).stat().st_mode & 0o777
            new = mode | 0o444 | (0o111 if mode & 0o100 else 0)
            edit = Edit(file=local, line=0, old=f"{mode:04o}", new=f"{new:04o}")
            return _with(
                check,
                f"chmod a+r {local}, or let the files belong to the user: `owner: user` for the image in seatrial.yaml",
                edit,
            )
    return check


_ADVISERS: dict[str, Callable[[Check, Subject], Check]] = {
    "versions": _versions,
    "libraries": _libraries,
    "imports": _imports,
    "dependencies": _dependencies,
    "secrets": _secrets,
    "entrypoint": _entrypoint,
    "permissions": _permissions,
}
