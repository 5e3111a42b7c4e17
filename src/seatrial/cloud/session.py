"""The one way to AWS: clients for a service and region, and errors that name what is missing.

Credentials, region, proxies and `AWS_ENDPOINT_URL` are read by boto3 itself, from the places that the AWS tools use.
"""

from __future__ import annotations

import importlib
import os
import re
from typing import TYPE_CHECKING, Any

from seatrial.errors import MissingToolError, SeatrialError

if TYPE_CHECKING:
    from collections.abc import Callable

_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"})
_STALE = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"})
_WRONG = frozenset(
    {
        "UnrecognizedClientException",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
        "IncompleteSignature",
        "MissingAuthenticationToken",
        "AuthFailure",
    }
)


class AwsError(SeatrialError):
    """AWS refused. `code` is its own name of the reason, such as RepositoryNotFoundException; empty when it was not reached."""

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        why: str | None = None,
        fix: str | None = None,
        code: str = "",
    ) -> None:
        super().__init__(what, where=where, why=why, fix=fix)
        self.code = code

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (self.what, self.where, self.why, self.fix, self.code))


def _rebuild(what: str, where: str | None, why: str | None, fix: str | None, code: str) -> AwsError:
    return AwsError(what, where=where, why=why, fix=fix, code=code)


def client(service: str, region: str, *, fips: bool = False) -> Any:
    """A boto3 client. It repeats by itself what AWS asks to repeat. Without a `region` it has that of the settings.

    Raises:
        MissingToolError: boto3 is not installed.
        SeatrialError: AWS's settings on this machine cannot be used.
    """
    try:
        boto3: Any = importlib.import_module("boto3")
        config: Any = importlib.import_module("botocore.config")
        errors: Any = importlib.import_module("botocore.exceptions")
    except ModuleNotFoundError as error:
        raise MissingToolError(
            "boto3 is not installed",
            why=f"it is what asks AWS ({service}{f' in {region}' if region else ''})",
            fix="pip install 'seatrial[aws]'",
        ) from error
    from seatrial import __version__

    settings = config.Config(
        retries={"mode": "standard", "total_max_attempts": 5},
        connect_timeout=10,
        read_timeout=60,
        user_agent_extra=f"seatrial/{__version__}",
        use_fips_endpoint=fips or None,
    )
    # botocore reads AWS_CA_BUNDLE and REQUESTS_CA_BUNDLE; the third usual variable is ours to hand over.
    trusted = None if os.environ.get("AWS_CA_BUNDLE") else os.environ.get("SSL_CERT_FILE") or None
    try:
        return boto3.session.Session().client(
            service, region_name=region or None, config=settings, verify=trusted
        )
    except errors.BotoCoreError as error:
        raise _without_answer(error, f"{service} in {region or 'the usual region'}") from error


def ask(call: Callable[..., dict[str, Any]], action: str, where: str, **wanted: Any) -> dict[str, Any]:
    """Make one call. `action` is its IAM name, such as `ecr:CreateRepository`; `where` says what it is about.

    Raises:
        AwsError: AWS refused, or could not be reached.
    """
    errors: Any = importlib.import_module("botocore.exceptions")
    try:
        return call(**wanted)
    except errors.ClientError as error:
        raise _refused(error, action, where) from error
    except errors.BotoCoreError as error:
        raise _without_answer(error, where) from error


def denied_action(text: str) -> tuple[str, str] | None:
    """The IAM action, and the resource if it is told, that AWS says we may not do; None when it says something else."""
    found = re.search(
        r"not authorized to perform: ([A-Za-z0-9-]+:[A-Za-z0-9]+)(?: on resource: (arn:[^\s,]+))?", text
    )
    return (found[1], found[2] or "*") if found else None


def _refused(error: Any, action: str, where: str) -> AwsError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    message = str(error.response.get("Error", {}).get("Message", ""))[:500]
    if code in _DENIED:
        missing, resource = denied_action(message) or (action, "*")
        return AwsError(
            f"AWS does not let us do {missing}",
            where=where,
            why=message or code,
            fix=f"allow {missing} on {resource} in the policy of that user or role",
            code=code,
        )
    if code in _STALE:
        fix = "log in again, for example with `aws sso login`, or renew the variables AWS_*"
        return AwsError("the AWS credentials have expired", where=where, why=message, fix=fix, code=code)
    if code in _WRONG:
        fix = "`aws sts get-caller-identity` says who you are; check AWS_PROFILE, the variables AWS_* and the clock"
        return AwsError("AWS does not accept the credentials", where=where, why=message, fix=fix, code=code)
    return AwsError(f"AWS refused {action}", where=where, why=f"{code}: {message}", code=code)


def _without_answer(error: Exception, where: str) -> AwsError:
    kind = type(error).__name__
    if "Credential" in kind or "Token" in kind or kind == "ProfileNotFound":
        return AwsError(
            "there are no usable AWS credentials",
            where=where,
            why=str(error)[:300],
            fix="log in with `aws sso login` or `aws configure`, set AWS_PROFILE or the variables AWS_*, "
            "or run where a role is attached",
        )
    return AwsError(
        "AWS cannot be asked",
        where=where,
        why=f"{kind}: {error}"[:300],
        fix="check the network, the region, the proxy variables and AWS_ENDPOINT_URL",
    )
