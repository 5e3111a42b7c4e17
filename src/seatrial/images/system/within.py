"""Run programs on an image's root and say what they changed; run as a program in `namespaces`, never imported.

    python -I -S within.py TASK

TASK is a JSON file, a `Task` of `running`. The layers of the root lie in the store, where files belong to the
caller and have no special bits, so owners and modes are set first, in an upper folder of their own. The programs
then write into a second one: its content is the difference. Without overlay the root is a copy, and the
difference is what is no longer as it was.

Each path that changed is told on stdout: a line of JSON, then the bytes of a file. An empty object ends the list.
"""

# ruff: noqa: PTH101, PTH103, PTH115, PTH123, PTH208 - tens of thousands of paths; pathlib is several times slower

from __future__ import annotations

import ctypes
import json
import os
import stat
import subprocess
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO, Any

    # kind (f, d, l), mode, uid, gid, target of a link, the layer that has it
    Known = dict[str, list[Any]]

FAILED, CANNOT = 1, 125
_OWN = "user.overlay."
_OPAQUE = "user.overlay.opaque"
_CHUNK = 1 << 18

libc = ctypes.CDLL(None, use_errno=True)


def main() -> int:
    with open(sys.argv[1], "rb") as stream:
        task = json.load(stream)
    os.umask(0o022)
    try:
        folder, times = stand(task)
        for step in task["steps"]:
            if run(step, task["log"]) != 0:
                os.write(2, f"failed: {step['name']}\n".encode())
                return FAILED
            if step["compile"] and not compile_again(task, folder, times):
                os.write(2, b"failed: bytecode\n")
                return FAILED
        with open(1, "wb", closefd=False) as out:
            for path, status in changes(task, folder, times):
                tell(out, folder, path, status)
            out.write(b"{}\n")
    except OSError as error:
        os.write(2, f"seatrial: {error.filename or 'mount'}: {error.strerror}\n".encode())
        return CANNOT
    return 0


def stand(task: dict[str, Any]) -> tuple[str, dict[str, tuple[int, ...]]]:
    """Make the root as the image has it. Returns the folder that will hold what changes, and a copy's times."""
    before, work = task["before"], task["work"]
    if not task["layers"]:
        set_owners(task["root"], before)
        return task["root"], {path: stamp(os.lstat(f"{task['root']}/{path}")) for path in before}
    os.chdir(task["store"])
    lower = ":".join(task["layers"])
    overlay(task["root"], lower, f"{work}/own")
    set_owners(task["root"], before)
    call(task["root"], libc.umount2(task["root"].encode(), 0))
    overlay(task["root"], f"{escaped(work)}/own:{lower}", f"{work}/upper")
    return f"{work}/upper", {}


def overlay(place: str, lower: str, upper: str) -> None:
    for name in (upper, f"{upper}-work"):
        os.makedirs(name, 0o755, exist_ok=True)
    options = f"lowerdir={lower},upperdir={escaped(upper)},workdir={escaped(upper)}-work,userxattr"
    call("overlay", libc.mount(b"overlay", place.encode(), b"overlay", 0, options.encode()))


def escaped(path: str) -> str:
    """In mount options a comma ends an option, and a colon a folder."""
    return path.replace("\\", "\\\\").replace(",", "\\,").replace(":", "\\:")


def set_owners(root: str, before: Known) -> None:
    """Give files the owners and modes that their headers say, from inside the root: no link leads out of it.

    An id that this namespace does not know stays what it is, and is then no change either.
    """
    told, answer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(told)
        os.chroot(root)
        with open(answer, "wb") as out:
            out.write(json.dumps(dict(_refused(before))).encode())
        os._exit(0)
    os.close(answer)
    with open(told, "rb") as stream:
        content = stream.read()
    if os.waitpid(child, 0)[1] != 0:
        raise OSError(1, "owners cannot be set", root)
    for path, (mode, uid, gid) in json.loads(content).items():
        before[path][1:4] = [mode, uid, gid]


def _refused(before: Known) -> Iterator[tuple[str, tuple[int, int, int]]]:
    for path, (kind, mode, uid, gid, _, _) in before.items():
        place = f"/{path}"
        status = os.lstat(place)
        right = kind == "l" or stat.S_IMODE(status.st_mode) == mode
        if right and (status.st_uid, status.st_gid) == (uid, gid):
            continue
        try:
            os.chown(place, uid, gid, follow_symlinks=False)
            if kind != "l":
                os.chmod(place, mode)
        except OSError:
            status = os.lstat(place)
            yield path, (stat.S_IMODE(status.st_mode) if kind != "l" else mode, status.st_uid, status.st_gid)


def run(step: dict[str, Any], log: str, stdin: bytes = b"") -> int:
    with open(log, "ab") as out:
        env = {**(os.environ if step["network"] else {}), **step["env"]}
        return subprocess.run(
            step["argv"], env=env, input=stdin, stdout=out, stderr=out, check=False
        ).returncode


