"""CUDA code that is compiled with another CUDA than torch was built with."""

from __future__ import annotations

import pytest

from support.image_checks import findings
from support.image_fixes import all_help, texts, titles

RULE = "image/cuda-toolkit"
DEVEL = "FROM nvidia/cuda:12.1.1-devel-ubuntu22.04\n"
TORCH = "RUN pip install torch==2.5.1 --index-url https://download.pytorch.org/whl/cu118\n"
APEX = "RUN pip install --no-build-isolation git+https://github.com/NVIDIA/apex\n"


@pytest.mark.parametrize(
    ("step", "column"),
    [
        (APEX, 38),
        ("RUN git clone https://github.com/NVIDIA/apex && cd apex && python setup.py install\n", 60),
        ("RUN DS_BUILD_OPS=1 pip install deepspeed==0.15.0\n", 32),
        ("ENV DS_BUILD_FUSED_ADAM=1\nRUN pip install deepspeed==0.15.0\n", 17),
        ("RUN pip install --no-build-isolation torch-scatter==2.1.2\n", 38),
    ],
)
def test_compiling_for_another_major_version_is_an_error(step: str, column: int) -> None:
    files = {"Dockerfile": DEVEL + TORCH + step}
    (found,) = findings(files, RULE)

    assert (found.severity, found.column) == ("error", column)
    assert "CUDA 12.1" in found.message
    assert "CUDA 11.8" in found.message
    assert titles(found)[:2] == [
        "Start from nvidia/cuda:11.8.0-devel-ubuntu22.04",
        "Install torch from PyTorch's index of cu121",
    ]
    assert texts(files, found)[1] == files["Dockerfile"].replace("cu118", "cu121")
    assert all_help(files, found)


@pytest.mark.parametrize(
    "text",
    [
        f"{DEVEL}{TORCH}RUN pip install deepspeed==0.15.0\n",
        f"{DEVEL}{TORCH}",
        f"FROM example.com/base:1\nRUN apt-get install -y cuda-toolkit-12-4\n{TORCH}{APEX}".replace(
            "example.com/base:1", "ubuntu:22.04"
        ).replace(APEX, "RUN pip install deepspeed\n"),
    ],
    ids=["when a program uses it", "nothing named", "toolkit of the distribution"],
)
def test_what_is_compiled_later_or_perhaps_is_a_warning(text: str) -> None:
    (found,) = findings({"Dockerfile": text}, RULE)

    assert found.severity == "warning"


@pytest.mark.parametrize(
    "text",
    [
        f"{DEVEL}RUN pip install torch==2.5.1\n{APEX}",
        f"FROM nvidia/cuda:11.8.0-devel-ubuntu22.04\n{TORCH}{APEX}",
        f"FROM nvidia/cuda:12.1.1-runtime-ubuntu22.04\n{TORCH}",
        f"FROM example.com/cuda:12.1-devel\n{TORCH}{APEX}",
        f"FROM pytorch/pytorch:2.5.1-cuda12.1-cudnn9-devel\n{APEX}",
        f"{DEVEL}RUN pip install torch==2.5.1 --index-url https://download.pytorch.org/whl/cpu\n{APEX}",
        f"{DEVEL}RUN apt-get install -y cuda-toolkit-11-8\n{TORCH}{APEX}",
        f"{DEVEL}{TORCH}ENV DS_SKIP_CUDA_CHECK=1\nRUN pip install torch==2.5.1 && pip install deepspeed\n".replace(
            TORCH, "RUN pip install torch==2.5.1\n"
        ),
        f"{DEVEL}{APEX}",
    ],
    ids=[
        "another minor version", "the same", "no compiler", "unknown base", "torch of the base", "cpu",
        "two toolkits", "check switched off", "no torch",
    ],
)  # fmt: skip
def test_near_misses(text: str) -> None:
    assert not findings({"Dockerfile": text}, RULE)


def test_cuda_home_chooses_among_several() -> None:
    text = (
        f"{DEVEL}RUN apt-get install -y cuda-toolkit-11-8\nENV CUDA_HOME=/usr/local/cuda-12.1\n{TORCH}{APEX}"
    )
    (found,) = findings({"Dockerfile": text}, RULE)

    assert found.severity == "error"


def test_the_toolkit_of_conda() -> None:
    text = (
        "channels: [pytorch, nvidia]\ndependencies:\n  - pytorch=2.1.0\n  - pytorch-cuda=11.8\n"
        "  - cuda-nvcc=12.1\n  - pip:\n    - deepspeed==0.12.0\n"
    )
    (found,) = findings({"environment.yml": text}, RULE)

    assert (found.severity, found.line) == ("warning", 7)


class TestDrift:
    """An unpinned torch on a base for an older CUDA."""

    def test_the_index_of_the_base_s_cuda_is_offered(self) -> None:
        files = {
            "Dockerfile": "FROM nvidia/cuda:12.1.0-runtime-ubuntu22.04\nRUN pip install torch torchvision\n"
        }
        (found,) = findings(files, RULE, python="3.11")

        assert (found.severity, found.line, found.column) == ("warning", 2, 17)
        assert titles(found) == ["Pin torch to 2.4.1", "Install torch 2.5.1 from PyTorch's index of cu121"]
        assert all_help(files, found, python="3.11")

    @pytest.mark.parametrize(
        "text",
        [
            "FROM nvidia/cuda:12.1.0-runtime-ubuntu22.04\nRUN pip install torch==2.12.0\n",
            "FROM nvidia/cuda:13.0.1-runtime-ubuntu22.04\nRUN pip install torch\n",
            "FROM nvidia/cuda:12.1.0-runtime-ubuntu22.04\nRUN pip install 'torch<2.9'\n",
            "FROM nvidia/cuda:12.1.0-runtime-ubuntu22.04\nRUN uv pip install torch --torch-backend=cu121\n",
            "FROM python:3.11-slim\nRUN pip install torch\n",
        ],
    )
    def test_pins_bounds_and_indexes_end_it(self, text: str) -> None:
        assert not findings({"Dockerfile": text}, RULE, python="3.11")
