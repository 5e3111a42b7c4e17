"""What builders print, read as steps: when each began and ended, and what the program in it said.

Sources: Buildah's imagebuildah (`STEP n/m:`), BuildKit's plain progress (`#5 [stage 2/5] RUN`), the engine's older
builder (`Step n/m :`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from seatrial.images.builders.model import Step

if TYPE_CHECKING:
    from collections.abc import Callable

    from seatrial.images.builders.model import State

_BUILDAH = re.compile(
    r"(?:\[(?P<stage>\d+)/\d+\] )?STEP (?P<number>\d+)/(?P<total>\d+): (?P<text>.*)", re.DOTALL
)
_BUILDAH_DONE = re.compile(r"--> (?:Using cache )?[0-9a-f]{8,}|COMMIT\b|--> (?P<cached>Using cache)")
_CLASSIC = re.compile(r"Step (?P<number>\d+)/(?P<total>\d+) : (?P<text>.*)", re.DOTALL)
_VERTEX = re.compile(
    r"#(?P<id>\d+) \[(?:(?P<stage>[^\]]*?) )?(?P<number>\d+)/(?P<total>\d+)\] (?P<text>.*)", re.DOTALL
)
_VERTEX_END = re.compile(r"#(?P<id>\d+) (?P<how>DONE|CACHED|ERROR|CANCELED)\b")
_VERTEX_SAYS = re.compile(r"#\d+ (?:\d+\.\d+ )?(?P<text>.*)", re.DOTALL)
_NOISE = re.compile(
    r"#\d+ (?:sha256:[0-9a-f]{64}|DONE|CACHED|transferring|\[internal\]|exporting|writing|naming)\b.*"
)


class Reader:
    """Takes lines as they come; `steps` are those that began, in their order.

    `changed` is called with the index of each step that begins or ends.
    """

    def __init__(self, take: Callable[[Reader, str, float], str]) -> None:
        self._take = take
        self._began: list[float] = []
        self._open: dict[str, int] = {}
        self.steps: list[Step] = []
        self.changed: Callable[[int], None] = lambda _at: None

    def line(self, text: str, now: float) -> str:
        """Read one line and return it without the builder's own marks."""
        return self._take(self, text, now)

    def begin(self, key: str, match: re.Match[str], now: float) -> None:
        """A step begins; what was open under the same key has ended."""
        self.end(key, "done", now)
        fields = match.groupdict()
        step = Step(
            number=int(fields["number"]),
            total=int(fields["total"]),
            stage=fields.get("stage") or "",
            instruction=fields["text"],
        )
        self._open[key] = len(self.steps)
        self.steps.append(step)
        self._began.append(now)
        self.changed(len(self.steps) - 1)

    def end(self, key: str, state: State, now: float) -> None:
        """The step under `key` ended, if one is open."""
        at = self._open.pop(key, None)
        if at is None:
            return
        seconds = 0.0 if state == "cached" else max(now - self._began[at], 0.0)
        self.steps[at] = msgspec.structs.replace(self.steps[at], state=state, seconds=seconds)
        self.changed(at)

    def finish(self, code: int, now: float) -> None:
        """The program ended: what is open failed, or was done."""
        for key in list(self._open):
            self.end(key, "failed" if code else "done", now)

    @property
    def pending(self) -> list[str]:
        """Keys of the steps that are open."""
        return list(self._open)


def buildah() -> Reader:
    """For Buildah and Podman."""
    return Reader(_buildah)


def classic() -> Reader:
    """For Docker's older builder."""
    return Reader(_classic)


def buildkit() -> Reader:
    """For BuildKit."""
    return Reader(_buildkit)


def _buildah(reader: Reader, text: str, now: float) -> str:
    if begins := _BUILDAH.match(text):
        reader.begin("", begins, now)
    elif (ends := _BUILDAH_DONE.match(text)) and reader.pending:
        reader.end("", "cached" if "Using cache" in ends[0] else "done", now)
    return text


def _classic(reader: Reader, text: str, now: float) -> str:
    if begins := _CLASSIC.match(text):
        reader.begin("", begins, now)
    elif re.match(r" ---> Using cache", text):
        reader.end("", "cached", now)
    elif re.match(r" ---> [0-9a-f]{8,}|Successfully built ", text):
        reader.end("", "done", now)
    return text


def _buildkit(reader: Reader, text: str, now: float) -> str:
    if begins := _VERTEX.match(text):
        # Its name is printed again when something else was printed meanwhile.
        if begins["id"] not in reader.pending:
            reader.begin(begins["id"], begins, now)
        return begins["text"]
    if ends := _VERTEX_END.match(text):
        states: dict[str, State] = {"DONE": "done", "CACHED": "cached"}
        reader.end(ends["id"], states.get(ends["how"], "failed"), now)
    if _NOISE.match(text):
        return ""
    says = _VERTEX_SAYS.match(text)
    return says["text"] if says else text
