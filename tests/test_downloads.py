"""A file from a server is whole and right, or not there."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from seatrial.downloads import download
from seatrial.errors import SeatrialError
from seatrial.transport import TransportError, connect
from support.answers import Answer, answering
from support.clocks import SimulatedClock

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = bytes(range(256)) * 2_000
SHA = hashlib.sha256(CONTENT).hexdigest()
HALF = CONTENT[: len(CONTENT) // 2]


def test_it_goes_on_where_it_stopped(tmp_path: Path) -> None:
    rest = {"Content-Range": f"bytes {len(HALF)}-{len(CONTENT) - 1}/{len(CONTENT)}"}
    answers = [Answer(body=HALF, declared=len(CONTENT)), Answer(206, rest, CONTENT)]
    with answering(answers) as server, connect(clock=SimulatedClock()) as link:
        received = download(link, server.url, tmp_path / "file", sha256=SHA, size=len(CONTENT))
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert received == len(CONTENT)
    assert server.asked[1][2]["Range"] == f"bytes={len(HALF)}-"


def test_a_server_without_ranges_starts_again(tmp_path: Path) -> None:
    answers = [Answer(body=HALF, declared=len(CONTENT)), Answer(503), Answer(body=CONTENT)]
    with answering(answers) as server, connect(clock=SimulatedClock()) as link:
        received = download(link, server.url, tmp_path / "file", sha256=SHA)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert received == len(HALF) + len(CONTENT)


@pytest.mark.parametrize(
    ("answer", "size", "message"),
    [
        (Answer(body=CONTENT[:-1] + b"!"), None, f"has sha256 .*, not {SHA}"),
        (Answer(body=CONTENT + b"!"), len(CONTENT), "more than the 512000 bytes announced"),
        (Answer(body=HALF), len(CONTENT), "stopped after 256000 of 512000 bytes"),
        (Answer(body=HALF, declared=len(CONTENT)), None, "broke the connection"),
        (Answer(404, body=b"gone"), None, r"answered 404 Not Found[\s\S]*gone"),
    ],
)
def test_anything_else_leaves_nothing_behind(
    answer: Answer, size: int | None, message: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with (
        answering([answer]) as server,
        connect(clock=SimulatedClock()) as link,
        pytest.raises(SeatrialError, match=message),
    ):
        download(link, server.url + "/file?key=s3cret", tmp_path / "file", sha256=SHA, size=size)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_progress_earns_patience(tmp_path: Path) -> None:
    """A line that breaks every few hundred bytes still brings the file, however often it breaks."""
    step = len(CONTENT) // 20
    answers = [Answer(body=CONTENT[:step], declared=len(CONTENT))]
    for start in range(step, len(CONTENT), step):
        end = min(start + step, len(CONTENT))
        headers = {"Content-Range": f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"}
        answers.append(Answer(206, headers, CONTENT[:end], declared=len(CONTENT) - start))
    clock = SimulatedClock()
    with answering(answers) as server, connect(clock=clock) as link:
        assert download(link, server.url, tmp_path / "file", sha256=SHA, size=len(CONTENT)) == len(CONTENT)
    assert len(clock.sleeps) == 19
    assert max(clock.sleeps) <= 0.25


def test_a_dead_server_is_told(tmp_path: Path) -> None:
    with (
        answering([Answer(500)]) as server,
        connect(clock=SimulatedClock()) as link,
        pytest.raises(TransportError, match="answered 500 Internal Server Error 5 times"),
    ):
        download(link, server.url, tmp_path / "file", sha256=SHA)
