"""Reports of vulnerability scanners, whichever wrote them, as one list.

Sources: Trivy, "Reporting" and contrib/sarif.tpl; Grype's JSON and SARIF presenters; CycloneDX 1.6, "vulnerabilities";
SARIF 2.1.0 with GitHub's property `security-severity`; the purl specification for package names.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote

import msgspec

from seatrial.errors import SeatrialError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

Severity = Literal["unknown", "negligible", "low", "medium", "high", "critical"]
SEVERITIES: tuple[Severity, ...] = ("unknown", "negligible", "low", "medium", "high", "critical")
Ecosystem = Literal["python", "system", "other"]

_SAME: dict[str, Severity] = {
    "info": "negligible", "informational": "negligible", "none": "negligible", "note": "low", "moderate": "medium",
    "warning": "medium", "important": "high", "error": "high", "untriaged": "unknown", "undefined": "unknown",
}  # fmt: skip
_SYSTEM = frozenset(
    [
        "deb",
        "dpkg",
        "apk",
        "rpm",
        "alpm",
        "debian",
        "ubuntu",
        "alpine",
        "redhat",
        "centos",
        "rocky",
        "alma",
        "amazon",
        "oracle",
        "suse",
        "wolfi",
        "photon",
    ]
)
_PYTHON = frozenset(
    [
        "pypi",
        "python",
        "python-pkg",
        "pip",
        "pipenv",
        "poetry",
        "uv",
        "conda-pkg",
        "pythonpkg",
        "python-package",
    ]
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# States in which the author of a CycloneDX document says that a vulnerability does not count.
_HARMLESS = frozenset({"resolved", "resolved_with_pedigree", "false_positive", "not_affected"})
# CVSS 3.1, "Qualitative Severity Rating Scale": the least score of each.
_SCORES: tuple[tuple[float, Severity], ...] = (
    (9.0, "critical"),
    (7.0, "high"),
    (4.0, "medium"),
    (0.1, "low"),
)
_SCANNERS = ("trivy", "grype", "snyk", "clair", "docker scout", "osv")
_ID = re.compile(r"(?:CVE-\d{4}-\d{4,}|GHSA(?:-[a-z0-9]{4}){3}|PYSEC-\d{4}-\d+|[A-Z][A-Z0-9]*-\d{4}[-:]\d+)")


class Vulnerability(msgspec.Struct, frozen=True, kw_only=True):
    """One known vulnerability of one package. `fixed` are the versions that do not have it; `aliases` other ids.

    `dismissed` is why the report itself says that it does not count, empty when it does.
    """

    id: str
    package: str
    version: str = ""
    severity: Severity = "unknown"
    fixed: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    ecosystem: Ecosystem = "other"
    title: str = ""
    dismissed: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What one scan found. `images` are digests of the image that it is about, empty when it does not say."""

    source: str
    found: tuple[Vulnerability, ...]
    images: frozenset[str] = frozenset()


def read(path: Path, shown: str = "") -> Report:
    """Read a report, whichever of the formats it has; `shown` is what messages call it.

    Raises:
        SeatrialError: it cannot be read, or is no report of vulnerabilities.
    """
    shown = shown or str(path)
    try:
        return parse(path.read_bytes(), shown)
    except OSError as error:
        raise SeatrialError(
            f"cannot read the report: {error.strerror}",
            where=shown,
            fix="give the file that the scanner wrote",
        ) from error


