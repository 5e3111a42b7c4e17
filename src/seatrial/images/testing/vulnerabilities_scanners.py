"""Who looks for vulnerabilities when there is no report: a scanner on this machine, or Amazon's registry.

Sources: Trivy and Grype, command line reference and "air-gapped environments"; ECR API, DescribeImageScanFindings.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seatrial import processes
from seatrial.clock import SystemClock
from seatrial.errors import MissingToolError, SeatrialError
from seatrial.images import layout as oci
from seatrial.images.testing.vulnerabilities_reports import (
    Report,
    Vulnerability,
    ecosystem_of,
    parse,
    severity_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from seatrial.clock import Clock

SCANNERS = ("trivy", "grype")
_POLL = 5.0
_WORKING = frozenset({"IN_PROGRESS", "PENDING"})
_DONE = frozenset({"COMPLETE", "ACTIVE"})


def installed() -> str:
    """The scanner that is on this machine, empty when there is none."""
    return next((name for name in SCANNERS if shutil.which(name)), "")


def scan(program: str, layout: Path, digest: str, *, timeout: float) -> Report:
    """Let trivy or grype look at one image of a layout. Their own settings hold, also those that forbid the network.

    A database that cannot be renewed is no failure as long as there is one: the report's source says so.

    Raises:
        MissingToolError: the scanner is not installed.
        SeatrialError: it failed, or took longer than `timeout` seconds.
    """
    if shutil.which(program) is None:
        raise MissingToolError(
            f"{program} is not installed",
            why="seatrial.yaml or the command line asks for it (test.vulnerabilities.scanner)",
            fix=f"install {program}, or give a report with --scan FILE",
        )
    with _alone(layout, digest) as place:
        argv, offline = _commands(program, place)
        done = processes.run(argv, timeout=timeout)
        note = ""
        if done.code != 0:
            again = processes.run(offline, env=_offline_environment(), timeout=timeout)
            if again.code != 0:
                raise _failed(program, done)
            done, note = again, ", with a database that could not be renewed"
    found = parse(done.stdout.encode(), f"of {program}")
    # What it calls the image is a folder of ours, which says nothing.
    return Report(source=f"{program}{note}", found=found.found)


def _commands(program: str, place: Path) -> tuple[list[str], list[str]]:
    if program == "trivy":
        plain = ["trivy", "image", "--input", str(place), "--format", "json", "--scanners", "vuln", "--quiet"]
        return plain, [*plain, "--skip-db-update", "--skip-java-db-update", "--offline-scan"]
    plain = ["grype", f"oci-dir:{place}", "-o", "json", "-q"]
    return plain, plain


def _offline_environment() -> dict[str, str]:
    import os

    return {**os.environ, "GRYPE_DB_AUTO_UPDATE": "false", "GRYPE_CHECK_FOR_APP_UPDATE": "false"}


def _failed(program: str, done: processes.Completed) -> SeatrialError:
    words = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    update = "trivy image --download-db-only" if program == "trivy" else "grype db update"
    return SeatrialError(
        f"{program} could not look at the image",
        why=words[-1][:400] if words else f"it ended with {done.code} and said nothing",
        fix=f"run `{update}` where there is a network, or give a report with --scan FILE",
    )


@contextmanager
def _alone(layout: Path, digest: str) -> Iterator[Path]:
    """The layout with this image only: of several, a scanner would take the first."""
    with tempfile.TemporaryDirectory(prefix="seatrial-") as folder:
        place = Path(folder) / "image"
        oci.create(place)
        one = oci.read_image(layout, digest=digest).descriptor
        oci.set_index(place, oci.Index(manifests=(one,)))
        shutil.rmtree(place / "blobs", ignore_errors=True)
        (place / "blobs").symlink_to((layout / "blobs").resolve())
        yield place


def in_registry(reference: str, digest: str, *, timeout: float, clock: Clock | None = None) -> Report | str:
    """What Amazon's registry found in an image there; a text says why it has found nothing yet.

    Waits until a scan that is under way has finished, at most `timeout` seconds.

    Raises:
        MissingToolError: boto3 is not installed.
        SeatrialError: AWS refuses, the scan failed, or it took too long.
    """
    from seatrial.cloud import ecr
    from seatrial.cloud.session import AwsError
    from seatrial.images.reference import parse as parse_reference

    named = parse_reference(reference)
    registry = ecr.parse_host(named.registry)
    if registry is None or registry.public:
        return f"{named.registry} is not a registry that scans"
    clock = clock or SystemClock()
    deadline = clock.now() + timeout
    while True:
        try:
            pages = list(ecr.scan_findings(registry, named.repository, digest))
        except AwsError as error:
            if error.code == "ScanNotFoundException":
                return (
                    f"{named.name} has not been scanned; `aws ecr start-image-scan --repository-name "
                    f"{named.repository} --image-id imageDigest={digest}` begins it"
                )
            raise
        status = pages[0].get("imageScanStatus") or {}
        state = str(status.get("status") or "")
        if state not in _WORKING:
            break
        if clock.now() >= deadline:
            raise SeatrialError(
                f"the registry's scan did not finish in {timeout:g} s",
                where=reference,
                fix="try again later, or raise test.vulnerabilities.timeout",
            )
        clock.sleep(min(_POLL, max(0.1, deadline - clock.now())))
    if state not in _DONE:
        raise SeatrialError(
            f"the registry could not scan the image: {state.lower().replace('_', ' ')}",
            where=reference,
            why=str(status.get("description") or "") or None,
            fix="give a report of another scanner with --scan FILE",
        )
    return Report(source=f"the scan of {named.registry}", found=tuple(_found(pages)))


def _found(pages: Sequence[Mapping[str, Any]]) -> Iterator[Vulnerability]:
    for page in pages:
        findings = page.get("imageScanFindings") or {}
        for one in findings.get("findings") or ():
            stated = {a["key"]: a.get("value", "") for a in one.get("attributes") or ()}
            yield Vulnerability(
                id=str(one["name"]),
                package=stated.get("package_name", "the image"),
                version=stated.get("package_version", ""),
                severity=severity_of(one.get("severity")),
                ecosystem="system",  # basic scanning looks at nothing else
                title=str(one.get("description") or ""),
            )
        for one in findings.get("enhancedFindings") or ():
            yield from _enhanced(one)


def _enhanced(one: Mapping[str, Any]) -> Iterator[Vulnerability]:
    details = one.get("packageVulnerabilityDetails") or {}
    status = str(one.get("status") or "ACTIVE")
    for package in details.get("vulnerablePackages") or [{}]:
        fixed = str(package.get("fixedInVersion") or "")
        manager = str(package.get("packageManager") or "")
        yield Vulnerability(
            id=str(details.get("vulnerabilityId") or one.get("title") or one.get("findingArn")),
            package=str(package.get("name") or "the image"),
            version=str(package.get("version") or ""),
            severity=severity_of(one.get("severity")),
            fixed=() if fixed in ("", "NotAvailable") else tuple(fixed.replace(" ", "").split(",")),
            aliases=tuple(map(str, details.get("relatedVulnerabilities") or ())),
            ecosystem="system" if manager == "OS" else ecosystem_of(manager),
            title=str(one.get("title") or ""),
            dismissed="" if status == "ACTIVE" else f"{status.lower()} in Amazon Inspector",
        )
