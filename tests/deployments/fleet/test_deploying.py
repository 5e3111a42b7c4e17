"""Deployments to several hosts of this machine, for real: agents, hooks, failures, crashes."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from seatrial.deployments.hosts import asking
from seatrial.deployments.hosts.model import Place
from seatrial.engine import identity
from seatrial.errors import MissingToolError
from support.fleet import GROUP, Fleet, statuses
from support.waiting import remove, until

if TYPE_CHECKING:
    from pathlib import Path

_SERVE = """#!/bin/sh
cd /srv/seatrial-site && python3 -m http.server --bind 127.0.0.1 8123 >/dev/null 2>&1 &
for n in $(seq 100); do
  python3 -c 'import socket; socket.create_connection(("127.0.0.1", 8123), 1)' 2>/dev/null && exit 0
  sleep 0.1
done
exit 1
"""
_ASK = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:8123/name').read().decode())"


@pytest.fixture
def namespaces(tmp_path: Path) -> None:
    place = Place(name="probe", home=str(tmp_path / "probing"), root=str(tmp_path / "probing/root"))
    try:
        asking.start(place)
    except MissingToolError as error:
        pytest.skip(f"namespaces: {error.what}")
    asking.remove(place)


@pytest.mark.usefixtures("namespaces")
def test_five_hosts_have_networks_and_files_of_their_own_and_one_that_vanishes_has_failed(
    fleet: Fleet,
) -> None:
    fleet.create(5, "--config", "AllAtOnce", isolation="namespaces")
    bundle = fleet.bundle("one", "ApplicationStart", _SERVE)
    (bundle / "site").mkdir()
    (bundle / "site/name").write_text("served")
    files = "files:\n  - source: site\n    destination: /srv/seatrial-site\n"
    (bundle / "appspec.yml").write_text((bundle / "appspec.yml").read_text() + files)

    first = fleet.deploy(bundle)

    assert statuses(first) == dict.fromkeys("abcde", "Succeeded")
    for name in "abcde":  # the same port, five times, and it goes on after the deployment
        answer = asking.give(fleet.place(name), "ask", ["python3", "-c", _ASK])
        assert answer["stdout"] == "served\n", answer
        assert (fleet.place(name).folder / "changes/srv/seatrial-site/name").read_text() == "served"
    assert not os.path.exists("/srv/seatrial-site")  # noqa: PTH110

    fleet.tell("a", "fail")
    fleet.tell("b", "hold")
    going = fleet.start(
        "run", str(fleet.bundle("two")), "--group", GROUP, "--config", "HalfAtATime", "--json"
    )
    fleet.wait_held("b")
    fleet.vanish("b")
    out, _ = going.communicate(timeout=150)
    second = json.loads(out)["deployment"]

    # Half of five, rounded up, stay in service: with two out of service nobody else has a turn.
    assert going.returncode == 1
    assert statuses(second) == {"a": "Failed", "b": "Failed", "c": "Skipped", "d": "Skipped", "e": "Skipped"}
    assert second["error"]["code"] == "HEALTH_CONSTRAINTS"
    hosts = {host["name"]: host for host in second["hosts"]}
    assert (hosts["a"]["error_code"], hosts["a"]["script_name"]) == ("ScriptFailed", "scripts/hook.sh")
    assert "told to fail" in hosts["a"]["log"]
    assert (hosts["b"]["error_code"], hosts["b"]["message"]) == (
        "UnknownError",
        "host b went away while it was working",
    )
    assert [event["status"] for event in hosts["b"]["events"] if event["name"] == "AfterInstall"] == [
        "Failed"
    ]


def test_one_at_a_time_ends_with_the_first_failure_and_rolls_back(fleet: Fleet) -> None:
    fleet.create(3, "--rollback-on", "failure")
    good = fleet.deploy(fleet.bundle("one"), "--config", "AllAtOnce")
    fleet.tell("b", "fail-two")

    bad = fleet.deploy(fleet.bundle("two"), code=1)

    assert statuses(bad) == {"a": "Succeeded", "b": "Failed", "c": "Skipped"}
    undone = fleet.show(bad["rollback"]["by"])
    assert (undone["status"], undone["creator"], undone["rollback"]["of"]) == (
        "Succeeded",
        "codeDeployRollback",
        bad["id"],
    )
    assert undone["revision"]["id"] == good["revision"]["id"]
    assert undone["hosts"][0]["name"] == "b", "the host in trouble has its turn first"
    assert all(fleet.trace(name)[-1].endswith("one") for name in "abc")
    assert fleet.trace("c") == [f"AfterInstall {good['id']} one", f"AfterInstall {undone['id']} one"]


def test_a_deployment_is_explained_by_the_first_host_that_failed(fleet: Fleet) -> None:
    fleet.create(1)
    script = "#!/bin/sh\necho \"ModuleNotFoundError: No module named 'nothere'\" >&2\nexit 1\n"
    bundle = fleet.bundle("one", script=script)

    shown = fleet.run("run", str(bundle), "--group", GROUP)
    said = json.loads(fleet.run("run", str(bundle), "--group", GROUP, "--json").stdout)

    assert shown.returncode == 1
    assert "\nwhy: Python cannot import nothere" in shown.stdout
    assert said["explanation"]["causes"][0]["captures"] == {"module": "nothere"}
    assert said["deployment"]["hosts"][0]["error_code"] == "ScriptFailed"


def test_older_revisions_are_deployed_again_by_name_and_by_rollback(fleet: Fleet) -> None:
    fleet.create(1)
    one = fleet.deploy(fleet.bundle("one"))
    two = fleet.deploy(fleet.bundle("two"))

    back = fleet.run("rollback", GROUP, "--json")
    forth = fleet.deploy_revision(two["revision"]["id"])

    told = json.loads(back.stdout)["deployment"]
    assert (told["status"], told["revision"]["id"], told["rollback"]["of"]) == (
        "Succeeded",
        one["revision"]["id"],
        two["id"],
    )
    assert forth["status"] == "Succeeded"
    assert [line.split()[-1] for line in fleet.trace("a")] == ["one", "two", "one", "two"]


def test_a_custom_minimum_lets_one_of_four_fail_and_a_root_that_cannot_be_used_is_a_failure(
    fleet: Fleet,
) -> None:
    fleet.create(4, "--config", "HOST_COUNT=2")
    fleet.root("c").parent.mkdir()
    fleet.root("c").write_text("no folder")

    told = fleet.deploy(fleet.bundle("one"))

    assert told["status"] == "Succeeded"
    assert statuses(told) == {**dict.fromkeys("abd", "Succeeded"), "c": "Failed"}
    # Never more than two at a time: of each host, whether another two were in progress when it began.
    spans = sorted((host["started"], host["ended"]) for host in told["hosts"])
    for begun, _ in spans:
        assert sum(start <= begun < end for start, end in spans) <= 2


def test_the_same_command_goes_on_after_kill_9_and_deploys_to_nobody_twice(fleet: Fleet) -> None:
    fleet.create(2)
    bundle = fleet.bundle("one")
    fleet.tell("a", "hold")
    going = fleet.start("run", str(bundle), "--group", GROUP)
    fleet.wait_held("a")
    os.killpg(going.pid, signal.SIGKILL)
    fleet.kill_controllers()
    going.communicate()
    cut = fleet.show()
    other = fleet.run("run", str(fleet.bundle("two")), "--group", GROUP)
    fleet.let_go("a")

    told = fleet.deploy(bundle)

    assert cut["status"] == "InProgress"
    assert other.returncode == 1
    assert f"already has an active Deployment '{cut['id']}'" in other.stderr
    assert (told["id"], told["status"]) == (cut["id"], "Succeeded")
    assert statuses(told) == dict.fromkeys("ab", "Succeeded")
    assert all(fleet.trace(name) == [f"AfterInstall {cut['id']} one"] for name in "ab")


def test_a_stop_ends_the_script_skips_the_rest_and_rolls_back_when_asked(fleet: Fleet) -> None:
    fleet.create(2)
    good = fleet.deploy(fleet.bundle("one"), "--config", "AllAtOnce")
    fleet.tell("a", "hold")
    going = fleet.start("run", str(fleet.bundle("two")), "--group", GROUP, "--json")
    fleet.wait_held("a")
    second = fleet.run("run", str(fleet.bundle("three")), "--group", GROUP)
    identifier = fleet.show()["id"]
    # What is rolled back to holds as well; it is let go as soon as its turn has come.
    stopping = fleet.start("stop", identifier, "--rollback")
    until(lambda: len(fleet.trace("a")) > 2, "the rollback has begun on a", seconds=150)
    fleet.let_go("a")
    stopping.communicate(timeout=150)
    going.communicate(timeout=150)
    stopped = fleet.show(identifier)

    assert second.returncode == 1
    assert f"The Deployment Group 'test' already has an active Deployment '{identifier}'" in second.stderr
    assert (stopped["status"], stopped["error"]["code"]) == ("Stopped", "MANUAL_STOP")
    assert statuses(stopped) == {"a": "Failed", "b": "Skipped"}
    assert going.returncode == 130
    undone = fleet.show(stopped["rollback"]["by"])
    assert (undone["status"], undone["revision"]["id"]) == ("Succeeded", good["revision"]["id"])
    assert fleet.run("stop", identifier).returncode == 1


def test_an_alarm_stops_a_deployment_and_rolls_back(fleet: Fleet) -> None:
    flag = fleet.folder / "alarm"
    fleet.create(2, "--rollback-on", "alarm", "--alarm", f"broken=test ! -e {flag}")
    good = fleet.deploy(fleet.bundle("one"), "--config", "AllAtOnce")
    ring = f'#!/bin/sh\necho "$DEPLOYMENT_ID" >> {flag}.trace\ntouch {flag}\n'

    told = fleet.deploy(fleet.bundle("two", script=ring), code=1)

    assert (told["status"], told["error"]["code"], told["alarm"]) == ("Stopped", "ALARM_ACTIVE", "broken")
    assert statuses(told) == {"a": "Succeeded", "b": "Skipped"}
    undone = fleet.show(told["rollback"]["by"])
    assert (undone["status"], undone["revision"]["id"]) == ("Succeeded", good["revision"]["id"])
    flag.unlink()

    by_hand = fleet.run("rollback", GROUP, "--json")
    assert by_hand.returncode == 2, "there is no other good revision"


@pytest.mark.parametrize("isolation", ["processes", "namespaces"])
def test_a_host_ends_with_the_state_folder(
    fleet: Fleet, isolation: str, request: pytest.FixtureRequest
) -> None:
    if isolation == "namespaces":
        request.getfixturevalue("namespaces")
    fleet.create(1, isolation=isolation)
    assert fleet.run("groups", "up", GROUP).returncode == 0
    place = fleet.place("a")
    who = identity.read(place.folder / "process.json")
    assert who is not None
    assert identity.of(who.pid) == who
    remove(fleet.home)
    until(lambda: identity.of(who.pid) is None, "the host ended")


def test_hosts_are_started_ended_and_forgotten_by_commands_that_print_data(fleet: Fleet) -> None:
    fleet.create(2)

    def said(verb: str) -> Any:
        done = fleet.run("groups", verb, GROUP, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    assert [host["up"] for host in said("up")["hosts"]] == [True, True]
    assert [host["up"] for host in said("down")["hosts"]] == [False, False]
    assert said("delete") == {"group": GROUP, "hosts": ["a", "b"]}
    assert fleet.run("groups", "show", GROUP).returncode != 0
