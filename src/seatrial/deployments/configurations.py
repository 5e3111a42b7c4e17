"""Deployment configurations: the predefined ones, and custom ones as CodeDeploy's CreateDeploymentConfig takes them.

Messages are those of the service. Source: AWS CodeDeploy API reference, `CreateDeploymentConfig`.
"""

from __future__ import annotations

import functools
import math
import re
from pathlib import Path
from typing import Any, Literal, TypeGuard, get_args

import msgspec

from seatrial.errors import UsageError

Platform = Literal["Server", "Lambda", "ECS"]
HealthyType = Literal["HOST_COUNT", "FLEET_PERCENT"]
TrafficType = Literal["AllAtOnce", "TimeBasedCanary", "TimeBasedLinear"]
RESERVED = "CodeDeployDefault."
DEFAULT = "CodeDeployDefault.OneAtATime"
NAME = re.compile(r"[A-Za-z0-9+=,.@_-]{1,100}")
"""Names of applications, groups and configurations."""
LONGEST = 2880
"""Minutes that shifting traffic may take in all."""
_MOST = 99


class Healthy(msgspec.Struct, frozen=True):
    """How many hosts must be in service all the time: a number, or a percentage of all."""

    type: HealthyType
    value: int

    def of(self, hosts: int) -> int:
        """The number of hosts; a percentage is rounded up."""
        return self.value if self.type == "HOST_COUNT" else math.ceil(hosts * self.value / 100)


class Zonal(msgspec.Struct, frozen=True, kw_only=True):
    """One zone after the other, with so many seconds to watch after the first zone, and after each other."""

    first_monitor: int | None = None
    monitor: int = 0
    per_zone: Healthy = Healthy("FLEET_PERCENT", 0)


