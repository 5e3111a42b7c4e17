"""Hooks of deployments: when they are called, what they are told, and what happens when one fails."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from seatrial.errors import UsageError
from seatrial.services.hooks import EVENTS
from support.answers import Answer, answering
from support.deploying import deploying
from support.standing import ask, instances

if TYPE_CHECKING:
    from pathlib import Path

CHECKS = """
import json, os, urllib.request
import settings

def look(told):
    with urllib.request.urlopen(told["test_url"] + "/x", timeout=10) as answer:
        body = answer.read().decode()
    with open(settings.DIARY, "a") as stream:
        print(json.dumps({**told, "body": body, "cwd": os.getcwd()}), file=stream)

def refuse(told):
    return False
"""
SCRIPT = "import json, os, sys; print(json.dumps(dict(os.environ)), file=open(sys.argv[1], 'a'))"


def test_hooks_are_called_in_their_order_and_told_what_they_need(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    with deploying(tmp_path) as here, answering([Answer()]) as server:
        (here.project / "checks.py").write_text(CHECKS)
        (here.project / "settings.py").write_text(f"DIARY = {str(diary)!r}\n")
        here.deploy("one")
        script = {"script": [sys.executable, "-c", SCRIPT, str(diary)]}
        hooks: dict[str, list[dict[str, Any]]] = {event: [script] for event in EVENTS}
        hooks["AfterAllowTestTraffic"] = [{"python": "checks:look"}, {"url": f"{server.url}/hook"}]
        one = here.deploy("two", hooks=hooks)
        assert one.status == "Succeeded"
        told = [json.loads(line) for line in diary.read_text().splitlines()]
        assert [each.get("LIFECYCLE_EVENT") or each["lifecycle_event"] for each in told] == list(EVENTS)
        part = one.parts[0]
        for each in told:
            values = {name.lower(): value for name, value in each.items()}
            assert values["deployment_id"] == one.id
            assert (values["service"], values["revision"], values["previous_revision"]) == (
                "svc",
                part.after,
                part.before,
            )
            assert (values["service_url"], values["test_url"]) == (part.url, part.test_url)
        assert (
            told[2]["body"] == "two"
        )  # the test listener reaches the new version while the old one has the traffic
        assert told[2]["cwd"].endswith(f"revisions/{part.after}")
        [asked] = [json.loads(body) for body in server.bodies]
        assert (asked["deployment_id"], asked["lifecycle_event"]) == (one.id, "AfterAllowTestTraffic")


def test_a_hook_that_fails_rolls_back(tmp_path: Path) -> None:
    with deploying(tmp_path) as here, answering([Answer(status=500, body=b"no model")]) as server:
        (here.project / "checks.py").write_text(CHECKS)
        (here.project / "settings.py").write_text("")
        here.deploy("one")
        for event, hook, said in (
            ("BeforeInstall", {"script": ["./is-not-there"]}, "is-not-there: No such file"),
            ("AfterInstall", {"url": f"{server.url}/hook"}, "no model"),
            ("AfterAllowTraffic", {"python": "checks:refuse"}, "checks:refuse returned False"),
        ):
            one = here.deploy("two", hooks={event: [hook]})
            assert (one.status, one.error_code) == ("Failed", "HOOK_EXECUTION_FAILURE")
            assert said in one.why
            assert one.why.startswith(f"hook {event}.svc.1 failed: ")
            assert ask(here.port())[1] == "one"
            assert {each.revision for each in instances(here.home)} == {one.parts[0].before}
            assert bool(one.rolled_back_by) == (event != "BeforeInstall")
        with pytest.raises(UsageError, match="exactly one of script, url and python"):
            here.start(here.piece("two", hooks={"AfterInstall": [{}]}))
