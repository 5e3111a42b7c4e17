"""Shared objects that the loader would not find, found without running anything.

An object's needs are looked up as ld.so(8) does: RPATH, LD_LIBRARY_PATH, RUNPATH, the configured folders, the
default folders. Three kinds of gaps are no failure: libraries of the GPU driver, which the host brings; those
that another wheel ships, since packages load them first by hand; and plugins for software that is absent.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from seatrial.images.rootfs import Root, locate
from seatrial.images.testing import elf
from seatrial.images.testing.model import Check, Subject, failed, passed, skipped

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHARED = re.compile(r"\.so(?:\.[0-9]+)*$")
_EXTENSION = re.compile(r"\.(?:cpython-[^/]+|abi3)\.so$")
# The driver's, brought by the container runtime: docs.nvidia.com, "NVIDIA Container Toolkit", driver capabilities.
_DRIVER = re.compile(r"^lib(?:cuda|nvidia-.*|nvcuvid|nvidia-ml|amdhip64|hsa-runtime64|ze_loader|OpenCL)\.so")
_CUDA = re.compile(
    r"^(lib(?:cudart|cublas|cublasLt|cudnn[a-z_]*|cufft|cufftw|curand|cusolver|cusolverMg|cusparse|cusparseLt|nccl|"
    r"nvrtc|nvJitLink|nvToolsExt|cupti|nvinfer[a-z_]*|nvonnxparser|nvparsers|nvshmem[a-z_]*|cufile))\.so(?:\.(\d+))?"
)
# Optional parts of well-known wheels, whose absence the wheel itself handles: file, library.
_OPTIONAL = (
    (re.compile(r"/numba/np/ufunc/tbbpool\."), re.compile(r"^libtbb\.")),
    (re.compile(r"/numba/np/ufunc/omppool\."), re.compile(r"^libgomp\.")),
    (re.compile(r"/plugins/"), re.compile(r".")),
    (re.compile(r"/(?:tests?|testing)/"), re.compile(r".")),
)
_DEFAULT = ("/lib", "/usr/lib", "/lib64", "/usr/lib64", "/usr/local/lib")
_MULTIARCH = {
    "amd64": "x86_64-linux-gnu",
    "arm64": "aarch64-linux-gnu",
    "arm": "arm-linux-gnueabihf",
    "386": "i386-linux-gnu",
}


class Gap(NamedTuple):
    """`library` that the object at `path` needs and that is nowhere on its way."""

    path: str
    library: str


def check(subject: Subject) -> Iterator[Check]:
    """Every object in the interpreter's package folders finds its libraries and is for this image's processor."""
    sites = (
        {d.site.lstrip("/") for d in subject.python.distributions if not d.system}
        if subject.python
        else set()
    )
    workdir = locate(subject.root, subject.root.settings.get("WorkingDir") or "/")[0].strip("/")
    folders = tuple(sorted(f"{folder}/" for folder in sites | ({workdir} - {""})))
    objects = _objects(subject, folders)
    if not objects:
        yield skipped("libraries", "there are no shared objects in the package folders")
        return
    architecture = str(subject.root.config.get("architecture") or "")
    machine = elf.MACHINES.get(architecture)
    foreign = [
        p for p, o in objects.items() if machine and _EXTENSION.search(p) and (o.machine, o.width) != machine
    ]
    if foreign:
        message = f"/{foreign[0]} is not for {architecture}, the image's architecture"
        fix = f"lock and assemble for linux/{architecture}"
        yield failed("libraries:architecture", message, fix, (f"/{p}" for p in foreign))
    native = {p: o for p, o in objects.items() if machine is None or (o.machine, o.width) == machine}
    gaps = list(_gaps(subject, native, _folders(subject.root, architecture)))
    yield from _answers(gaps, _shipped(subject), len(native))


def _answers(gaps: list[Gap], shipped: set[str], count: int) -> Iterator[Check]:
    missing: dict[str, list[str]] = {}
    excused = []
    for gap in gaps:
        excuse = _excuse(gap, shipped)
        if excuse:
            excused.append(f"/{gap.path}: {gap.library}: {excuse}")
        else:
            missing.setdefault(gap.library, []).append(f"/{gap.path}")
    for library, users in sorted(missing.items()):
        message = f"{library} is missing: {users[0]} needs it"
        yield failed(f"libraries:{library}", message, _advice(library, shipped), users)
    if not missing:
        yield passed("libraries", f"{count} shared objects find their libraries", excused)


def _advice(library: str, shipped: set[str]) -> str:
    other = _other_major(library, shipped)
    if other:
        return f"the image has {other}: take packages built for the same CUDA major"
    return f"install the system package that has {library}, or a wheel that carries it"


def _excuse(gap: Gap, shipped: set[str]) -> str:
    if _DRIVER.match(gap.library):
        return "comes with the GPU driver"
    if gap.library in shipped:
        return "another package has it and may load it first"
    if any(where.search(f"/{gap.path}") and what.search(gap.library) for where, what in _OPTIONAL):
        return "an optional part"
    if _CUDA.match(gap.library) and not _other_major(gap.library, shipped):
        return "there is no CUDA in this image"
    return ""


def _other_major(library: str, shipped: set[str]) -> str:
    """The same CUDA library in another major version, when the image has one."""
    match = _CUDA.match(library)
    if match is None:
        return ""
    same = (other for other in sorted(shipped) if (found := _CUDA.match(other)) and found[1] == match[1])
    return next((other for other in same if other != library), "")


def _objects(subject: Subject, folders: tuple[str, ...]) -> dict[str, elf.Elf]:
    found = {}
    for path, (_, entry) in subject.tree.items():
        if entry.kind == "f" and path.startswith(folders) and _SHARED.search(path):
            header = elf.read(subject.file(path))
            if header is not None:
                found[path] = header
    return found


def _shipped(subject: Subject) -> set[str]:
    """Names of all shared objects in the image, wherever they are."""
    return {
        path.rpartition("/")[2] for path, (_, e) in subject.tree.items() if e.kind in "fl" and ".so" in path
    }


def _gaps(subject: Subject, objects: dict[str, elf.Elf], folders: list[str]) -> Iterator[Gap]:
    known: dict[tuple[str, str], bool] = {}

    def exists(folder: str, library: str) -> bool:
        key = (folder, library)
        if key not in known:
            known[key] = locate(subject.root, f"{folder}/{library}")[1] is not None
        return known[key]

    for path, header in objects.items():
        own = f"/{path}".rpartition("/")[0]
        searched = [*_expanded(header.runpath or header.rpath, own), *folders]
        for library in header.needed:
            if "/" in library:
                if locate(subject.root, _expanded(library, own)[0])[1] is None:
                    yield Gap(path, library)
            elif not any(exists(folder, library) for folder in searched):
                yield Gap(path, library)


def _expanded(paths: str, origin: str) -> list[str]:
    return [p.replace("${ORIGIN}", origin).replace("$ORIGIN", origin) for p in paths.split(":") if p]


def _folders(root: Root, architecture: str) -> list[str]:
    """Where the loader looks besides the object's own paths."""
    variables = dict(str(item).partition("=")[::2] for item in root.settings.get("Env") or [])
    folders = [p for p in variables.get("LD_LIBRARY_PATH", "").split(":") if p]
    folders += _configured(root, "/etc/ld.so.conf", 0)
    name = _MULTIARCH.get(architecture)
    for default in _DEFAULT:
        folders += [f"{default}/{name}"] if name else []
        folders.append(default)
    return list(dict.fromkeys(folders))


def _configured(root: Root, path: str, depth: int) -> list[str]:
    _, file = locate(root, path)
    if file is None or not file.is_file() or depth > 4:  # noqa: PLR2004 - ld.so.conf includes are one deep
        return []
    folders = []
    for line in file.read_text(errors="replace").splitlines():
        words = line.partition("#")[0].split()
        if words[:1] == ["include"]:
            for pattern in words[1:]:
                folders += _included(root, pattern, depth)
        elif words:
            folders.append(words[0])
    return folders


def _included(root: Root, pattern: str, depth: int) -> list[str]:
    from fnmatch import fnmatch

    folder, _, name = pattern.rpartition("/")
    names: set[str] = set()
    resolved = locate(root, folder)[0]
    for layer in root.layers:
        place = root.folder(layer) / resolved.lstrip("/")
        if place.is_dir():
            names.update(p.name for p in place.iterdir() if fnmatch(p.name, name))
    return [f for n in sorted(names) for f in _configured(root, f"{resolved}/{n}", depth + 1)]
