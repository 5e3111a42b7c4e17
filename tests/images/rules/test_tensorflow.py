"""TensorFlow beside a CUDA or cuDNN that it was not built for."""

from __future__ import annotations

import pytest

from support.image_checks import findings
from support.image_fixes import all_help, texts

RULE = "image/tensorflow-cuda"
SLIM = "FROM python:3.11-slim\n"


@pytest.mark.parametrize(
    ("base", "install", "after"),
    [
        (
            "12.4.1-cudnn-runtime-ubuntu22.04",
            "tensorflow==2.12.0",
            "FROM nvidia/cuda:11.8.0-cudnn8-runtime-ubuntu22.04\nRUN pip install tensorflow==2.12.0\n",
        ),
        (
            "12.2.2-runtime-ubuntu22.04",
            "tensorflow==2.15.0",
            "FROM nvidia/cuda:12.2.2-runtime-ubuntu22.04\nRUN pip install tensorflow[and-cuda]==2.15.0\n",
        ),
        (
            "11.8.0-cudnn8-runtime-ubuntu22.04",
            "tensorflow",
            "FROM nvidia/cuda:11.8.0-cudnn8-runtime-ubuntu22.04\nRUN pip install 'tensorflow[and-cuda]'\n",
        ),
        (
            "12.2.2-runtime-ubuntu22.04",
            '"tensorflow>=2.18"',
            'FROM nvidia/cuda:12.2.2-runtime-ubuntu22.04\nRUN pip install "tensorflow[and-cuda]>=2.18"\n',
        ),
    ],
)
def test_a_base_with_other_libraries_is_a_warning(base: str, install: str, after: str) -> None:
    files = {"Dockerfile": f"FROM nvidia/cuda:{base}\nRUN pip install {install}\n"}
    (found,) = findings(files, RULE, python="3.10")

    assert (found.severity, found.line, found.column) == ("warning", 2, 17)
    assert texts(files, found)[0] == after
    assert all_help(files, found, python="3.10")


@pytest.mark.parametrize(
    "text",
    [
        "FROM nvidia/cuda:12.2.2-cudnn8-runtime-ubuntu22.04\nRUN pip install tensorflow==2.15.0\n",
        "FROM nvidia/cuda:12.1.1-cudnn8-runtime-ubuntu22.04\nRUN pip install tensorflow==2.15.0\n",
        "FROM nvidia/cuda:12.2.2-runtime-ubuntu22.04\nRUN pip install 'tensorflow[and-cuda]==2.15.0'\n",
        "FROM nvidia/cuda:12.2.2-runtime-ubuntu22.04\nRUN apt-get install -y libcudnn8\nRUN pip install tensorflow==2.15.0\n",
        "FROM nvidia/cuda:12.2.2-runtime-ubuntu22.04\nRUN pip install tensorflow-cpu==2.15.0\n",
        "FROM nvidia/cuda:12.2.2-runtime-ubuntu22.04\nRUN conda install cudnn=8\nRUN pip install tensorflow==2.15.0\n",
        f"{SLIM}RUN pip install tensorflow==2.15.0\n",
        "FROM tensorflow/tensorflow:2.15.0-gpu\nRUN pip install tensorflow==2.15.0\n",
    ],
)
def test_near_misses(text: str) -> None:
    assert not findings({"Dockerfile": text}, RULE, python="3.10")


class TestPlaceholder:
    """tensorflow-gpu, whose last release refuses to be installed."""

    def test_without_a_version_it_is_an_error(self) -> None:
        files = {"Dockerfile": f"{SLIM}RUN pip install tensorflow-gpu numpy\n"}
        (found,) = findings(files, RULE)

        assert (found.severity, found.line, found.column) == ("error", 2, 17)
        assert texts(files, found) == [
            f"{SLIM}RUN pip install 'tensorflow[and-cuda]' numpy\n",
            f"{SLIM}RUN pip install tensorflow numpy\n",
        ]
        assert all_help(files, found)

    def test_a_pin_keeps_its_version(self) -> None:
        files = {"requirements.txt": "numpy\ntensorflow-gpu==2.12.0  # for training\n"}
        (found,) = findings(files, RULE)

        assert (found.severity, found.line) == ("error", 2)
        after = texts(files, found, "requirements.txt")
        assert after[0] == "numpy\ntensorflow==2.12.0  # for training\n"
        assert all_help(files, found)

    @pytest.mark.parametrize(
        "text",
        [
            "tensorflow-gpu==2.10.1\n",
            "tensorflow-gpu<2.12\n",
            "tensorflow==2.12.0\n",
            "tensorflow-gpu @ https://example.com/tensorflow_gpu-2.12.0-py3-none-any.whl\n",
        ],
    )
    def test_releases_that_install_are_left_alone(self, text: str) -> None:
        assert not findings({"requirements.txt": text}, RULE, python="3.8")
