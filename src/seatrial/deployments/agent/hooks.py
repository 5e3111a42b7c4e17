"""The scripts of a lifecycle event: which revision they come from, how they are started, and what is said of them.

Source: the agent's HookExecutor (messages, order, environment) and the rule of its version 2 for what outlives its
time: TERM, five seconds, KILL, for everything that the script has started.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from seatrial.deployments.agent import diagnostics, scripts
from seatrial.deployments.agent.diagnostics import Diagnostics, Failed, unknown
from seatrial.deployments.agent.order import OF_LAST
from seatrial.deployments.agent.records import ScriptLog, pointed
from seatrial.engine import points

if TYPE_CHECKING:
    from seatrial.deployments.agent.order import Hardening, Order
    from seatrial.deployments.agent.records import Places
    from seatrial.deployments.appspec.model import Script, Server

_ALWAYS = (
    "HOME", "LANG", "LANGUAGE", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER",
    "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_SSL_CA_DIRECTORY", "SSL_CERT_DIR", "SSL_CERT_FILE",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
)  # fmt: skip
"""Variables of the agent's own that scripts get unless `--inherit-env` gives them all; LC_… as well."""


MARK = "SEATRIAL_EVENT"
"""The variable in which every process of an event carries its mark."""


def revision_of(order: Order, places: Places, event: str) -> Path | None:
    """The folder of the deployment whose scripts an event runs; None where there is none yet."""
    mapping = dict.fromkeys(OF_LAST, "last")
    if order.creator == "codeDeployRollback" and order.blue_green:
        mapping |= {"BeforeBlockTraffic": "recent", "AfterBlockTraffic": "recent"}
        mapping |= {"BeforeAllowTraffic": "last", "AfterAllowTraffic": "last"}
    if places.archive.exists() or event not in mapping:
        return places.here
    return pointed(places.last if mapping[event] == "last" else places.recent)


def run(order: Order, places: Places, event: str, spec: Server, revision: Path, given: dict[str, str]) -> str:
    """Run the scripts that `revision` has for an event; returns the end of their log.

    `given` are further variables for them: BUNDLE_…, and the mark by which their processes are found.

    Raises:
        Failed: a script failed; the others were not started.
    """
    hooks = spec.hooks.get(event, ())
    if not hooks:
        return ""
    log = ScriptLog(places, order.deployment)
    log.add(f"LifecycleEvent - {event}\n")
    env = environment(order, event, given)
    for script in hooks:
        _run_script(script, order, revision / "deployment-archive", env, log)
    return diagnostics.tail(log.entries)


def environment(order: Order, event: str, given: dict[str, str]) -> dict[str, str]:
    """What scripts see: the agent's variables, and as much of its own environment as is wanted."""
    return inherited(order.hardening) | {
        "LIFECYCLE_EVENT": event,
        "DEPLOYMENT_ID": order.deployment,
        "APPLICATION_NAME": order.application,
        "DEPLOYMENT_GROUP_NAME": order.group_name,
        "DEPLOYMENT_GROUP_ID": order.group,
        **given,
    }


