"""What reaches the image and its report, from the settings on."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from typing import TYPE_CHECKING

from seatrial.images import layout as oci
from seatrial.images.assemble.image import ImageSpec, assemble_project
from support import bases, wheels
from support.builders import project
from support.indexes import serving

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

INFO = f"{bases.PURELIB}/inner-1.0.dist-info".lstrip("/")


def installed(out: Path) -> dict[str, bytes]:
    """The files of all layers."""
    found: dict[str, bytes] = {}
    for layer in oci.read_image(out).manifest.layers:
        data = oci.blob_path(out, layer.digest).read_bytes()
        with tarfile.open(
            fileobj=io.BytesIO(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
        ) as archive:
            for member in archive.getmembers():
                stream = archive.extractfile(member) if member.isreg() else None
                if stream is not None:
                    found[member.name.removeprefix("./")] = stream.read()
    return found


def test_an_image_of_a_project_file(
    wheelhouse: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheels.wheel(wheelhouse, "inner", "1.0")
    wheels.wheel(wheelhouse, "extra", "1.0")
    wheels.wheel(wheelhouse, "other", "1.0")
    monkeypatch.delenv("UV_OFFLINE")
    with serving(wheelhouse) as address:
        url = f"http://me:s3cret@{address}/files/inner-1.0-py3-none-any.whl"
        text = f'[project]\nname = "mine"\nversion = "1"\ndependencies = ["inner @ {url}"]\n'
        text += '[project.optional-dependencies]\nmore = ["extra"]\n[dependency-groups]\ndev = ["other"]\n'
        project(root, text)
        spec = ImageSpec(
            root=root, base=str(bases.base(tmp_path / "base")), requirements=("pyproject.toml",), extras=("more",),
            find_links=("../wheelhouse",), source=(), bytecode=False, user="web",
        )  # fmt: skip
        assemble_project(spec, out=tmp_path / "out")
    files = installed(tmp_path / "out")
    distributions = {path.split("/")[-2] for path in files if path.endswith("/METADATA")}
    assert distributions == {"inner-1.0.dist-info", "extra-1.0.dist-info"}
    origin = json.loads(files[f"{INFO}/direct_url.json"])
    assert origin["url"] == url.replace("me:s3cret@", "")
    assert "inner-1.0.dist-info/direct_url.json,sha256=" in files[f"{INFO}/RECORD"].decode()
    assert f"{INFO}/REQUESTED" not in files
    assert not any(path.endswith("direct_url.json") for path in files if "extra" in path)
    assert not any(b"s3cret" in content for content in files.values())


def test_notes_of_resolving_are_in_the_report(wheelhouse: Path, root: Path, tmp_path: Path) -> None:
    wheels.wheel(wheelhouse, "inner", "1.0")
    project(root, '[project]\nname = "mine"\nversion = "1"\ndependencies = ["inner"]\n')
    (root / "uv.lock").write_text("")
    spec = ImageSpec(
        root=root, base=str(bases.base(tmp_path / "base")), requirements=("pyproject.toml",), source=(), bytecode=False,
        user="web",
    )  # fmt: skip
    done = assemble_project(spec, out=tmp_path / "out")
    assert any(note.startswith("uv.lock is not used") for note in done.notes)
