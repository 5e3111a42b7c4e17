"""Deployments that do not come to their end: killed agents and scripts, full disks, bundles that cannot be read.

Each time the next deployment works, and nothing of the one before is in its way.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from seatrial.deployments.agent.order import EVENTS
from support.places import Place
from support.scenarios import GROUP, pack
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.agents import Host

FILES = "files:\n  - source: app\n    destination: <DEST>\n"
APP = {"app/a.txt": "1", "app/d/b.txt": "1"}
HOOKS = tuple(event for event in EVENTS if event not in ("DownloadBundle", "Install"))


@pytest.fixture
def place(host: Host) -> Iterator[Place]:
    made = Place(host.folder / "place")
    made.env |= {"PWD": str(host.cwd)}
    yield made
    made.kill_all()


def start(place: Place, host: Host, bundle: Path, *options: str, **env: str) -> subprocess.Popen[bytes]:
    return place.start("seatrial", ["-C", str(host.cwd), *host.arguments(bundle, *options)][2:], **env)


def finish(process: subprocess.Popen[bytes]) -> dict[str, object]:
    out, err = process.communicate(timeout=60)
    said: dict[str, object] = json.loads(out) if out else {"crashed": err.decode()[-500:]}
    return said


def hooked(event: str, script: str = "a.sh") -> str:
    return f"{FILES}hooks:\n  {event}:\n    - location: {script}\n      timeout: 60\n"


def works(host: Host, place: Place, name: str) -> None:
    """The next deployment installs its own files and nothing else stays."""
    bundle = host.bundle(name, FILES, {"app/new.txt": "2"})
    said = finish(start(place, host, bundle, "--events", "ValidateService"))
    assert said["result"] == "ok", said
    found = sorted(str(path.relative_to(host.dest)) for path in host.dest.rglob("*"))
    assert found == ["new.txt"], "files of another revision, or of a copy that was cut off, are left"
    last = (host.root / "deployment-instructions" / f"{GROUP}_last_successful_install").read_text()
    assert last.endswith(str(said["deployment_id"]))
    assert host.running() == []
    assert [p.name for p in (host.root / "ongoing-deployment").iterdir() if not p.name.startswith(".")] == []


def test_the_agent_is_killed_while_a_script_of_each_event_runs(host: Host, place: Place) -> None:
    """Each deployment gets to the event at which it is killed itself, whatever became of the one before."""
    for event in HOOKS:
        mark = host.folder / f"begun-{event}"
        script = f"#!/bin/sh\ntouch {mark}\nsleep 95\n"
        bundle = host.bundle(event, hooked(event), {f"app/{event}.txt": "1", "a.sh": script})
        process = start(place, host, bundle, "--events", event)
        until(mark.exists, f"the script of {event} runs", seconds=60)
        assert [path.name for path in host.dest.iterdir()] == [f"{event}.txt"]
        assert len(host.running()) <= 2, "the script of the one before is gone"
        place.kill_all()
        process.communicate()
    works(host, place, "last")


def test_the_agent_is_killed_at_points_of_events(host: Host, place: Place) -> None:
    points = ("DownloadBundle", "unpacked", "Install", "cleaning", "copying:2", "AfterInstall/script")
    # There has to be something to clean up.
    works(host, place, "first")
    for number, point in enumerate(points):
        files = {f"app/{number}.txt": "1", f"app/d{number}/b.txt": "1", "a.sh": "#!/bin/sh\n"}
        bundle = host.bundle(str(number), hooked("AfterInstall"), files)
        process = start(place, host, bundle, "--events", "AfterInstall", SEATRIAL_CRASH=f"agent/{point}")
        process.communicate(timeout=120)
        assert process.returncode == -signal.SIGKILL, point
        place.kill_all()
    works(host, place, "last")


def test_the_same_command_after_a_kill_says_that_the_event_was_cut_off(host: Host, place: Place) -> None:
    script = f"#!/bin/sh\n[ -e {host.folder}/begun ] && exit 0\ntouch {host.folder}/begun\nsleep 95\n"
    bundle = host.bundle("one", hooked("AfterInstall"), {**APP, "a.sh": script})
    first = start(place, host, bundle, "--events", "AfterInstall")
    until((host.folder / "begun").exists, "the script runs")
    place.kill_all()
    first.communicate()
    said = finish(start(place, host, bundle, "--events", "AfterInstall"))
    assert (said["error_code"], said["error"]) == (7, "FailedAfterRestart")
    assert said["message"] == "Failing in-progress lifecycle event after an agent restart."
    again = finish(start(place, host, bundle, "--events", "AfterInstall"))
    assert again["result"] == "ok", again
    assert again["deployment_id"] != said["deployment_id"]
    assert host.running() == []


def test_a_killed_command_is_succeeded_by_one_that_waits_for_the_running_script(
    host: Host, place: Place
) -> None:
    script = (
        f"#!/bin/sh\necho x >> {host.folder}/begun\nwhile [ ! -e {host.folder}/go ]; do sleep 0.02; done\n"
    )
    bundle = host.bundle("one", hooked("AfterInstall"), {**APP, "a.sh": script})
    first = start(place, host, bundle, "--events", "AfterInstall")
    until((host.folder / "begun").exists, "the script runs")
    first.kill()
    first.communicate()
    second = start(place, host, bundle, "--events", "AfterInstall")
    (host.folder / "go").touch()
    assert finish(second)["result"] == "ok"
    assert (host.folder / "begun").read_text() == "x\n"
    assert len(host.archives()) == 1


def test_a_killed_script_fails_its_event(host: Host, place: Place) -> None:
    bundle = host.bundle("one", hooked("AfterInstall"), {**APP, "a.sh": "#!/bin/sh\nkill -9 $$\n"})
    said = finish(start(place, host, bundle, "--events", "AfterInstall"))
    assert said["message"] == "Script at specified location: a.sh failed with exit code "
    works(host, place, "two")


def test_two_deployments_of_a_group_at_once(host: Host, place: Place) -> None:
    script = f"#!/bin/sh\ntouch {host.folder}/begun\nwhile [ ! -e {host.folder}/go ]; do sleep 0.02; done\n"
    first = start(place, host, host.bundle("one", hooked("AfterInstall"), {**APP, "a.sh": script}))
    until((host.folder / "begun").exists, "the first goes on")
    said = finish(start(place, host, host.bundle("two", FILES, APP)))
    assert said["message"] == f"Deployment group {GROUP} already has an active deployment"
    (host.folder / "go").touch()
    assert finish(first)["result"] == "ok"


def test_ctrl_c_stops_the_script_and_what_it_has_started(host: Host, place: Place) -> None:
    script = f"#!/bin/sh\nsetsid sleep 94 &\ntouch {host.folder}/begun\nsleep 93\n"
    first = start(place, host, host.bundle("one", hooked("AfterInstall"), {**APP, "a.sh": script}))
    until((host.folder / "begun").exists, "the script runs")
    first.send_signal(signal.SIGINT)
    said = finish(first)
    assert (first.returncode, said["result"]) == (130, "error")
    assert host.running() == []
    works(host, place, "two")


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="mounting a small disk takes root")
def test_a_full_disk_fails_the_deployment_and_the_next_one_works(host: Host, place: Place) -> None:
    large = host.bundle("one", FILES, {"app/a.txt": "x" * 1_500_000, "app/d/b.txt": "1"})
    for disk in (host.root, host.dest):
        disk.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)], check=True)
        try:
            said = finish(start(place, host, large, "--events", "ValidateService"))
            assert said["result"] == "error"
            assert "No space left on device" in f"{said['message']} {said['why']}"
            assert "free space" in str(said["fix"])
            works(host, place, f"after-{disk.name}")
        finally:
            subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_bundle_that_may_not_be_read(host: Host, place: Place) -> None:
    packed = pack(host.bundle("one", FILES, APP), "tar")
    packed.chmod(0)
    said = finish(start(place, host, packed, "--type", "tar"))
    assert "Permission denied" in str(said["message"])
    works(host, place, "two")


def test_a_bundle_that_is_damaged(host: Host, place: Place) -> None:
    bundle = host.bundle("one", FILES, APP)
    for kind in ("zip", "tgz"):
        packed = pack(bundle, kind)
        packed.write_bytes(packed.read_bytes()[:-60])
        said = finish(start(place, host, packed, "--type", kind))
        assert "The bundle is refused: it is damaged" in str(said["message"]), kind
        assert said["error_code"] == 5
    works(host, place, "two")
