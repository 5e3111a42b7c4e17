"""Application specifications as AWS reads them: cases from stated rules, and what plainly is another file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import yaml

from seatrial.deployments.appspec.model import Ecs, Lambda, Server
from seatrial.deployments.appspec.reading import read
from seatrial.sources.text import Source

if TYPE_CHECKING:
    from seatrial.deployments.appspec.reading import Reading

HERE = Path(__file__).parent
HEAD = "version: 0.0\nos: linux\n"
SERVER = yaml.safe_load((HERE / "server.yaml").read_text())
CLOUD = {name: yaml.safe_load((HERE / f"{name}.yaml").read_text()) for name in ("lambda", "ecs")}


def test_each_file_for_hosts_is_taken_or_refused_as_by_the_agent() -> None:
    assert list(filter(None, map(_unlike_the_agent, SERVER))) == []


def _unlike_the_agent(case: dict[str, Any]) -> str:
    """What is otherwise than the case says; empty when nothing is."""
    text = case["text"] if "text" in case else HEAD + case["head"]
    reading = read(Source("appspec.yml", text), "server")
    refused = [(one.rule, one.message) for one in reading.refusals]
    if "takes" in case:
        right = isinstance(reading.spec, Server) and _holds(_plain(reading.spec), case["takes"])
        return "" if right else f"{case['rule']}: {refused or reading.spec}"
    if reading.spec is not None or not refused:
        return f"{case['rule']}: taken"
    rule, message = refused[0]
    right = _fits(message, case.get("says") or case["fails"]) and (rule == "appspec/shape") == (
        "fails" in case
    )
    return "" if right else f"{case['rule']}: {rule}: {message}"


def _fits(message: str, wanted: str) -> bool:
    """Whole, or part by part in order where `…` stands for the rest."""
    if "…" not in wanted:
        return message == wanted
    at = 0
    for part in wanted.split("…"):
        found = message.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return True


def _plain(spec: Server) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(spec)
    for made, one in zip(plain["permissions"], spec.permissions, strict=True):
        made["acls"] = None if one.acls is None else [str(ace) for ace in one.acls]
        context = one.context
        made["context"] = context and [context.user, context.type, context.range and str(context.range)]
    return plain


def _holds(whole: Any, part: Any) -> bool:
    """Whether every value of `part` is in `whole`, list by list and key by key."""
    if isinstance(part, dict) and part:
        return all(key in whole and _holds(whole[key], value) for key, value in part.items())
    if isinstance(part, list):
        return len(whole) == len(part) and all(map(_holds, whole, part))
    return part == {} or bool(whole == part)


def _read_changed(name: Any, case: dict[str, Any], *, as_json: bool = False) -> Reading:
    text = case.get("text")
    if text is None:
        content = yaml.safe_load(CLOUD[name]["right"])
        for path, value in case.get("change", {}).items():
            _change(content, path.split("."), value)
        text = json.dumps(content) if as_json else yaml.safe_dump(content, sort_keys=False)
    return read(Source("appspec.json" if as_json else "appspec.yaml", text), name)


def _change(content: Any, path: list[str], value: Any) -> None:
    for step in path[:-1]:
        content = content[int(step) if step.isdigit() else step]
    if value is None:
        del content[path[-1]]
    else:
        content[path[-1]] = value


@pytest.mark.parametrize("name", CLOUD)
def test_each_wrong_file_for_functions_or_services_is_refused(name: str) -> None:
    unlike = []
    for case in CLOUD[name]["wrong"]:
        wanted = case["finding"] if "/" in case["finding"] else f"appspec/{case['finding']}"
        for as_json in (False, True):
            reading = _read_changed(name, case, as_json=as_json)
            rules = [one.rule for one in reading.refusals]
            if reading.spec is not None or wanted not in rules:
                unlike.append(f"{case['rule']}: {wanted} is not in {rules}")
    assert unlike == []


@pytest.mark.parametrize("name", CLOUD)
def test_what_is_allowed_for_functions_and_services_is_taken(name: str) -> None:
    refused = {case["rule"]: _read_changed(name, case).refusals for case in CLOUD[name]["taken"]}

    assert {rule: found for rule, found in refused.items() if found} == {}


def test_there_are_thirty_wrong_files_for_each_platform() -> None:
    assert all(len(said["wrong"]) >= 30 for said in CLOUD.values())


def test_a_function_is_read() -> None:
    spec = read(Source("appspec.yaml", CLOUD["lambda"]["right"])).spec

    assert isinstance(spec, Lambda)
    assert (spec.resource, spec.name, spec.alias) == ("App", "app", "live")
    assert (spec.current_version, spec.target_version) == ("1", "2")
    assert [(one.event, one.function) for one in spec.hooks] == [
        ("BeforeAllowTraffic", "check"),
        ("AfterAllowTraffic", "arn:aws:lambda:eu-west-1:111122223333:function:check:live"),
    ]


def test_a_service_is_read() -> None:
    spec = read(Source("appspec.yaml", CLOUD["ecs"]["right"])).spec

    assert isinstance(spec, Ecs)
    assert (spec.container_name, spec.container_port, spec.platform_version) == ("app", 8080, "LATEST")
    assert spec.network is not None
    assert spec.network.subnets == ("subnet-1", "subnet-2")
    assert [(one.provider, one.base, one.weight) for one in spec.capacity] == [
        ("FARGATE", 1, 1),
        ("FARGATE_SPOT", 0, 3),
    ]
    assert len(spec.hooks) == 5


def test_what_a_file_says_decides_what_it_is_for() -> None:
    said = {
        "server": HEAD,
        "lambda": CLOUD["lambda"]["right"],
        "ecs": CLOUD["ecs"]["right"],
    }

    assert {name: read(Source("a.yml", text)).platform for name, text in said.items()} == {
        name: name for name in said
    }
    assert read(Source("a.yml", "version: 0.0\nHooks:\n  - AfterAllowTestTraffic: f\n")).platform == "ecs"
    assert read(Source("a.yml", "version: 0.0\nHooks:\n  - BeforeAllowTraffic: f\n")).platform == "lambda"
    assert (
        read(Source("a.yml", "Resources:\n  - A: [\n      Type: AWS::Lambda::Function")).platform == "lambda"
    )


def test_a_file_for_windows_is_read_as_on_windows_where_nothing_else_is_said() -> None:
    source = Source("appspec.yml", "version: 0.0\nos: windows\npermissions:\n  - object: C:\\app\n")

    assert "specifiles file permissions" in read(source).refusals[0].message
    assert "unsupported operating system (windows)" in read(source, "server").refusals[0].message


def test_every_refusal_is_told_where_it_is() -> None:
    text = f"{HEAD}files:\n  - source: a\nhooks:\n  AfterInstall:\n    - timeout: 5\n    - location: a\n      timeout: 0\n"

    found = read(Source("appspec.yml", text), "server").refusals

    assert [(one.rule, one.line) for one in found] == [
        ("appspec/hook-location", 7),
        ("appspec/timeout", 9),
        ("appspec/files-destination", 4),
    ]


def test_absurd_nesting_is_refused() -> None:
    found = read(Source("appspec.yml", HEAD + "x: " + "[" * 5000), "server")

    assert found.spec is None
    assert found.refusals[0].rule == "source/yaml-syntax"
