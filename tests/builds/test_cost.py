"""What builds cost on CodeBuild, which compute type fits them, and what quotas leave."""

from __future__ import annotations

import json
import re
import shlex
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from seatrial.builds import cost, facts, quotas
from seatrial.errors import SeatrialError, UsageError
from support.commands import seatrial

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COSTS = [
    # compute type, environment, seconds, price given, units, amount
    ("BUILD_GENERAL1_MEDIUM", "LINUX_CONTAINER", 20 * 60, "0.012", 20, 0.24),
    ("BUILD_GENERAL1_MEDIUM", "LINUX_CONTAINER", 20 * 60, "", 20, 0.20),
    ("BUILD_GENERAL1_MEDIUM", "LINUX_CONTAINER", 20 * 60 + 0.001, "", 21, 0.21),
    ("small", "linux", 0, "", 1, 0.005),
    ("small", "linux", 59.9, "", 1, 0.005),
    ("2xlarge", "linux", 3600, "", 60, 12.0),
    ("large", "gpu", 61, "", 2, 1.30),
    ("lambda_1gb", "ARM_LAMBDA_CONTAINER", 33.2, "", 34, 0.00034),
    ("BUILD_LAMBDA_10GB", "LINUX_LAMBDA_CONTAINER", 10, "0.0001", 10, 0.001),
    ("small", "arm", 7 * 60, "0.00425", 7, 0.02975),
]


@pytest.mark.parametrize(("compute", "environment", "seconds", "price", "units", "amount"), COSTS)
def test_started_units_are_billed(
    compute: str, environment: str, seconds: float, price: str, units: int, amount: float
) -> None:
    found = cost.cost(compute, environment, seconds, price=price)

    # Not approximately: money is counted exactly.
    assert (found.units, found.amount) == (units, amount)
    assert found.unit == ("second" if "lambda" in compute.lower() else "minute")


def test_twenty_minutes_at_1_2_cents_are_24_cents_and_said_so() -> None:
    found = cost.cost("BUILD_GENERAL1_MEDIUM", "LINUX_CONTAINER", 1200, price="0.012")

    assert cost.text(found).startswith("20 minutes at $0.012 = $0.24\n")


def test_what_has_to_be_known_about_a_price_is_said() -> None:
    small = cost.cost("small", "linux", 60)
    elsewhere = cost.cost("small", "linux", 60, region="eu-central-1")
    arm = cost.cost("small", "arm", 60)
    unknown = cost.cost("BUILD_LAMBDA_8GB", "ARM_LAMBDA_CONTAINER", 60)

    assert small.free == "the first 100 minutes of this type each month are free"
    assert (small.notes, small.as_of) == ((), facts.computes().as_of)
    assert "that of us-east-1; eu-central-1 may differ" in elsewhere.notes[0]
    assert "approximate" in arm.notes[0]
    assert (unknown.price, unknown.amount) == (None, None)
    assert "not known" in unknown.notes[0]
    assert "at an unknown price = not known" in cost.text(unknown)


