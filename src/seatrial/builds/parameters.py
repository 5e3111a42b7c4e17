"""Values from Parameter Store and Secrets Manager, fetched by boto3, and CodeBuild's words where they cannot be had.

Sources: AWS CodeBuild user guide, "Build specification reference" (env/parameter-store, env/secrets-manager); the
messages are those of public build logs. CodeBuild prints errors as AWS's Go library does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.builds.refused import Refused
from seatrial.cloud import session as cloud

if TYPE_CHECKING:
    from seatrial.builds.model import Buildspec

Session = Callable[[str], Any]
"""Gives the client of a service: `ssm`, `secretsmanager`."""

STORE_ERROR = "Decrypted Variables Error"
SECRET_ERROR = "Secrets Manager Error"  # noqa: S105 - the name of an error
_BATCH = 10
"""So many names does GetParameters take."""
_ARN_PARTS = 7
_KEYED_PARTS = 4


class Secret(msgspec.Struct, frozen=True):
    """A reference to a value in Secrets Manager; what is empty is not asked for."""

    id: str
    key: str = ""
    stage: str = ""
    version: str = ""


def session(region: str) -> Session:
    """Clients for `region`, each made once."""
    return cache(partial(_client, region))


def resolve(
    spec: Buildspec,
    session: Session,
    *,
    given: Mapping[str, str] | None = None,
    parameters: Mapping[str, str] | None = None,
    secrets: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The values of `env/parameter-store` and `env/secrets-manager`, by variable.

    Variables in `given` are not fetched: the project or whoever starts the build has set them otherwise.
    `parameters` and `secrets` are further references in the same form, as a project has them.

    Raises:
        Refused: a value does not exist or may not be read, or AWS cannot be asked.
        MissingToolError: boto3 is not installed.
    """
    stored = {**{name: text.value for name, text in spec.env.parameter_store.items()}, **(parameters or {})}
    kept = {**{name: text.value for name, text in spec.env.secrets_manager.items()}, **(secrets or {})}
    places = {
        name: str(text.place)
        for name, text in (*spec.env.parameter_store.items(), *spec.env.secrets_manager.items())
    }
    told = given or {}
    values = _stored({name: value for name, value in stored.items() if name not in told}, session, places)
    return values | _secret(
        {name: value for name, value in kept.items() if name not in told}, session, places
    )


def supplied(spec: Buildspec, given: Iterable[str]) -> tuple[str, ...]:
    """The variables whose values would be fetched, were they not in `given`: worth telling the user."""
    return tuple(sorted({*spec.env.parameter_store, *spec.env.secrets_manager} & set(given)))


def maskable(values: Iterable[str]) -> tuple[str, ...]:
    """Everything that must not be shown: the values, and each text and number inside those that are JSON."""
    found: set[str] = set()
    for value in values:
        found.add(value)
        try:
            found |= set(_leaves(json.loads(value)))
        except (ValueError, RecursionError):
            continue
    return tuple(sorted(found - {""}))


def parse(reference: str) -> Secret:
    """Read `secret-id:json-key:version-stage:version-id`; the id may be an ARN, which has colons of its own.

    Raises:
        ValueError: there are more parts than that, or no id.
    """
    parts = reference.split(":")
    length = _ARN_PARTS if reference.startswith("arn:") else 1
    name, rest = ":".join(parts[:length]), parts[length:]
    if not name or len(rest) >= _KEYED_PARTS:
        raise ValueError(reference)
    return Secret(name, *rest)


def _stored(wanted: Mapping[str, str], session: Session, places: Mapping[str, str]) -> dict[str, str]:
    names = list(dict.fromkeys(wanted.values()))
    known: dict[str, str] = {}
    for start in range(0, len(names), _BATCH):
        some = names[start : start + _BATCH]
        variable = next(name for name, value in wanted.items() if value in some)
        where = places.get(variable, variable)
        answer = _answer(
            partial(_parameters, session, some, where=where),
            STORE_ERROR,
            wanted,
        )
        for found in answer["Parameters"]:
            selectors = (found["Selector"],) if found.get("Selector") else ("", f":{found.get('Version')}")
            known |= {
                name + end: found["Value"]
                for name in (found["Name"], found.get("ARN", ""))
                for end in selectors
            }
    for variable, name in wanted.items():
        if name not in known:
            raise Refused(
                STORE_ERROR,
                f"parameter does not exist: {name}",
                where=places.get(variable, variable),
                why="Parameter Store has no such parameter in this account and region",
                fix=f"`aws ssm put-parameter --name {name} --type SecureString --value …`, correct the name, "
                f"or give the value yourself with --env {variable}=… or --env-file",
            )
    return {variable: known[name] for variable, name in wanted.items()}


