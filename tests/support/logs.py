"""Lines of a load balancer's access log."""

from __future__ import annotations

START = 1_800_000_000
PORTS = {40001: "r-old", 40002: "r-new"}


def line(
    at: float = START,
    *,
    port: int = 40001,
    status: int = 200,
    seconds: float = 0.05,
    ended: str = "--",
) -> bytes:
    """A request that was answered `at` a moment."""
    return (
        f'[{round(at * 1e6)},"s{port % 10}","{port}",{status},"{round(seconds * 1e6)}","GET","0","{ended}"]\n'
    ).encode()