@pytest.mark.parametrize(
    ("compute", "environment", "price", "words"),
    [
        ("HUGE", "linux", "", "BUILD_GENERAL1_2XLARGE"),
        ("small", "AMIGA", "", "LINUX_CONTAINER"),
        ("xlarge", "gpu", "", "BUILD_GENERAL1_LARGE"),
        ("small", "linux", "cheap", "0.012"),
        ("small", "linux", "-1", "0.012"),
        ("small", "linux", "NaN", "0.012"),
    ],
)
def test_what_cannot_be_priced_is_refused(compute: str, environment: str, price: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        cost.cost(compute, environment, 60, price=price)

    assert words in str(caught.value)


def samples(seconds: float, cpu: float, gib: float, number: int = 3) -> list[cost.Sample]:
    return [
        cost.Sample(run=str(one), seconds=seconds, cpu_seconds=cpu, peak_memory=int(gib * 2**30))
        for one in range(number)
    ]


@pytest.mark.parametrize(
    ("seconds", "cpu", "gib", "best"),
    [
        # One busy processor, little memory: more processors would only cost more.
        (300, 300, 1, "BUILD_GENERAL1_SMALL"),
        # As little work, but the memory of the next size but one.
        (300, 300, 7, "BUILD_GENERAL1_LARGE"),
        # Eight busy processors: small would take four times as long, and cost as much as any.
        (300, 2400, 1, "BUILD_GENERAL1_LARGE"),
        (300, 300, 200, ""),
    ],
)
def test_the_cheapest_type_that_fits_is_recommended(
    seconds: float, cpu: float, gib: float, best: str
) -> None:
    found = cost.recommend(samples(seconds, cpu, gib))

    assert found.compute_type == best
    assert found.runs == 3
    assert len(found.choices) == 5
    assert any(one.against for one in found.choices) == (gib > 3)


def test_too_little_history_recommends_nothing_and_says_so() -> None:
    unmeasured = [cost.Sample(run=str(number), seconds=60) for number in range(9)]

    found = cost.recommend([*samples(60, 60, 1, 2), *unmeasured])

    assert found.compute_type == ""
    assert "2 earlier builds" in found.reason
    assert "3 are needed" in found.reason


def test_runs_tell_what_they_took_when_they_have_ended() -> None:
    run: dict[str, Any] = {
        "id": "r",
        "duration": 12.5,
        "outputs": {"resources": {"cpu_seconds": 20.0, "peak_memory": 5}},
    }

    assert cost.sample(run) == cost.Sample(run="r", seconds=12.5, cpu_seconds=20.0, peak_memory=5)
    assert cost.sample({**run, "outputs": {}}) == cost.Sample(run="r", seconds=12.5)
    assert cost.sample({**run, "duration": None}) is None


def test_the_tables_are_whole() -> None:
    table = facts.computes()
    keys = [(one.environment, one.compute) for one in table.types]
    codes = [one.quota for one in table.types if one.quota]

    assert len(set(keys)) == len(keys)
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"L-[0-9A-F]{8}", code) for code in codes)
    assert all(bool(one.price) == bool(one.evidence) for one in table.types)
    assert {(one.environment, one.compute) for one in table.free} <= set(keys)
    assert all(re.fullmatch(r"\d{4}-\d\d", day) for day in (table.as_of, facts.limits().as_of))
    assert {one.name: one.value for one in facts.limits().limits}["test cases in a report"] == 500
    assert {one.environment for one in facts.images().images} <= {one.environment for one in table.types}
    image = facts.image("aws/codebuild/amazonlinux2-x86_64-standard:5.0-25.01.01")
    assert image is not None
    assert "3.12" in image.runtimes["python"]
    assert facts.image("aws/codebuild/standard:70") is None


def test_types_and_environments_are_those_that_the_aws_model_has() -> None:
    session = pytest.importorskip(
        "botocore.session", reason="botocore is not installed: AWS's model is not here"
    )
    model = session.get_session().get_service_model("codebuild")

    assert {one.compute for one in facts.computes().types} <= set(model.shape_for("ComputeType").enum)
    assert {one.environment for one in facts.computes().types} <= set(model.shape_for("EnvironmentType").enum)


def test_offline_quotas_are_said_to_be_defaults() -> None:
    found = quotas.quotas("eu-west-1", offline=True, desired=500)

    assert {one.origin for one in found.quotas} == {"default"}
    assert {(one.running, one.headroom) for one in found.quotas} == {(None, None)}
    assert "AWS was not asked" in found.notes[0]
    medium = next(one for one in found.quotas if one.name == "Linux/Medium")
    assert shlex.split(medium.increase) == [
        "aws", "service-quotas", "request-service-quota-increase", "--service-code", "codebuild",
        "--quota-code", "L-2DC20C30", "--desired-value", "500", "--region", "eu-west-1",
    ]  # fmt: skip
    without = next(one for one in found.quotas if not one.code)
    assert "list-service-quotas" in without.increase
    assert without.name in without.increase


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.delenv("AWS_PROFILE", raising=False)


@pytest.mark.usefixtures("aws")
def test_moto_is_asked_for_builds_and_knows_no_quotas_of_codebuild(monkeypatch: pytest.MonkeyPatch) -> None:
    server = pytest.importorskip(
        "moto.server", reason="moto is not installed: nothing here speaks AWS's protocol"
    )
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    try:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{running.get_host_and_port()[1]}")
        found = quotas.quotas("eu-west-1")
    finally:
        running.stop()

    assert {(one.origin, one.running, one.headroom) for one in found.quotas} == {("default", 0, 1)}
    assert "Service Quotas did not answer" in found.notes[0]


