"""Private indexes: names and passwords from the usual places open them, and are written nowhere; no network at all works too."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from seatrial.errors import SeatrialError
from seatrial.images.assemble.fetch import fetch, wheel_path
from support import wheels
from support.builders import project, sdist, versions
from support.indexes import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from seatrial.images.resolve import Resolution
    from support.builders import Builder

    Resolve = Callable[..., Resolution]

SECRET = "s3cret"


@pytest.fixture
def index(wheelhouse: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """An index that only `me:s3cret` may read; nothing of this machine's user says who that is."""
    for name in ("UV_NO_INDEX", "UV_OFFLINE", "UV_FIND_LINKS", "UV_NO_CONFIG"):
        monkeypatch.delenv(name)
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CONFIG_FILE", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    user = tmp_path / "user"
    user.mkdir()
    monkeypatch.setenv("HOME", str(user))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(user / "config"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    wheels.wheel(wheelhouse, "inner", "1.0")
    sdist(wheelhouse, "outer", "1.0", ("inner",))
    with serving(wheelhouse) as address:
        yield address


def environment(monkeypatch: pytest.MonkeyPatch, root: Path, index: str) -> None:
    monkeypatch.setenv("UV_INDEX_URL", f"http://me:{SECRET}@{index}/simple")
    (root / "requirements.txt").write_text("outer\n")


def requirements_file(_monkeypatch: pytest.MonkeyPatch, root: Path, index: str) -> None:
    (root / "requirements.txt").write_text(f"--index-url http://me:{SECRET}@{index}/simple\nouter\n")


def variable_in_the_file(monkeypatch: pytest.MonkeyPatch, root: Path, index: str) -> None:
    monkeypatch.setenv("INDEX_TOKEN", SECRET)
    (root / "requirements.txt").write_text(f"--index-url http://me:${{INDEX_TOKEN}}@{index}/simple\nouter\n")


def netrc(_monkeypatch: pytest.MonkeyPatch, root: Path, index: str) -> None:
    (Path.home() / ".netrc").write_text(f"machine 127.0.0.1 login me password {SECRET}\n")
    (root / "requirements.txt").write_text(f"--index-url http://{index}/simple\nouter\n")


def pip_settings(_monkeypatch: pytest.MonkeyPatch, root: Path, index: str) -> None:
    settings = Path.home() / "config" / "pip" / "pip.conf"
    settings.parent.mkdir(parents=True)
    settings.write_text(f"[global]\nextra-index-url =\n    http://me:{SECRET}@{index}/simple\n")
    (root / "requirements.txt").write_text(f"--index-url http://{index}/simple\nouter\n")


def pip_variable(monkeypatch: pytest.MonkeyPatch, root: Path, index: str) -> None:
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", f"http://me:{SECRET}@{index}/simple")
    (root / "requirements.txt").write_text(f"--index-url http://{index}/simple\nouter\n")


def uv_named_index(monkeypatch: pytest.MonkeyPatch, root: Path, index: str) -> None:
    monkeypatch.setenv("UV_INDEX_OUR_OWN_USERNAME", "me")
    monkeypatch.setenv("UV_INDEX_OUR_OWN_PASSWORD", SECRET)
    (root / "uv.toml").write_text(
        f'[[index]]\nname = "our-own"\nurl = "http://{index}/simple"\ndefault = true\n'
    )
    (root / "requirements.txt").write_text("outer\n")


def uv_settings(_monkeypatch: pytest.MonkeyPatch, root: Path, index: str) -> None:
    settings = Path.home() / "config" / "uv" / "uv.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text(f'[[index]]\nurl = "http://me:{SECRET}@{index}/simple"\ndefault = true\n')
    (root / "requirements.txt").write_text("outer\n")


def keyring(monkeypatch: pytest.MonkeyPatch, root: Path, index: str) -> None:
    folder = Path.home() / "bin"
    folder.mkdir()
    script = f'#!{sys.executable}\nimport sys\nassert sys.argv[1] == "get" and sys.argv[3] == "me"\nprint("{SECRET[::-1]}"[::-1])\n'
    (folder / "keyring").write_text(script)
    (folder / "keyring").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    (root / "requirements.txt").write_text(f"--index-url http://me@{index}/simple\nouter\n")


def index_for_one_package(monkeypatch: pytest.MonkeyPatch, root: Path, index: str) -> None:
    monkeypatch.setenv("UV_INDEX_OURS_USERNAME", "me")
    monkeypatch.setenv("UV_INDEX_OURS_PASSWORD", SECRET)
    monkeypatch.setenv("UV_NO_INDEX", "1")
    text = '[project]\nname = "mine"\nversion = "1"\ndependencies = ["outer", "inner"]\n'
    text += '[tool.uv.sources]\nouter = { index = "ours" }\ninner = { index = "ours" }\n'
    monkeypatch.delenv("UV_NO_INDEX")
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://{index}/nothing")
    project(
        root, text + f'[[tool.uv.index]]\nname = "ours"\nurl = "http://{index}/simple"\nexplicit = true\n'
    )


def poetry_source(monkeypatch: pytest.MonkeyPatch, root: Path, index: str) -> None:
    monkeypatch.setenv("POETRY_HTTP_BASIC_OUR_OWN_USERNAME", "me")
    monkeypatch.setenv("POETRY_HTTP_BASIC_OUR_OWN_PASSWORD", SECRET)
    text = '[tool.poetry]\nname = "mine"\nversion = "1"\n[tool.poetry.dependencies]\nouter = "*"\n'
    project(root, text + f'[[tool.poetry.source]]\nname = "our-own"\nurl = "http://{index}/simple"\n')


PLACES = [
    environment, requirements_file, variable_in_the_file, netrc, pip_settings, pip_variable, uv_named_index, uv_settings,
    keyring, index_for_one_package, poetry_source,
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_a_private_index_is_opened_and_its_password_written_nowhere(
    place: Callable[..., None],
    index: str,
    root: Path,
    tmp_path: Path,
    builder: Builder,
    resolved: Resolve,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place(monkeypatch, root, index)
    theirs = {path for path in tmp_path.rglob("*") if path.is_file()}
    name = "pyproject.toml" if (root / "pyproject.toml").exists() else "requirements.txt"
    with watched_arguments() as seen:
        found = resolved(name)
        assert fetch(found.lock.wheels, found.urls, logins=found.logins) > 0
        again = resolved(name)
        wheel_path(next(iter(found.urls))).unlink()
        assert fetch(again.lock.wheels, again.urls, logins=again.logins) > 0
    assert versions(found) == {"inner": "1.0", "outer": "1.0"}
    assert again.cached
    assert builder.names == ["sdist outer-1.0.tar.gz"]
    assert SECRET not in repr(found) + repr(builder.asked)
    written = {path for path in tmp_path.rglob("*") if path.is_file()} - theirs
    assert len(written) > 5
    assert [path for path in written if SECRET.encode() in path.read_bytes()] == []
    assert any("uv" in words[0] for words in seen)
    assert not any(SECRET in word for words in seen for word in words)


class watched_arguments:  # noqa: N801 - used as a statement
    """The arguments of every program that is started meanwhile."""

    def __enter__(self) -> list[list[str]]:
        self.on = True
        self.seen: list[list[str]] = []
        here = threading.current_thread()

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            if event == "subprocess.Popen" and self.on and threading.current_thread() is here:
                self.seen.append([str(word) for word in arguments[1]])

        sys.addaudithook(hook)
        return self.seen

    def __exit__(self, *_: object) -> None:
        self.on = False


def test_a_refusal_is_said_without_the_password(index: str, root: Path, resolved: Resolve) -> None:
    (root / "requirements.txt").write_text(f"--index-url http://me:wr0ng@{index}/simple\nouter\n")
    with pytest.raises(SeatrialError) as caught:
        resolved("requirements.txt")
    assert "wr0ng" not in str(caught.value)


def test_a_wheel_by_its_address_is_opened_and_told_without_the_password(
    index: str, root: Path, resolved: Resolve
) -> None:
    (root / "requirements.txt").write_text(
        f"inner @ http://me:{SECRET}@{index}/files/inner-1.0-py3-none-any.whl\n"
    )
    found = resolved("requirements.txt")
    (wheel,) = found.lock.wheels
    assert f'"url": "http://{index}/files/inner-1.0-py3-none-any.whl"' in wheel.direct_url
    assert wheel.sha256 in wheel.direct_url
    assert SECRET not in repr(found)


def test_a_lock_of_an_index_for_itself_is_used_with_its_credentials(
    index: str, root: Path, wheelhouse: Path, resolved: Resolve, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hashlib

    monkeypatch.setenv("POETRY_HTTP_BASIC_OURS_USERNAME", "me")
    monkeypatch.setenv("POETRY_HTTP_BASIC_OURS_PASSWORD", SECRET)
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://{index}/nothing")
    text = '[tool.poetry]\nname = "mine"\nversion = "1"\n[tool.poetry.dependencies]\nouter = { version = "*", source = "ours" }\n'
    project(
        root,
        text
        + f'[[tool.poetry.source]]\nname = "ours"\nurl = "http://{index}/simple"\npriority = "explicit"\n',
    )
    lock = ""
    for path in wheelhouse.iterdir():
        name, needs = path.name.split("-")[0], '[package.dependencies]\ninner = "*"\n'
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        lock += f'[[package]]\nname = "{name}"\nversion = "1.0"\noptional = false\npython-versions = "*"\n'
        lock += f'files = [{{ file = "{path.name}", hash = "sha256:{digest}" }}]\n{needs if name == "outer" else ""}'
        lock += f'[package.source]\ntype = "legacy"\nurl = "http://{index}/simple"\nreference = "ours"\n\n'
    (root / "poetry.lock").write_text(lock + '[metadata]\nlock-version = "2.0"\n')
    found = resolved("poetry.lock")
    assert versions(found) == {"inner": "1.0", "outer": "1.0"}
    assert fetch(found.lock.wheels, found.urls, logins=found.logins) > 0


class TestOffline:
    def test_a_folder_of_wheels_and_sources_is_enough(
        self, index: str, root: Path, wheelhouse: Path, resolved: Resolve, builder: Builder
    ) -> None:
        (root / "requirements.txt").write_text(f"--index-url http://{index}/simple\nouter\n")
        found = resolved("requirements.txt", offline=True, find_links=(wheelhouse,))
        assert versions(found) == {"inner": "1.0", "outer": "1.0"}
        assert builder.names == ["sdist outer-1.0.tar.gz"]
        assert fetch(found.lock.wheels, found.urls, logins=(), offline=True) > 0

    def test_what_is_missing_is_named(self, root: Path, wheelhouse: Path, resolved: Resolve) -> None:
        (root / "requirements.txt").write_text("absent\n")
        with pytest.raises(SeatrialError, match="absent is not on this machine") as caught:
            resolved("requirements.txt", offline=True, find_links=(wheelhouse,))
        assert "--find-links" in str(caught.value.fix)

    def test_all_wheels_that_would_have_to_be_fetched_are_named(
        self, index: str, root: Path, resolved: Resolve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        environment(monkeypatch, root, index)
        found = resolved("requirements.txt")
        with pytest.raises(SeatrialError, match=r"1 wheel.*inner-1\.0-py3-none-any\.whl"):
            fetch(found.lock.wheels, found.urls, offline=True)


class TestRemembering:
    def test_the_same_content_starts_no_program(
        self, root: Path, wheelhouse: Path, resolved: Resolve
    ) -> None:
        wheels.wheel(wheelhouse, "inner", "1.0")
        sdist(wheelhouse, "outer", "1.0", ("inner",))
        (root / "requirements.txt").write_text("outer\n")
        before = resolved("requirements.txt")
        with watched_arguments() as seen:
            after = resolved("requirements.txt")
        assert seen == []
        assert after.cached
        assert (after.lock, after.urls, after.notes) == (before.lock, before.urls, before.notes)

    def test_a_built_wheel_that_is_gone_is_built_again(
        self, root: Path, wheelhouse: Path, resolved: Resolve, builder: Builder
    ) -> None:
        sdist(wheelhouse, "outer", "1.0")
        (root / "requirements.txt").write_text("outer\n")
        (wheel,) = resolved("requirements.txt").lock.wheels
        wheel_path(wheel.sha256).unlink()
        sdist(wheelhouse, "outer", "2.0")
        (again,) = resolved("requirements.txt").lock.wheels
        assert (again.version, len(builder.asked)) == ("1.0", 2)
        assert wheel_path(again.sha256).exists()

    def test_what_was_built_is_not_repeated_where_builds_are_refused(
        self, root: Path, wheelhouse: Path, resolved: Resolve
    ) -> None:
        sdist(wheelhouse, "outer", "1.0")
        (root / "requirements.txt").write_text("outer\n")
        resolved("requirements.txt")
        with pytest.raises(SeatrialError, match="would have to be built"):
            resolved("requirements.txt", building=False)

    def test_a_changed_folder_of_wheels_is_looked_into_again(
        self, root: Path, tmp_path: Path, resolved: Resolve
    ) -> None:
        house = tmp_path / "more"
        wheels.wheel(house, "inner", "1.0")
        (root / "requirements.txt").write_text("inner\n")
        assert versions(resolved("requirements.txt", find_links=(house,))) == {"inner": "1.0"}
        wheels.wheel(house, "inner", "2.0")
        assert versions(resolved("requirements.txt", find_links=(house,))) == {"inner": "2.0"}
