"""A buildspec for AWS CodeBuild that checks, builds, tests and pushes a project's image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.builds.generate import commands
from seatrial.builds.generate.commands import REPORTS
from seatrial.builds.generate.lines import block, comment, item, quoted

if TYPE_CHECKING:
    from seatrial.builds.generate.project import Project

_CACHE = ".cache/seatrial-build"
"""Below HOME, which is /root in CodeBuild."""
_ECR_ACTIONS = (
    "ecr:GetAuthorizationToken on *; ecr:BatchCheckLayerAvailability, ecr:BatchGetImage, ecr:CompleteLayerUpload, "
    "ecr:InitiateLayerUpload, ecr:PutImage and ecr:UploadLayerPart on the repositories alone"
)


def text(project: Project, seatrial: str) -> str:
    """The file, without its header. `seatrial` is what pip is told to install."""
    parts = [
        _needs(project),
        "version: 0.2\n",
        _env(project),
        "phases:",
        _install(project, commands.requirement(project, seatrial)),
        _pre_build(),
        _build(project),
        _post_build(project),
        _reports(project),
        _artifacts(project),
        _cache(project),
    ]
    return "\n".join(part for part in parts if part)


def _needs(project: Project) -> str:
    why = (
        "Docker runs in the build" if project.how == "docker" else "images are run in a sandbox to test them"
    )
    lines = [
        f"The CodeBuild project needs privileged mode ({why}), and a cache in S3 for `cache` to do anything."
    ]
    if project.registries("ecr"):
        lines.append(f"Its role needs no more than: {_ECR_ACTIONS}.")
    if not project.targets:
        lines.append(
            "Nothing is pushed: no registry is known. `--push REGISTRY/REPOSITORY` or `push.to` in seatrial.yaml "
            "names one."
        )
    return comment(*lines)


def _env(project: Project) -> str:
    others = project.registries("other") + project.registries("github")
    if not others:
        return ""
    # Where the secret is, not what it is.
    rows = [
        "env:",
        comment(
            "Who may push. A secret with the keys `username` and `password` for each registry.", indent=2
        ),
        "  secrets-manager:",
    ]
    for number, target in enumerate(others, 1):
        rows += [
            f"    REGISTRY_{number}_{key.upper()}: {quoted(f'seatrial/{target.host}:{key}')}"
            for key in ("username", "password")
        ]
    return "\n".join(rows) + "\n"


def _install(project: Project, requirement: str) -> str:
    rows = [
        "  install:",
        "    commands:",
        comment("An environment of its own, so that nothing of the build image is changed.", indent=6),
        block(
            "if ! command -v seatrial > /dev/null; then",
            '  python3 -m venv "$HOME/.seatrial"',
            f'  "$HOME/.seatrial/bin/pip" install --quiet {commands.words(requirement)}',
            "fi",
        ),
        item('export PATH="$HOME/.seatrial/bin:$PATH"'),
    ]
    if project.how == "assemble":
        rows += [
            comment(
                "A folder of its own: a build on somebody's own machine leaves their cache alone.", indent=6
            ),
            item(f'export SEATRIAL_CACHE="${{SEATRIAL_CACHE:-$HOME/{_CACHE}}}"'),
        ]
    if project.tests:
        rows.append(item(f'export PIP_CACHE_DIR="${{PIP_CACHE_DIR:-$HOME/{_CACHE}-pip}}"'))
    if packages := commands.packages(project):
        missing = " && ".join(f"command -v {_program(name)} > /dev/null" for name in packages)
        rows += [
            comment("Images are run in a sandbox of these, without a daemon.", indent=6),
            block(
                f"if ! {{ {missing}; }} && command -v apt-get > /dev/null; then",
                "  apt-get update --quiet",
                f"  apt-get install --yes --quiet --no-install-recommends {' '.join(packages)}",
                "fi",
            ),
        ]
    return "\n".join(rows) + "\n"


def _program(package: str) -> str:
    return {"bubblewrap": "bwrap"}.get(package, package)


def _pre_build() -> str:
    rows = [
        "  pre_build:",
        "    commands:",
        comment("What is wrong is known before anything is built.", indent=6),
        *map(item, commands.check()),
    ]
    return "\n".join(rows) + "\n"


def _build(project: Project) -> str:
    rows = ["  build:", "    commands:"]
    if project.tests:
        rows += map(item, commands.unit_tests(project))
    rows.append(comment("Exit code 1 of the test ends the build: what failed is never pushed.", indent=6))
    if project.how == "docker":
        rows.append(
            "      # seatrial: disable=buildspec/docker-privileged -- the first lines of this file say so"
        )
    rows += map(item, commands.build(project))
    return "\n".join(rows) + "\n"


def _post_build(project: Project) -> str:
    if not project.targets:
        return ""
    lines = [*_logins(project), *commands.push(project, '"build-$CODEBUILD_BUILD_NUMBER"')]
    rows = [
        "  post_build:",
        "    commands:",
        comment("This phase runs after a failed build as well, so it asks first.", indent=6),
        block(
            'if [ "$CODEBUILD_BUILD_SUCCEEDING" = 1 ]; then',
            "  (",
            "    set -e",
            *(f"    {line}" for line in lines),
            "  )",
            "else",
            "  echo 'The build failed: nothing is pushed.'",
            "fi",
        ),
    ]
    return "\n".join(rows) + "\n"


def _logins(project: Project) -> list[str]:
    others = project.registries("other") + project.registries("github")
    # In a folder of its own: a build on somebody's own machine leaves their credentials alone.
    lines = ['export DOCKER_CONFIG="$(mktemp -d)"', "trap 'rm -rf \"$DOCKER_CONFIG\"' EXIT"] if others else []
    if project.how == "docker":
        lines += [commands.ecr_login(target) for target in project.registries("ecr")]
    return lines + [commands.login(target.host, number) for number, target in enumerate(others, 1)]


def _reports(project: Project) -> str:
    rows = ["reports:", _report("checks", "check.xml")]
    if project.tests:
        rows.append(_report("unit-tests", "unit-tests.xml"))
    rows.append(_report("image-tests", "image/image-tests.xml"))
    return "\n".join(rows) + "\n"


def _report(name: str, file: str) -> str:
    return f"  {name}:\n    files: [{file}]\n    base-directory: {REPORTS}\n    file-format: JUNITXML"


def _artifacts(project: Project) -> str:
    rows = [
        "artifacts:",
        comment("pushed.* holds the digest: deploy by that, since a tag can be moved.", indent=2)
        if project.targets
        else "",
        "  files:",
        f"    - {quoted(f'{REPORTS}/**/*')}",
    ]
    if not project.targets and project.how == "assemble":
        rows.append(f"    - {quoted(f'{commands.LAYOUT}/**/*')}")
    return "\n".join(row for row in rows if row) + "\n"


def _cache(project: Project) -> str:
    folders = [f"/root/{_CACHE}/**/*"] if project.how == "assemble" else []
    if project.tests:
        folders.append(f"/root/{_CACHE}-pip/**/*")
    if not folders:
        return ""
    files = " ".join(f"'{name}'" for name in project.dependencies)
    key = f"seatrial-$(codebuild-hash-files {files})" if files else "seatrial"
    rows = [
        "cache:",
        comment(
            "Bases, wheels and layers. Another set of dependencies still starts from the newest of these.",
            indent=2,
        ),
        f"  key: {quoted(key)}",
        *(["  fallback-keys:", "    - seatrial-"] if files else []),
        "  paths:",
        *(f"    - {quoted(folder)}" for folder in folders),
    ]
    return "\n".join(rows) + "\n"
