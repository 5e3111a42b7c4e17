"""What CodeDeploy takes in a file for Lambda or ECS, and is not what is meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.deployments.appspec.ecs import BALANCER, CAPACITY, NETWORK
from seatrial.deployments.appspec.ecs import PROPERTIES as ECS_PROPERTIES
from seatrial.deployments.appspec.lambdas import PROPERTIES as LAMBDA_PROPERTIES
from seatrial.deployments.appspec.model import Lambda
from seatrial.deployments.appspec.refusals import SPEC, STRUCTURE
from seatrial.deployments.appspec.walking import entries, is_placeholder, word
from seatrial.findings import Rule
from seatrial.sources.names import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.deployments.appspec.rules.look import Look
    from seatrial.findings import Finding
    from seatrial.sources.tree import Node

_RESOURCES, _HOOKS = STRUCTURE.format("resources"), STRUCTURE.format("hooks")
_ECS = (
    "version: 0.0\nResources:\n  - TargetService:\n      Type: AWS::ECS::Service\n      Properties:\n"
    "        TaskDefinition: app:1\n        LoadBalancerInfo:\n          ContainerName: app\n          ContainerPort: {}\n"
)


def _error(name: str, title: str, explanation: str, example: str) -> Rule:
    return Rule(
        id=f"appspec/{name}",
        severity="error",
        title=title,
        explanation=explanation,
        source=_RESOURCES,
        example=example,
    )


RULES: tuple[Rule, ...] = (
    _error(
        "form", "The file has not the form of an appspec for Lambda or ECS",
        "CodeDeploy says only that the file is not well-formed and cannot be parsed, also where it is YAML and a list stands "
        "in the place of a mapping. `Resources` is a list with one item, `LoadBalancerInfo` a mapping, `Hooks` a list.",
        "version: 0.0\nResources:\n  TargetService:\n    Type: AWS::ECS::Service\n",
    ),
    _error(
        "resources", "There is not exactly one resource",
        "A deployment is one of a single Lambda function or a single ECS service.", "version: 0.0\nResources: []\n",
    ),
    _error(
        "resource-type", "The type of the resource is not that of the platform",
        "`AWS::Lambda::Function` or `AWS::ECS::Service`.",
        "version: 0.0\nResources:\n  - App:\n      Type: AWS::Lambda::Alias\n      Properties: {}\n",
    ),
    _error(
        "property-missing", "A property is missing",
        "Lambda needs Name, Alias, CurrentVersion and TargetVersion. ECS needs TaskDefinition and LoadBalancerInfo with "
        "ContainerName and ContainerPort.",
        "version: 0.0\nResources:\n  - TargetService:\n      Type: AWS::ECS::Service\n      Properties:\n        TaskDefinition: app:1\n",
    ),
    _error(
        "property-value", "A property has a value that cannot be",
        "Versions of a function are numbers, an alias is no number, a port is a number, AssignPublicIp is ENABLED or DISABLED.",
        _ECS.format("http"),
    ),
    _error(
        "network", "NetworkConfiguration is not complete",
        "Subnets, SecurityGroups and AssignPublicIp are given all, or none of them; up to 16 subnets and 5 groups.",
        _ECS.format(80) + "        NetworkConfiguration:\n          AwsvpcConfiguration:\n            Subnets: []\n"
        "            SecurityGroups: [sg-1]\n            AssignPublicIp: ENABLED\n",
    ),
    _error(
        "capacity", "CapacityProviderStrategy cannot be",
        "Base is 0 to 100,000 and given for one provider at most, Weight is 0 to 1,000 and above 0 for one of several.",
        _ECS.format(80) + "        CapacityProviderStrategy:\n          - CapacityProvider: FARGATE\n            Weight: 2000\n",
    ),
    Rule(
        id="appspec/hook-function", severity="error", title="Not the name of a Lambda function",
        explanation="A hook names one Lambda function, by its name or ARN.", source=_HOOKS,
        example=_ECS.format(80) + "Hooks:\n  - BeforeInstall: scripts/check.sh\n",
    ),
    Rule(
        id="appspec/hook-empty", severity="warning", title="A hook without a function",
        explanation="A template's hook was left open. Delete the line, or name a Lambda function.", source=_HOOKS,
        example=_ECS.format(80) + 'Hooks:\n  - BeforeInstall: ""\n',
    ),
    Rule(
        id="appspec/hook-twice", severity="warning", title="Two hooks of one event",
        explanation="An event calls one function.", source=_HOOKS,
        example=_ECS.format(80) + "Hooks:\n  - BeforeInstall: a\n  - BeforeInstall: b\n",
    ),
    Rule(
        id="appspec/unknown-property", severity="warning", title="A property that CodeDeploy does not know",
        explanation="It is not documented for this place, and probably misspelled.", source=_RESOURCES,
        example=_ECS.format(80) + "        PlatformVersions: LATEST\n",
    ),
    Rule(
        id="appspec/version-one", severity="warning", title="Version 1 in the place of 0.0",
        explanation=(
            "The documented version is 0.0 and no other. Public projects deploy ECS services with 1; on hosts it is refused."
        ),
        source=SPEC, example=_ECS.format(80).replace("0.0", "1", 1),
    ),
    Rule(
        id="appspec/same-version", severity="warning", title="Traffic is shifted to the version that has it",
        explanation="A deployment whose CurrentVersion and TargetVersion are the same fails.", source=_RESOURCES,
        example="version: 0.0\nResources:\n  - App:\n      Type: AWS::Lambda::Function\n      Properties:\n"
        "        {Name: app, Alias: live, CurrentVersion: 3, TargetVersion: 3}\n",
    ),
    Rule(
        id="appspec/placeholder", severity="note", title="A value that something else has to fill in",
        explanation=(
            "`<TASK_DEFINITION>` and `<IMAGE1_NAME>` are replaced by the action CodeDeployToECS of CodePipeline, and by nothing "
            "else. Other placeholders are up to you."
        ),
        source="https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-ECSbluegreen.html",
        example=_ECS.format(80).replace("app:1", "<TASK_DEFINITION>"),
    ),
    Rule(
        id="appspec/port-zero", severity="warning", title="The container's port is 0",
        explanation="A load balancer sends no traffic to port 0.", source=_RESOURCES, example=_ECS.format(0),
    ),
    Rule(
        id="appspec/ignored-section", severity="warning", title="A section that this platform does not have",
        explanation="`os`, `files`, `permissions` and `file_exists_behavior` are for hosts.", source=SPEC,
        example=_ECS.format(80) + "os: linux\n",
    ),
)  # fmt: skip

_SECTIONS = ("version", "Resources", "Hooks")
_FOR_HOSTS = ("os", "files", "permissions", "file_exists_behavior")


def check(look: Look) -> Iterator[Finding]:
    """What is taken and not meant."""
    found = entries(look.root)
    for key, _ in look.root.entries:
        if key.text.lower() in _FOR_HOSTS:
            yield look.at(
                "ignored-section", "warning", key, f"{key.text} is for hosts; a deployment to {_WHERE[look.reading.platform]} has none",
                source=SPEC,
            )  # fmt: skip
        elif key.text.lower() not in ("version", "resources", "hooks"):
            yield from _unknown(look, key, _SECTIONS, "the top level")
    if "version" in found and word(found["version"][1]) == "1":
        node = found["version"][1]
        yield look.at(
            "version-one", "warning", node, "the documented version is 0.0, not 1", source=SPEC,
            fix=look.replace(node, "0.0", "say version: 0.0", safe=True),
        )  # fmt: skip
    yield from _hooks(look, found["hooks"][1] if "hooks" in found else None)
    for name, resource in _resources(look):
        yield from _properties(look, name, resource)
    yield from _placeholders(look, look.root)
    yield from _same(look)


_WHERE = {"lambda": "Lambda", "ecs": "ECS", "server": "hosts"}


def _resources(look: Look) -> list[tuple[Node, Node]]:
    found = entries(look.root).get("resources")
    if found is None or found[1].kind != "sequence":
        return []
    return [entry for item in found[1].items for entry in item.entries]


def _properties(look: Look, name: Node, resource: Node) -> Iterator[Finding]:
    for key, value in resource.entries:
        if key.text.lower() not in ("type", "properties"):
            yield from _unknown(look, key, ("Type", "Properties"), name.text)
            continue
        if key.text.lower() == "properties":
            known = ECS_PROPERTIES if look.reading.platform == "ecs" else LAMBDA_PROPERTIES
            yield from _below(look, value, known)


def _below(look: Look, node: Node, known: tuple[str, ...]) -> Iterator[Finding]:
    lower = {one.lower() for one in known}
    for key, value in node.entries:
        if key.text.lower() not in lower:
            yield from _unknown(look, key, known, "Properties")
        deeper = _DEEPER.get(key.text.lower())
        for one in value.items or [value] if deeper else ():
            yield from _below(look, one, deeper or ())
        if key.text.lower() == "containerport" and word(value) == "0":
            yield look.at("port-zero", "warning", value, "ContainerPort is 0", source=_RESOURCES)


_DEEPER = {
    "loadbalancerinfo": BALANCER,
    "networkconfiguration": ("AwsvpcConfiguration",),
    "awsvpcconfiguration": NETWORK,
    "capacityproviderstrategy": CAPACITY,
}


def _unknown(look: Look, key: Node, known: tuple[str, ...], where: str) -> Iterator[Finding]:
    near = nearest(key.text, known)
    fix = look.replace(key, near, f"rename {key.text} to {near}", safe=True) if near else None
    meant = f"; it knows {near!r}" if near else ""
    yield look.at(
        "unknown-property", "warning", key, f"CodeDeploy does not know {key.text!r} in {where}{meant}",
        cause="" if near else f"known here: {', '.join(known)}", source=_RESOURCES,
        fix=look.harmless(fix),
    )  # fmt: skip


def _hooks(look: Look, hooks: Node | None) -> Iterator[Finding]:
    seen: dict[str, int] = {}
    for item in hooks.items if hooks is not None else ():
        for key, value in item.entries:
            if value.kind == "scalar" and not word(value).strip():
                yield look.at(
                    "hook-empty",
                    "warning",
                    key,
                    f"{key.text} names no function",
                    cause="delete it, or name one",
                    source=_HOOKS,
                )
            elif key.text.lower() in seen:
                yield look.at(
                    "hook-twice",
                    "warning",
                    key,
                    f"{key.text} has a hook on line {seen[key.text.lower()]} already",
                    source=_HOOKS,
                )
            seen.setdefault(key.text.lower(), look.source.position(key.start)[0])


def _placeholders(look: Look, node: Node) -> Iterator[Finding]:
    for one in (*node.items, *(value for _, value in node.entries)):
        yield from _placeholders(look, one)
    if node.kind == "scalar" and is_placeholder(word(node)):
        by_pipeline = word(node) == "<TASK_DEFINITION>"
        told = (
            "only CodePipeline's action CodeDeployToECS replaces <TASK_DEFINITION>"
            if by_pipeline
            else f"{word(node)} has to be filled in before the deployment"
        )
        yield look.at("placeholder", "note", node, told, source=_PIPELINE)


_PIPELINE = "https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-ECSbluegreen.html"


def _same(look: Look) -> Iterator[Finding]:
    spec = look.reading.spec
    if not isinstance(spec, Lambda) or spec.current_version != spec.target_version:
        return
    if is_placeholder(spec.current_version):
        return
    for _, resource in _resources(look):
        found = entries(entries(resource)["properties"][1])
        yield look.at(
            "same-version", "warning", found["targetversion"][1], "CurrentVersion and TargetVersion are the same",
            cause="there is no traffic to shift, and the deployment fails", source=_RESOURCES,
        )  # fmt: skip
