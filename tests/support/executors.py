"""Executors of the engine that start no processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.engine.launch import Ended

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from seatrial.engine.launch import Launch


class Instant:  # the arguments are those of engine.launch.Executor
    """Processes that have ended with success by the time somebody looks."""

    def start(self, launch: Launch, slots: object) -> None:
        pass

    def probe(self, folder: Path) -> Ended | bool:
        return Ended(0, "exit", 0.0, "", {}, [], "")

    def halt(self, folder: Path, *, hard: bool) -> bool:
        return True

    def wait(self, folders: Iterable[Path], seconds: float) -> None:
        pass

    def slots(self, names: Iterable[str], capacity: Mapping[str, int]) -> object | None:
        return []

    def guard(self, run: str) -> None:
        pass

    def close(self) -> None:
        pass
