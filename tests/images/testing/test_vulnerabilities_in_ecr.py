"""What Amazon's registry found in an image, as far as moto stands in for it."""

from __future__ import annotations

import json
import secrets
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from seatrial.errors import SeatrialError
from seatrial.images.testing.vulnerabilities_reports import Report
from seatrial.images.testing.vulnerabilities_scanners import in_registry
from support.amazon import REGIONS, amazon, host

if TYPE_CHECKING:
    from collections.abc import Iterator

OCI = "application/vnd.oci.image.manifest.v1+json"
REFERENCE = f"{host()}/model:1"
ENHANCED = {
    "findingArn": "arn:1", "severity": "HIGH", "status": "ACTIVE", "title": "CVE-2024-0003 - thing",
    "packageVulnerabilityDetails": {
        "vulnerabilityId": "CVE-2024-0003", "relatedVulnerabilities": ["GHSA-aaaa-bbbb-cccc"],
        "vulnerablePackages": [
            {"name": "thing", "version": "1.0", "packageManager": "PYTHONPKG", "fixedInVersion": "1.2"},
        ],
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def ecr(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, str, str]]:
    """A client, the address of moto and the digest of an image in the repository `model`."""
    boto3: Any = pytest.importorskip("boto3")
    with amazon(tmp_path_factory.mktemp("amazon")) as place, pytest.MonkeyPatch.context() as patch:
        for name, value in place.env.items():
            patch.setenv(name, value)
        patch.setenv("NO_PROXY", "127.0.0.1")
        client = boto3.client("ecr", region_name=REGIONS[0])
        client.create_repository(repositoryName="model")
        yield client, place.env["AWS_ENDPOINT_URL"], put(client, "model")


class MovingClock:
    """Time that passes by being waited for."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.waits = 0

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        self.waits += 1


def answer(endpoint: str, repository: str, status: str, **findings: Any) -> None:
    """What moto says the next time that somebody asks."""
    result = {
        "repositoryName": repository, "imageId": {}, "imageScanStatus": {"status": status, "description": "said by a test"},
        "imageScanFindings": findings,
    }  # fmt: skip
    body = json.dumps({"results": [result], "region": REGIONS[0]}).encode()
    request = urllib.request.Request(
        f"{endpoint}/moto-api/static/ecr/scan-finding-results",
        data=body,
        headers={"Content-Type": "application/json"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request) as response:
        assert response.status in (200, 201)


def scanned(client: Any) -> tuple[str, str]:
    """A repository with one scanned image: its name, and the image's digest."""
    name = f"model-{secrets.token_hex(4)}"
    client.create_repository(repositoryName=name)
    digest = put(client, name)
    client.start_image_scan(repositoryName=name, imageId={"imageDigest": digest})
    return name, digest


def put(client: Any, repository: str) -> str:
    config = {"digest": f"sha256:{secrets.token_hex(32)}"}
    manifest = json.dumps({"schemaVersion": 2, "mediaType": OCI, "config": config, "layers": []})
    done = client.put_image(repositoryName=repository, imageManifest=manifest, imageTag="1")
    digest: str = done["image"]["imageId"]["imageDigest"]
    return digest


def test_an_image_that_was_not_scanned(ecr: tuple[Any, str, str]) -> None:
    found = in_registry(REFERENCE, ecr[2], timeout=5)
    assert isinstance(found, str)
    assert "aws ecr start-image-scan" in found
    assert ecr[2] in found


def test_basic_findings(ecr: tuple[Any, str, str]) -> None:
    name, digest = scanned(ecr[0])
    found = in_registry(f"{host()}/{name}:1", digest, timeout=5)
    assert isinstance(found, Report)
    (one,) = found.found
    assert (one.id, one.package, one.version, one.severity) == ("CVE-9999-9999", "moto_fake", "9.9.9", "high")


def test_enhanced_findings(ecr: tuple[Any, str, str]) -> None:
    name, digest = scanned(ecr[0])
    answer(ecr[1], name, "ACTIVE", enhancedFindings=[ENHANCED, {**ENHANCED, "status": "SUPPRESSED"}])
    found = in_registry(f"{host()}/{name}:1", digest, timeout=5)
    assert isinstance(found, Report)
    first, second = found.found
    assert (first.id, first.fixed, first.ecosystem) == ("CVE-2024-0003", ("1.2",), "python")
    assert "GHSA-aaaa-bbbb-cccc" in first.aliases
    assert (first.dismissed, second.dismissed) == ("", "suppressed in Amazon Inspector")


def test_a_scan_that_does_not_end_is_waited_for_until_the_deadline(ecr: tuple[Any, str, str]) -> None:
    name, digest = scanned(ecr[0])
    answer(ecr[1], name, "IN_PROGRESS")
    clock = MovingClock()
    with pytest.raises(SeatrialError, match="did not finish in 12 s"):
        in_registry(f"{host()}/{name}:1", digest, timeout=12, clock=clock)
    assert clock.waits >= 2
    assert clock.seconds == pytest.approx(12, abs=0.5)


def test_a_scan_that_failed(ecr: tuple[Any, str, str]) -> None:
    name, digest = scanned(ecr[0])
    answer(ecr[1], name, "UNSUPPORTED_IMAGE")
    with pytest.raises(SeatrialError, match="unsupported image") as caught:
        in_registry(f"{host()}/{name}:1", digest, timeout=5)
    assert caught.value.why == "said by a test"


def test_another_registry_does_not_scan() -> None:
    assert "not a registry that scans" in str(in_registry("127.0.0.1:5000/model:1", "sha256:0", timeout=1))
