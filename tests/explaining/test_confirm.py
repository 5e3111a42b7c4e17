"""A cause is looked up in the repository and the account that the log comes from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import pytest

from seatrial.diagnosis.explain import explain
from seatrial.explaining.confirm import confirm

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.diagnosis.model import Cause

DENIED = "User: arn:aws:sts::123456789012:assumed-role/build/x is not authorized to perform: s3:PutObject on resource: arn:aws:s3:::b/k because no identity-based policy allows the s3:PutObject action\n"
POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": "*"}],
}


class Case(NamedTuple):
    """A log, a repository, and what is said: confirmed, the rules, the place and what the edit writes."""

    name: str
    log: str
    files: dict[str, str]
    confirmed: str
    rule: str
    place: str = ""
    edit: str = ""


CASES = (
    Case(
        "module nobody requires",
        "ModuleNotFoundError: No module named 'yaml'\n",
        {"requirements.txt": "boto3==1.34\n"},
        "yes", "explain/requirement-absent", "requirements.txt:1", "\npyyaml",
    ),
    Case(
        "module that is required",
        "ModuleNotFoundError: No module named 'yaml'\n",
        {"requirements.txt": "boto3\nPyYAML>=6\n"},
        "unknown", "explain/requirement-present", "requirements.txt:2",
    ),
    Case(
        "module of the project",
        "ModuleNotFoundError: No module named 'shop'\n",
        {"src/shop/__init__.py": "", "requirements.txt": "boto3\n"},
        "yes", "explain/module-own", "src/shop/__init__.py:1",
    ),
    Case(
        "COPY of a file with another name",
        'ERROR: failed to solve: failed to compute cache key: failed to calculate checksum of ref a::b: "/requirements.txt": not found\n',
        {"Dockerfile": "FROM x\nCOPY requirements.txt /app/\n", "app/requirements.txt": "boto3\n"},
        "yes", "explain/file-absent", "Dockerfile:2", "app/requirements.txt",
    ),
    Case(
        "COPY of a file that .dockerignore leaves out",
        "COPY failed: file not found in build context or excluded by .dockerignore: stat model.bin: file does not exist\n",
        {"Dockerfile": "FROM x\nCOPY model.bin /\n", ".dockerignore": ".git\n*.bin\n", "model.bin": "x"},
        "yes", "explain/file-ignored", ".dockerignore:2", "\n!model.bin",
    ),
    Case(
        "COPY of a file that is there",
        "COPY failed: file not found in build context or excluded by .dockerignore: stat app.jar: file does not exist\n",
        {"Dockerfile": "FROM x\nCOPY app.jar /\n", "app.jar": "x"},
        "no", "explain/file-present", "app.jar:1",
    ),
    Case(
        "action in no policy (JSON)",
        DENIED,
        {"iam/policy.json": json.dumps(POLICY, indent=2)},
        "yes", "explain/action-absent", "iam/policy.json:7", '        "s3:PutObject",\n',
    ),
    Case(
        "action in no policy (Terraform)",
        DENIED,
        {"main.tf": 'data "x" "y" {\n  statement {\n    actions = ["s3:GetObject"]\n  }\n}\n'},
        "yes", "explain/action-absent", "main.tf:3", '"s3:PutObject", ',
    ),
    Case(
        "action that a wildcard allows",
        DENIED,
        {"template.yml": "Action:\n  - s3:Put*\n"},
        "unknown", "explain/action-present", "template.yml:2",
    ),
    Case(
        "script with Windows line ends",
        "run.sh: line 2: $'\\r': command not found\n",
        {"run.sh": "#!/bin/sh\r\necho hi\r\n"},
        "yes", "explain/script-crlf", "run.sh:1",
    ),
    Case(
        "a bashism that the buildspec has",
        "/codebuild/output/tmp/script.sh: 4: [[: not found\n",
        {"buildspec.yml": "version: 0.2\nphases:\n  build:\n    commands:\n      - if [[ -n $X ]]; then echo x; fi\n"},
        "yes", "buildspec/bashism", "buildspec.yml:5",
    ),
    Case(
        "requirements that exclude each other",
        "ERROR: Cannot install -r requirements.txt (line 1) and urllib3==1.20 because these package versions have conflicting dependencies.\n",
        {"requirements.txt": "requests==2.31.0\nurllib3==1.20\n"},
        "yes", "explain/requirement", "requirements.txt:2",
    ),
)  # fmt: skip


def _write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())


def _first(log: str, **looking: object) -> Cause:
    return confirm(explain(log), **looking).causes[0]  # type: ignore[arg-type]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_repository_confirms_or_rejects_with_the_place_and_the_edit(case: Case, tmp_path: Path) -> None:
    _write(tmp_path, case.files)
    cause = _first(case.log, repo=tmp_path)
    assert cause.confirmed == case.confirmed
    found = next(one for one in cause.findings if one.rule == case.rule)
    assert f"{found.path}:{found.line}" == case.place
    if case.edit:
        assert found.fix is not None
        assert found.fix.edits[0].text == case.edit


def test_an_edit_for_a_policy_makes_a_policy_that_allows_the_action(tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    _write(tmp_path, {"policy.json": json.dumps(POLICY, indent=2)})
    fix = _first(DENIED, repo=tmp_path).findings[0].fix
    assert fix is not None
    edit = fix.edits[0]
    lines = file.read_text().splitlines(keepends=True)
    lines[edit.start[0] - 1] = edit.text + lines[edit.start[0] - 1]
    assert json.loads("".join(lines))["Statement"][0]["Action"] == ["s3:PutObject", "s3:GetObject"]


def test_a_rejected_cause_comes_last(tmp_path: Path) -> None:
    log = (
        "[web] COPY failed: file not found in build context or excluded by .dockerignore: stat app.jar: file does not exist\n"
        "ModuleNotFoundError: No module named 'yaml'\n"
    )
    _write(tmp_path, {"app.jar": "x", "requirements.txt": "boto3\n"})
    said = [cause.confirmed for cause in confirm(explain(log), repo=tmp_path).causes]
    assert said == ["yes", "no"]


def test_nothing_at_hand_leaves_the_cause_as_it_was(tmp_path: Path) -> None:
    assert _first(DENIED, repo=tmp_path).confirmed == "unknown"
    assert _first(DENIED).confirmed == "unknown"


@pytest.mark.parametrize(
    ("actions", "effect", "confirmed"),
    [
        (["s3:GetObject"], "Allow", "yes"),
        (["s3:*"], "Allow", "unknown"),
        ("s3:PutObject", "Deny", "yes"),
    ],
)
def test_the_account_says_whether_the_role_may(actions: object, effect: str, confirmed: str) -> None:
    boto3 = pytest.importorskip("boto3")
    moto = pytest.importorskip("moto")
    with moto.mock_aws():
        session = boto3.session.Session("x", "y", region_name="eu-west-1")
        iam = session.client("iam")
        iam.create_role(RoleName="build", AssumeRolePolicyDocument="{}")
        document = {
            "Version": "2012-10-17",
            "Statement": [{"Effect": effect, "Action": actions, "Resource": "*"}],
        }
        iam.put_role_policy(RoleName="build", PolicyName="p", PolicyDocument=json.dumps(document))
        assert _first(DENIED, session=session).confirmed == confirmed


def test_the_account_says_whether_a_repository_of_images_exists() -> None:
    boto3 = pytest.importorskip("boto3")
    moto = pytest.importorskip("moto")
    log = "name unknown: The repository with name 'shop' does not exist in the registry with id '123456789012'\n"
    with moto.mock_aws():
        session = boto3.session.Session("x", "y", region_name="eu-west-1")
        assert _first(log, session=session).confirmed == "yes"
        session.client("ecr").create_repository(repositoryName="shop")
        assert _first(log, session=session).confirmed == "no"
