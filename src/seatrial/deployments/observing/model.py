"""What a load balancer's log says of one answer, and what a deployment knows of one second."""

from __future__ import annotations

import msgspec

from seatrial.deployments.observing.latencies import quantile, values


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One request as the client saw it. `at` is when it was answered, in seconds since the epoch.

    `slot` and `port` say which instance answered last ('' and 0: none did), `seconds` how long the client waited,
    `retries` how often it was sent again. `status` is 0 where the client went away before; `cut` says that the answer
    began and never came to its end, which no status tells.
    """

    at: float
    slot: str
    port: int
    status: int
    seconds: float
    method: str = ""
    retries: int = 0
    cut: bool = False


class Arm(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What one revision did in one second. `errors` are answers with 5xx, answers that broke off and requests without
    an answer; `refused` those with 4xx. `buckets` are all requests' latencies as `observing.latencies` packs them: make
    them with `latencies.histogram(seconds)`, read them by `latencies`. `values` are further metrics.
    """

    requests: int = 0
    errors: int = 0
    refused: int = 0
    buckets: list[int] = []
    values: dict[str, float] = {}

    @property
    def latencies(self) -> list[float]:
        """Of all requests, in seconds, in order."""
        return values(self.buckets)

    def quantile(self, share: float) -> float | None:
        """Of the latencies, in seconds, such as the p95 for 0.95; None without any."""
        return quantile(self.buckets, share)


class Part(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The requests of a second that arrived while `share` percent were asked for, which they are `since` then."""

    share: float
    since: float
    requests: dict[str, int] = {}


class Second(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One second: `at` is its beginning in whole seconds since the epoch, `arms` are by revision; '' is traffic that no
    instance answered. `share` is the new version's percentage that was asked for at its end. `parts` are the requests
    by the share at their arrival: more than one where it changed.
    """

    at: int
    arms: dict[str, Arm] = {}
    share: float = 0.0
    parts: list[Part] = []
