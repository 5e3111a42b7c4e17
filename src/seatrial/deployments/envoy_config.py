"""Envoy's configuration for fixed slots, as plain values: the part that stays, and the files that it watches.

What changes while it runs lies in files of its own, which Envoy reads again when they are replaced: the instances
with their weights, those under test, those that get copies, and the routes. Weights are those of one round robin over
all instances, so the split is exact to one request; fractions of routes would be drawn by chance. A slot is a zone,
for Envoy counts answers by zone. Paths are relative: the process runs in the folder.
Source: Envoy's v3 API reference, https://www.envoyproxy.io/docs/envoy/latest/api-v3/api.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seatrial.deployments.proxy import MOST_WEIGHT, Mirror, Options, Slot
from seatrial.errors import SeatrialError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CONFIG = "envoy.json"
SOCKET = "control.sock"
RECORDER = "recorder.sock"
"""Where answers of both versions are sent to be compared; see `deployments.observing.shadow`."""
SLOTS, TESTED, SHADOW, ROUTES = "slots", "tested", "shadow", "routes"
HOME = "proxy"
"""The zone of Envoy itself; without one it counts nothing by zone."""
COPY_HEADER = "x-seatrial-copy"
LOG = (
    '[%EMIT_TIME(%s%6f)%,"%UPSTREAM_METADATA(seatrial:slot)%","%UPSTREAM_REMOTE_PORT%",%RESPONSE_CODE%,'
    '"%COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)%","%REQ(:METHOD)%","%CEL(upstream.request_attempt_count - 1u)%",'
    '"%RESPONSE_FLAGS%"]\n'
)

_TYPE = "type.googleapis.com/envoy."
_FILTERS = _TYPE + "extensions.filters.http."
_SAFE = ("GET", "HEAD", "OPTIONS")
_LARGEST_BODY = 8 << 20
"""Bytes of a request that can be sent again or copied: more than the 6 MB that SageMaker allows."""
_UNLIMITED = 1 << 20
_COPIES = 64
"""Copies in flight at once. Further ones are left out, so that a slow shadow costs no memory."""
COPIES_PER_SECOND = 100
"""Of each thread. A copy costs Envoy about four times what a request does, which must not be taken from clients."""
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
    listeners = [_listener("traffic", _port(port), _traffic(options))]
    if options.test_port:
        listeners.append(_listener("test", _port(options.test_port), _test(options)))
    listeners.append(_listener("copies", _pipe("copies.sock"), _copies(options)))
    return {
        "node": {"id": "seatrial", "cluster": "seatrial", "locality": {"zone": HOME}},
        "admin": {"address": _pipe(SOCKET)},
        "stats_flush_interval": "1s",
        "overload_manager": {"resource_monitors": [_connections()]},
        "static_resources": {
            "listeners": listeners,
            "clusters": [
                {**_instances(SLOTS, options), "health_checks": [_health(options)]},
                _instances(TESTED, options),
                _instances(SHADOW, options),
                _sockets("copies", "copies.sock", _COPIES),
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
    return _resource(
        {
            "@type": _TYPE + "config.endpoint.v3.ClusterLoadAssignment",
            "cluster_name": cluster,
            "endpoints": [_endpoint(slot, _weight(cluster, slot)) for slot in present],
        }
    )


def routes(options: Options, mirror: Mirror | None) -> dict[str, Any]:
    """The file that says where requests of the usual port go, and which of them are copied on the way."""
    found: list[dict[str, Any]] = []
    if options.test_port and options.test_header:
        header = {"name": options.test_header, "present_match": True}
        found.append({**_route(TESTED, options, [header]), "name": TESTED})
        found[0]["request_headers_to_remove"] = [options.test_header]
        if options.sticky:
            # A tester's cookie must not bring later requests to the new version.
            found[0]["typed_per_filter_config"] = {
                "sticky": {
                    "@type": _FILTERS + "stateful_session.v3.StatefulSessionPerRoute",
                    "disabled": True,
                }
            }
    found += _copying(options, mirror) if mirror and mirror.share else []
    found.append(_route(SLOTS, options, [_methods(_SAFE)], safe=True))
    found.append(_route(SLOTS, options, [], safe=False))
    return _resource({"@type": _TYPE + "config.route.v3.RouteConfiguration", **_routing(ROUTES, found)})


def word(text: str, what: str, pattern: str) -> str:
    """The same text, when it is what Envoy can be given."""
    if not re.fullmatch(pattern, text):
        raise SeatrialError(f"{text[:80]!r} is not a {what} that Envoy can be given")
    return text


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


def _resource(resource: dict[str, Any]) -> dict[str, Any]:
    return {"resources": [resource]}


def _route(
    cluster: str, options: Options, headers: list[dict[str, Any]], *, safe: bool = False
) -> dict[str, Any]:
    # What was refused at the door cannot have had an effect, so it may always be sent again.
    causes = "connect-failure,refused-stream,reset-before-request"
    return {
        "match": {"prefix": "/", "headers": headers},
        "route": {
            "cluster": cluster,
            "timeout": _seconds(options.response_timeout),
            "retry_policy": {
                "retry_on": causes + (",reset" if safe or options.retry_posts else ""),
                # Together some seconds: an instance that is alone and has just ended is often back by then.
                "num_retries": 7,
                "retry_back_off": {"base_interval": "0.02s", "max_interval": "2.5s"},
                "retry_host_predicate": [
                    {
                        "name": "elsewhere",
                        "typed_config": {
                            "@type": _TYPE + "extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
                        },
                    }
                ],
                # With 99 % at a dead instance it takes a hundred picks to meet another.
                "host_selection_retry_max_attempts": 2 * MOST_WEIGHT,
            },
        },
    }


def _copying(options: Options, mirror: Mirror) -> list[dict[str, Any]]:
    """Routes for requests that are copied, and before them for the share of those that may be.

    Of these a program in Envoy takes no more than it may per second: it marks a request, which then finds the first
    route. What is left finds the usual ones.
    """
    marked = {"name": COPY_HEADER, "present_match": True}
    # What becomes a conversation has no answer that could be compared.
    plain = {"name": "upgrade", "present_match": True, "invert_match": True}
    told = {"answers": {"@type": _FILTERS + "lua.v3.LuaPerRoute", "name": "client"}}
    policy = {
        "cluster": "copies",
        "disable_shadow_host_suffix_append": True,
        "request_headers_mutations": [
            _set(COPY_HEADER, "%DYNAMIC_METADATA(seatrial:id)%"),
            _set(f"{COPY_HEADER}-for", "%REQ(X-FORWARDED-FOR)%"),
        ],
    }
    fraction = {"default_value": {"numerator": round(mirror.share * 10_000), "denominator": "MILLION"}}
    copied, asked = [], []
    for safe in (True, False):
        names = [name for name in mirror.methods if (name in _SAFE) is safe]
        if not names:
            continue
        headers = [_methods(names), plain]
        one = {**_route(SLOTS, options, [marked, *headers], safe=safe), "typed_per_filter_config": told}
        one["route"]["request_mirror_policies"] = [policy]
        copied.append({**one, "request_headers_to_remove": [COPY_HEADER]})
        other = {**_route(SLOTS, options, headers, safe=safe), "typed_per_filter_config": told}
        other["match"]["runtime_fraction"] = fraction
        asked.append(other)
    return [*copied, *asked]


def _set(header: str, value: str) -> dict[str, Any]:
    action = "OVERWRITE_IF_EXISTS_OR_ADD"
    return {"append": {"header": {"key": header, "value": value}, "append_action": action}}


def _methods(names: Iterable[str]) -> dict[str, Any]:
    allowed = "|".join(word(name, "method", r"[A-Z]{1,20}") for name in names)
    return {"name": ":method", "string_match": {"safe_regex": {"regex": allowed}}}


def _routing(name: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    host = {
        "name": "all",
        "domains": ["*"],
        "request_body_buffer_limit": _LARGEST_BODY,
        "routes": found,
    }
    return {"name": name, "virtual_hosts": [host]}


def _listener(name: str, address: dict[str, Any], connection: dict[str, Any]) -> dict[str, Any]:
    kind = _TYPE + "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    chain = {
        "filters": [
            {"name": "http", "typed_config": {"@type": kind, "stat_prefix": name, **_like(), **connection}}
        ]
    }
    # Sharing a port with somebody else's process would take a part of the requests away, unnoticed.
    return {"name": name, "address": address, "enable_reuse_port": False, "filter_chains": [chain]}


def _like() -> dict[str, Any]:
    """Requests and answers go through as they are."""
    return {
        "generate_request_id": False,
        "skip_xff_append": True,
        "server_header_transformation": "PASS_THROUGH",
        "normalize_path": False,
        "http_protocol_options": {"accept_http_10": True, "default_host_for_http_10": "localhost"},
        "upgrade_configs": [{"upgrade_type": "websocket"}],
    }


def _traffic(options: Options) -> dict[str, Any]:
    lua = {
        "@type": _FILTERS + "lua.v3.Lua",
        "source_codes": {"client": {"inline_string": script("client")}},
    }
    filters = [{"name": "answers", "disabled": True, "typed_config": lua}]
    if options.sticky:
        filters.append(_sticky(options.sticky))
    return {
        **_times(options),
        "rds": {"route_config_name": ROUTES, "config_source": _file(ROUTES)},
        "access_log": [_access_log()] if options.access_log else [],
        "http_filters": [*filters, _router()],
    }


def _test(options: Options) -> dict[str, Any]:
    return {
        **_times(options),
        "route_config": _routing("test", [_route(TESTED, options, [])]),
        "http_filters": [_router()],
    }


def _copies(options: Options) -> dict[str, Any]:
    """The way to the shadow: of Envoy's own, so that both versions' answers are timed and told in the same way."""
    route = _route(SHADOW, options, [])
    del route["route"]["retry_policy"]  # a shadow that has died is what is to be seen
    lua = {
        "@type": _FILTERS + "lua.v3.Lua",
        "default_source_code": {"inline_string": script("shadow")},
    }
    return {
        **_times(options),
        "route_config": _routing("copies", [route]),
        "http_filters": [{"name": "answers", "typed_config": lua}, _router()],
    }


def script(side: str) -> str:
    """The Lua program that tells what the client, or the shadow, was answered."""
    known = f"local SIDE, PER_SECOND = '{side}', {COPIES_PER_SECOND}\n"
    return known + Path(__file__).with_name("envoy_answers.lua").read_text()


def _times(options: Options) -> dict[str, Any]:
    return {
        "stream_idle_timeout": _seconds(options.response_timeout),
        "common_http_protocol_options": {"idle_timeout": "60s"},
    }


def _sticky(name: str) -> dict[str, Any]:
    state = {
        "name": "envoy.http.stateful_session.cookie",
        "typed_config": {
            "@type": _TYPE + "extensions.http.stateful_session.cookie.v3.CookieBasedSessionState",
            "cookie": {"name": name, "path": "/"},
        },
    }
    kind = _FILTERS + "stateful_session.v3.StatefulSession"
    return {"name": "sticky", "typed_config": {"@type": kind, "session_state": state}}


def _router() -> dict[str, Any]:
    return {
        "name": "router",
        "typed_config": {"@type": _FILTERS + "router.v3.Router", "suppress_envoy_headers": True},
    }


def _access_log() -> dict[str, Any]:
    only = {
        "@type": _TYPE + "extensions.access_loggers.filters.cel.v3.ExpressionFilter",
        "expression": f"xds.route_name != '{TESTED}'",
    }
    return {
        "name": "requests",
        "filter": {"extension_filter": {"name": "usual", "typed_config": only}},
        "typed_config": {
            "@type": _TYPE + "extensions.access_loggers.stream.v3.StdoutAccessLog",
            "log_format": {"text_format_source": {"inline_string": LOG}},
        },
    }


def _instances(name: str, options: Options) -> dict[str, Any]:
    return {
        **_cluster(name, options.connect_timeout, _UNLIMITED),
        "type": "EDS",
        "lb_policy": "ROUND_ROBIN",
        "eds_cluster_config": {"eds_config": _file(name)},
        "ignore_health_on_host_removal": True,
        # Without these, a change waits for up to a second, and sick instances get requests when few are well.
        "common_lb_config": {"update_merge_window": "0s", "healthy_panic_threshold": {"value": 0}},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": _TYPE + "extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http_protocol_options": {}},
                # A kept connection that the instance closes just then would cost a request that must not be repeated.
                "common_http_protocol_options": {"max_requests_per_connection": 1},
            }
        },
    }


def _connections() -> dict[str, Any]:
    name = "envoy.resource_monitors.global_downstream_max_connections"
    kind = _TYPE + "extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
    most = {"@type": kind, "max_active_downstream_connections": _UNLIMITED}
    return {"name": name, "typed_config": most}


def _sockets(name: str, path: str, most: int) -> dict[str, Any]:
    place = {"endpoint": {"address": _pipe(path)}}
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
        "connect_timeout": _seconds(connect),
        "circuit_breakers": {"thresholds": [limits]},
    }


def _health(options: Options) -> dict[str, Any]:
    usual = _seconds(options.interval)
    return {
        "timeout": _seconds(options.health_timeout),
        "interval": usual,
        "no_traffic_interval": usual,
        "unhealthy_interval": _seconds(min(options.interval, _PATIENT)),
        "unhealthy_threshold": options.fall,
        "healthy_threshold": options.rise,
        # Any other answer counts as one miss; without this a single one would take the instance out.
        "http_health_check": {"path": options.health, "retriable_statuses": [{"start": 100, "end": 600}]},
    }


def _file(name: str) -> dict[str, Any]:
    return {"path_config_source": {"path": f"./{name}.json"}, "resource_api_version": "V3"}


def _port(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _pipe(path: str) -> dict[str, Any]:
    return {"pipe": {"path": path, "mode": 0o600}}


def _seconds(value: float) -> str:
    return f"{max(0.001, value):.3f}s"
