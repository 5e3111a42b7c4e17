"""Debian packages become one layer: what their scripts did, no more, the same each time, and nothing of this machine."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from seatrial.errors import SeatrialError
from seatrial.images import layout as oci
from seatrial.images import runtime
from seatrial.images.assemble.store import using
from seatrial.images.bases import Base, prepare
from seatrial.images.registry import push
from support import debian, debs, registries
from support.debian import Item, folder

if TYPE_CHECKING:
    from collections.abc import Iterator

CAPABILITY = "0100000200200000000000000000000000000000"
POSTINST = f"""
useradd --system --no-create-home --shell /usr/sbin/nologin service
chown service:service /var/lib/service
python3 -c 'import os; os.setxattr("/usr/bin/service-ping", "security.capability", bytes.fromhex("{CAPABILITY}"))'
rm /opt/base/gone
rm -r /opt/base/replaced && mkdir /opt/base/replaced && echo new > /opt/base/replaced/new
touch /opt/base/same && cp -p /opt/base/same /opt/base/copy && mv /opt/base/copy /opt/base/same
chmod 0600 /opt/base/closed
code=0; /usr/sbin/policy-rc.d service start || code=$?; echo policy $code > /var/lib/service/told
python3 - >> /var/lib/service/told <<END
import socket, os
try:
    socket.create_connection(("127.0.0.1", PORT), 2)
    print("network")
except OSError:
    print("no network")
print("secrets" if any("SECRET" in name for name in os.environ) else "no secrets")
print("shadow", os.stat("/etc/shadow").st_gid, oct(os.stat("/usr/bin/passwd").st_mode & 0o7777))
END
date > /var/log/service.log
echo $$ > /run/service.pid
uuid=$(cat /proc/sys/kernel/random/uuid); echo $uuid > /etc/machine-id; mkdir -p /etc/ssh; echo $uuid > /etc/ssh/ssh_host_rsa_key
"""


class Made(NamedTuple):
    """A base with packages, and the layer that holds them: name → member."""

    base: Base
    members: dict[str, tarfile.TarInfo]
    contents: dict[str, bytes]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A base whose only source of packages is a repository of this test."""
    debs.needs_dpkg()
    debian.needs_bwrap()
    house = tmp_path_factory.mktemp("house")
    with debs.repository(house) as line:
        port = line.split("127.0.0.1:")[1].split("/")[0]
        _fill(house, port)
    with debs.repository(house) as line:
        layout = house / "layout"
        items = [
            folder("opt/base"), folder("opt/base/replaced"), Item("opt/base/replaced/old", b"old"),
            Item("opt/base/gone", b"x"), Item("opt/base/same", b"same"), Item("opt/base/closed", b"x"),
            Item("etc/apt/sources.list", line), Item("etc/machine-id", b""),
            Item("etc/apt/apt.conf.d/docker-clean", 'DPkg::Post-Invoke { "rm -f /var/cache/apt/*.bin || true"; };\n'),
        ]  # fmt: skip
        debian.image(layout, [items], base=debian.base())
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SEATRIAL_CACHE", str(tmp_path_factory.mktemp("cache")))
            patch.setenv("SEATRIAL_HOME", str(tmp_path_factory.mktemp("home")))
            patch.setenv("MY_SECRET", "s3cret")
            yield layout


def _fill(house: Path, port: str) -> None:
    debs.deb(
        house, "service", "1.0", depends="service-data",
        files={
            "/usr/bin/service-root": "x", "/usr/bin/service-ping": "x", "/var/lib/service/.keep": "", "/var/log/service/.keep": "",
            "/usr/share/doc/service/copyright": "free", "/usr/share/doc/service/README": "long", "/usr/share/man/man1/s.1": "man",
        },
        modes={"/usr/bin/service-root": 0o4755, "/usr/bin/service-ping": 0o755},
        links={"/usr/bin/service": "service-root"}, scripts={"postinst": POSTINST.replace("PORT", port)},
    )  # fmt: skip
    module = "def answer():\n    return 42\n"
    compiling = "python3 -m py_compile /usr/lib/python3/dist-packages/served/__init__.py"
    debs.deb(
        house, "service-data", files={"/usr/share/service/one": "same file", "/usr/lib/python3/dist-packages/served/__init__.py": module},
        hard_links={"/usr/share/service/two": "/usr/share/service/one"}, scripts={"postinst": compiling},
    )  # fmt: skip
    for version in ("1.0", "2.0"):
        debs.deb(house, "versioned", version, files={"/usr/share/versioned/version": version})
    debs.deb(house, "broken", scripts={"postinst": "echo it hurts >&2; exit 3"})
    debs.deb(house, "unmet", depends="nothing-has-this")
    debs.deb(house, "slow", scripts={"postinst": "sleep 600"})


