"""What of this machine's settings a build gets, and what must not be found afterwards."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from seatrial.errors import UsageError
from seatrial.images.builders.passing import Passing, Wanted, gather

if TYPE_CHECKING:
    from pathlib import Path


def _gathered(tmp_path: Path, *secrets: str, **env: str) -> Passing:
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    home = {"HOME": str(tmp_path / "home"), "XDG_CONFIG_DIRS": str(tmp_path / "xdg")}
    return gather(Wanted(certificates=False, secrets=secrets), folder, {**home, **env})


def test_the_login_of_an_index_is_in_a_file_and_never_in_a_variable(tmp_path: Path) -> None:
    found = _gathered(tmp_path, PIP_INDEX_URL="https://jane:p%40ss-w0rd@index.example/simple")
    text = found.files["seatrial-pip"].read_text()
    assert "index-url = https://jane:p%40ss-w0rd@index.example/simple" in text
    assert stat.S_IMODE(found.files["seatrial-pip"].stat().st_mode) == 0o600
    assert found.variables["PIP_CONFIG_FILE"] == "/run/secrets/seatrial/pip.conf"
    assert not any("w0rd" in value for value in (*found.variables.values(), *found.environment.values()))
    assert {mark.value for mark in found.marks} >= {b"p%40ss-w0rd", b"p@ss-w0rd"}


def test_files_of_pip_are_read_in_its_order_and_folders_of_this_machine_are_left_out(tmp_path: Path) -> None:
    for place, text in {
        "xdg/pip/pip.conf": "[global]\nindex-url = https://first.example/simple\ntimeout = 9\n",
        "home/.config/pip/pip.conf": "[global]\nindex-url = https://own.example/simple\nfind-links = /here\n",
    }.items():
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(text)
    found = _gathered(tmp_path)
    text = found.files["seatrial-pip"].read_text()
    assert "https://own.example/simple" in text
    assert "first.example" not in text
    assert "timeout = 9" in text
    assert "/here" not in text
    assert any("find-links names a folder of this machine" in note for note in found.notes)


def test_uv_and_npm_find_their_settings(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".npmrc").write_text("//registry.example/:_authToken=npm-t0ken-4711\n")
    found = _gathered(tmp_path, UV_DEFAULT_INDEX="https://jane:uv-passw0rd@uv.example/simple")
    assert (
        found.files["seatrial-uv"].read_text() == 'index-url = "https://jane:uv-passw0rd@uv.example/simple"\n'
    )
    assert found.places["seatrial-npm"] == "/run/secrets/seatrial/npmrc"
    assert {mark.value for mark in found.marks} >= {b"uv-passw0rd", b"npm-t0ken-4711"}


def test_a_list_of_hosts_without_proxy_is_no_secret(tmp_path: Path) -> None:
    found = _gathered(tmp_path, NO_PROXY="localhost,127.0.0.1", HTTPS_PROXY="http://proxy.example:3128")
    assert found.environment == {
        "NO_PROXY": "localhost,127.0.0.1",
        "HTTPS_PROXY": "http://proxy.example:3128",
    }
    assert [mark.value for mark in found.marks if mark.kind == "the address of a proxy"] == [
        b"http://proxy.example:3128"
    ]


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ("id=token", "is not understood"),
        ("id=token,src=a,env=B", "is not understood"),
        ("id=../x,env=B", "is not understood"),
        ("id=seatrial-ca,env=B", "is not understood"),
        ("id=token,env=ABSENT", "ABSENT"),
        ("id=token,src=/no/such/file", "cannot be read"),
    ],
)
def test_a_wrong_secret_is_a_usage_error(secret: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        _gathered(tmp_path, secret, B="value-of-b")
