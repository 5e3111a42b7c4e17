"""Which tags an image gets, in real repositories of git."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from seatrial.errors import UsageError
from seatrial.images.pushing.tagging import Wish, branch_tag
from seatrial.images.pushing.tags import choose_tags
from support.registries import need

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DIGEST = "sha256:" + "ab" * 32


class Repository:
    """A repository that scripts of one word after the other fill: `fix: x`, `@main`, `=v1.0.0`, `+branch`, `<branch`."""

    def __init__(self, root: Path) -> None:
        need("git")
        self.root = root
        self.root.mkdir()
        self.count = 0
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments: str) -> str:
        env = {"PATH": os.environ["PATH"], "HOME": str(self.root), "GIT_CONFIG_GLOBAL": "/dev/null"}
        for who in ("AUTHOR", "COMMITTER"):
            env |= {f"GIT_{who}_NAME": "ann", f"GIT_{who}_EMAIL": "ann@example.org"}
        done = subprocess.run(
            ["git", *arguments], cwd=self.root, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def play(self, *steps: str) -> None:
        for step in steps:
            kind, rest = step[0], step[1:]
            if kind == "=":
                self.git("tag", rest)
            elif kind == "+":
                self.git("checkout", "-q", "-b", rest)
            elif kind == "@":
                self.git("checkout", "-q", rest)
            elif kind == "<":
                self.git("merge", "-q", "--no-ff", "-m", f"Merge branch '{rest}'", rest)
            else:
                self.count += 1
                (self.root / f"file{self.count}").write_text(step)
                self.git("add", ".")
                self.git("commit", "-q", "-m", step)

    @property
    def sha(self) -> str:
        return self.git("rev-parse", "HEAD")[:12]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "work")


def tags(repository: Repository, *strategies: Any, wish: Wish = Wish(), **env: str) -> tuple[str, ...]:  # noqa: B008
    return choose_tags(
        strategies, repository.root, DIGEST, wish, env={"PATH": os.environ["PATH"], **env}
    ).names


VERSIONS: list[tuple[str, list[str], str]] = [
    ("none yet", ["fix: one"], "0.1.0"),
    ("a patch", ["one", "=v1.2.3", "fix: two", "docs: three"], "1.2.4"),
    ("a feature", ["one", "=v1.2.3", "feat(api): two", "fix: three"], "1.3.0"),
    ("a break by mark", ["one", "=v1.2.3", "feat!: two", "fix: three"], "2.0.0"),
    ("a break by mark and scope", ["one", "=v1.2.3", "refactor(core)!: two"], "2.0.0"),
    ("a break by footer", ["one", "=v1.2.3", "fix: two\n\nwhy\n\nBREAKING CHANGE: all"], "2.0.0"),
    ("a break by footer with a dash", ["one", "=v1.2.3", "fix: two\n\nBREAKING-CHANGE: all"], "2.0.0"),
    ("no break: the words in a sentence", ["one", "=v1.2.3", "fix: two\n\nno BREAKING CHANGE: here"], "1.2.4"),
    ("no feature: another word", ["one", "=v1.2.3", "feature: two", "feat two"], "1.2.4"),
    ("before 1.0 a break is minor", ["one", "=v0.4.1", "feat!: two"], "0.5.0"),
    ("before 1.0 a feature is minor", ["one", "=v0.4.1", "feat: two"], "0.5.0"),
    ("before 1.0 a fix is a patch", ["one", "=v0.4.1", "fix: two"], "0.4.2"),
    ("the tag of the commit", ["one", "=v1.2.3", "feat: two", "=v1.2.9"], "1.2.9"),
    ("the tag without v", ["one", "=1.2.3", "fix: two"], "1.2.4"),
    ("the highest tag of the commit", ["one", "=v1.2.3", "=v1.10.0", "=v1.9.0"], "1.10.0"),
    ("a release above its candidate", ["one", "=v2.0.0-rc.1", "=v2.0.0"], "2.0.0"),
    ("a candidate as it is", ["one", "=v1.0.0", "feat: two", "=v1.1.0-rc.1"], "1.1.0-rc.1"),
    ("candidates are no releases", ["one", "=v1.0.0", "feat: two", "=v1.1.0-rc.1", "fix: three"], "1.1.0"),
    ("other tags are none", ["one", "=v1.0.0", "fix: two", "=nightly", "=v2", "=v1.02.3"], "1.0.1"),
    (
        "a merged branch counts, with its tag",
        ["one", "=v1.0.0", "+side", "feat: s", "=v1.5.0", "@main", "fix: m", "<side"],
        "1.5.1",
    ),
    (
        "a merged branch counts, with its commits",
        ["one", "+side", "feat: s", "@main", "fix: m", "=v1.0.0", "<side"],
        "1.1.0",
    ),
    (
        "a branch that is not merged does not",
        ["one", "=v1.0.0", "+side", "feat: s", "=v9.0.0", "@main", "fix: m"],
        "1.0.1",
    ),
    ("a maintained line", ["one", "=v1.0.0", "+1.x", "fix: two"], "1.0.1"),
    ("a release branch", ["one", "=v1.0.0", "+release/1.1", "feat: two"], "1.1.0"),
    ("another branch", ["one", "=v1.0.0", "+feature/größe_x", "feat: two", "fix: three"], "1.1.0-feature-gr-e-x.2"),
    ("a branch that is a number", ["one", "=v1.0.0", "+007", "fix: two"], "1.0.1-b007.1"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("steps", "expected"), [row[1:] for row in VERSIONS], ids=[row[0] for row in VERSIONS]
)
def test_the_next_version(steps: list[str], expected: str, repository: Repository) -> None:
    repository.play(*steps)
    assert tags(repository, "semantic") == (expected,)


@pytest.mark.parametrize(
    ("last", "bump", "expected"),
    [
        ("=v1.2.3", "major", "2.0.0"),
        ("=v1.2.3", "minor", "1.3.0"),
        ("=v1.2.3", "patch", "1.2.4"),
        ("=v0.2.3", "major", "1.0.0"),
        ("", "major", "1.0.0"),
        ("", "patch", "0.0.1"),
    ],
)
def test_a_step_that_is_asked_for(last: str, bump: Any, expected: str, repository: Repository) -> None:
    repository.play("one", *filter(None, [last]), "feat: two")
    assert tags(repository, "semantic", wish=Wish(bump=bump)) == (expected,)


def test_floating_tags_never_go_back(repository: Repository) -> None:
    floating = Wish(floating=True)
    repository.play("one", "=v1.2.3", "fix: two")
    assert tags(repository, "semantic", wish=floating) == ("1.2.4", "1.2", "1")
    repository.play("+1.2.x", "fix: old", "@main", "feat: m", "=v1.3.0", "@1.2.x")
    assert tags(repository, "semantic", wish=floating) == ("1.2.4", "1.2"), "1 is 1.3.0's"
    repository.play("=v1.2.4", "fix: again", "+gone", "fix: more", "=v1.2.9", "@1.2.x")
    assert tags(repository, "semantic", wish=floating) == ("1.2.5",)
    repository.play("+side", "fix: x")
    assert len(tags(repository, "semantic", wish=floating)) == 1, "a pre-release has none"


def test_changed_files_are_told_and_get_no_version(repository: Repository) -> None:
    repository.play("one", "=v1.0.0")
    (repository.root / "new").write_text("x")
    assert tags(repository, "git-sha") == (f"{repository.sha}-dirty",)
    with pytest.raises(UsageError, match="a version is not given to files that differ") as caught:
        tags(repository, "semantic")
    assert "new" in (caught.value.why or "")
    assert tags(repository, "semantic", wish=Wish(dirty="a hot fix")) == ("1.0.0",)
    told = choose_tags(["auto"], repository.root, DIGEST, env={"PATH": os.environ["PATH"]})
    assert told.names == (f"{repository.sha}-dirty",), "neither the version nor latest"
    assert any("new" in note for note in told.notes)
    (repository.root / ".gitignore").write_text("new\n.gitignore\n")
    assert tags(repository, "git-sha") == (repository.sha,)
    (repository.root / "file1").write_text("changed")
    assert tags(repository, "git-sha") == (f"{repository.sha}-dirty",)


def test_the_image_that_was_just_written_is_no_change(repository: Repository) -> None:
    repository.play("one")
    (repository.root / "sub").mkdir()
    (repository.root / "sub/image").mkdir()
    (repository.root / "sub/image/index.json").write_text("{}")
    told = choose_tags(["git-sha"], repository.root / "sub", DIGEST, without=[repository.root / "sub/image"])
    assert told.names == (repository.sha,)


AUTO: list[tuple[str, list[str], dict[str, str], Callable[[str], tuple[str, ...]]]] = [
    ("main", ["one"], {}, lambda sha: (sha, "latest")),
    ("a release", ["one", "=v1.0.0"], {}, lambda sha: ("1.0.0",)),
    ("a branch", ["one", "=v1.0.0", "+feat/x", "two"], {}, lambda sha: ("feat-x", sha)),
    ("detached", ["one", "@HEAD~0"], {}, lambda sha: (sha,)),
    ("detached on GitHub", ["one", "@HEAD~0"], {"GITHUB_ACTIONS": "true", "GITHUB_REF_NAME": "main"}, lambda sha: (sha, "latest")),
    ("a pull request on GitHub", ["one", "@HEAD~0"], {"GITHUB_REF_NAME": "7/merge", "GITHUB_HEAD_REF": "fix/y"}, lambda sha: ("fix-y", sha)),
    ("detached on GitLab", ["one", "@HEAD~0"], {"CI_COMMIT_REF_NAME": "dev"}, lambda sha: ("dev", sha)),
    ("CodeBuild by a webhook", ["one", "@HEAD~0"], {"CODEBUILD_BUILD_ID": "p:1", "CODEBUILD_WEBHOOK_HEAD_REF": "refs/heads/a/b"}, lambda sha: ("a-b", sha)),
    ("CodeBuild by a branch", ["one", "@HEAD~0"], {"CODEBUILD_BUILD_ID": "p:1", "CODEBUILD_SOURCE_VERSION": "dev"}, lambda sha: ("dev", sha)),
    ("CodeBuild by a pull request", ["one", "@HEAD~0"], {"CODEBUILD_BUILD_ID": "p:1", "CODEBUILD_SOURCE_VERSION": "pr/9"}, lambda sha: ("pr-9", sha)),
    ("CodeBuild by a commit", ["one", "@HEAD~0"], {"CODEBUILD_BUILD_ID": "p:1", "CODEBUILD_SOURCE_VERSION": "0" * 40}, lambda sha: (sha,)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("steps", "env", "expected"), [row[1:] for row in AUTO], ids=[row[0] for row in AUTO]
)
def test_auto(
    steps: list[str], env: dict[str, str], expected: Callable[[str], tuple[str, ...]], repository: Repository
) -> None:
    repository.play(*steps)
    told = choose_tags(["auto"], repository.root, DIGEST, env={"PATH": os.environ["PATH"], **env})
    assert told.names == expected(repository.sha)
    assert all(chosen.why for chosen in told.tags)


def test_the_main_branch_may_have_another_name(repository: Repository, tmp_path: Path) -> None:
    repository.play("one", "+trunk", "two")
    subprocess.run(["git", "clone", "-q", str(repository.root), str(tmp_path / "clone")], check=True)
    told = choose_tags(["auto"], tmp_path / "clone", DIGEST, env={"PATH": os.environ["PATH"]})
    assert told.names == (repository.sha, "latest")


def test_without_git_the_digest_is_the_tag(tmp_path: Path) -> None:
    assert choose_tags(["auto"], tmp_path, DIGEST, env={}).names == ("ab" * 6,)
    assert choose_tags(["latest"], tmp_path, DIGEST, env={}).names == ("latest",)
    for strategy in ("semantic", "git-sha", "branch"):
        with pytest.raises(UsageError, match=f"the strategy {strategy} needs git"):
            choose_tags([strategy], tmp_path, DIGEST, env={})
    # CodeBuild fetches sources without their history, and says the commit.
    env = {"CODEBUILD_BUILD_ID": "p:1", "CODEBUILD_RESOLVED_SOURCE_VERSION": "c" * 40}
    assert choose_tags(["auto"], tmp_path, DIGEST, env=env).names == ("c" * 12,)


def test_a_shallow_clone_is_told(repository: Repository, tmp_path: Path) -> None:
    repository.play("zero", "one", "=v1.0.0", "feat: two", "three")
    source, env = f"file://{repository.root}", {"PATH": os.environ["PATH"]}
    for depth in ("1", "3"):
        subprocess.run(["git", "clone", "-q", "--depth", depth, source, str(tmp_path / depth)], check=True)
    with pytest.raises(UsageError, match="the last version is not known") as caught:
        choose_tags(["semantic"], tmp_path / "1", DIGEST, env=env)
    assert "git fetch --unshallow --tags" in (caught.value.fix or "")
    told = choose_tags(["semantic"], tmp_path / "3", DIGEST, env=env)
    assert told.names == ("1.1.0",)
    assert any("commits may be missing" in note for note in told.notes)
    # A clone of a tag: the CI system says its name, git has no tags.
    ci = {
        **env,
        "CI_COMMIT_REF_NAME": "v3.0.0",
        "CI_COMMIT_TAG": "v3.0.0",
        "CI_COMMIT_SHA": repository.git("rev-parse", "HEAD"),
    }
    assert choose_tags(["auto"], tmp_path / "1", DIGEST, env=ci).names == ("3.0.0",)


@pytest.mark.parametrize(
    ("branch", "tag"),
    [
        ("main", "main"),
        ("feature/a b", "feature-a-b"),
        ("-x", "x"),
        ("..", "branch"),
        ("größe", "gr-e"),
        ("a" * 200, "a" * 128),
        ("dependabot/pip/torch-2.7.1", "dependabot-pip-torch-2.7.1"),
        ("UPPER_case.1", "UPPER_case.1"),
    ],
)
def test_a_branch_as_a_tag(branch: str, tag: str) -> None:
    assert branch_tag(branch) == tag


def test_nothing_of_a_repository_is_run(repository: Repository, tmp_path: Path) -> None:
    """Settings, filters and hooks of a checkout that somebody else made."""
    repository.play("one", "=v1.0.0", "fix: two")
    marker = tmp_path / "ran"
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\ntouch {marker}\ncat\n")
    script.chmod(0o755)
    for name in (
        "core.fsmonitor",
        "filter.x.clean",
        "filter.x.process",
        "diff.external",
        "core.pager",
        "gpg.program",
    ):
        repository.git("config", name, str(script))
    repository.git("config", "filter.x.required", "true")
    repository.git("config", "log.showSignature", "true")
    (repository.root / ".git/info/attributes").write_text("* filter=x\n")
    for hook in ("post-index-change", "fsmonitor-watchman", "pre-auto-gc"):
        (repository.root / f".git/hooks/{hook}").write_text(script.read_text())
        (repository.root / f".git/hooks/{hook}").chmod(0o755)
    for file in repository.root.glob("file*"):
        os.utime(file, (1, 1))  # so that git looks into it
    assert tags(repository, "semantic") == ("1.0.1",)
    assert not marker.exists()


def test_somebody_elses_checkout_and_a_hooks_environment_do_no_harm(repository: Repository) -> None:
    repository.play("one")
    sha = repository.sha
    if os.geteuid() == 0:
        for path in (repository.root, repository.root / ".git"):
            os.chown(path, 12345, 12345)
    told = tags(
        repository,
        "git-sha",
        GIT_DIR="/nonexistent",
        GIT_INDEX_FILE="/nonexistent/index",
        HOME="/nonexistent",
    )
    assert told == (sha,)
