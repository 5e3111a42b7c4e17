# ruff: noqa: PTH100, PTH110, PTH120, PTH123 - without pathlib, which the program itself may never import
"""Notes which files a Python program opens or maps; runs in the image, under any Python from 3.8 on.

Python imports a module of this name before the program. One of the image's own is run afterwards.
"""

from __future__ import annotations

import os
import sys

_FIELDS = 6  # of a line of /proc/PID/maps, the path last


class _Watch:
    """Writes each path once, as soon as it is known: the program may be killed."""

    def __init__(self, place: str) -> None:
        self.out = os.open(place, os.O_WRONLY | os.O_APPEND)
        self.seen: set[str] = set()
        self.busy = False
        self.loaded = True  # a library was loaded, perhaps with others that it needs

    def begin(self) -> None:
        import atexit

        for module in list(sys.modules.values()):
            if getattr(getattr(module, "__spec__", None), "origin", None) != "frozen":
                cached = getattr(module, "__cached__", None)
                self.note(cached if cached and os.path.exists(cached) else getattr(module, "__file__", None))
        sys.addaudithook(self.hook)
        atexit.register(self.maps)

    def hook(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.busy or event not in ("open", "import", "ctypes.dlopen"):
            return
        self.busy = True
        try:
            if self.loaded:
                self.maps()
            path = arguments[1 if event == "import" else 0]
            self.loaded = event != "open" and bool(path)
            self.note(path)
        except Exception:  # noqa: BLE001, S110 - the program goes on, whatever is wrong here
            pass
        finally:
            self.busy = False

    def maps(self) -> None:
        self.loaded = False
        with open("/proc/self/maps", "rb") as stream:
            for line in stream:
                fields = line.rstrip(b"\n").split(None, _FIELDS - 1)
                if len(fields) == _FIELDS and fields[-1].startswith(b"/"):
                    self.note(fields[-1])

    def note(self, path: object) -> None:
        if not isinstance(path, (str, bytes)):
            return
        text = os.fsdecode(path)
        if text not in self.seen and "\n" not in text:
            self.seen.add(text)
            os.write(self.out, os.fsencode(os.path.abspath(text)) + b"\n")


def _own() -> None:
    """Run the `sitecustomize` that this one hides."""
    import importlib.machinery
    import importlib.util

    here = os.path.dirname(os.path.abspath(__file__))
    rest = [entry for entry in sys.path if os.path.abspath(entry) != here]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", rest)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


if "SEATRIAL_OPENED" in os.environ:
    _Watch(os.environ["SEATRIAL_OPENED"]).begin()
    _own()
