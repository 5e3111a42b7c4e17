"""Amazon's container registry: its addresses, log-in, repositories and images.

Sources: the ECR API reference; "Private registry" in the ECR user guide for the forms of addresses; IAM actions from
the service authorization reference.
"""

from __future__ import annotations

import base64
import re
import time
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from seatrial.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

PUBLIC_HOSTS = frozenset({"public.ecr.aws", "ecr-public.aws.com"})
_PRIVATE = re.compile(
    r"(?P<account>[0-9]{12})\.dkr(?P<joint>[.-])ecr(?P<fips>-fips)?\.(?P<region>[a-z0-9-]+)\."
    r"(?P<suffix>amazonaws\.com|amazonaws\.com\.cn|amazonaws\.eu|on\.aws|on\.amazonwebservices\.com\.cn"
    r"|c2s\.ic\.gov|sc2s\.sgov\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov)"
)
_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}")


class Registry(msgspec.Struct, frozen=True, kw_only=True):
    """A registry of one account in one region. The public one has neither an account nor a choice of region."""

    host: str
    account: str = ""
    region: str = "us-east-1"
    fips: bool = False

    @property
    def public(self) -> bool:
        return not self.account


class Login(msgspec.Struct, frozen=True):
    """A user name and password; `life` is how many seconds they are good for."""

    username: str
    password: str
    life: float

    def __repr__(self) -> str:
        return f"Login(life={self.life!r})"


class NewRepository(msgspec.Struct, frozen=True, kw_only=True):
    """How a repository is made. `kms_key` is only for KMS, and empty for AWS's own key."""

    scan_on_push: bool = True
    immutable: bool = False
    encryption: Literal["AES256", "KMS"] = "AES256"
    kms_key: str = ""
    tags: Mapping[str, str] = {}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """An image in a repository: bytes, when it was pushed (seconds since the epoch), and what scanning says."""

    digest: str
    tags: tuple[str, ...]
    size: int
    media_type: str
    pushed: float
    scan: str


def parse_host(host: str) -> Registry | None:
    """The registry that answers at `host`; None when it is not Amazon's."""
    if host in PUBLIC_HOSTS:
        return Registry(host=host)
    found = _PRIVATE.fullmatch(host)
    if found is None:
        return None
    return Registry(
        host=host, account=found["account"], region=found["region"], fips=found["fips"] is not None
    )


def in_region(host: str, region: str) -> str:
    """The address of the same account's registry in another region.

    Raises:
        UsageError: `host` is not a private registry of ECR, or the region is none that it can have.
    """
    found = _PRIVATE.fullmatch(host)
    if found is None:
        raise UsageError(
            f"{host} has no regions",
            fix="give a reference such as ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME",
        )
    chinese = found["suffix"].endswith(".cn")
    if not _REGION.fullmatch(region) or region.startswith("cn-") != chinese:
        raise UsageError(
            f"{region[:60]!r} is not a region that {host} can have a sister in",
            why="accounts of China's regions are other accounts" if _REGION.fullmatch(region) else None,
            fix="write it as eu-west-1",
        )
    return host[: found.start("region")] + region + host[found.end("region") :]


def login(registry: Registry) -> Login:
    """Ask for a password, which is good for 12 hours.

    Raises:
        MissingToolError: boto3 is not installed.
        AwsError: there are no credentials, or they do not allow it.
    """
    from seatrial.cloud.session import ask, client

    if registry.public:
        answer = ask(
            client("ecr-public", registry.region).get_authorization_token,
            "ecr-public:GetAuthorizationToken",
            registry.host,
        )
        return _login(answer["authorizationData"])
    answer = ask(_private(registry).get_authorization_token, "ecr:GetAuthorizationToken", registry.host)
    return _login(answer["authorizationData"][0])