def parse(content: bytes, shown: str) -> Report:
    """As `read`, of content that is at hand.

    Raises:
        SeatrialError: it is no report of vulnerabilities.
    """
    try:
        data = msgspec.json.decode(content.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _unknown(shown, f"it is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise _unknown(shown, "it is not a JSON object")
    for fits, name, read_one in _FORMATS:
        if fits(data):
            try:
                return Report(
                    source=f"{name} report {shown}", found=_once(read_one(data)), images=_images(name, data)
                )
            except (AttributeError, TypeError, KeyError, ValueError) as error:
                raise _unknown(shown, f"it looks like a {name} report, but: {error!r}") from error
    raise _unknown(shown, f"its keys are {', '.join(sorted(map(str, data))[:8]) or 'none'}")


def severity_of(text: object) -> Severity:
    """The severity that a word means, however it is written; `unknown` for any other."""
    word = str(text or "").strip().lower()
    return next((one for one in SEVERITIES if one == word), _SAME.get(word, "unknown"))


def ecosystem_of(text: object) -> Ecosystem:
    """What kind of package a scanner's own word for it means."""
    word = str(text or "").strip().lower()
    return "system" if word in _SYSTEM else "python" if word in _PYTHON else "other"


def _unknown(shown: str, why: str) -> SeatrialError:
    return SeatrialError(
        "this is no report of vulnerabilities that Seatrial can read",
        where=shown,
        why=why,
        fix="write it with `trivy image --format json`, `grype -o json`, or as CycloneDX JSON or SARIF",
    )


def _once(found: Iterator[Vulnerability]) -> tuple[Vulnerability, ...]:
    """The same one in the same package once, as severe as it is anywhere."""
    kept: dict[tuple[str, str, str], Vulnerability] = {}
    for one in found:
        key = (one.id, one.package, one.version)
        known = kept.get(key)
        if known is None or SEVERITIES.index(one.severity) > SEVERITIES.index(known.severity):
            kept[key] = one
    return tuple(kept.values())


def _trivy(data: Mapping[str, Any]) -> Iterator[Vulnerability]:
    for result in data.get("Results") or ():
        kind = "deb" if result.get("Class") == "os-pkgs" else result.get("Type")
        dismissed = {
            one["Finding"][
                "VulnerabilityID"
            ]: f"{one.get('Status', 'suppressed')} {one.get('Statement', '')}".strip()
            for one in result.get("ExperimentalModifiedFindings") or ()
            if one.get("Type") == "vulnerability"
        }
        suppressed = [
            one["Finding"]
            for one in result.get("ExperimentalModifiedFindings") or ()
            if one.get("Type") == "vulnerability"
        ]
        for one in [*(result.get("Vulnerabilities") or ()), *suppressed]:
            yield Vulnerability(
                id=str(one["VulnerabilityID"]),
                package=str(one["PkgName"]),
                version=str(one.get("InstalledVersion") or ""),
                severity=severity_of(one.get("Severity")),
                fixed=_versions(one.get("FixedVersion")),
                aliases=tuple(map(str, one.get("VendorIDs") or ())),
                ecosystem=ecosystem_of(kind),
                title=str(one.get("Title") or ""),
                dismissed=dismissed.get(one["VulnerabilityID"], ""),
            )


def _grype(data: Mapping[str, Any]) -> Iterator[Vulnerability]:
    ignored = [(one, "ignored by a rule of grype") for one in data.get("ignoredMatches") or ()]
    for match, dismissed in [*((one, "") for one in data.get("matches") or ()), *ignored]:
        known, artifact = match["vulnerability"], match["artifact"]
        fix = known.get("fix") or {}
        yield Vulnerability(
            id=str(known["id"]),
            package=str(artifact["name"]),
            version=str(artifact.get("version") or ""),
            severity=severity_of(known.get("severity")),
            fixed=tuple(map(str, fix.get("versions") or ())) if fix.get("state", "fixed") == "fixed" else (),
            aliases=tuple(str(one["id"]) for one in match.get("relatedVulnerabilities") or ()),
            ecosystem=ecosystem_of(artifact.get("type")),
            title=str(known.get("description") or ""),
            dismissed=dismissed,
        )


def _cyclonedx(data: Mapping[str, Any]) -> Iterator[Vulnerability]:
    components = dict(_components(data.get("components") or ()))
    for one in data["vulnerabilities"]:
        analysis = one.get("analysis") or {}
        state = str(analysis.get("state") or "")
        why = f"{state} {analysis.get('justification') or analysis.get('detail') or ''}".strip()
        ratings = [_rating(rating) for rating in one.get("ratings") or ()]
        fixed = _versions(
            (re.findall(r"to version (\S+?)[;,.]?(?:\s|$)", str(one.get("recommendation") or "")) or [""])[0]
        )
        for affected in one.get("affects") or [{"ref": ""}]:
            reference = str(affected.get("ref") or "")
            name, version, ecosystem = components.get(reference) or _of_reference(reference)
            stated = affected.get("versions") or ()
            listed = tuple(
                str(v["version"]) for v in stated if v.get("status") == "unaffected" and "version" in v
            )
            yield Vulnerability(
                id=str(one["id"]),
                package=name,
                version=version
                or next(
                    (str(v.get("version", "")) for v in stated if v.get("status", "affected") == "affected"),
                    "",
                ),
                severity=max(ratings, key=SEVERITIES.index, default="unknown"),
                fixed=listed or fixed,
                aliases=tuple(str(other["id"]) for other in one.get("references") or () if "id" in other),
                ecosystem=ecosystem,
                title=str(one.get("description") or ""),
                dismissed=why if state in _HARMLESS else "",
            )


def _rating(rating: Mapping[str, Any]) -> Severity:
    stated = severity_of(rating.get("severity"))
    return _scored(rating.get("score")) if stated == "unknown" else stated


def _scored(score: object) -> Severity:
    try:
        number = float(str(score))
    except ValueError:
        return "unknown"
    return next((severity for least, severity in _SCORES if number >= least), "unknown")


def _components(listed: Any) -> Iterator[tuple[str, tuple[str, str, Ecosystem]]]:
    for one in listed:
        _, _, ecosystem = _of_reference(str(one.get("purl") or ""))
        group = f"{one['group']}/" if one.get("group") and ecosystem == "other" else ""
        yield (
            str(one.get("bom-ref") or ""),
            (group + str(one["name"]), str(one.get("version") or ""), ecosystem),
        )
        yield from _components(one.get("components") or ())


def _of_reference(reference: str) -> tuple[str, str, Ecosystem]:
    """Name, version and ecosystem from a purl, alone or behind the `#` of a BOM-Link."""
    start = reference.find("pkg:")
    if start < 0:
        start = unquote(reference).find("pkg:")
        reference = unquote(reference) if start >= 0 else reference
    if start < 0:
        return reference.rpartition("#")[2], "", "other"
    kind, _, rest = reference[start + 4 :].partition("?")[0].partition("/")
    path, _, version = rest.partition("@")
    ecosystem = ecosystem_of(kind)
    name = unquote(path if ecosystem == "other" else path.rpartition("/")[2])
    return name, unquote(version), ecosystem


def _sarif(data: Mapping[str, Any]) -> Iterator[Vulnerability]:
    for run in data["runs"]:
        driver = run["tool"]["driver"]
        rules = list(driver.get("rules") or ())
        by_id = {str(rule.get("id")): rule for rule in rules}
        known = str(driver.get("name") or "").lower().startswith(_SCANNERS)
        if run.get("results") and not known and not any(_ID.search(str(r)) for r in run["results"]):
            raise ValueError(f"none of the results of {driver.get('name')} names a vulnerability")
        for result in run.get("results") or ():
            index = result.get("ruleIndex", -1)
            rule = by_id.get(str(result.get("ruleId")))
            if rule is None:
                rule = rules[index] if 0 <= index < len(rules) else {}
            found = _of_result(result, rule)
            if found is not None:
                yield found


def _of_result(result: Mapping[str, Any], rule: Mapping[str, Any]) -> Vulnerability | None:
    """Scanners put what they know into lines such as `Package: x` of the message or of the rule's help."""
    texts = [(result.get("message") or {}).get("text"), (rule.get("help") or {}).get("text")]
    stated: dict[str, str] = {}
    for line in "\n".join(str(text or "") for text in texts).splitlines():
        key, colon, value = line.partition(":")
        if colon:
            stated.setdefault(key.strip().lower(), value.strip())
    identifier = _ID.search(str(result.get("ruleId") or rule.get("id") or "")) or _ID.search(
        "\n".join(map(str, texts))
    )
    if identifier is None:
        return None  # a secret or a misconfiguration
    properties = rule.get("properties") or {}
    severity = severity_of(stated.get("severity"))
    if severity == "unknown":
        severity = _scored(properties.get("security-severity"))
    if severity == "unknown":
        level = (rule.get("defaultConfiguration") or {}).get("level")
        severity = severity_of(result.get("level") or level)
    muted = [one for one in result.get("suppressions") or () if one.get("status", "accepted") == "accepted"]
    return Vulnerability(
        id=identifier.group(),
        package=stated.get("package") or "the image",
        version=stated.get("installed version") or stated.get("version") or "",
        severity=severity,
        fixed=_versions(stated.get("fixed version") or stated.get("fix version")),
        ecosystem=ecosystem_of(stated.get("type")),
        title=str((rule.get("shortDescription") or {}).get("text") or ""),
        dismissed=str(muted[0].get("justification") or "suppressed") if muted else "",
    )


def _versions(text: object) -> tuple[str, ...]:
    return tuple(
        part
        for part in re.split(r"[,\s]+", str(text or ""))
        if part and part.lower() not in ("none", "unknown")
    )


def _images(name: str, data: Mapping[str, Any]) -> frozenset[str]:
    """Digests by which the report says what was scanned."""
    places: list[Any] = []
    if name == "Trivy":
        metadata = data.get("Metadata") or {}
        places = [metadata.get("ImageID"), metadata.get("RepoDigests")]
    elif name == "Grype":
        target = (data.get("source") or {}).get("target")
        if isinstance(target, dict):
            places = [target.get("manifestDigest"), target.get("imageID"), target.get("repoDigests")]
    elif name == "CycloneDX":
        component = (data.get("metadata") or {}).get("component") or {}
        values = [
            p.get("value") for p in component.get("properties") or () if "ImageID" in str(p.get("name"))
        ]
        values += [
            p.get("value") for p in component.get("properties") or () if "RepoDigest" in str(p.get("name"))
        ]
        places = [component.get("bom-ref"), component.get("purl"), component.get("version"), *values]
    return frozenset(_DIGEST.findall(unquote(str(places))))


_FORMATS: tuple[tuple[Callable[[Mapping[str, Any]], bool], str, Callable[[Mapping[str, Any]], Iterator[Vulnerability]]], ...] = (
    (lambda d: "SchemaVersion" in d and ("Results" in d or "ArtifactName" in d), "Trivy", _trivy),
    (lambda d: isinstance(d.get("matches"), list) and "descriptor" in d, "Grype", _grype),
    (lambda d: d.get("bomFormat") == "CycloneDX" and "vulnerabilities" in d, "CycloneDX", _cyclonedx),
    (lambda d: isinstance(d.get("runs"), list) and str(d.get("version", "")).startswith("2."), "SARIF", _sarif),
)  # fmt: skip
