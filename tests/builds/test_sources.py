"""Sources of a build from where they really come: folders, zips, git repositories made on the spot, and S3."""

from __future__ import annotations

import base64
import os
import socket
import stat
import subprocess
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from seatrial.builds.sources import Options, Refused, Wanted, fetch, fetch_secondary
from seatrial.cloud import s3
from seatrial.errors import SeatrialError, UsageError
from seatrial.unpacking import ArchiveError
from support.buckets import s3_server
from support.buildspecs import tree
from support.faults import Fault, proxy
from support.registries import need

if TYPE_CHECKING:
    from collections.abc import Iterator

WHO = {
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@b",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@b",
}


class Repository(NamedTuple):
    """Two commits on main, the second tagged v1, a third on dev; pull request 7 is the first."""

    path: Path
    first: str
    second: str
    third: str


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [need("git"), *arguments],
        cwd=folder, env={**os.environ, **WHO}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.strip()


def commit(folder: Path, text: str) -> str:
    (folder / "buildspec.yml").write_text(text)
    git(folder, "add", ".")
    git(folder, "commit", "-qm", text)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    path = tmp_path_factory.mktemp("git") / "repo"
    path.mkdir()
    git(path, "init", "-qb", "main")
    first, second = commit(path, "one"), commit(path, "two")
    git(path, "tag", "-am", "first release", "v1")
    git(path, "checkout", "-qb", "dev")
    third = commit(path, "three")
    git(path, "update-ref", "refs/pull/7/head", first)
    git(path, "checkout", "-q", "main")
    return Repository(path, first, second, third)


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    with s3_server() as host:
        yield host


def modes(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): stat.filemode(path.lstat().st_mode) for path in folder.rglob("*")}


def test_folder_is_copied_as_it_is(tmp_path: Path) -> None:
    source = tree(tmp_path / "source", "buildspec.yml", "bin/tool", "deep/er/file")
    (source / "bin/tool").chmod(0o755)
    (source / "link").symlink_to("bin/tool")
    (source / "dangling").symlink_to("/nowhere//at/./all")
    (source / "empty").mkdir(mode=0o750)
    os.utime(source / "bin/tool", (1e9, 1e9))
    got = fetch(str(source), tmp_path / "into")
    assert got.commit == ""
    assert got.files == 3
    assert modes(tmp_path / "into") == modes(source)
    assert os.readlink(tmp_path / "into/dangling") == "/nowhere//at/./all"  # noqa: PTH115
    assert (tmp_path / "into/bin/tool").stat().st_mtime == 1e9


def test_folder_may_hold_where_it_is_copied_to(tmp_path: Path) -> None:
    tree(tmp_path, "buildspec.yml")
    fetch(str(tmp_path), tmp_path / "runs/1/src")
    assert sorted(path.name for path in (tmp_path / "runs/1/src").rglob("*")) == [
        "1",
        "buildspec.yml",
        "runs",
    ]


def test_sockets_are_refused(tmp_path: Path) -> None:
    tree(tmp_path / "s", "buildspec.yml")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "s/sock"))
        with pytest.raises(SeatrialError, match="files, folders and symbolic links only"):
            fetch(str(tmp_path / "s"), tmp_path / "into")


def test_work_tree_says_its_commit_and_keeps_what_is_not_committed(
    repository: Repository, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    git(tmp_path, "clone", "-q", str(repository.path), str(copy))
    (copy / "new").write_text("not committed")
    got = fetch(str(copy), tmp_path / "into")
    assert got.commit == repository.second
    assert (tmp_path / "into/new").exists()
    assert git(tmp_path / "into", "rev-parse", "HEAD") == repository.second
    # With a version it is that commit, not the files as they lie there.
    assert fetch(str(copy), tmp_path / "clean", version=repository.first).commit == repository.first
    assert not (tmp_path / "clean/new").exists()


@pytest.mark.parametrize("depth", [0, 1])
@pytest.mark.parametrize(
    ("version", "content"),
    [
        ("", "two"), ("main", "two"), ("dev", "three"), ("v1", "two"), ("refs/heads/dev", "three"),
        ("pr/7", "one"), ("FIRST", "one"), ("SHORT", "one"),
    ],
)  # fmt: skip
def test_versions_of_a_repository(
    repository: Repository, tmp_path: Path, version: str, content: str, depth: int
) -> None:
    version = {"FIRST": repository.first, "SHORT": repository.first[:9]}.get(version, version)
    url = f"file://{repository.path}"
    got = fetch(url, tmp_path / "into", version=version, options=Options(depth=depth))
    assert (tmp_path / "into/buildspec.yml").read_text() == content
    assert got.commit == git(tmp_path / "into", "rev-parse", "HEAD")
    assert got.url == url
    if depth and version != repository.first[:9]:
        assert git(tmp_path / "into", "rev-list", "--count", "HEAD") == "1"


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("nowhere", "reference not found for primary source and source version nowhere"),
        ("f" * 40, f"object not found for primary source and source version {'f' * 40}"),
        ("pr/8", "reference not found for primary source and source version pr/8"),
    ],
)
def test_versions_that_are_not_there(
    repository: Repository, tmp_path: Path, version: str, message: str
) -> None:
    with pytest.raises(Refused) as told:
        fetch(f"file://{repository.path}", tmp_path / "into", version=version)
    assert (told.value.code, told.value.message) == ("CLIENT_ERROR", message)


