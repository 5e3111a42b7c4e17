"""Variables: names that are taken, secrets in plain sight, exports that give nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.builds.nodes import child, children, texts, word
from seatrial.builds.refusals import SPEC
from seatrial.findings import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.builds.rules.look import Look
    from seatrial.findings import Finding

_EXPORTED = f"{SPEC}#build-spec.env.exported-variables"

RULES: tuple[Rule, ...] = (
    Rule(
        id="buildspec/reserved-variable",
        severity="warning",
        title="A variable begins with CODEBUILD_",
        explanation="CodeBuild sets the variables of this name itself, and refuses them where a project or a build gives them.",
        source=f"{SPEC}#build-spec.env.variables",
        example="version: 0.2\nenv:\n  variables:\n    CODEBUILD_TAG: '1'\nphases:\n  build:\n    commands: [make]\n",
    ),
    Rule(
        id="buildspec/plain-secret",
        severity="warning",
        title="A secret is written in the buildspec",
        explanation=(
            "Whoever reads the repository, or a build's details, reads it too. Keep it in Secrets Manager or the "
            "Parameter Store and name it under `secrets-manager` or `parameter-store`."
        ),
        source=f"{SPEC}#build-spec.env.variables",
        example="version: 0.2\nenv:\n  variables:\n    DB_PASSWORD: hunter2-prod\nphases:\n  build:\n    commands: [make]\n",
    ),
    Rule(
        id="buildspec/export-refused",
        severity="warning",
        title="A variable that cannot be exported",
        explanation=(
            "`exported-variables` must not name one that begins with `AWS_` or that comes from the Parameter Store or "
            "Secrets Manager."
        ),
        source=_EXPORTED,
        example="version: 0.2\nenv:\n  exported-variables: [AWS_REGION]\nphases:\n  build:\n    commands: [make]\n",
    ),
    Rule(
        id="buildspec/export-unset",
        severity="warning",
        title="An exported variable is never set",
        explanation="Nothing in the file sets it. What a script sets that is not read with `.` is gone when the script ends.",
        source=_EXPORTED,
        example="version: 0.2\nenv:\n  exported-variables: [TAG]\nphases:\n  build:\n    commands: [make]\n",
    ),
    Rule(
        id="buildspec/secret-reference",
        severity="warning",
        title="Not a reference to a secret",
        explanation="It is `secret-id:json-key:version-stage:version-id`, of which only the first part must be there.",
        source=f"{SPEC}#build-spec.env.secrets-manager",
        example="version: 0.2\nenv:\n  secrets-manager:\n    A: 'app:user:AWSCURRENT:v1:more'\nphases:\n  build:\n    commands: [make]\n",
    ),
    Rule(
        id="buildspec/variable-twice",
        severity="warning",
        title="A variable comes from two places",
        explanation="`variables`, `parameter-store` and `secrets-manager` share their names; one of the values is lost.",
        source=f"{SPEC}#build-spec.env",
        example="version: 0.2\nenv:\n  variables:\n    A: '1'\n  parameter-store:\n    A: /app/a\nphases:\n  build:\n    commands: [make]\n",
    ),
)  # fmt: skip

_SECRET_NAME = re.compile(
    r"(?:^|_)(?:PASSWORD|PASSWD|PWD|SECRET|SECRET_?KEY|TOKEN|API_?KEY|APIKEY|PRIVATE_?KEY|ACCESS_?KEY|CREDENTIALS?)$",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(
    r"^(?:AKIA|ASIA)[A-Z0-9]{16}$|^gh[pousr]_[A-Za-z0-9]{36,}$|^github_pat_\w{40,}$|^xox[abprs]-[\w-]{10,}$|"
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----|^sk_live_\w{16,}$|^dckr_pat_[\w-]{20,}$|^npm_\w{36}$|://[^/\s:@]+:[^/\s:@$]{4,}@"
)
_NO_SECRET = re.compile(
    r"^$|\$|^(?:true|false|yes|no|none|null|changeme|change-me|nosecret|dummy|test|example|placeholder|todo|xxx+|\*+|<.*>|\d{1,3})$|"
    r"^(?:arn:|/|https?://|\.|[\w.-]+/[\w./-]+$)|your|example|dummy|placeholder|fake",
    re.IGNORECASE,
)  # fmt: skip
_PARTS = 4
_ARN_PARTS = 7


def check(look: Look) -> Iterator[Finding]:
    """Each variable that will surprise."""
    yield from _plain(look)
    yield from _references(look)
    yield from _exports(look)


def _plain(look: Look) -> Iterator[Finding]:
    env = child(look.root, "env")
    plain = dict(children(child(env, "variables")))
    plain |= children(child(look.root, "environment_variables", "plaintext"))
    for name, (key, value) in plain.items():
        if name.startswith("CODEBUILD_"):
            yield look.at("reserved-variable", "warning", key, f"{name} begins with CODEBUILD_, which is kept for CodeBuild's own",
                          source=RULES[0].source)  # fmt: skip
        said = word(value)
        named = _SECRET_NAME.search(name) is not None and not _NO_SECRET.search(said)
        if named or _SECRET_VALUE.search(said):
            yield look.at("plain-secret", "warning", value, f"the value of {name} looks like a secret, for all to read",
                          cause="secrets-manager and parameter-store take the name of one instead", source=RULES[1].source)  # fmt: skip
    places = [
        (kind, children(child(env, kind))) for kind in ("variables", "parameter-store", "secrets-manager")
    ]
    seen: dict[str, str] = {}
    for kind, found in places:
        for name, (key, _) in found.items():
            if name in seen:
                yield look.at(
                    "variable-twice",
                    "warning",
                    key,
                    f"{name} is in {seen[name]} as well",
                    source=RULES[5].source,
                )
            seen.setdefault(name, kind)


def _references(look: Look) -> Iterator[Finding]:
    for name, (_, value) in children(child(look.root, "env", "secrets-manager")).items():
        said = word(value)
        parts = said.split(":")
        most = _PARTS + _ARN_PARTS - 1 if said.startswith("arn:") else _PARTS
        if not parts[0] or len(parts) > most:
            yield look.at("secret-reference", "warning", value, f"{said!r} for {name} is not secret-id:json-key:version-stage:version-id",
                          source=RULES[4].source)  # fmt: skip


def _exports(look: Look) -> Iterator[Finding]:
    env = child(look.root, "env")
    hidden = {**children(child(env, "parameter-store")), **children(child(env, "secrets-manager"))}
    plain = children(child(env, "variables"))
    commands = "\n".join(one.text for one in look.commands)
    # What is read with `.`, evaluated or appended may set anything.
    may_set = re.search(r"(?:^|[\s;&|(])(?:\.|source|eval)\s+\S", commands) is not None
    listed = child(env, "exported-variables")
    nodes = {word(one): one for one in (listed.items if listed is not None else [])}
    for one in texts(look.source, listed):
        node = nodes.get(one.value, listed)
        if node is None:
            continue
        if one.value.startswith("AWS_"):
            yield look.at(
                "export-refused",
                "warning",
                node,
                f"{one.value} begins with AWS_ and cannot be exported",
                source=_EXPORTED,
            )
        elif one.value in hidden:
            yield look.at(
                "export-refused",
                "warning",
                node,
                f"{one.value} is a secret and cannot be exported",
                source=_EXPORTED,
            )
        elif one.value not in plain and not may_set and look.commands and not _is_set(one.value, commands):
            yield look.at("export-unset", "warning", node, f"no command sets {one.value}",
                              cause="unless the project or the start of the build gives it, it is empty", source=_EXPORTED)  # fmt: skip


def _is_set(name: str, commands: str) -> bool:
    """Whether any command may set a variable; CodeBuild sets its own."""
    own = re.escape(name)
    pattern = rf"\b{own}\b(?:=|\+=|$|[\s;])|\bread\b.*\b{own}\b"
    return name.startswith("CODEBUILD_") or re.search(pattern, commands, re.MULTILINE) is not None
