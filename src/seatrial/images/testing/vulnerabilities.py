"""Known vulnerabilities in an image against what its owner accepts.

Packages of the operating system are one answer, since one change to the base answers them all; every other package
is one of its own, with the version that no finding is about any more.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from seatrial.errors import MissingToolError, SeatrialError
from seatrial.images.testing.model import Check, Subject, failed, passed
from seatrial.images.testing.vulnerabilities_reports import SEVERITIES, Report, Vulnerability

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from seatrial.config.model import AllowedVulnerability, Vulnerabilities

_NAME = "vulnerabilities"
_HOW = (
    "install trivy or grype, or give what a scanner wrote: --scan FILE, or images.NAME.test.vulnerabilities.reports in "
    "seatrial.yaml"
)
_SHOWN = 3


class Judged(NamedTuple):
    """Findings by what becomes of them: `counted` fail, the others do not. `notes` are about the allowances."""

    counted: list[Vulnerability]
    accepted: list[Vulnerability]
    milder: list[Vulnerability]
    notes: list[str]
    details: list[str]


def check(subject: Subject) -> Iterator[Check]:
    """Ask the reports, else a scanner or the registry, and compare what they found with the gate."""
    gate = subject.spec.vulnerabilities
    reports = _reports(subject) if gate.reports else _looked_for(subject)
    if isinstance(reports, str):
        yield Check(id=_NAME, status="skip", message=reports, fix=_HOW)
        return
    strangers = [r for r in reports if r.images and not r.images & _identities(subject)]
    if strangers:
        about = ", ".join(sorted(strangers[0].images))
        message = f"the {strangers[0].source} is about another image: {about}"
        yield failed(
            _NAME, message, "scan this image and give that report", [f"this image is {subject.root.digest}"]
        )
        return
    today = datetime.now(UTC).date()
    judged = judge([one for report in reports for one in report.found], gate, today)
    yield from _packages(judged.counted, subject)
    yield from _rest(judged, reports, gate)


def judge(found: Iterable[Vulnerability], gate: Vulnerabilities, today: date) -> Judged:
    """Sort findings by the gate. An allowance holds up to and including the day on which it expires."""
    least = len(SEVERITIES) if gate.fail_on == "never" else SEVERITIES.index(gate.fail_on)
    judged = Judged([], [], [], [], [])
    used: set[AllowedVulnerability] = set()
    for one in found:
        allowance = next((a for a in gate.allow if _covers(a, one)), None)
        if allowance is not None:
            used.add(allowance)
        expired = allowance is not None and allowance.expires is not None and _day(allowance.expires) < today
        if one.dismissed:
            judged.accepted.append(one)
            judged.details.append(f"{_shown(one)}: the report says {one.dismissed}")
        elif allowance is not None and not expired:
            until = f" until {allowance.expires}" if allowance.expires else ""
            judged.accepted.append(one)
            judged.details.append(f"{_shown(one)}: accepted{until}: {allowance.reason}")
        elif SEVERITIES.index(one.severity) < least or (gate.ignore_unfixed and not one.fixed):
            judged.milder.append(one)
        else:
            judged.counted.append(one)
    for allowance in gate.allow:
        if allowance.expires is not None and _day(allowance.expires) < today:
            judged.notes.append(f"the allowance of {allowance.id} expired on {allowance.expires}")
        elif allowance not in used:
            judged.notes.append(f"the allowance of {allowance.id} is not used: nothing was found for it")
    return judged


def _covers(allowance: AllowedVulnerability, one: Vulnerability) -> bool:
    identifiers = {text.lower() for text in (one.id, *one.aliases)}
    return allowance.id.lower() in identifiers and (
        allowance.package is None or _plain(allowance.package) == _plain(one.package)
    )


def _plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise SeatrialError(
            f"{text} is no day",
            where="images.NAME.test.vulnerabilities.allow",
            why=str(error),
            fix="write expires as YEAR-MONTH-DAY",
        ) from error


def _shown(one: Vulnerability) -> str:
    return f"{one.id} ({one.severity}) in {one.package} {one.version}".strip()


def _reports(subject: Subject) -> list[Report]:
    from seatrial.images.testing.vulnerabilities_reports import read

    spec = subject.spec
    return [read(Path(spec.folder) / name, name) for name in spec.vulnerabilities.reports]


def _identities(subject: Subject) -> set[str]:
    """Digests by which scanners name this image: of its manifest and of its configuration."""
    known = {subject.root.digest}
    if subject.layout is not None:
        from seatrial.images import layout as oci

        known.add(oci.read_image(subject.layout, digest=subject.root.digest).manifest.config.digest)
    return known


def _looked_for(subject: Subject) -> list[Report] | str:
    """What a scanner or the registry found; a text says why nobody looked."""
    from seatrial.images.testing.vulnerabilities_scanners import installed

    gate = subject.spec.vulnerabilities
    if gate.scanner in ("trivy", "grype"):
        return [_scanned(subject, gate.scanner)]
    if gate.scanner == "none":
        return "nobody looked: there is no report, and the scanner is set to none"
    if gate.scanner == "auto" and not subject.at_least("standard"):
        return "nobody looked: at level quick no scanner is run and there is no report"
    found = _in_registry(subject)
    if gate.scanner == "auto" and isinstance(found, str) and installed():
        return [_scanned(subject, installed())]
    if isinstance(found, str):
        alone = "" if gate.scanner == "ecr" else ", neither trivy nor grype is installed"
        return f"nobody looked: there is no report{alone}, and {found}"
    return [found]


def _in_registry(subject: Subject) -> Report | str:
    from seatrial.images.testing.vulnerabilities_scanners import in_registry

    gate = subject.spec.vulnerabilities
    if not subject.spec.reference:
        return "the image does not come from a registry that scans"
    try:
        return in_registry(subject.spec.reference, subject.root.digest, timeout=gate.timeout)
    except MissingToolError as error:
        if gate.scanner == "ecr":
            raise
        return error.what


def _scanned(subject: Subject, program: str) -> Report:
    from seatrial.images.testing.vulnerabilities_scanners import scan

    if subject.layout is None:
        raise SeatrialError(f"{program} needs the image as a folder", fix="give a report with --scan FILE")
    return scan(program, subject.layout, subject.root.digest, timeout=subject.spec.vulnerabilities.timeout)


def _packages(counted: list[Vulnerability], subject: Subject) -> Iterator[Check]:
    from seatrial.images.testing import advice

    system = [one for one in counted if one.ecosystem == "system"]
    groups: dict[tuple[str, str], list[Vulnerability]] = {}
    for one in counted:
        if one.ecosystem != "system":
            groups.setdefault((one.package, one.version), []).append(one)
    for (name, version), found in sorted(groups.items(), key=lambda item: (-_worst(item[1]), item[0])):
        target = fixed_in(found)
        message = f"{f'{name} {version}'.strip()} has {_counted(found)}; " + (
            f"{target} has none of them" if target else "no version without all of them is known"
        )
        answer = failed(f"{_NAME}:{name}", message, "", _lines(found))
        yield advice.for_vulnerable(answer, subject, name, target, python=found[0].ecosystem == "python")
    if system:
        names = {one.package for one in system}
        message = f"{len(names)} packages of the base have {_counted(system)}"
        if len(names) == 1:
            message = f"{system[0].package} {system[0].version} of the base has {_counted(system)}"
        yield advice.for_base(failed(f"{_NAME}:base", message, "", _lines(system)), subject, system)


def fixed_in(found: Iterable[Vulnerability]) -> str:
    """The least version in which every one of them is fixed; empty when one is in no version."""
    from packaging.version import InvalidVersion, Version

    best: Version | None = None
    for one in found:
        try:
            installed = Version(one.version) if one.version else None
            later = sorted(v for v in map(Version, one.fixed) if installed is None or v > installed)
        except InvalidVersion:
            return one.fixed[0] if one.fixed else ""
        if not later:
            return ""
        best = later[0] if best is None else max(best, later[0])
    return str(best) if best is not None else ""


def _worst(found: Iterable[Vulnerability]) -> int:
    return max(SEVERITIES.index(one.severity) for one in found)


def _counted(found: list[Vulnerability]) -> str:
    ranked = sorted(found, key=lambda one: (-SEVERITIES.index(one.severity), one.id))
    named = ", ".join(f"{one.id} ({one.severity})" for one in ranked[:_SHOWN])
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return f"{len(found)} {'vulnerability' if len(found) == 1 else 'vulnerabilities'}: {named}{more}"


def _lines(found: Iterable[Vulnerability]) -> list[str]:
    ranked = sorted(found, key=lambda one: (-SEVERITIES.index(one.severity), one.package, one.id))
    return [": ".join(filter(None, (_shown(one), _fixed(one), one.title[:120]))) for one in ranked]


def _fixed(one: Vulnerability) -> str:
    return f"fixed in {', '.join(one.fixed)}" if one.fixed else "not fixed yet"


def _rest(judged: Judged, reports: list[Report], gate: Vulnerabilities) -> Iterator[Check]:
    """What does not fail is said as well: what is milder, what is accepted, and allowances that are out of date."""
    source = ", ".join(report.source for report in reports)
    if not judged.counted:
        least = "any severity" if gate.fail_on == "never" else f"{gate.fail_on} or worse"
        said = f"none that counts is {least}" if gate.fail_on != "never" else "nothing is a failure"
        parts = [f"{said}, by {source}"]
        if judged.milder:
            counts = {s: sum(one.severity == s for one in judged.milder) for s in reversed(SEVERITIES)}
            parts.append("others: " + ", ".join(f"{n} {s}" for s, n in counts.items() if n))
        if judged.accepted:
            parts.append(f"{len(judged.accepted)} accepted")
        yield passed(_NAME, "; ".join(parts), [*judged.details, *_lines(judged.milder)])
    if judged.notes:
        yield msgspec.structs.replace(
            passed(f"{_NAME}:allowances", "; ".join(judged.notes), judged.details),
            fix="remove the allowance or renew it, in images.NAME.test.vulnerabilities.allow of seatrial.yaml",
        )
