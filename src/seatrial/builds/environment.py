"""The environment that a build's commands get: who the build is, what it is told, and what of it comes out at the end.

Source: AWS CodeBuild user guide, "Environment variables in build environments" and "Build specification reference".
"""

from __future__ import annotations

import os
import re
import uuid as uuids
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial import locks, paths
from seatrial.clock import SystemClock
from seatrial.errors import UsageError
from seatrial.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from seatrial.builds.model import Buildspec

RESERVED = "CODEBUILD_"
SUCCEEDING = "CODEBUILD_BUILD_SUCCEEDING"
"""1 until a phase fails, then 0."""
STATE = frozenset({"PWD", "OLDPWD", "SHLVL", "_"})
"""What a shell sets by itself."""

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "FTP_PROXY")
AUTHORITIES = (
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "PIP_CERT",
    "AWS_CA_BUNDLE",
)
CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_ENDPOINT_URL",
)
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{1,149}")
_NO_ACCOUNT = "000000000000"


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who a build is. `started` is in milliseconds since 1970; `versions` and `urls` are those of secondary sources.

    `batch` is the identifier of a task in a batch build; `webhook` maps what follows CODEBUILD_WEBHOOK_ to its value.
    """

    project: str
    uuid: str
    number: int
    started: int
    initiator: str
    region: str = "us-east-1"
    account: str = _NO_ACCOUNT
    image: str = ""
    source_version: str = ""
    resolved_version: str = ""
    source_url: str = ""
    versions: dict[str, str] = {}
    urls: dict[str, str] = {}
    kms_key: str = ""
    batch: str = ""
    webhook: dict[str, str] = {}

    @property
    def id(self) -> str:
        return f"{self.project}:{self.uuid}"

    @property
    def partition(self) -> str:
        if self.region.startswith("cn-"):
            return "aws-cn"
        return "aws-us-gov" if self.region.startswith("us-gov-") else "aws"

    @property
    def arn(self) -> str:
        return f"arn:{self.partition}:codebuild:{self.region}:{self.account}:build/{self.id}"


class Exported(msgspec.Struct, frozen=True):
    """`variables` come out of the build; `left_out` says of the others why they do not."""

    variables: dict[str, str]
    left_out: dict[str, str]


def identify(project: str, environ: Mapping[str, str], **known: Any) -> Identity:
    """A new build of `project`, with the next number of that project; `known` are further fields of `Identity`.

    Region and account are read from where the AWS tools have them; AWS is not asked.

    Raises:
        UsageError: CodeBuild would not take that name for a project.
    """
    if not _PROJECT.fullmatch(project):
        raise UsageError(
            f"{project!r} cannot be the name of a project",
            why="CodeBuild wants 2 to 150 letters, digits, - and _, with a letter or digit first",
            fix="give the build another name",
        )
    region, account = _cloud(environ)
    fields: dict[str, Any] = {"region": region, "account": account, "initiator": _user(environ)} | known
    return Identity(
        project=project,
        uuid=str(uuids.uuid4()),
        number=_next_number(project),
        started=int(SystemClock().now() * 1000),
        **fields,
    )


def project_name(folder: Path) -> str:
    """The name of a project for the sources in `folder`: its own name, as far as CodeBuild takes it."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", folder.resolve().name).strip("-_")[:150]
    return name if _PROJECT.fullmatch(name) else f"{name}-build".strip("-")


