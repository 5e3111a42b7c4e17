"""Envoy's routes: where requests go, how often they are sent again, and which of them are copied on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seatrial.deployments.envoy_terms import (
    COPIES,
    COPY_HEADER,
    FILTERS,
    ROUTES,
    SLOTS,
    TESTED,
    TYPE,
    resource,
    seconds,
    word,
)
from seatrial.deployments.proxy import MOST_WEIGHT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from seatrial.deployments.proxy import Mirror, Options

_SAFE = ("GET", "HEAD", "OPTIONS")
_LARGEST_BODY = 8 << 20
"""Bytes of a request that can be sent again or copied: more than the 6 MB that SageMaker allows."""


def routes(options: Options, mirror: Mirror | None) -> dict[str, Any]:
    """The file that says where requests of the usual port go, and which of them are copied on the way."""
    found: list[dict[str, Any]] = []
    if options.test_port and options.test_header:
        header = {"name": options.test_header, "present_match": True}
        found.append({**route(TESTED, options, [header]), "name": TESTED})
        found[0]["request_headers_to_remove"] = [options.test_header]
        if options.sticky:
            # A tester's cookie must not bring later requests to the new version.
            found[0]["typed_per_filter_config"] = {
                "sticky": {
                    "@type": FILTERS + "stateful_session.v3.StatefulSessionPerRoute",
                    "disabled": True,
                }
            }
    found += _copying(options, mirror) if mirror and mirror.share else []
    found.append(route(SLOTS, options, [_methods(_SAFE)], safe=True))
    found.append(route(SLOTS, options, [], safe=False))
    return resource({"@type": TYPE + "config.route.v3.RouteConfiguration", **routing(ROUTES, found)})


def route(
    cluster: str, options: Options, headers: list[dict[str, Any]], *, safe: bool = False
) -> dict[str, Any]:
    """Requests with the headers go to a cluster; `safe` ones are sent again even when their instance had them."""
    # What was refused at the door cannot have had an effect, so it may always be sent again.
    causes = "connect-failure,refused-stream,reset-before-request"
    return {
        "match": {"prefix": "/", "headers": headers},
        "route": {
            "cluster": cluster,
            "timeout": seconds(options.response_timeout),
            "retry_policy": {
                "retry_on": causes + (",reset" if safe or options.retry_posts else ""),
                # Together some seconds: an instance that is alone and has just ended is often back by then.
                "num_retries": 7,
                "retry_back_off": {"base_interval": "0.02s", "max_interval": "2.5s"},
                "retry_host_predicate": [
                    {
                        "name": "elsewhere",
                        "typed_config": {
                            "@type": TYPE + "extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
                        },
                    }
                ],
                # With 99 % at a dead instance it takes a hundred picks to meet another.
                "host_selection_retry_max_attempts": 2 * MOST_WEIGHT,
            },
        },
    }


def routing(name: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    """Routes by name, for requests to any host."""
    host = {
        "name": "all",
        "domains": ["*"],
        "request_body_buffer_limit": _LARGEST_BODY,
        "routes": found,
    }
    return {"name": name, "virtual_hosts": [host]}


def _copying(options: Options, mirror: Mirror) -> list[dict[str, Any]]:
    """Routes for requests that are copied, and before them for the share of those that may be.

    Of these a program in Envoy takes no more than it may per second: it marks a request, which then finds the first
    route. What is left finds the usual ones.
    """
    marked = {"name": COPY_HEADER, "present_match": True}
    # What becomes a conversation has no answer that could be compared.
    plain = {"name": "upgrade", "present_match": True, "invert_match": True}
    told = {"answers": {"@type": FILTERS + "lua.v3.LuaPerRoute", "name": "client"}}
    policy = {
        "cluster": COPIES,
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
        one = {**route(SLOTS, options, [marked, *headers], safe=safe), "typed_per_filter_config": told}
        one["route"]["request_mirror_policies"] = [policy]
        copied.append({**one, "request_headers_to_remove": [COPY_HEADER]})
        other = {**route(SLOTS, options, headers, safe=safe), "typed_per_filter_config": told}
        other["match"]["runtime_fraction"] = fraction
        asked.append(other)
    return [*copied, *asked]


def _set(header: str, value: str) -> dict[str, Any]:
    action = "OVERWRITE_IF_EXISTS_OR_ADD"
    return {"append": {"header": {"key": header, "value": value}, "append_action": action}}


def _methods(names: Iterable[str]) -> dict[str, Any]:
    allowed = "|".join(word(name, "method", r"[A-Z]{1,20}") for name in names)
    return {"name": ":method", "string_match": {"safe_regex": {"regex": allowed}}}
