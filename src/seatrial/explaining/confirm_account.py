"""A cause in an account: may the role do it, does the named thing exist. Only reads."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from seatrial.explaining.confirm_access import allows
from seatrial.explaining.confirm_verdict import Verdict, finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.diagnosis.model import Cause

_ROLE = re.compile(r"(?:assumed-role|:role)/(?:[\w+=,.@-]+/)*?(?P<role>[\w+=,.@-]+)(?=/|$|\s|\"|')")
_ABSENT = frozenset(
    {"NoSuchEntity", "404", "NoSuchBucket", "RepositoryNotFoundException", "ResourceNotFoundException", "ParameterNotFound"}
)  # fmt: skip


def verdict(cause: Cause, session: Any) -> Verdict:
    """What the account says. A right that is missing to look leaves the cause as it was, with a note."""
    import importlib

    errors: Any = importlib.import_module("botocore.exceptions")
    try:
        return _asked(cause, session)
    except errors.ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        return Verdict(
            "unknown", (_note(f"the account could not be asked: {code} for {error.operation_name}"),)
        )
    except errors.BotoCoreError as error:
        return Verdict("unknown", (_note(f"the account could not be asked: {error}"),))


def _asked(cause: Cause, session: Any) -> Verdict:
    said = cause.captures
    if cause.id in ("iam-action-denied", "ecr-push-denied"):
        match = _ROLE.search(f"{said.get('principal', '')} {cause.evidence.text}")
        if match and ":" in said.get("action", ""):
            return _role(session, match["role"], said["action"])
        return Verdict()
    name = said.get("name") or said.get("bucket") or said.get("repository") or said.get("what") or ""
    look = next((look for ids, look in _LOOKS if cause.id in ids), None)
    if look is None or not name:
        return Verdict()
    service, operation, argument = look
    there = _exists(session, service, operation, {argument: [name] if argument.endswith("Names") else name})
    if there:
        return Verdict("no", (_note(f"{name} exists in {session.region_name}: another region or account was asked, or it was made since"),))  # fmt: skip
    return Verdict("yes", (finding("resource-absent", f"{name} does not exist in {session.region_name}"),))


_LOOKS: tuple[tuple[frozenset[str], tuple[str, str, str]], ...] = (
    (frozenset({"s3-bucket-missing", "s3-bucket-mismatch"}), ("s3", "head_bucket", "Bucket")),
    (frozenset({"ecr-repository-missing"}), ("ecr", "describe_repositories", "repositoryNames")),
    (frozenset({"parameter-missing"}), ("ssm", "get_parameter", "Name")),
)


def _exists(session: Any, service: str, operation: str, arguments: dict[str, Any]) -> bool:
    import importlib

    errors: Any = importlib.import_module("botocore.exceptions")
    try:
        getattr(session.client(service), operation)(**arguments)
    except errors.ClientError as error:
        if error.response.get("Error", {}).get("Code", "") in _ABSENT:
            return False
        raise
    return True


def _role(session: Any, role: str, action: str) -> Verdict:
    """Whether any policy of the role names the action; conditions, boundaries and resources are not judged."""
    iam = session.client("iam")
    if not _exists(session, "iam", "get_role", {"RoleName": role}):
        return Verdict("unknown", (_note(f"there is no role {role} in this account"),))
    allowed = False
    for statement in _statements(iam, role):
        actions = statement.get("Action", [])
        if not any(allows(one, action) for one in ([actions] if isinstance(actions, str) else actions)):
            continue
        if statement.get("Effect") == "Deny":
            return Verdict("yes", (finding("action-denied", f"a policy of the role {role} denies {action}"),))
        allowed = True
    if allowed:
        said = f"the role {role} has a policy that allows {action} now: look at its resources and conditions, and at boundaries and policies of the resource"
        return Verdict("unknown", (_note(said),))
    return Verdict("yes", (finding("action-absent", f"no policy of the role {role} allows {action}"),))


def _statements(iam: Any, role: str) -> Iterator[dict[str, Any]]:
    for page in iam.get_paginator("list_role_policies").paginate(RoleName=role):
        for name in page["PolicyNames"]:
            yield from _of(iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"])
    for page in iam.get_paginator("list_attached_role_policies").paginate(RoleName=role):
        for policy in page["AttachedPolicies"]:
            arn = policy["PolicyArn"]
            version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
            yield from _of(
                iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
            )


def _of(document: dict[str, Any]) -> list[dict[str, Any]]:
    said: Any = document.get("Statement", [])
    return [said] if isinstance(said, dict) else list(said)


def _note(message: str) -> Any:
    return finding("account", message, severity="note")
