"""An application specification as CodeDeploy understands it. What a message may be about knows where it was written.

Source of keys and defaults: AWS CodeDeploy user guide, "AppSpec file reference", and the agent's own behaviour.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from seatrial.findings import Place  # noqa: TC001 - msgspec reads the annotation

Platform = Literal["server", "lambda", "ecs"]
PLATFORMS: tuple[Platform, ...] = ("server", "lambda", "ecs")
Os = Literal["linux", "windows"]
FileExists = Literal["DISALLOW", "OVERWRITE", "RETAIN"]
FILE_EXISTS: tuple[FileExists, ...] = ("DISALLOW", "OVERWRITE", "RETAIN")
DEFAULT_NAMES = ("appspec.yml", "appspec.yaml")
DEFAULT_TIMEOUT = 3600
"""Seconds that a hook's script may take where it says nothing, and that all scripts of one event may take together."""

# The lifecycle events that have hooks, in the order in which they come up.
SERVER_HOOKS = (
    "BeforeBlockTraffic",
    "AfterBlockTraffic",
    "ApplicationStop",
    "BeforeInstall",
    "AfterInstall",
    "ApplicationStart",
    "ValidateService",
    "BeforeAllowTraffic",
    "AfterAllowTraffic",
)
LAMBDA_HOOKS = ("BeforeAllowTraffic", "AfterAllowTraffic")
ECS_HOOKS = (
    "BeforeInstall",
    "AfterInstall",
    "AfterAllowTestTraffic",
    "BeforeAllowTraffic",
    "AfterAllowTraffic",
)
# Events that only CodeDeploy itself carries out.
RESERVED_EVENTS = ("Start", "DownloadBundle", "Install", "TestTraffic", "BlockTraffic", "AllowTraffic", "End")


class Mapping(msgspec.Struct, frozen=True):
    """A file or folder of the revision and the folder that it is copied to."""

    source: str
    destination: str
    place: Place


class Ace(msgspec.Struct, frozen=True):
    """One entry of an access control list. `type` is user, group, mask or other; `name` is empty for the owner's."""

    type: str
    name: str
    read: bool
    write: bool
    execute: bool
    default: bool = False

    def __str__(self) -> str:
        rights = "".join(
            letter if has else "-"
            for letter, has in (("r", self.read), ("w", self.write), ("x", self.execute))
        )
        return f"{'default:' if self.default else ''}{self.type}:{self.name}:{rights}"


class Range(msgspec.Struct, frozen=True):
    """An SELinux range: sensitivity levels from `low` to `high`, and categories in order."""

    low: int
    high: int
    categories: tuple[int, ...] | None = None

    def __str__(self) -> str:
        levels = f"s{self.low}" if self.low == self.high else f"s{self.low}-s{self.high}"
        if self.categories is None:
            return levels
        runs: list[list[int]] = []
        for number in self.categories:
            if runs and number == runs[-1][1] + 1:
                runs[-1][1] = number
            else:
                runs.append([number, number])
        return f"{levels}:{','.join(f'c{a}' if a == b else f'c{a}.c{b}' for a, b in runs)}"


class Context(msgspec.Struct, frozen=True):
    """An SELinux context. The agent reads the user from the key `name`, and no role."""

    type: str
    user: str | None = None
    range: Range | None = None


class Permission(msgspec.Struct, frozen=True, kw_only=True):
    """What the files below `object` are given. `mode` is octal digits as the agent applies them; None leaves it."""

    object: str
    place: Place
    pattern: str = "**"
    except_: tuple[str, ...] = ()
    type: tuple[str, ...] = ("file", "directory")
    owner: str | None = None
    group: str | None = None
    mode: str | None = None
    acls: tuple[Ace, ...] | None = None
    context: Context | None = None


class Script(msgspec.Struct, frozen=True):
    """One script of a hook. `timeout` is in seconds, `runas` a user's name."""

    location: str
    timeout: int
    runas: str | None
    sudo: bool
    place: Place


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment to hosts. `hooks` also has those that no event has the name of, and empty ones."""

    version: float
    os: Os
    files: tuple[Mapping, ...] = ()
    permissions: tuple[Permission, ...] = ()
    hooks: dict[str, tuple[Script, ...]] = {}
    file_exists_behavior: FileExists | None = None


class Hook(msgspec.Struct, frozen=True):
    """A Lambda function, by name or ARN, that is called at an event of a Lambda or ECS deployment."""

    event: str
    function: str
    place: Place


class Lambda(msgspec.Struct, frozen=True, kw_only=True):
    """A shift of an alias from one version of a function to another. `resource` is the name the file gives it."""

    resource: str
    name: str
    alias: str
    current_version: str
    target_version: str
    hooks: tuple[Hook, ...] = ()


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """Where the tasks of an ECS service are placed."""

    subnets: tuple[str, ...]
    security_groups: tuple[str, ...]
    assign_public_ip: Literal["ENABLED", "DISABLED"]


class Capacity(msgspec.Struct, frozen=True):
    """A part of a capacity provider strategy."""

    provider: str
    base: int = 0
    weight: int = 0


class Ecs(msgspec.Struct, frozen=True, kw_only=True):
    """A replacement of the task set of an ECS service. `task_definition` may be a placeholder of CodePipeline."""

    resource: str
    task_definition: str
    container_name: str
    container_port: int
    platform_version: str = ""
    network: Network | None = None
    capacity: tuple[Capacity, ...] = ()
    hooks: tuple[Hook, ...] = ()


Spec = Server | Lambda | Ecs
