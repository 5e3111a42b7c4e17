"""A lock of real packages, from the public index, accepted by uv; skipped where the index cannot be reached."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from seatrial.checking.locking import lock
from seatrial.images.solving.places import PUBLIC, reachable
from seatrial.images.uv_program import find_uv
from support.image_checks import write

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

DOCKERFILE = """\
FROM python:3.{minor}-slim
RUN pip install torch==2.4.0 torchvision==0.19.0
RUN pip install transformers==4.44.0 "numpy<2" "uvicorn[standard]"
"""


@pytest.mark.parametrize("name", ["requirements.lock", "pylock.toml"])
def test_uv_accepts_a_lock_of_real_packages(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEATRIAL_CACHE", str(tmp_path / "cache"))
    if not reachable(PUBLIC):
        pytest.skip("the public package index cannot be reached")
    minor = sys.version_info.minor
    write(tmp_path, {"Dockerfile": DOCKERFILE.format(minor=minor)})

    written = lock(tmp_path, tmp_path / name, {})

    assert written.packages["torch"] == "2.4.0"
    assert written.packages["numpy"] == "1.26.4"
    assert "uvloop" in written.packages
    assert ("://" in (tmp_path / name).read_text()) == (name == "pylock.toml")
    uv = find_uv()
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(tmp_path / "venv")], check=True)
    hashes = [] if name == "pylock.toml" else ["--require-hashes"]
    done = subprocess.run(
        [uv, "pip", "install", "--python", str(tmp_path / "venv"), "--dry-run", *hashes, "-r", name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert all(f" + {one}==" in done.stderr for one in written.packages)