class Traffic(msgspec.Struct, frozen=True):
    """How traffic is shifted: `percentage` at a time, `interval` in minutes."""

    type: TrafficType
    percentage: int = 0
    interval: int = 0


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment configuration. Servers have `minimum_healthy`, and maybe `zonal`; the others have `traffic`."""

    name: str
    platform: Platform
    minimum_healthy: Healthy | None = None
    traffic: Traffic | None = None
    zonal: Zonal | None = None


@functools.cache
def predefined() -> dict[str, Configuration]:
    """The configurations of every account, by name."""
    import yaml

    data = yaml.safe_load((Path(__file__).parent / "facts/configurations.yaml").read_text(encoding="utf-8"))
    return {one.name: one for one in msgspec.convert(data["configurations"], list[Configuration])}


def find(text: str) -> Configuration:
    """The configuration that a user names.

    `text` is the name of a predefined one with or without `CodeDeployDefault.`, `HOST_COUNT=N`, `FLEET_PERCENT=N`,
    or a JSON file with a request for CreateDeploymentConfig.

    Raises:
        UsageError: there is no such configuration, or CodeDeploy would refuse it.
    """
    known = predefined().get(text) or predefined().get(RESERVED + text)
    if known:
        return known
    kind, equals, value = text.partition("=")
    if equals and kind in get_args(HealthyType):
        if not re.fullmatch(r"-?\d{1,9}", value):
            raise UsageError(f"{text!r} has no number of hosts", fix=f"as in {kind}=2")
        return create(
            {"deploymentConfigName": text, "minimumHealthyHosts": {"type": kind, "value": int(value)}}
        )
    if text.endswith(".json"):
        return _from_file(Path(text))
    raise UsageError(
        f"there is no deployment configuration {text!r}",
        fix="`seatrial deploy groups configurations` lists the predefined ones; HOST_COUNT=N, FLEET_PERCENT=N or a"
        " JSON file is one of your own",
    )


def _from_file(path: Path) -> Configuration:
    try:
        request = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except msgspec.MsgspecError as error:
        raise UsageError(f"is no JSON: {error}", where=str(path)) from error
    try:
        return create(request)
    except UsageError as error:
        raise UsageError(error.what, where=str(path), why=error.why, fix=error.fix) from error


def create(request: Any) -> Configuration:
    """A custom configuration from the members of a CreateDeploymentConfig request.

    Raises:
        UsageError: CodeDeploy would refuse it, in its words.
    """
    problem = refusal(request)
    if problem:
        raise UsageError(
            problem, fix="see docs/reference/deployment-groups.md for what a configuration may hold"
        )
    healthy, traffic, zonal = (
        request.get(key) for key in ("minimumHealthyHosts", "trafficRoutingConfig", "zonalConfig")
    )
    return Configuration(
        name=request["deploymentConfigName"],
        platform=request.get("computePlatform") or "Server",
        minimum_healthy=Healthy(healthy["type"], healthy["value"]) if healthy else None,
        traffic=_traffic(traffic) if traffic else None,
        zonal=_zonal(zonal) if zonal else None,
    )


def refusal(request: Any) -> str:
    """Why CodeDeploy would not create this configuration, or ''."""
    if not isinstance(request, dict):
        return "a deployment configuration is an object with members such as minimumHealthyHosts"
    for key in ("minimumHealthyHosts", "trafficRoutingConfig", "zonalConfig"):
        if request.get(key) is not None and not isinstance(request[key], dict):
            return f"{key} must be an object"
    platform = request.get("computePlatform") or "Server"
    if problem := _wrong_name(request.get("deploymentConfigName")):
        return problem
    if platform not in get_args(Platform):
        return (
            f"ComputePlatform '{platform}' is not valid. Valid values are [Server, Lambda, ECS, Kubernetes]"
        )
    return _wrong_for_servers(request) if platform == "Server" else _wrong_for_others(request, platform)


def _wrong_name(name: Any) -> str:
    if not isinstance(name, str) or not name:
        return "The deployment configuration name is required"
    if not NAME.fullmatch(name):
        return (
            f"Deployment config name '{name}' is not valid: up to 100 characters of A-Z a-z 0-9 + = , . @ _ -"
        )
    if name.startswith(RESERVED):
        return f"Deployment config name '{name}' is not valid: names that start with {RESERVED} are reserved"
    return ""


def _wrong_for_servers(request: dict[str, Any]) -> str:
    if request.get("trafficRoutingConfig"):
        return "Traffic routing configuration should be null for Server deployment configuration"
    if not request.get("minimumHealthyHosts"):
        return "minimum healthy hosts argument is missing"
    return _wrong_healthy(request["minimumHealthyHosts"]) or _wrong_zonal(request.get("zonalConfig") or {})


def _wrong_for_others(request: dict[str, Any], platform: str) -> str:
    if request.get("minimumHealthyHosts"):
        return f"minimum healthy hosts should be null for {platform} deployment configuration"
    if request.get("zonalConfig"):
        return "Zonal deployments are only supported with EC2 deployments."
    if not request.get("trafficRoutingConfig"):
        return "Traffic routing configuration cannot be null nor empty for deployment configurations on this platform."
    return _wrong_traffic(request["trafficRoutingConfig"])


def for_servers(configuration: Configuration) -> Configuration:
    """The same configuration.

    Raises:
        UsageError: it is for another compute platform.
    """
    if configuration.platform != "Server":
        raise UsageError(
            f"Compute platform of deployment config {configuration.name} does not match expected compute platform,"
            " correct compute platform should be Server.",
            fix="use OneAtATime, HalfAtATime, AllAtOnce, HOST_COUNT=N or FLEET_PERCENT=N",
        )
    return configuration


def shifts(traffic: Traffic) -> tuple[tuple[int, int], ...]:
    """When how much traffic goes to the new revision: minutes since the start, and percent in all."""
    if traffic.type == "AllAtOnce":
        return ((0, 100),)
    if traffic.type == "TimeBasedCanary":
        return ((0, traffic.percentage), (traffic.interval, 100))
    steps = math.ceil(100 / traffic.percentage)
    return tuple((n * traffic.interval, min(100, (n + 1) * traffic.percentage)) for n in range(steps))


def _wrong_healthy(healthy: dict[str, Any], what: str = "minimum healthy hosts") -> str:
    kind, value = healthy.get("type"), healthy.get("value")
    if kind not in get_args(HealthyType):
        return f"The type of the {what} '{kind}' is not valid. Valid values are [HOST_COUNT, FLEET_PERCENT]"
    if not _whole(value):
        return f"The value for the {what} must be an integer"
    if kind == "FLEET_PERCENT" and not 0 <= value <= _MOST:
        return f"The value for the {what} with type of FLEET_PERCENT should be positive and less than 100"
    if value < 0:
        return f"The value for the {what} with type of HOST_COUNT should not be negative"
    return ""


def _wrong_zonal(zonal: dict[str, Any]) -> str:
    for key in ("firstZoneMonitorDurationInSeconds", "monitorDurationInSeconds"):
        value = zonal.get(key)
        if value is not None and (not _whole(value) or value < 0):
            return f"{key} must be a number of seconds that is not negative"
    per_zone = zonal.get("minimumHealthyHostsPerZone")
    if per_zone is None:
        return ""
    if not isinstance(per_zone, dict):
        return "minimumHealthyHostsPerZone must be an object"
    return _wrong_healthy(per_zone, "minimum healthy hosts per zone")


def _wrong_traffic(traffic: dict[str, Any]) -> str:
    kind = traffic.get("type")
    if kind not in get_args(TrafficType):
        return f"Traffic routing type '{kind}' is not valid. Valid values are [{', '.join(get_args(TrafficType))}]"
    for member, of in (("timeBasedCanary", "TimeBasedCanary"), ("timeBasedLinear", "TimeBasedLinear")):
        if traffic.get(member) is not None and kind != of:
            return f"{of}Configuration should be null for {kind} type"
    return "" if kind == "AllAtOnce" else _wrong_times(traffic, str(kind))


def _wrong_times(traffic: dict[str, Any], kind: str) -> str:
    word = kind.removeprefix("TimeBased").lower()
    values = traffic.get(f"timeBased{word.capitalize()}")
    if not isinstance(values, dict):
        return f"{kind}Configuration cannot be null for {kind} type"
    percentage, interval = values.get(f"{word}Percentage"), values.get(f"{word}Interval")
    if not _whole(percentage) or not 1 <= percentage <= _MOST:
        return "Valid traffic routing percentage is from 1 to 99"
    if not _whole(interval) or not 1 <= interval <= LONGEST:
        return f"{word.capitalize()} interval must be between 1 and 2880 minutes (2 days)"
    if word == "linear" and interval * (100 // percentage) > LONGEST:
        return "Linear interval must be between 1 and 2880 minutes (2 days), for all of its steps together"
    return ""


def _whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _traffic(traffic: dict[str, Any]) -> Traffic:
    if traffic["type"] == "AllAtOnce":
        return Traffic("AllAtOnce")
    word = traffic["type"].removeprefix("TimeBased").lower()
    values = traffic[f"timeBased{word.capitalize()}"]
    return Traffic(traffic["type"], values[f"{word}Percentage"], values[f"{word}Interval"])


def _zonal(zonal: dict[str, Any]) -> Zonal:
    per_zone = zonal.get("minimumHealthyHostsPerZone")
    return Zonal(
        first_monitor=zonal.get("firstZoneMonitorDurationInSeconds"),
        monitor=zonal.get("monitorDurationInSeconds") or 0,
        per_zone=Healthy(per_zone["type"], per_zone["value"]) if per_zone else Healthy("FLEET_PERCENT", 0),
    )
