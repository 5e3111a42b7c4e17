"""Checking out a commit of a repository, without a word of a password where others could read it.

Nothing of the repository runs: no hooks, no helpers named in it, no transport that is a command. What the user has
set up (credential helpers, ssh, filters such as git-lfs) is used. Source: git-config(1), gitcredentials(7), git(1).
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit

from seatrial.errors import SeatrialError, UsageError
from seatrial.processes import Completed, find, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_SHORT = re.compile(r"[0-9a-f]{7,63}")
_BAD_VERSION = re.compile(r"^[-/]|[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|[./]$")
_PULL = re.compile(r"pr/(\d+)")
# As GitHub, GitLab and Bitbucket call the head of a pull request.
_PULLS = ("refs/pull/{}/head", "refs/merge-requests/{}/head", "refs/pull-requests/{}/from")
_SETTINGS = (
    ("core.hooksPath", os.devnull),
    ("core.fsmonitor", "false"),
    ("protocol.ext.allow", "never"),
    ("advice.detachedHead", "false"),
    ("gc.auto", "0"),
    ("init.defaultBranch", "main"),
)
# What git says, and what go-git calls it.
_WORDS = (
    (re.compile(r"could not read (Username|Password)|Authentication failed|Permission denied \(|"
                r"terminal prompts disabled|HTTP Basic: Access denied|returned error: 401"), "authentication required"),
    (re.compile(r"returned error: 403"), "authorization failed"),
    (re.compile(r"not found|does not exist|does not appear to be a git repository|returned error: 404",
                re.IGNORECASE), "repository not found"),
)  # fmt: skip
# The whole of git's question counts, so that no submodule's host is told what is meant for another.
_ASKPASS = """#!/bin/sh
case "$1" in
"Username for 'http://$SEATRIAL_GIT_HOST': " | "Username for 'https://$SEATRIAL_GIT_HOST': ")
    printf '%s\\n' "$SEATRIAL_GIT_USER" ;;
"Password for '"*"@$SEATRIAL_GIT_HOST': ")
    printf '%s\\n' "$SEATRIAL_GIT_PASSWORD" ;;
