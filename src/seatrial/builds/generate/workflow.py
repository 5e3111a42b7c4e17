"""A workflow for GitHub Actions that checks, builds, tests and pushes a project's image.

What runs the project's code has no right but to read it; only the job that pushes, and only on the default branch,
may ask for credentials.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from seatrial.builds.generate import commands
from seatrial.builds.generate.commands import ARCHIVE, LAYOUT, REPORTS
from seatrial.builds.generate.lines import block, comment, quoted

if TYPE_CHECKING:
    from seatrial.builds.generate.project import Project, Target

_RUNNER = "ubuntu-24.04"


def text(project: Project, seatrial: str) -> str:
    """The file, without its header. `seatrial` is what pip is told to install."""
    requirement = commands.requirement(project, seatrial)
    parts = [_head(project), _build(project, requirement)]
    if project.targets:
        parts.append(_push(project, requirement))
    return "\n".join(parts)


def _head(project: Project) -> str:
    lines = []
    if project.registries("ecr"):
        lines.append(
            "Set the variable AWS_ROLE_ARN of the repository to a role that trusts GitHub's OIDC provider for this "
            "repository and branch, and may push to these repositories and nothing else."
        )
    if project.registries("other"):
        lines.append("Set the secrets REGISTRY_1_USERNAME, REGISTRY_1_PASSWORD and so on of the repository.")
    if not project.targets:
        lines.append(
            "Nothing is pushed: no registry is known. `--push REGISTRY/REPOSITORY` or `push.to` in seatrial.yaml "
            "names one."
        )
    said = comment(*lines) + "\n" if lines else ""
    return (
        said
        + f"""\
name: {quoted(f"image {project.name}")}

on:
  push:
    branches: [main, master]
  pull_request:
  workflow_dispatch:

# Jobs ask for more where they need it.
permissions: {{}}

# A newer push makes an older pull request's run useless; a push to a branch is always finished.
concurrency:
  group: ${{{{ github.workflow }}}}-${{{{ github.ref }}}}
  cancel-in-progress: ${{{{ github.event_name == 'pull_request' }}}}

