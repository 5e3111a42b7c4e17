"""Deployment configurations: what there is, and what CodeDeploy refuses in which words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from seatrial.deployments import configurations
from seatrial.deployments.configurations import Healthy, Traffic
from seatrial.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

PERCENT = {"type": "FLEET_PERCENT", "value": 50}


def canary(percentage: Any, interval: Any) -> dict[str, Any]:
    return {
        "type": "TimeBasedCanary",
        "timeBasedCanary": {"canaryPercentage": percentage, "canaryInterval": interval},
    }


def linear(percentage: Any, interval: Any) -> dict[str, Any]:
    return {
        "type": "TimeBasedLinear",
        "timeBasedLinear": {"linearPercentage": percentage, "linearInterval": interval},
    }


def test_there_are_seventeen_predefined_ones() -> None:
    found = configurations.predefined()

    assert len(found) == 17
    assert all(name.startswith("CodeDeployDefault.") for name in found)
    assert [
        sum(one.platform == platform for one in found.values()) for platform in ("Server", "Lambda", "ECS")
    ] == [
        3,
        9,
        5,
    ]


@pytest.mark.parametrize("text", ["HalfAtATime", "CodeDeployDefault.HalfAtATime"])
def test_a_predefined_one_is_found_by_its_name_with_or_without_the_prefix(text: str) -> None:
    assert configurations.find(text).name == "CodeDeployDefault.HalfAtATime"


def test_a_percentage_is_rounded_up() -> None:
    assert [Healthy("FLEET_PERCENT", 50).of(hosts) for hosts in (1, 4, 5, 9)] == [1, 2, 3, 5]
    assert Healthy("FLEET_PERCENT", 0).of(7) == 0


def test_an_inline_one_and_one_of_a_file_are_custom(tmp_path: Path) -> None:
    file = tmp_path / "zones.json"
    file.write_text(
        json.dumps(
            {
                "deploymentConfigName": "by-zone",
                "minimumHealthyHosts": PERCENT,
                "zonalConfig": {
                    "firstZoneMonitorDurationInSeconds": 60,
                    "monitorDurationInSeconds": 5,
                    "minimumHealthyHostsPerZone": {"type": "HOST_COUNT", "value": 1},
                },
            }
        )
    )

    assert configurations.find("HOST_COUNT=3").minimum_healthy == Healthy("HOST_COUNT", 3)
    zonal = configurations.find(str(file)).zonal
    assert zonal is not None
    assert (zonal.first_monitor, zonal.monitor, zonal.per_zone) == (60, 5, Healthy("HOST_COUNT", 1))


REFUSED = [
    ({}, "The deployment configuration name is required"),
    ({"deploymentConfigName": "a b"}, "Deployment config name 'a b' is not valid"),
    ({"deploymentConfigName": "CodeDeployDefault.Mine", "minimumHealthyHosts": PERCENT}, "are reserved"),
    (
        {"deploymentConfigName": "x", "computePlatform": "EC2"},
        "ComputePlatform 'EC2' is not valid. Valid values are [Server, Lambda, ECS, Kubernetes]",
    ),
    ({"deploymentConfigName": "x"}, "minimum healthy hosts argument is missing"),
    (
        {"deploymentConfigName": "x", "minimumHealthyHosts": PERCENT, "trafficRoutingConfig": canary(10, 5)},
        "Traffic routing configuration should be null for Server deployment configuration",
    ),
    (
        {"deploymentConfigName": "x", "minimumHealthyHosts": {"type": "FLEET_PERCENT", "value": 100}},
        "The value for the minimum healthy hosts with type of FLEET_PERCENT should be positive and less than 100",
    ),
    (
        {"deploymentConfigName": "x", "minimumHealthyHosts": {"type": "HOST_COUNT", "value": -1}},
        "should not be negative",
    ),
    (
        {"deploymentConfigName": "x", "minimumHealthyHosts": {"type": "HOST_COUNT", "value": True}},
        "must be an integer",
    ),
    (
        {"deploymentConfigName": "x", "minimumHealthyHosts": {"type": "SOME", "value": 1}},
        "'SOME' is not valid",
    ),
    (
        {"deploymentConfigName": "x", "computePlatform": "Lambda", "minimumHealthyHosts": PERCENT},
        "minimum healthy hosts should be null for Lambda deployment configuration",
    ),
    (
        {"deploymentConfigName": "x", "computePlatform": "ECS"},
        "Traffic routing configuration cannot be null nor empty for deployment configurations on this platform.",
    ),
    (
        {
            "deploymentConfigName": "x",
            "computePlatform": "ECS",
            "zonalConfig": {"monitorDurationInSeconds": 1},
            "trafficRoutingConfig": canary(10, 5),
        },
        "Zonal deployments are only supported with EC2 deployments.",
    ),
    *(
        (
            {"deploymentConfigName": "x", "computePlatform": "Lambda", "trafficRoutingConfig": traffic},
            message,
        )
        for traffic, message in [
            (canary(0, 5), "Valid traffic routing percentage is from 1 to 99"),
            (canary(100, 5), "Valid traffic routing percentage is from 1 to 99"),
            (linear("10", 5), "Valid traffic routing percentage is from 1 to 99"),
            (canary(10, 0), "Canary interval must be between 1 and 2880 minutes (2 days)"),
            (canary(10, 2881), "Canary interval must be between 1 and 2880 minutes (2 days)"),
            (linear(10, 289), "for all of its steps together"),
            (
                {**canary(10, 5), "type": "TimeBasedLinear"},
                "TimeBasedCanaryConfiguration should be null for TimeBasedLinear type",
            ),
            ({**linear(10, 5), "type": "AllAtOnce"}, "Configuration should be null for AllAtOnce type"),
            ({"type": "TimeBasedCanary"}, "cannot be null"),
        ]
    ),
]


@pytest.mark.parametrize(("request_", "message"), REFUSED)
def test_what_codedeploy_refuses_is_refused_in_its_words(request_: dict[str, Any], message: str) -> None:
    assert message in configurations.refusal(request_)


@pytest.mark.parametrize("traffic", [canary(1, 2880), canary(99, 1), linear(10, 288), {"type": "AllAtOnce"}])
def test_the_limits_of_traffic_are_allowed(traffic: dict[str, Any]) -> None:
    request = {"deploymentConfigName": "x", "computePlatform": "ECS", "trafficRoutingConfig": traffic}

    assert configurations.refusal(request) == ""


def test_a_configuration_for_another_platform_is_refused_for_servers() -> None:
    with pytest.raises(UsageError, match="correct compute platform should be Server"):
        configurations.for_servers(configurations.find("LambdaAllAtOnce"))


def test_traffic_shifts_as_the_service_shifts_it() -> None:
    assert configurations.shifts(Traffic("AllAtOnce")) == ((0, 100),)
    assert configurations.shifts(Traffic("TimeBasedCanary", 10, 5)) == ((0, 10), (5, 100))
    assert configurations.shifts(Traffic("TimeBasedLinear", 30, 2)) == ((0, 30), (2, 60), (4, 90), (6, 100))
