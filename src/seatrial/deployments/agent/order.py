"""What a host is asked to deploy, and what is refused before anything is touched.

Source of defaults, orders and messages: the agent's own tool for one host, `codedeploy-local`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, get_args

import msgspec

from seatrial.errors import SeatrialError

Type = Literal["directory", "zip", "tar", "tgz", "git"]
TYPES: tuple[Type, ...] = get_args(Type)
Allowed = Literal["symlinks", "traversal", "setuid", "duplicates"]
ALLOWED: tuple[Allowed, ...] = get_args(Allowed)
DEFAULT_GROUP = "default-local-deployment-group"
DEFAULT_ARCHIVES = 5
MOST_BYTES = 16 << 30
"""Bytes to which a bundle may unpack where nothing else is said."""

EVENTS = (
    "BeforeBlockTraffic",
    "AfterBlockTraffic",
    "ApplicationStop",
    "DownloadBundle",
    "BeforeInstall",
    "Install",
    "AfterInstall",
    "ApplicationStart",
    "ValidateService",
    "BeforeAllowTraffic",
    "AfterAllowTraffic",
)
"""All lifecycle events of a host, in their order."""
REQUIRED = ("DownloadBundle", "Install")
OF_LAST = ("BeforeBlockTraffic", "AfterBlockTraffic", "ApplicationStop")
"""Events whose scripts come from the last revision that was installed."""
_OF_NEW = ("AfterInstall", "ApplicationStart", "BeforeAllowTraffic", "AfterAllowTraffic", "ValidateService")
_NAME = re.compile(r"[A-Za-z0-9+=,.@_-]{1,100}")
_EVENT = re.compile(r"[A-Z][a-z0-9]+[A-Za-z0-9]{0,60}")
_KEPT_NAMES = ("deployment-instructions", "deployment-logs", "ongoing-deployment")


class Hardening(msgspec.Struct, frozen=True, kw_only=True):
    """What is not done for a bundle unless it is asked for.

    `allow` names what is let through: symbolic links that lead out of the bundle, paths that do (of scripts, of sources
    and in archives) and links at a file's destination, files with set-user-id, two files of one name. `most` is the
    number of bytes that a bundle may unpack to. Scripts get a few variables of the agent's own environment, and those in
    `pass_on`; with `inherit` all of them.
    """

    allow: tuple[Allowed, ...] = ()
    most: int = MOST_BYTES
    inherit: bool = False
    pass_on: tuple[str, ...] = ()


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment on one host.

    `bundle` is a path, `s3://BUCKET/KEY` or a repository; `version` is a commit, branch or tag of a repository. `group`
    is the group's id, which names its folder. `overwriting` is what happens to files that are there already. `archives`
    is how many revisions are kept. Scripts run in `cwd`. `creator` and `blue_green` are those of the deployment.
    """

    bundle: str
    root: str
    deployment: str
    type: Type = "directory"
    version: str = ""
    group: str = DEFAULT_GROUP
    group_name: str = ""
    application: str = ""
    events: tuple[str, ...] = ()
    appspec: str = ""
    overwriting: Literal["DISALLOW", "OVERWRITE", "RETAIN"] = "DISALLOW"
    archives: int = DEFAULT_ARCHIVES
    cwd: str = "/"
    creator: str = "user"
    blue_green: bool = False
    hardening: Hardening = Hardening()

    @property
    def appspec_name(self) -> str:
        return self.appspec or "appspec.yml"


class Invalid(SeatrialError):  # noqa: N818 - what the order is
    """An order that cannot be followed; `what` is the agent's own text."""

    exit_code = 2


def local(bundle: str) -> bool:
    """Whether the bundle is a file or folder of this machine."""
    return not re.match(r"(?:s3|https?|ssh|git|file)://", bundle)


