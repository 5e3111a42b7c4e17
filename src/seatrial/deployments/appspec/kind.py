"""What a file is that stands where an application specification is expected."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from seatrial.deployments.appspec.model import ECS_HOOKS, LAMBDA_HOOKS
from seatrial.deployments.appspec.walking import entries, word

if TYPE_CHECKING:
    from collections.abc import Callable

    from seatrial.deployments.appspec.model import Platform
    from seatrial.sources.tree import Node

Other = Literal["buildspec", "cloudformation", "kubernetes", "pipeline", "compose", "script"]

_PHASES = frozenset({"phases", "batch"})
_SERVER_KEYS = frozenset({"os", "files", "permissions", "file_exists_behavior"})
_FUNCTION = re.compile(r"AWS::Lambda::Function", re.IGNORECASE)
_SERVICE = re.compile(r"AWS::ECS::Service", re.IGNORECASE)
_ECS_WORDS = re.compile(r"\b(?:TaskDefinition|LoadBalancerInfo|ContainerName|TargetService)\b", re.IGNORECASE)
_LAMBDA_WORDS = re.compile(r"\b(?:CurrentVersion|TargetVersion)\b", re.IGNORECASE)
_RESOURCES = re.compile(r"""^[ \t]*["']?Resources["']?[ \t]*:""", re.MULTILINE | re.IGNORECASE)


def platform(text: str, root: Node | None) -> Platform:
    """What a file is for, by what it says; a file that says nothing is for hosts."""
    found = entries(root)
    if root is None:
        is_cloud = _RESOURCES.search(text) is not None and other(text, None) is None
    elif "resources" in found:
        is_cloud = not _SERVER_KEYS & found.keys() and other(text, root) is None
    else:
        return _by_hooks(found)
    if not is_cloud:
        return "server"
    return _by_words(text)


def _by_words(text: str) -> Platform:
    for pattern, named in _WORDS:
        if pattern.search(text):
            return named
    return "ecs"


_WORDS: tuple[tuple[re.Pattern[str], Platform], ...] = (
    (_SERVICE, "ecs"),
    (_FUNCTION, "lambda"),
    (_ECS_WORDS, "ecs"),
    (_LAMBDA_WORDS, "lambda"),
)


def _by_hooks(found: dict[str, tuple[Node, Node]]) -> Platform:
    """Hooks are a list only where functions are called; there `Resources` was forgotten."""
    hooks = found.get("hooks")
    if hooks is None or hooks[1].kind != "sequence" or _SERVER_KEYS & found.keys():
        return "server"
    names = {key for item in hooks[1].items for key in entries(item)}
    if not names & {one.lower() for one in ECS_HOOKS}:
        return "server"
    return "lambda" if names <= {one.lower() for one in LAMBDA_HOOKS} else "ecs"


def other(text: str, root: Node | None) -> Other | None:
    """What else a file plainly is; None where it may well be an application specification."""
    if text.startswith("#!"):
        return "script"
    found = entries(root)
    if root is None:
        return next((name for pattern, name in _OTHERS if pattern.search(text)), None)
    if _SERVER_KEYS & found.keys():
        return None
    return next((name for name, test in _BY_KEYS if test(found)), None)


def _is_buildspec(found: dict[str, tuple[Node, Node]]) -> bool:
    if {"resources", "hooks"} & found.keys():
        return False
    return bool(_PHASES & found.keys()) or (
        "version" in found and word(found["version"][1]) in ("0.1", "0.2")
    )


_BY_KEYS: tuple[tuple[Other, Callable[[dict[str, tuple[Node, Node]]], bool]], ...] = (
    ("cloudformation", lambda found: bool({"awstemplateformatversion", "transform"} & found.keys())),
    ("kubernetes", lambda found: {"apiversion", "kind"} <= found.keys()),
    ("buildspec", _is_buildspec),
    ("pipeline", lambda found: "stages" in entries(found["pipeline"][1]) if "pipeline" in found else False),
    ("compose", lambda found: "services" in found and "resources" not in found),
)


_OTHERS: tuple[tuple[re.Pattern[str], Other], ...] = (
    (re.compile(r"^[\"']?AWSTemplateFormatVersion", re.MULTILINE), "cloudformation"),
    (re.compile(r"^[\"']?phases[\"']?[ \t]*:", re.MULTILINE), "buildspec"),
    (re.compile(r"^apiVersion:[^\n]*\n(?:.*\n)*?kind:", re.MULTILINE), "kubernetes"),
)


def is_appspec(root: Node | None) -> bool:
    """Whether a file that stands in a buildspec's place plainly is an application specification."""
    found = entries(root)
    if _PHASES & found.keys() or "env" in found or "artifacts" in found:
        return False
    if "resources" in found:
        return found["resources"][1].kind == "sequence"
    return "os" in found and bool({"files", "hooks", "permissions"} & found.keys())
