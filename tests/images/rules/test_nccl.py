"""Another NCCL than the one that torch was built with."""

from __future__ import annotations

import pytest

from support.image_checks import findings
from support.image_fixes import all_help, texts

RULE = "image/nccl"
SLIM = "FROM python:3.11-slim\n"


def test_an_older_one_beside_torch_is_an_error() -> None:
    files = {"requirements.txt": "torch==2.2.*  # pinned\nnvidia-nccl-cu12==2.18.*\nnumpy<2\n"}
    (found,) = findings(files, RULE)

    assert (found.severity, found.line, found.column) == ("error", 2, 1)
    assert "2.19.3" in found.message
    assert "ncclCommRegister" in found.cause
    assert texts(files, found, "requirements.txt") == [
        "torch==2.2.*  # pinned\nnvidia-nccl-cu12==2.19.3\nnumpy<2\n",
        "torch==2.2.*  # pinned\nnumpy<2\n",
    ]
    assert all_help(files, found)


@pytest.mark.parametrize(
    ("torch", "nccl", "severity"),
    [
        ("2.2.2", "2.18.3", "error"),
        ("2.5.1", "2.18.3", "error"),
        ("2.5.1", "2.19.3", "note"),
        ("2.7.1", "2.22.3", "error"),
        ("2.7.1", "2.25.1", "note"),
        ("2.9.1", "2.26.5", "error"),
        ("2.9.1", "2.27.3", "note"),
    ],
)
def test_a_later_install_of_an_older_one(torch: str, nccl: str, severity: str) -> None:
    files = {
        "Dockerfile": f"{SLIM}RUN pip install torch=={torch}\nRUN pip install nvidia-nccl-cu12=={nccl}\n"
    }
    (found,) = findings(files, RULE)

    assert (found.severity, found.line, found.column) == (severity, 3, 17)
    assert all_help(files, found)


@pytest.mark.parametrize(
    "steps",
    [
        "RUN pip install torch==2.5.1\nRUN pip install nvidia-nccl-cu12==2.26.2\n",
        "RUN pip install torch==2.5.1\nRUN pip install nvidia-nccl-cu12==2.21.5\n",
        "RUN pip install torch==2.5.1 nvidia-nccl-cu12\n",
        "RUN pip install torch==2.5.1\nRUN pip install nvidia-nccl-cu12==2.18.3 && pip install nvidia-nccl-cu12==2.21.5\n",
        "RUN pip install torch==2.9.0 && pip uninstall -y nvidia-nccl-cu12 && pip install nvidia-nccl-cu13\n",
        "RUN pip install torch==2.9.0 --index-url https://download.pytorch.org/whl/cpu\nRUN pip install nvidia-nccl-cu13\n",
        "RUN pip install nvidia-nccl-cu12==2.18.3\n",
        "RUN pip install torch==2.5.1 --index-url https://example.com/simple\nRUN pip install nvidia-nccl-cu12==2.18.3\n",
    ],
    ids=["newer", "the same", "open", "repaired later", "the other one is gone", "cpu", "no torch", "unknown index"],
)  # fmt: skip
def test_near_misses(steps: str) -> None:
    assert not findings({"Dockerfile": SLIM + steps}, RULE)


def test_one_of_another_cuda_shares_its_files() -> None:
    files = {
        "Dockerfile": f"{SLIM}RUN pip install torch==2.9.0\nRUN pip install 'nvidia-nccl-cu13>=2.28' numpy\n"
    }
    (found,) = findings(files, RULE)

    assert (found.severity, found.line) == ("warning", 3)
    torch = f"{SLIM}RUN pip install torch==2.9.0\n"
    assert texts(files, found) == [
        f"{torch}RUN pip uninstall -y nvidia-nccl-cu12 && pip install 'nvidia-nccl-cu13>=2.28' numpy\n",
        f"{torch}RUN pip install 'nvidia-nccl-cu12>=2.28' numpy\n",
        f"{torch}RUN pip install numpy\n",
    ]
    assert all_help(files, found)


def test_a_later_torch_puts_its_own_back() -> None:
    files = {
        "Dockerfile": f"{SLIM}RUN pip install nvidia-nccl-cu12==2.26.2 numpy\nRUN pip install torch==2.5.1\n"
    }
    (found,) = findings(files, RULE)

    assert (found.severity, found.line, found.column) == ("warning", 2, 17)
    assert "2.21.5" in found.message
    assert texts(files, found) == [
        f"{SLIM}RUN pip install numpy\nRUN pip install torch==2.5.1\n",
        f"{SLIM}RUN pip install numpy\nRUN pip install torch==2.5.1\nRUN pip install --no-deps nvidia-nccl-cu12==2.26.2\n",
    ]
    assert all_help(files, found)


def test_a_preloaded_one_of_the_distribution() -> None:
    files = {
        "Dockerfile": (
            "FROM nvidia/cuda:12.4.1-runtime-ubuntu22.04\nRUN apt-get install -y libnccl2=2.18.3-1+cuda12.1\n"
            "ENV LD_PRELOAD=/usr/lib/x86_64-linux-gnu/libnccl.so.2\nRUN pip install torch==2.5.1\n"
        )
    }
    (found,) = findings(files, RULE)

    assert (found.severity, found.line) == ("warning", 2)
    assert all_help(files, found)
    assert not findings({"Dockerfile": files["Dockerfile"].replace("2.18.3", "2.26.2")}, RULE)
    assert not findings({"Dockerfile": files["Dockerfile"].replace("LD_PRELOAD", "OTHER")}, RULE)
