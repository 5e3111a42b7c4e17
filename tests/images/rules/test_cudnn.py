"""Packages that load a cuDNN or CUDA that is not there."""

from __future__ import annotations

import pytest

from support.image_checks import findings
from support.image_fixes import all_help, texts

RULE = "image/cudnn-major"
SLIM = "FROM python:3.11-slim\n"
CUDA = "FROM nvidia/cuda:12.4.1-cudnn-runtime-ubuntu22.04\n"


def test_ctranslate2_for_another_cudnn_than_torch_s() -> None:
    files = {"requirements.txt": "torch>=2.4.0\nctranslate2<4.5\n"}
    (found,) = findings(files, RULE, python="3.11")

    assert (found.severity, found.line, found.column) == ("warning", 2, 1)
    assert "cuDNN 8" in found.message
    assert "cuDNN 9" in found.message
    assert texts(files, found, "requirements.txt") == [
        "torch>=2.4.0\nctranslate2==4.8.5\n",
        "torch==2.3.1\nctranslate2<4.5\n",
    ]
    assert all_help(files, found, python="3.11")


def test_it_is_an_error_for_a_target_with_a_gpu() -> None:
    files = {"Dockerfile": f"{SLIM}RUN pip install torch==2.5.1 ctranslate2==4.4.0\n"}
    (found,) = findings(files, RULE, gpu="L4")

    assert (found.severity, found.line, found.column) == ("error", 2, 30)
    assert all_help(files, found, gpu="L4")


@pytest.mark.parametrize(
    "text",
    [
        f"{SLIM}RUN pip install torch==2.5.1 ctranslate2==4.5.0\n",
        f"{SLIM}RUN pip install torch==2.3.1 ctranslate2==4.4.0\n",
        f"{SLIM}RUN pip install torch==2.3.1 ctranslate2==4.8.5\n",
        f"{SLIM}RUN pip install ctranslate2==4.4.0\n",
        f"{SLIM}RUN pip install torch==2.5.1 'nvidia-cudnn-cu11==8.*' ctranslate2==4.4.0\n",
        "FROM nvidia/cuda:12.2.2-cudnn8-runtime-ubuntu22.04\nRUN pip install torch==2.5.1 ctranslate2==4.4.0\n",
        "FROM nvidia/cuda:12.4.1-runtime-ubuntu22.04\nRUN apt-get install -y libcudnn8\nRUN pip install ctranslate2==4.4.0\n",
        "FROM nvidia/cuda:12.4.1-runtime-ubuntu22.04\nRUN curl -O https://example.com/cudnn.deb\nRUN pip install ctranslate2==4.4.0\n",
        "FROM example.com/base:1\nRUN pip install ctranslate2==4.4.0\n",
        f"{SLIM}RUN pip install torch==2.5.1 onnxruntime-gpu==1.20.1\n",
        f"{SLIM}RUN pip install onnxruntime-gpu==1.20.1\n",
    ],
    ids=[
        "both 9", "both 8", "needs none", "on the CPU", "a wheel has it", "the base has it", "the distribution has it",
        "a download may have it", "unknown base", "onnxruntime with torch", "onnxruntime on the CPU",
    ],
)  # fmt: skip
def test_near_misses(text: str) -> None:
    assert not findings({"Dockerfile": text}, RULE)


def test_a_base_without_cudnn() -> None:
    files = {
        "Dockerfile": "FROM nvidia/cuda:11.8.0-base-ubuntu22.04\nRUN pip install faster-whisper 'ctranslate2==4.0.*'\n"
    }
    (found,) = findings(files, RULE)

    assert (found.severity, found.line) == ("warning", 2)
    assert texts(files, found)[0].startswith("FROM nvidia/cuda:12.0.1-cudnn8-runtime-ubuntu22.04\n")
    assert all_help(files, found)


@pytest.mark.parametrize(
    ("install", "words", "base"),
    [
        ("ctranslate2==4.4.0", "cuDNN 8", "12.2.2-cudnn8"),
        ("ctranslate2==3.24.0", "cuDNN 8", "11.8.0-cudnn8"),
        ("onnxruntime-gpu==1.18.1", "cuDNN 8", "11.8.0-cudnn8"),
        ("onnxruntime-gpu==1.27.0", "CUDA 13", "13.0.3-cudnn"),
    ],
)
def test_a_base_with_another_major_version(install: str, words: str, base: str) -> None:
    files = {"Dockerfile": f"{CUDA}RUN pip install {install}\n"}
    (found,) = findings(files, RULE)

    assert (found.severity, found.line, found.column) == ("warning", 2, 17)
    assert f"loads {words}, and nvidia/cuda:12.4.1-cudnn-runtime-ubuntu22.04 has" in found.message
    assert texts(files, found)[0] == files["Dockerfile"].replace("12.4.1-cudnn", base)
    assert all_help(files, found)


def test_onnxruntime_beside_an_older_torch() -> None:
    files = {"Dockerfile": f"{SLIM}RUN pip install torch==2.3.1 onnxruntime-gpu==1.20.1 'numpy<2'\n"}
    (found,) = findings(files, RULE, gpu="L4")

    assert found.severity == "warning"
    assert texts(files, found) == [files["Dockerfile"].replace("torch==2.3.1", "torch==2.4.0")]


class TestSecondWheel:
    """A cuDNN wheel that somebody asks for besides torch's own."""

    @pytest.mark.parametrize("between", [" ", "\nRUN pip install "])
    def test_another_major_version_takes_the_place_of_torch_s(self, between: str) -> None:
        files = {
            "Dockerfile": f"{SLIM}RUN pip install torch==2.5.1{between}nvidia-cudnn-cu12==8.9.7.29 numpy\n"
        }
        (found,) = findings(files, RULE)

        assert found.severity == "error"
        assert "libcudnn.so.9" in found.cause
        assert texts(files, found)[0] == f"{SLIM}RUN pip install torch==2.5.1{between}numpy\n"
        assert all_help(files, found)

    def test_the_loader_finds_it_before_that_of_a_base(self) -> None:
        files = {
            "Dockerfile": (
                "FROM pytorch/pytorch:2.1.0-cuda11.8-cudnn8-runtime\n"
                "ENV LD_LIBRARY_PATH=/opt/conda/lib/python3.10/site-packages/nvidia/cudnn/lib\n"
                "RUN pip install nvidia-cudnn-cu11 numpy==1.26.4\n"
            )
        }
        (found,) = findings(files, RULE)

        assert (found.severity, found.line) == ("warning", 3)
        assert len(texts(files, found)) == 3
        assert all_help(files, found)

    @pytest.mark.parametrize(
        "text",
        [
            f"{SLIM}RUN pip install torch==2.5.1\nRUN pip install nvidia-cudnn-cu12==9.5.1.17\n",
            "FROM pytorch/pytorch:2.1.0-cuda11.8-cudnn8-runtime\nRUN pip install nvidia-cudnn-cu11\n",
            f"{SLIM}RUN pip install nvidia-cudnn-cu12==8.9.7.29\n",
        ],
        ids=["the same major version", "where no loader looks", "no torch"],
    )
    def test_near_misses(self, text: str) -> None:
        assert not findings({"Dockerfile": text}, RULE)


def test_a_base_whose_cudnn_is_not_known_is_left_alone() -> None:
    dockerfile = "FROM nvcr.io/nvidia/pytorch:22.12-py3\nRUN pip install onnxruntime-gpu==1.8.1\n"

    assert not findings({"Dockerfile": dockerfile}, "image/cudnn-major")