def test_no_such_repository(tmp_path: Path) -> None:
    with pytest.raises(Refused) as told:
        fetch(
            f"file://{tmp_path}/none.git",
            tmp_path / "into",
            version="main",
            options=Options(identifier="lib"),
        )
    assert told.value.message == "repository not found for secondary source lib and source version main"


@pytest.mark.parametrize("version", ["--upload-pack=touch x", "-q", "a b", "a..b", "x\n", "a:b", "@{-1}"])
def test_versions_that_are_options_or_worse(repository: Repository, tmp_path: Path, version: str) -> None:
    with pytest.raises(UsageError):
        fetch(f"file://{repository.path}", tmp_path / "into", version=version)


@pytest.mark.parametrize("where", ["ext::sh -c touch% x", "--upload-pack=x", "-x:y", "ftp://h/x", "nowhere"])
def test_places_that_are_none(tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SeatrialError):
        fetch(where, tmp_path / "into")
    assert not (tmp_path / "x").exists()


def test_nothing_of_the_repository_runs(repository: Repository, tmp_path: Path) -> None:
    source = tmp_path / "source"
    git(tmp_path, "clone", "-q", str(repository.path), str(source))
    trace = tmp_path / "ran"
    for hook in ("post-checkout", "post-merge", "reference-transaction", "post-index-change"):
        path = source / ".git/hooks" / hook
        path.write_text(f"#!/bin/sh\ntouch {trace}\n")
        path.chmod(0o755)
    git(source, "config", "core.fsmonitor", f"touch {trace}")
    fetch(f"file://{source}", tmp_path / "into", version="main")
    fetch(str(source), tmp_path / "copied")
    assert not trace.exists()


def test_submodules(repository: Repository, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "-qb", "main")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(repository.path), "lib")
    commit(outer, "with lib")
    fetch(f"file://{outer}", tmp_path / "without")
    assert not (tmp_path / "without/lib/buildspec.yml").exists()
    fetch(f"file://{outer}", tmp_path / "with", options=Options(submodules=True))
    assert (tmp_path / "with/lib/buildspec.yml").read_text() == "two"


@pytest.fixture
def private(repository: Repository) -> Iterator[tuple[str, list[str]]]:
    """The repository over HTTP, by git's own server program, for who knows the password; and the logins that came."""
    git(repository.path, "config", "http.receivepack", "false")
    logins: list[str] = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(b"")

        def do_POST(self) -> None:
            self.answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

        def answer(self, body: bytes) -> None:
            login = self.headers.get("Authorization", "")
            logins.append(f"{self.headers['Host']} {login}")
            if login != "Basic " + base64.b64encode(b"me:s3cr3t/pass").decode():
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="private"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            path, _, query = self.path.partition("?")
            done = subprocess.run(
                ["git", "http-backend"], input=body, capture_output=True, check=False,
                env={
                    "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(repository.path.parent),
                    "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path, "QUERY_STRING": query,
                    "REQUEST_METHOD": self.command, "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                    "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                },
            )  # fmt: skip
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            self.send_response(200)
            for line in head.decode().split("\r\n"):
                name, _, value = line.partition(": ")
                if name != "Status":
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"127.0.0.1:{server.server_port}/repo/.git", logins
    server.shutdown()
    server.server_close()
    thread.join()


