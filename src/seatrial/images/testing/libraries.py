"""Shared objects that the loader would not find, or finds too old, found without running anything.

Of the package folders, the working directory and the entry point, with all that they load. Four kinds of gaps are
no failure: libraries of the GPU driver, which the host brings; those that another wheel ships, since packages load
them first by hand; plugins for software that is absent; and gaps of objects that no module and no program is linked
to, such as transports for networks that a machine may have: where one is missed, an import says so.
"""

from __future__ import annotations

import mmap
import re
from typing import TYPE_CHECKING

from seatrial.images.rootfs import locate
from seatrial.images.testing import elf, entrypoint
from seatrial.images.testing.loading import Gap, gaps, named_folders, search_folders
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
Shipped = dict[str, list[str]]


def check(subject: Subject) -> Iterator[Check]:
    """Every object in the interpreter's package folders finds its libraries and is for this image's processor."""
    sites = (
        {d.site.lstrip("/") for d in subject.python.distributions if not d.system}
        if subject.python
        else set()
    )
    workdir = locate(subject.root, subject.root.settings.get("WorkingDir") or "/")[0].strip("/")
    folders = tuple(sorted(f"{folder}/" for folder in sites | ({workdir} - {""})))
    programs = entrypoint.programs(subject)
    objects = _objects(subject, folders, programs)
    yield from _stubs(subject)
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
    found = list(gaps(subject.root, native, search_folders(subject.root, architecture)))
    loose = native.keys() - _linked(subject, native, programs)
    yield from _answers(subject, found, len(native), loose)


def _linked(subject: Subject, objects: dict[str, elf.Elf], programs: tuple[str, ...]) -> set[str]:
    """The objects that are loaded as soon as a module is imported or a program starts: what those are linked to."""
    named: dict[str, list[str]] = {}
    for path in objects:
        named.setdefault(path.rpartition("/")[2], []).append(path)
    own = {program.lstrip("/") for program in programs}
    waiting = [path for path in objects if path in own or _is_module(subject, path)]
    found = set(waiting)
    while waiting:
        for library in objects[waiting.pop()].needed:
            new = [path for path in named.get(library.rpartition("/")[2], ()) if path not in found]
            found.update(new)
            waiting += new
    return found