def inherited(hardening: Hardening) -> dict[str, str]:
    """What of the agent's own environment scripts see."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("SEATRIAL_")}
    if hardening.inherit:
        return mine
    names = {*_ALWAYS, *hardening.pass_on}
    return {name: value for name, value in mine.items() if name in names or name.startswith("LC_")}


def _run_script(script: Script, order: Order, archive: Path, env: dict[str, str], log: ScriptLog) -> None:
    named = f"Script at specified location: {script.location}"
    who = f"{named} run as user {script.runas}" if script.runas is not None else named
    try:
        place = _place(script, order, archive)
        argv = _argv(script, place)
        log.add(f"Script - {script.location}\n")
        ended = _started(argv, place, script, who, order, env, log)
        _judge(ended, script, named, who)
    except Failed as error:
        said = msgspec.structs.replace(
            error.diagnostics, script_name=script.location, log=diagnostics.tail(log.entries)
        )
        raise Failed(said) from error


def _failed(code: int, message: str, *, why: str | None = None, fix: str | None = None) -> Failed:
    return Failed(Diagnostics(code, "", message, "", why or "", fix or ""))


def _started(
    argv: list[str], place: str, script: Script, who: str, order: Order, env: dict[str, str], log: ScriptLog
) -> scripts.Ended:
    event = env["LIFECYCLE_EVENT"]
    try:
        return scripts.run(
            argv,
            env=env,
            cwd=order.cwd,
            seconds=script.timeout,
            say=log.add,
            begun=lambda: points.reach(f"agent/{event}/script"),
        )
    except FileNotFoundError as error:
        # Where the script itself is there, it is its interpreter that is not.
        message = f"{who} failed with error Errno::ENOENT with message No such file or directory - {argv[0]}"
        fix = (
            "its first line names no program of this host (a CR at its end counts)"
            if argv[0] == place
            else f"install {argv[0]}, or leave `runas` and `sudo` out of the appspec"
        )
        raise _failed(diagnostics.FAILED, message, fix=fix) from error
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "EIO")
        message = f"{who} failed with error Errno::{name} with message {error.strerror} - {argv[0]}"
        raise _failed(diagnostics.FAILED, message) from error


def _judge(ended: scripts.Ended, script: Script, named: str, who: str) -> None:
    if ended.late:
        raise _failed(diagnostics.TIMED_OUT, f"{named} failed to complete in {script.timeout} seconds")
    if ended.left_open:
        raise _failed(
            diagnostics.LEFT_OPEN,
            f"{named} failed to close {ended.left_open}",
            fix="let what goes on in the background write elsewhere: `command > /dev/null 2>&1 < /dev/null &`",
        )
    if ended.code != 0:
        shown = "" if ended.code is None else ended.code
        raise _failed(diagnostics.FAILED, f"{who} failed with exit code {shown}")


def _place(script: Script, order: Order, archive: Path) -> str:
    """Where the script is; one that may not be executed is made so.

    Raises:
        Failed: it is not there, is not in the revision, or stays as it is.
    """
    from seatrial.deployments.agent.installing import join

    place = join(str(archive), script.location)
    if "traversal" not in order.hardening.allow:
        end, top = os.path.realpath(place), os.path.realpath(archive)
        if not end.startswith(f"{top}/"):
            raise unknown(
                f"The script {script.location} leads out of the revision",
                why=f"it is {end}",
                fix="put the script into the bundle, or let it through with `--allow traversal`",
            )
    if not os.path.exists(place):  # noqa: PTH110
        missing = f"Script does not exist at specified location: {os.path.abspath(place)}"  # noqa: PTH100
        raise _failed(
            diagnostics.MISSING, missing, fix="add it to the bundle, or correct `location` in the appspec"
        )
    if not os.access(place, os.X_OK):
        try:
            Path(place).chmod(stat.S_IMODE(os.stat(place).st_mode) | 0o111)  # noqa: PTH116
        except OSError as error:
            message = f"Unable to set script at specified location: {script.location} as executable"
            raise _failed(diagnostics.NOT_EXECUTABLE, message, why=error.strerror) from error
    return place


def _argv(script: Script, place: str) -> list[str]:
    """The command line of a script. Who may not become another user cannot run it as one."""
    import pwd
    import shlex

    me = os.geteuid()
    sudo = ["sudo", "-n"] if script.sudo else []
    if script.runas is None:
        return [*sudo, place]
    try:
        there = pwd.getpwnam(script.runas).pw_uid
    except KeyError:
        there = -1  # su says so
    if me != 0 and not sudo:
        if there == me:
            return [place]
        named = f"Script at specified location: {script.location} run as user {script.runas}"
        raise _failed(
            diagnostics.FAILED,
            f"{named} failed with error Errno::EPERM with message only root can run a script as another user",
            fix="run the agent as root, or leave `runas` out of the appspec",
        )
    return [*sudo, "su", script.runas, "-c", shlex.quote(place)]
