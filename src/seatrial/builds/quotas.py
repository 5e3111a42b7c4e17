"""How many builds may run at once, how many do, and how to ask for more.

AWS is asked through Service Quotas and CodeBuild; what it does not say is the user guide's default, and said to be that.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from seatrial.builds import facts
from seatrial.cloud.session import AwsError, ask, client

if TYPE_CHECKING:
    from collections.abc import Mapping

_QUOTA = re.compile(r"Concurrently running builds for (.+) environment")
_OLDEST = timedelta(minutes=2160 + 480)
"""No build that still runs was submitted earlier: the longest build after the longest queue."""


class Quota(msgspec.Struct, frozen=True, kw_only=True):
    """One environment's quota. `running` is None when AWS was not asked; `headroom` is what is left, None likewise.

    `origin` says where `limit` comes from. `increase` is the command that asks for more.
    """

    environment_type: str
    compute_type: str
    name: str
    limit: int
    origin: Literal["account", "default"]
    running: int | None
    headroom: int | None
    code: str
    increase: str


class Quotas(msgspec.Struct, frozen=True, kw_only=True):
    """All environments' quotas in a region, and why some of them are only defaults."""

    region: str
    quotas: tuple[Quota, ...]
    notes: tuple[str, ...] = ()


def quotas(region: str, *, offline: bool = False, desired: int = 0) -> Quotas:
    """What each environment may run and runs. `desired` is what the command asks for, by default twice the limit.

    Raises:
        AwsError: CodeBuild cannot be asked; not when `offline`.
        MissingToolError: boto3 is not installed; not when `offline`.
    """
    applied: dict[str, tuple[str, int]] = {}
    running: dict[tuple[str, str], int] | None = None
    notes = (
        ["defaults of the user guide, AWS was not asked: an account may have other numbers"]
        if offline
        else []
    )
    if not offline:
        running = _running(region)
        try:
            applied = _applied(region)
        except AwsError as error:
            notes.append(
                f"Service Quotas did not answer ({error.why or error.what}): limits are the user guide's defaults"
            )
    found = tuple(_quota(row, region, applied, running, desired) for row in facts.computes().types)
    if not offline and applied and any(one.origin == "default" for one in found):
        notes.append("Service Quotas names no quota for those whose limit is a default")
    return Quotas(region=region, quotas=found, notes=tuple(notes))


def _quota(
    row: facts.Compute,
    region: str,
    applied: Mapping[str, tuple[str, int]],
    running: Mapping[tuple[str, str], int] | None,
    desired: int,
) -> Quota:
    code, limit = applied.get(row.name, (row.quota, facts.computes().quota_default))
    now = None if running is None else running.get((row.environment, row.compute), 0)
    return Quota(
        environment_type=row.environment,
        compute_type=row.compute,
        name=row.name,
        limit=limit,
        origin="account" if row.name in applied else "default",
        running=now,
        headroom=None if now is None else max(0, limit - now),
        code=code,
        increase=increase(code, row.name, desired or max(2, 2 * limit), region),
    )


def increase(code: str, name: str, desired: int, region: str) -> str:
    """The command that asks for more; where the quota's code is not known, the one that finds it first."""
    if not code:
        query = f"Quotas[?QuotaName=='Concurrently running builds for {name} environment'].QuotaCode"
        code = f'"$(aws service-quotas list-service-quotas --service-code codebuild --region {region} --query "{query}" --output text)"'
    return (
        "aws service-quotas request-service-quota-increase --service-code codebuild"
        f" --quota-code {code} --desired-value {desired} --region {region}"
    )


def _applied(region: str) -> dict[str, tuple[str, int]]:
    """By the environment's name: the quota's code and the account's value."""
    service = client("service-quotas", region)
    found: dict[str, tuple[str, int]] = {}
    wanted: dict[str, Any] = {"ServiceCode": "codebuild"}
    while True:
        answer = ask(
            service.list_service_quotas,
            "servicequotas:ListServiceQuotas",
            f"the quotas of {region}",
            **wanted,
        )
        for one in answer.get("Quotas", ()):
            name = _QUOTA.fullmatch(one.get("QuotaName", ""))
            if name and one.get("Value") is not None:
                found[name[1]] = (one["QuotaCode"], int(one["Value"]))
        if not answer.get("NextToken"):
            return found
        wanted["NextToken"] = answer["NextToken"]


def _running(region: str) -> dict[tuple[str, str], int]:
    """Builds in progress by environment type and compute type, newest builds first until none can still run."""
    service = client("codebuild", region)
    found: dict[tuple[str, str], int] = {}
    wanted: dict[str, Any] = {"sortOrder": "DESCENDING"}
    oldest = datetime.now(UTC) - _OLDEST
    while True:
        page = ask(service.list_builds, "codebuild:ListBuilds", f"the builds of {region}", **wanted)
        builds = _details(service, page.get("ids", []), region)
        for build in builds:
            if build.get("buildStatus") == "IN_PROGRESS":
                environment = build.get("environment", {})
                key = (environment.get("type", ""), environment.get("computeType", ""))
                found[key] = found.get(key, 0) + 1
        old = all(build["startTime"] < oldest for build in builds if build.get("startTime"))
        if not page.get("nextToken") or (builds and old):
            return found
        wanted["nextToken"] = page["nextToken"]


def _details(service: Any, ids: list[str], region: str) -> list[dict[str, Any]]:
    if not ids:
        return []
    answer = ask(service.batch_get_builds, "codebuild:BatchGetBuilds", f"the builds of {region}", ids=ids)
    builds: list[dict[str, Any]] = answer.get("builds", [])
    return builds


def text(found: Quotas) -> str:
    """A table, and below it the commands that ask for more where nothing is left."""
    lines = [f"{'environment':28} {'limit':>6} {'running':>8} {'left':>6}  quota"]
    for one in found.quotas:
        running = "" if one.running is None else str(one.running)
        left = "" if one.headroom is None else str(one.headroom)
        said = "" if one.origin == "account" else " (default)"
        lines.append(
            f"{one.name:28} {one.limit:>6} {running:>8} {left:>6}  {one.code or 'code not known'}{said}"
        )
    lines += [f"note: {note}" for note in found.notes]
    short = [one for one in found.quotas if one.headroom == 0]
    lines += [f"to run more on {one.name}: {one.increase}" for one in short if one.running]
    return "\n".join(lines) + "\n"
