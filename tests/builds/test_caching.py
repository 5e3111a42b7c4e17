"""Caches of builds, on this machine and in S3: what hits, what misses, and that nothing of it fails a build."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from isal import igzip

from seatrial.builds.caching import KIND, S3, Local, invalidate, restore, save
from seatrial.builds.view import View
from seatrial.cloud import s3
from seatrial.images.assemble import store as entries
from seatrial.images.cache import entries as listed
from seatrial.images.cache import prune
from support.buckets import s3_server
from support.buildspecs import cache, tree
from support.places import TESTS
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from seatrial.builds.model import Cache

ENV = {"HOME": "/root", "BRANCH": "main"}


class Machine(NamedTuple):
    """A build's files: the workspace, seen as /src, and the home, seen as /root."""

    work: Path
    home: Path

    @property
    def view(self) -> View:
        return View({"/src": self.work, "/root": self.home})


def machine(folder: Path, *files: str) -> Machine:
    made = Machine(folder / "work", folder / "home")
    for place in made:
        place.mkdir(parents=True)
    tree(folder, *files)
    return made


@pytest.fixture(scope="module")
def aws() -> Iterator[Any]:
    with s3_server():
        yield s3.client()


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Local | S3:
    monkeypatch.setenv("SEATRIAL_CACHE", str(tmp_path / "cache"))
    if request.param == "local":
        return Local("app")
    prefix = request.node.name.replace("[", "-").strip("]")
    return S3(location=f"caches/{prefix}", project="app", client=request.getfixturevalue("aws"))


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Local:
    monkeypatch.setenv("SEATRIAL_CACHE", str(tmp_path / "cache"))
    return Local("app")


def kept(spec: Cache, store: Local | S3, build: Machine) -> str:
    return save(spec, store, build.work, ENV, view=build.view, seen="/src").summary


def got(spec: Cache | None, store: Local | S3, build: Machine) -> tuple[bool, bool, str]:
    done = restore(spec, store, build.work, ENV, view=build.view, seen="/src")
    return done.done, done.exact, done.key


def contents(build: Machine) -> dict[str, str]:
    top = build.work.parent
    return {str(path.relative_to(top)): path.read_text() for path in sorted(top.rglob("*")) if path.is_file()}


def test_comes_back_in_the_workspace_and_outside_of_it(tmp_path: Path, store: Local | S3) -> None:
    first = machine(tmp_path / "1", "work/node_modules/a/x.js", "home/.m2/r/j.jar", "work/other")
    (first.work / "node_modules/.bin").mkdir()
    (first.work / "node_modules/.bin/x").symlink_to("../a/x.js")
    (first.work / "node_modules/python").symlink_to("/nowhere//python3")
    (first.home / ".m2/r/j.jar").chmod(0o640)
    spec = cache("node_modules/**/*", "/root/.m2/**/*", "$HOME/.cache/pip")
    assert got(spec, store, first) == (False, False, "")
    assert kept(spec, store, first).startswith("cache saved: 4 files")
    second = machine(tmp_path / "2", "work/node_modules/a/x.js", "work/node_modules/mine")
    (second.work / "node_modules/a/x.js").write_text("to be replaced")
    assert got(spec, store, second) == (True, True, "")
    assert contents(second) == {
        "home/.m2/r/j.jar": "home/.m2/r/j.jar",
        "work/node_modules/a/x.js": "work/node_modules/a/x.js",
        "work/node_modules/.bin/x": "work/node_modules/a/x.js",
        "work/node_modules/mine": "work/node_modules/mine",
    }  # fmt: skip
    assert os.readlink(second.work / "node_modules/python") == "/nowhere//python3"  # noqa: PTH115
    assert (second.home / ".m2/r/j.jar").stat().st_mode & 0o777 == 0o640


def test_without_a_key_the_newest_wins(tmp_path: Path, store: Local | S3) -> None:
    build = machine(tmp_path / "1", "work/d/x")
    spec = cache("d/**/*")
    kept(spec, store, build)
    (build.work / "d/x").write_text("second")
    assert "saved: 1 files" in kept(spec, store, build)
    fresh = machine(tmp_path / "2")
    assert got(spec, store, fresh)[0]
    assert contents(fresh) == {"work/d/x": "second"}