def test_passwords_reach_the_host_and_nobody_else(
    repository: Repository, private: tuple[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, logins = private
    argv = tmp_path / "argv"
    wrapper = tmp_path / "bin/git"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {argv}\nexec {need("git")} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
    got = fetch(f"http://me:s3cr3t%2Fpass@{place}", tmp_path / "into", version="dev")
    assert got == (repository.third, f"http://{place}", "git", -1)
    assert any("Basic" in login for login in logins)
    assert "ls-remote" in argv.read_text()
    kept = b"".join(path.read_bytes() for path in (tmp_path / "into/.git").rglob("*") if path.is_file())
    for secret in ("s3cr3t", "s3cr3t%2Fpass"):
        assert secret not in argv.read_text()
        assert secret.encode() not in kept
        assert secret not in repr(got)


@pytest.mark.parametrize("login", ["", "me:wr0ng@"])
def test_a_repository_that_wants_a_login(private: tuple[str, list[str]], tmp_path: Path, login: str) -> None:
    place, _ = private
    with pytest.raises(Refused) as told:
        fetch(f"http://{login}{place}", tmp_path / "into", version="dev")
    assert told.value.message == "authentication required for primary source and source version dev"
    assert "wr0ng" not in str(told.value)


def zipped(path: Path, **members: str) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, text in members.items():
            out.writestr(name, text)
    return path


def test_zip_keeps_permissions_and_links(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as out:
        for name, mode, text in (
            ("bin/run", stat.S_IFREG | 0o755, "x"), ("bin/again", stat.S_IFLNK | 0o777, "run"), ("plain", 0, "y"),
            ("root", stat.S_IFREG | 0o4755, "z"),
        ):  # fmt: skip
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = (
                (3 if mode else 0),
                mode << 16,
            )  # 0: made on DOS, has no modes
            out.writestr(info, text)
    got = fetch(str(tmp_path / "a.zip"), tmp_path / "into")
    assert got.files == 4
    assert modes(tmp_path / "into") == {
        "bin": "drwxr-xr-x", "bin/run": "-rwxr-xr-x", "bin/again": "lrwxrwxrwx", "plain": "-rw-r--r--",
        "root": "-rwxr-xr-x",
    }  # fmt: skip


def _link(name: str, target: str) -> tuple[str, int, str]:
    return name, stat.S_IFLNK | 0o777, target


HOSTILE = {
    "climbing": [("../x", 0, "")],
    "absolute": [("/etc/x", 0, "")],
    "climbing in the middle": [("a/../../x", 0, "")],
    "link out": [_link("l", "../..")],
    "absolute link": [_link("l", "/etc")],
    "through a link": [_link("l", "sub"), ("l/x", 0, "")],
    "link through a link": [("a/b/c", 0, ""), _link("d", "a/b"), _link("e", "d/../../..")],
    "a file that is a folder": [("a", 0, ""), ("a/b", 0, "")],
    "a device": [("dev", stat.S_IFCHR | 0o600, "")],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_zips(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as out:
        for member, mode, text in HOSTILE[name]:
            info = zipfile.ZipInfo(member)
            info.create_system, info.external_attr = 3, mode << 16
            out.writestr(info, text)
    before = set(tmp_path.iterdir())
    with pytest.raises(ArchiveError):
        fetch(str(tmp_path / "a.zip"), tmp_path / "into")
    assert set(tmp_path.iterdir()) - before == {tmp_path / "into"}
    assert not Path("/etc/x").exists()


def test_bombs_and_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seatrial.unpacking._BOMB_FLOOR", 1 << 20)
    zipped(tmp_path / "bomb.zip", zeros="\0" * (8 << 20))
    with pytest.raises(ArchiveError, match="refused"):
        fetch(str(tmp_path / "bomb.zip"), tmp_path / "a")
    whole = zipped(tmp_path / "ok.zip", text="x" * 10_000).read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ArchiveError):
        fetch(str(tmp_path / "cut.zip"), tmp_path / "b")


def test_zip_in_s3_by_version(tmp_path: Path, aws: str) -> None:
    client = s3.client()
    client.put_bucket_versioning(Bucket="sources", VersioningConfiguration={"Status": "Enabled"})
    versions = [
        client.put_object(Bucket="sources", Key="s.zip", Body=zipped(tmp_path / "s.zip", a=text).read_bytes())
        for text in ("old", "new")
    ]
    assert fetch("s3://sources/s.zip", tmp_path / "new").url == "s3://sources/s.zip"
    old = versions[0]["VersionId"]
    assert fetch("arn:aws:s3:::sources/s.zip", tmp_path / "old", version=old).commit == old
    assert [(tmp_path / name / "a").read_text() for name in ("new", "old")] == ["new", "old"]


def test_prefix_in_s3(tmp_path: Path, aws: str) -> None:
    for name in ("buildspec.yml", "src/a", "src/"):
        s3.client().put_object(Bucket="sources", Key=f"tree/{name}", Body=name.encode())
    assert fetch("s3://sources/tree/", tmp_path / "into").files == 2
    assert (tmp_path / "into/src/a").read_text() == "src/a"


def test_what_s3_refuses_is_said_in_its_words(tmp_path: Path, aws: str) -> None:
    with pytest.raises(Refused) as told:
        fetch("s3://sources/none.zip", tmp_path / "a")
    assert told.value.message == (
        "NoSuchKey: The specified key does not exist. status code: 404 "
        "for primary source and source version arn:aws:s3:::sources/none.zip"
    )
    with pytest.raises(Refused, match="NoSuchBucket"):
        fetch("s3://nobodys/none.zip", tmp_path / "b")


def test_a_download_that_breaks_is_taken_up(
    tmp_path: Path, aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = os.urandom(3 << 20)
    s3.client().put_object(Bucket="sources", Key="big", Body=body)
    with proxy(aws) as between:
        between.faults.append(Fault("GET", "/sources/big", cut_answer=1 << 20))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{between.host}")
        assert s3.download(s3.client(), s3.Place("sources", "big"), tmp_path / "big") == len(body)
        asked = [
            seen.headers.get("Range", "") for seen in between.seen if seen.path.startswith("/sources/big")
        ]
    assert (tmp_path / "big").read_bytes() == body
    assert asked[0] == ""
    assert asked[1].startswith("bytes=")


def test_secondary_sources(repository: Repository, tmp_path: Path) -> None:
    tree(tmp_path / "plain", "x")
    wanted = {"lib": Wanted(str(repository.path), "v1"), "data_1": Wanted(str(tmp_path / "plain"))}
    got = fetch_secondary(wanted, tmp_path / "more")
    assert {name: (path.name, fetched.commit) for name, (path, fetched) in got.items()} == {
        "lib": ("lib", repository.second), "data_1": ("data_1", ""),
    }  # fmt: skip
    with pytest.raises(UsageError, match="identifier"):
        fetch_secondary({"../x": Wanted("")}, tmp_path / "none")
    with pytest.raises(UsageError, match="13 secondary"):
        fetch_secondary({f"s{number}": Wanted("") for number in range(13)}, tmp_path / "none")


def test_no_source_is_an_empty_folder(tmp_path: Path) -> None:
    assert fetch("", tmp_path / "into") == ("", "", "none", 0)
    assert list((tmp_path / "into").iterdir()) == []


def test_what_has_no_versions(tmp_path: Path) -> None:
    zipped(tmp_path / "a.zip", a="x")
    for where in ("", str(tmp_path), str(tmp_path / "a.zip")):
        with pytest.raises(UsageError, match="no version"):
            fetch(where, tmp_path / "into", version="main")


def test_a_login_is_not_told_to_the_host_of_a_submodule(
    repository: Repository, private: tuple[str, list[str]], tmp_path: Path
) -> None:
    place, logins = private
    outer = repository.path.parent / "outer"
    outer.mkdir()
    git(outer, "init", "-qb", "main")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(repository.path), "lib")
    other = place.replace("127.0.0.1", "localhost")  # by another name it is another host
    git(outer, "config", "--file", ".gitmodules", "submodule.lib.url", f"http://{other}")
    commit(outer, "with lib")
    url = f"http://me:s3cr3t%2Fpass@{place.replace('/repo/', '/outer/')}"
    with pytest.raises(Refused, match="authentication required"):
        fetch(url, tmp_path / "into", options=Options(submodules=True))
    assert any(login.startswith("127.0.0.1") and "Basic" in login for login in logins)
    assert [login for login in logins if login.startswith("localhost") and "Basic" in login] == []
    assert any(login.startswith("localhost") for login in logins)


def test_a_folder_in_use_is_not_written_to(tmp_path: Path) -> None:
    tree(tmp_path / "into", "mine")
    with pytest.raises(UsageError):
        fetch("", tmp_path / "into")