def made(layout: Path, *packages: str, refresh: bool = False) -> Made:
    with using() as use:
        base = prepare(str(layout), use, packages=packages, refresh=refresh)
    layer = oci.read_image(base.layout).manifest.layers[-1]
    members, contents = {}, {}
    with tarfile.open(oci.blob_path(base.layout, layer.digest)) as archive:
        for member in archive:
            members[member.name] = member
            stream = archive.extractfile(member) if member.isreg() else None
            contents[member.name] = stream.read() if stream else b""
    return Made(base, members, contents)


@pytest.fixture(scope="module")
def service(system: Path) -> Made:
    return made(system, "service")


def test_files_keep_their_kinds_owners_rights_and_capabilities(service: Made) -> None:
    members = service.members
    assert members["usr/bin/service-root"].mode == 0o4755
    assert members["usr/bin/service"].linkname == "service-root"
    assert members["usr/share/service/two"].islnk()
    assert members["usr/share/service/two"].linkname == "usr/share/service/one"
    value = members["usr/bin/service-ping"].pax_headers["SCHILY.xattr.security.capability"]
    assert value.encode("utf-8", "surrogateescape").hex() == CAPABILITY
    account = next(
        line for line in service.contents["etc/passwd"].decode().splitlines() if line.startswith("service:")
    )
    uid, gid = account.split(":")[2:4]
    assert (members["var/lib/service"].uid, members["var/lib/service"].gid) == (int(uid), int(gid))
    assert {m.mtime for m in members.values()} == {315532800}


def test_the_layer_is_the_difference_and_nothing_else(service: Made) -> None:
    names = set(service.members)
    assert {
        "opt/base/.wh.gone",
        "opt/base/replaced/.wh.old",
        "opt/base/replaced/new",
        "opt/base/closed",
    } <= names
    assert service.members["opt/base/closed"].mode == 0o600
    assert not {"opt/base", "opt/base/same", "usr", "usr/bin", "etc", "opt/base/replaced"} & names
    assert "var/log/service" in names
    unwanted = ("var/log/service.log", "run", "var/cache/apt", "var/lib/apt/lists", "etc/resolv.conf", "etc/hosts",
                "usr/sbin/policy-rc.d", "etc/ssh/ssh_host_rsa_key", "usr/share/man", "usr/share/doc/service/README")  # fmt: skip
    assert [n for n in names if n.startswith(unwanted)] == []
    assert "usr/share/doc/service/copyright" in names


def test_scripts_see_the_bases_owners_and_neither_network_nor_secrets(service: Made) -> None:
    told = service.contents["var/lib/service/told"].decode().splitlines()
    assert told == ["policy 101", "no network", "no secrets", "shadow 42 0o4755"]


def test_bytecode_of_scripts_stays_valid(service: Made) -> None:
    (name,) = [n for n in service.members if n.endswith(".pyc")]
    assert name == "usr/lib/python3/dist-packages/served/__pycache__/__init__.cpython-311.pyc"
    assert int.from_bytes(service.contents[name][4:8], "little") == 1  # PEP 552: by hash, never checked


def test_the_image_says_what_it_has_and_works(service: Made) -> None:
    assert service.base.added == ("debian packages: service",)
    image = oci.read_image(service.base.layout)
    assert image.config["history"][-1]["created_by"] == "debian packages: service"
    assert len(image.config["rootfs"]["diff_ids"]) == len(image.manifest.layers)
    root = runtime.prepare(service.base.layout)
    listed = runtime.run(
        root, ["dpkg-query", "-W", "-f", "${db:Status-Abbrev}${Package} ${Version}\n", "service*"]
    )
    assert listed.stdout.splitlines() == ["ii service 1.0", "ii service-data 1.0"]
    checked = runtime.run(
        root,
        ["sh", "-c", "apt-get check && dpkg --audit && python3 -c 'import served; print(served.answer())'"],
    )
    assert checked.code == 0, checked.stderr
    assert checked.stdout.endswith("42\n")


def test_it_is_made_once_and_again_on_request(system: Path, service: Made) -> None:
    assert service.base.made_now
    again = made(system, "service")
    assert not again.base.made_now
    assert again.base.digest == service.base.digest
    assert again.base.origin == oci.read_image(system).digest


