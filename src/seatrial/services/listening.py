"""Where a service listens: ports that are its own, its load balancer, and what each slot of that should be."""

from __future__ import annotations

import importlib
import random
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec

from seatrial.deployments.proxy import Mirror, Options, Slot
from seatrial.errors import SeatrialError, UsageError
from seatrial.readiness import free_port
from seatrial.services import written
from seatrial.services.model import Listening, folder

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from seatrial.config import Service
    from seatrial.deployments.proxy import Driver
    from seatrial.services.model import Instance, Wanted

_DRIVERS = {"haproxy": "seatrial.deployments.haproxy", "envoy": "seatrial.deployments.envoy"}
_FIRST, _LAST = 20000, 65535
_TRIES = 200
_SPARE = 4
_LISTENS = "0A"


def driver(listening: Listening) -> Driver:
    """The load balancer's driver."""
    return cast("Driver", importlib.import_module(_DRIVERS[listening.driver]))


def place(folder: Path) -> Path:
    """The folder of a service's load balancer."""
    return folder / "proxy"


def settled(home: Path, name: str, service: Service) -> Listening:
    """Where a service that is not there yet shall listen.

    Call it with `ports_held`, so that nobody else is given the same ports.

    Raises:
        SeatrialError: a port that was asked for is taken; says by whom.
    """
    deploy = service.deploy
    for port in (deploy.port, deploy.test_port):
        if port:
            check_port(home, name, port)
    if deploy.port and deploy.port == deploy.test_port:
        raise UsageError(f"port {deploy.port} of service {name} cannot be its test port, too")
    fixed = [port for port in (deploy.port, deploy.test_port) if port]
    chosen = iter(choose_ports(home, 2 - len(fixed), fixed))
    bare = Listening(
        driver=deploy.driver,
        port=deploy.port or next(chosen),
        test_port=deploy.test_port or next(chosen),
        test_header=deploy.test_header,
        slots=(),
    )
    return adjusted(bare, service)


def adjusted(listening: Listening, service: Service) -> Listening:
    """The same place to listen with the settings of a service; slots only become more, for they may be taken."""
    deploy = service.deploy
    slots = listening.slots
    # The old version, the new one, and fresh instances of the old one to compare with.
    needed = 3 * service.replicas + _SPARE
    if len(slots) < needed and (not slots or listening.driver == "haproxy"):
        slots = tuple(f"s{number}" for number in range(1, needed + 1))
    return msgspec.structs.replace(
        listening,
        test_header=deploy.test_header,
        slots=slots,
        ping=service.ping.path,
        ping_timeout=service.ping.timeout,
        sticky=deploy.sticky,
        retry_posts=deploy.retry_posts,
        drain_timeout=deploy.drain_timeout,
        start_timeout=service.start_timeout,
        stop_timeout=service.stop_timeout,
    )


def options(listening: Listening) -> Options:
    """How the load balancer treats a service's traffic."""
    return Options(
        health=listening.ping,
        health_timeout=listening.ping_timeout,
        # The keeper knows of every end at once. Checks find what hangs, so they need not be hasty: an instance that is
        # alone keeps its requests waiting while it is started again, instead of having them refused.
        fall=3,
        retry_posts=listening.retry_posts,
        sticky=listening.sticky,
        drain_limit=listening.drain_timeout,
        test_port=listening.test_port,
        test_header=listening.test_header,
        access_log=True,
    )


def slots(wanted: Wanted, instances: Iterable[Instance], dead: Container[str] = ()) -> list[Slot]:
    """What each slot should be: as wished, draining what is wanted no more but still there, else empty.

    `dead` are the slots whose instances have ended and have not answered a check since.
    """
    leaving = {
        one.slot: Slot(name=one.slot, port=one.port, mode="drain")
        for one in instances
        if one.state == "draining"
    }
    wished = {} if wanted.down else {wish.slot: wish for wish in wanted.instances}
    found = []
    for name in wanted.listening.slots:
        wish = wished.get(name)
        if wish is None or (name in leaving and leaving[name].port != wish.port):
            found.append(leaving.get(name, Slot(name=name)))
            continue
        ready = wish.mode == "ready"
        found.append(
            Slot(
                name=name,
                port=wish.port,
                weight=wish.weight if ready else 0,
                mode=wish.mode,
                tested=ready and wish.revision == wanted.tested,
                shadow=ready and wish.revision == wanted.shadow,
                dead=name in dead,
            )
        )
    return found


def mirror(wanted: Wanted) -> Mirror:
    """Which requests are copied."""
    share = wanted.shadow_share if wanted.shadow else 0.0
    return Mirror(share=share, methods=wanted.shadow_methods)


def ports_held(home: Path) -> Path:
    """The lock that is held from choosing ports until they are written down."""
    services = home / "services"
    services.mkdir(mode=0o700, parents=True, exist_ok=True)
    return services / ".ports.lock"


def choose_ports(home: Path, count: int, taken: Iterable[int] = ()) -> list[int]:
    """Ports on 127.0.0.1 that nobody has and no service keeps for itself.

    They are outside of the range from which the kernel takes ports for outgoing connections: between an instance's
    end and its next start, one of those would otherwise take its port away.
    """
    reserved = {*taken, *_reserved(home)}
    low, high = _ephemeral()
    possible = [port for port in range(_FIRST, _LAST + 1) if not low <= port <= high]
    found: list[int] = []
    for _ in range(_TRIES if len(possible) > _TRIES else 0):
        if len(found) == count:
            break
        port = random.choice(possible)  # noqa: S311 - no secret
        if port not in reserved and is_free(port):
            reserved.add(port)
            found.append(port)
    while len(found) < count:
        port = free_port()
        if port not in reserved:
            reserved.add(port)
            found.append(port)
    return found


def check_port(home: Path, name: str, port: int) -> None:
    """Say who has a port that a service was to have.

    Raises:
        SeatrialError: it is taken.
    """
    reserved = _reserved(home)
    if reserved.get(port, name) != name:
        raise SeatrialError(
            f"port {port} of service {name} is that of service {reserved[port]}",
            fix="choose another one, or 0 for any",
        )
    if not is_free(port):
        raise SeatrialError(
            f"port {port} on 127.0.0.1 is taken",
            why=f"{owner(port)} listens on it",
            fix="end that, or choose another port (0 for any)",
        )


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def owner(port: int) -> str:
    """Who listens on a port of this machine, as far as we may see."""
    sockets = _listening(port)
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        with suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                with suppress(OSError):
                    if str(descriptor.readlink()) in sockets:
                        name = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
                        return f"{name} (process {process.name})"
    return "another user's process" if sockets else "somebody"


def _listening(port: int) -> set[str]:
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENS and int(fields[1].rpartition(":")[2], 16) == port:
                    found.add(f"socket:[{fields[9]}]")
    return found


def _ephemeral() -> tuple[int, int]:
    try:
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii")
    except OSError:
        return 32768, 60999
    low, high = text.split()
    return int(low), int(high)


def _reserved(home: Path) -> Mapping[int, str]:
    found: dict[int, str] = {}
    for name in written.names(home):
        wanted = written.read_wanted(folder(home, name))
        if wanted is not None:
            listening = wanted.listening
            every = (listening.port, listening.test_port, *(one.port for one in wanted.instances))
            found |= dict.fromkeys(every, name)
    return found
