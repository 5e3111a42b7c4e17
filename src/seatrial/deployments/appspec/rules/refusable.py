"""The rules behind what AWS refuses in a file for hosts."""

from __future__ import annotations

from seatrial.deployments.appspec.refusals import SPEC, STRUCTURE
from seatrial.findings import Rule

_HEAD = "version: 0.0\nos: linux\n"


def _rule(name: str, title: str, explanation: str, example: str, section: str = "") -> Rule:
    source = STRUCTURE.format(section) if section else SPEC
    return Rule(
        id=f"appspec/{name}",
        severity="error",
        title=title,
        explanation=explanation,
        source=source,
        example=example,
    )


RULES: tuple[Rule, ...] = (
    _rule(
        "empty", "The appspec is empty",
        "A file with nothing but comments is refused. `version` is needed, and `os` for hosts or `Resources` elsewhere.",
        "# later\n",
    ),
    _rule(
        "version", "The version is not 0.0",
        "`version` is that of the file's format, not of what is deployed. On hosts it is the number 0.0 without quotes; "
        "for Lambda and ECS also 0 and the text '0.0'.",
        "version: 1.0\nos: linux\n",
    ),
    _rule(
        "os", "The operating system is not the host's",
        "The agent on Linux takes `linux` alone, the one on Windows `windows`, both in lower case. Names of distributions "
        "are refused.",
        "version: 0.0\nos: ubuntu\n",
    ),
    _rule(
        "file-exists-behavior", "file_exists_behavior is none of DISALLOW, OVERWRITE and RETAIN",
        "It says what happens to a file that is there already and that CodeDeploy did not put there. In capitals.",
        f"{_HEAD}file_exists_behavior: overwrite\n", "files",
    ),
    _rule(
        "hook-location", "A script without location",
        "Each script of a hook needs `location`, the path within the revision.",
        f"{_HEAD}hooks:\n  BeforeInstall:\n    - timeout: 30\n", "hooks",
    ),
    _rule(
        "timeout", "A timeout that is no positive number of seconds",
        "`timeout` is in seconds and above 0; a text counts as the digits that it begins with.",
        f"{_HEAD}hooks:\n  BeforeInstall:\n    - location: a.sh\n      timeout: 0\n", "hooks",
    ),
    _rule(
        "files-source", "A destination without source",
        "Each item of `files` needs both, `source` and `destination`.",
        f"{_HEAD}files:\n  - destination: /srv/app\n", "files",
    ),
    _rule(
        "files-destination", "A source without destination",
        "Each item of `files` needs both, `source` and `destination`.",
        f"{_HEAD}files:\n  - source: /\n", "files",
    ),
    _rule(
        "permission-object", "A permission without object",
        "Each item of `permissions` needs `object`, the file or folder on the host.",
        f"{_HEAD}permissions:\n  - mode: 644\n", "permissions",
    ),
    _rule(
        "permission-type", "A type that is neither file nor directory",
        "`type` is a list of `file` and `directory`.",
        f"{_HEAD}permissions:\n  - object: /srv/app\n    type: [files]\n", "permissions",
    ),
    _rule(
        "permission-mode", "A mode that is not one to four octal digits",
        "YAML 1.1 reads `0755` without quotes as an octal number, which is 493. Put the mode in quotes, or leave the 0 away.",
        f"{_HEAD}permissions:\n  - object: /srv/app\n    mode: 0755\n", "permissions",
    ),
    _rule(
        "acl", "An entry of acls that cannot be",
        "An entry is `[default:][user|group|mask|other:]name:rwx`. The owner's, the group's and the others' own rights are "
        "given by `mode`.",
        f"{_HEAD}permissions:\n  - object: /srv/app\n    acls: ['u:mary:rq']\n", "permissions",
    ),
    _rule(
        "context", "An SELinux context that cannot be",
        "`context` is a mapping with `type` and, where wanted, `name` and `range`, such as `s0-s1:c0.c5`.",
        f"{_HEAD}permissions:\n  - object: /srv/app\n    context:\n      name: user_u\n", "permissions",
    ),
    _rule(
        "windows-permissions", "Permissions on Windows",
        "`permissions` is for Linux; the agent on Windows refuses a file that has it.",
        "version: 0.0\nos: windows\npermissions:\n  - object: C:\\app\n", "permissions",
    ),
    _rule(
        "shape", "A list where a mapping is needed, or the other way round",
        "The agent does not check this: it is a Ruby program that fails with an error of Ruby's, such as \"undefined method "
        "`each'\". A hook is a list of mappings, `files` and `permissions` are lists, `type`, `except` and `acls` are lists "
        "also where they have one item.",
        f"{_HEAD}hooks:\n  BeforeInstall:\n    location: a.sh\n", "hooks",
    ),
    _rule(
        "alias", "An alias, which the agent's YAML does not take",
        "Anchors are allowed, but `*name` is refused, and with it `<<: *name`. Write the value out.",
        f"{_HEAD}hooks:\n  AfterInstall: &same\n    - location: a.sh\n  ApplicationStart: *same\n",
    ),
    _rule(
        "yaml-class", "A date, or a tag for an object of Ruby's",
        "The agent refuses every value that YAML would make a date, a time or an object of. Put dates in quotes.",
        f"{_HEAD}released: 2024-05-01\n",
    ),
    _rule(
        "other-file", "Another kind of file in the place of an appspec",
        "A buildspec, a template, a manifest or a script was put where CodeDeploy looks for its application specification. "
        "Name it as the tool that reads it expects.",
        "version: 0.2\nphases:\n  build:\n    commands: [make]\n",
    ),
    Rule(
        id="appspec/in-buildspec-place", severity="error", title="An appspec in the place of a buildspec",
        explanation=(
            "CodeBuild would refuse the file: it is an application specification of CodeDeploy's. Name it `appspec.yml`, and "
            "give CodeBuild a file with `version: 0.2` and `phases`."
        ),
        source=SPEC, example=f"{_HEAD}files:\n  - source: /\n    destination: /srv/app\n",
    ),
)  # fmt: skip
