"""A spliced layer is an ordinary tar.gz that holds exactly what installing the wheel gives."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import subprocess
import sys
import tarfile
import zipfile
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seatrial.images.assemble import tar
from seatrial.images.assemble.install import Scheme, write_wheels
from seatrial.images.assemble.layer import LayerWriter, WrittenLayer, stored
from seatrial.images.assemble.wheel import read_wheel
from support import parity, wheels

if TYPE_CHECKING:
    from pathlib import Path

MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"
LIBRARY = f"/usr/local/lib/python{MINOR}/site-packages"
SCHEME = Scheme(
    purelib=LIBRARY, platlib=LIBRARY, scripts="/usr/local/bin", headers=f"/usr/local/include/python{MINOR}",
    data="/usr/local", shebang="/usr/bin/python3",
)  # fmt: skip
VARIED = {
    "demo/__init__.py": b"def main():\n    pass\n",
    "demo/sub/" + "very" * 30 + "/" + "long" * 24 + ".py": b"x = 1\n",
    "demo/\u00fcml\u00e4ut.txt": "gr\u00fc\u00dfe".encode(),
    "demo/empty": b"",
    "demo/program": b"#!/bin/sh\n",
    "demo/large.bin": bytes(range(256)) * 20_000,
    "demo-1.0.data/scripts/tool": b"#!python -E\nprint('tool')\n",
    "demo-1.0.data/scripts/plain.sh": b"#!/bin/sh\necho plain\n",
    "demo-1.0.data/data/share/demo/text": b"shared",
    "demo-1.0.data/headers/demo.h": b"#define DEMO\n",
    "demo-1.0.data/purelib/pure_part.py": b"y = 2\n",
    "demo-1.0.data/platlib/plat_part.py": b"z = 3\n",
}
ENTRY_POINTS = "[console_scripts]\ndemo = demo:main\ndemo-deep = demo.sub:cls.run [extra]\n\n[gui_scripts]\nwin=demo:main\n"


def splice(*paths: Path) -> tuple[WrittenLayer, bytes]:
    out = io.BytesIO()
    with LayerWriter(out) as writer:
        write_wheels(writer, [read_wheel(path, path.name) for path in paths], SCHEME)
        return writer.finish(), out.getvalue()


def members(layer: bytes) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(layer), mode="r:gz") as archive:
        found = {}
        for member in archive:
            assert member.name not in found, "a tar must not name a file twice"
            stream = archive.extractfile(member) if member.isfile() else None
            found["/" + member.name] = (member, stream.read() if stream else b"")
        return found


def varied(folder: Path) -> Path:
    return wheels.wheel(
        folder,
        files=VARIED,
        entry_points=ENTRY_POINTS,
        stored=("demo/empty", "demo/program"),
        executable=("demo/program",),
    )


def test_digests_describe_the_bytes_and_other_programs_read_them(tmp_path: Path) -> None:
    written, layer = splice(varied(tmp_path))
    assert written.digest == "sha256:" + hashlib.sha256(layer).hexdigest()
    assert written.diff_id == "sha256:" + hashlib.sha256(gzip.decompress(layer)).hexdigest()
    assert written.size == len(layer)
    listed = subprocess.run(["tar", "-tz"], input=layer, capture_output=True, check=True).stdout.decode()
    assert f"{LIBRARY[1:]}/demo/__init__.py" in listed.splitlines()


def test_the_wheels_own_streams_are_taken_over(tmp_path: Path) -> None:
    path = varied(tmp_path)
    _, layer = splice(path)
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo("demo/large.bin")
    data = path.read_bytes()
    place = wheels.data_start(data, entry)
    assert data[place : place + entry.compress_size] in layer


def test_pip_installs_the_same_files(tmp_path: Path) -> None:
    """Bytecode, RECORD, INSTALLER, REQUESTED and direct_url aside; scripts have their own interpreter's line."""
    if subprocess.run(
        [sys.executable, "-m", "pip", "--version"], capture_output=True, check=False
    ).returncode:
        pytest.skip("pip is not installed in this environment")
    path, root = varied(tmp_path), tmp_path / "root"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile", "--no-warn-script-location",
         "--ignore-installed", "--root-user-action=ignore", "--root", str(root), "--prefix", "/usr/local", str(path)],
        check=True,
    )  # fmt: skip
    ours = {name: content for name, (member, content) in members(splice(path)[1]).items() if member.isfile()}
    theirs = {"/" + p.relative_to(root).as_posix(): p for p in root.rglob("*") if p.is_file()}
    aside = ("/RECORD", "/INSTALLER", "/REQUESTED", "/direct_url.json")
    # In a virtual environment pip puts headers into include/site.
    placed = {
        name.replace("/include/site/", "/include/"): p
        for name, p in theirs.items()
        if not name.endswith(aside)
    }
    assert {name for name in ours if not name.endswith(aside)} == set(placed)
    for name, place in placed.items():
        content = place.read_bytes()
        if content.startswith(b"#!") and b"python" in content.split(b"\n")[0]:
            content = b"#!/usr/bin/python3\n" + content.split(b"\n", 1)[1]
        assert parity.wrapped(ours[name]) == parity.wrapped(content), name