def test_the_same_packages_make_the_same_layer_elsewhere(
    system: Path, service: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where an overlay does not take the cache's name, the root is a copy: the difference is the same.
    monkeypatch.setenv("SEATRIAL_CACHE", str(tmp_path / "another:place"))
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    before = os.umask(0o077)
    try:
        again = made(system, "service")
    finally:
        os.umask(before)
    assert again.contents == service.contents
    assert [(m.name, m.mode, m.uid, m.gid) for m in again.members.values()] == [
        (m.name, m.mode, m.uid, m.gid) for m in service.members.values()
    ]
    assert again.base.digest == service.base.digest


def test_versions_can_be_exact(system: Path) -> None:
    assert made(system, "versioned").contents["usr/share/versioned/version"] == b"2.0"
    assert made(system, "versioned=1.0").contents["usr/share/versioned/version"] == b"1.0"


@pytest.mark.parametrize(
    ("package", "why", "fix"),
    [
        ("no-such-thing", "Unable to locate package no-such-thing", "check the name"),
        ("versioned=3.0", "Version '3.0' for 'versioned' was not found", "give a version"),
        ("unmet", "unmet : Depends: nothing-has-this", "leave one of the packages out"),
        (
            "broken",
            "post-installation script subprocess returned error exit status 3",
            "the package's own script",
        ),
    ],
)
def test_what_cannot_be_installed_is_explained(system: Path, package: str, why: str, fix: str) -> None:
    with pytest.raises(SeatrialError) as caught:
        made(system, package)
    assert why in (caught.value.why or "")
    assert fix in (caught.value.fix or "")
    assert caught.value.exit_code == 1


def test_a_base_without_apt_is_refused(system: Path, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    debian.image(layout, [[Item("bin/sh", b"")]])
    with pytest.raises(SeatrialError, match="cannot be installed into") as caught:
        made(layout, "service")
    assert "apt-get" in (caught.value.why or "")


def test_a_killed_installation_leaves_nothing(system: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from seatrial.images.assemble.store import using; from seatrial.images.bases import prepare\n"
        "with using() as use: prepare(sys.argv[1], use, packages=['slow'])"
    )
    env = os.environ | {"SEATRIAL_CACHE": str(tmp_path / "cache")}
    with subprocess.Popen([sys.executable, "-c", program, str(system)], env=env) as process:
        _until(lambda: _running(str(tmp_path), "sleep"))
        process.send_signal(signal.SIGKILL)
    _until(lambda: not _running(str(tmp_path), ""))
    assert str(tmp_path) not in Path("/proc/mounts").read_text()
    assert not list((tmp_path / "cache" / "bases").glob("packages-*"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEATRIAL_CACHE", str(tmp_path / "cache"))
        with using():
            pass
        assert list((tmp_path / "cache" / "scratch").iterdir()) == []


def _until(true: object, limit: float = 60.0) -> None:
    end = time.monotonic() + limit
    while not true():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.05)


def _running(place: str, name: str) -> list[str]:
    """Programs called `name` that see a mount below `place`, or any that do."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            if place in (process / "mounts").read_text() and words[0].decode().endswith(name) and words[0]:
                found.append(words[0].decode())
        except OSError:
            continue
    return found


def test_the_layer_has_the_digest_that_it_says(service: Made) -> None:
    image = oci.read_image(service.base.layout)
    layer = image.manifest.layers[-1]
    blob = oci.blob_path(service.base.layout, layer.digest).read_bytes()
    assert layer.digest == f"sha256:{hashlib.sha256(blob).hexdigest()}"
    assert layer.size == len(blob)


def test_packages_go_on_a_base_from_a_private_registry_that_is_needed_once(
    system: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEATRIAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)
    auth = base64.b64encode(b"me:s3cret").decode()
    with registries.running(tmp_path / "registry", login=("me", "s3cret")) as host:
        (tmp_path / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))
        digest = push(system, f"{host}/team/base:1").digest
        pinned = f"{host}/team/base@{digest}"
        with using() as use:
            first = prepare(pinned, use, packages=("versioned",))
            moving = prepare(f"{host}/team/base:1", use, packages=("versioned",))
    assert (first.origin, first.name, first.notes) == (digest, pinned, ())
    assert moving.digest == first.digest
    assert "may be another image tomorrow" in moving.notes[0]
    (tmp_path / "config.json").unlink()
    with using() as use:
        again = prepare(pinned, use, packages=("versioned",))
    assert (again.digest, again.made_now) == (first.digest, False)
    held = b"".join(
        p.read_bytes() for p in again.layout.rglob("*") if p.is_file() and p.stat().st_size < 1 << 20
    )
    assert b"s3cret" not in held
