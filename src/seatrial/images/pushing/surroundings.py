"""What a CI system says about the commit that it builds, in its variables: it often checks out no branch.

Sources: "Environment variables in build environments" of AWS CodeBuild; "Default environment variables" of GitHub
Actions; "Predefined CI/CD variables" of GitLab.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

_COMMIT = re.compile(r"[0-9a-f]{40}")


class Surroundings(NamedTuple):
    """`source` names the variable that `branch` or `tag` comes from; everything is empty outside of CI."""

    branch: str = ""
    tag: str = ""
    commit: str = ""
    source: str = ""


def read_surroundings(env: Mapping[str, str]) -> Surroundings:
    """The branch or tag, and the commit, that the CI system says it builds."""
    for reader in (_codebuild, _github, _gitlab):
        found = reader(env)
        if found is not None:
            return found
    return Surroundings()


def _codebuild(env: Mapping[str, str]) -> Surroundings | None:
    if not env.get("CODEBUILD_BUILD_ID"):
        return None
    commit = _commit(env.get("CODEBUILD_RESOLVED_SOURCE_VERSION", ""))
    for name in ("CODEBUILD_WEBHOOK_HEAD_REF", "CODEBUILD_WEBHOOK_TRIGGER", "CODEBUILD_SOURCE_VERSION"):
        text = env.get(name, "")
        kind, _, rest = text.removeprefix("refs/").partition("/")
        if kind in ("heads", "branch") and rest:
            return Surroundings(branch=rest, commit=commit, source=name)
        if kind in ("tags", "tag") and rest:
            return Surroundings(tag=rest, commit=commit, source=name)
        if kind == "pr" and rest:
            return Surroundings(branch=f"pr-{rest}", commit=commit, source=name)
    text = env.get("CODEBUILD_SOURCE_VERSION", "")
    # It may also be a commit, or the address of an archive in S3.
    if text and not re.fullmatch(r"[0-9a-f]{7,40}", text) and not text.startswith("arn:") and ":" not in text:
        return Surroundings(branch=text, commit=commit, source="CODEBUILD_SOURCE_VERSION")
    return Surroundings(commit=commit, source="CODEBUILD_RESOLVED_SOURCE_VERSION" if commit else "")


def _github(env: Mapping[str, str]) -> Surroundings | None:
    if env.get("GITHUB_ACTIONS") != "true" and not env.get("GITHUB_REF_NAME"):
        return None
    commit = _commit(env.get("GITHUB_SHA", ""))
    name = env.get("GITHUB_REF_NAME", "")
    if env.get("GITHUB_REF_TYPE") == "tag":
        return Surroundings(tag=name, commit=commit, source="GITHUB_REF_NAME")
    if env.get("GITHUB_HEAD_REF"):  # a pull request, whose GITHUB_REF_NAME is `12/merge`
        return Surroundings(branch=env["GITHUB_HEAD_REF"], commit=commit, source="GITHUB_HEAD_REF")
    return Surroundings(branch=name, commit=commit, source="GITHUB_REF_NAME" if name else "")


def _gitlab(env: Mapping[str, str]) -> Surroundings | None:
    if not env.get("CI_COMMIT_REF_NAME"):
        return None
    commit = _commit(env.get("CI_COMMIT_SHA", ""))
    if env.get("CI_COMMIT_TAG"):
        return Surroundings(tag=env["CI_COMMIT_TAG"], commit=commit, source="CI_COMMIT_TAG")
    merge = env.get("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME")
    if merge:
        return Surroundings(branch=merge, commit=commit, source="CI_MERGE_REQUEST_SOURCE_BRANCH_NAME")
    return Surroundings(branch=env["CI_COMMIT_REF_NAME"], commit=commit, source="CI_COMMIT_REF_NAME")


def _commit(text: str) -> str:
    return text if _COMMIT.fullmatch(text) else ""
