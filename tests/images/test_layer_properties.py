"""Whatever a wheel holds, its layer is what tarfile and zipfile say it should be."""

from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from seatrial.errors import SeatrialError
from seatrial.images import layout as oci
from seatrial.images.assemble.install import placements, write_wheels
from seatrial.images.assemble.layer import LayerWriter, WrittenLayer
from seatrial.images.assemble.wheel import read_wheel
from support import wheels
from support.layer_digests import LIBRARY, SCHEME

QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
LETTERS = st.characters(exclude_categories=["C", "Z"], exclude_characters="/\\:")
PART = st.text(LETTERS, min_size=1, max_size=40).filter(
    lambda t: t not in (".", "..") and not t.startswith(".wh.")
)
CONTENT = st.binary(max_size=2000) | st.builds(
    lambda a, n: a * n, st.binary(min_size=1, max_size=40), st.integers(1, 5000)
)
FILES = st.dictionaries(
    st.lists(PART, min_size=1, max_size=4).map("/".join),
    st.tuples(CONTENT, st.booleans(), st.booleans()),
    min_size=1,
    max_size=12,
)


def layer_of(paths: list[Path]) -> tuple[WrittenLayer, bytes]:
    out = io.BytesIO()
    with LayerWriter(out) as writer:
        write_wheels(writer, [read_wheel(path, path.name) for path in paths], SCHEME)
        return writer.finish(), out.getvalue()


def made(folder: str, files: dict[str, tuple[bytes, bool, bool]]) -> Path:
    """A wheel with these files (content, stored, executable); not drawn when no wheel may hold them together."""
    placed = {f"pkg/{path}": value for path, value in files.items()}
    path = wheels.wheel(
        Path(folder), "pkg", "1.0", {name: content for name, (content, _, _) in placed.items()},
        stored=tuple(n for n, (_, stored, _) in placed.items() if stored),
        executable=tuple(n for n, (_, _, runs) in placed.items() if runs),
    )  # fmt: skip
    try:
        read_wheel(path, path.name)
    except SeatrialError as error:
        assume("both a file and a folder" not in str(error))
        assume("two spellings" not in str(error))
        assume("longer than a path" not in str(error))
        raise
    return path


@QUICK
@given(files=FILES)
def test_the_layer_is_what_the_wheel_holds(files: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = made(folder, files)
        written, layer = layer_of([path])
        plain = gzip.decompress(layer)
        assert written.diff_id == f"sha256:{hashlib.sha256(plain).hexdigest()}"
        assert written.digest == f"sha256:{hashlib.sha256(layer).hexdigest()}"
        with tarfile.open(fileobj=io.BytesIO(plain)) as archive, zipfile.ZipFile(path) as wheel:
            members = archive.getmembers()
            assert len({m.name for m in members}) == len(members)
            seen: set[str] = set()
            for member in members:
                parent = "/" + member.name.rpartition("/")[0]
                assert parent in seen or not parent.startswith(f"{LIBRARY}/"), (
                    "a folder comes before what is in it"
                )
                seen.add("/" + member.name)
            for name in wheel.namelist():
                if name.endswith("RECORD"):
                    continue
                found = archive.getmember(f"{LIBRARY.lstrip('/')}/{name}")
                stream = archive.extractfile(found)
                assert stream is not None
                assert stream.read() == wheel.read(name)
                assert found.mode == (0o755 if wheel.getinfo(name).external_attr >> 16 & 0o111 else 0o644)


@QUICK
@given(files=FILES)
def test_places_are_sorted_unique_and_inside(files: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = made(folder, files)
        paths = [placed.path for placed in placements(read_wheel(path, path.name), SCHEME)]
    assert paths == sorted(set(paths))
    assert all(path.startswith("/usr/local/") and ".." not in path.split("/") for path in paths)


@QUICK
@given(data=st.data())
def test_a_changed_byte_never_passes(data: st.DataObject) -> None:
    """Wherever a wheel is damaged, it is refused, or the damage is in nothing that is installed."""
    with tempfile.TemporaryDirectory() as folder:
        path = wheels.wheel(
            Path(folder), files={"demo/__init__.py": b"x = 1\n" * 40, "demo/data.bin": bytes(range(256)) * 20}
        )
        _, whole = layer_of([path])
        raw = bytearray(path.read_bytes())
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place] ^= data.draw(st.integers(1, 255))
        path.write_bytes(raw)
        try:
            _, layer = layer_of([path])
        except SeatrialError:
            return
        with (
            tarfile.open(fileobj=io.BytesIO(gzip.decompress(layer))) as ours,
            tarfile.open(fileobj=io.BytesIO(gzip.decompress(whole))) as theirs,
        ):
            names = [m.name for m in ours]
            assert names == [m.name for m in theirs]
            for name in names:
                a, b = ours.getmember(name), theirs.getmember(name)
                if a.isfile() and not name.endswith("RECORD"):
                    one, other = ours.extractfile(a), theirs.extractfile(b)
                    assert one is not None
                    assert other is not None
                    assert one.read() == other.read()


def test_other_programs_read_a_layer_of_many_members(tmp_path: Path) -> None:
    """gzip, GNU tar and skopeo, which compares every digest while it copies."""
    texts = {f"demo/f{n}.py": f"value = {n}\n".encode() * n for n in range(300)}
    path = wheels.wheel(tmp_path, files={**texts, "demo/big": bytes(range(256)) * 9000})
    written, layer = layer_of([path])
    (tmp_path / "layer.tar.gz").write_bytes(layer)
    assert subprocess.run(["gzip", "-t", str(tmp_path / "layer.tar.gz")], check=False).returncode == 0
    (tmp_path / "out").mkdir()
    subprocess.run(["tar", "-xzf", str(tmp_path / "layer.tar.gz"), "-C", str(tmp_path / "out")], check=True)
    for name, content in texts.items():
        assert (tmp_path / "out" / LIBRARY.lstrip("/") / name).read_bytes() == content
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is not installed")
    described = oci.Descriptor(oci.LAYER_GZIP, written.digest, written.size)
    layout = tmp_path / "image"
    oci.create(layout)
    assert oci.add_blob(layout, layer, oci.LAYER_GZIP).digest == described.digest
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [written.diff_id]},
    }
    manifest = oci.Manifest(config=oci.add_blob(layout, oci.encode(config), oci.CONFIG), layers=(described,))
    oci.set_index(layout, oci.Index(manifests=(oci.add_blob(layout, oci.encode(manifest), oci.MANIFEST),)))
    # To a docker-archive the layer is unpacked, and compared with its diff_id.
    done = subprocess.run(
        ["skopeo", "copy", "--insecure-policy", f"oci:{layout}", f"docker-archive:{tmp_path / 'archive.tar'}:demo:1"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
