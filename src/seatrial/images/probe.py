"""Asking the base: which Python it has and where packages, scripts and `#!` lines go.

The base's own interpreter answers, alone in an empty namespace with nothing but its standard library, by an
emulator where its processor is another. Where it cannot run, the files tell what they can.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.errors import SeatrialError
from seatrial.files import write_atomic
from seatrial.images.assemble.install import Scheme, scheme_roots
from seatrial.images.assemble.store import Use, entry_path, publish, scratch
from seatrial.images.base_tree import Tree, extract, read_tree, resolve
from seatrial.images.layout import read_image
from seatrial.images.system.processors import is_foreign
from seatrial.images.system.pythons import Python, run_python, runnable
from seatrial.images.target import Target

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.images.bases import Base

_NAME = "probe8-"
"""How entries in the cache begin: raise the number when their content changes."""
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What CPython itself is linked against, and the loader.
_LIBRARIES = (
    "ld-", "libpython", "libc.", "libc-", "libm.", "libm-", "libdl", "libpthread", "librt", "libutil", "libz.",
    "libexpat", "libgcc_s", "libcrypt.",
)  # fmt: skip
_ASK = """
import importlib.util, json, os, sys, sysconfig
get = sysconfig.get_paths()
print(json.dumps({
    "version": "%d.%d.%d" % sys.version_info[:3], "implementation": sys.implementation.name,
    "cache_tag": sys.implementation.cache_tag, "magic": importlib.util.MAGIC_NUMBER.hex(),
    "glibc": os.confstr("CS_GNU_LIBC_VERSION") if "CS_GNU_LIBC_VERSION" in os.confstr_names else "",
    "executable": sys.executable, "venv": sys.prefix != sys.base_prefix, "prefix": sys.prefix,
    "paths": {k: get[k] for k in ("purelib", "platlib", "scripts", "include", "data")},
}))
"""


class Interpreter(msgspec.Struct, frozen=True, kw_only=True):
    """The Python of a base. `version` is `3.11.2`; `magic` (hexadecimal) marks its bytecode, empty if unknown.

    `missing` are folders of `scheme` that the base lacks; `runs` says that this machine's processor can run it, from
    `root`. `compiler` is what compiles for it: itself, by an emulator for another processor, or better one of the
    same version for this machine's, since bytecode does not depend on the processor; None when there is neither.
    """

    target: Target
    scheme: Scheme
    version: str
    executable: str
    cache_tag: str
    magic: str
    missing: tuple[str, ...]
    runs: bool
    root: str = ""
    compiler: Python | None = None


class Probed(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a base: the interpreter, and the tree it stands in."""

    interpreter: Interpreter
    tree: Tree


def probe(base: Base, use: Use) -> Probed:
    """What the base holds and how its Python is set up; remembered by the base's digest.

    Raises:
        SeatrialError: the base has no usable Python, or a layer is damaged.
    """
    entry = use.hold("bases", f"{_NAME}{base.digest.removeprefix('sha256:')}")
    known = _read(entry)
    if known is None:
        known = _make(base, entry)
    elif not known.interpreter.magic and runnable("", "", base.platform):
        known = _ask_again(known, base, entry)  # bubblewrap or an emulator was installed since
    return msgspec.structs.replace(known, interpreter=_equipped(known.interpreter, entry, base, use))


def _make(base: Base, entry: Path) -> Probed:
    image = read_image(base.layout, digest=base.digest)
    with scratch() as folder:
        made = folder / "probe"
        (made / "root").mkdir(parents=True)
        tree = read_tree(base.layout, image)
        executable = find_python(tree, _path(base), base.name)
        extract(base.layout, image, tree, made / "root", _wanted(tree, executable))
        for name in ("proc", "dev", "tmp"):
            (made / "root" / name).mkdir(exist_ok=True)
        interpreter = _ask(made / "root", tree, executable, base)
        # Files elsewhere are most of what a tree weighs; nothing that is installed can replace them.
        reach = tuple(folder.rstrip("/") + "/" for folder in scheme_roots(interpreter.scheme))
        tree = msgspec.structs.replace(tree, files={path for path in tree.files if path.startswith(reach)})
        (made / "tree").write_bytes(msgspec.msgpack.encode(tree))
        (made / "interpreter").write_bytes(msgspec.msgpack.encode(interpreter))
        if entry.exists():  # damaged, else it would have been read
            entry.rename(folder / "damaged")
        publish(made, entry)
    return Probed(interpreter=interpreter, tree=tree)


