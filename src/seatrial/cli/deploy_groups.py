"""`seatrial deploy groups`: groups of hosts, and the hosts themselves."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar

import click

from seatrial.cli.common import directory_option, json_option, note, print_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from seatrial.deployments.groups import Group

F = TypeVar("F", bound="Callable[..., Any]")


@click.group(epilog="Example: seatrial deploy groups create web/test --host a=hosts/a --host b=hosts/b")
def groups() -> None:
    """Define and show groups of hosts; start and end the hosts.

    Hosts are parts of this machine: each has a network, processes and a view of the files of its own.
    """


def _settings(function: F) -> F:
    for option in (
        click.option(
            "--alarm", "alarms", multiple=True, metavar="NAME=[hosts:]URL|COMMAND",
            help="What must hold meanwhile, asked here or on each host. May be repeated.",
        ),
        click.option(
            "--rollback-on", default="", metavar="failure,alarm,stop|none", help="When to roll back. Default: never."
        ),
        click.option(
            "--config", "configuration", default="", metavar="NAME|HOST_COUNT=N|FLEET_PERCENT=N|FILE",
            help="How many hosts at a time. Default: OneAtATime.",
        ),
        click.option(
            "--isolation", type=click.Choice(["namespaces", "processes"]), default=None,
            help="What hosts have of their own: network, processes and files (the default), or nothing.",
        ),
        click.option(
            "--host", "members", multiple=True, metavar="NAME=FOLDER[,zone=ZONE]",
            help="A host, and the folder of its agent. May be repeated.",
        ),
    ):  # fmt: skip
        function = option(function)
    return function


@groups.command(
    epilog="Example: seatrial deploy groups create web/test --host a=hosts/a --rollback-on failure"
)
@click.argument("name", metavar="APPLICATION/GROUP")
@_settings
@json_option
@directory_option
def create(
    name: str,
    members: tuple[str, ...],
    isolation: Any,
    configuration: str,
    rollback_on: str,
    alarms: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make a group of hosts."""
    from seatrial import paths
    from seatrial.clock import SystemClock
    from seatrial.deployments import configurations
    from seatrial.deployments import groups as kept

    home = paths.home()
    group = kept.create(
        home,
        name,
        [kept.read_host(home, text, isolation or "namespaces") for text in members],
        configurations.for_servers(configurations.find(configuration or configurations.DEFAULT)),
        rollback_on=kept.read_rollback(rollback_on) if rollback_on else (),
        alarms=[kept.read_alarm(text) for text in alarms],
        now=SystemClock().now(),
    )
    _print(home, group, as_json=as_json)


@groups.command(epilog="Example: seatrial deploy groups update web/test --config HalfAtATime")
@click.argument("name", metavar="APPLICATION/GROUP")
@_settings
@click.option("--no-alarms", is_flag=True, help="Take all alarms away.")
@json_option
@directory_option
def update(
    name: str,
    members: tuple[str, ...],
    isolation: Any,
    configuration: str,
    rollback_on: str,
    alarms: tuple[str, ...],
    no_alarms: bool,
    as_json: bool,
) -> None:
    """Change a group; what is not named stays as it is. Hosts that are named take the place of all others."""
    import msgspec

    from seatrial import paths
    from seatrial.deployments import configurations
    from seatrial.deployments import groups as kept
    from seatrial.errors import UsageError

    home = paths.home()
    group = kept.load(home, name)
    if configuration:
        found = configurations.for_servers(configurations.find(configuration))
        group = msgspec.structs.replace(group, configuration=found)
    if rollback_on:
        group = msgspec.structs.replace(group, rollback_on=kept.read_rollback(rollback_on))
    if alarms or no_alarms:
        group = msgspec.structs.replace(group, alarms=tuple(kept.read_alarm(text) for text in alarms))
    if isolation and not members:
        raise UsageError(
            "--isolation is about the hosts that are named", fix="name all hosts of the group: --host …"
        )
    places = [kept.read_host(home, text, isolation or "namespaces") for text in members]
    _print(home, kept.update(home, group, places or None), as_json=as_json)


@groups.command("list", epilog="Example: seatrial deploy groups list --json")
@json_option
@directory_option
def list_(as_json: bool) -> None:
    """List groups, by application and name."""
    from seatrial import paths
    from seatrial.deployments import groups as kept
    from seatrial.deployments import shown

    home = paths.home()
    found = kept.every(home)
    if as_json:
        print_json([_data(home, group) for group in found])
    elif not found:
        note(
            "there are no groups; `seatrial deploy groups create APPLICATION/GROUP --host NAME=FOLDER` makes one"
        )
    else:
        rows = [
            (
                group.label,
                f"{len(group.hosts)} hosts",
                group.configuration.name,
                group.last_good or "nothing deployed",
            )
            for group in found
        ]
        sys.stdout.write(shown.table(rows))


@groups.command(epilog="Example: seatrial deploy groups show web/test")
@click.argument("name", metavar="APPLICATION/GROUP")
@json_option
@directory_option
def show(name: str, as_json: bool) -> None:
    """Show a group: its settings, and of each host whether it is up and what it has."""
    from seatrial import paths
    from seatrial.deployments import groups as kept

    home = paths.home()
    _print(home, kept.load(home, name), as_json=as_json)


