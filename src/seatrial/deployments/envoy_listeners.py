"""Envoy's listeners: the usual port, the one for tests, and the socket by which copies reach the new version."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from seatrial.deployments.envoy_routes import route, routing
from seatrial.deployments.envoy_terms import (
    COPIES,
    FILTERS,
    ROUTES,
    SHADOW,
    TESTED,
    TYPE,
    pipe,
    seconds,
    watched,
)

if TYPE_CHECKING:
    from seatrial.deployments.proxy import Options

LOG = (
    '[%EMIT_TIME(%s%6f)%,"%UPSTREAM_METADATA(seatrial:slot)%","%UPSTREAM_REMOTE_PORT%",%RESPONSE_CODE%,'
    '"%COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)%","%REQ(:METHOD)%","%CEL(upstream.request_attempt_count - 1u)%",'
    '"%RESPONSE_FLAGS%"]\n'
)
"""The line that `deployments.observing.log` reads."""
COPIES_PER_SECOND = 100
"""Of each thread. A copy costs Envoy about four times what a request does, which must not be taken from clients."""


def listeners(port: int, options: Options) -> list[dict[str, Any]]:
    """All listeners; without a test port there is none for tests."""
    found = [_listener("traffic", _address(port), _traffic(options))]
    if options.test_port:
        found.append(_listener("test", _address(options.test_port), _test(options)))
    return [*found, _listener(COPIES, pipe(f"{COPIES}.sock"), _copies(options))]


def _listener(name: str, address: dict[str, Any], connection: dict[str, Any]) -> dict[str, Any]:
    kind = TYPE + "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
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
        "@type": FILTERS + "lua.v3.Lua",
        "source_codes": {"client": {"inline_string": _script("client")}},
    }
    filters = [{"name": "answers", "disabled": True, "typed_config": lua}]
    if options.sticky:
        filters.append(_sticky(options.sticky))
    return {
        **_times(options),
        "rds": {"route_config_name": ROUTES, "config_source": watched(ROUTES)},
        "access_log": [_access_log()] if options.access_log else [],
        "http_filters": [*filters, _router()],
    }


def _test(options: Options) -> dict[str, Any]:
    return {
        **_times(options),
        "route_config": routing("test", [route(TESTED, options, [])]),
        "http_filters": [_router()],
    }


def _copies(options: Options) -> dict[str, Any]:
    """The way to the shadow: of Envoy's own, so that both versions' answers are timed and told in the same way."""
    way = route(SHADOW, options, [])
    del way["route"]["retry_policy"]  # a shadow that has died is what is to be seen
    lua = {
        "@type": FILTERS + "lua.v3.Lua",
        "default_source_code": {"inline_string": _script("shadow")},
    }
    return {
        **_times(options),
        "route_config": routing(COPIES, [way]),
        "http_filters": [{"name": "answers", "typed_config": lua}, _router()],
    }


def _script(side: str) -> str:
    """The Lua program that tells what the client, or the shadow, was answered."""
    known = f"local SIDE, PER_SECOND = '{side}', {COPIES_PER_SECOND}\n"
    return known + Path(__file__).with_name("envoy_answers.lua").read_text()


def _times(options: Options) -> dict[str, Any]:
    return {
        "stream_idle_timeout": seconds(options.response_timeout),
        "common_http_protocol_options": {"idle_timeout": "60s"},
    }


def _sticky(name: str) -> dict[str, Any]:
    state = {
        "name": "envoy.http.stateful_session.cookie",
        "typed_config": {
            "@type": TYPE + "extensions.http.stateful_session.cookie.v3.CookieBasedSessionState",
            "cookie": {"name": name, "path": "/"},
        },
    }
    kind = FILTERS + "stateful_session.v3.StatefulSession"
    return {"name": "sticky", "typed_config": {"@type": kind, "session_state": state}}


def _router() -> dict[str, Any]:
    return {
        "name": "router",
        "typed_config": {"@type": FILTERS + "router.v3.Router", "suppress_envoy_headers": True},
    }


def _access_log() -> dict[str, Any]:
    only = {
        "@type": TYPE + "extensions.access_loggers.filters.cel.v3.ExpressionFilter",
        "expression": f"xds.route_name != '{TESTED}'",
    }
    return {
        "name": "requests",
        "filter": {"extension_filter": {"name": "usual", "typed_config": only}},
        "typed_config": {
            "@type": TYPE + "extensions.access_loggers.stream.v3.StdoutAccessLog",
            "log_format": {"text_format_source": {"inline_string": LOG}},
        },
    }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
