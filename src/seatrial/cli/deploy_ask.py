"""`seatrial deploy promote|hold|continue`: what a person decides about a deployment that goes on."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from seatrial.cli.common import directory_option, json_option, note, print_json

if TYPE_CHECKING:
    from seatrial.services.records import Ask

_HEARD = 5.0
"""Seconds in which whoever is in charge has heard; half a second is usual."""
_WHICH = "[ID|latest|SERVICE]"


@click.command(epilog="Example: seatrial deploy promote latest")
@click.argument("deployment", default="latest", metavar=_WHICH)
@json_option
@directory_option
def promote(deployment: str, as_json: bool) -> None:
    """Give the new version all the traffic at once, whatever its strategy and the evidence say.

    An alarm or a version that is not healthy still brings the old one back during the bake time.
    """
    ask(deployment, "promote", as_json=as_json)


@click.command(epilog="Example: seatrial deploy hold latest")
@click.argument("deployment", default="latest", metavar=_WHICH)
@json_option
@directory_option
def hold(deployment: str, as_json: bool) -> None:
    """Leave the traffic split as it is until somebody says promote, continue or rollback.

    Alarms, health and evidence against the new version still bring the old one back.
    """
    ask(deployment, "hold", as_json=as_json)


@click.command("continue", epilog="Example: seatrial deploy continue latest")
@click.argument("deployment", default="latest", metavar=_WHICH)
@json_option
@directory_option
def go_on(deployment: str, as_json: bool) -> None:
    """Go on with a deployment that is held: its step begins anew."""
    ask(deployment, "continue", as_json=as_json)


def ask(reference: str, what: Ask, *, as_json: bool) -> None:
    """Ask the deployment, wait until that was heard, and say what it does now.

    Raises:
        UsageError: there is no such deployment, or it has ended.
        SeatrialError: nobody is in charge of it.
    """
    from seatrial import paths
    from seatrial.clock import SystemClock
    from seatrial.engine.journal import Journal
    from seatrial.errors import SeatrialError
    from seatrial.services import records, shown

    journal, clock = Journal(paths.home()), SystemClock()
    home = journal.home
    one = records.settle(journal, records.find(home, reference), clock.now())
    if one.ended is None and not records.in_charge(journal, one) and one.run:
        raise SeatrialError(
            f"nobody is in charge of {one.id}",
            why="its process was killed; the traffic stays as it is",
            fix=f"`seatrial runs resume {one.run}` goes on with it, `seatrial deploy stop {one.id}` ends it",
        )
    records.ask(home, one.id, what, now=clock.now())
    deadline = clock.now() + _HEARD
    while (waits := bool(records.asked(home, one.id))) and clock.now() < deadline:
        time.sleep(0.05)
    one = records.load(home, one.id)
    if as_json:
        print_json({**shown.data(journal, one, whole=False), "heard": not waits})
        return
    if waits:
        note(f"{one.id} has not shifted traffic yet; it will hear of it when it does")
    shift = records.shift_of(home, one.id)
    state = f", {shift.share:g} % asked, {shift.status}: {shift.why}" if shift else ""
    sys.stdout.write(f"{one.id}: {one.status}{state}\n")
