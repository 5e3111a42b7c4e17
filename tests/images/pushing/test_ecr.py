"""Amazon's registry: log-in, repositories, regions and lists. moto is its API; a docker-registry stands in for the registry."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from seatrial.cloud import ecr
from seatrial.errors import MissingToolError, SeatrialError, UsageError
from seatrial.images import registry
from seatrial.images.pushing.destination import Settings
from seatrial.images.pushing.order import expanded
from seatrial.images.pushing.preview import preview
from seatrial.images.pushing.uploads import push_all
from seatrial.transport import Retry
from support.amazon import ACCOUNT, Amazon, amazon, host
from support.clocks import SimulatedClock
from support.faults import Fault
from support.layouts import image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from seatrial.images.pushing.destination import Pushed

DENIED = {
    "__type": "AccessDeniedException",
    "message": "User: arn:aws:iam::123456789012:user/ann is not authorized to perform: ecr:CreateRepository on "
    "resource: arn:aws:ecr:eu-west-1:123456789012:repository/team/app because no identity-based policy allows it",
}


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Amazon]:
    pytest.importorskip("boto3", reason="boto3 is not installed")
    with amazon(tmp_path_factory.mktemp("amazon")) as all_of_it:
        yield all_of_it


@pytest.fixture
def stand_in(started: Amazon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Amazon:
    for name in ("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "DOCKER_CONFIG", "AWS_PROFILE",
                 "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN", "NO_PROXY", "no_proxy", "AWS_CA_BUNDLE"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        **started.env,
        "HOME": str(tmp_path),
        "SEATRIAL_CACHE": str(tmp_path / "cache"),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("https_proxy", started.env["HTTPS_PROXY"])
    for recorder in (started.api, started.registry, started.sister):
        recorder.seen.clear()
        recorder.faults.clear()
    return started


def _push(layout: Path, *references: str, **settings: Any) -> list[Pushed]:
    clock = settings.pop("clock", None)
    results = push_all(layout, references, settings=Settings(clock=clock or SimulatedClock(), **settings))
    for result in results:
        if result.error:
            raise result.error
    return [result.pushed for result in results if result.pushed]


def _nothing_there(stand_in: Amazon, repository: str) -> None:
    """ECR, unlike docker-registry, takes no upload to a repository that nobody made."""
    body = b'{"errors":[{"code":"NAME_UNKNOWN","message":"The repository with name \'%s\' does not exist"}]}'
    stand_in.registry.faults.append(
        Fault(
            "POST", f"/v2/{repository}/blobs/uploads/", times=99, status=404, body=body % repository.encode()
        )
    )


def _made(stand_in: Amazon) -> dict[str, Any]:
    api = pytest.importorskip("boto3").client("ecr", region_name="eu-west-1")
    return {one["repositoryName"]: one for one in api.describe_repositories()["repositories"]}


def test_the_aws_chain_logs_in_to_a_stand_in_registry(stand_in: Amazon, tmp_path: Path) -> None:
    made = image(tmp_path / "image", seed=1)
    [pushed] = _push(tmp_path / "image", f"{host()}/team/login:1")
    assert pushed.digest == made.digest
    assert stand_in.called("GetAuthorizationToken") == 1
    assert not any("X-Amz-Target" in seen.headers for seen in stand_in.registry.seen)
    assert registry.pull(f"{host()}/team/login:1", tmp_path / "back") == made.digest


def test_dockers_log_in_comes_first_on_a_stand_in_registry(stand_in: Amazon, tmp_path: Path) -> None:
    import base64

    image(tmp_path / "image", seed=2)
    auth = base64.b64encode(f"AWS:{ACCOUNT}-auth-token".encode()).decode()
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text(json.dumps({"auths": {host(): {"auth": auth}}}))
    _push(tmp_path / "image", f"{host()}/team/docker:1")
    assert stand_in.api.seen == []


def test_a_password_is_renewed_when_its_12_hours_end_on_a_stand_in_registry(
    stand_in: Amazon, tmp_path: Path
) -> None:
    """moto says that its passwords ended in 2015, so that they are for 12 hours is answered in its place."""
    import base64

    image(tmp_path / "image", seed=3)
    clock, original = SimulatedClock(), stand_in.api.guard
    token = base64.b64encode(f"AWS:{ACCOUNT}-auth-token".encode()).decode()

    def answer(request: Any) -> bool:
        request.rfile.read(int(request.headers.get("Content-Length") or 0))
        data = {"authorizationToken": token, "expiresAt": time.time() + 12 * 3600, "proxyEndpoint": ""}
        request.answer(200, {}, json.dumps({"authorizationData": [data]}).encode())
        return True

    stand_in.api.guard = answer

    def later(name: str) -> None:
        if name == "registry.push.blobs":
            clock.sleep(13 * 3600)

    try:
        _push(tmp_path / "image", f"{host()}/team/renewed:1", clock=clock, point=later)
    finally:
        stand_in.api.guard = original
    assert stand_in.called("GetAuthorizationToken") == 2
    assert all(seen.headers.get("Authorization") for seen in stand_in.registry.seen[1:])


def test_a_password_that_is_refused_in_the_middle_is_renewed_on_a_stand_in_registry(
    stand_in: Amazon, tmp_path: Path
) -> None:
    image(tmp_path / "image", seed=4)
    stand_in.registry.faults.append(
        Fault(
            "PUT",
            "/blobs/uploads/",
            status=401,
            headers={"WWW-Authenticate": 'Basic realm="x",service="ecr.amazonaws.com"'},
        )
    )
    _push(tmp_path / "image", f"{host()}/team/refused:1")
    assert stand_in.called("GetAuthorizationToken") == 2


def test_a_repository_is_made_when_that_is_wished_on_a_stand_in_registry(
    stand_in: Amazon, tmp_path: Path
) -> None:
    image(tmp_path / "image", seed=5)
    target = f"{host()}/team/new:1"
    _nothing_there(stand_in, "team/new")
    with pytest.raises(SeatrialError, match="has no repository team/new") as caught:
        _push(tmp_path / "image", target)
    assert "add --create" in (caught.value.fix or "")
    assert "aws ecr create-repository --repository-name team/new --region eu-west-1" in (
        caught.value.fix or ""
    )
    assert "team/new" not in _made(stand_in)

    wanted = ecr.NewRepository(immutable=True, encryption="KMS", kms_key="alias/x", tags={"team": "vision"})
    stand_in.registry.faults[-1].times = 1
    [pushed] = _push(tmp_path / "image", target, create=wanted, workers=1)
    assert pushed.created
    made = _made(stand_in)["team/new"]
    assert made["imageTagMutability"] == "IMMUTABLE"
    assert made["imageScanningConfiguration"] == {"scanOnPush": True}
    assert made["encryptionConfiguration"]["encryptionType"] == "KMS"
    [again] = _push(tmp_path / "image", target, create=wanted)
    assert not again.created
    assert stand_in.called("CreateRepository") == 1


def test_the_missing_iam_action_is_named_on_a_stand_in_registry(stand_in: Amazon, tmp_path: Path) -> None:
    image(tmp_path / "image", seed=6)
    _nothing_there(stand_in, "team/app")
    answer = {"Content-Type": "application/x-amz-json-1.1"}

    original = stand_in.api.guard

    def deny(request: Any) -> bool:
        if not request.headers.get("X-Amz-Target", "").endswith(".CreateRepository"):
            return False
        request.rfile.read(int(request.headers.get("Content-Length") or 0))
        request.answer(400, answer, json.dumps(DENIED).encode())
        return True

    stand_in.api.guard = deny
    try:
        with pytest.raises(SeatrialError, match="AWS does not let us do ecr:CreateRepository") as caught:
            _push(tmp_path / "image", f"{host()}/team/app:1", create=ecr.NewRepository())
    finally:
        stand_in.api.guard = original
    assert "allow ecr:CreateRepository on arn:aws:ecr:eu-west-1:123456789012:repository/team/app" in str(
        caught.value
    )

    stand_in.registry.faults.clear()
    refused = DENIED["message"].replace("CreateRepository", "InitiateLayerUpload")
    body = json.dumps({"errors": [{"code": "DENIED", "message": refused}]}).encode()
    stand_in.registry.faults.append(Fault("POST", "/blobs/uploads/", times=99, status=403, body=body))
    with pytest.raises(SeatrialError, match="does not let us do ecr:InitiateLayerUpload") as caught:
        _push(tmp_path / "image", f"{host()}/team/denied:1")
    assert "allow ecr:InitiateLayerUpload on arn:aws:ecr" in (caught.value.fix or "")


def test_several_regions_at_once_on_stand_in_registries(stand_in: Amazon, tmp_path: Path) -> None:
    made = image(tmp_path / "image", seed=7)
    references = expanded([f"{host()}/team/regions:1"], ["us-east-1"])
    assert references == (f"{host()}/team/regions:1", f"{host('us-east-1')}/team/regions:1")
    done = _push(tmp_path / "image", *references)
    assert [one.reference for one in done] == [
        f"{host(r)}/team/regions@{made.digest}" for r in ("eu-west-1", "us-east-1")
    ]
    assert stand_in.called("GetAuthorizationToken") == 2
    assert {seen.headers["Host"] for seen in stand_in.registry.seen} == {host()}
    assert {seen.headers["Host"] for seen in stand_in.sister.seen} == {host("us-east-1")}


def test_looking_ahead_makes_nothing_on_a_stand_in_registry(stand_in: Amazon, tmp_path: Path) -> None:
    image(tmp_path / "image", seed=8)
    body = b'{"errors":[{"code":"NAME_UNKNOWN","message":"no such repository"}]}'
    stand_in.registry.faults.append(Fault("GET", "/v2/team/ahead/tags/list", times=2, status=404, body=body))
    [without] = preview(tmp_path / "image", [f"{host()}/team/ahead:1"])
    assert (without.repository, "add --create" in without.error) == ("absent", True)
    [made] = preview(
        tmp_path / "image", [f"{host()}/team/ahead:1"], settings=Settings(create=ecr.NewRepository())
    )
    assert (made.repository, made.error, len(made.send)) == ("would be made", "", 4)
    assert stand_in.called("CreateRepository") == 0
    assert {seen.method for seen in stand_in.registry.seen} <= {"GET", "HEAD"}


def test_tags_come_from_describe_images_of_moto(stand_in: Amazon, tmp_path: Path) -> None:
    api = pytest.importorskip("boto3").client("ecr", region_name="eu-west-1")
    api.create_repository(repositoryName="team/listed")
    manifests = {}
    for number, tag in enumerate(("1.0", "1.1")):
        made = image(tmp_path / tag, seed=40 + number)
        content = (tmp_path / tag / "blobs/sha256" / made.digest.removeprefix("sha256:")).read_text()
        media = "application/vnd.oci.image.manifest.v1+json"
        put = api.put_image(
            repositoryName="team/listed", imageManifest=content, imageManifestMediaType=media, imageTag=tag
        )
        manifests[tag] = put["image"]["imageId"]["imageDigest"]  # moto's own, which is not the content's
    stand_in.registry.seen.clear()
    found = registry.tags(f"{host()}/team/listed", sort="version")
    assert [(tag.tag, tag.digest) for tag in found] == [("1.1", manifests["1.1"]), ("1.0", manifests["1.0"])]
    assert all(tag.pushed.endswith("Z") for tag in found)
    assert stand_in.registry.seen == [], "one question to AWS instead of three for each tag"
    with pytest.raises(SeatrialError, match="has no repository team/none"):
        registry.tags(f"{host()}/team/none")


def test_tags_are_read_one_by_one_when_aws_does_not_list_them_on_a_stand_in_registry(
    stand_in: Amazon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = image(tmp_path / "image", seed=9)
    _push(tmp_path / "image", f"{host()}/team/plain:1")
    original = stand_in.api.guard
    told: list[str] = []

    def deny(request: Any) -> bool:
        if not request.headers.get("X-Amz-Target", "").endswith(".DescribeImages"):
            return False
        request.rfile.read(int(request.headers.get("Content-Length") or 0))
        request.answer(400, {}, b'{"__type":"AccessDeniedException","message":"no"}')
        return True

    stand_in.api.guard = deny
    try:
        found = registry.tags(f"{host()}/team/plain", note=told.append)
    finally:
        stand_in.api.guard = original
    assert [(tag.tag, tag.digest) for tag in found] == [("1", made.digest)]
    assert "ecr:DescribeImages" in told[0]


def test_without_aws_credentials_what_to_do_is_said(
    stand_in: Amazon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image(tmp_path / "image", seed=10)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(SeatrialError, match="no usable AWS credentials") as caught:
        _push(tmp_path / "image", f"{host()}/team/nobody:1")
    assert "aws sso login" in (caught.value.fix or "")
    assert stand_in.registry.blob_bytes() == 0


def test_without_boto3_what_to_install_is_said(
    stand_in: Amazon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image(tmp_path / "image", seed=11)
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(MissingToolError, match="boto3 is not installed") as caught:
        _push(tmp_path / "image", f"{host()}/team/bare:1")
    assert caught.value.fix == "pip install 'seatrial[aws]'"


@pytest.mark.parametrize(
    ("name", "account", "region", "fips"),
    [
        (f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com", ACCOUNT, "eu-west-1", False),
        (f"{ACCOUNT}.dkr.ecr.cn-north-1.amazonaws.com.cn", ACCOUNT, "cn-north-1", False),
        (f"{ACCOUNT}.dkr.ecr-fips.us-gov-west-1.amazonaws.com", ACCOUNT, "us-gov-west-1", True),
        (f"{ACCOUNT}.dkr-ecr.us-east-2.on.aws", ACCOUNT, "us-east-2", False),
        ("public.ecr.aws", "", "us-east-1", False),
    ],
)
def test_addresses_of_amazon_are_known(name: str, account: str, region: str, fips: bool) -> None:
    assert ecr.parse_host(name) == ecr.Registry(host=name, account=account, region=region, fips=fips)


@pytest.mark.parametrize(
    "name",
    [
        f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com.evil.example",
        f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com:443",
        f"x.{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com",
        "12345.dkr.ecr.eu-west-1.amazonaws.com",
        "ecr.aws",
        "docker.io",
    ],
)
def test_other_addresses_are_not_amazons(name: str) -> None:
    assert ecr.parse_host(name) is None


@pytest.mark.parametrize(
    ("reference", "region"),
    [("a.example/b:1", "eu-west-1"), (f"{host()}/b", "cn-north-1"), (f"{host()}/b", "Mars")],
)
def test_regions_that_cannot_be_are_refused(reference: str, region: str) -> None:
    with pytest.raises(UsageError, match="region"):
        expanded([reference], [region])


def test_a_lost_api_is_told(stand_in: Amazon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image(tmp_path / "image", seed=12)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(SeatrialError, match="AWS cannot be asked") as caught:
        _push(tmp_path / "image", f"{host()}/team/lost:1", retry=Retry(attempts=1))
    assert "AWS_ENDPOINT_URL" in (caught.value.fix or "")
