"""The same wheels installed by pip inside a base, and assembled on top of it: two roots to compare."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import re
import stat
import subprocess
import tarfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from seatrial.images import runtime
from seatrial.images.assemble.image import ImageSpec, assemble_project
from seatrial.images.runtimes.copying import copied
from support.debian import image

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# What an installer says about itself, and bytecode.
_ASIDE = re.compile(
    r"\.dist-info/(RECORD|INSTALLER|REQUESTED|direct_url\.json)$|/__pycache__/|^/(proc|dev|tmp|mnt)/"
)
_PROBE = Path(__file__).with_name("parity_probe.py")


class File(NamedTuple):
    """What is compared of one path: `kind` f(ile) or l(ink), whether it can be run, sha256 or the link's target."""

    kind: str
    executable: bool
    content: str


class Outcome(NamedTuple):
    """A root after installing: path → file, and what its own Python says about it."""

    files: dict[str, File]
    answer: dict[str, Any]


def by_pip(
    layout: Path, pip: Path, wheels: Sequence[Path], *options: str, python: str = "python3"
) -> Outcome:
    """Let pip install the wheels inside the base, and look at the result."""
    with root_of(layout) as root:
        pip_install(root, pip, wheels, *options, python=python)
        return Outcome(files_of(root), ask(root, python))