def _parameters(session: Session, names: list[str], where: str) -> dict[str, Any]:
    ask = session("ssm").get_parameters
    return cloud.ask(ask, "ssm:GetParameters", where, Names=names, WithDecryption=True)


def _secret(wanted: Mapping[str, str], session: Session, places: Mapping[str, str]) -> dict[str, str]:
    fetched: dict[tuple[str, str, str], str] = {}
    values: dict[str, str] = {}
    for variable, reference in wanted.items():
        place = places.get(variable, variable)
        try:
            secret = parse(reference)
        except ValueError as error:
            raise Refused(
                SECRET_ERROR,
                f"{reference} is not a reference to a secret",
                where=place,
                why="a reference is secret-id:json-key:version-stage:version-id, and only the first part is needed",
            ) from error
        identity = (secret.id, secret.stage, secret.version)
        if identity not in fetched:
            fetched[identity] = _fetch(secret, session, place, wanted)
        values[variable] = _part(fetched[identity], secret, place)
    return values


def _fetch(secret: Secret, session: Session, place: str, wanted: Mapping[str, str]) -> str:
    asked = {"SecretId": secret.id, "VersionStage": secret.stage, "VersionId": secret.version}
    asked = {name: value for name, value in asked.items() if value}
    answer = _answer(
        lambda: cloud.ask(
            session("secretsmanager").get_secret_value, "secretsmanager:GetSecretValue", place, **asked
        ),
        SECRET_ERROR,
        wanted,
    )
    if "SecretString" not in answer:
        raise Refused(
            SECRET_ERROR,
            f"{secret.id} holds bytes, not a text",
            where=place,
            why="a variable can only be given a text",
            fix="store it as a text, or fetch it in a command with `aws secretsmanager get-secret-value`",
        )
    text: str = answer["SecretString"]
    return text


def _part(text: str, secret: Secret, place: str) -> str:
    if not secret.key:
        return text
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict) or secret.key not in value:
        there = f"it has {', '.join(sorted(value))}" if isinstance(value, dict) else "it is no JSON object"
        raise Refused(
            SECRET_ERROR,
            f"{secret.id} has no key {secret.key}",
            where=place,
            why=f"the second part of the reference names a key of the secret's JSON, and {there}",
            fix="name a key that is there, or leave that part out to get the whole text",
        )
    found = value[secret.key]
    return found if isinstance(found, str) else json.dumps(found, separators=(",", ":"), ensure_ascii=False)


def _answer(ask: Callable[[], dict[str, Any]], code: str, wanted: Mapping[str, str]) -> dict[str, Any]:
    """Ask, and say a refusal as AWS's Go library does: it adds the request to errors that the service does not declare."""
    try:
        return ask()
    except cloud.AwsError as error:
        response = getattr(error.__cause__, "response", None)
        own = f"give the value yourself with --env {next(iter(wanted))}=… or --env-file"
        if response is None:
            raise Refused(
                code, error.what, where=error.where, why=error.why, fix=f"{error.fix}; or {own}"
            ) from error
        said = response["Error"]
        message = f"{said['Code']}: {said.get('Message', '')}"
        if said["Code"] not in _DECLARED:
            about = response.get("ResponseMetadata", {})
            message += f"\n\tstatus code: {about.get('HTTPStatusCode', 400)}, request id: {about.get('RequestId', '')}"
        why = _CAUSES.get(said["Code"], error.what)
        raise Refused(
            code, message, where=error.where, why=why, fix=f"{error.fix or _FIX}; or {own}"
        ) from error


_DECLARED = frozenset(
    {
        "ResourceNotFoundException",
        "InvalidParameterException",
        "InvalidRequestException",
        "DecryptionFailure",
        "InternalServiceError",
        "InvalidKeyId",
        "InternalServerError",
    }
)
_CAUSES = {
    "ResourceNotFoundException": "this account and region have no such secret, or not that version of it",
    "InvalidRequestException": "the secret is marked for deletion, or has no value yet",
    "DecryptionFailure": "the key that the secret is encrypted with may not be used: kms:Decrypt is missing",
    "InvalidKeyId": "the key that the parameter is encrypted with is gone or disabled",
}
_FIX = (
    "look at it with `aws secretsmanager describe-secret` or `aws ssm describe-parameters` in the same region"
)


def _leaves(value: Any) -> list[str]:
    """Texts and numbers; true, false and null are in every text."""
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in _leaves(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in _leaves(item)]
    if isinstance(value, bool) or value is None:
        return []
    return [value if isinstance(value, str) else json.dumps(value)]


def _client(region: str, service: str) -> Any:
    return cloud.client(service, region)
