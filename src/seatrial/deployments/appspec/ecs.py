"""The resource of an ECS deployment."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.deployments.appspec.model import Capacity, Ecs, Hook, Network
from seatrial.deployments.appspec.properties import (
    NOT_WELL_FORMED,
    matching,
    need,
    scalar,
    texts,
    whole,
)
from seatrial.deployments.appspec.walking import entries, is_placeholder, word

if TYPE_CHECKING:
    from seatrial.deployments.appspec.refusing import Refusing
    from seatrial.deployments.appspec.walking import Entry
    from seatrial.sources.tree import Node

PROPERTIES = (
    "TaskDefinition", "LoadBalancerInfo", "PlatformVersion", "NetworkConfiguration", "CapacityProviderStrategy",
)  # fmt: skip
BALANCER = ("ContainerName", "ContainerPort")
NETWORK = ("Subnets", "SecurityGroups", "AssignPublicIp")
CAPACITY = ("CapacityProvider", "Base", "Weight")
_PLATFORM_VERSION = re.compile(r"LATEST|\d+\.\d+\.\d+")
_CONTAINER = re.compile(r"[a-zA-Z0-9_-]{1,255}")
_PUBLIC = re.compile(r"ENABLED|DISABLED")
_MOST_SUBNETS, _MOST_GROUPS, _MOST_PROVIDERS = 16, 5, 20
_HIGHEST_PORT, _HIGHEST_BASE, _HIGHEST_WEIGHT = 65535, 100_000, 1000


def ecs(refusing: Refusing, resource: str, node: Node, hooks: tuple[Hook, ...]) -> Ecs | None:
    """What the properties say, or None where one is refused."""
    before = len(refusing.findings)
    task = scalar(refusing, need(refusing, node, None, "TaskDefinition", resource), "TaskDefinition")
    name, port = _balancer(refusing, resource, need(refusing, node, None, "LoadBalancerInfo", resource))
    found = entries(node)
    platform = None
    if "platformversion" in found and word(found["platformversion"][1]):
        platform = matching(
            refusing, found["platformversion"], "PlatformVersion", _PLATFORM_VERSION,
            "LATEST or a version such as 1.4.0",
        )  # fmt: skip
    network = _network(refusing, found.get("networkconfiguration"))
    capacity = _strategy(refusing, found.get("capacityproviderstrategy"))
    if len(refusing.findings) > before or task is None or name is None or port is None:
        return None
    return Ecs(
        resource=resource,
        task_definition=task,
        container_name=name,
        container_port=port,
        platform_version=platform or "",
        network=network,
        capacity=capacity,
        hooks=hooks,
    )


def _balancer(refusing: Refusing, resource: str, entry: Entry | None) -> tuple[str | None, int | None]:
    if entry is None:
        return None, None
    node = entry[1]
    if node.kind != "mapping":
        refusing.say(
            "form",
            node,
            NOT_WELL_FORMED,
            cause="`LoadBalancerInfo` is a mapping, not a list or a single value",
        )
        return None, None
    of = f"LoadBalancerInfo of {resource}"
    name = need(refusing, node, entry[0], "ContainerName", of)
    port = need(refusing, node, entry[0], "ContainerPort", of)
    return (
        matching(refusing, name, "ContainerName", _CONTAINER, "up to 255 letters, digits, `-` and `_`"),
        whole(refusing, port, "ContainerPort", 0, _HIGHEST_PORT),
    )


def _network(refusing: Refusing, entry: Entry | None) -> Network | None:
    """All three of its values, or none of them."""
    if entry is None or _is_nothing(entry[1]):
        return None
    inner = need(refusing, entry[1], entry[0], "AwsvpcConfiguration", "NetworkConfiguration")
    if inner is None:
        return None
    node = inner[1]
    if node.kind != "mapping":
        refusing.say("form", inner[0], NOT_WELL_FORMED, cause="`AwsvpcConfiguration` is a mapping")
        return None
    if not any(name.lower() in entries(node) for name in NETWORK):
        refusing.say("network", inner[0], f"AwsvpcConfiguration has none of {', '.join(NETWORK)}")
        return None
    of = "AwsvpcConfiguration"
    subnets, groups, public = (need(refusing, node, inner[0], name, of) for name in NETWORK)
    placed = texts(refusing, subnets, "Subnets", _MOST_SUBNETS)
    guarded = texts(refusing, groups, "SecurityGroups", _MOST_GROUPS)
    said = matching(refusing, public, "AssignPublicIp", _PUBLIC, "ENABLED or DISABLED")
    if placed is None or guarded is None or said is None:
        return None
    return Network(
        subnets=placed,
        security_groups=guarded,
        assign_public_ip="ENABLED" if said == "ENABLED" else "DISABLED",
    )


def _is_nothing(node: Node) -> bool:
    return node.kind == "scalar" and node.value is None


def _strategy(refusing: Refusing, entry: Entry | None) -> tuple[Capacity, ...]:
    if entry is None or _is_nothing(entry[1]):
        return ()
    node = entry[1]
    if node.kind != "sequence":
        if not is_placeholder(word(node)):
            refusing.say("form", node, NOT_WELL_FORMED, cause="`CapacityProviderStrategy` is a list")
        return ()
    if len(node.items) > _MOST_PROVIDERS:
        refusing.say("capacity", entry[0], f"CapacityProviderStrategy has more than {_MOST_PROVIDERS} items")
    found = tuple(one for one in (_capacity(refusing, item) for item in node.items) if one is not None)
    if sum(1 for one in found if one.base) > 1:
        refusing.say("capacity", entry[0], "CapacityProviderStrategy has more than one provider with a Base")
    if len(found) > 1 and not any(one.weight for one in found):
        refusing.say(
            "capacity", entry[0], "CapacityProviderStrategy has no provider with a Weight above 0",
            cause="a provider without Weight has 0, and is given no tasks",
        )  # fmt: skip
    return found


def _capacity(refusing: Refusing, item: Node) -> Capacity | None:
    if item.kind != "mapping":
        refusing.say(
            "form", item, NOT_WELL_FORMED, cause="an item of `CapacityProviderStrategy` is a mapping"
        )
        return None
    name = need(refusing, item, None, "CapacityProvider", "an item of CapacityProviderStrategy")
    said = scalar(refusing, name, "CapacityProvider")
    found = entries(item)
    base = whole(refusing, found.get("base"), "Base", 0, _HIGHEST_BASE, "capacity")
    weight = whole(refusing, found.get("weight"), "Weight", 0, _HIGHEST_WEIGHT, "capacity")
    return Capacity(said, base or 0, weight or 0) if said is not None else None
