"""Packages come from where the base says, through the mirrors of the machine; nothing else of the machine counts."""

from __future__ import annotations

import pytest

from seatrial.errors import UsageError
from seatrial.images.system.apt import Places, compiling, steps
from seatrial.images.system.difference import keeps
from seatrial.images.system.names import check_names
from seatrial.images.system.sources import keyrings, parse, render, through_mirrors, without_passwords

DEBIAN = """\
Types: deb deb-src
# from a snapshot
URIs: http://deb.debian.org/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://deb.debian.org/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
"""
VENDOR = "deb [arch=amd64 signed-by=/usr/share/keyrings/cuda.gpg] https://developer.example/cuda/debian12 /  # CUDA\n"
MIRROR = """\
deb [signed-by=/etc/apt/corp.gpg trusted=yes] https://mirror.example/debian bookworm main
deb https://mirror.example/security bookworm-security main
"""


def test_both_formats_are_read() -> None:
    found = parse([("debian.sources", DEBIAN), ("cuda.list", VENDOR), ("old.list", "# deb http://x y z\n")])
    assert [(s["uris"], s["suites"]) for s in found] == [
        ("http://deb.debian.org/debian", "bookworm bookworm-updates"),
        ("http://deb.debian.org/debian-security", "bookworm-security"),
        ("https://developer.example/cuda/debian12", "/"),
    ]
    assert found[2]["architectures"] == "amd64"
    assert "components" not in found[2]
    assert keyrings(found) == {
        "/usr/share/keyrings/debian-archive-keyring.gpg",
        "/usr/share/keyrings/cuda.gpg",
    }


def test_what_is_written_is_read_again_as_the_same() -> None:
    key = " -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQINBF\n -----END PGP PUBLIC KEY BLOCK-----"
    found = parse(
        [("a.sources", DEBIAN.replace("/usr/share/keyrings/debian-archive-keyring.gpg", f"\n{key}", 1))]
    )
    assert "mQINBF" in found[0]["signed-by"]
    assert parse([("b.sources", render(found))]) == found


def test_the_distributions_servers_are_reached_through_the_machines_mirrors() -> None:
    base = parse([("debian.sources", DEBIAN), ("cuda.list", VENDOR)])
    found = through_mirrors(base, parse([("sources.list", MIRROR)]), "amd64", "amd64")
    places = {source["suites"]: source["uris"] for source in found}
    assert places == {
        "bookworm": "https://mirror.example/debian",
        "bookworm-updates": "http://deb.debian.org/debian",
        "bookworm-security": "https://mirror.example/security",
        "/": "https://developer.example/cuda/debian12",
    }
    first = next(source for source in found if source["suites"] == "bookworm")
    assert first["signed-by"] == "/etc/apt/corp.gpg"
    assert first["trusted"] == "yes"


def test_a_mirror_says_nothing_about_architectures_that_are_kept_apart() -> None:
    ports = parse([("s.list", "deb http://ports.ubuntu.com/ubuntu-ports noble main universe\n")])
    machine = parse([("s.list", "deb http://mirror.example/ubuntu noble main universe\n")])
    assert through_mirrors(ports, machine, "arm64", "amd64")[0]["uris"] == ports[0]["uris"]
    assert through_mirrors(ports, machine, "arm64", "arm64")[0]["uris"] == machine[0]["uris"]


@pytest.mark.parametrize(
    "name", ["libgl1", "g++", "libc6:arm64", "curl=7.88.1-10+deb12u12", "libssl3=1:3.0~rc2-1"]
)
def test_names_and_exact_versions_are_taken(name: str) -> None:
    check_names([name])


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-y",
        "--allow",
        "a",
        "LibGL",
        "a b",
        "curl;id",
        "curl/sid",
        "/tmp/x.deb",
        "curl=",
        "curl=$(id)",
        "x*",
    ],
)
def test_what_is_no_package_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        check_names(["curl", name])


@pytest.mark.parametrize(
    ("path", "kind", "kept"),
    [
        ("var/log/nginx", "d", True),
        ("var/log/dpkg.log", "f", False),
        ("var/log/apt", "d", False),
        ("var/lib/dpkg/status", "f", True),
        ("var/lib/dpkg/status-old", "f", False),
        ("etc/ssh/sshd_config", "f", True),
        ("etc/ssh/ssh_host_rsa_key", "f", False),
        ("etc/passwd", "f", True),
        ("etc/passwd-", "f", False),
        ("var/cache/ldconfig/aux-cache", "f", False),
        ("etc/ld.so.cache", "f", True),
        ("run/lock", "d", False),
        ("usr/lib/python3/dist-packages/__pycache__/six.cpython-311.pyc", "f", True),
    ],
)
def test_only_what_belongs_to_packages_is_in_the_layer(path: str, kind: str, kept: bool) -> None:
    assert keeps(path, kind) is kept


def test_steps_without_a_network_see_nothing_of_the_machine() -> None:
    places = Places(
        bwrap="/usr/bin/bwrap", root="/root", binds=(("/lists", "/var/lib/apt/lists", True),),
        online=(("/secrets", "/run/seatrial", True),), offline=(("/plain", "/run/seatrial", False),),
    )  # fmt: skip
    for step in (*steps(places, ["curl"], sources=True), compiling(places)):
        assert ("/secrets" in step.argv) is step.network
        assert ("--unshare-net" in step.argv) is not step.network
        assert step.argv.index("--") < step.argv.index("curl") if "curl" in step.argv else True
    assert (
        without_passwords("URIs: https://me:s3cret@mirror.example/debian")
        == "URIs: https://mirror.example/debian"
    )
