"""Groups: what they may be, in CodeDeploy's words, and that the command line says so."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from seatrial.deployments import deployments, groups, records
from seatrial.deployments.configurations import find
from seatrial.deployments.hosts.model import Place
from seatrial.deployments.revisions import Revision
from seatrial.errors import SeatrialError, UsageError
from support.waiting import until

if TYPE_CHECKING:
    from seatrial.deployments.groups import Group
    from support.fleet import Fleet

REVISION = Revision(id="r-1", application="web", location="/x", type="directory", digest="1", kept="/x")


def place(home: Path, name: str, root: str = "") -> Place:
    return Place(name=name, home=str(home), root=root or str(home / name))


def make(home: Path, name: str = "web/test") -> Group:
    return groups.create(home, name, [place(home, "a"), place(home, "b")], find("OneAtATime"), now=1.0)


def create(home: Path, group: Group, creator: deployments.Creator = "user") -> deployments.Deployment:
    with records.changing(home):
        return deployments.create(home, group, REVISION, now=2.0, creator=creator)


def end(home: Path, one: deployments.Deployment, status: deployments.Overall) -> None:
    for host in one.hosts:
        good = status == "Succeeded"
        one = deployments.enter(
            home, one, host.name, deployments.OnHost(status="Succeeded" if good else "Failed")
        )
    deployments.end(home, one, status, now=3.0)


def test_a_group_has_one_active_deployment(tmp_path: Path) -> None:
    group = make(tmp_path)
    first = create(tmp_path, group)

    with pytest.raises(SeatrialError, match=f"already has an active Deployment '{first.id}'"):
        create(tmp_path, group)
    end(tmp_path, first, "Failed")

    assert create(tmp_path, groups.load(tmp_path, "web/test")).id != first.id


def test_a_group_that_is_made_anew_does_not_go_on_from_one_that_had_its_name(tmp_path: Path) -> None:
    group = make(tmp_path)
    end(tmp_path, create(tmp_path, group), "Succeeded")
    create(tmp_path, group)
    groups.delete(tmp_path, group)

    again = groups.create(tmp_path, "web/test", [place(tmp_path, "a")], find("OneAtATime"), now=5.0)

    assert deployments.last_good(tmp_path, again) is None
    assert deployments.active(tmp_path, again) is None
    assert len(deployments.every(tmp_path)) == 2, "what was done is still known"


def test_what_a_deployment_did_to_a_host_is_known_to_the_next_one(tmp_path: Path) -> None:
    end(tmp_path, create(tmp_path, make(tmp_path)), "Succeeded")
    good = groups.load(tmp_path, "web/test")
    hosts = groups.for_rollout(tmp_path, good, "r-1")
    other = groups.for_rollout(tmp_path, good, "r-2")
    end(tmp_path, create(tmp_path, good), "Failed")
    bad = groups.for_rollout(tmp_path, groups.load(tmp_path, "web/test"), "r-1")

    assert {(host.health, host.revision) for host in hosts} == {("healthy", "current")}
    assert {host.revision for host in other} == {"old"}
    assert {(host.health, host.revision) for host in bad} == {("unhealthy", "unknown")}
    assert deployments.last_good(tmp_path, good) is not None


def test_settings_change_and_what_is_known_stays(tmp_path: Path) -> None:
    end(tmp_path, create(tmp_path, make(tmp_path)), "Succeeded")
    group = groups.load(tmp_path, "web/test")

    changed = groups.update(tmp_path, group, [place(tmp_path, "b"), place(tmp_path, "c")])

    assert changed.hosts == ("b", "c")
    assert set(changed.known) == {"b"}
    assert changed.last_good == group.last_good


def test_a_host_is_the_same_in_all_groups(tmp_path: Path) -> None:
    make(tmp_path)

    with pytest.raises(UsageError, match="host a is written down with the folder"):
        groups.create(tmp_path, "web/other", [place(tmp_path, "a", "/elsewhere")], find("AllAtOnce"), now=1.0)
    assert groups.every(tmp_path)[0].label == "web/test"
    assert len(groups.every(tmp_path)) == 1


@pytest.mark.parametrize("record", ["{", '{"id": 3}'])
def test_a_damaged_record_says_where_it_is(tmp_path: Path, record: str) -> None:
    make(tmp_path)
    file = groups.path(tmp_path, "web", "test")
    file.write_text(record)

    with pytest.raises(SeatrialError, match="cannot be read") as caught:
        groups.load(tmp_path, "web/test")
    assert caught.value.where == str(file)


REFUSED = [
    (["groups", "create", "web"], "is no group"),
    (["groups", "create", "we b/x", "--host", "a=a"], "cannot be the name of an application"),
    (["groups", "create", "../x", "--host", "a=a"], "cannot be the name of an application"),
    (["groups", "create", "web/x"], "has no hosts"),
    (["groups", "create", "web/x", "--host", "a"], "is no host"),
    (["groups", "create", "web/x", "--host", "../a=x"], "cannot be the name of a host"),
    (["groups", "create", "web/x", "--host", "a=x", "--host", "a=y"], "two hosts have the same name"),
    (["groups", "create", "web/x", "--host", "a=x", "--host", "b=x"], "two hosts have the same folder"),
    (
        ["groups", "create", "web/x", "--host", "a=x", "--config", "Some"],
        "no deployment configuration 'Some'",
    ),
    (["groups", "create", "web/x", "--host", "a=x", "--config", "FLEET_PERCENT=100"], "less than 100"),
    (["groups", "create", "web/x", "--host", "a=x", "--config", "ECSAllAtOnce"], "should be Server."),
    (["groups", "create", "web/x", "--host", "a=x", "--rollback-on", "rain"], "is no event"),
    (
        ["groups", "create", "web/x", "--host", "a=x", "--rollback-on", "alarm"],
        "at least one alarms attached",
    ),
    (["groups", "create", "web/x", "--host", "a=x", "--alarm", "up"], "is no alarm"),
    (["groups", "show", "web/x"], "No Deployment Group found for name: x"),
    (["run", "bundle", "--group", "web/x"], "No Deployment Group found for name: x"),
    (["show", "x" * 300], "there is no deployment 'xxx"),
    (["show", "d-NOTHING"], "there is no deployment 'd-NOTHING'"),
    (["rollback", "web/x"], "No Deployment Group found for name: x"),
]


def test_wrong_usage_is_refused_with_what_to_do(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from seatrial.cli.deploy import deploy

    runner = CliRunner(env={"SEATRIAL_HOME": str(tmp_path)})
    for arguments, message in REFUSED:
        done = runner.invoke(deploy, arguments)
        assert isinstance(done.exception, UsageError), (arguments, done.output)
        assert message in done.exception.what, arguments
        assert done.exception.exit_code == 2
    assert groups.every(tmp_path) == []


def test_a_change_that_changes_nothing_is_refused_and_others_are_kept(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from seatrial.cli.deploy import deploy

    make(tmp_path)
    runner = CliRunner(env={"SEATRIAL_HOME": str(tmp_path)})

    alone = runner.invoke(deploy, ["groups", "update", "web/test", "--isolation", "processes"])
    half = runner.invoke(deploy, ["groups", "update", "web/test", "--config", "HalfAtATime"])

    both = runner.invoke(deploy, ["run", "--group", "web/test", "--revision", "r-1", "--type", "zip"])

    assert isinstance(alone.exception, UsageError)
    assert "--type and --version say what BUNDLE is" in str(both.exception)
    assert half.exit_code == 0
    group = groups.load(tmp_path, "web/test")
    assert (group.configuration.name, group.hosts) == ("CodeDeployDefault.HalfAtATime", ("a", "b"))


def test_a_group_is_made_shown_and_deleted_by_commands(fleet: Fleet) -> None:
    fleet.create(2, "--alarm", "up=hosts:http://127.0.0.1:1/", "--rollback-on", "failure,alarm")

    shown = json.loads(fleet.run("groups", "show", "web/test", "--json").stdout)
    ran = fleet.run("groups", "exec", "a", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    long = fleet.run("groups", "exec", "a", "--", "sh", "-c", "head -c 400000 /dev/zero | tr '\\0' x")
    waiting = fleet.start(
        "groups", "exec", "a", "--", "sh", "-c", f"echo $$ > {fleet.folder}/pid; exec sleep 300"
    )
    pid = fleet.folder / "pid"
    until(lambda: pid.exists() and pid.read_text().endswith("\n"), "the program runs")
    os.killpg(waiting.pid, signal.SIGINT)
    waiting.communicate()
    until(lambda: not Path(f"/proc/{pid.read_text().strip()}").exists(), "it is ended")
    gone = fleet.run("groups", "delete", "web/test")

    assert shown["rollback_on"] == ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM"]
    assert shown["alarms"] == [{"name": "up", "argv": [], "url": "http://127.0.0.1:1/", "on_hosts": True}]
    assert [host["health"] for host in shown["hosts"]] == ["unknown", "unknown"]
    assert (ran.returncode, ran.stdout, ran.stderr) == (7, "out\n", "err\n")
    assert long.stdout == "x" * 400_000
    assert waiting.returncode == 130
    assert gone.returncode == 0
    assert list((fleet.home / "hosts").iterdir()) == []
