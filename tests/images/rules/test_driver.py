"""Packages for a CUDA that the target's driver does not run."""

from __future__ import annotations

import pytest

from support.image_checks import findings
from support.image_fixes import all_help, texts, titles

RULE = "image/driver"
SLIM = "FROM python:3.11-slim\n"
CU118 = "https://download.pytorch.org/whl/cu118"


def test_a_pin_that_is_too_new_is_an_error_at_the_pin() -> None:
    files = {"Dockerfile": f"{SLIM}RUN pip install requests torch==2.5.1\n"}
    (found,) = findings(files, RULE, driver="470.82.01")

    assert (found.severity, found.line, found.column) == ("error", 2, 26)
    assert "CUDA 12.4" in found.message
    assert "525.60.13" in found.message
    assert "470.82.01" in found.message
    assert texts(files, found)[:2] == [
        f"{SLIM}RUN pip install --extra-index-url {CU118} requests torch==2.5.1\n",
        f"{SLIM}RUN pip install requests torch==2.0.1\n",
    ]
    assert all_help(files, found, driver="470.82.01")


def test_an_open_version_is_a_warning_and_the_newest_that_runs_is_offered_first() -> None:
    files = {"requirements.txt": "torch\n"}
    (found,) = findings(files, RULE, driver="cuda11.4", python="3.11")

    assert (found.severity, found.path) == ("warning", "requirements.txt")
    assert texts(files, found, "requirements.txt")[0] == "torch==2.0.1\n"
    assert all_help(files, found, driver="cuda11.4", python="3.11")


def test_a_range_whose_every_release_is_too_new_is_an_error() -> None:
    files = {"requirements.txt": "torch>=2.4,<2.6\n"}
    (found,) = findings(files, RULE, driver="470", python="3.11")

    assert found.severity == "error"


@pytest.mark.parametrize(
    ("install", "target"),
    [
        ("torch==2.5.1", {"driver": "525.60.13"}),
        ("torch==2.5.1", {"driver": "535"}),
        ("torch==2.5.1", {"cuda": "12.0"}),
        ("torch==2.0.1", {"driver": "cuda11.4"}),
        ("torch==2.5.1 --index-url https://download.pytorch.org/whl/cu118", {"driver": "470.82.01"}),
        ("torch==2.5.1 --index-url https://download.pytorch.org/whl/cpu", {"driver": "470.82.01"}),
        ("torch==2.5.1 --index-url https://example.com/simple", {"driver": "470.82.01"}),
        ("tensorflow==2.18.0", {"driver": "470.82.01"}),
        ("torch==2.5.1", {}),
    ],
)
def test_what_runs_or_is_not_known_is_left_alone(install: str, target: dict[str, str]) -> None:
    assert not findings({"Dockerfile": f"{SLIM}RUN pip install {install}\n"}, RULE, **target)


def test_the_build_that_is_installed_last_counts() -> None:
    text = f"{SLIM}RUN pip install torch==2.5.1\nRUN pip install --index-url {CU118} --force-reinstall torch==2.5.1\n"

    assert not findings({"Dockerfile": text}, RULE, driver="470.82.01")


@pytest.mark.parametrize(
    "text",
    [
        "FROM example.com/base:1\nRUN pip install torch==2.5.1\n",
        f'{SLIM}RUN if [ -n "$GPU" ]; then pip install torch==2.5.1; fi\n',
    ],
    ids=["unknown base", "may not run"],
)
def test_what_is_not_certain_is_no_error(text: str) -> None:
    (found,) = findings({"Dockerfile": text}, RULE, driver="470.82.01")

    assert found.severity == "warning"


@pytest.mark.parametrize(
    ("gpu", "severity"), [("", "warning"), ("T4", "note"), ("A100+L4", "note"), ("rtx3090", "error")]
)
def test_cuda_compat_helps_on_data_centre_gpus(gpu: str, severity: str) -> None:
    text = "FROM nvidia/cuda:12.4.1-runtime-ubuntu22.04\nRUN pip install torch==2.5.1\n"
    target = {"driver": "470.82.01"} | ({"gpu": gpu} if gpu else {})
    (found,) = findings({"Dockerfile": text}, RULE, **target)

    assert found.severity == severity


def test_a_base_of_cuda_with_nothing_known_on_it_is_a_warning() -> None:
    files = {"Dockerfile": "FROM nvidia/cuda:13.0.1-runtime-ubuntu22.04\n"}
    (found,) = findings(files, RULE, driver="535")

    assert (found.severity, found.line, found.column) == ("warning", 1, 6)
    assert texts(files, found) == ["FROM nvidia/cuda:12.9.2-runtime-ubuntu22.04\n"]


def test_the_torch_of_a_base_has_other_tags_as_fixes() -> None:
    files = {"Dockerfile": "FROM pytorch/pytorch:2.5.1-cuda12.4-cudnn9-runtime\n"}
    (found,) = findings(files, RULE, driver="470.82.01")

    assert found.severity == "error"
    assert texts(files, found)[0] == "FROM pytorch/pytorch:2.5.1-cuda11.8-cudnn9-runtime\n"
    assert all_help(files, found, driver="470.82.01")


@pytest.mark.parametrize(
    "install", ['"jax[cuda13]"', "onnxruntime-gpu==1.27.0", '"tensorflow[and-cuda]==2.18.0"']
)
def test_what_works_on_without_a_gpu_is_a_warning(install: str) -> None:
    (found,) = findings({"Dockerfile": f"{SLIM}RUN pip install {install}\n"}, RULE, driver="470.82.01")

    assert found.severity == "warning"


def test_companions_come_along() -> None:
    files = {"requirements.txt": "torch==2.12.0\ntorchvision==0.27.0\n"}
    (found,) = findings(files, RULE, driver="570.86.10", python="3.12")

    assert "Pin torch to 2.10.0 and torchvision to 0.25.0" in titles(found)
    assert all_help(files, found, driver="570.86.10", python="3.12")
