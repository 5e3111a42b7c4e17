"""How new versions of a service take over its traffic, as seatrial.yaml says it."""

# Annotations are evaluated as the classes are made: done later, from text, they cost every command 50 ms.
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, field

from seatrial.config.scalars import Name, Seconds, Text

Line = Annotated[tuple[Text, ...], Meta(min_length=1)]
Url = Annotated[str, Meta(pattern="^https?://")]
Moment = Annotated[float, Meta(ge=0, le=172800)]
Event = Literal[
    "BeforeInstall",
    "AfterInstall",
    "AfterAllowTestTraffic",
    "BeforeAllowTraffic",
    "AfterAllowTraffic",
]
"""Moments at which hooks are called, with the names that CodeDeploy gives them for ECS."""


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the new version may be worse by, and what it may never be. Shares and increases are fractions."""

    latency_increase: Annotated[
        float, Meta(gt=0, description="By which fraction the typical latency may rise.")
    ] = 0.10
    latency_least: Annotated[
        float,
        Meta(
            ge=0,
            description="Seconds by which latencies must differ to count at all, whatever fraction that is.",
        ),
    ] = 0.001
    tail_increase: Annotated[
        float,
        Meta(
            gt=0,
            description="By which fraction requests may become more frequent that are slower than the old version's p95.",
        ),
    ] = 0.5
    spread_increase: Annotated[
        float, Meta(gt=0, description="By which fraction the spread (interquartile range) may rise.")
    ] = 0.5
    error_increase: Annotated[
        float, Meta(gt=0, lt=1, description="By how much the share of failed requests may rise.")
    ] = 0.005
    value_increase: Annotated[
        float, Meta(gt=0, description="By which fraction further metrics may rise.")
    ] = 0.10
    max_errors: (
        Annotated[float, Meta(gt=0, lt=1, description="The share of failed requests that is never accepted.")]
        | None
    ) = None
    max_latency: (
        Annotated[float, Meta(gt=0, description="The p99 latency in seconds that is never accepted.")] | None
    ) = None
    lower_is_worse: Annotated[
        tuple[str, ...], Meta(description="Further metrics of which less is worse.")
    ] = ()
    required: Annotated[
        tuple[str, ...], Meta(description="Further metrics without which the new version fails.")
    ] = ()
    min_requests: Annotated[int, Meta(ge=1, description="Requests that each version must have answered.")] = (
        500
    )
    min_batches: Annotated[int, Meta(ge=8, description="Stretches of time that must be comparable.")] = 10
    confidence: Annotated[
        float, Meta(gt=0.5, lt=1, description="Of each comparison, two-sided, over all looks together.")
    ] = 0.98


class Hook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that is called at a moment of a deployment and must succeed: exactly one of script, url and python."""

    script: Annotated[
        Line | None,
        Meta(description="Program and arguments, run in the new version's folder; there is no shell."),
    ] = None
    url: Annotated[
        Url | None, Meta(description="Address that is sent a JSON document and must answer 2xx.")
    ] = None
    python: Annotated[
        Annotated[str, Meta(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")] | None,
        Meta(
            description="MODULE:FUNCTION of the new version's folder, called with one dict; it must not raise or return False."
        ),
    ] = None
    timeout: Annotated[Seconds, Meta(description="Seconds that it may take.")] = 3600.0


class Metric(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A number that is measured of each version beside error rate and latency: by one of prometheus, command and url."""

    prometheus: Annotated[
        Text | None,
        Meta(description='Series of the service\'s Prometheus text, such as tokens_total{model="a"}.'),
    ] = None
    path: Annotated[str, Meta(pattern="^/", description="Where each instance shows its Prometheus text.")] = (
        "/metrics"
    )
    rate: Annotated[
        bool,
        Meta(
            description="Whether the series counts up, and what it counts per second is meant. Versions are compared by "
            "what it counts per request, since their shares of the traffic differ."
        ),
    ] = False
    command: Annotated[
        Line | None,
        Meta(
            description="Program that prints the number; it is told the version by REVISION, its instances by PORTS."
        ),
    ] = None
    url: Annotated[
        Url | None,
        Meta(
            description="Address that answers with JSON; {revision} and {port} in it are replaced, as in a Prometheus query."
        ),
    ] = None
    value: Annotated[
        Text, Meta(description="Where the number is in the JSON, such as data.result.0.value.1.")
    ] = ""
    every: Annotated[Seconds, Meta(description="Seconds between measurements.")] = 5.0


class Alarm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that ends a deployment at once: a metric beyond a threshold, or one of url, command and cloudwatch."""

    metric: Annotated[
        Text | None,
        Meta(
            description="errors (share of the requests), requests (per second), latency, p50, p95, p99 "
            "(seconds), or the name of a metric."
        ),
    ] = None
    of: Annotated[
        Literal["new", "old", "all"], Meta(description="Whose metric, the new version's, the old's or both.")
    ] = "new"
    above: Annotated[float | None, Meta(description="The alarm is on when the metric is more than this.")] = (
        None
    )
    below: Annotated[float | None, Meta(description="The alarm is on when the metric is less than this.")] = (
        None
    )
    seconds: Annotated[Seconds, Meta(description="Stretch of time over which the metric is taken.")] = 10.0
    url: Annotated[
        Url | None, Meta(description="Address that must answer 2xx; anything else is the alarm.")
    ] = None
    command: Annotated[Line | None, Meta(description="Program that must end with 0.")] = None
    cloudwatch: Annotated[
        Text | None, Meta(description="Name of an alarm in CloudWatch, which must not be in ALARM.")
    ] = None
    region: Annotated[Text | None, Meta(description="Region of that alarm. Default: the session's.")] = None


class Shadow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Copies of real requests that the new version answers before it has traffic, and nobody but us reads."""

    share: Annotated[float, Meta(gt=0, le=100, description="Percent of the requests that are copied.")] = (
        100.0
    )
    seconds: Annotated[Moment, Meta(description="How long requests are copied before the shift.")] = 60.0
    min_requests: Annotated[int, Meta(ge=1, description="Answers that must have been compared.")] = 50
    max_different: Annotated[
        float, Meta(ge=0, le=100, description="Percent of the answers that may differ.")
    ] = 0.0
    tolerance: Annotated[
        float, Meta(ge=0, description="How far numbers may be apart, absolute or relative.")
    ] = 0.0
    ignore: Annotated[
        tuple[str, ...], Meta(description="Parts of a JSON answer that are not compared, such as meta.time.")
    ] = ()
    methods: Annotated[
        tuple[str, ...],
        Meta(
            min_length=1,
            description="Methods that are copied. The new version really does what it is asked.",
        ),
    ] = ("GET", "HEAD", "POST")


class Deploy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a new version of a service takes over its traffic."""

    strategy: Annotated[
        Text,
        Meta(
            description="all-at-once, blue-green, canary:10%:5m, linear:10%:1m, steps:1%,5%,25%,100%:2m or a traffic "
            "configuration of CodeDeploy such as CodeDeployDefault.ECSCanary10Percent5Minutes."
        ),
    ] = "canary:10%:5m"
    bake: Annotated[
        Moment, Meta(description="Seconds after the last shift in which a rollback is still automatic.")
    ] = 0.0
    test: Annotated[
        Moment,
        Meta(
            description="Seconds in which the new version is only reached by the test listener before it has traffic."
        ),
    ] = 0.0
    driver: Annotated[
        Literal["haproxy", "envoy"],
        Meta(description="The load balancer. Envoy copies requests for shadow traffic."),
    ] = "haproxy"
    port: Annotated[
        int, Meta(ge=0, le=65535, description="Port of the load balancer on 127.0.0.1; 0 chooses one.")
    ] = 0
    test_port: Annotated[
        int, Meta(ge=0, le=65535, description="Port of the test listener on 127.0.0.1; 0 chooses one.")
    ] = 0
    test_header: Annotated[
        Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}$")],
        Meta(
            description="Header whose presence sends a request on the usual port to the new version as well."
        ),
    ] = "X-Seatrial-Test"
    sticky: Annotated[
        Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{0,64}$")],
        Meta(
            description="Name of a cookie that keeps a client on the instance that answered it. Default: none."
        ),
    ] = ""
    retry_posts: Annotated[
        bool, Meta(description="Send a request again that is no GET when its instance died.")
    ] = False
    drain_timeout: Annotated[
        Seconds, Meta(description="Seconds in which an instance may finish its requests.")
    ] = 30.0
    keep_old: Annotated[
        Moment,
        Meta(
            description="Seconds that the old version's instances stay ready after a promotion, so that a rollback is instant."
        ),
    ] = 3600.0
    analysis: Annotated[
        Limits | None,
        Meta(description="What the new version is judged by. null: only alarms and health decide."),
    ] = Limits()
    control: Annotated[
        Literal["auto", "always", "never"],
        Meta(
            description="Whether fresh instances of the old version are started as well, get as much traffic as the new "
            "one below 50 %, and are what it is compared with. auto: where there is no GPU and memory enough."
        ),
    ] = "auto"
    patience: Annotated[
        Moment, Meta(description="Seconds that a step may last beyond its time for want of evidence.")
    ] = 600.0
    unclear: Annotated[
        Literal["hold", "roll back"], Meta(description="What happens when evidence is still unclear then.")
    ] = "hold"
    metrics: Annotated[dict[Name, Metric], Meta(description="Further metrics by name.")] = field(
        default_factory=dict
    )
    alarms: Annotated[dict[Name, Alarm], Meta(description="Alarms by name, at most ten.")] = field(
        default_factory=dict
    )
    hooks: Annotated[
        dict[Event, tuple[Hook, ...]],
        Meta(
            description="What is called at BeforeInstall, AfterInstall, AfterAllowTestTraffic, BeforeAllowTraffic and "
            "AfterAllowTraffic."
        ),
    ] = field(default_factory=dict)
    shadow: Annotated[
        Shadow | None, Meta(description="Copies of real requests for the new version; needs Envoy.")
    ] = None