def test_keys_fallbacks_and_versions(tmp_path: Path, store: Local | S3) -> None:
    build = machine(tmp_path / "1", "work/d/x", "work/lock")
    spec = cache(
        "d/**/*", key="npm-$BRANCH-$(codebuild-hash-files lock)", fallback_keys=("npm-$BRANCH-", "npm-")
    )
    assert "saved" in kept(spec, store, build)
    (build.work / "d/x").write_text("changed")
    assert "there is one with that key already" in kept(spec, store, build)  # never changed once it is there
    hit = got(spec, store, build)
    assert hit[:2] == (True, True)
    assert (build.work / "d/x").read_text() == "work/d/x"

    (build.work / "lock").write_text("new")
    assert got(spec, store, build) == (True, False, hit[2])
    assert kept(spec, store, build).startswith("cache npm-main-")
    third = machine(tmp_path / "3", "work/lock")
    (third.work / "lock").write_text("newer")
    assert got(spec, store, third)[1] is False
    newest = restore(spec, store, third.work, ENV, view=third.view, seen="/src").key
    assert newest not in ("", hit[2])
    # Same key, other paths: another version.
    assert got(cache("e/**/*", key=hit[2]), store, third) == (False, False, "")
    # No fallback fits.
    assert got(cache("d/**/*", key="npm", fallback_keys=("pip-", "n/a")), store, third) == (False, False, "")


def test_actions(tmp_path: Path, store: Local | S3) -> None:
    build = machine(tmp_path / "1", "work/d/x")
    assert "only restored" in kept(cache("d/**/*", action="restore"), store, build)
    assert got(cache("d/**/*"), store, build)[0] is False
    assert "saved" in kept(cache("d/**/*", action="save"), store, build)
    assert got(cache("d/**/*", action="save"), store, build)[0] is False
    assert got(cache("d/**/*"), store, build)[0] is True


def test_nothing_to_keep(tmp_path: Path, store: Local | S3) -> None:
    build = machine(tmp_path / "1")
    assert kept(cache("d/**/*"), store, build) == "cache not saved: the paths name no files"
    assert got(cache("d/**/*"), store, build)[0] is False


def test_keys_of_one_project_are_not_anothers(tmp_path: Path, store: Local | S3) -> None:
    build = machine(tmp_path / "1", "work/d/x")
    kept(cache("d/**/*", key="k"), store, build)
    if isinstance(store, Local):
        assert got(cache("d/**/*", key="k"), Local("other"), build)[0] is False
    else:
        other = S3(location=store.location, project="other", client=store.client)
        assert got(cache("d/**/*", key="k"), other, build)[0] is False
        shared = S3(location=store.location, project="other", namespace="app", client=store.client)
        assert got(cache("d/**/*", key="k"), shared, build)[0] is True


