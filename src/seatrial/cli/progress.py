"""What a person sees on stderr while a run goes on."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from seatrial.cli.common import is_live


class Progress:
    """One line for each thing that happens; on a terminal the current step stands below them.

    Only whole lines go to a pipe or a dumb terminal, and nothing when `quiet`. Symbols stand beside words,
    so nothing is said by colour alone.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.live = is_live(sys.stderr)
        self.colour = self.live and not os.environ.get("NO_COLOR")
        self.begun: dict[str, float] = {}
        self.current = ""

    def watch(self, kind: str, subject: str, data: dict[str, Any]) -> None:
        """Take one transition of a run."""
        if self.quiet:
            return
        if kind == "step-started":
            self.begun[subject] = time.monotonic()
            self._status(f"… {subject}")
        elif kind == "step-ended":
            self._ended(subject, data)
        elif kind == "step-retried":
            self._line("33", f"↻ {subject}: {_first(data['error'])}; again because: {data['reason']}")
        elif kind == "requested":
            word = "tearing down" if data["what"] == "cancel" else "killing, nothing is torn down"
            self._line(
                "33", f"■ stopping; {word} (Ctrl-C again kills)" if data["what"] == "cancel" else f"■ {word}"
            )
        elif kind == "service-lost":
            self._line("33", f"↻ {subject} is gone and is started again")

    def _ended(self, subject: str, data: dict[str, Any]) -> None:
        took = f"{time.monotonic() - self.begun[subject]:.1f} s" if subject in self.begun else ""
        if data["cached"]:
            took = "cached"
        summary = (data.get("outputs") or {}).get("summary", "")
        if data["status"] == "pass":
            self._line("32", f"✓ {subject:<16} {took:>8}  {summary}".rstrip())
            for line in (data.get("outputs") or {}).get("details", []):
                self._line("", f"    {line}")
        elif data["status"] == "stopped":
            self._line("33", f"■ {subject:<16} {took:>8}  stopped")
        else:
            self._line("31", f"✗ {subject:<16} {took:>8}  failed")
            for line in data["error"].strip().splitlines()[:20]:
                self._line("31", f"    {line}")

    def _line(self, colour: str, text: str) -> None:
        start = "\r\x1b[K" if self.live else ""
        if self.colour and colour:
            text = f"\x1b[{colour}m{text[:1]}\x1b[0m{text[1:]}"
        sys.stderr.write(f"{start}{text}\n")
        sys.stderr.flush()

    def _status(self, text: str) -> None:
        if self.live:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()


def _first(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else "failed"
