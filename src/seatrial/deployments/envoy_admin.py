"""Questions to a running Envoy by its administration socket, and reading what it answers."""

from __future__ import annotations

import http.client
import os
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from seatrial.deployments.envoy_checks import FAILED
from seatrial.deployments.envoy_terms import HOME, SHADOW, SLOTS, SOCKET, TESTED
from seatrial.deployments.proxy import ProxyStatus, Slot, SlotStatus
from seatrial.errors import SeatrialError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from seatrial.deployments.proxy import Options


def ask(folder: Path, path: str, *, method: str = "GET", timeout: float = 5.0) -> bytes:
    """Ask the administration socket in `folder`; the answer's body, also when it says that Envoy is not ready yet.

    Raises:
        SeatrialError: nothing answers on the socket.
    """
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    connection = http.client.HTTPConnection("envoy", timeout=timeout)
    try:
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(timeout)
        # Through the folder's descriptor the path is short however deep the folder lies.
        connection.sock.connect(f"/proc/self/fd/{descriptor}/{SOCKET}")
        connection.request(method, quote(path, safe="/?=&"))
        return connection.getresponse().read()
    except (OSError, http.client.HTTPException) as error:
        raise SeatrialError(
            "the load balancer does not answer",
            where=str(folder / SOCKET),
            why=getattr(error, "strerror", None) or str(error) or type(error).__name__,
            fix="start it again; slots and weights are replayed",
        ) from error
    finally:
        connection.close()
        os.close(descriptor)


def read_status(
    names: Sequence[str], filled: Mapping[str, Slot], options: Options, clusters: bytes, stats: bytes
) -> ProxyStatus:
    """Put together what `/clusters` says of the instances and `/stats` counted by zone.

    Envoy does not count retries by slot: `errors`, `retries` and `redispatches` are what the present instance failed
    to answer without a client's being told so. `response_ms` is the median of the last second with requests.
    """
    hosts = {
        cluster["name"]: {host["locality"].get("zone", ""): host for host in cluster.get("host_statuses", ())}
        for cluster in msgspec.json.decode(clusters)["cluster_statuses"]
    }
    counters, medians = _counters(msgspec.json.decode(stats)["stats"])
    slots = {
        name: _slot_status(name, filled.get(name, Slot(name=name)), options, hosts, counters, medians)
        for name in names
    }
    front = "http.traffic.downstream_rq_"
    return ProxyStatus(
        slots=slots,
        requests=counters.get(f"{front}completed", 0),
        ok=counters.get(f"{front}2xx", 0),
        failed=counters.get(f"{front}5xx", 0),
    )


def _counters(stats: list[dict[str, Any]]) -> tuple[dict[str, int], dict[str, float]]:
    """Values by name, and the median of each histogram by name."""
    counters = {one["name"]: one.get("value", 0) for one in stats if "name" in one}
    medians: dict[str, float] = {}
    for found in (one["histograms"] for one in stats if "histograms" in one):
        middle = found["supported_quantiles"].index(50.0)
        for one in found["computed_quantiles"]:
            last, ever = one["values"][middle].values()
            medians[one["name"]] = last if last is not None else ever or 0.0
    return counters, medians


def _slot_status(
    name: str,
    slot: Slot,
    options: Options,
    hosts: dict[str, dict[str, Any]],
    counters: dict[str, int],
    medians: dict[str, float],
) -> SlotStatus:
    host = hosts.get(SLOTS, {}).get(name)
    others = [hosts.get(cluster, {}).get(name) for cluster in (TESTED, SHADOW)]
    zone = f"cluster.{SLOTS}.zone.{HOME}.{name}.upstream_rq"
    seen = _numbers(host)
    healthy, said = _health(host)
    present = slot.mode if host else "maint"
    failed = counters.get(f"{zone}_5xx", 0)
    lost = max(0, seen.get("rq_error", 0) - failed) + seen.get("cx_connect_fail", 0)
    return SlotStatus(
        name=name,
        host=slot.host if host else "127.0.0.1",
        port=slot.port if host else 1,
        weight=_weight(host, slot),
        mode=present,
        healthy=healthy,
        up=healthy and present == "ready",
        check=said,
        queue=sum(_numbers(one).get("rq_pending_active", 0) for one in (host, *others)),
        sessions=sum(_numbers(one).get("rq_active", 0) for one in (host, *others)),
        requests=counters.get(f"{zone}_completed", 0),
        ok=counters.get(f"{zone}_2xx", 0),
        client_errors=counters.get(f"{zone}_4xx", 0),
        failed=failed,
        errors=lost,
        retries=lost,
        redispatches=lost,
        response_ms=round(medians.get(f"{zone}_time", 0)),
        testable=bool(options.test_port),
        tested=_weight(others[0], Slot(name=name)) > 0,
    )


def _weight(host: dict[str, Any] | None, slot: Slot) -> int:
    if host is None:
        return 0
    if host["health_status"].get("eds_health_status") == "DRAINING":
        return slot.weight if slot.mode == "drain" else 0
    return int(host["weight"])


def _health(host: dict[str, Any] | None) -> tuple[bool, str]:
    if host is None:
        return False, ""
    flags = host["health_status"]
    if flags.get("pending_active_hc"):
        return False, "not checked yet"
    if flags.get("failed_active_health_check"):
        return False, FAILED
    return True, "passed"


def _numbers(host: dict[str, Any] | None) -> dict[str, int]:
    return {one["name"]: int(one.get("value", 0)) for one in host["stats"]} if host else {}
