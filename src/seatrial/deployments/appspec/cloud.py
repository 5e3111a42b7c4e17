"""Application specifications for Lambda and ECS: one resource, and functions that are called at events.

CodeDeploy itself reads these, when a deployment is created. Its answers are little more than that the file is not
well-formed, so what is said here is our own, from the documented rules.

Sources: AWS CodeDeploy user guide, "AppSpec 'resources' section" and "AppSpec 'hooks' section"; the Lambda and ECS API
references for names and limits.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.deployments.appspec.ecs import ecs
from seatrial.deployments.appspec.lambdas import function
from seatrial.deployments.appspec.model import ECS_HOOKS, LAMBDA_HOOKS, Hook
from seatrial.deployments.appspec.properties import NOT_WELL_FORMED
from seatrial.deployments.appspec.walking import entries, is_placeholder, word

if TYPE_CHECKING:
    from typing import Literal

    from seatrial.deployments.appspec.model import Ecs, Lambda
    from seatrial.deployments.appspec.refusing import Refusing
    from seatrial.deployments.appspec.walking import Entry
    from seatrial.sources.tree import Node

EMPTY = "The AppSpec file is empty"
_TYPES = {"lambda": "AWS::Lambda::Function", "ecs": "AWS::ECS::Service"}
_WHAT = {"lambda": "Lambda function", "ecs": "ECS service"}
# A function's name, partial ARN or ARN, with or without version or alias.
_FUNCTION = re.compile(
    r"(?:arn:aws[a-zA-Z-]*:lambda:[a-z0-9-]+:\d{12}:function:|\d{12}:function:|function:|\d{12}:)?"
    r"[a-zA-Z0-9_-]{1,64}(?::(?:\$LATEST|[a-zA-Z0-9_-]+))?"
)


def cloud(refusing: Refusing, root: Node | None, platform: Literal["lambda", "ecs"]) -> Lambda | Ecs | None:
    """What CodeDeploy would go by; refusals are left in `refusing`."""
    if root is None or (root.kind == "scalar" and root.value is None):
        refusing.say("empty", root, EMPTY, cause="`version` and `Resources` are needed")
        return None
    if root.kind != "mapping":
        refusing.say(
            "form", root, NOT_WELL_FORMED, cause="the file is no mapping with `version` and `Resources`"
        )
        return None
    found = entries(root)
    _version(refusing, root, found.get("version"))
    hooks = _hooks(refusing, found.get("hooks"), ECS_HOOKS if platform == "ecs" else LAMBDA_HOOKS, platform)
    resource = _resource(refusing, root, found.get("resources"), platform)
    if resource is None:
        return None
    name, properties = resource
    if platform == "ecs":
        return ecs(refusing, name.text, properties, hooks)
    return function(refusing, name.text, properties, hooks)


def _version(refusing: Refusing, root: Node, entry: Entry | None) -> None:
    if entry is None or not word(entry[1]):
        refusing.say(
            "version", entry[0] if entry else root, "The AppSpec file has no version; the only one is 0.0",
            missing=None if entry else root,
        )  # fmt: skip
        return
    said = word(entry[1]).strip()
    try:
        is_known = float(said) == 0 or said == "1"
    except ValueError:
        is_known = is_placeholder(said)
    if not is_known:
        refusing.say(
            "version", entry[1], f"The AppSpec file has the version {said}; the only one is 0.0",
            cause="the version is that of the file's format, not of what is deployed",
        )  # fmt: skip


def _resource(
    refusing: Refusing, root: Node, entry: Entry | None, platform: Literal["lambda", "ecs"]
) -> tuple[Node, Node] | None:
    """The one resource's name and properties."""
    if entry is None:
        refusing.say("resources", root, "The AppSpec file has no Resources", missing=root)
        return None
    items = entry[1]
    if items.kind != "sequence":
        refusing.say("form", entry[0], NOT_WELL_FORMED, cause="`Resources` is a list with one item")
        return None
    if len(items.items) != 1 or len(items.items[0].entries) > 1:
        many = f"{len(items.items)} resources" if len(items.items) > 1 else "several resources"
        told = f"Resources has {many if items.items else 'no resource'}; a deployment has exactly one"
        refusing.say("resources", items if items.items else entry[0], told)
        return None
    item = items.items[0]
    if item.kind != "mapping" or not item.entries:
        refusing.say(
            "form",
            item,
            NOT_WELL_FORMED,
            cause="the item of `Resources` is a name with `Type` and `Properties`",
        )
        return None
    name, value = item.entries[0]
    if value.kind != "mapping":
        is_flat = name.text.lower() in ("type", "properties")
        cause = (
            "the name of the resource is missing above `Type` and `Properties`"
            if is_flat
            else f"`{name.text}` needs `Type` and `Properties`, indented below it"
        )
        refusing.say("form", name, NOT_WELL_FORMED, cause=cause)
        return None
    _type(refusing, name, value, platform)
    return _properties(refusing, name, value)


