"""A base is asked, not guessed: where its Python is, what it holds, and what cannot be a base."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from seatrial.errors import MissingToolError, SeatrialError, UsageError
from seatrial.images import layout as oci
from seatrial.images.assemble.store import using
from seatrial.images.base_tree import Tree, extract, read_tree, resolve
from seatrial.images.bases import prepare
from seatrial.images.debian import command, mirrors
from seatrial.images.probe import Probed, probe
from seatrial.images.system.sources import parse
from support import bases

MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"


def asked(layout: Path, platform: str = "linux/amd64") -> Probed:
    with using() as use:
        return probe(prepare(str(layout), use, platform=platform), use)


def test_the_bases_own_python_answers(wheelhouse: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"], capture_output=True, check=False
    ) if shutil.which("bwrap") else None  # fmt: skip
    if done is None or done.returncode:
        pytest.skip("bwrap (bubblewrap) is missing or blocked")
    found = asked(
        bases.base(
            tmp_path / "base", links={"/usr/local/man": "share/man"}, extra={"/usr/local/share/man/x": b""}
        )
    )
    python = found.interpreter
    assert python.runs
    assert python.compiler is not None
    assert python.version == platform.python_version()
    assert python.scheme.purelib == bases.PURELIB
    assert python.scheme.shebang == "/usr/local/bin/python3"
    assert python.scheme.scripts == "/usr/local/bin"
    assert python.target.glibc == os.confstr("CS_GNU_LIBC_VERSION").split()[1]  # type: ignore[union-attr]
    import importlib.util

    assert python.magic == importlib.util.MAGIC_NUMBER.hex()


def test_without_running_it_the_files_tell_the_same(
    wheelhouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = bases.base(tmp_path / "base")
    monkeypatch.setenv("PATH", "/nonexistent")
    found = asked(layout)
    python, tree = found.interpreter, found.tree
    assert not python.runs
    assert python.compiler is None
    assert python.version == platform.python_version()
    assert python.scheme.purelib == bases.PURELIB
    assert python.target.python == MINOR
    assert python.target.glibc == os.confstr("CS_GNU_LIBC_VERSION").split()[1]  # type: ignore[union-attr]
    assert "/usr/local/bin/python3" in tree.links


def test_upper_layers_remove_and_replace(wheelhouse: Path, tmp_path: Path) -> None:
    layout = bases.base(
        tmp_path / "base",
        extra={"/opt/a/bin/one": b"", "/opt/b/bin/two": b"", "/opt/c/bin/three": b""},
        layers=[
            {"/opt/a/.wh.bin": b"", "/opt/b/bin/.wh..wh..opq": b"", "/opt/b/bin/new": b""},
            {"/opt/c/bin": b""},
        ],
        python=False,
    )
    tree = read_tree(layout, oci.read_image(layout))
    assert {p for p in tree.programs if p.startswith("/opt")} == {"/opt/b/bin/new"}


def tree_of(links: dict[str, str]) -> Tree:
    return Tree(folders=set(), links=links, programs=set(), texts={}, eggs=set())


def test_links_are_followed_within_the_root() -> None:
    tree = tree_of({"/lib": "usr/lib", "/usr/lib/x": "../../../../etc", "/abs": "/lib/y", "/up": ".."})
    assert resolve(tree, "/lib/python3/z") == "/usr/lib/python3/z"
    assert resolve(tree, "/lib/x/passwd") == "/etc/passwd"
    assert resolve(tree, "/abs") == "/usr/lib/y"
    assert resolve(tree, "/up/up/bin") == "/bin"
    with pytest.raises(SeatrialError, match="in a circle"):
        resolve(tree_of({"/a": "b", "/b": "a"}), "/a/x")


def test_a_hostile_base_cannot_write_outside_while_it_is_read(wheelhouse: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    layout = bases.base(
        tmp_path / "base",
        links={"/usr/lib/evil": str(outside), "/usr/up": "../../../../../../../../../.." + str(outside)},
        layers=[{"/usr/lib/evil/pwned": b"x", "/usr/up/pwned": b"x"}],
        python=False,
    )
    image = oci.read_image(layout)
    root = tmp_path / "root"
    root.mkdir()
    extract(layout, image, read_tree(layout, image), root, lambda _path: True)
    assert list(outside.iterdir()) == []
    assert not (tmp_path / "pwned").exists()


def test_a_base_without_python_or_glibc_is_refused(wheelhouse: Path, tmp_path: Path) -> None:
    with pytest.raises(SeatrialError, match="has no Python") as caught:
        asked(bases.base(tmp_path / "bare", python=False))
    assert caught.value.fix


def test_damage_is_named(wheelhouse: Path, tmp_path: Path) -> None:
    layout = bases.base(tmp_path / "base")
    layer = oci.read_image(layout).manifest.layers[0]
    blob = oci.blob_path(layout, layer.digest)
    blob.write_bytes(blob.read_bytes()[:100_000])
    with pytest.raises(SeatrialError, match="is damaged"):
        asked(layout)


def test_a_base_for_another_platform_is_not_taken(wheelhouse: Path, tmp_path: Path) -> None:
    with pytest.raises(SeatrialError, match="no image"):
        asked(bases.base(tmp_path / "base"), platform="linux/arm64")


def test_packages_are_named_rightly(wheelhouse: Path) -> None:
    with using() as use, pytest.raises(UsageError, match="not the name of a Debian package"):
        prepare("debian:bookworm", use, packages=("libgl1;reboot",))


def test_without_mmdebstrap_it_is_said(wheelhouse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if any(Path(folder, "mmdebstrap").exists() for folder in ("/usr/sbin", "/sbin", "/usr/local/sbin")):
        pytest.skip("mmdebstrap is where it is always found")
    monkeypatch.setenv("PATH", "/nonexistent")
    with using() as use, pytest.raises(MissingToolError, match="mmdebstrap is not installed"):
        prepare("debian:bookworm", use)


def test_the_command_line_of_a_debian_base_names_files_that_may_hold_passwords(tmp_path: Path) -> None:
    sources, options = tmp_path / "mirrors.sources", tmp_path / "apt.conf"
    argv = command("mmdebstrap", "bookworm", "amd64", ["python3", "libgl1"], sources, options)
    assert argv[0] == "mmdebstrap"
    assert argv[-3:] == ["bookworm", "-", str(sources)]
    assert f"--aptopt={options}" in argv
    assert "--include=python3,libgl1" in argv
    assert "--architectures=amd64" in argv
    assert command("mmdebstrap", "bookworm", "amd64", [], None, options)[-2:] == ["bookworm", "-"]


def test_a_base_comes_from_the_mirrors_of_this_machine_that_have_its_suite() -> None:
    lines = """\
deb [signed-by=/usr/share/keyrings/corp.gpg] http://mirror.example/debian bookworm main contrib
deb http://mirror.example/debian bookworm-updates bookworm-backports main
deb http://mirror.example/debian sid main
deb http://packages.example/tools bookworm main
deb cdrom:[Debian] bookworm main
"""
    machine = parse([("sources.list", lines)])
    found = mirrors("debian", "bookworm", "amd64", machine)
    assert [(s["uris"], s["suites"]) for s in found] == [
        ("http://mirror.example/debian", "bookworm"),
        ("http://mirror.example/debian", "bookworm-updates"),
    ]
    assert found[0]["signed-by"] == "/usr/share/keyrings/corp.gpg"
    ports = parse([("x.list", "deb http://archive.ubuntu.com/ubuntu noble main")])
    foreign = "arm64" if platform.machine() == "x86_64" else "amd64"
    assert mirrors("ubuntu", "noble", foreign, ports) == []
