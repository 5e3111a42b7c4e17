"""Credentials are found where other tools keep them, and never shown."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from seatrial.errors import MissingToolError, SeatrialError
from seatrial.images.credentials import Credentials, find

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "pa:ss-w0rd"  # a password may hold a colon


def _auth(user: str, password: str = SECRET) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def test_the_first_place_that_knows_the_registry_wins(tmp_path: Path) -> None:
    env = {
        "HOME": str(tmp_path),
        "XDG_RUNTIME_DIR": str(tmp_path / "run"),
        "REGISTRY_AUTH_FILE": str(tmp_path / "own.json"),
        "PATH": "/usr/bin",
    }
    assert find("r.example", env=env) is None
    places = [
        tmp_path / ".docker/config.json",
        tmp_path / ".config/containers/auth.json",
        tmp_path / "run/containers/auth.json",
        tmp_path / "own.json",
    ]
    for number, path in enumerate(places):  # from the last place to the first
        _write(path, {"auths": {"r.example": _auth(f"user{number}")}})
        found = find("r.example", env=env)
        assert found is not None
        assert (found.username, found.password) == (f"user{number}", SECRET)
        assert str(path) in found.source
        assert SECRET not in f"{found} {found!r} {found.__rich_repr__()}"
    moved = {**env, "DOCKER_CONFIG": str(tmp_path / "elsewhere")}
    _write(tmp_path / "elsewhere/config.json", {"auths": {"only.example": _auth("ann")}})
    assert find("only.example", env=env) is None
    assert find("only.example", env=moved) is not None


@pytest.mark.parametrize(
    ("registry", "repository", "key"),
    [
        ("r.example:5000", "", "r.example:5000"),
        ("r.example", "", "https://r.example"),
        ("r.example", "", "https://r.example/v2/"),
        ("r.example", "team/app", "r.example/team"),
        ("r.example", "team/app", "r.example/team/app"),
        ("docker.io", "library/ubuntu", "https://index.docker.io/v1/"),
        ("docker.io", "library/ubuntu", "docker.io"),
    ],
)
def test_the_names_an_entry_may_have(registry: str, repository: str, key: str, tmp_path: Path) -> None:
    _write(tmp_path / ".docker/config.json", {"auths": {"other.example": _auth("no"), key: _auth("yes")}})
    found = find(registry, repository, env={"HOME": str(tmp_path)})
    assert found is not None
    assert found.username == "yes"
    assert find("unknown.example", repository, env={"HOME": str(tmp_path)}) is None


def test_the_most_specific_entry_wins_and_tokens_are_understood(tmp_path: Path) -> None:
    entries = {
        "r.example": _auth("all"),
        "r.example/team": {"identitytoken": "tok"},
        "r.example/team/app2": _auth("no"),
    }
    _write(tmp_path / ".docker/config.json", {"auths": entries})
    env = {"HOME": str(tmp_path)}
    assert find("r.example", "team/app", env=env) == Credentials(
        identity_token="tok", source=f"{tmp_path / '.docker/config.json'} (r.example/team)"
    )
    found = find("r.example", "elsewhere/app", env=env)
    assert found is not None
    assert found.username == "all"


def _helper(tmp_path: Path, script: str) -> dict[str, str]:
    program = tmp_path / "bin/docker-credential-test"
    _write(program, "#!/bin/sh\n" + script)
    program.chmod(0o755)
    return {"HOME": str(tmp_path), "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}


@pytest.mark.parametrize("where", ["credHelpers", "credsStore"])
def test_a_helper_is_asked_by_stdin(where: str, tmp_path: Path) -> None:
    env = _helper(
        tmp_path,
        'test "$#" = 1 && test "$1" = get || exit 9\nread server\n'
        'printf \'{"ServerURL":"%s","Username":"%s","Secret":"s3cret"}\' "$server" "for-$server"',
    )
    config = (
        {"credHelpers": {"r.example": "test"}}
        if where == "credHelpers"
        else {"auths": {}, "credsStore": "test"}
    )
    _write(tmp_path / ".docker/config.json", config)
    found = find("r.example", "team/app", env=env)
    assert found == Credentials(username="for-r.example", password="s3cret", source="docker-credential-test")


def test_a_helper_may_give_a_token_or_know_nothing(tmp_path: Path) -> None:
    _write(tmp_path / ".docker/config.json", {"credsStore": "test"})
    env = _helper(tmp_path, """printf '{"Username":"<token>","Secret":"tok"}'""")
    assert find("r.example", env=env) == Credentials(identity_token="tok", source="docker-credential-test")
    env = _helper(tmp_path, "echo 'credentials not found in native keychain'; exit 1")
    assert find("r.example", env=env) is None


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo s3cret-in-output; exit 3", "docker-credential-test failed for r.example"),
        ("echo s3cret-in-output", "not of its protocol"),
    ],
)
def test_a_broken_helper_is_named_but_not_quoted(script: str, message: str, tmp_path: Path) -> None:
    _write(tmp_path / ".docker/config.json", {"credsStore": "test"})
    with pytest.raises(SeatrialError, match=message) as caught:
        find("r.example", env=_helper(tmp_path, script))
    assert "s3cret" not in str(caught.value)


def test_a_missing_helper_says_which_file_wants_it(tmp_path: Path) -> None:
    _write(tmp_path / ".docker/config.json", {"credHelpers": {"r.example": "absent"}})
    with pytest.raises(MissingToolError, match="docker-credential-absent is not installed") as caught:
        find("r.example", env={"HOME": str(tmp_path), "PATH": str(tmp_path)})
    assert caught.value.where == str(tmp_path / ".docker/config.json")
    assert find("other.example", env={"HOME": str(tmp_path), "PATH": str(tmp_path)}) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "it is not JSON"),
        ("[]", "not a JSON object"),
        ({"auths": {"r.example": {"auth": "%%%"}}}, "entry for r.example is damaged"),
        ({"credHelpers": {"r.example": "../../bin/sh"}}, "not the name of a credential helper"),
    ],
)
def test_a_damaged_file_is_named(content: Any, message: str, tmp_path: Path) -> None:
    _write(tmp_path / ".docker/config.json", content)
    with pytest.raises(SeatrialError, match=message) as caught:
        find("r.example", env={"HOME": str(tmp_path), "PATH": "/usr/bin"})
    assert caught.value.where == str(tmp_path / ".docker/config.json")