def _read(entry: Path) -> Probed | None:
    try:
        interpreter = msgspec.msgpack.decode((entry / "interpreter").read_bytes(), type=Interpreter)
        tree = msgspec.msgpack.decode((entry / "tree").read_bytes(), type=Tree)
    except (FileNotFoundError, NotADirectoryError, msgspec.MsgspecError):
        return None
    return Probed(interpreter=interpreter, tree=tree)


def _ask_again(known: Probed, base: Base, entry: Path) -> Probed:
    executable = find_python(known.tree, _path(base), base.name)
    interpreter = _ask(entry / "root", known.tree, executable, base)
    if interpreter.magic:
        write_atomic(entry / "interpreter", msgspec.msgpack.encode(interpreter))
    return msgspec.structs.replace(known, interpreter=interpreter)


def _equipped(interpreter: Interpreter, entry: Path, base: Base, use: Use) -> Interpreter:
    """Say what compiles for it here."""
    root = str(entry / "root")
    magic = interpreter.magic
    compiler = runnable(root, interpreter.executable, base.platform) if magic else None
    if is_foreign(base.platform) and (found := _twin(interpreter, use)):
        compiler, magic = found
    return msgspec.structs.replace(interpreter, root=root, compiler=compiler, magic=magic)


def _twin(wanted: Interpreter, use: Use) -> tuple[Python, str] | None:
    """An interpreter of the same version for this machine's processor among the bases that were asked before.

    It gives the same bytecode, several times faster than an emulator.
    """
    for entry in sorted(entry_path("bases", "").glob(f"{_NAME}*")):
        try:
            one = msgspec.msgpack.decode((entry / "interpreter").read_bytes(), type=Interpreter)
        except (OSError, msgspec.MsgspecError):
            continue
        same = (one.version, one.cache_tag) == (wanted.version, wanted.cache_tag)
        if not (same and one.runs and wanted.magic in ("", one.magic)) or is_foreign(one.target.platform):
            continue
        found = runnable(str(use.hold("bases", entry.name) / "root"), one.executable, one.target.platform)
        if found and (entry / "root").is_dir():
            return found, one.magic
    return None


def _path(base: Base) -> str:
    config = read_image(base.layout, digest=base.digest).config
    return _environment(config).get("PATH", _DEFAULT_PATH)


def _environment(config: dict[str, Any]) -> dict[str, str]:
    return dict(item.partition("=")[::2] for item in (config.get("config") or {}).get("Env") or ())


def find_python(tree: Tree, path: str, name: str) -> str:
    """The first `python3` on the image's PATH.

    Raises:
        SeatrialError: there is none.
    """
    for folder in path.split(":"):
        for program in ("python3", "python"):
            candidate = f"{folder.rstrip('/')}/{program}"
            if folder.startswith("/") and resolve(tree, candidate) in tree.programs:
                return candidate
    raise SeatrialError(
        "the base has no Python", where=name, why=f"no python3 on its PATH ({path})",
        fix="choose a base with Python, such as `debian:bookworm` or `python:3.11-slim`",
    )  # fmt: skip


def _wanted(tree: Tree, executable: str) -> Any:
    """Chooses the interpreter, its standard library and what it is linked against."""
    real = resolve(tree, executable)
    prefixes = {posixpath.dirname(posixpath.dirname(p)).rstrip("/") for p in (executable, real)}
    libraries = tuple(f"{p}/{lib}/python" for p in prefixes for lib in ("lib", "lib64"))
    programs = tuple(f"{p}/bin/python" for p in prefixes)
    configuration = {f"{p}/pyvenv.cfg" for p in prefixes}

    def wanted(path: str) -> bool:
        if path.startswith(libraries):
            return "-packages/" not in path and "/test/" not in path
        name = posixpath.basename(path)
        if name.startswith(_LIBRARIES) and ".so" in name and "/lib" in path:
            return "-packages/" not in path
        return path.startswith(programs) or path in configuration

    return wanted


