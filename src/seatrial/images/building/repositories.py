"""Exactly one commit of a repository, fetched with this machine's git; nothing of the repository is run by it.

Hooks, file monitors, smudge filters and prompts are off. Credentials come from git's own helpers and from ssh's
agent and keys. A password in an address travels in the environment, never in an argument list.
Source: git-config(1), `GIT_CONFIG_COUNT`; git(1), `GIT_ALLOW_PROTOCOL`; gitprotocol-v2(5).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from seatrial.errors import MissingToolError
from seatrial.images.building.model import SourceError
from seatrial.images.uv_program import clean, without_credentials
from seatrial.processes import Completed, run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
# A name of git-check-ref-format(1), or part of a hash; never an option, a range or a pair of names.
_REVISION = re.compile(r"[A-Za-z0-9_][\w./+@#-]*")
_ADDRESS = re.compile(r"(https?|ssh|git|file)://[^\s]+|/[^\0]*|([\w.-]+@)?[\w.-]+:(?!:)[^\s]+")
_TIME_LIMIT = 3600
_LFS = b"version https://git-lfs.github.com/spec/"
_SAFE = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.untrackedCache": "false",
    "core.askPass": "",
    "core.autocrlf": "false",
    "core.symlinks": "true",
    "credential.interactive": "false",
    "fetch.recurseSubmodules": "false",
    "filter.lfs.smudge": "",
    "filter.lfs.process": "",
    "filter.lfs.required": "false",
    "gc.auto": "0",
    "log.showSignature": "false",
    "maintenance.auto": "false",
    "protocol.ext.allow": "never",
    "advice.detachedHead": "false",
}


def check_out(
    url: str,
    revision: str,
    folder: Path,
    *,
    env: Mapping[str, str],
    note: Callable[[str], None],
    where: str = "",
) -> str:
    """Put the files of `revision` (a commit, tag or branch; empty: what the repository's HEAD is) into the new `folder`.

    Submodules are there as well. Files that Git LFS keeps elsewhere stay pointers, and `note` is told which. Returns
    the commit.

    Raises:
        SourceError: there is no such repository or revision, or it must not be read.
        MissingToolError: git is not installed.
    """
    check_address(url, where)
    if revision and not _REVISION.fullmatch(revision):
        raise SourceError(
            f"{revision!r} is not the name of a commit, tag or branch",
            where=where or without_credentials(url),
        )
    remote = _environment(env, url)
    folder.mkdir(mode=0o755)
    _must(["init", "--quiet", "--template=", "."], folder, remote, url, where)
    _must(["remote", "add", "origin", _without_password(url)], folder, remote, url, where)
    commit = _fetch(folder, url, revision, remote, where)
    _must(["checkout", "--quiet", "--detach", "--force", commit], folder, remote, url, where)
    if (folder / ".gitmodules").is_file():
        update = ["submodule", "--quiet", "update", "--init", "--recursive", "--force"]
        if ask([*update, "--depth", "1"], folder, remote).code != 0:  # some servers give whole histories only
            _must(update, folder, remote, url, where)
    for path in _pointers(folder):
        note(f"{path} is kept by Git LFS; the build gets the pointer, not the file")
    return commit


def deepen(folder: Path, url: str, *, env: Mapping[str, str], where: str = "") -> None:
    """Bring the history and the tags of a checkout that was fetched without, for tools that count commits.

    Raises:
        SourceError: the repository cannot be asked any more.
    """
    remote = _environment(env, url)
    tags = ["--quiet", "--no-write-fetch-head", "--tags", "--filter=blob:none", "origin"]
    whole = ["--unshallow"] if (folder / ".git" / "shallow").exists() else []
    done = ask(["fetch", *whole, *tags, "+refs/heads/*:refs/remotes/origin/*"], folder, remote)
    if done.code != 0:
        raise _failed(done, url, where)


def ask(arguments: list[str], folder: Path, env: Mapping[str, str]) -> Completed:
    """Run git in `folder`. `env` is what `quiet` returned.

    Raises:
        MissingToolError: git is not installed.
    """
    try:
        return run(["git", *arguments], cwd=folder, env=env, timeout=_TIME_LIMIT)
    except MissingToolError as error:
        raise MissingToolError(
            "git is not installed", why="a dependency comes from a repository",
            fix="install git, or name an archive of that commit instead",
        ) from error  # fmt: skip


def quiet(env: Mapping[str, str], extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """An environment in which git asks nobody, runs nothing of a repository and speaks English."""
    kept = {name: value for name, value in env.items() if not _is_repository_setting(name)}
    settings = {**_SAFE, **(extra or {})}
    for number, (key, value) in enumerate(settings.items()):
        kept[f"GIT_CONFIG_KEY_{number}"], kept[f"GIT_CONFIG_VALUE_{number}"] = key, value
    return {
        **kept, "GIT_CONFIG_COUNT": str(len(settings)), "GIT_TERMINAL_PROMPT": "0", "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_PAGER": "cat", "LC_ALL": "C", "SSH_ASKPASS_REQUIRE": "never",
    }  # fmt: skip


def check_address(url: str, where: str) -> None:
    """Refuse addresses that git would not only fetch from.

    Raises:
        SourceError: it is an option, a transport that runs a program, or nothing that git knows.
    """
    if url.startswith("-") or "::" in url.partition("/")[0] or not _ADDRESS.fullmatch(url):
        raise SourceError(
            f"{without_credentials(url)!r} is not the address of a repository", where=where or None,
            fix="use https://, ssh://, git@HOST:PATH or an absolute path",
        )  # fmt: skip


def _without_password(url: str) -> str:
    """The user of ssh is no secret, and needed."""
    parts = urlsplit(url)
    return without_credentials(url) if parts.scheme in ("http", "https") and parts.username else url


def _is_repository_setting(name: str) -> bool:
    """Variables that say which repository and settings git works with: those of a hook that we may run in."""
    return name.startswith("GIT_") and name not in (
        "GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_SSL_NO_VERIFY",
        "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_EXEC_PATH", "GIT_PROXY_COMMAND",
    )  # fmt: skip


def _environment(env: Mapping[str, str], url: str) -> dict[str, str]:
    local = url.startswith(("/", "file://"))
    if not (env.get("GIT_SSH_COMMAND") or env.get("GIT_SSH")):
        own = run(["git", "config", "--global", "--get", "core.sshCommand"], env=quiet(env)).stdout.strip()
        # Without a terminal ssh must not wait for somebody to type.
        env = {**env, "GIT_SSH_COMMAND": f"{own or 'ssh'} -oBatchMode=yes"}
    allowed = "file:" if local else ""
    # The address in the repository's settings has no password; git puts it in, also for submodules beside it.
    secret = {}
    if _without_password(url) != url:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        secret = {f"url.{parts.scheme}://{parts.netloc}/.insteadOf": f"{parts.scheme}://{host}/"}
    # A repository of this machine may have submodules of this machine; one from elsewhere may not look into it.
    return {
        **quiet(env, {**secret, **({"protocol.file.allow": "always"} if local else {})}),
        "GIT_ALLOW_PROTOCOL": f"{allowed}https:http:ssh:git",
    }


def _fetch(folder: Path, url: str, revision: str, env: Mapping[str, str], where: str) -> str:
    """The commit alone where the server gives it by name, else everything, as old servers and short hashes need."""
    options = ["--quiet", "--depth", "1", "--no-tags"]
    done = ask(["fetch", *options, "origin", revision or "HEAD"], folder, env)
    names = ["FETCH_HEAD"]
    if done.code != 0:
        if _unreachable(done):
            raise _failed(done, url, where)
        everything = (
            ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"] if revision else ["HEAD"]
        )
        whole = ask(["fetch", "--quiet", "origin", *everything], folder, env)
        if whole.code != 0:
            raise _failed(whole, url, where)
        names = [revision, f"refs/remotes/origin/{revision}"] if revision else names
    look = ["rev-parse", "--verify", "--quiet", "--end-of-options"]
    found = (ask([*look, f"{name}^{{commit}}"], folder, env).stdout.strip() for name in names)
    commit = next(filter(None, found), "")
    if not commit:
        raise SourceError(
            f"the repository has no revision {revision!r}", where=where or without_credentials(url),
            fix="name a commit, tag or branch that is in it",
        )  # fmt: skip
    if COMMIT.fullmatch(revision) and commit != revision:
        raise SourceError(
            f"the repository gave commit {commit} for {revision}", where=where or without_credentials(url)
        )
    return commit


def _must(arguments: list[str], folder: Path, env: Mapping[str, str], url: str, where: str) -> None:
    done = ask(arguments, folder, env)
    if done.code != 0:
        raise _failed(done, url, where)


def _unreachable(done: Completed) -> bool:
    return bool(
        re.search(
            r"Could not resolve host|unable to access|Authentication failed|could not read (Username|Password)"
            r"|Permission denied|Connection (refused|timed out|reset)|does not appear to be a git repository|not found",
            done.stderr,
        )
    )


def _failed(done: Completed, url: str, where: str) -> SourceError:
    lines = [line.strip() for line in clean(done.stderr).splitlines() if line.strip()]
    denied = re.search(
        r"Authentication|could not read|Permission denied|terminal prompts disabled", done.stderr
    )
    return SourceError(
        f"the repository {without_credentials(url)} cannot be fetched", where=where or None,
        why="; ".join(lines[-3:]) or f"git ended with exit code {done.code}",
        fix="let git know the credentials (`git credential approve`, an ssh key or agent), then try "
        f"`git ls-remote {without_credentials(url)}`"
        if denied
        else "check the address, the revision and the network",
    )  # fmt: skip


def _pointers(folder: Path) -> list[str]:
    """Files that Git LFS keeps elsewhere."""
    from seatrial.images.building.folders import items

    attributes = folder / ".gitattributes"
    if not attributes.is_file() or b"filter=lfs" not in attributes.read_bytes():
        return []
    found = []
    for item in items(folder):
        if not item.link and 0 < item.status.st_size < 1024 and not (folder / item.path).is_dir():  # noqa: PLR2004 - bytes
            with (folder / item.path).open("rb") as stream:
                if stream.read(len(_LFS)) == _LFS:
                    found.append(item.path)
    return found
