"""`seatrial deploy watch`: follow a deployment of services until it has ended."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from seatrial.cli.common import directory_option, json_option, note
from seatrial.errors import ANSWER_IS_NO, DONE

if TYPE_CHECKING:
    from seatrial.services.live import Follower, Snapshot

_EVERY = 0.5
_ALONE = 10.0
"""Seconds that a deployment may be without a process in charge."""


@click.command(epilog="Example: seatrial deploy watch latest")
@click.argument("deployment", default="latest", metavar="[ID|latest|SERVICE]")
@json_option
@directory_option
def watch(deployment: str, as_json: bool) -> int:
    """Follow a deployment of services until it has ended: both versions side by side, and what happens.

    A pipe gets a line for each event; --json prints JSON lines, events and once a second the traffic. Ctrl-C ends the
    watching, not the deployment. Exit code 1: it failed or was stopped.
    """
    from seatrial import paths
    from seatrial.cli.deploy_screen import Screen
    from seatrial.clock import SystemClock
    from seatrial.engine.journal import Journal
    from seatrial.services import records
    from seatrial.services.live import Follower

    journal = Journal(paths.home())
    one = records.settle(journal, records.find(journal.home, deployment), SystemClock().now())
    follower, screen = Follower(journal.home, one.id), Screen(sys.stdout)
    alone = 0.0
    try:
        while True:
            seen = follower.look(SystemClock().now())
            if as_json:
                _print_lines(seen)
            else:
                screen.draw(seen)
            if seen.deployment.ended is not None:
                break
            alone = 0.0 if records.in_charge(journal, seen.deployment) else alone + _EVERY
            _check_led(alone, seen)
            records.settle(journal, seen.deployment, SystemClock().now())
            time.sleep(_EVERY)
    except KeyboardInterrupt:
        screen.end()
        note(f"{one.id} goes on; `seatrial deploy stop {one.id}` stops it")
        raise
    finally:
        screen.end()
    return _ended(follower, as_json=as_json)


def _check_led(alone: float, seen: Snapshot) -> None:
    from seatrial.errors import SeatrialError

    one = seen.deployment
    if alone >= _ALONE:
        raise SeatrialError(
            f"nobody is in charge of {one.id}",
            why="its process was killed; the traffic stays as it is",
            fix=f"`seatrial runs resume {one.run}` goes on with it, `seatrial deploy stop {one.id}` ends it",
        )


def _print_lines(seen: Snapshot) -> None:
    import msgspec

    from seatrial.services import live, shown

    lines = [*map(shown.event, seen.fresh)]
    if seen.seconds:
        lines.append(live.data(seen))
    for line in lines:
        sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
    sys.stdout.flush()


def _ended(follower: Follower, *, as_json: bool) -> int:
    """Say how it ended; the exit code that goes with it."""
    from seatrial.services import records

    one = records.load(follower.home, follower.id)
    if not as_json:
        sys.stdout.write(f"{one.id}: {one.status}" + (f", {one.why}" if one.why else "") + "\n")
    return DONE if one.status == "Succeeded" else ANSWER_IS_NO
