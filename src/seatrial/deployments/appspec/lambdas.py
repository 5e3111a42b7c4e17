"""The resource of a Lambda deployment."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.deployments.appspec.model import Hook, Lambda
from seatrial.deployments.appspec.properties import matching, need

if TYPE_CHECKING:
    from seatrial.deployments.appspec.refusing import Refusing
    from seatrial.sources.tree import Node

PROPERTIES = ("Name", "Alias", "CurrentVersion", "TargetVersion")
_NAME = re.compile(
    r"(?:arn:aws[a-zA-Z-]*:lambda:[a-z0-9-]+:\d{12}:function:|\d{12}:function:)?[a-zA-Z0-9_-]{1,64}"
)
_ALIAS = re.compile(r"(?![0-9]+$)[a-zA-Z0-9_-]{1,128}")
_VERSION = re.compile(r"0*[1-9][0-9]*")
_RULES = (
    (_NAME, "a function's name of up to 64 letters, digits, `-` and `_`, or its ARN"),
    (_ALIAS, "an alias of up to 128 letters, digits, `-` and `_`, not only digits"),
    (_VERSION, "the number of a published version, 1 or more; `$LATEST` cannot be shifted to"),
    (_VERSION, "the number of a published version, 1 or more; `$LATEST` cannot be shifted to"),
)


def function(refusing: Refusing, resource: str, node: Node, hooks: tuple[Hook, ...]) -> Lambda | None:
    """What the properties say, or None where one is refused."""
    said = []
    for key, (pattern, rule) in zip(PROPERTIES, _RULES, strict=True):
        entry = need(refusing, node, None, key, f"The function {resource}")
        said.append(matching(refusing, entry, key, pattern, rule))
    name, alias, current, target = said
    if name is None or alias is None or current is None or target is None:
        return None
    return Lambda(
        resource=resource, name=name, alias=alias, current_version=current, target_version=target, hooks=hooks
    )