def check(order: Order) -> Order:
    """Return an order that can be followed.

    Raises:
        Invalid: it names no bundle, no group or events that are none, or events in an order that cannot be.
    """
    for kind, name in (("deployment group", order.group), ("deployment", order.deployment)):
        if not _NAME.fullmatch(name) or name.strip(".") == "" or name in _KEPT_NAMES:
            raise Invalid(
                f"{name!r} cannot be the id of a {kind}",
                fix="use letters, digits and + = , . @ _ -, 100 at most",
            )
    if order.deployment.startswith("."):
        # Locks lie beside what is said of deployments, under such names.
        raise Invalid(f"{order.deployment!r} cannot be the id of a deployment", fix="begin it with a letter")
    _check_text(order)
    if order.archives < 1:
        raise Invalid(
            f"Invalid configuration :max_revision={order.archives}", fix="keep one revision or more"
        )
    name = order.appspec_name
    if name.startswith("/") or ".." in name.split("/"):
        raise Invalid(f"the appspec {name!r} is not in the bundle", fix="give its path within the bundle")
    if re.match(r"(?!ssh://[^/@:]*@)[a-z+]+://[^/@]*@", order.bundle, re.IGNORECASE):
        # The order is kept with the run.
        raise Invalid(
            "the URL of a bundle has a login in it, which would be written down",
            fix="leave it out, and let a credential helper of git know it",
        )
    if order.version and order.type != "git":
        raise Invalid(
            f"--version {order.version} is of repositories, and the bundle is a {order.type}",
            fix="leave it out, say --type git, or for an object in S3 write s3://BUCKET/KEY?versionId=V",
        )
    if local(order.bundle) and order.type != "git":
        _check_place(order)
    _check_order(order.events)
    return order


def events_of(order: Order) -> tuple[str, ...]:
    """The events to go through: those asked for, with DownloadBundle and Install before them where they are missing."""
    asked = order.events or EVENTS
    events = [*(name for name in REQUIRED if name not in asked), *asked]
    download, install = events.index("DownloadBundle"), events.index("Install")
    if install < download:
        events[download], events[install] = events[install], events[download]
    return tuple(events)


def possible(order: Order) -> tuple[str, ...]:
    """The events that an appspec may have hooks for."""
    return tuple(dict.fromkeys((*EVENTS, *(order.events or EVENTS))))


def _check_text(order: Order) -> None:
    """Whether the order can be written down, and its object named."""
    for text in (
        order.bundle,
        order.root,
        order.cwd,
        order.application,
        order.group_name,
        *order.hardening.pass_on,
    ):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Invalid(f"{text!a} is not in UTF-8", fix="rename it") from None
    if re.fullmatch(r"s3://[^/?]*/?(\?.*)?", order.bundle):
        raise Invalid(f"{order.bundle} is a bucket, and no object in it", fix="name it as s3://BUCKET/KEY")


def _check_place(order: Order) -> None:
    where, there = order.bundle, Path(order.cwd, order.bundle)
    if not there.exists():
        raise Invalid(f"location {where} is specified as a file or directory which does not exist")
    if order.type == "directory":
        if there.is_file():
            raise Invalid(f"location {where} is specified with type directory but it is a file")
        if there.resolve() == Path(order.root).resolve():
            raise Invalid(
                f"the bundle {where} is also the folder in which revisions are kept, which would hold itself",
                fix="keep them elsewhere: --root FOLDER",
            )
        _check_appspec(order, there)
    elif there.is_dir():
        raise Invalid(f"location {where} is specified as a compressed local file but it is a directory")


def _check_appspec(order: Order, there: Path) -> None:
    names = [order.appspec] if order.appspec else ["appspec.yml", "appspec.yaml"]
    if any((there / name).exists() for name in names):
        return
    places = " or ".join(f"{order.bundle}/{name}" for name in names)
    called = " or ".join(names)
    raise Invalid(
        f"Expecting appspec file at location {places} but it is not found there. Please either run the CLI from within "
        f"a directory containing the {called} file or specify a bundle location containing an {called} file in its root "
        "directory"
    )


def _check_order(events: tuple[str, ...]) -> None:
    for name in events:
        if not _EVENT.fullmatch(name):
            raise Invalid(
                f"Received command is not in PascalCase form: {name}",
                fix="name events as in ApplicationStart",
            )
    shown = ",".join(events)
    if "DownloadBundle" in events:
        before = events[: events.index("DownloadBundle")]
        if set(before) & {*_OF_NEW, "Install"}:
            raise Invalid(_misplaced("DownloadBundle", OF_LAST, shown))
    if "Install" in events and set(events[: events.index("Install")]) & set(_OF_NEW):
        raise Invalid(_misplaced("Install", (*OF_LAST, "DownloadBundle", "BeforeInstall"), shown))


def _misplaced(event: str, allowed: tuple[str, ...], shown: str) -> str:
    return (
        f"The only events that can be specified before {event} are {','.join(allowed)}. Please fix the order of your "
        f"specified events: {shown}"
    )
