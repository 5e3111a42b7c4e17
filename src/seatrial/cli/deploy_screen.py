"""What a person sees while a service is being deployed: a line for each event, and on a terminal both versions below."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, TextIO

from seatrial.cli.common import is_live

if TYPE_CHECKING:
    from collections.abc import Iterable

    from seatrial.services.live import Now, Service, Snapshot

_HEAD = ("share", "requests/s", "failed", "p50", "p95", "p99")
_WIDTHS = (8, 11, 8, 9, 9, 9)
_BAR = 20
_NAMES = {"old": "old", "new": "new", "other": "other", "none": "nobody"}


class Screen:
    """Writes events as they come. A terminal shows what both versions do below them, written over again and again."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.live = is_live(stream)
        self._drawn = 0

    def draw(self, seen: Snapshot) -> None:
        """Show a look at the deployment."""
        from seatrial.services.axes import tick
        from seatrial.services.headlines import line

        began = seen.deployment.created
        events = [
            f"{tick(max(0.0, event.at - began)):>7}  {words}"
            for event in seen.fresh
            if (words := line(event))
        ]
        if not self.live:
            self._write("".join(f"{line}\n" for line in events))
            return
        columns, rows = shutil.get_terminal_size()
        block = [line[: columns - 1] for line in panel(seen)][: max(3, rows - 2)]
        self._write(self._up() + "".join(f"\x1b[K{line}\n" for line in [*events, *block]) + "\x1b[J")
        self._drawn = len(block)

    def end(self) -> None:
        """Take away what is written over; the events stay."""
        if self._drawn:
            self._write(f"{self._up()}\x1b[J")
            self._drawn = 0

    def _up(self) -> str:
        return f"\r\x1b[{self._drawn}A" if self._drawn else ""

    def _write(self, text: str) -> None:
        if text:
            self.stream.write(text)
            self.stream.flush()


def panel(seen: Snapshot) -> list[str]:
    """Both versions of each service side by side, and where the shift is."""
    from seatrial.services.axes import moments
    from seatrial.services.live import WINDOW

    one, shift = seen.deployment, seen.shift
    words = [f"{one.id}  {one.status}"]
    if shift is not None:
        words.append(f"step {seen.step} of {seen.steps}: {shift.share:g} % asked")
        if shift.status == "held":
            words.append(f"held ({shift.why}): `seatrial deploy continue|promote|rollback {one.id}`")
    if seen.waited > 1:
        words.append(f"waiting for evidence since {moments(seen.waited)}, {moments(one.patience)} at most")
    elif seen.left is not None:
        words.append(f"at least {moments(seen.left)} left")
    lines = ["", ", ".join(words)]
    for service in seen.services:
        head = "".join(f"{name:>{width}}" for name, width in zip(_HEAD, _WIDTHS, strict=True))
        lines.append(f"{f'{service.service}, last {WINDOW} s':<24}{head}")
        lines += _rows(service)
        if service.verdict:
            lines.append(f"  verdict so far: {service.verdict}")
    return lines


def _rows(service: Service) -> Iterable[str]:
    from seatrial.services.live import Now

    for version, name in _NAMES.items():
        revision = {"old": service.old, "new": service.new}.get(version, "")
        known = service.versions.get(version)  # type: ignore[call-overload]
        if not known and not revision:
            continue
        yield f"{f'  {name} {revision}':<24}{_cells(known or Now())}".rstrip()


def _cells(now: Now) -> str:
    values = (
        "" if now.share is None else f"{now.share:.1f} %",
        f"{now.rate:.1f}",
        f"{100 * now.errors / now.requests:.2f} %" if now.requests else "",
        *("" if one is None else f"{one * 1000:.3g} ms" for one in (now.p50, now.p95, now.p99)),
    )
    bar = "█" * round(_BAR * now.share / 100) if now.share else ""
    return "".join(f"{value:>{width}}" for value, width in zip(values, _WIDTHS, strict=True)) + f"  {bar}"


def stderr() -> Screen:
    """The screen of commands whose answer is on stdout."""
    return Screen(sys.stderr)