def compile_again(task: dict[str, Any], folder: str, times: dict[str, tuple[int, ...]]) -> bool:
    """Replace bytecode that scripts of packages compiled: theirs holds times that a layer does not keep."""
    found: dict[str, list[str]] = {}
    for path, status in changes(task, folder, times):
        cache, _, name = path.rpartition("/")
        parts = name.split(".")
        if status is None or not cache.endswith("__pycache__") or len(parts) != 3 or parts[2] != "pyc":  # noqa: PLR2004 - a.cpython-311.pyc
            continue
        source = f"{cache.removesuffix('__pycache__')}{parts[0]}.py"
        if os.path.lexists(f"{task['root']}/{source}"):
            found.setdefault(parts[1], []).append(f"/{source}")
    for tag, sources in sorted(found.items()):
        digits = tag.removeprefix("cpython-")
        python = f"/usr/bin/python{digits[:1]}.{digits[1:]}"
        if tag == digits or not os.path.lexists(task["root"] + python):
            continue
        step = task["compile"]
        argv = [python if word == "PYTHON" else word for word in step["argv"]]
        text = "\n".join(sorted(sources)) + "\n"
        # Some packages carry templates that are no Python; compileall then ends with 1 after all others.
        if run({**step, "argv": argv}, task["log"], text.encode("utf-8", "surrogateescape")) not in (0, 1):
            return False
    return True


def every(folder: str, below: str = "") -> Iterator[tuple[str, os.stat_result]]:
    """Every path below, parents first, in the order of their bytes."""
    with os.scandir(f"{folder}/{below}") as listed:
        entries = sorted(listed, key=lambda one: os.fsencode(one.name))
    for one in entries:
        path = f"{below}/{one.name}" if below else one.name
        status = one.stat(follow_symlinks=False)
        yield path, status
        if stat.S_ISDIR(status.st_mode):
            yield from every(folder, path)


def changes(
    task: dict[str, Any], folder: str, times: dict[str, tuple[int, ...]]
) -> Iterator[tuple[str, os.stat_result | None]]:
    """Paths that are new or differ from what the image has, and with None those that are gone."""
    before: Known = task["before"]
    inside: dict[str, list[str]] = {}
    for path in before:
        inside.setdefault(path.rpartition("/")[0], []).append(path)
    complete = not task["layers"]
    for path, status in [("", os.lstat(folder)), *every(folder)]:
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFCHR and status.st_rdev == 0:
            if path in before:
                yield path, None
            continue
        if path and kind in _KINDS and not same(task, folder, path, status, times):
            yield path, status
        known = before.get(path, ["d" if not path else ""])[0]
        if kind == stat.S_IFDIR and known == "d" and (complete or is_opaque(f"{folder}/{path}")):
            here = set(os.listdir(f"{folder}/{path}"))
            for gone in sorted(p for p in inside.get(path, ()) if p and p.rpartition("/")[2] not in here):
                yield gone, None


_KINDS = {
    stat.S_IFREG: "f",
    stat.S_IFDIR: "d",
    stat.S_IFLNK: "l",
}  # sockets and pipes belong to running programs


def is_opaque(place: str) -> bool:
    try:
        return os.getxattr(place, _OPAQUE) == b"y"
    except OSError:
        return False


def stamp(status: os.stat_result) -> tuple[int, ...]:
    return status.st_ino, status.st_ctime_ns, status.st_size


def same(
    task: dict[str, Any], folder: str, path: str, status: os.stat_result, times: dict[str, tuple[int, ...]]
) -> bool:
    """Whether the path is as the image has it: kind, owner, mode and content, whatever its time."""
    place, known = f"{folder}/{path}", task["before"].get(path)
    if known is None:
        return False
    kind, mode, uid, gid, link, layer = known
    if _KINDS[stat.S_IFMT(status.st_mode)] != kind or (uid, gid) != (status.st_uid, status.st_gid):
        return False
    if kind == "l":
        return bool(os.readlink(place) == link)
    if mode != stat.S_IMODE(status.st_mode):
        return False
    if kind == "d" or times.get(path) == stamp(status):
        return True
    return not attributes(place) and same_content(place, f"{task['store']}/{layer}/{path}")


def same_content(one: str, other: str) -> bool:
    if os.lstat(one).st_size != os.lstat(other).st_size:
        return False
    with open(one, "rb") as left, open(other, "rb") as right:
        while piece := left.read(_CHUNK):
            if piece != right.read(_CHUNK):
                return False
    return True


def attributes(place: str) -> dict[str, str]:
    """Extended attributes that are part of a file, such as its capabilities, in hexadecimal."""
    try:
        names = os.listxattr(place, follow_symlinks=False)
        return {
            name: os.getxattr(place, name, follow_symlinks=False).hex()
            for name in sorted(names)
            if name.startswith(("user.", "security.capability")) and not name.startswith(_OWN)
        }
    except OSError:
        return {}


def tell(out: IO[bytes], folder: str, path: str, status: os.stat_result | None) -> None:
    if status is None:
        out.write(json.dumps({"path": path, "kind": "w"}).encode() + b"\n")
        return
    place, kind = f"{folder}/{path}", _KINDS[stat.S_IFMT(status.st_mode)]
    size = status.st_size if kind == "f" else 0
    line = {
        "path": path,
        "kind": kind,
        "mode": stat.S_IMODE(status.st_mode),
        "uid": status.st_uid,
        "gid": status.st_gid,
        "size": size,
        "link": os.readlink(place) if kind == "l" else "",
        "file": status.st_ino if status.st_nlink > 1 and kind == "f" else 0,
        "xattrs": attributes(place) if kind != "l" else {},
    }
    out.write(json.dumps(line).encode() + b"\n")
    if kind == "f":
        with open(os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as stream:
            while piece := stream.read(_CHUNK):
                out.write(piece)


def call(what: str, result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


if __name__ == "__main__":
    os._exit(main())
