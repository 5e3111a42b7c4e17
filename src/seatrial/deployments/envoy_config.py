"""Envoy's configuration for fixed slots, as plain values: the part that stays, and the files that it watches.

What changes while it runs lies in files of its own, which Envoy reads again when they are replaced: the instances
with their weights, those under test, those that get copies, and the routes. Weights are those of one round robin over
all instances, so the split is exact to one request; fractions of routes would be drawn by chance. A slot is a zone,
for Envoy counts answers by zone. Paths are relative: the process runs in the folder.
Source: Envoy's v3 API reference, https://www.envoyproxy.io/docs/envoy/latest/api-v3/api.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seatrial.deployments.envoy_listeners import listeners
from seatrial.deployments.envoy_terms import (
    COPIES,
    HOME,
    RECORDER,
    SHADOW,
    SLOTS,
    SOCKET,
    TESTED,
    TYPE,
    pipe,
    resource,
    seconds,
    watched,
    word,
)
from seatrial.deployments.proxy import MOST_WEIGHT
from seatrial.errors import SeatrialError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from seatrial.deployments.proxy import Options, Slot

_UNLIMITED = 1 << 20
_COPIES = 64
"""Copies in flight at once. Further ones are left out, so that a slow shadow costs no memory."""
_PATIENT = 0.1
"""Seconds between checks of an instance that is out, so that it is back soon after it is well."""


def bootstrap(port: int, slots: Sequence[str], options: Options) -> dict[str, Any]:
    """The part that stays: listeners, clusters, checks, and where the rest is read from.

    Raises:
        SeatrialError: something in it is not what Envoy can be given.
    """
    for name in slots:
        word(name, "slot name", r"[A-Za-z][A-Za-z0-9_-]{0,31}")
    word(options.health, "health path", r"/[A-Za-z0-9/_.~%-]*")
    word(options.sticky, "cookie name", r"[A-Za-z0-9_-]{0,64}")
    word(options.test_header, "header name", r"[A-Za-z0-9-]{0,64}")
    if not slots or len(set(slots)) != len(slots):
        raise SeatrialError(
            "a proxy needs at least one slot, and no two of one name", why=f"given: {list(slots)}"
        )
    return {
        "node": {"id": "seatrial", "cluster": "seatrial", "locality": {"zone": HOME}},
        "admin": {"address": pipe(SOCKET)},
        "stats_flush_interval": "1s",
        "overload_manager": {"resource_monitors": [_connections()]},
        "static_resources": {
            "listeners": listeners(port, options),
            "clusters": [
                {**_instances(SLOTS, options), "health_checks": [_health(options)]},
                _instances(TESTED, options),
                _instances(SHADOW, options),
                _sockets(COPIES, f"{COPIES}.sock", _COPIES),
                _sockets("recorder", RECORDER, 32),
            ],
        },
    }


def endpoints(cluster: str, slots: Iterable[Slot]) -> dict[str, Any]:
    """The file that says which instances a cluster has: with their weights, or equal for those tested or copied to.

    Envoy knows no weight 0. Such an instance is `DRAINING`: it is checked, finishes what it has and gets nothing. So
    every instance is in every cluster, and what is in flight is known until its slot is empty.
    """
    present = [slot for slot in slots if slot.port and slot.mode != "maint"]
    return resource(
        {
            "@type": TYPE + "config.endpoint.v3.ClusterLoadAssignment",
            "cluster_name": cluster,
            "endpoints": [_endpoint(slot, _weight(cluster, slot)) for slot in present],
        }
    )


def _weight(cluster: str, slot: Slot) -> int:
    if slot.mode != "ready":
        return 0
    return slot.weight if cluster == SLOTS else int(slot.tested if cluster == TESTED else slot.shadow)


def _endpoint(slot: Slot, weight: int) -> dict[str, Any]:
    if not 0 <= weight <= MOST_WEIGHT:
        raise SeatrialError(f"weight {weight} of slot {slot.name} is not within 0 and {MOST_WEIGHT}")
    host = word(slot.host, "address", r"[0-9a-fA-F.:]+")
    return {
        "locality": {"zone": word(slot.name, "slot name", r"[A-Za-z][A-Za-z0-9_-]{0,31}")},
        "lb_endpoints": [
            {
                "endpoint": {"address": {"socket_address": {"address": host, "port_value": slot.port}}},
                "health_status": "HEALTHY" if weight else "DRAINING",
                "load_balancing_weight": max(weight, 1),
                "metadata": {"filter_metadata": {"seatrial": {"slot": slot.name}}},
            }
        ],
    }


def _instances(name: str, options: Options) -> dict[str, Any]:
    return {
        **_cluster(name, options.connect_timeout, _UNLIMITED),
        "type": "EDS",
        "lb_policy": "ROUND_ROBIN",
        "eds_cluster_config": {"eds_config": watched(name)},
        "ignore_health_on_host_removal": True,
        # Without these, a change waits for up to a second, and sick instances get requests when few are well.
        "common_lb_config": {"update_merge_window": "0s", "healthy_panic_threshold": {"value": 0}},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": TYPE + "extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http_protocol_options": {}},
                # A kept connection that the instance closes just then would cost a request that must not be repeated.
                "common_http_protocol_options": {"max_requests_per_connection": 1},
            }
        },
    }


def _connections() -> dict[str, Any]:
    name = "envoy.resource_monitors.global_downstream_max_connections"
    kind = TYPE + "extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
    most = {"@type": kind, "max_active_downstream_connections": _UNLIMITED}
    return {"name": name, "typed_config": most}


def _sockets(name: str, path: str, most: int) -> dict[str, Any]:
    place = {"endpoint": {"address": pipe(path)}}
    return {
        **_cluster(name, 1.0, most),
        "type": "STATIC",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [place]}]},
    }


def _cluster(name: str, connect: float, most: int) -> dict[str, Any]:
    names = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
    limits = {"priority": "DEFAULT", **dict.fromkeys(names, most)}
    return {
        "name": name,
        "connect_timeout": seconds(connect),
        "circuit_breakers": {"thresholds": [limits]},
    }


def _health(options: Options) -> dict[str, Any]:
    usual = seconds(options.interval)
    return {
        "timeout": seconds(options.health_timeout),
        "interval": usual,
        "no_traffic_interval": usual,
        "unhealthy_interval": seconds(min(options.interval, _PATIENT)),
        "unhealthy_threshold": options.fall,
        "healthy_threshold": options.rise,
        # Any other answer counts as one miss; without this a single one would take the instance out.
        "http_health_check": {"path": options.health, "retriable_statuses": [{"start": 100, "end": 600}]},
    }