@groups.command(epilog="Example: seatrial deploy groups delete web/test")
@click.argument("name", metavar="APPLICATION/GROUP")
@json_option
@directory_option
def delete(name: str, as_json: bool) -> None:
    """Forget a group, end its hosts that are in no other, and remove what these have written.

    The folders of their agents, and the records of its deployments, stay.
    """
    from seatrial import paths
    from seatrial.deployments import deployments
    from seatrial.deployments import groups as kept
    from seatrial.deployments.hosts import asking
    from seatrial.engine.journal import Journal
    from seatrial.errors import SeatrialError

    home = paths.home()
    group = kept.load(home, name)
    active = deployments.active(home, group)
    if active is not None and deployments.in_charge(Journal(home), active):
        raise SeatrialError(
            f"{active.id} is being deployed to {name}", fix=f"`seatrial deploy stop {active.id}` first"
        )
    gone = kept.delete(home, group)
    for place in gone:
        asking.remove(place)
    if as_json:
        print_json({"group": name, "hosts": [place.name for place in gone]})
    else:
        note(f"{name} is gone")


@groups.command(epilog="Example: seatrial deploy groups up web/test")
@click.argument("name", metavar="APPLICATION/GROUP")
@json_option
@directory_option
def up(name: str, as_json: bool) -> None:
    """Start the hosts of a group that are not up. A deployment does this, too."""
    from seatrial import paths
    from seatrial.deployments import groups as kept
    from seatrial.deployments.hosts import asking

    home = paths.home()
    group = kept.load(home, name)
    for place in kept.members(home, group):
        asking.start(place)
        public = asking.ping(place)["public"]
        shared = f"; shares {', '.join(public)} with this machine" if public else ""
        note(f"{place.name} is up{shared}")
    if as_json:
        print_json(_data(home, group))


@groups.command(epilog="Example: seatrial deploy groups down web/test")
@click.argument("name", metavar="APPLICATION/GROUP")
@json_option
@directory_option
def down(name: str, as_json: bool) -> None:
    """End the hosts of a group with all that runs there; what they have written stays.

    Hosts without namespaces leave their services running.
    """
    from seatrial import paths
    from seatrial.deployments import groups as kept
    from seatrial.deployments.hosts import asking

    home = paths.home()
    group = kept.load(home, name)
    for place in kept.members(home, group):
        note(f"{place.name} {'is down' if asking.down(place) else 'was down'}")
    if as_json:
        print_json(_data(home, group))


@groups.command(
    "exec",
    context_settings={"ignore_unknown_options": True},
    epilog="Example: seatrial deploy groups exec web-1 -- curl -s localhost:8080",
)
@click.argument("host")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@directory_option
def exec_(host: str, command: tuple[str, ...]) -> None:
    """Run a program on a host, and end with its exit code. Ctrl-C ends it.

    What it has written is shown when it has ended; it reads nothing.
    """
    import secrets
    import shutil

    from seatrial import paths
    from seatrial.deployments.hosts import asking, model
    from seatrial.errors import UsageError

    place = model.known(paths.home(), host)
    if place is None:
        raise UsageError(
            f"there is no host {host!r}", fix="`seatrial deploy groups show GROUP` names its hosts"
        )
    asking.start(place)
    order = f"x-{secrets.token_hex(6)}"
    try:
        answer = asking.give(place, order, command)
    except KeyboardInterrupt:
        asking.stop_order(place, order)
        raise
    for name, stream in (("stdout", sys.stdout), ("stderr", sys.stderr)):
        with asking.said(place, order, name).open("rb") as reading:
            shutil.copyfileobj(reading, stream.buffer)
        stream.flush()
    raise SystemExit(answer["code"] if answer["code"] >= 0 else 128 - answer["code"])


@groups.command("configurations", epilog="Example: seatrial deploy groups configurations")
@json_option
@directory_option
def list_configurations(as_json: bool) -> None:
    """List the predefined deployment configurations."""
    from seatrial.deployments import configurations, shown

    found = configurations.predefined()
    if as_json:
        print_json(list(found.values()))
        return
    rows = []
    for one in found.values():
        if one.minimum_healthy:
            what = f"{one.minimum_healthy.type} {one.minimum_healthy.value}"
        elif one.traffic:
            what = " ".join(
                f"{percent} % at {minute} min" for minute, percent in configurations.shifts(one.traffic)
            )
        rows.append((one.name, one.platform, what))
    sys.stdout.write(shown.table(rows))


def _print(home: Path, group: Group, *, as_json: bool) -> None:
    from seatrial.deployments import shown

    data = _data(home, group)
    if as_json:
        print_json(data)
        return
    sys.stdout.write(f"{group.label}  {group.configuration.name}\n")
    sys.stdout.write(f"rolls back on  {', '.join(group.rollback_on) or 'nothing'}\n")
    for alarm in group.alarms:
        where = "on hosts" if alarm.on_hosts else "here"
        sys.stdout.write(f"alarm          {alarm.name} {where}: {alarm.url or ' '.join(alarm.argv)}\n")
    sys.stdout.write(f"last good      {group.last_good or 'none'}\n")
    sys.stdout.write(
        shown.table(
            [
                (
                    host["name"],
                    "up" if host["up"] else "down",
                    host["health"],
                    host["revision"] or "-",
                    host["root"],
                )
                for host in data["hosts"]
            ]
        )
    )


def _data(home: Path, group: Group) -> dict[str, Any]:
    from seatrial.deployments.hosts import asking, model

    members = []
    for name in group.hosts:
        place, known = model.known(home, name), group.known.get(name)
        members.append(
            {
                "name": name,
                "root": place.root if place else None,
                "zone": place.zone if place else "",
                "isolation": place.isolation if place else None,
                "files": str(place.folder / "changes") if place and place.isolation == "namespaces" else None,
                "up": bool(place and asking.is_up(place)),
                "health": known.health if known else "unknown",
                "revision": known.revision if known else "",
            }
        )
    return {
        "application": group.application,
        "name": group.name,
        "id": group.id,
        "configuration": group.configuration,
        "rollback_on": group.rollback_on,
        "alarms": group.alarms,
        "last_good": group.last_good or None,
        "hosts": members,
    }