def pip_install(
    root: Path, pip: Path, wheels: Sequence[Path], *options: str, python: str = "python3"
) -> None:
    """Run the pip in the folder `pip` inside a root, without network."""
    bound: list[str] = []
    for place in {pip, *(wheel.parent for wheel in wheels)}:
        bound += ["--ro-bind", str(place), f"/mnt{place}"]
    argv = [
        python, f"/mnt{pip}/pip", "install", "--no-index", "--no-deps", "--no-compile", "--break-system-packages",
        "--disable-pip-version-check", "--root-user-action=ignore", "--no-warn-script-location", "--quiet", "--no-cache-dir",
        *options, *(f"/mnt{wheel}" for wheel in wheels),
    ]  # fmt: skip
    done = inside(root, argv, bound)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def inside(root: Path, argv: Sequence[str], bound: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """Run a program in a root that it may change, as the root's root, without network."""
    bwrap = [
        "bwrap", "--unshare-all", "--uid", "0", "--gid", "0", "--die-with-parent", "--clearenv",
        "--setenv", "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "--setenv", "HOME", "/root",
        "--setenv", "LC_ALL", "C.UTF-8", "--setenv", "PYTHONDONTWRITEBYTECODE", "1",
        "--bind", str(root), "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/mnt", *bound,
    ]  # fmt: skip
    return subprocess.run([*bwrap, *argv], capture_output=True, text=True, check=False, umask=0o022)


def by_seatrial(
    layout: Path, wheels: Sequence[Path], out: Path, *, python: str = "python3", **changes: Any
) -> tuple[Outcome, tuple[str, ...]]:
    """Assemble the wheels on top of the base and look at the result; also what assembling noted."""
    project = out.parent / f"{out.name}-project"
    project.mkdir()
    for wheel in wheels:
        (project / wheel.name).hardlink_to(wheel)
    (project / "requirements.txt").write_text("".join(f"./{wheel.name}\n" for wheel in wheels))
    (project / "uv.toml").write_text("[pip]\nno-deps = true\n")
    given: dict[str, Any] = {"source": (), "user": "root", "workdir": "/", "bytecode": False}
    spec = ImageSpec(root=project, base=str(layout), requirements=("requirements.txt",), **(given | changes))
    done = assemble_project(spec, out=out)
    with root_of(out) as root:
        return Outcome(files_of(root), ask(root, python)), done.notes


@contextmanager
def root_of(layout: Path) -> Iterator[Path]:
    """A copy of an image's root for the length of a block."""
    with copied(runtime.prepare(layout)) as place:
        for name in ("proc", "dev", "tmp", "mnt", "root"):
            (Path(place) / name).mkdir(exist_ok=True)
        yield Path(place)


def files_of(root: Path) -> dict[str, File]:
    """Every file and link of a root, except what an installer says about itself and bytecode."""
    found: dict[str, File] = {}
    for folder, names, files in os.walk(root):
        for name in (*files, *(n for n in names if (Path(folder) / n).is_symlink())):
            place = Path(folder) / name
            path = "/" + place.relative_to(root).as_posix()
            if _ASIDE.search(path):
                continue
            state = place.lstat()
            if stat.S_ISLNK(state.st_mode):
                found[path] = File("l", executable=False, content=str(place.readlink()))
            elif stat.S_ISREG(state.st_mode):
                content = place.read_bytes()
                if "/bin/" in path and b"sys.exit(" in content:
                    content = wrapped(content)
                digest = hashlib.sha256(content).hexdigest()
                found[path] = File("f", executable=bool(state.st_mode & 0o111), content=digest)
    return found


@functools.cache
def files_in(layout: Path) -> dict[str, File]:
    """Every file and link of an image."""
    with root_of(layout) as root:
        return files_of(root)


def wrapped(script: bytes) -> bytes:
    """The program of an entry point, whichever pip wrote it: first line, what is imported, what is called.

    pip 25 shortened the text between them.
    """
    import_line = rb"from (?P<module>[\w.]+) import (?P<name>\w+)\n"
    middle = rb"if __name__ == ['\"]__main__['\"]:\n    sys\.argv\[0\] = [^\n]+\n    sys\.exit\((?P<call>[\w.]+)\(\)\)\n"
    text = (
        rb"(?P<first>#!.*?\n)(# -\*- coding: utf-8 -\*-\n)?(import re\n)?import sys\n" + import_line + middle
    )
    found = re.fullmatch(text, script, re.DOTALL)
    return b" ".join(found.group("first", "module", "name", "call")) if found else script


def ask(root: Path, python: str = "python3") -> dict[str, Any]:
    """What the root's own Python says: distributions, their entry points and files, and which modules import."""
    done = inside(root, [python, "-B", "/mnt/probe.py"], ["--ro-bind", str(_PROBE), "/mnt/probe.py"])
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def differences(theirs: Outcome, ours: Outcome) -> list[str]:
    """One line per difference, pip's side first."""
    found = []
    for path in sorted(theirs.files.keys() | ours.files.keys()):
        a, b = theirs.files.get(path), ours.files.get(path)
        if a != b:
            found.append(f"file {path}: {_say(a)} | {_say(b)}")
    for part in sorted(theirs.answer.keys() | ours.answer.keys()):
        a_part, b_part = theirs.answer.get(part, {}), ours.answer.get(part, {})
        for key in sorted(a_part.keys() | b_part.keys()):
            found += [f"{part} {key}{line}" for line in _unlike(a_part.get(key), b_part.get(key))]
    return found


def _unlike(a: Any, b: Any) -> list[str]:
    if a == b:
        return []
    if isinstance(a, dict) and isinstance(b, dict):
        return [
            f" {key}{line}" for key in sorted(a.keys() | b.keys()) for line in _unlike(a.get(key), b.get(key))
        ]
    if isinstance(a, list) and isinstance(b, list):
        return [f": only by pip {[x for x in a if x not in b]}, only by us {[x for x in b if x not in a]}"]
    return [f": {str(a)[:200]} | {str(b)[:200]}"]


def _say(file: File | None) -> str:
    return (
        "absent"
        if file is None
        else f"{file.kind}{' executable' if file.executable else ''} {file.content[:12]}"
    )


def installed(layout: Path, pip: Path, wheels: Sequence[Path], out: Path, *, compiled: bool = True) -> Path:
    """A base on which pip has installed wheels, with bytecode, as one more layer."""
    with root_of(layout) as root:
        before = {path: path.lstat().st_mtime_ns for path in root.rglob("*")}
        pip_install(root, pip, wheels, *(["--compile"] if compiled else []))
        changed = [p for p in sorted(root.rglob("*")) if p.is_dir() or before.get(p) != p.lstat().st_mtime_ns]
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w") as archive:
            for place in changed:
                archive.add(place, place.relative_to(root).as_posix(), recursive=False, filter=_as_root)
            for gone in sorted(path for path in before if not os.path.lexists(path)):
                name = gone.relative_to(root)
                archive.addfile(tarfile.TarInfo((name.parent / f".wh.{name.name}").as_posix()))
    image(out, [raw.getvalue()], {"Env": ["PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]}, base=layout)
    return out


def _as_root(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    entry.uid = entry.gid = 0
    return None if entry.name.startswith(("mnt", "proc", "dev", "tmp")) else entry
