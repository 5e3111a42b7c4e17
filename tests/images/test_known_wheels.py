"""A wheel is compared with its RECORD once; what is remembered of it changes nothing but the time it takes."""

from __future__ import annotations

import shutil
import zipfile
from typing import TYPE_CHECKING

import pytest

from seatrial.errors import SeatrialError
from seatrial.images.assemble.image import assemble_project
from support import assembling, wheels

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.images.assemble.spec import ImageSpec

CONTENT = b"\n".join(b"%d" % number for number in range(30_000))


@pytest.fixture
def asked(wheelhouse: Path, tmp_path: Path) -> ImageSpec:
    folder = assembling.project(tmp_path / "project", wheelhouse)
    wheels.wheel(wheelhouse, "larger", "1.0", {"larger/numbers.txt": CONTENT, "larger/__init__.py": b""})
    (folder / "requirements.txt").write_text("outer\nlarger\n")
    return assembling.spec(folder, assembling.one_base(tmp_path / "base"))


def again(asked: ImageSpec, tmp_path: Path) -> str:
    """Make every layer anew from the wheels in the cache."""
    shutil.rmtree(tmp_path / "cache" / "layers", ignore_errors=True)
    return assemble_project(asked, out=tmp_path / "out").digest


def in_cache(tmp_path: Path, member: str) -> Path:
    """The wheel in the cache that has `member`."""
    for path in (tmp_path / "cache" / "wheels").iterdir():
        with zipfile.ZipFile(path) as archive:
            if member in archive.namelist():
                return path
    raise AssertionError(member)


def test_layers_made_from_memory_are_the_same(asked: ImageSpec, tmp_path: Path) -> None:
    first = again(asked, tmp_path)
    assert len(list((tmp_path / "cache" / "known").iterdir())) == 3
    assert again(asked, tmp_path) == first


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x90"])
def test_a_damaged_memory_is_none(asked: ImageSpec, tmp_path: Path, content: bytes) -> None:
    first = again(asked, tmp_path)
    for path in (tmp_path / "cache" / "known").iterdir():
        path.write_bytes(content)
    assert again(asked, tmp_path) == first


@pytest.mark.parametrize("member", ["inner/data.txt", "larger/numbers.txt"])
def test_a_wheel_that_was_damaged_since_is_refused(asked: ImageSpec, tmp_path: Path, member: str) -> None:
    again(asked, tmp_path)
    path = in_cache(tmp_path, member)
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo(member)
    data = bytearray(path.read_bytes())
    data[wheels.data_start(data, entry) + entry.compress_size // 2] ^= 0x10
    path.chmod(0o600)
    path.write_bytes(data)
    with pytest.raises(SeatrialError, match=r"damaged|not whole|longer|bytes, not"):
        again(asked, tmp_path)


def test_a_wheel_that_is_refused_is_refused_again(asked: ImageSpec, wheelhouse: Path, tmp_path: Path) -> None:
    def lying(content: dict[str, bytes]) -> bytes:
        return wheels.record_of(content | {"larger/numbers.txt": CONTENT[::-1]}, "larger-1.0.dist-info")

    wheels.wheel(wheelhouse, "larger", "1.0", {"larger/numbers.txt": CONTENT}, record=lying)
    for _ in range(2):
        with pytest.raises(SeatrialError, match="RECORD"):
            again(asked, tmp_path)
