"""Builds without code for the target's GPU."""

from __future__ import annotations

import pytest

from support.image_checks import findings
from support.image_fixes import all_help, texts, titles

RULE = "image/gpu-arch"
SLIM = "FROM python:3.11-slim\n"
WHL = "https://download.pytorch.org/whl"
APEX = "RUN pip install --no-build-isolation git+https://github.com/NVIDIA/apex\n"


def test_the_other_build_of_the_same_release_comes_first() -> None:
    files = {"Dockerfile": f"{SLIM}RUN pip install torch==2.7.1 torchvision==0.22.1\n"}
    (found,) = findings(files, RULE, gpu="RTX 5090")

    assert (found.severity, found.line, found.column) == ("error", 2, 17)
    assert "RTX 50 series" in found.message
    assert texts(files, found) == [
        f"{SLIM}RUN pip install --extra-index-url {WHL}/cu128 torch==2.7.1 torchvision==0.22.1\n",
        f"{SLIM}RUN pip install torch==2.8.0 torchvision==0.23.0\n",
    ]
    assert all_help(files, found, gpu="RTX 5090")


def test_an_index_without_such_a_build_is_exchanged_with_the_nearest_release() -> None:
    files = {
        "Dockerfile": f"{SLIM}RUN pip install torch==2.6.0 torchvision==0.21.0 --index-url {WHL}/cu124\n"
    }
    (found,) = findings(files, RULE, gpu="sm_120")

    assert found.severity == "error"
    assert texts(files, found) == [
        f"{SLIM}RUN pip install torch==2.7.0 torchvision==0.22.0 --index-url {WHL}/cu128\n"
    ]


def test_labels_are_exchanged_with_the_index() -> None:
    files = {
        "requirements.txt": (
            f"--extra-index-url {WHL}/cu126  # ours\ntorch==2.7.1+cu126\ntorchvision==0.22.1+cu126\n"
        )
    }
    (found,) = findings(files, RULE, gpu="rtx5090")

    assert texts(files, found, "requirements.txt")[0] == (
        f"--extra-index-url {WHL}/cu128  # ours\ntorch==2.7.1+cu128\ntorchvision==0.22.1+cu128\n"
    )


@pytest.mark.parametrize(
    ("install", "gpu"),
    [
        ("torch==2.8.0", "rtx5090"),
        ("torch==2.5.1", "H100"),
        ("torch==2.5.1", "g6e.xlarge"),
        ("torch==2.5.1", "p3.2xlarge"),
        ("torch==2.10.0", "V100+rtx5090"),
        (f"torch==2.9.0 --index-url {WHL}/cu130", "B300"),
        (f"torch==2.6.0 --index-url {WHL}/cpu", "rtx5090"),
        ("torch==2.6.0 --index-url https://example.com/simple", "rtx5090"),
        ("numpy", "rtx5090"),
    ],
)
def test_builds_with_code_are_left_alone(install: str, gpu: str) -> None:
    assert not findings({"Dockerfile": f"{SLIM}RUN pip install {install}\n"}, RULE, gpu=gpu)


@pytest.mark.parametrize(
    ("install", "gpu", "title"),
    [
        ("torch==2.12.0", "V100", "Install torch from PyTorch's index of cu126"),
        ("torch==2.0.1", "p5.48xlarge", "Install torch from PyTorch's index of cu118"),
        ("torch==2.8.0", "P100", "Install torch from PyTorch's index of cu126"),
    ],
)
def test_old_and_new_gpus(install: str, gpu: str, title: str) -> None:
    files = {"Dockerfile": f"{SLIM}RUN pip install {install}\n"}
    (found,) = findings(files, RULE, gpu=gpu)

    assert (found.severity, titles(found)[0]) == ("error", title)
    assert all_help(files, found, gpu=gpu)


def test_an_open_version_is_a_warning() -> None:
    files = {"Dockerfile": f"{SLIM}RUN pip install torch\n"}
    (found,) = findings(files, RULE, gpu="V100")

    assert found.severity == "warning"
    assert texts(files, found)[0] == f"{SLIM}RUN pip install torch==2.10.0\n"


def test_each_gpu_of_the_target_is_looked_at() -> None:
    found = findings({"Dockerfile": f"{SLIM}RUN pip install torch==2.6.0\n"}, RULE, gpu="H100/rtx5090/B200")

    assert sorted(one.message.split(" has no code for ")[1].split(" (")[0] for one in found) == [
        "B200",
        "RTX 50 series",
    ]


def test_the_torch_of_a_base() -> None:
    files = {"Dockerfile": "FROM pytorch/pytorch:2.10.0-cuda12.6-cudnn9-runtime\n"}
    (found,) = findings(files, RULE, gpu="rtx5090")

    assert found.severity == "error"
    assert texts(files, found)[0] == "FROM pytorch/pytorch:2.10.0-cuda12.8-cudnn9-runtime\n"


def test_a_build_of_another_making_may_hold_ptx() -> None:
    (found,) = findings({"Dockerfile": "FROM nvcr.io/nvidia/pytorch:24.10-py3\n"}, RULE, gpu="rtx5090")

    assert found.severity == "warning"


def test_an_architecture_list_that_leaves_the_gpu_out() -> None:
    files = {
        "Dockerfile": (
            'FROM nvidia/cuda:12.8.1-devel-ubuntu22.04\nENV TORCH_CUDA_ARCH_LIST="8.0;9.0"\n'
            f"RUN pip install torch==2.8.0\n{APEX}"
        )
    }
    (found,) = findings(files, RULE, gpu="rtx5090")

    assert (found.severity, found.line) == ("warning", 2)
    (after,) = texts(files, found)
    assert after == files["Dockerfile"].replace('"8.0;9.0"', '"8.0;9.0;12.0"')


@pytest.mark.parametrize(
    "change",
    [
        ("8.0;9.0", "8.0;9.0+PTX"),
        ("8.0;9.0", "Hopper"),
        ("8.0;9.0", "$ARCHS"),
        (APEX, ""),
    ],
)
def test_lists_that_cover_it_or_compile_nothing_are_left_alone(change: tuple[str, str]) -> None:
    text = (
        'FROM nvidia/cuda:12.8.1-devel-ubuntu22.04\nENV TORCH_CUDA_ARCH_LIST="8.0;9.0"\n'
        f"RUN pip install torch==2.8.0\n{APEX}"
    )

    assert not findings({"Dockerfile": text.replace(*change)}, RULE, gpu="rtx5090")


def test_a_compiler_that_does_not_know_the_gpu() -> None:
    text = f"FROM nvidia/cuda:12.4.1-devel-ubuntu22.04\nRUN pip install torch==2.8.0\n{APEX}"
    (found,) = findings({"Dockerfile": text}, RULE, gpu="rtx5090")

    assert (found.severity, found.line) == ("warning", 3)
    assert "CUDA 12.4" in found.message
