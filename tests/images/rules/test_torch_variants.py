"""image/torch-variants: builds for different CUDA versions side by side."""

from __future__ import annotations

import pytest

from support.fixes import fixed
from support.image_checks import findings

RULE = "image/torch-variants"
SLIM = "FROM python:3.11-slim\n"
INDEX = "https://download.pytorch.org/whl"


@pytest.mark.parametrize(
    ("run", "severity", "words"),
    [
        (
            f"RUN pip install torch==2.5.1 --index-url {INDEX}/cu118\nRUN pip install torchaudio==2.5.1\n",
            "error",
            "torchaudio 2.5.1 (cu124) is beside torch 2.5.1 (cu118)",
        ),
        (
            f"RUN pip install torch==2.5.1 --index-url {INDEX}/cu121\nRUN pip install torchaudio==2.5.1\n",
            "error",
            "torchaudio 2.5.1 (cu124) is beside torch 2.5.1 (cu121)",
        ),
        (
            f"RUN pip install torch==2.5.1 --index-url {INDEX}/cu118\nRUN pip install torchvision==0.20.1\n",
            "error",
            "torchvision 0.20.1 (cu124) is beside torch 2.5.1 (cu118)",
        ),
        (
            f"RUN pip install torch==2.9.0 --index-url {INDEX}/cpu\nRUN pip install torchvision==0.24.0\n",
            "error",
            "torchvision 0.24.0 (cu128) is beside torch 2.9.0 (cpu)",
        ),
        (
            f"RUN pip install torch --index-url {INDEX}/cu126\nRUN pip install torchaudio\n",
            "warning",
            "torchaudio (cu130) is beside torch (cu126)",
        ),
        ("RUN pip install torch==2.15.0 torchaudio==2.11.0\n", "error", "torchaudio 2.11.0 (cu130) is beside torch 2.15.0 (cu132)"),
    ],
)  # fmt: skip
def test_builds_that_do_not_go_together(run: str, severity: str, words: str) -> None:
    files = {"Dockerfile": SLIM + run}
    (found,) = findings(files, RULE)
    assert (found.severity, found.message.startswith(words)) == (severity, True), found.message
    assert fixed(files, found) or "2.15.0" in run


@pytest.mark.parametrize(
    "run",
    [
        f"RUN pip install torch==2.5.1 torchaudio==2.5.1 --index-url {INDEX}/cu118\n",
        f"RUN pip install torch==2.5.1 torchaudio==2.5.1 --extra-index-url {INDEX}/cu118\n",
        "RUN pip install torch==2.5.1\nRUN pip install torchaudio==2.5.1\n",
        # torchvision compares major versions only.
        f"RUN pip install torch==2.5.1 --index-url {INDEX}/cu121\nRUN pip install torchvision==0.20.1\n",
        # A build without CUDA loads beside one with it.
        f"RUN pip install torch==2.5.1\nRUN pip install torchaudio==2.5.1 --index-url {INDEX}/cpu\n",
        # Another index may have any build.
        f"RUN pip install torch==2.5.1 --index-url {INDEX}/cu118\nRUN pip install torchaudio==2.5.1 -i https://w.example.org\n",
        # Repaired later.
        f"RUN pip install torchaudio==2.5.1\nRUN pip install torch==2.5.1 torchaudio==2.5.1 -I --index-url {INDEX}/cu118\n",
    ],
)
def test_builds_that_go_together(run: str) -> None:
    assert findings({"Dockerfile": SLIM + run}, RULE) == []


def test_a_base_that_may_have_the_companion_already_is_not_judged() -> None:
    base = "FROM 763104351884.dkr.ecr.us-west-2.amazonaws.com/pytorch-training:2.5.1-gpu-py311-cu124-ubuntu22.04-ec2\n"
    files = {"Dockerfile": f"{base}RUN pip install torchaudio==2.5.1\n"}
    assert findings(files, RULE) == []


def test_the_base_of_pytorch_has_its_companions() -> None:
    files = {
        "Dockerfile": "FROM pytorch/pytorch:2.1.0-cuda11.8-cudnn8-runtime\nRUN pip install torchaudio==2.1.0\n"
    }
    assert findings(files, RULE) == []


def test_an_unknown_base_may_be_configured_for_another_index() -> None:
    run = f"RUN pip install torch==2.9.0 --index-url {INDEX}/cpu\nRUN pip install torchvision==0.24.0\n"
    files = {"Dockerfile": f"FROM example.org/team/base:1\n{run}"}
    assert [one.severity for one in findings(files, RULE)] == ["warning"]


def test_the_first_fix_takes_the_companion_from_the_index_of_torch() -> None:
    run = f"RUN pip install torch==2.5.1 --index-url {INDEX}/cu118\nRUN pip install torchaudio==2.5.1 --index-url {INDEX}/cu121\n"
    files = {"Dockerfile": SLIM + run}
    (found,) = findings(files, RULE)
    assert fixed(files, found)[0]["Dockerfile"] == SLIM + run.replace("cu121", "cu118")


def test_open_versions_of_the_default_index_are_brought_to_one_build() -> None:
    files = {"requirements.txt": "torch\ntorchaudio\n"}
    (found,) = findings(files, RULE, python="3.12")
    assert (found.severity, found.line) == ("warning", 2)
    assert fixed(files, found, python="3.12")[0] == {"requirements.txt": "torch==2.14.1\ntorchaudio\n"}
