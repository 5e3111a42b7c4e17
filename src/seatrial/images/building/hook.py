"""Call one hook of a build backend; run as a program inside of the sandbox, never imported.

    python hook.py REQUEST

REQUEST is JSON: `hook`, `backend`, `backend_path`, `out`, `result`, `limits`. What the hook returned is written to
`result` as JSON, with the processes that it left running. Works with every Python 3.8 or later, and with its standard
library alone. Source: PEP 517 and PEP 660.
"""

# ruff: noqa: PTH100, PTH123, PTH208 - it runs in another Python, fast and alone

from __future__ import annotations

import importlib
import json
import os
import sys
from resource import RLIMIT_CORE, RLIMIT_FSIZE, RLIMIT_NPROC, setrlimit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main() -> int:
    request = json.loads(sys.argv[1])
    for number, key in ((RLIMIT_NPROC, "processes"), (RLIMIT_FSIZE, "file")):
        setrlimit(number, (request["limits"][key],) * 2)
    setrlimit(RLIMIT_CORE, (0, 0))
    os.umask(0o022)
    sys.path.pop(0)  # the folder of this file
    sys.argv = ["-c"]
    try:
        answer = {"returned": call(request)}
    except UnfitError as error:
        answer = {"unfit": str(error)}
    answer["left"] = left()
    with open(request["result"], "w", encoding="utf-8") as stream:
        json.dump(answer, stream)
    return 1 if "unfit" in answer else 0


class UnfitError(Exception):
    """The backend is not one."""


def call(request: dict[str, Any]) -> Any:
    backend = load(request["backend"], [os.path.abspath(place) for place in request["backend_path"]])
    if request["hook"] == "requires":
        hook = getattr(backend, "get_requires_for_build_wheel", None)
        return [str(one) for one in hook({})] if hook else []
    hook = getattr(backend, "build_wheel", None)
    if hook is None:
        raise UnfitError(f"the backend {request['backend']} cannot build wheels")
    return str(hook(request["out"], {}, None))


def load(name: str, places: list[str]) -> Any:
    """The object that `module:attribute` names; with `places`, it must come from one of them."""
    module, _, attribute = name.partition(":")
    sys.path[:0] = places
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        # The backend itself is missing, not something that it needs.
        if error.name and (module + ".").startswith(error.name + "."):
            raise UnfitError(f"there is no build backend {module!r}: {error}") from None
        raise
    if places and not any(inside(found, place) for place in places):
        raise UnfitError(f"the backend {module!r} does not lie in backend-path")
    for part in attribute.split(".") if attribute else []:
        found = getattr(found, part)
    return found


def inside(module: Any, place: str) -> bool:
    file = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", [])), "")
    real = os.path.realpath(place)
    return bool(file) and os.path.commonpath([real, os.path.realpath(file)]) == real


def left() -> list[str]:
    """Names of processes that are still there; they end with this one."""
    names = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as stream:
                name, _, rest = stream.read().partition("(")[2].rpartition(")")
        except OSError:
            continue
        if rest.split()[0] != "Z":
            names.append(name)
    return names[:20]


if __name__ == "__main__":
    sys.exit(main())