def variables(
    spec: Buildspec | None,
    identity: Identity,
    *,
    project: Mapping[str, str],
    start: Mapping[str, str],
    source_dirs: Mapping[str, Path],
    base: Mapping[str, str] | None = None,
    resolved: Mapping[str, str] | None = None,
    home: str = "/root",
) -> dict[str, str]:
    """All variables that the first command sees.

    `base` is what is there before: the image's own, or `passed` from this machine. `resolved` are the values from
    Parameter Store and Secrets Manager. `source_dirs` maps identifiers of sources to their folders, "" the primary one.
    Later wins: base, buildspec, resolved, project, start. Values are literal: `$PATH:/x` is not expanded.

    Raises:
        UsageError: a name is reserved, or cannot be a variable's.
    """
    for given in (project, start):
        check(given)
    written = {name: text.value for name, text in spec.env.variables.items()} if spec else {}
    told = {**written, **(resolved or {}), **project, **start}
    own = {name: value for name, value in told.items() if not name.startswith(RESERVED)}
    place = {"AWS_DEFAULT_REGION": identity.region, "AWS_REGION": identity.region}
    return {
        "HOME": home,
        "PATH": _SYSTEM_PATH,
        **(base or {}),
        **place,
        **own,
        **builtin(identity, source_dirs),
    }


def check(given: Mapping[str, str]) -> None:
    """Refuse names and values that CodeBuild or a process cannot take.

    Raises:
        UsageError: with CodeBuild's message where it has one.
    """
    for name, value in given.items():
        if name.startswith(RESERVED):
            raise UsageError(
                "No user environment variables can start with CODEBUILD_",
                where=name,
                why="CodeBuild sets these itself",
                fix="give the variable another name",
            )
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"{name!r} cannot be the name of a variable",
                why="a shell reads only names of letters, digits and _ that do not begin with a digit",
                fix="give the variable another name",
            )
        if "\0" in value:
            raise UsageError(f"the value of {name} holds a NUL byte", why="no process can be given one")


def builtin(identity: Identity, source_dirs: Mapping[str, Path]) -> dict[str, str]:
    """The variables whose names begin with CODEBUILD_. Those that are about nothing here are left out."""
    values = {
        "CODEBUILD_CI": "true",
        "CODEBUILD_LOCAL_BUILD": "true",
        "CODEBUILD_BUILD_ARN": identity.arn,
        "CODEBUILD_BUILD_ID": identity.id,
        "CODEBUILD_BUILD_IMAGE": identity.image,
        "CODEBUILD_BUILD_NUMBER": str(identity.number),
        SUCCEEDING: "1",
        "CODEBUILD_INITIATOR": identity.initiator,
        "CODEBUILD_KMS_KEY_ID": identity.kms_key
        or f"arn:{identity.partition}:kms:{identity.region}:{identity.account}:alias/aws/s3",
        "CODEBUILD_LOG_PATH": identity.uuid,
        "CODEBUILD_START_TIME": str(identity.started),
        "CODEBUILD_BATCH_BUILD_IDENTIFIER": identity.batch,
        "CODEBUILD_RESOLVED_SOURCE_VERSION": identity.resolved_version,
        "CODEBUILD_SOURCE_VERSION": identity.source_version,
        "CODEBUILD_SOURCE_REPO_URL": identity.source_url,
    }
    values |= {f"CODEBUILD_SRC_DIR{_suffix(name)}": str(path) for name, path in source_dirs.items()}
    values |= {f"CODEBUILD_SOURCE_VERSION{_suffix(name)}": text for name, text in identity.versions.items()}
    values |= {f"CODEBUILD_SOURCE_REPO_URL{_suffix(name)}": text for name, text in identity.urls.items()}
    values |= {f"CODEBUILD_WEBHOOK_{name}": text for name, text in identity.webhook.items()}
    return {name: value for name, value in values.items() if value}


def passed(caller: Mapping[str, str], *, credentials: bool = False) -> dict[str, str]:
    """What a build on this machine gets of the environment that Seatrial was started in: as little as CodeBuild has.

    That is PATH, without an active virtual environment and without relative folders; proxies, certificate
    authorities and DOCKER_HOST, without which nothing is reached; and, when asked for, AWS credentials. The locale is
    that of CodeBuild's images (LC_CTYPE=C.UTF-8, nothing else) and the time zone UTC, whatever the caller's are.
    """
    kept = {*PROXIES, *(name.lower() for name in PROXIES), *AUTHORITIES, "DOCKER_HOST"}
    if credentials:
        kept |= set(CREDENTIALS)
    return {
        **{name: value for name, value in caller.items() if name in kept},
        "PATH": _path(caller),
        "LC_CTYPE": "C.UTF-8",
        "TZ": "UTC",
    }