def create(registry: Registry, repository: str, wanted: NewRepository) -> bool:
    """Make the repository; False when it was there already.

    Raises:
        MissingToolError: boto3 is not installed.
        AwsError: AWS refuses; the missing IAM action is named.
    """
    from seatrial.cloud.session import AwsError, ask, client

    where = f"{registry.host}/{repository}"
    tags = [{"Key": key, "Value": value} for key, value in sorted(wanted.tags.items())]
    try:
        if registry.public:
            ask(
                client("ecr-public", registry.region).create_repository,
                "ecr-public:CreateRepository",
                where,
                repositoryName=repository.partition("/")[2]
                or repository,  # the first part is the account's alias
                **({"tags": tags} if tags else {}),
            )
            return True
        encryption: dict[str, str] = {"encryptionType": wanted.encryption}
        if wanted.kms_key:
            encryption["kmsKey"] = wanted.kms_key
        ask(
            _private(registry).create_repository,
            "ecr:CreateRepository",
            where,
            registryId=registry.account,
            repositoryName=repository,
            imageTagMutability="IMMUTABLE" if wanted.immutable else "MUTABLE",
            imageScanningConfiguration={"scanOnPush": wanted.scan_on_push},
            encryptionConfiguration=encryption,
            **({"tags": tags} if tags else {}),
        )
    except AwsError as error:
        if error.code == "RepositoryAlreadyExistsException":
            return False
        raise
    return True


def images(registry: Registry, repository: str) -> list[Row]:
    """Every tagged image of a private repository.

    Raises:
        MissingToolError: boto3 is not installed.
        AwsError: AWS refuses, for example because there is no such repository.
    """
    return [_row(detail) for page in _pages(registry, repository) for detail in page["imageDetails"]]


def scan_findings(registry: Registry, repository: str, digest: str) -> Iterator[dict[str, Any]]:
    """What scanning found in an image, page by page; the first page says how far the scan is.

    Raises:
        MissingToolError: boto3 is not installed.
        AwsError: AWS refuses; its code is ScanNotFoundException when the image was not scanned.
    """
    from seatrial.cloud.session import ask

    api, following = _private(registry), dict[str, str]()
    while True:
        page = ask(
            api.describe_image_scan_findings,
            "ecr:DescribeImageScanFindings",
            f"{registry.host}/{repository}@{digest}",
            registryId=registry.account,
            repositoryName=repository,
            imageId={"imageDigest": digest},
            **following,
        )
        yield page
        if not page.get("nextToken"):
            return
        following = {"nextToken": page["nextToken"]}


def _pages(registry: Registry, repository: str) -> Iterator[dict[str, Any]]:
    from seatrial.cloud.session import ask

    api, wanted = _private(registry), {"registryId": registry.account, "repositoryName": repository}
    following: dict[str, str] = {}
    while True:
        page = ask(
            api.describe_images,
            "ecr:DescribeImages",
            f"{registry.host}/{repository}",
            filter={"tagStatus": "TAGGED"},
            maxResults=1000,
            **wanted,
            **following,
        )
        yield page
        if not page.get("nextToken"):
            return
        following = {"nextToken": page["nextToken"]}


def _row(detail: dict[str, Any]) -> Row:
    pushed: datetime | None = detail.get("imagePushedAt")
    findings = (detail.get("imageScanFindingsSummary") or {}).get("findingSeverityCounts") or {}
    status = str((detail.get("imageScanStatus") or {}).get("status", ""))
    counted = ", ".join(f"{count} {severity.lower()}" for severity, count in findings.items())
    return Row(
        digest=str(detail["imageDigest"]),
        tags=tuple(str(tag) for tag in detail.get("imageTags") or ()),
        size=int(detail.get("imageSizeInBytes") or 0),
        media_type=str(detail.get("imageManifestMediaType") or ""),
        pushed=pushed.timestamp() if pushed else 0.0,
        scan=f"{status.lower()}: {counted}" if counted else status.lower(),
    )


def _private(registry: Registry) -> Any:
    from seatrial.cloud.session import client

    return client("ecr", registry.region, fips=registry.fips)


def _login(answer: dict[str, Any]) -> Login:
    username, _, password = base64.b64decode(answer["authorizationToken"]).decode().partition(":")
    return Login(username, password, max(0.0, answer["expiresAt"].timestamp() - time.time()))
