"""An image that was just assembled is tried before it goes anywhere; once is enough."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from seatrial.errors import SeatrialError
from seatrial.images.registry import resolve
from seatrial.images.testing import smoke as smokes
from support.debian import base, needs_bwrap
from support.registries import running
from support.wheels import wheel

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def bwrap() -> None:
    needs_bwrap()


@pytest.fixture
def project(tmp_path: Path, wheelhouse: Path) -> Path:
    """A project on the real Debian base that needs `outer`, which needs `inner`."""
    wheel(wheelhouse, "inner", "1.0", {"inner.py": b"value = 7\n"})
    wheel(wheelhouse, "outer", "1.0", {"outer.py": b"import inner\n"}, requires=("inner",))
    place = tmp_path / "project"
    place.mkdir()
    (place / "requirements.txt").write_text("outer\n")
    (place / "app.py").write_text("print(1)\n")
    (place / "seatrial.yaml").write_text(
        f"images: {{api: {{base: {{oci: {base()}}}, bytecode: false, entrypoint: [python3, app.py]}}}}\n"
    )
    return place


def assemble(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [
        sys.executable,
        "-m",
        "seatrial",
        "image",
        "assemble",
        str(project),
        "--oci",
        str(project.parent / "out"),
    ]
    return subprocess.run(
        [*argv, *words], env=dict(os.environ), capture_output=True, text=True, check=False, timeout=300
    )


def answer(project: Path, *words: str) -> dict[str, Any]:
    done = assemble(project, "--json", *words)
    assert done.returncode in (0, 1), done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_an_image_is_tried_once(project: Path) -> None:
    first = answer(project)["smoke"]
    assert (first["status"], first["ran"], first["left_out"]) == ("pass", "", [])
    again = answer(project)["smoke"]
    assert again["status"] == "pass"
    assert again["ran"], again
    assert again["seconds"] < 0.1
    assert answer(project, "--no-smoke")["smoke"] is None
    settings = (project / "seatrial.yaml").read_text()
    (project / "seatrial.yaml").write_text(
        settings.replace("bytecode: false", "bytecode: false, test: {smoke: false}")
    )
    assert answer(project)["smoke"] is None
    assert answer(project, "--smoke")["smoke"]["status"] == "pass"


def test_a_changed_line_of_the_project_imports_nothing_again(
    project: Path, wheelhouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Imports are counted at the one place where the suite makes them."""
    from seatrial.images.assemble.spec import AssembledImage
    from seatrial.images.testing import imports

    asked: list[list[str]] = []
    real = imports.check

    def counting(subject: Any) -> Any:
        asked.append(sorted(subject.lock))
        return real(subject)

    monkeypatch.setattr(imports, "check", counting)

    def tried(out: dict[str, Any]) -> smokes.Smoke:
        images = [
            AssembledImage(platform=one["platform"], digest=one["digest"], size=0, layers=())
            for one in out["images"]
        ]
        return smokes.smoke(project.parent / "out", images)

    assert tried(answer(project, "--no-smoke")).status == "pass"
    assert asked == [["outer"]]
    (project / "app.py").write_text("print(2)\n")
    found = tried(answer(project, "--no-smoke"))
    assert (found.status, found.ran) == ("pass", "")
    assert asked == [["outer"]]
    # What outer needs is another now, so outer is imported again.
    (wheelhouse / "inner-1.0-py3-none-any.whl").unlink()
    wheel(wheelhouse, "inner", "1.1", {"inner.py": b"value = 8\n"})
    assert tried(answer(project, "--no-smoke", "--refresh")).status == "pass"
    assert asked == [["outer"], ["outer"]]


def test_what_does_not_import_is_not_pushed_and_stays(
    project: Path, wheelhouse: Path, tmp_path: Path
) -> None:
    wheel(wheelhouse, "broken", "1.0", {"broken.py": b"import nowhere_to_be_found\n"})
    (project / "requirements.txt").write_text("broken\n")
    with running(tmp_path / "registry") as registry:
        tag = f"{registry}/team/api:1"
        done = assemble(project, "--tag", tag, "--push")
        assert done.returncode == 1
        assert "the image does not work: `import broken` fails: ModuleNotFoundError" in done.stderr
        assert "went nowhere else" in done.stderr
        assert "--no-smoke" in done.stderr
        assert (tmp_path / "out/index.json").is_file()
        with pytest.raises(SeatrialError):
            resolve(tag)
        failed = answer(project, "--tag", tag, "--push")
        assert failed["smoke"]["status"] == "fail"
        assert failed["smoke"]["checks"][0]["id"] == "imports:broken"
        assert failed["references"] == []
        assert assemble(project, "--tag", tag, "--push", "--no-smoke").returncode == 0


def test_an_entry_point_that_is_not_there(project: Path) -> None:
    settings = (project / "seatrial.yaml").read_text()
    (project / "seatrial.yaml").write_text(settings.replace("app.py]", "ap.py]"))
    done = assemble(project)
    assert done.returncode == 1
    assert "ap.py, which is not in the image" in done.stderr


def test_what_needs_a_gpu_is_only_said(project: Path, wheelhouse: Path) -> None:
    code = b"raise ImportError('libcuda.so.1: cannot open shared object file: No such file or directory')\n"
    wheel(wheelhouse, "gpu_only", "1.0", {"gpu_only.py": code})
    (project / "requirements.txt").write_text("gpu_only\n")
    done = assemble(project)
    assert done.returncode == 0, done.stderr
    assert "may need a GPU: `import gpu_only` fails" in done.stderr


def test_another_processor_is_left_out_and_said(project: Path) -> None:
    from seatrial.images.assemble.spec import AssembledImage
    from seatrial.images.target import this_platform

    other = "linux/arm64" if this_platform() == "linux/amd64" else "linux/amd64"
    image = AssembledImage(platform=other, digest="sha256:" + "0" * 64, size=0, layers=())
    found = smokes.smoke(project, [image])
    assert found.status == "skip"
    assert found.left_out == (f"{other} does not run here",)
