"""What a base must have is read from the project's own files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from seatrial.images.catalog.project import needs
from seatrial.images.story.reading import read_all
from seatrial.images.timeline.target import target

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.images.catalog.project import Needs


def _needs(folder: Path, files: dict[str, str], options: dict[str, str] | None = None) -> Needs:
    for name, content in files.items():
        (folder / name).write_text(content)
    return needs(read_all(folder), target(options or {}), today="2026-11-22")


def test_a_pinned_torch_and_what_is_compiled(tmp_path: Path) -> None:
    found = _needs(tmp_path, {"requirements.txt": "torch==2.5.1\nflash-attn==2.7.0.post2\n"})
    assert found.wanted.torch == "2.5.1"
    assert found.wanted.needs_nvcc
    assert any("flash-attn" in one for one in found.because)


def test_a_range_is_the_newest_release_in_it(tmp_path: Path) -> None:
    assert _needs(tmp_path, {"requirements.txt": "torch>=2.3,<2.5\n"}).wanted.torch == "2.4.1"


def test_torch_follows_from_what_needs_it(tmp_path: Path) -> None:
    assert _needs(tmp_path, {"requirements.txt": "torchvision==0.20.1\n"}).wanted.torch == "2.5.1"


def test_a_package_of_any_version_needs_any_torch(tmp_path: Path) -> None:
    assert _needs(tmp_path, {"requirements.txt": "torchvision\npandas\n"}).wanted.torch == ""


def test_no_torch_where_nothing_needs_it(tmp_path: Path) -> None:
    found = _needs(tmp_path, {"requirements.txt": "pandas\nscikit-learn\n"})
    assert found.wanted.torch is None
    assert not found.wanted.wants_gpu


@pytest.mark.parametrize(
    "line",
    [
        "--extra-index-url https://download.pytorch.org/whl/cu121\ntorch==2.4.1\n",
        "torch==2.4.1+cu121\n",
    ],
)
def test_the_index_or_label_says_which_cuda(tmp_path: Path, line: str) -> None:
    found = _needs(tmp_path, {"requirements.txt": line})
    assert (found.wanted.torch, found.wanted.cuda) == ("2.4.1", "12.1")


def test_a_range_is_the_newest_release_for_that_cuda(tmp_path: Path) -> None:
    found = _needs(
        tmp_path, {"requirements.txt": "--index-url https://download.pytorch.org/whl/cu118\ntorch>=2.1\n"}
    )
    assert (found.wanted.torch, found.wanted.cuda) == ("2.7.1", "11.8")


def test_a_cuda_that_no_torch_is_known_for_is_left_open(tmp_path: Path) -> None:
    found = _needs(
        tmp_path, {"requirements.txt": "--index-url https://download.pytorch.org/whl/cu110\ntorch==2.5.1\n"}
    )
    assert (found.wanted.torch, found.wanted.cuda) == ("2.5.1", "")
    assert any("11.0" in one for one in found.because)


def test_a_dockerfile_says_what_it_is_built_on_and_where_it_installs_from(tmp_path: Path) -> None:
    dockerfile = (
        "FROM nvidia/cuda:12.1.1-devel-ubuntu22.04 AS build\n"
        "RUN pip install torch==2.4.1 --index-url https://download.pytorch.org/whl/cu124\n"
        "FROM build\n"
    )
    found = _needs(tmp_path, {"Dockerfile": dockerfile})
    assert found.bases == ("nvidia/cuda:12.1.1-devel-ubuntu22.04",)
    assert (found.wanted.torch, found.wanted.cuda) == ("2.4.1", "12.4")


@pytest.mark.parametrize(
    ("base", "torch", "nvcc"),
    [
        ("pytorch/pytorch:2.1.2-cuda12.1-cudnn8-runtime", "2.1.2", False),
        ("pytorch/pytorch:2.1.2-cuda12.1-cudnn8-devel", "2.1.2", True),
        ("nvcr.io/nvidia/pytorch:24.07-py3", "2.4", True),
    ],
)
def test_what_the_files_leave_open_the_base_says(tmp_path: Path, base: str, torch: str, nvcc: bool) -> None:
    found = _needs(tmp_path, {"Dockerfile": f"FROM {base}\nRUN pip install pandas\n"})
    assert (found.wanted.torch, found.wanted.needs_nvcc) == (torch, nvcc)
    assert all("the base has it now" in one for one in found.because)


def test_a_plain_cuda_base_says_which_cuda(tmp_path: Path) -> None:
    found = _needs(
        tmp_path, {"Dockerfile": "FROM nvidia/cuda:12.4.1-runtime-ubuntu22.04\nRUN pip install cupy\n"}
    )
    assert (found.wanted.torch, found.wanted.cuda, found.wanted.needs_nvcc) == (None, "12.4", False)


def test_a_stage_that_is_only_copied_from_is_no_base(tmp_path: Path) -> None:
    dockerfile = (
        "FROM alpine/git AS source\nRUN git clone x\nFROM python:3.12-slim\nCOPY --from=source /x /x\n"
    )
    assert _needs(tmp_path, {"Dockerfile": dockerfile}).bases == ("python:3.12-slim",)


def test_a_server_is_replaced_by_a_server(tmp_path: Path) -> None:
    found = _needs(tmp_path, {"Dockerfile": "FROM vllm/vllm-openai:v0.8.5\nRUN pip install boto3\n"})
    assert found.wanted.serving == "vllm"


def test_the_target_says_python_gpus_and_driver(tmp_path: Path) -> None:
    found = _needs(
        tmp_path,
        {"requirements.txt": "torch\n", ".python-version": "3.10\n"},
        {"python": "3.12", "gpu": "H100+rtx5090", "driver": "535.129.03"},
    )
    assert found.wanted.python == "3.12"
    assert found.wanted.capabilities == ("9.0", "12.0")
    assert found.wanted.driver == "535.129.03"


def test_the_projects_own_python(tmp_path: Path) -> None:
    assert (
        _needs(tmp_path, {"requirements.txt": "torch\n", ".python-version": "3.10.4\n"}).wanted.python
        == "3.10"
    )


def test_the_cuda_that_a_driver_supports_stands_for_the_driver(tmp_path: Path) -> None:
    assert _needs(tmp_path, {"requirements.txt": "torch\n"}, {"cuda": "12.4"}).wanted.driver.startswith(
        "550."
    )


def test_an_empty_folder_needs_nothing(tmp_path: Path) -> None:
    found = needs(read_all(tmp_path), target({}))
    assert found.bases == ()
    assert found.because == ()