*) exit 1 ;;
esac
"""
_TOKEN_ONLY = "x-oauth-basic"  # noqa: S105 - what goes as the password of a login that is a token alone


class Unfetched(SeatrialError):  # noqa: N818 - what came of it
    """A repository or version that is not to be had; `message` says it in the words of go-git."""

    @property
    def message(self) -> str:
        return self.what


class Depth(NamedTuple):
    """How much is fetched: `commits` (0: all), `submodules` or not, and the seconds that it may take."""

    commits: int = 0
    submodules: bool = False
    seconds: float = 3600


class _Address(NamedTuple):
    """`url` has no password in it; `host` is the one that may be told it."""

    url: str
    host: str = ""
    user: str = ""
    password: str = ""
    local: bool = False


class _Chosen(NamedTuple):
    """What a version means: a ref of the repository, and its commit."""

    ref: str
    commit: str


def checkout(where: str, into: Path, version: str = "", options: Depth | None = None) -> tuple[str, str]:
    """Fetch the repository and check the version out into the empty folder; returns the commit and the URL.

    HEAD is detached, as in CodeBuild. With a depth only what leads to that commit is fetched.

    Raises:
        Unfetched: there is no such repository or version, or it may not be read.
        MissingToolError: git is not installed.
        UsageError: the version cannot be the name of one.
    """
    if version and _BAD_VERSION.search(version):
        raise UsageError(
            f"{version[:100]!r} is no version of a repository",
            fix="name a branch, a tag, a commit or pr/NUMBER",
        )
    options = options or Depth()
    address = _address(where)
    with tempfile.TemporaryDirectory(prefix="seatrial-git-") as private:
        git = _Git(into, address, options, Path(private))
        git.need("init", "--quiet", ".")
        git.need("remote", "add", "--", "origin", address.url)
        chosen = _choose(git.refs(), version)
        commit = git.fetch(chosen, version, options.commits)
        git.need("checkout", "--quiet", "--detach", commit)
        if options.submodules:
            git.submodules(options.commits)
    return commit, address.url


def _address(where: str) -> _Address:
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", where):
        path = Path(where)
        if path.exists():
            return _Address(str(path.resolve()), local=True)
        return _Address(where)  # user@host:path
    try:
        parts = urlsplit(where)
        port = f":{parts.port}" if parts.port else ""
    except ValueError as error:
        raise UsageError("this is no URL of a repository", why=str(error)) from error
    if parts.scheme not in ("https", "http", "ssh", "file", "git"):
        raise UsageError(
            f"a repository is not read by {parts.scheme}", fix="use https, ssh, or a path on this machine"
        )
    if parts.password is None and not (parts.username and parts.scheme in ("https", "http")):
        return _Address(where, local=parts.scheme == "file")
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    # A token alone, as in https://TOKEN@host/, is asked for as a name with any password.
    return _Address(
        urlunsplit(parts._replace(netloc=f"{host}{port}")),
        host=f"{host}{port}",
        user=unquote(parts.username or ""),
        password=unquote(parts.password or "") or _TOKEN_ONLY,
    )


def _choose(refs: Mapping[str, str], version: str) -> _Chosen | None:
    """The ref that a version names; None when it can only be a commit that no ref has at its tip."""
    if not version:
        return _Chosen("HEAD", refs["HEAD"]) if "HEAD" in refs else None
    pull = _PULL.fullmatch(version)
    names = [form.format(pull[1]) for form in _PULLS] if pull else []
    for name in [*names, f"refs/heads/{version}", f"refs/tags/{version}", version]:
        if name in refs:
            return _Chosen(name, refs.get(f"{name}^{{}}", refs[name]))
    for name, commit in refs.items():
        if commit == version and not name.endswith("^{}"):
            return _Chosen(name, commit)
    return None


class _Git:
    def __init__(self, folder: Path, address: _Address, options: Depth, private: Path) -> None:
        self._folder, self._address, self._options = folder, address, options
        self._program = find("git")
        self._env = {name: value for name, value in os.environ.items() if not _about_another(name)}
        settings = [*_SETTINGS]
        if address.local:
            settings.append(("protocol.file.allow", "always"))  # for submodules that lie beside it
        if address.host:
            # A login from a URL is for this once: no helper of the user's is to keep it.
            settings += [("credential.helper", ""), ("credential.useHttpPath", "false")]
        self._env |= {
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",
            "GIT_SSH_COMMAND": os.environ.get("GIT_SSH_COMMAND", "ssh -o BatchMode=yes"),
            "LC_ALL": "C",
        }
        first = os.environ.get("GIT_CONFIG_COUNT", "0")
        first = first if first.isdecimal() else "0"
        self._env["GIT_CONFIG_COUNT"] = str(int(first) + len(settings))
        for number, (name, value) in enumerate(settings, int(first)):
            self._env |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
        if address.host:
            script = private / "askpass"
            script.write_text(_ASKPASS)
            script.chmod(0o700)
            self._env |= {
                "GIT_ASKPASS": str(script),
                "SEATRIAL_GIT_HOST": address.host,
                "SEATRIAL_GIT_USER": address.user,
                "SEATRIAL_GIT_PASSWORD": address.password,
            }

    def refs(self) -> dict[str, str]:
        """Names and commits of what the repository offers; a tag's own commit is under its name and `^{}`."""
        told = self.need("ls-remote", "--", "origin")
        return dict(_pairs(told.stdout))

    def fetch(self, chosen: _Chosen | None, version: str, depth: int) -> str:
        """Fetch what leads to the version and return its commit."""
        if chosen is None and not _SHORT.fullmatch(version):
            raise self._refused("reference not found", "the repository has no such branch, tag or commit")
        limit = [f"--depth={depth}"] if depth else []
        everything = ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"]
        if chosen is not None:
            wanted = [chosen.ref] if depth else [chosen.ref, *everything]
            self.need("fetch", "--quiet", "--no-tags", *limit, "--", "origin", *wanted)
            # The ref may have moved on since it was listed.
            got = self.need("rev-parse", "--verify", "--quiet", "FETCH_HEAD^{commit}").stdout.strip()
            if got == chosen.commit or not _COMMIT.fullmatch(version):
                return got
        # Servers may hand out any commit by its name, but need not.
        by_name = ("fetch", "--quiet", "--no-tags", *limit, "--", "origin", version)
        if _COMMIT.fullmatch(version) and depth and self.ask(*by_name).code == 0:
            return version
        self.need("fetch", "--quiet", "--no-tags", "--", "origin", *everything)
        found = self.ask("rev-parse", "--verify", "--quiet", f"{version}^{{commit}}")
        if found.code != 0:
            raise self._refused("object not found", "no branch or tag of the repository leads to that commit")
        return found.stdout.strip()

    def submodules(self, depth: int) -> None:
        limit = [f"--depth={depth}"] if depth else []
        self.need("submodule", "--quiet", "update", "--init", "--recursive", *limit)

    def need(self, *arguments: str) -> Completed:
        done = self.ask(*arguments)
        if done.code != 0:
            text = (done.stderr.strip() or done.stdout.strip())[-600:]
            words = next((words for pattern, words in _WORDS if pattern.search(text)), "")
            raise self._refused(words or f"git {arguments[0]} failed", text)
        return done

    def ask(self, *arguments: str) -> Completed:
        try:
            return run(
                [self._program, "--no-pager", *arguments],
                cwd=self._folder, env=self._env, timeout=self._options.seconds,
            )  # fmt: skip
        except SeatrialError as error:
            error.where = error.where or self._address.url
            raise

    def _refused(self, message: str, why: str) -> Unfetched:
        token = self._address.password == _TOKEN_ONLY
        secret = self._address.user if token else self._address.password
        why = why.replace(secret, "***") if secret else why
        fixes = {
            "authentication required": "log in to the repository's host (a credential helper, a key for ssh, or a "
            "token in the URL)",
            "repository not found": "check the URL, and whether you may read it",
            "reference not found": f"`git ls-remote {self._address.url}` lists what there is",
        }
        fix = fixes.get(message, "try the same with git by hand")
        return Unfetched(message, where=self._address.url, why=why or None, fix=fix)


def _about_another(name: str) -> bool:
    """A hook that calls us has set GIT_DIR and more, which are about another repository."""
    return name.startswith("GIT_") and not name.startswith(
        ("GIT_SSL_", "GIT_HTTP_", "GIT_PROXY", "GIT_CONFIG_")
    )


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        commit, tab, name = line.partition("\t")
        if tab:
            yield name, commit
