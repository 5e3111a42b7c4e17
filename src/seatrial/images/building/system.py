"""The root file system that builds: the image's own base, one with a compiler on the same suite, or the one asked for.

What it makes must run in the image: the same minor version of Python, the same processor, and no newer C library.
Wheels without compiled parts run anywhere, so a system that differs in the last two may still make those.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from seatrial.errors import SeatrialError
from seatrial.images.building.model import BuildError, System, Workshop

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from seatrial.images.bases import Base

_DPKG = "/var/lib/dpkg"
COMPILER = ("build-essential", "python3-dev")
_SUITE = re.compile(r"(debian|ubuntu):[a-z][a-z0-9-]*")
_COMPILED = (
    ".c", ".cc", ".cpp", ".cxx", ".pyx", ".pxd", ".rs", ".f", ".f90", ".f95", ".for", ".cu", ".s", ".asm", ".go", ".m",
    ".mm", ".swg", ".i",
)  # fmt: skip
_COMPILED_NAMES = frozenset(
    ("CMakeLists.txt", "meson.build", "Cargo.toml", "configure", "configure.ac", "go.mod")
)
# Build requirements that nobody has without something to compile.
_COMPILING = frozenset(
    (
        "cython", "cython3", "cffi", "pybind11", "nanobind", "meson-python", "mesonpy", "scikit-build", "scikit-build-core",
        "setuptools-rust", "maturin", "numpy", "oldest-supported-numpy", "torch", "cmake", "ninja", "mypy", "swig", "sip",
        "pyqt-builder", "cppy", "extension-helpers", "py-build-cmake", "pythran", "milksnake", "xmake", "enscons",
    )
)  # fmt: skip


def system(shop: Workshop, *, compiles: bool) -> System:
    """The system that builds, prepared when it is first needed. `compiles` asks for a compiler where we can put one.

    Raises:
        BuildError: it could not make what runs in the image.
        SeatrialError: it cannot be made, pulled or read.
        MissingToolError: this machine lacks what it takes.
    """
    more = compiles and (can_compile(shop) or shop.spec.build_packages)
    name = "named" if shop.spec.build_base else "compiler" if more else "own"
    with shop.preparing:
        if name not in shop.systems:
            shop.systems[name] = _prepare_or_own(shop, name)
            shop.point("building/system-ready")
        return shop.systems[name]


def _prepare_or_own(shop: Workshop, name: str) -> System:
    """A compiler that nobody asked for is only an attempt, where its packages come on top of a stranger's base."""
    if name != "compiler" or shop.spec.build_packages or _SUITE.fullmatch(shop.spec.base):
        return _prepare(shop, name)
    try:
        return _prepare(shop, name)
    except BuildError:
        raise
    except SeatrialError as error:
        why = error.why or error.what
        return _prepare(shop, "own")._replace(
            note=f"built without a compiler, which cannot be put into {shop.spec.base}: {why}"
        )


def can_compile(shop: Workshop) -> bool:
    """Whether a system with a compiler can be made of the image's own base: it is made of Debian packages."""
    return bool(_SUITE.fullmatch(shop.spec.base) or _DPKG in shop.probed.tree.folders)


def wants_compiler(project: Path, requires: Iterable[str]) -> bool:
    """Whether the source, or what it is built with, looks like something to compile."""
    names = {re.split(r"[^A-Za-z0-9._-]", one.strip(), maxsplit=1)[0] for one in requires}
    if _COMPILING & {re.sub(r"[-_.]+", "-", name).lower() for name in names}:
        return True
    return any(
        path.suffix.lower() in _COMPILED or path.name in _COMPILED_NAMES
        for path in project.rglob("*")
        if path.is_file()
    )


def _prepare(shop: Workshop, name: str) -> System:
    wanted = shop.probed.interpreter.target
    runs = shop.probed.interpreter.runs or wanted.platform == _own_platform()
    base = _base(shop, name, wanted.platform if runs else _own_platform())
    return _system(shop, base, compiled=name != "own", foreign=not runs)


def _base(shop: Workshop, name: str, where: str) -> Base:
    from seatrial.images.bases import prepare

    spec = shop.spec
    if name == "own" and where == spec_platform(shop):
        return shop.base
    asked = spec.build_base or spec.base
    packages: list[str] = [*spec.build_packages] if name != "own" else []
    if name == "compiler":
        packages += spec.packages
    if _SUITE.fullmatch(asked):
        packages += COMPILER if name != "own" else ()
    elif name == "compiler":  # a Python that Debian did not make brings its own headers
        packages += COMPILER if shop.probed.interpreter.executable.startswith("/usr/bin/") else COMPILER[:1]
    shop.say(
        f"preparing {asked} to build in" + (f", with {' '.join(sorted({*packages}))}" if packages else "")
    )
    return prepare(
        asked,
        shop.use,
        packages=tuple(sorted({*packages})),
        platform=where,
        insecure=shop.insecure,
        point=shop.point,
    )


def spec_platform(shop: Workshop) -> str:
    """The platform of the image that is being made: of several, each has its own base."""
    return shop.base.platform


def _system(shop: Workshop, base: Base, *, compiled: bool, foreign: bool) -> System:
    from seatrial.images import runtime
    from seatrial.images.base_tree import resolve
    from seatrial.images.probe import probe

    wanted = shop.probed.interpreter.target
    probed = shop.probed if base == shop.base else probe(base, shop.use)
    interpreter = probed.interpreter
    has = interpreter.target
    if has.python != wanted.python:
        raise BuildError(
            f"{base.name} cannot build for this image", where=base.name,
            why=f"it has Python {has.python}, the image has {wanted.python}",
            fix=f"choose a `build: base` with Python {wanted.python}",
        )  # fmt: skip
    home = posixpath.dirname(resolve(probed.tree, interpreter.executable))
    reason = _pure_only(base, has.glibc, wanted.glibc, wanted.platform, foreign=foreign)
    return System(base, interpreter, runtime.prepare(base.layout, base.digest), home, reason, compiled)


def _pure_only(base: Base, has: str, wanted: str, where: str, *, foreign: bool) -> str:
    if foreign:
        return f"programs for {where} do not run on this machine (qemu-user with binfmt_misc would run them)"
    if _number(has) > _number(wanted):
        return f"{base.name} has glibc {has}, which is newer than the image's {wanted}"
    return ""


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _own_platform() -> str:
    from seatrial.images.system.processors import architecture

    return f"linux/{architecture()}"