def exported(spec: Buildspec, after: Mapping[str, str], secret: Iterable[str] = ()) -> Exported:
    """What `exported-variables` gives after the last phase. `after` is the environment then.

    `secret` are further names whose values came from Parameter Store or Secrets Manager.
    """
    hidden = {*secret, *spec.env.parameter_store, *spec.env.secrets_manager}
    values: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for text in spec.env.exported_variables:
        name = text.value
        if name.startswith("AWS_"):
            left_out[name] = "variables whose names begin with AWS_ are not exported"
        elif name in hidden:
            left_out[name] = "values from Parameter Store and Secrets Manager are not exported"
        elif name not in after:
            left_out[name] = "it was not set when the build ended"
        else:
            values[name] = after[name]
    return Exported(values, left_out)


def _suffix(identifier: str) -> str:
    return f"_{identifier}" if identifier else ""


def _path(caller: Mapping[str, str]) -> str:
    own = f"{caller['VIRTUAL_ENV'].rstrip('/')}/bin" if caller.get("VIRTUAL_ENV") else None
    folders = [part for part in caller.get("PATH", "").split(":") if part.startswith("/") and part != own]
    # A user's PATH may leave out the sbin folders that root's has, and a build is root's.
    folders += [part for part in _SYSTEM_PATH.split(":") if part not in folders]
    return ":".join(dict.fromkeys(folders))


def _user(environ: Mapping[str, str]) -> str:
    for name in ("LOGNAME", "USER"):
        if environ.get(name):
            return environ[name]
    try:
        import getpass

        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _next_number(project: str) -> int:
    """Numbers begin with 1 and go on over everything but the loss of the state folder."""
    folder = paths.home() / "builds" / "numbers"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locks.locked(folder / f"{project}.lock"):
        file = folder / project
        try:
            last = int(file.read_text())
        except (FileNotFoundError, ValueError):
            last = 0
        write_atomic(file, f"{last + 1}\n", mode=0o600)
    return last + 1


def _cloud(environ: Mapping[str, str]) -> tuple[str, str]:
    """Region and account, without asking AWS or loading its library."""
    home = Path(environ.get("HOME") or "/")
    profile = environ.get("AWS_PROFILE") or environ.get("AWS_DEFAULT_PROFILE") or "default"
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    if not region:
        settings = _ini(Path(environ.get("AWS_CONFIG_FILE") or home / ".aws/config"))
        region = settings.get(f"profile {profile}", settings.get(profile, {})).get("region")
    key = environ.get("AWS_ACCESS_KEY_ID")
    if not key:
        kept = _ini(Path(environ.get("AWS_SHARED_CREDENTIALS_FILE") or home / ".aws/credentials"))
        key = kept.get(profile, {}).get("aws_access_key_id", "")
    return region or "us-east-1", account_of(key) or _NO_ACCOUNT


def _ini(path: Path) -> dict[str, dict[str, str]]:
    try:
        text = path.expanduser().read_text()
    except (OSError, UnicodeDecodeError):
        return {}
    import configparser

    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
    except configparser.Error:
        return {}  # the AWS tools will say what is wrong with it when they are needed
    return {section: dict(parser[section]) for section in parser.sections()}


def account_of(key: str) -> str:
    """The account that an access key belongs to, which is written in the key itself; empty where it is not.

    Keys made before 2019 do not hold it: their fifth character comes before Q.
    Source: https://hackingthe.cloud/aws/enumeration/get-account-id-from-keys/
    """
    import base64
    import binascii

    if not re.fullmatch(r"(AKIA|ASIA)[Q-Z2-7][A-Z2-7]{15}", key):
        return ""
    try:
        head = base64.b32decode(key[4:])[:6]
    except binascii.Error:
        return ""
    return f"{(int.from_bytes(head, 'big') & 0x7FFF_FFFF_FF80) >> 7:012d}"
