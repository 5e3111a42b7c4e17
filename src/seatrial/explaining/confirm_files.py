"""Causes about files: is it in the repository, is it left out of the build context, which requirement is missing."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from seatrial.explaining.confirm_verdict import Verdict, finding
from seatrial.findings import Edit, Fix

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.diagnosis.model import Cause
    from seatrial.findings import Finding

_NAMED = frozenset({"file-missing", "dockerfile-copy-missing", "dockerfile-missing", "buildspec-missing", "appspec-missing"})  # fmt: skip
_SCRIPTS = frozenset({"script-not-executable", "crlf-line-endings", "shell-interpreter-missing"})
_LARGEST = 1_000_000
_MOST_FILES = 20_000


def verdict(cause: Cause, repo: Path) -> Verdict:
    """What the repository says about the file, script or module that a cause names."""
    if cause.id in _NAMED:
        return _file(cause, repo)
    if cause.id in _SCRIPTS:
        return _script(cause, repo)
    if cause.id == "python-module-missing":
        return _module(cause, repo)
    if cause.id in ("resolver-conflict", "pip-no-matching-distribution", "python-version-unsupported"):
        return _requirement(cause, repo)
    return Verdict()


def _file(cause: Cause, repo: Path) -> Verdict:
    named = cause.captures.get("path") or cause.captures.get("file") or ""
    if not named or "*" in named or ".." in named:
        return Verdict()
    name = named.rstrip(":,").lstrip("/").removeprefix("./")
    copying = cause.id == "dockerfile-copy-missing"
    if (repo / name).exists():
        left_out = _ignored(repo, name) if copying else None
        if left_out:
            return Verdict("yes", (left_out,))
        said = finding(
            "file-present",
            f"{name} is in the repository: the command runs in another folder, or the file was not packed",
            path=name,
            severity="note",
        )
        return Verdict("no" if copying else "unknown", (said,))
    if PurePosixPath(named).is_absolute() and not copying:
        return Verdict()
    return Verdict("yes", (_absent(repo, name),))


def _absent(repo: Path, name: str) -> Finding:
    """The place that names the file, and where a file of this name is."""
    same = [path for path in files(repo) if PurePosixPath(path).name == PurePosixPath(name).name]
    hint = f"; there is {same[0]}" if same else ""
    for path, text in _texts(
        repo, {"dockerfile", "containerfile", "buildspec.yml", "buildspec.yaml", "appspec.yml"}
    ):
        for number, line in enumerate(text.splitlines(), 1):
            at = re.search(rf"(?<![\w./-]){re.escape(name)}(?![\w-])", line)
            if at is None or line.lstrip().startswith("#"):
                continue
            edit = (
                Edit(path=path, start=(number, at.start() + 1), end=(number, at.end() + 1), text=same[0])
                if same
                else None
            )
            fix = Fix(title=f"name {same[0]}", safe=False, edits=(edit,)) if edit else None
            return finding(
                "file-absent", f"{name} is not in the repository{hint}",
                path=path, line=number, column=at.start() + 1, fix=fix,
            )  # fmt: skip
    return finding("file-absent", f"{name} is not in the repository{hint}", path=name)


def _ignored(repo: Path, name: str) -> Finding | None:
    """The line of .dockerignore that leaves the file out; the last pattern that matches decides."""
    file = repo / ".dockerignore"
    found = None
    for number, line in enumerate(read(file).splitlines(), 1):
        pattern = line.strip()
        keeps = pattern.startswith("!")
        plain = pattern.lstrip("!").strip("/")
        if not plain or pattern.startswith("#"):
            continue
        parents = [name, *(str(one) for one in PurePosixPath(name).parents)]
        if any(
            fnmatch(one, plain) or fnmatch(one, plain.removeprefix("**/")) for one in parents if one != "."
        ):
            found = None if keeps else (number, line)
    if found is None:
        return None
    number, line = found
    end = len(line) + 1
    edit = Edit(path=".dockerignore", start=(number, end), end=(number, end), text=f"\n!{name}")
    fix = Fix(title=f"keep {name} in the build context", safe=False, edits=(edit,))
    return finding("file-ignored", f"{line.strip()!r} leaves {name} out of the build context", path=".dockerignore", line=number, fix=fix)  # fmt: skip


def _script(cause: Cause, repo: Path) -> Verdict:
    named = cause.captures.get("script", "")
    name = PurePosixPath(named).name
    scripts = [
        path for path in files(repo) if (PurePosixPath(path).name == name if name else path.endswith(".sh"))
    ]
    found = []
    for path in scripts[:50]:
        text = read(repo / path)
        if "\r\n" in text and text.startswith("#!"):
            found.append(finding("script-crlf", f"{path} has CRLF line ends", path=path))
        elif name and cause.id == "script-not-executable" and not (repo / path).stat().st_mode & 0o111:
            found.append(finding("script-mode", f"{path} has no executable bit: git update-index --chmod=+x {path}", path=path))  # fmt: skip
    return Verdict("yes" if found else "unknown", tuple(found[:5]))


def _module(cause: Cause, repo: Path) -> Verdict:
    """Is the module the project's own, is it required, and by which name."""
    from seatrial.images.testing.advice_names import distribution

    module = cause.captures.get("module", "").split(".")[0]
    if not module:
        return Verdict()
    for own in (f"{module}.py", f"{module}/__init__.py", f"src/{module}/__init__.py", f"src/{module}.py"):
        if (repo / own).exists():
            said = f"{module} is a module of the project: install it (pip install -e .) or set PYTHONPATH"
            return Verdict("yes", (finding("module-own", said, path=own),))
    name = distribution(cause.captures["module"])
    asking = list(_requirement_files(repo))
    for path, text in asking:
        for number, line in enumerate(text.splitlines(), 1):
            if _requires(line, {name, module}):
                said = f"{name} is required here: the step that installs this file did not run, or for another Python"
                return Verdict("unknown", (finding("requirement-present", said, path=path, line=number, severity="note"),))  # fmt: skip
    if not asking:
        return Verdict()
    path, text = next((one for one in asking if one[0].endswith(".txt")), asking[0])
    lines = text.splitlines() or [""]
    fix = None
    if path.endswith(".txt"):
        at = (len(lines), len(lines[-1]) + 1)
        added = f"\n{name}" if lines[-1] else name
        fix = Fix(title=f"require {name}", safe=False, edits=(Edit(path=path, start=at, end=at, text=added),))
    said = f"nothing here requires {name}, which has the module {module}"
    return Verdict("yes", (finding("requirement-absent", said, path=path, line=len(lines), fix=fix),))


