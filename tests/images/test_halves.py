"""A very large wheel becomes two layers that are made and sent side by side; what is installed is the same."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import shutil
import tarfile
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING

import pytest

from seatrial.errors import SeatrialError
from seatrial.images import layout as oci
from seatrial.images.assemble.image import assemble_project
from support import assembling, bases, wheels

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from seatrial.images.assemble.spec import Assembled, ImageSpec

ZEROS = bytes(130 << 20)
FILES = {
    "vast/weights.bin": ZEROS,
    "vast/__init__.py": b"value = 7\n",
    "vast/data.txt": b"data\n" * 1000,
}
PLACE = bases.PURELIB.lstrip("/")


@pytest.fixture
def asked(wheelhouse: Path, tmp_path: Path) -> ImageSpec:
    folder = assembling.project(tmp_path / "project", wheelhouse)
    (folder / "requirements.txt").write_text("outer\nvast\n")
    return assembling.spec(folder, assembling.one_base(tmp_path / "base"))


def vast(wheelhouse: Path, **how: object) -> Path:
    return wheels.wheel(wheelhouse, "vast", "1.0", FILES, stored=("vast/weights.bin",), **how)  # type: ignore[arg-type]


def members(out: Path, done: Assembled, word: str) -> dict[str, bytes | None]:
    """The members of the one layer that is said to hold `word`; folders have no content."""
    [layer] = [one for one in done.images[0].layers if word in one.what]
    data = gzip.decompress(oci.blob_path(out, layer.digest).read_bytes())
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {
            one.name: stream.read() if (stream := archive.extractfile(one)) else None
            for one in archive.getmembers()
        }


def test_the_largest_files_have_a_layer_of_their_own(
    asked: ImageSpec, wheelhouse: Path, tmp_path: Path
) -> None:
    vast(wheelhouse)
    done = assemble_project(asked, out=tmp_path / "out")
    large = members(tmp_path / "out", done, "vast 1.0, largest files")
    other = members(tmp_path / "out", done, "vast 1.0, other files")
    assert [name for name, content in large.items() if content is not None] == [f"{PLACE}/vast/weights.bin"]
    assert large[f"{PLACE}/vast/weights.bin"] == ZEROS
    assert other[f"{PLACE}/vast/data.txt"] == FILES["vast/data.txt"]
    assert f"{PLACE}/vast/weights.bin" not in other
    rows = {
        row[0]: row[1:]
        for row in csv.reader(io.StringIO((other[f"{PLACE}/vast-1.0.dist-info/RECORD"] or b"").decode()))
    }
    assert rows["vast/weights.bin"] == [f"sha256={encoded(hashlib.sha256(ZEROS).digest())}", str(len(ZEROS))]
    assert {*FILES, "vast-1.0.dist-info/INSTALLER", "vast-1.0.dist-info/METADATA"} <= rows.keys()
    shutil.rmtree(tmp_path / "cache" / "layers")
    assert assemble_project(asked, out=tmp_path / "again", threads=1).digest == done.digest


def told(row: bytes) -> Callable[[dict[str, bytes]], bytes]:
    """A RECORD that says `row` of the large file."""

    def record(content: dict[str, bytes]) -> bytes:
        lines = wheels.record_of(content, "vast-1.0.dist-info").splitlines(keepends=True)
        return b"".join(row if line.startswith(b"vast/weights") else line for line in lines)

    return record


def encoded(digest: bytes) -> str:
    return urlsafe_b64encode(digest).decode().rstrip("=")


def test_a_large_file_with_another_hash_in_record_gets_its_sha256(
    asked: ImageSpec, wheelhouse: Path, tmp_path: Path
) -> None:
    row = f"vast/weights.bin,sha512={encoded(hashlib.sha512(ZEROS).digest())},{len(ZEROS)}\n"
    vast(wheelhouse, record=told(row.encode()))
    done = assemble_project(asked, out=tmp_path / "out")
    record = members(tmp_path / "out", done, "vast 1.0, other files")[f"{PLACE}/vast-1.0.dist-info/RECORD"]
    wanted = f"vast/weights.bin,sha256={encoded(hashlib.sha256(ZEROS).digest())},{len(ZEROS)}\n"
    assert wanted.encode() in (record or b"")


def test_a_large_file_that_is_not_what_record_says_is_refused(
    asked: ImageSpec, wheelhouse: Path, tmp_path: Path
) -> None:
    row = f"vast/weights.bin,sha256={encoded(hashlib.sha256(b'other').digest())},{len(ZEROS)}\n"
    vast(wheelhouse, record=told(row.encode()))
    with pytest.raises(SeatrialError, match=r"weights\.bin' is not the file that RECORD describes"):
        assemble_project(asked, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