def _ask(root: Path, tree: Tree, executable: str, base: Base) -> Interpreter:
    python = runnable(str(root), executable, base.platform)
    done = run_python(python, ["-I", "-c", _ASK]) if python else None
    if done is not None and done.code == 0:
        answer = msgspec.json.decode(done.stdout)
    else:
        answer = _from_files(root, tree, executable, base)
    if answer["implementation"] != "cpython":
        raise SeatrialError(f"the base's Python is {answer['implementation']}, not CPython", where=base.name)
    glibc = answer["glibc"].removeprefix("glibc ").strip()
    if not glibc:
        raise SeatrialError(
            "the base has no glibc", where=base.name, why="wheels for musl (Alpine) are not assembled",
            fix="choose a base on Debian, Ubuntu or another glibc system",
        )  # fmt: skip
    runs = done is not None and done.code == 0 and not is_foreign(base.platform)
    return _interpreter(answer, glibc, tree, base, runs=runs)


def _interpreter(answer: dict[str, Any], glibc: str, tree: Tree, base: Base, *, runs: bool) -> Interpreter:
    places, minor = answer["paths"], ".".join(answer["version"].split(".")[:2])
    headers = f"{answer['prefix']}/include/site/python{minor}" if answer["venv"] else places["include"]
    roots = [places["purelib"], places["platlib"], places["scripts"], headers, places["data"]]
    purelib, platlib, scripts, headers, data = (resolve(tree, p) for p in roots)
    scheme = Scheme(
        purelib=purelib,
        platlib=platlib,
        scripts=scripts,
        headers=headers,
        data=data,
        shebang=answer["executable"],
        python=minor,
        links=tuple(
            (link, resolve(tree, link)) for link in sorted(tree.links)
            if link.startswith(data.rstrip("/") + "/") and resolve(tree, link) in tree.folders
        ),
    )  # fmt: skip
    known = tree.folders | {"/"}
    missing = {p for folder in (purelib, platlib, scripts) for p in _with_parents(folder) if p not in known}
    return Interpreter(
        target=Target(python=minor, platform=base.platform, glibc=glibc),
        scheme=scheme,
        version=answer["version"],
        executable=answer["executable"],
        cache_tag=answer["cache_tag"],
        magic=answer["magic"],
        missing=tuple(sorted(missing)),
        runs=runs,
    )


def _with_parents(path: str) -> list[str]:
    found = []
    while path not in ("/", ""):
        found.append(path)
        path = posixpath.dirname(path)
    return found


def _from_files(root: Path, tree: Tree, executable: str, base: Base) -> dict[str, Any]:
    """The same answer for the two layouts that nearly every base has: Debian's own Python, and one in a prefix."""
    prefix = posixpath.dirname(posixpath.dirname(executable))
    real = posixpath.basename(resolve(tree, executable))
    match = re.fullmatch(r"python(3\.\d+)", real)
    if match is None:
        raise SeatrialError(
            "the base's Python cannot be run on this machine, and its files do not tell its version",
            where=base.name, why=f"{executable} is {real}",
            fix="install bubblewrap, and qemu-user-static for another processor (`seatrial doctor`)",
        )  # fmt: skip
    minor = match[1]
    debian = prefix == "/usr" and b"debian" in (tree.texts.get("/usr/lib/os-release") or b"").lower()
    library = (
        f"/usr/local/lib/python{minor}/dist-packages"
        if debian
        else f"{prefix}/lib/python{minor}/site-packages"
    )
    local = "/usr/local" if debian else prefix
    return {
        "version": _version_from_files(root, resolve(tree, executable), minor),
        "implementation": "cpython",
        "cache_tag": f"cpython-{minor.replace('.', '')}",
        "magic": "",
        "glibc": _glibc_from_files(root),
        "executable": executable,
        "venv": False,
        "prefix": prefix,
        "paths": {
            "purelib": library,
            "platlib": library,
            "scripts": f"{local}/bin",
            "include": f"{local}/include/python{minor}",
            "data": local,
        },
    }


def _version_from_files(root: Path, executable: str, minor: str) -> str:
    """The version that is written in the program or its library, or `minor` when that is not one."""
    found: set[bytes] = set()
    for place in [root / executable.lstrip("/"), *sorted(root.rglob(f"libpython{minor}.so*"))]:
        if place.is_file() and not place.is_symlink():
            found.update(
                re.findall(rb"(?<![\d.])(%b\.\d+)\+?\0" % re.escape(minor.encode()), place.read_bytes())
            )
    return found.pop().decode() if len(found) == 1 else minor


def _glibc_from_files(root: Path) -> str:
    for library in sorted(root.rglob("libc.so.6")):
        if library.is_file() and not library.is_symlink():
            match = re.search(rb"stable release version (2\.\d+)", library.read_bytes())
            if match:
                return match[1].decode()
    return ""
