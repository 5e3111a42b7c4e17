"""Asking the base: which Python it has and where packages, scripts and `#!` lines go.

The base's own interpreter answers, alone in an empty namespace with nothing but its standard library. Where it
cannot run (another processor, no bubblewrap), the files tell what they can.
"""

from __future__ import annotations

import posixpath
import re
import shutil
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.errors import SeatrialError
from seatrial.images.assemble.install import Scheme
from seatrial.images.assemble.store import Use, publish, scratch
from seatrial.images.base_tree import Tree, extract, read_tree, resolve
from seatrial.images.layout import read_image
from seatrial.images.target import Target
from seatrial.processes import Completed, run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from seatrial.images.bases import Base

_VERSION = 4
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

    `missing` are folders of `scheme` that the base lacks; `runs` says that this machine can run it, from `root`.
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


class Probed(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a base: the interpreter, and the tree it stands in."""

    interpreter: Interpreter
    tree: Tree


def probe(base: Base, use: Use) -> Probed:
    """What the base holds and how its Python is set up; remembered by the base's digest.

    Raises:
        SeatrialError: the base has no usable Python, or a layer is damaged.
    """
    entry = use.hold("bases", f"probe{_VERSION}-{base.digest.removeprefix('sha256:')}")
    known = _read(entry)
    if known is None:
        image = read_image(base.layout, digest=base.digest)
        with scratch() as folder:
            made = folder / "probe"
            (made / "root").mkdir(parents=True)
            tree = read_tree(base.layout, image)
            executable = find_python(tree, _environment(image.config).get("PATH", _DEFAULT_PATH), base.name)
            extract(base.layout, image, tree, made / "root", _wanted(tree, executable))
            for name in ("proc", "dev", "tmp"):
                (made / "root" / name).mkdir(exist_ok=True)
            interpreter = _ask(made / "root", tree, executable, base)
            (made / "probe.msgpack").write_bytes(
                msgspec.msgpack.encode(Probed(interpreter=interpreter, tree=tree))
            )
            publish(made, entry)
        known = Probed(interpreter=interpreter, tree=tree)
    inner = msgspec.structs.replace(known.interpreter, root=str(entry / "root"))
    return msgspec.structs.replace(known, interpreter=inner)


def _read(entry: Path) -> Probed | None:
    try:
        return msgspec.msgpack.decode((entry / "probe.msgpack").read_bytes(), type=Probed)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


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
    done = run_python(root, executable, ["-I", "-c", _ASK]) if shutil.which("bwrap") else None
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
    return _interpreter(answer, glibc, tree, base, runs=done is not None and done.code == 0)


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
            fix="install bubblewrap (`seatrial doctor`), or choose a base for this machine's processor",
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
        "version": minor,
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


def _glibc_from_files(root: Path) -> str:
    for library in sorted(root.rglob("libc.so.6")):
        if library.is_file() and not library.is_symlink():
            match = re.search(rb"stable release version (2\.\d+)", library.read_bytes())
            if match:
                return match[1].decode()
    return ""


def run_python(
    root: Path, executable: str, arguments: Sequence[str], *, stdin: str | None = None
) -> Completed:
    """Run the interpreter in an empty sandbox: its root read-only, no network, no environment."""
    return run(sandboxed(root, executable, arguments), stdin=stdin, timeout=60)


def sandboxed(root: Path, executable: str, arguments: Sequence[str]) -> list[str]:
    """The command line that runs a base's interpreter on nothing but what is in `root`."""
    return [
        "bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--clearenv",
        "--setenv", "PATH", _DEFAULT_PATH, "--setenv", "PYTHONHASHSEED", "0", "--setenv", "LC_ALL", "C.UTF-8",
        "--ro-bind", str(root), "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp",  # noqa: S108 - inside
        executable, *arguments,
    ]  # fmt: skip
