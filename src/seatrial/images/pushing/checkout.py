"""What git knows of a folder: commit, branch, versions and whether files differ. Read only, and nothing of it is run.

A repository's own settings may name programs (file system monitors, filters, hooks, signers): none of them is started,
whoever owns the folder. Source: git-config(1), git-status(1), gitattributes(5).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from seatrial.errors import SeatrialError
from seatrial.images.pushing.semver import Commit, Version, read
from seatrial.processes import Completed, find, run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MOST_COMMITS = 20_000
# Each of these could start a program, write, or ask the network or a person.
_SAFE = {
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.pager": "cat",
    "core.sshCommand": "false",
    "core.alternateRefsCommand": "",
    "core.untrackedCache": "false",
    "diff.external": "",
    "diff.ignoreSubmodules": "dirty",
    "log.showSignature": "false",
    "log.mailmap": "false",
    "protocol.allow": "never",
    "status.submoduleSummary": "false",
    "submodule.recurse": "false",
    "safe.directory": "*",  # somebody else's checkout is common in CI; what could be abused is switched off here
}


class Checkout(NamedTuple):
    """A working tree at a commit (40 hexadecimal digits). `branch` is empty when HEAD is detached.

    `changed` are files that differ from the commit or are unknown to it, `here` the versions tagged on it, `last` the
    highest release among the commits it contains with the commits `since` then, `released` every release there is,
    `shallow` whether the history is cut off, `trunk` the branch that the remote calls its own, when that is known.
    """

    root: Path
    commit: str
    branch: str
    trunk: str
    changed: tuple[str, ...]
    here: tuple[Version, ...]
    last: Version | None
    since: tuple[Commit, ...]
    released: tuple[Version, ...]
    shallow: bool


def read_checkout(
    folder: Path, *, without: Sequence[Path] = (), history: bool = True, env: Mapping[str, str] | None = None
) -> Checkout | None:
    """Ask git about the working tree that `folder` is in; None when it is in none, or in one without a commit.

    Files below `without` (such as the image that was just written) are not looked at. Without `history` only the
    commit itself is read.

    Raises:
        MissingToolError: git is not installed.
        SeatrialError: git cannot read the repository.
    """
    if not _is_inside(folder):
        return None
    git = _Git(folder, os.environ if env is None else env)
    root = Path(git.line("rev-parse", "--show-toplevel"))
    git.neutralise(root)
    head = git.ask("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    if head.code != 0:
        return None
    tags = _versions(git.lines("tag", "--list")) if history else {}
    merged = _versions(git.lines("tag", "--merged", "HEAD")) if history else {}
    here = _versions(git.lines("tag", "--points-at", "HEAD"))
    releases = {version: name for version, name in merged.items() if not version.pre}
    last = max(releases, key=lambda version: version.order, default=None)
    return Checkout(
        root=root,
        commit=head.stdout.strip(),
        branch=git.ask("symbolic-ref", "--quiet", "--short", "HEAD").stdout.strip(),
        trunk=git.ask("symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD")
        .stdout.strip()
        .removeprefix("origin/"),
        changed=_changed(git, root, without),
        here=tuple(sorted(here, key=lambda version: version.order)),
        last=last,
        since=_commits(git, f"refs/tags/{releases[last]}..HEAD" if last else "HEAD") if history else (),
        released=tuple(version for version in tags if not version.pre),
        shallow=git.line("rev-parse", "--is-shallow-repository") == "true",
    )


def _is_inside(folder: Path) -> bool:
    """Whether git has anything to say here; asked without git, which need not be installed otherwise."""
    here = folder.resolve()
    return any((place / ".git").exists() for place in (here, *here.parents))


class _Git:
    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self.folder = folder
        self.program = find("git")
        # A hook that calls us has set GIT_DIR and GIT_INDEX_FILE, which are about something else.
        self.env = {name: value for name, value in env.items() if not name.startswith("GIT_")} | {
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_PAGER": "cat",
            "LC_ALL": "C",
        }
        self.settings = dict(_SAFE)

    def neutralise(self, root: Path) -> None:
        """Filters of the repository's own settings would be run on changed files; the user's (such as git-lfs) may be."""
        self.folder = root
        told = self.ask(
            "config", "--show-scope", "--name-only", "--includes", "-z", "--get-regexp", r"^filter\."
        )
        fields = told.stdout.split("\0")
        for scope, name in zip(fields[::2], fields[1::2], strict=False):
            if scope in ("local", "worktree"):
                self.settings[name] = "false" if name.endswith(".required") else ""

    def ask(self, *arguments: str) -> Completed:
        settings = [part for name, value in self.settings.items() for part in ("-c", f"{name}={value}")]
        return run(
            [self.program, "--no-pager", *settings, *arguments], cwd=self.folder, env=self.env, timeout=120
        )

    def line(self, *arguments: str) -> str:
        return self._output(*arguments).strip("\n")

    def lines(self, *arguments: str) -> list[str]:
        return self._output(*arguments).splitlines()

    def fields(self, *arguments: str) -> list[str]:
        return self._output(*arguments).split("\0")

    def _output(self, *arguments: str) -> str:
        done = self.ask(*arguments)
        if done.code != 0:
            raise SeatrialError(
                f"git {arguments[0]} failed",
                where=str(self.folder),
                why=done.stderr.strip()[:500] or f"exit code {done.code}",
                fix="try `git status` there, or give the tags with --tag",
            )
        return done.stdout


def _versions(names: Sequence[str]) -> dict[Version, str]:
    """Version → the tag that names it; the name with `v` when there are both."""
    found: dict[Version, str] = {}
    for name in sorted(names):
        version = read(name)
        if version is not None:
            found[version] = name
    return found


def _changed(git: _Git, root: Path, without: Sequence[Path]) -> tuple[str, ...]:
    outside = []
    for path in without:
        try:
            inside = path.resolve().relative_to(root.resolve()).as_posix()
        except ValueError:
            continue
        if inside != ".":
            outside.append(f":(top,exclude,literal){inside}")
    told = git.fields(
        "status", "--porcelain=v1", "-z", "--untracked-files=normal", "--ignore-submodules=dirty",
        "--no-renames", "--", ":/", *outside,
    )  # fmt: skip
    return tuple(entry[3:] for entry in told if entry)


def _commits(git: _Git, which: str) -> tuple[Commit, ...]:
    told = git.fields(
        "log", "-z", "--no-color", f"--max-count={_MOST_COMMITS}", "--format=%H%n%B", which, "--"
    )
    found = []
    for entry in told:
        name, newline, message = entry.partition("\n")
        if newline:
            found.append(Commit(name, message))
    return tuple(found)