def _is_module(subject: Subject, path: str) -> bool:
    """By its name, or by the function that every module of Python begins with."""
    if _EXTENSION.search(path):
        return True
    with (
        subject.file(path).open("rb") as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        return content.find(b"PyInit_") >= 0


def _stubs(subject: Subject) -> Iterator[Check]:
    """The driver's library for linking only, where programs would find it before the real one."""
    for folder in named_folders(subject.root):
        place = f"{folder}/libcuda.so"
        if folder.rstrip("/").endswith("/stubs") and locate(subject.root, place)[1] is not None:
            message = (
                f"LD_LIBRARY_PATH has {folder}, whose libcuda.so is for linking only: no GPU is found with it"
            )
            fix = f"take {folder} out of LD_LIBRARY_PATH (LIBRARY_PATH is for compilers)"
            yield failed("libraries:libcuda.so", message, fix)
            return


def _answers(subject: Subject, found: list[Gap], count: int, loose: set[str]) -> Iterator[Check]:
    shipped = _shipped(subject)
    missing: dict[str, list[str]] = {}
    old: dict[tuple[str, str, str], list[str]] = {}
    excused = []
    for gap in found:
        excuse = _newer(subject, gap, shipped) if gap.version else _excuse(subject, gap, shipped, loose)
        if excuse:
            excused.append(f"/{gap.path}: {gap.version or gap.library}: {excuse}")
        elif gap.version:
            old.setdefault((gap.library, gap.version, gap.found), []).append(f"/{gap.path}")
        else:
            missing.setdefault(gap.library, []).append(f"/{gap.path}")
    for library, users in sorted(missing.items()):
        dangling = _dangling(subject, library)
        message = f"{library} is missing: {users[0]} needs it"
        if dangling:
            message = f"{dangling}, which is not in the image: {users[0]} needs it"
        yield failed(f"libraries:{library}", message, _advice(library, shipped, dangling), users)
    for (library, version, place), users in sorted(old.items()):
        message = f"{place} is too old: {users[0]} needs {version} of {library}"
        yield failed(f"libraries:{version}", message, _advice_version(version), users)
    if not missing and not old:
        yield passed("libraries", f"{count} shared objects find their libraries", excused)


def _dangling(subject: Subject, library: str) -> str:
    for path, (_, entry) in subject.tree.items():
        if entry.kind == "l" and path.rpartition("/")[2] == library:
            target, file = locate(subject.root, path)
            if file is None:
                return f"/{path} is a symbolic link to {target}"
    return ""


def _newer(subject: Subject, gap: Gap, shipped: Shipped) -> str:
    """A library that another package ships in a sufficient version may be loaded first."""
    for path in shipped.get(gap.library, ()):
        place = locate(subject.root, path)[1]
        header = elf.read(place) if place is not None else None
        if header is not None and gap.version in header.offered:
            return f"/{path} has it and may be loaded first"
    return ""


def _advice_version(version: str) -> str:
    if version.startswith("GLIBC_"):
        return "it was built for a newer glibc: take a newer base image, or a wheel for an older manylinux"
    if version.startswith(("GLIBCXX_", "CXXABI_")):
        return "it was built with a newer compiler: take a newer base image, or install a newer libstdc++"
    return "take versions that were built together"


def _advice(library: str, shipped: Shipped, dangling: str) -> str:
    other = _other_major(library, shipped)
    if other:
        return f"the image has {other}: take packages built for the same CUDA major"
    if library in ("libc.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"):
        return (
            "it was built for glibc and the image has musl: take musllinux wheels, or a base such as Debian"
        )
    if library.startswith("libc.musl-"):
        return "it was built for musl and the image has glibc: take manylinux wheels, or an Alpine base"
    if dangling:
        return f"copy the file that the link points to as well, or install the package that has {library}"
    return f"install the system package that has {library}, or a wheel that carries it"


def _excuse(subject: Subject, gap: Gap, shipped: Shipped, loose: set[str]) -> str:
    if _DRIVER.match(gap.library):
        return "comes with the GPU driver"
    if any(locate(subject.root, path)[1] is not None for path in shipped.get(gap.library, ())):
        return "another package has it and may load it first"
    if any(where.search(f"/{gap.path}") and what.search(gap.library) for where, what in _OPTIONAL):
        return "an optional part"
    if _CUDA.match(gap.library) and not _other_major(gap.library, shipped):
        return "there is no CUDA in this image"
    if gap.path in loose and not _CUDA.match(gap.library):
        return "no module is linked to it; if it is loaded by hand, an import says so"
    return ""


def _other_major(library: str, shipped: Shipped) -> str:
    """The same CUDA library in another major version, when the image has one."""
    match = _CUDA.match(library)
    if match is None:
        return ""
    same = (other for other in sorted(shipped) if (found := _CUDA.match(other)) and found[1] == match[1])
    return next((other for other in same if other != library), "")


def _objects(subject: Subject, folders: tuple[str, ...], programs: tuple[str, ...]) -> dict[str, elf.Elf]:
    found = {}
    for path, (_, entry) in subject.tree.items():
        if entry.kind == "f" and path.startswith(folders) and _SHARED.search(path):
            header = elf.read(subject.file(path))
            if header is not None:
                found[path] = header
    for program in programs:
        place = locate(subject.root, program)[1]
        header = elf.read(place) if place is not None and place.is_file() else None
        if header is not None:
            found[program.lstrip("/")] = header
    return found


def _shipped(subject: Subject) -> Shipped:
    """Paths of all shared objects in the image, wherever they are, by their name."""
    found: Shipped = {}
    for path, (_, entry) in subject.tree.items():
        if entry.kind in "fl" and ".so" in path:
            found.setdefault(path.rpartition("/")[2], []).append(path)
    return found