jobs:"""
    )


def _build(project: Project, requirement: str) -> str:
    keep = [REPORTS, ARCHIVE if project.how == "docker" else LAYOUT]
    rows = [
        "  build:",
        f"    runs-on: {_RUNNER}",
        "    timeout-minutes: 60",
        "    permissions:",
        "      contents: read",
        "    steps:",
        _uses(
            "actions/checkout", comments=("Nothing after this needs the token.",), persist_credentials="false"
        ),
        _python(),
        *_cached(project),
        *_sandbox(project),
        _run("Install Seatrial", _install(requirement)),
        _run("Check", *commands.check()),
    ]
    if project.tests:
        rows.append(_run("Test the project", *commands.unit_tests(project)))
    rows.append(_run("Build and test the image", *commands.build(project)))
    if project.how == "docker" and project.targets:
        rows.append(
            _run(
                "Keep the image",
                commands.words("docker", "save", commands.local_name(project), "--output", ARCHIVE),
            )
        )
    if project.how == "docker" and not project.targets:
        keep.remove(ARCHIVE)
    rows += [
        _uses(
            "actions/upload-artifact",
            "if: always()",
            name="reports",
            path=keep[0],
            if_no_files_found="ignore",
        ),
    ]
    if len(keep) > 1:
        rows.append(_uses("actions/upload-artifact", name="image", path=keep[1], if_no_files_found="error"))
    return "\n".join(rows) + "\n"


def _push(project: Project, requirement: str) -> str:
    rows = [
        "  push:",
        "    needs: build",
        comment("Never for pull requests: their code must not get credentials.", indent=4),
        "    if: github.event_name != 'pull_request' && github.ref_name == github.event.repository.default_branch",
        f"    runs-on: {_RUNNER}",
        "    timeout-minutes: 30",
        *_rights(project),
        "    steps:",
    ]
    if project.configured and project.how == "assemble":
        rows.append(
            _uses(
                "actions/checkout",
                comments=("seatrial.yaml says where to push; tags are made from the history.",),
                persist_credentials="false",
                fetch_depth="0",
            )
        )
    folder = "build" if project.how == "docker" else LAYOUT
    rows.append(_uses("actions/download-artifact", name="image", path=folder))
    if project.how == "assemble":
        rows += [_python(), _run("Install Seatrial", _install(requirement))]
    rows += _credentials(project)
    loaded = [commands.words("docker", "load", "--input", ARCHIVE)] if project.how == "docker" else []
    logins = [commands.ecr_login(target) for target in project.registries("ecr")]
    lines = [
        f"mkdir -p {REPORTS}",
        *loaded,
        *(logins if loaded else []),
        *commands.push(project, '"$GITHUB_SHA"'),
    ]
    # The digest is what to deploy by: a tag can be moved.
    rows.append(
        _run(
            "Push",
            *lines,
            f"{{ echo '```'; cat {REPORTS}/pushed.*; echo '```'; }} >> \"$GITHUB_STEP_SUMMARY\"",
        )
    )
    rows.append(_uses("actions/upload-artifact", name="pushed", path=REPORTS, if_no_files_found="error"))
    return "\n".join(rows) + "\n"


def _rights(project: Project) -> list[str]:
    rows = []
    if project.configured and project.how == "assemble":
        rows.append("      contents: read")
    if project.registries("ecr"):
        rows.append("      id-token: write # a short-lived token that AWS trusts, instead of a stored key")
    if project.registries("github"):
        rows.append("      packages: write # to push to ghcr.io")
    return ["    permissions:", *rows] if rows else ["    permissions: {}"]


def _credentials(project: Project) -> list[str]:
    rows = []
    amazon = project.registries("ecr")
    if amazon:
        rows.append(
            _uses(
                "aws-actions/configure-aws-credentials",
                role_to_assume="${{ vars.AWS_ROLE_ARN }}",
                aws_region=amazon[0].region,
            )
        )
    rows += [
        _login(target, "${{ github.actor }}", "${{ secrets.GITHUB_TOKEN }}")
        for target in project.registries("github")
    ]
    rows += [
        _login(
            target, f"${{{{ secrets.REGISTRY_{n}_USERNAME }}}}", f"${{{{ secrets.REGISTRY_{n}_PASSWORD }}}}"
        )
        for n, target in enumerate(project.registries("other"), 1)
    ]
    return rows


def _login(target: Target, username: str, password: str) -> str:
    return _uses("docker/login-action", registry=target.host, username=username, password=password)


def _python() -> str:
    return _uses("actions/setup-python", python_version='"3.12"')


def _cached(project: Project) -> list[str]:
    if project.how == "docker":
        return []
    files = ", ".join(f"'{name}'" for name in project.dependencies)
    key = f"${{{{ hashFiles({files}) }}}}" if files else "all"
    return [
        _uses(
            "actions/cache",
            comments=("Bases, wheels and layers. Other dependencies still start from the newest of these.",),
            path="~/.cache/seatrial",
            key=f"seatrial-{key}",
            restore_keys="seatrial-",
        )
    ]


def _sandbox(project: Project) -> list[str]:
    packages = commands.packages(project)
    if not packages:
        return []
    return [
        _run(
            "Make it possible to run images without a daemon",
            "sudo apt-get update --quiet",
            f"sudo apt-get install --yes --quiet --no-install-recommends {' '.join(packages)}",
            "# Ubuntu 24.04 keeps programs from making user namespaces, which sandboxes are made of.",
            "sudo sysctl --quiet kernel.apparmor_restrict_unprivileged_userns=0",
        )
    ]


def _install(requirement: str) -> str:
    return commands.words("python3", "-m", "pip", "install", "--quiet", requirement)


def _run(title: str, *lines: str) -> str:
    script = block(*lines, indent=8).partition("\n")[2]
    return f"      - name: {title}\n        run: |\n{script}"


def _uses(action: str, *keys: str, comments: tuple[str, ...] = (), **inputs: str) -> str:
    """A step that uses an action at the commit that is known for it."""
    rows = [comment(*comments, indent=6)] if comments else []
    tag, commit = _actions()[action]
    rows.append(f"      - uses: {action}@{commit} # {tag}")
    rows += [f"        {key}" for key in keys]
    rows.append("        with:")
    rows += [f"          {name.replace('_', '-')}: {value}" for name, value in inputs.items()]
    return "\n".join(rows)


@cache
def _actions() -> dict[str, tuple[str, str]]:
    import yaml

    facts = yaml.safe_load(Path(__file__).with_name("facts.yaml").read_text("utf-8"))
    return {name: (one["tag"], one["commit"]) for name, one in facts["actions"].items()}
