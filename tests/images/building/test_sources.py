"""Folders and repositories: what becomes part of the build, what does not, and which version it says."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from seatrial.errors import SeatrialError
from seatrial.images.building import folders, repositories, versions
from seatrial.images.inputs.model import Unbuilt
from support.builds import building, content_of, of_folder, of_sdist, project, sdist, write

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
ME = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
}
LISTING = """
import json
found = sorted(os.path.relpath(os.path.join(d, n), ".") for d, _, names in os.walk(".") for n in names)
open("demo/listing.json", "w").write(json.dumps(found))
"""


def git(folder: Path, *arguments: str) -> str:
    identity = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in
                (("NAME", "Me"), ("EMAIL", "me@example.org"), ("DATE", "2024-02-03T04:05:06+02:00"))}  # fmt: skip
    allow = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "protocol.file.allow",
        "GIT_CONFIG_VALUE_0": "always",
    }
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env={**ME, **identity, **allow},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def repository(folder: Path, files: dict[str, str], *, tag: str = "") -> str:
    """A repository with one commit; returns it."""
    write(folder, files)
    git(folder, "init", "--quiet", "--initial-branch=main", ".")
    return commit(folder, tag=tag)


def commit(folder: Path, *, tag: str = "") -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", "work")
    if tag:
        git(folder, "tag", tag)
    return git(folder, "rev-parse", "HEAD")


def test_a_folder_is_what_a_fresh_checkout_would_be(image_base: Path, tmp_path: Path) -> None:
    folder = write(tmp_path / "p", {
        **project(LISTING), ".git/config": "", "demo/__pycache__/x.pyc": "", ".venv/pyvenv.cfg": "", "env2/pyvenv.cfg": "",
        "env2/lib/x.py": "", "demo.egg-info/PKG-INFO": "", "demo.egg-info/SOURCES.txt": "demo/old.py",
        "build/lib/demo/old.py": "", "dist/demo-0.9.tar.gz": "", ".tox/x": "", "notes.txt": "kept", "src/build/x.py": "kept",
    })  # fmt: skip
    with building(image_base) as build:
        listing = content_of(build(of_folder(folder)))["demo/listing.json"]
    assert listing == b'["backend.py", "demo/__init__.py", "notes.txt", "pyproject.toml", "src/build/x.py"]'
    assert (folder / "demo.egg-info/SOURCES.txt").exists()


def test_a_link_out_of_a_folder_leads_nowhere(image_base: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret")
    folder = write(tmp_path / "p", project('open("demo/got", "w").write(str(os.path.exists("secret")))'))
    (folder / "secret").symlink_to(tmp_path / "secret")
    with building(image_base) as build:
        assert content_of(build(of_folder(folder)))["demo/got"] == b"False"


def test_a_link_within_the_repository_is_what_it_points_to(tmp_path: Path) -> None:
    repository(tmp_path / "mono", {"README.md": "shared", "one/pyproject.toml": ""})
    (tmp_path / "mono/one/README.md").symlink_to("../README.md")
    folders.copy(tmp_path / "mono/one", tmp_path / "copy", tmp_path / "mono")
    assert (tmp_path / "copy/README.md").read_text() == "shared"
    assert not (tmp_path / "copy/README.md").is_symlink()


@pytest.mark.parametrize("by", ["commit", "tag", "branch", "short", "head"])
def test_exactly_the_revision_that_was_asked_for(image_base: Path, tmp_path: Path, by: str) -> None:
    where = tmp_path / "repo"
    first = repository(where, project(), tag="v1")
    (where / "demo/__init__.py").write_text("value = 2\n")
    second = commit(where)
    revision, expected = {
        "commit": (first, first), "tag": ("v1", first), "branch": ("main", second), "short": (first[:9], first), "head": ("", second),
    }[by]  # fmt: skip
    with building(image_base) as build:
        built = build(Unbuilt(kind="git", url=f"file://{where}", revision=revision))
    assert built.revision == expected
    assert content_of(built)["demo/__init__.py"] == (b"value = 1\n" if expected == first else b"value = 2\n")


def test_submodules_and_subfolders_come_along(image_base: Path, tmp_path: Path) -> None:
    repository(tmp_path / "lib", {"data.txt": "from the submodule"})
    where = tmp_path / "repo"
    repository(where, {f"python/{name}": content for name, content in project().items()})
    git(where, "submodule", "--quiet", "add", str(tmp_path / "lib"), "python/demo/lib")
    commit(where)
    with building(image_base) as build:
        built = build(Unbuilt(kind="git", url=str(where), subfolder="python"))
        assert content_of(built)["demo/lib/data.txt"] == b"from the submodule"
        with pytest.raises(SeatrialError, match="there is no folder"):
            build(Unbuilt(kind="git", url=str(where), subfolder="../repo"))


def test_nothing_of_a_repository_runs_here(tmp_path: Path) -> None:
    """Hooks, smudge filters and file monitors of a template, an attribute or the settings stay asleep."""
    where, mark = tmp_path / "repo", tmp_path / "ran"
    repository(where, {"a.txt": "x", ".gitattributes": "* filter=lfs\n"})
    evil = f"touch {mark}; cat"
    template = tmp_path / "template/hooks"
    template.mkdir(parents=True)
    for hook in ("post-checkout", "reference-transaction", "post-index-change"):
        (template / hook).write_text(f"#!/bin/sh\n{evil}\n")
        (template / hook).chmod(0o755)
    settings = tmp_path / "settings"
    settings.write_text(
        f'[init]\ntemplateDir = {template.parent}\n[filter "lfs"]\nsmudge = {evil}\nrequired = true\n'
        f"[core]\nfsmonitor = {evil}\nhooksPath = {template}\n"
    )
    env = {**ME, "GIT_CONFIG_GLOBAL": str(settings)}
    repositories.check_out(str(where), "", tmp_path / "out", env=env, note=lambda _line: None)
    assert (tmp_path / "out/a.txt").read_text() == "x"
    git(where, "config", "core.fsmonitor", evil)
    assert versions.history(where, env) is not None
    assert versions.ignored(where, env) == []
    assert not mark.exists()


@pytest.mark.parametrize(
    "url",
    ["ext::sh -c 'touch /tmp/x'", "--upload-pack=touch /tmp/x", "fd::17", "-oProxyCommand=x", "foo::bar"],
)
def test_an_address_that_runs_something_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(SeatrialError, match="is not the address of a repository"):
        repositories.check_out(url, "", tmp_path / "out", env=ME, note=lambda _line: None)


@pytest.mark.parametrize("revision", ["--upload-pack=x", "main:refs/heads/x", "a b", "$(x)", "^main"])
def test_a_revision_that_is_none_is_refused(tmp_path: Path, revision: str) -> None:
    with pytest.raises(SeatrialError, match="is not the name of a commit, tag or branch"):
        repositories.check_out("/nowhere", revision, tmp_path / "out", env=ME, note=lambda _line: None)


def test_what_is_not_there_is_said_without_the_password(tmp_path: Path) -> None:
    with pytest.raises(SeatrialError, match="cannot be fetched") as error:
        repositories.check_out(
            "https://me:s3cret@127.0.0.1:1/x.git", "", tmp_path / "a", env=ME, note=lambda _l: None
        )
    assert "s3cret" not in str(error.value)
    repository(tmp_path / "repo", {"x": "y"})
    with pytest.raises(SeatrialError, match="no revision 'v9'"):
        repositories.check_out(str(tmp_path / "repo"), "v9", tmp_path / "b", env=ME, note=lambda _l: None)


class _Guarded(SimpleHTTPRequestHandler):
    """A repository as plain files, for those who know the password."""

    def do_GET(self) -> None:
        if self.headers.get("Authorization") != "Basic bWU6czNjcmV0":  # me:s3cret
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


def test_a_password_opens_the_repository_and_its_submodules_and_is_kept_nowhere(
    image_base: Path, tmp_path: Path, cache: Path
) -> None:
    repository(tmp_path / "lib", {"data.txt": "from the submodule"})
    repository(tmp_path / "repo", project())
    git(tmp_path / "repo", "submodule", "--quiet", "add", "../lib", "demo/lib")
    commit(tmp_path / "repo")
    for name in ("lib", "repo"):
        git(tmp_path, "clone", "--quiet", "--bare", name, f"served/{name}")
        git(tmp_path / "served" / name, "update-server-info")
    with ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(_Guarded, directory=str(tmp_path / "served"))
    ) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        where = f"127.0.0.1:{server.server_address[1]}/repo"
        try:
            with building(image_base) as build:
                built = build(Unbuilt(kind="git", url=f"http://me:s3cret@{where}", revision="main"))
                with pytest.raises(SeatrialError, match="cannot be fetched") as error:
                    build(Unbuilt(kind="git", url=f"http://{where}", revision="main"))
        finally:
            server.shutdown()
    assert content_of(built)["demo/lib/data.txt"] == b"from the submodule"
    assert "let git know the credentials" in str(error.value)
    kept = [
        p for p in cache.rglob("*") if p.is_file() and "rootfs" not in p.parts and b"s3cret" in p.read_bytes()
    ]
    assert kept == []


def test_pointers_of_large_file_storage_are_named(tmp_path: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"
    repository(tmp_path / "repo", {"model.bin": pointer, ".gitattributes": "*.bin filter=lfs -text\n"})
    lines: list[str] = []
    repositories.check_out(str(tmp_path / "repo"), "", tmp_path / "out", env=ME, note=lines.append)
    assert lines == ["model.bin is kept by Git LFS; the build gets the pointer, not the file"]


VERSIONS = {
    "v1.2.3-0-gabcdef0": "1.2.3",
    "v1.2.3-4-gabcdef0": "1.2.4.dev4+gabcdef0",
    "1.2rc1-2-gabcdef0": "1.2rc2.dev2+gabcdef0",
    "demo-2.0-1-gabcdef0": "2.1.dev1+gabcdef0",
    "2024.1.0.post1-1-gabcdef0": "2024.1.1.dev1+gabcdef0",
    "nothing-0-gabcdef0": "",
    "": "",
}


@pytest.mark.parametrize("described", VERSIONS)
def test_the_version_is_the_one_that_version_tools_would_say(described: str, tmp_path: Path) -> None:
    from datetime import UTC, datetime

    known = versions.History(tmp_path, "abcdef0" * 5, datetime.fromtimestamp(0, UTC), described, "HEAD")
    assert versions.scm_version(known) == VERSIONS[described]


SCM = {
    "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n[tool.setuptools_scm]\n',
    "demo/_keywords.py": 'refs = "$Format:%D$"\nfull = "$Format:%H$"\nwhen = "$Format:%cI$"\n',
    ".gitattributes": "demo/_keywords.py export-subst\n",
    ".gitignore": "*.log\n",
}
TOLD = 'open("demo/told", "w").write(os.environ.get("SETUPTOOLS_SCM_PRETEND_VERSION", "") + "\\n" + open(".git_archival.txt").read())'


@pytest.mark.parametrize("kind", ["folder", "git"])
def test_version_tools_are_told_what_git_knows(image_base: Path, tmp_path: Path, kind: str) -> None:
    where = tmp_path / "repo"
    repository(where, {**project(TOLD), **SCM, "old.log": "x"}, tag="v1.1")
    (where / "more").write_text("x")
    last = commit(where)
    (where / "demo/secret.log").write_text("ignored by git")
    unbuilt = of_folder(where) if kind == "folder" else Unbuilt(kind="git", url=str(where), revision=last)
    with building(image_base) as build:
        files = content_of(build(unbuilt))
    told = files["demo/told"].decode().splitlines()
    assert told[0] == f"1.2.dev1+g{last[:7]}"
    assert told[1:4] == [
        f"node: {last}",
        "node-date: 2024-02-03T04:05:06+02:00",
        f"describe-name: v1.1-1-g{last[:7]}",
    ]
    assert f'full = "{last}"' in files["demo/_keywords.py"].decode()
    assert "demo/secret.log" not in files
    assert "$Format" in (where / "demo/_keywords.py").read_text()


def test_a_tag_makes_another_version_of_the_same_files(image_base: Path, tmp_path: Path) -> None:
    where = tmp_path / "repo"
    repository(where, {**project(TOLD), **SCM}, tag="v1.1")
    with building(image_base) as build:
        first = content_of(build(of_folder(where)))["demo/told"]
        git(where, "tag", "v3.0")
        git(where, "tag", "--delete", "v1.1")
        assert first.startswith(b"1.1\n")
        assert content_of(build(of_folder(where)))["demo/told"].startswith(b"3.0\n")


def test_a_source_archive_that_changed_is_refused(image_base: Path, tmp_path: Path) -> None:
    path = sdist(tmp_path, project())
    with building(image_base) as build, pytest.raises(SeatrialError, match="not the file that was locked"):
        build(of_sdist(path, sha256="0" * 64))


def test_what_is_no_project_is_said(image_base: Path, tmp_path: Path) -> None:
    cases = {
        "no Python project": {"readme.txt": ""},
        "cannot be read": {"pyproject.toml": "[["},
        "must have `requires`": {"pyproject.toml": "[build-system]\n"},
        "leaves the project": {"pyproject.toml": '[build-system]\nrequires=[]\nbackend-path=["../x"]\nbuild-backend="b"'},
        "there is no build backend": {"pyproject.toml": '[build-system]\nrequires=[]\nbuild-backend="nowhere"'},
        "does not lie in backend-path": {"pyproject.toml": '[build-system]\nrequires=[]\nbackend-path=["."]\nbuild-backend="json"'},
        "cannot build wheels": {"pyproject.toml": '[build-system]\nrequires=[]\nbuild-backend="json"'},
    }  # fmt: skip
    with building(image_base) as build:
        for number, (named, files) in enumerate(cases.items()):
            folder = write(tmp_path / str(number), files)
            with pytest.raises(SeatrialError) as error:
                build(of_folder(folder, where=f"requirements.txt:{number}"))
            assert named in str(error.value)
            assert error.value.where == f"requirements.txt:{number}"