def _requirement(cause: Cause, repo: Path) -> Verdict:
    """The lines that ask for the packages that the log names."""
    said = (
        f"{cause.captures.get('requirement', '')} {cause.captures.get('packages', '')} {cause.evidence.text}"
    )
    said += " ".join(one.text for one in cause.others)
    names = {
        one.lower() for one in re.findall(r"([A-Za-z][A-Za-z0-9._-]+)(?=\[[\w,]+\]|==|[<>~!]=?| )", said)
    }
    found = [
        finding("requirement", f"this is one of the requirements that the log names: {line.strip()}", path=path, line=number)
        for path, text in _requirement_files(repo)
        for number, line in enumerate(text.splitlines(), 1)
        if _requires(line, names) and re.search(r"[=<>~]", line)
    ]  # fmt: skip
    return Verdict("yes" if found else "unknown", tuple(found[:5]))


def _requires(line: str, names: set[str]) -> bool:
    match = re.match(r"""^[\s"'\[]*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[|[=<>~!;@,"' ]|$)""", line)
    return match is not None and _plain(match[1]) in {_plain(name) for name in names}


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _requirement_files(repo: Path) -> Iterator[tuple[str, str]]:
    for path in files(repo):
        name = PurePosixPath(path).name.lower()
        if (
            re.fullmatch(r"[\w.-]*(?:requirements|constraints)[\w.-]*\.(?:txt|in)", name)
            or name == "pyproject.toml"
        ):
            yield path, read(repo / path)


def _texts(repo: Path, names: set[str]) -> Iterator[tuple[str, str]]:
    for path in files(repo):
        name = PurePosixPath(path).name.lower()
        if name in names or name.startswith(("dockerfile", "containerfile")) or name.endswith(".dockerfile"):
            yield path, read(repo / path)


def files(repo: Path) -> list[str]:
    """The repository's own files with forward slashes, sorted; a bounded number of them."""
    import os

    from seatrial.checking.walk import SKIPPED

    found: list[str] = []
    for folder, below, names in os.walk(repo):
        below[:] = sorted(name for name in below if name not in SKIPPED)
        found += [(Path(folder) / name).relative_to(repo).as_posix() for name in sorted(names)]
        if len(found) > _MOST_FILES:
            break
    return found[:_MOST_FILES]


def read(file: Path) -> str:
    """The text of a plain file of reasonable size, line ends as they are; empty where there is none."""
    try:
        if not file.is_file() or file.stat().st_size > _LARGEST:
            return ""
        return file.read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""
