"""Known vulnerabilities: what scanners write is read as one, and the gate decides as its owner said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from seatrial.config.model import AllowedVulnerability, Vulnerabilities
from seatrial.errors import SeatrialError
from seatrial.images.testing.advice import Project, find_project
from seatrial.images.testing.model import Check, TestSpec, Verdict
from seatrial.images.testing.suite import run_tests
from seatrial.images.testing.vulnerabilities import fixed_in
from seatrial.images.testing.vulnerabilities_reports import Vulnerability, parse
from support.debian import PACKAGES, Item, base, image, needs_bwrap, own_cache

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TRIVY = {
    "SchemaVersion": 2,
    "ArtifactName": "image",
    "Results": [
        {
            "Target": "image (debian 12)", "Class": "os-pkgs", "Type": "debian",
            "Vulnerabilities": [
                {"VulnerabilityID": "CVE-2024-0001", "PkgName": "libssl3", "InstalledVersion": "3.0.1-1", "FixedVersion": "3.0.2-1", "Severity": "CRITICAL"},
                {"VulnerabilityID": "CVE-2024-0002", "PkgName": "zlib1g", "InstalledVersion": "1:1.2", "Severity": "LOW"},
            ],
        },
        {
            "Target": "Python", "Class": "lang-pkgs", "Type": "python-pkg",
            "Vulnerabilities": [
                {"VulnerabilityID": "CVE-2024-0003", "PkgName": "thing", "InstalledVersion": "1.0", "FixedVersion": "1.0.5, 2.0.1", "Severity": "HIGH", "Title": "it leaks"},
                {"VulnerabilityID": "CVE-2024-0004", "PkgName": "thing", "InstalledVersion": "1.0", "FixedVersion": "1.2", "Severity": "HIGH"},
            ],
        },
    ],
}  # fmt: skip
GRYPE = {
    "descriptor": {"name": "grype", "version": "0.90"},
    "matches": [
        {
            "vulnerability": {"id": "GHSA-aaaa-bbbb-cccc", "severity": "High", "fix": {"state": "fixed", "versions": ["1.2"]}},
            "relatedVulnerabilities": [{"id": "CVE-2024-0003"}],
            "artifact": {"name": "thing", "version": "1.0", "type": "python"},
        },
        {
            "vulnerability": {"id": "CVE-2024-0002", "severity": "Negligible", "fix": {"state": "wont-fix", "versions": []}},
            "artifact": {"name": "zlib1g", "version": "1:1.2", "type": "deb"},
        },
    ],
}  # fmt: skip
CYCLONEDX = {
    "bomFormat": "CycloneDX", "specVersion": "1.6",
    "components": [{"bom-ref": "one", "name": "thing", "version": "1.0", "purl": "pkg:pypi/thing@1.0"}],
    "vulnerabilities": [
        {"id": "CVE-2024-0003", "ratings": [{"severity": "medium"}, {"score": 9.1}], "recommendation": "Upgrade thing to version 1.2", "affects": [{"ref": "one"}]},
        {"id": "CVE-2024-0005", "ratings": [{"severity": "critical"}], "analysis": {"state": "not_affected", "justification": "code_not_reachable"},
         "affects": [{"ref": "urn:cdx:3e671687-395b-41f5-a30f-a58921a69b79/1#pkg:deb/debian/libssl3@3.0.1-1?arch=amd64"}]},
    ],
}  # fmt: skip
SARIF = {
    "version": "2.1.0",
    "runs": [
        {
            "tool": {"driver": {"name": "Trivy", "rules": [
                {"id": "CVE-2024-0003", "properties": {"security-severity": "8.1"}, "help": {"text": "Vulnerability CVE-2024-0003\nPackage: thing\nFixed Version: 1.2"}},
            ]}},
            "results": [{"ruleId": "CVE-2024-0003", "ruleIndex": 0, "level": "error", "message": {"text": "Package: thing\nInstalled Version: 1.0\nFixed Version: 1.2"}}],
        }
    ],
}  # fmt: skip


def short(one: Vulnerability) -> tuple[Any, ...]:
    return (one.id, one.package, one.version, one.severity, one.fixed, one.ecosystem, bool(one.dismissed))


FORMATS = [
    ("Trivy", TRIVY, [
        ("CVE-2024-0001", "libssl3", "3.0.1-1", "critical", ("3.0.2-1",), "system", False),
        ("CVE-2024-0002", "zlib1g", "1:1.2", "low", (), "system", False),
        ("CVE-2024-0003", "thing", "1.0", "high", ("1.0.5", "2.0.1"), "python", False),
        ("CVE-2024-0004", "thing", "1.0", "high", ("1.2",), "python", False),
    ]),
    ("Grype", GRYPE, [
        ("GHSA-aaaa-bbbb-cccc", "thing", "1.0", "high", ("1.2",), "python", False),
        ("CVE-2024-0002", "zlib1g", "1:1.2", "negligible", (), "system", False),
    ]),
    ("CycloneDX", CYCLONEDX, [
        ("CVE-2024-0003", "thing", "1.0", "critical", ("1.2",), "python", False),
        ("CVE-2024-0005", "libssl3", "3.0.1-1", "critical", (), "system", True),
    ]),
    ("SARIF", SARIF, [("CVE-2024-0003", "thing", "1.0", "high", ("1.2",), "other", False)]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "report", "found"), FORMATS, ids=[name for name, _, _ in FORMATS])
def test_each_format_says_the_same(name: str, report: dict[str, Any], found: list[tuple[Any, ...]]) -> None:
    read = parse(json.dumps(report).encode(), "scan.json")

    assert [short(one) for one in read.found] == found
    assert read.source == f"{name} report scan.json"


@pytest.mark.parametrize(
    "content",
    [
        b"", b"[]", b"{}", b"\xff", b'{"SchemaVersion": 2, "Results": [{"Vulnerabilities": [{}]}]}', b"[" * 100_000,
        json.dumps({"bomFormat": "CycloneDX", "components": []}).encode(),
        json.dumps({"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "linter"}}, "results": [{"ruleId": "E501"}]}]}).encode(),
    ],
)  # fmt: skip
def test_what_is_no_report_is_refused(content: bytes) -> None:
    """A file that cannot be read must not look like an image without vulnerabilities."""
    with pytest.raises(SeatrialError, match="no report of vulnerabilities") as caught:
        parse(content, "scan.json")
    assert caught.value.where == "scan.json"
    assert caught.value.fix


@pytest.mark.parametrize(
    ("fixed", "target"),
    [
        ([("1.0.5", "2.0.1")], "1.0.5"),
        ([("1.0.5", "2.0.1"), ("1.2",)], "1.2"),
        ([("0.9", "1.1")], "1.1"),
        ([("1.2",), ()], ""),
        ([], ""),
    ],
)
def test_the_least_version_without_any_of_them(fixed: list[tuple[str, ...]], target: str) -> None:
    found = [
        Vulnerability(id=f"CVE-2024-{n}", package="p", version="1.0", fixed=f) for n, f in enumerate(fixed)
    ]
    assert fixed_in(found) == target


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    needs_bwrap()
    yield from own_cache(tmp_path_factory)


@pytest.fixture(scope="module")
def layout(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("image") / "layout"
    metadata = Item(
        f"{PACKAGES}/thing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n"
    )
    user = Item(
        f"{PACKAGES}/user-1.0.dist-info/METADATA",
        "Metadata-Version: 2.1\nName: user\nVersion: 1.0\nRequires-Dist: thing>=1\n",
    )
    image(place, [[metadata, user]], {"Cmd": ["python3"]}, base=base())
    return place


def gated(
    layout: Path,
    folder: Path,
    report: dict[str, Any] | None,
    project: Project | None = None,
    *,
    allow: tuple[AllowedVulnerability, ...] = (),
    **gate: Any,
) -> Verdict:
    if report is not None:
        (folder / "scan.json").write_text(json.dumps(report))
        gate["reports"] = ("scan.json",)
    spec = TestSpec(folder=str(folder), vulnerabilities=Vulnerabilities(allow=allow, **gate))
    return run_tests(layout, level="quick", spec=spec, only=("vulnerabilities",), project=project)


def by_id(verdict: Verdict) -> dict[str, Check]:
    return {check.id: check for check in verdict.checks}


def test_each_package_is_an_answer_and_the_base_is_one(layout: Path, tmp_path: Path) -> None:
    verdict = gated(layout, tmp_path, TRIVY)
    checks = by_id(verdict)
    assert verdict.verdict == "fail"
    assert set(checks) == {"vulnerabilities:thing", "vulnerabilities:base"}
    assert "1.2 has none of them" in checks["vulnerabilities:thing"].message
    assert "CVE-2024-0003 (high)" in checks["vulnerabilities:thing"].message
    assert "thing>=1.2" in checks["vulnerabilities:thing"].fix
    assert "user needs it" in checks["vulnerabilities:thing"].fix
    assert "libssl3" in checks["vulnerabilities:base"].message
    assert "newer base" in checks["vulnerabilities:base"].fix


@pytest.mark.parametrize(
    ("text", "edit"),
    [
        ("other\nthing[fast]==1.0 ; python_version > '3'\n", ("requirements.txt", 2, "thing[fast]==1.0 ; python_version > '3'", "thing[fast]==1.2 ; python_version > '3'")),
        ("thing>=1\n", ("requirements.txt", 1, "thing>=1", "thing>=1.2")),
        ("user\n", ("requirements.txt", 2, "", "thing>=1.2")),
        ("thing==1.0 --hash=sha256:" + "0" * 64 + "\n", None),
    ],
)  # fmt: skip
def test_the_fix_is_a_line_of_the_requirements(
    layout: Path, tmp_path: Path, text: str, edit: tuple[str, int, str, str] | None
) -> None:
    (tmp_path / "requirements.txt").write_text(text)
    check = by_id(gated(layout, tmp_path, TRIVY, find_project(tmp_path)))["vulnerabilities:thing"]
    found = check.edit and (check.edit.file, check.edit.line, check.edit.old, check.edit.new)
    assert found == edit
    assert "requirements.txt:" in check.fix


def test_the_gate_is_as_strict_as_it_is_set(layout: Path, tmp_path: Path) -> None:
    least = {gate: gated(layout, tmp_path, TRIVY, fail_on=gate) for gate in ("low", "critical", "never")}
    assert set(by_id(least["critical"])) == {"vulnerabilities:base"}
    assert "zlib1g" in "".join(by_id(least["low"])["vulnerabilities:base"].details)
    assert least["never"].verdict == "pass"
    passed = by_id(least["never"])["vulnerabilities"]
    assert "1 critical, 2 high, 1 low" in passed.message
    unfixed = gated(layout, tmp_path, TRIVY, fail_on="low", ignore_unfixed=True)
    assert "zlib1g" not in "".join(by_id(unfixed)["vulnerabilities:base"].details)


def day(offset: int) -> str:
    return (datetime.now(UTC) + timedelta(days=offset)).date().isoformat()


def test_allowances_hold_until_they_expire_and_are_missed_when_unused(layout: Path, tmp_path: Path) -> None:
    accepted = (
        AllowedVulnerability(id="cve-2024-0001", reason="no TLS here", expires=day(0)),
        AllowedVulnerability(id="CVE-2024-0003", reason="unreachable", package="Thing"),
        AllowedVulnerability(id="CVE-2024-0004", reason="unreachable", expires=day(-1)),
        AllowedVulnerability(id="CVE-1999-0001", reason="long gone"),
    )
    checks = by_id(gated(layout, tmp_path, TRIVY, allow=accepted))
    assert set(checks) == {"vulnerabilities:thing", "vulnerabilities:allowances"}
    assert "CVE-2024-0003" not in checks["vulnerabilities:thing"].message
    said = checks["vulnerabilities:allowances"]
    assert f"the allowance of CVE-2024-0004 expired on {day(-1)}" in said.message
    assert "CVE-1999-0001 is not used" in said.message
    assert any("no TLS here" in line for line in said.details)


def test_an_alias_is_allowed_and_another_package_is_not(layout: Path, tmp_path: Path) -> None:
    alias = (AllowedVulnerability(id="CVE-2024-0003", reason="unreachable"),)
    assert gated(layout, tmp_path, GRYPE, allow=alias).verdict == "pass"
    other = (AllowedVulnerability(id="CVE-2024-0003", reason="unreachable", package="other"),)
    assert gated(layout, tmp_path, GRYPE, allow=other).verdict == "fail"


def test_a_report_about_another_image_proves_nothing(layout: Path, tmp_path: Path) -> None:
    clean: dict[str, Any] = {"SchemaVersion": 2, "ArtifactName": "x", "Results": []}
    assert gated(layout, tmp_path, clean).verdict == "pass"
    clean["Metadata"] = {"ImageID": "sha256:" + "0" * 64}
    check = by_id(gated(layout, tmp_path, clean))["vulnerabilities"]
    assert check.status == "fail"
    assert "another image" in check.message


def test_nobody_looked_is_said(layout: Path, tmp_path: Path) -> None:
    check = by_id(gated(layout, tmp_path, None, scanner="none"))["vulnerabilities"]
    assert check.status == "skip"
    assert "nobody looked" in check.message
    assert "--scan" in check.fix


def test_a_stand_in_for_trivy_is_given_this_image_alone(
    layout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scanner itself cannot be had here: a program of its name that answers only when it is asked rightly."""
    program = tmp_path / "bin/trivy"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        "place = sys.argv[sys.argv.index('--input') + 1]\n"
        "listed = json.load(open(place + '/index.json'))['manifests']\n"
        "digest = listed[0]['digest'].partition(':')[2]\n"
        "assert len(listed) == 1 and os.path.exists(place + '/blobs/sha256/' + digest)\n"
        "if '--skip-db-update' not in sys.argv: sys.exit('FATAL no network')\n"
        f"print({json.dumps(json.dumps(TRIVY))})\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    check = by_id(gated(layout, tmp_path, None, scanner="trivy", fail_on="never"))["vulnerabilities"]
    assert check.status == "pass"
    assert "trivy, with a database that could not be renewed" in check.message
    program.write_text("#!/bin/sh\necho 'FATAL it broke' >&2\nexit 1\n")
    check = by_id(gated(layout, tmp_path, None, scanner="trivy"))["vulnerabilities"]
    assert check.status == "fail"
    assert "it broke" in check.message


def test_the_command_line_reads_a_scan(layout: Path, tmp_path: Path) -> None:
    (tmp_path / "scan.json").write_text(json.dumps(TRIVY))
    words = ["image", "test", str(layout), "--level", "quick", "--scan", "scan.json", "--json"]
    done = subprocess.run(

        [sys.executable, "-m", "seatrial", *words, "-C", str(tmp_path)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    failures = [check["id"] for check in json.loads(done.stdout)["checks"] if check["status"] == "fail"]
    assert "vulnerabilities:thing" in failures