def test_modes_times_and_owners_say_nothing_of_this_machine(tmp_path: Path) -> None:
    for name, (member, _) in members(splice(varied(tmp_path))[1]).items():
        assert (member.mtime, member.uid, member.gid) == (tar.EPOCH, 0, 0)
        runs = member.isdir() or "/bin/" in name or name.endswith("/demo/program")
        assert member.mode == (0o755 if runs else 0o644), name


def test_record_lists_every_file_with_its_hash(tmp_path: Path) -> None:
    found = {n: c for n, (m, c) in members(splice(varied(tmp_path))[1]).items() if m.isfile()}
    record = f"{LIBRARY}/demo-1.0.dist-info/RECORD"
    rows = {row[0]: row[1:] for row in csv.reader(io.StringIO(found[record].decode()))}
    import posixpath

    assert {posixpath.normpath(f"{LIBRARY}/{name}") for name in rows} == set(found)
    for name, (digest, size) in rows.items():
        content = found[posixpath.normpath(f"{LIBRARY}/{name}")]
        if not name.endswith("/RECORD"):
            assert digest == "sha256=" + urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip(
                "="
            )
            assert int(size) == len(content)
    assert f"{LIBRARY}/demo-1.0.dist-info/INSTALLER" in found


def test_only_folders_that_belong_to_the_wheel_are_in_the_layer(tmp_path: Path) -> None:
    """A folder of the base would lose its mode and owner."""
    folders = {name for name, (member, _) in members(splice(varied(tmp_path))[1]).items() if member.isdir()}
    assert f"{LIBRARY}/demo" in folders
    assert not folders & {LIBRARY, "/usr", "/usr/local", "/usr/local/bin", "/usr/local/lib"}


def test_folders_of_the_base_that_are_links_stay_links(tmp_path: Path) -> None:
    import msgspec

    path = wheels.wheel(tmp_path, files={"demo.py": b"", "demo-1.0.data/data/man/man1/demo.1": b".TH"})
    scheme = msgspec.structs.replace(SCHEME, links=(("/usr/local/man", "/usr/local/share/man"),))
    out = io.BytesIO()
    with LayerWriter(out) as writer:
        write_wheels(writer, [read_wheel(path, path.name)], scheme)
        writer.finish()
    found = members(out.getvalue())
    assert "/usr/local/share/man/man1/demo.1" in found
    assert not any(name.startswith("/usr/local/man") for name in found)


def test_two_wheels_in_one_layer_write_a_shared_file_once(tmp_path: Path) -> None:
    first = wheels.wheel(tmp_path, "aaa", files={"space/__init__.py": b"# a", "aaa.py": b""})
    second = wheels.wheel(tmp_path, "bbb", files={"space/__init__.py": b"# b", "bbb.py": b""})
    out = io.BytesIO()
    with LayerWriter(out) as writer:
        done = write_wheels(writer, [read_wheel(p, p.name) for p in (first, second)], SCHEME)
        writer.finish()
    assert members(out.getvalue())[f"{LIBRARY}/space/__init__.py"][1] == b"# b"
    assert done.disputed == (f"{LIBRARY}/space/__init__.py",)


def test_the_same_wheel_gives_the_same_bytes(tmp_path: Path) -> None:
    path = varied(tmp_path)
    assert splice(path)[1] == splice(path)[1]


@settings(max_examples=60, deadline=None)
@given(
    name=st.text(st.characters(exclude_categories=["C"], exclude_characters="/"), min_size=1, max_size=120),
    folder=st.integers(0, 40),
    size=st.sampled_from([0, 1, 511, 512, 513]),
    mode=st.sampled_from([0o644, 0o755]),
    target=st.text("ab/.", max_size=130),
)
def test_headers_are_read_back_as_they_were_meant(
    name: str, folder: int, size: int, mode: int, target: str
) -> None:
    path = "folder/" * folder + name
    kind = tar.SYMLINK if target else tar.FILE
    content = b"" if target else bytes(size)
    raw = tar.header(path, size=len(content), mode=mode, kind=kind, target=target) + content
    raw += tar.padding(len(content)) + bytes(1024)
    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        (member,) = archive.getmembers()
    assert (member.name, member.size, member.mode, member.linkname) == (path, len(content), mode, target)


@settings(max_examples=30, deadline=None)
@given(st.binary(min_size=1, max_size=200) | st.integers(65_530, 200_000).map(bytes))
def test_stored_streams_are_deflate(data: bytes) -> None:
    import zlib

    inflater = zlib.decompressobj(-15)
    assert inflater.decompress(stored(data)) == data
    assert inflater.eof