def _type(refusing: Refusing, name: Node, value: Node, platform: Literal["lambda", "ecs"]) -> None:
    wanted, entry = _TYPES[platform], entries(value).get("type")
    if entry is None or not word(entry[1]):
        refusing.say(
            "resource-type",
            entry[0] if entry else name,
            f"The resource {name.text} has no Type; it is {wanted}",
        )
        return
    said = word(entry[1])
    if said == wanted or is_placeholder(said):
        return
    cause = f"a deployment of the platform {platform} is one of a {_WHAT[platform]}"
    refusing.say(
        "resource-type",
        entry[1],
        f"The resource {name.text} has the Type {said}; it is {wanted}",
        cause=cause,
    )


def _properties(refusing: Refusing, name: Node, value: Node) -> tuple[Node, Node] | None:
    entry = entries(value).get("properties")
    if entry is None:
        refusing.say("property-missing", name, f"The resource {name.text} has no Properties")
        return None
    if entry[1].kind != "mapping":
        cause = "`Properties` is a mapping" if entry[1].kind == "sequence" else "`Properties` is empty"
        refusing.say("form", entry[0], NOT_WELL_FORMED, cause=cause)
        return None
    return name, entry[1]


def _hooks(
    refusing: Refusing, entry: Entry | None, known: tuple[str, ...], platform: str
) -> tuple[Hook, ...]:
    if entry is None or (entry[1].kind == "scalar" and entry[1].value is None):
        return ()
    if entry[1].kind != "sequence":
        refusing.say("form", entry[0], NOT_WELL_FORMED, cause="`Hooks` is a list with one event in each item")
        return ()
    found = []
    for item in entry[1].items:
        if item.kind != "mapping":
            refusing.say("form", item, NOT_WELL_FORMED, cause="an item of `Hooks` is an event and a function")
            continue
        found += [_hook(refusing, key, value, known, platform) for key, value in item.entries]
    return tuple(one for one in found if one is not None)


def _hook(refusing: Refusing, key: Node, value: Node, known: tuple[str, ...], platform: str) -> Hook | None:
    said = word(value)
    if value.kind != "scalar":
        refusing.say(
            "form", value, NOT_WELL_FORMED,
            cause=f"`{key.text}` is the name or ARN of one Lambda function; scripts are for deployments to hosts",
        )  # fmt: skip
        return None
    if not said.strip():
        return None  # what a template leaves open: `rules.cloud` says so
    event = next((one for one in known if one.lower() == key.text.lower()), None)
    if event is None:
        refusing.say(
            "hook-name", key, f"There is no hook {key.text} in a deployment of the platform {platform}",
            cause=f"known are {', '.join(known)}",
        )  # fmt: skip
        return None
    if not is_placeholder(said) and not _FUNCTION.fullmatch(said):
        refusing.say(
            "hook-function", value, f"{said!r} is not the name or ARN of a Lambda function",
            cause="a name has up to 64 letters, digits, `-` and `_`",
        )  # fmt: skip
        return None
    return Hook(event, said, refusing.place(value))