def test_keys_with_commands_need_the_builds_shell(tmp_path: Path, local: Local) -> None:
    build = machine(tmp_path / "1", "work/d/x")
    spec = cache("d/**/*", key="k-$(echo 1)-${BRANCH}")
    done = save(spec, local, build.work, ENV, view=build.view, seen="/src")
    assert (done.done, done.summary) == (
        False,
        "cache not saved: the cache's key needs a shell: it has a command in it",
    )

    def shell(text: str) -> str:
        return subprocess.run(
            ["sh", "-c", f'printf %s "{text}"'],
            env={**os.environ, **ENV},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    done = save(spec, local, build.work, ENV, view=build.view, seen="/src", shell=shell)
    assert done.key == "k-1-main"


def test_hash_of_files_is_of_names_and_contents(tmp_path: Path, local: Local) -> None:
    build = machine(tmp_path / "1", "work/d/x", "work/a.md", "work/sub/b.md")
    spec = cache("d/**/*", key="$(codebuild-hash-files '**/*.md' lock)")

    def key() -> str:
        return save(spec, local, build.work, ENV, view=build.view, seen="/src").key

    first = key()
    assert len(first) == 64
    assert key() == first
    (build.work / "sub/b.md").write_text("changed")
    second = key()
    (build.work / "sub/b.md").rename(build.work / "sub/c.md")
    assert len({first, second, key()}) == 3


def test_lines_of_the_log(tmp_path: Path, local: Local) -> None:
    build = machine(tmp_path / "1", "work/d/x", "work/file")
    said = restore(None, local, build.work, ENV).log
    assert said == (
        "Cache is not defined in the buildspec",
        "Skip cache due to: no paths specified to be cached",
    )
    spec = cache("d/**/*", "file")
    done = save(spec, local, build.work, ENV, view=build.view, seen="/src")
    assert done.files == 1
    assert done.log == (
        "Expanded cache path d/**/*",
        "Expanded cache path file",
        "Unable to initialize cache download: only directories can be cached locally: file",
    )
    assert (
        restore(spec, local, build.work, ENV, view=build.view, seen="/src").log[-1] == "Unarchiving cache..."
    )


def test_a_bucket_that_is_not_there_is_a_notice(tmp_path: Path, aws: Any, local: Local) -> None:
    build = machine(tmp_path / "1", "work/d/x")
    away = S3(location="nobodys/x", project="app", client=aws)
    done = restore(cache("d/**/*"), away, build.work, ENV, view=build.view, seen="/src")
    assert not done.done
    assert done.log[1] == "Downloading S3 cache..."
    assert done.log[2].startswith("Unable to download cache: NoSuchBucket: ")
    made = save(cache("d/**/*"), away, build.work, ENV, view=build.view, seen="/src")
    assert not made.done
    assert made.log[-1].startswith("Unable to upload cache: NoSuchBucket: ")


def _archive(*members: tuple[str, str, str]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as out:
        for name, kind, text in members:
            info = tarfile.TarInfo(name)
            if kind == "l":
                info.type, info.linkname = tarfile.SYMTYPE, text
                out.addfile(info)
            else:
                info.size = len(text)
                out.addfile(info, io.BytesIO(text.encode()))
    return igzip.compress(packed.getvalue())


@pytest.mark.parametrize(
    "members",
    [
        [("a/root/.ssh/authorized_keys", "f", "mine")],
        [("s/other", "f", "mine")],
        [("s/d/../../../x", "f", "mine")],
        [("/etc/x", "f", "mine")],
        [("s/d/link", "l", "/"), ("s/d/link/etc/x", "f", "mine")],
        [("s/d/there/x", "f", "mine")],
    ],
)
def test_an_archive_reaches_nothing_but_the_paths(
    tmp_path: Path, aws: Any, local: Local, members: list[tuple[str, str, str]]
) -> None:
    spec, name = cache("d/**/*"), tmp_path.name
    store = S3(location=f"caches/{name}", project="app", client=aws)
    build = machine(tmp_path / "1", "work/d/x")
    outside = machine(tmp_path / "2").work
    (build.work / "d/there").symlink_to(outside)
    kept(spec, store, build)
    key = next(iter(s3.listing(aws, s3.Place("caches", f"{name}/")))).key
    aws.put_object(Bucket="caches", Key=key, Body=_archive(*members))
    before = set(contents(build))
    restore(spec, store, build.work, ENV, view=build.view, seen="/src")
    assert {name for name in set(contents(build)) - before if not name.startswith("work/d/")} == set()
    assert not os.path.exists("/etc/x")  # noqa: PTH110
    assert list(outside.iterdir()) == []


def test_a_damaged_archive_is_a_notice(tmp_path: Path, local: Local) -> None:
    build = machine(tmp_path / "1", "work/d/x")
    kept(cache("d/**/*"), local, build)
    place = next(iter(entries.entry_path(KIND, "").iterdir())) / "archive.tar"
    place.chmod(0o600)
    place.write_bytes(place.read_bytes()[:700])
    done = restore(cache("d/**/*"), local, build.work, ENV, view=build.view, seen="/src")
    assert not done.done
    assert done.log[-1].startswith("Unable to download cache: this archive is refused")


def test_listed_pruned_and_invalidated(tmp_path: Path, local: Local) -> None:
    build = machine(tmp_path / "1", "work/d/x")
    for key in ("one", "two"):
        kept(cache("d/**/*", key=key), local, build)
    kept(cache("d/**/*"), Local("other"), build)
    assert [entry.kind for entry in listed()] == [KIND] * 3
    assert all(entry.size > 100 for entry in listed())
    assert invalidate("app") == 2
    assert got(cache("d/**/*", key="one"), local, build)[0] is False
    assert got(cache("d/**/*"), Local("other"), build)[0] is True
    assert prune(0).left == 0
    assert got(cache("d/**/*"), Local("other"), build)[0] is False


_SAVER = """
import sys
from pathlib import Path
from seatrial.builds.caching import Local, save
from support.buildspecs import cache
print(save(cache("d/**/*"), Local("app"), Path(sys.argv[1]), {}).summary)
"""


def test_kill_in_the_middle_leaves_no_half_entry(tmp_path: Path, local: Local) -> None:
    work = machine(tmp_path / "1", "work/d/x").work
    piece = os.urandom(1 << 20)
    with (work / "d/big").open("wb") as big:
        for _ in range(200):
            big.write(piece)
    process = subprocess.Popen(
        [sys.executable, "-c", _SAVER, str(work)], env={**os.environ, "PYTHONPATH": str(TESTS)}
    )
    scratch = tmp_path / "cache/scratch"
    try:
        until(
            lambda: any(path.stat().st_size > 1 << 20 for path in scratch.rglob("archive.tar")),
            "the archive is being written",
            seconds=60,
        )
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL
    assert list(entries.entry_path(KIND, "").iterdir()) == []
    assert restore(cache("d/**/*"), local, work, {}).summary == "cache miss"
    assert list(scratch.iterdir()) == []  # the next one has cleared away
    assert save(cache("d/**/*"), local, work, {}).done


def test_two_builds_save_at_the_same_time(tmp_path: Path, local: Local) -> None:
    work = machine(tmp_path / "1", *(f"work/d/{number}" for number in range(200))).work
    running = [
        subprocess.Popen(
            [sys.executable, "-c", _SAVER, str(work)],
            env={**os.environ, "PYTHONPATH": str(TESTS)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for process in running:
        said, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        assert "200 files" in said
    fresh = machine(tmp_path / "2").work
    assert restore(cache("d/**/*"), local, fresh, {}).files == 200
