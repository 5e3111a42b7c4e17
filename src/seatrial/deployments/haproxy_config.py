"""HAProxy's configuration for fixed slots: the usual listener, the test listener and the access log."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.deployments.observing.log import BEGAN, FORMAT
from seatrial.deployments.proxy import Options, Slot
from seatrial.errors import SeatrialError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

BACKEND = "slots"
TESTED = "tested"
FRONTEND = "traffic"
TEST = "test"
CONFIG = "haproxy.cfg"
SOCKET = "control.sock"
_PATIENT = 0.1
"""Seconds between checks of a slot that is out, so that it is back soon after it is well."""


def config(
    port: int, slots: Sequence[str], *, options: Options | None = None, filled: Iterable[Slot] = ()
) -> str:
    """The configuration: a listener on 127.0.0.1:`port` and one server line per slot name.

    Slots that are not `filled` are disabled until they are by a run-time command.

    Raises:
        SeatrialError: a slot name or the health path would change the meaning of the file.
    """
    chosen = options or Options()
    for name in slots:
        word(name, "slot name", r"[A-Za-z][A-Za-z0-9_-]{0,31}")
    word(chosen.health, "health path", r"/[A-Za-z0-9/_.~%-]*")
    word(chosen.sticky, "cookie name", r"[A-Za-z0-9_-]{0,64}")
    word(chosen.test_header, "header name", r"[A-Za-z0-9-]{0,64}")
    if not slots or len(set(slots)) != len(slots):
        raise SeatrialError(
            "a proxy needs at least one slot, and no two of one name", why=f"given: {list(slots)}"
        )
    known = {slot.name: slot for slot in filled if slot.port and slot.mode != "maint"}
    return (
        "\n".join(
            [
                *_globals(chosen),
                *_frontend(port, chosen),
                *(_test_frontend(chosen) if chosen.test_port else []),
                *_backend(slots, chosen, known),
                *(_tested_backend(slots, known) if chosen.test_port else []),
            ]
        )
        + "\n"
    )


def _globals(options: Options) -> list[str]:
    return [
        "global",
        "  log stderr format raw local0 notice",
        f"  stats socket unix@{SOCKET} mode 600 level admin expose-fd listeners",
        "  stats timeout 10s",
        f"  hard-stop-after {_ms(options.drain_limit)}",
        # With several threads, 2.6 drops the line of a request that ends while another thread writes one (DroppedLogs
        # of `show info`). One thread carries some ten thousand requests a second.
        *(["  nbthread 1"] if options.access_log else []),
        "",
        "defaults",
        "  mode http",
        "  log global",
        f"  timeout connect {_ms(options.connect_timeout)}",
        f"  timeout client {_ms(options.response_timeout)}",
        f"  timeout server {_ms(options.response_timeout)}",
        # Without it an answer may take no longer than the interval, and a busy moment looks like a death.
        f"  timeout check {_ms(options.health_timeout)}",
        f"  timeout queue {_ms(options.queue_timeout)}",
        "  timeout http-keep-alive 60s",
        "  option dontlog-normal",
        "  option redispatch 1",
        # Several instances may have ended at once, and each try may meet another one. One that is alone is tried again
        # after a second, when it is often back. No more, since a GET that ends its instance meets as many.
        "  retries 5",
        "  retry-on conn-failure empty-response",
        # A kept connection that the back end closes just then would cost a request that must not be repeated.
        "  option http-server-close",
        # When another process takes over, an idle client is told with its next answer, and never meets a closed connection.
        "  option idle-close-on-response",
        "  http-reuse never",
        "",
    ]


def _frontend(port: int, options: Options) -> list[str]:
    lines = [f"frontend {FRONTEND}", f"  bind 127.0.0.1:{port}"]
    if options.access_log:
        lines += [
            f"  {BEGAN}",
            "  no log",
            "  log stdout format raw local1 info",
            "  no option dontlog-normal",
            f"  log-format {_quoted(FORMAT)}",
        ]
    lines += _retrying(options)
    if options.test_port and options.test_header:
        lines += [
            f"  acl for_test req.hdr({options.test_header}) -m found",
            "  http-request set-log-level silent if for_test",
            f"  use_backend {TESTED} if for_test",
        ]
    return [*lines, f"  default_backend {BACKEND}", ""]


def _test_frontend(options: Options) -> list[str]:
    bind = f"  bind 127.0.0.1:{options.test_port}"
    return [f"frontend {TEST}", bind, *_retrying(options), f"  default_backend {TESTED}", ""]


def _retrying(options: Options) -> list[str]:
    if options.retry_posts:
        return ["  option http-buffer-request"]  # a body can only be sent again when it is still there
    return ["  http-request disable-l7-retry unless { method GET HEAD OPTIONS }"]


def _backend(slots: Sequence[str], options: Options, filled: dict[str, Slot]) -> list[str]:
    lines = [
        f"backend {BACKEND}",
        "  balance roundrobin",
        "  option httpchk",
        f"  http-check send meth GET uri {options.health}",
        "  http-check expect status 200",
    ]
    if options.sticky:
        lines.append(f"  cookie {options.sticky} insert indirect nocache")
        # A cookie beats a weight: without it a version that lost its traffic would keep its clients.
        lines += [
            f"  ignore-persist if {{ req.cook({options.sticky}) -m str {name} }} {{ srv_uweight({BACKEND}/{name}) eq 0 }}"
            for name in slots
        ]
    for name in slots:
        cookie = f" cookie {name}" if options.sticky else ""
        lines.append(
            f"  server {name} {_place(filled.get(name))} check inter {_ms(options.interval)} "
            f"downinter {_ms(min(options.interval, _PATIENT))} fall {options.fall} rise {options.rise} "
            f"weight {filled[name].weight if name in filled else 0}{cookie}{'' if name in filled else ' disabled'}"
        )
    return [*lines, ""]


def _tested_backend(slots: Sequence[str], filled: dict[str, Slot]) -> list[str]:
    lines = [f"backend {TESTED}", "  balance roundrobin"]
    for name in slots:
        on = name in filled and filled[name].tested
        lines.append(
            f"  server {name} {_place(filled.get(name))} track {BACKEND}/{name} weight 1{'' if on else ' disabled'}"
        )
    return lines


def _place(slot: Slot | None) -> str:
    # Of an empty slot it is a placeholder: nothing is sent to a server in maintenance.
    if slot is None:
        return "127.0.0.1:1"
    return f"{word(slot.host, 'address', r'[0-9a-fA-F.:]+')}:{slot.port}"


def _quoted(text: str) -> str:
    return "'" + text + "'"


def _ms(seconds: float) -> str:
    return f"{max(1, round(seconds * 1000))}ms"


def word(text: str, what: str, pattern: str) -> str:
    """The same text, when it cannot change the meaning of a line."""
    if not re.fullmatch(pattern, text):
        raise SeatrialError(f"{text[:80]!r} is not a {what} that HAProxy can be given")
    return text
