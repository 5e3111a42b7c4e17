"""What a phase's log tells of its commands: how long each took, what it fetched, which packages it replaced.

The lines are those that the build itself writes, and those of pip, apt and BuildKit.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_OURS = re.compile(rb"\[Container\] (\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d+) (.*)")
_UNITS = {"b": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9}
# pip: `Downloading torch-2.7.1-….whl (821.2 MB)`; apt: `Fetched 12.3 MB in 4s (3,075 kB/s)`;
# BuildKit: `#5 sha256:… 28.23MB / 28.23MB 0.9s done`.
_FETCHED = re.compile(
    rb"\s*Downloading \S+ \((?P<pip>[\d.]+) ?(?P<pip_unit>[kMG]?B)\)"
    rb"|Fetched (?P<apt>[\d.,]+) (?P<apt_unit>[kMG]?B) in "
    rb"|#\d+ sha256:\w+ [\d.]+[kMG]?B / (?P<kit>[\d.]+)(?P<kit_unit>[kMG]?B) [\d.]+s done"
)
_GONE = re.compile(rb"\s*Successfully uninstalled ([A-Za-z0-9._-]+?)-(\d[^\s-]*)\s*$")
_CAME = re.compile(rb"\s*Successfully installed (.+)")
_LONGEST_LINE = 1 << 16
_MOST = 2000


class Replaced(NamedTuple):
    """A package that was there in another version; `to` is empty when it went away."""

    name: str
    version: str
    to: str


class Ran(NamedTuple):
    """One command. `seconds` is None while it runs; `fetched` is in bytes, what its tools said that they downloaded."""

    command: str
    started: float
    seconds: float | None
    fetched: int
    replaced: tuple[Replaced, ...]


def commands(path: Path) -> list[Ran]:
    """The commands of a log, in order; none when there is no such file. Memory does not grow with the log."""
    reading = _Reading()
    for line in _lines(path):
        reading.take(line)
    return reading.done()


class _Reading:
    """The state between two lines."""

    def __init__(self) -> None:
        self.found: list[Ran] = []
        self.name = ""
        self.began: float | None = None
        self.fetched = 0.0
        self.gone: dict[str, str] = {}
        self.replaced: list[Replaced] = []

    def take(self, line: bytes) -> None:
        ours = _OURS.match(line)
        if ours:
            self._end(_moment(ours[1]))
            if ours[2].startswith(b"Running command ") and len(self.found) < _MOST:
                self.name = ours[2].removeprefix(b"Running command ").decode(errors="replace").strip()
                self.began = _moment(ours[1])
        elif self.began is not None:
            self._tool(line)

    def done(self) -> list[Ran]:
        self._end(None)
        return self.found

    def _tool(self, line: bytes) -> None:
        fetched = _FETCHED.match(line) if line[:1] in b" DF#" else None
        if fetched:
            number, unit = next(
                (fetched[name], fetched[f"{name}_unit"]) for name in ("pip", "apt", "kit") if fetched[name]
            )
            self.fetched += float(number.replace(b",", b"")) * _UNITS[unit.decode().lower()]
        elif b"Successfully " in line:
            if gone := _GONE.match(line):
                self.gone[_normal(gone[1].decode())] = gone[2].decode()
            elif came := _CAME.match(line):
                self._came(came[1].decode(errors="replace"))

    def _came(self, told: str) -> None:
        new = {}
        for one in told.split():
            name, _, version = one.rpartition("-")
            new[_normal(name)] = version
        for name, version in self.gone.items():
            if new.get(name) != version:
                self.replaced.append(Replaced(name, version, new.get(name, "")))
        self.gone.clear()

    def _end(self, moment: float | None) -> None:
        if self.began is None:
            return
        went = [Replaced(name, version, "") for name, version in self.gone.items()]
        seconds = None if moment is None else round(max(0.0, moment - self.began), 6)
        self.found.append(Ran(self.name, self.began, seconds, int(self.fetched), (*self.replaced, *went)))
        self.began, self.fetched = None, 0.0
        self.gone, self.replaced = {}, []


def _lines(path: Path) -> Iterator[bytes]:
    """The lines; of one that is longer than any that tells us something, its beginning."""
    try:
        with path.open("rb") as stream:
            while line := stream.readline(_LONGEST_LINE):
                yield line
                while line and not line.endswith(b"\n"):
                    line = stream.readline(_LONGEST_LINE)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return


def _moment(text: bytes) -> float:
    return datetime.strptime(text.decode(), "%Y/%m/%d %H:%M:%S.%f").replace(tzinfo=UTC).timestamp()


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