class Canned(BaseHTTPRequestHandler):
    """Answers as AWS's API describes them, for what moto has not."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        action = self.headers["X-Amz-Target"].partition(".")[2]
        answer = json.dumps(self.answers(action, asked)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def answers(self, action: str, asked: dict[str, Any]) -> dict[str, Any]:
        now = datetime.now(UTC).timestamp()
        if action == "ListServiceQuotas":
            second = bool(asked.get("NextToken"))
            name = "Linux GPU Large" if second else "Linux/Medium"
            quota = {"QuotaCode": "L-D906BEE7" if second else "L-2DC20C30", "Value": 1.0 if second else 300.0}
            other = {"QuotaName": "Build projects", "QuotaCode": "L-ACCF6C0D", "Value": 5000.0}
            found = {**quota, "QuotaName": f"Concurrently running builds for {name} environment"}
            return {"Quotas": [found, other], **({} if second else {"NextToken": "more"})}
        if action == "ListBuilds":
            assert asked["sortOrder"] == "DESCENDING"
            page = int(asked.get("nextToken", "0"))
            assert page < 3, "builds that are too old to run are still asked for"
            return {"ids": [f"p:{page}-{number}" for number in range(3)], "nextToken": str(page + 1)}
        assert action == "BatchGetBuilds"
        medium = {"type": "LINUX_CONTAINER", "computeType": "BUILD_GENERAL1_MEDIUM"}
        gpu = {"type": "LINUX_GPU_CONTAINER", "computeType": "BUILD_GENERAL1_LARGE"}
        builds = []
        for one in asked["ids"]:
            page, number = one.removeprefix("p:").split("-")
            status = "IN_PROGRESS" if number != "2" and page != "2" else "SUCCEEDED"
            age = 60 if page != "2" else 50 * 3600
            builds.append({"id": one, "buildStatus": status, "environment": gpu if one == "p:0-1" else medium, "startTime": now - age})  # fmt: skip
        return {"builds": builds}

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def canned(aws: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    pytest.importorskip("boto3", reason="boto3 is not installed")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Canned)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_address[1]}")
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.mark.usefixtures("canned")
def test_with_canned_answers_quotas_and_running_builds_give_the_headroom() -> None:
    found = {one.name: one for one in quotas.quotas("us-west-2").quotas}

    medium, gpu, small = found["Linux/Medium"], found["Linux GPU Large"], found["Linux/Small"]
    assert (medium.limit, medium.origin, medium.running, medium.headroom) == (300, "account", 3, 297)
    assert (gpu.limit, gpu.running, gpu.headroom) == (1, 1, 0)
    assert gpu.increase.endswith("--quota-code L-D906BEE7 --desired-value 2 --region us-west-2")
    assert (small.origin, small.running) == ("default", 0)


def test_with_canned_answers_the_command_line_shows_where_nothing_is_left(
    tmp_path: Path, canned: str
) -> None:
    (tmp_path / "here").mkdir()
    access = {"AWS_ENDPOINT_URL": canned, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}

    shown = seatrial(tmp_path / "here", "build", "cost", "--quotas", "--region", "us-west-2", **access)

    assert shown.returncode == 0, shown.stderr
    assert re.search(r"Linux/Medium +300 +3 +297  L-2DC20C30\n", shown.stdout)
    assert "to run more on Linux GPU Large: aws service-quotas request-service-quota-increase" in shown.stdout


def test_without_credentials_the_error_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("boto3", reason="boto3 is not installed")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))

    with pytest.raises(SeatrialError) as caught:
        quotas.quotas("us-east-1")

    assert "no usable AWS credentials" in str(caught.value)


def test_the_command_line_prices_minutes(tmp_path: Path) -> None:
    minutes = seatrial(
        tmp_path, "build", "cost", "--minutes", "20", "--compute-type", "medium", "--price", "0.012", "--json"
    )
    none = seatrial(tmp_path, "build", "cost")

    assert json.loads(minutes.stdout)["cost"]["amount"] == 0.24
    assert (none.returncode, "no build has run here yet" in none.stderr) == (2, True)


def test_three_builds_are_enough_for_a_recommendation(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    work = "python3 -c 'import time; held = bytearray(200_000_000)\nwhile time.process_time() < 0.4: pass'"
    spec = {"version": "0.2", "phases": {"build": {"commands": [work, "true"]}}}
    (project / "buildspec.yml").write_text(json.dumps(spec))
    # The last one as an ordinary user runs it, without namespaces of processes.
    for namespaces in ("", "", "1"):
        ran = seatrial(project, "build", "run", ".", "--on", "host", SEATRIAL_NO_NAMESPACES=namespaces)
        assert ran.returncode == 0, ran.stderr

    shown = seatrial(project, "build", "cost", "latest", "--json")

    assert shown.returncode == 0, shown.stderr
    found = json.loads(shown.stdout)
    assert found["cost"]["amount"] == 0.005
    assert (found["recommendation"]["compute_type"], found["recommendation"]["runs"]) == (
        "BUILD_GENERAL1_SMALL",
        3,
    )
    assert "at most 0.2 GiB in one process" in found["recommendation"]["reason"]
