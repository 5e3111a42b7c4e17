"""image/base-torch-replaced and image/ngc-constraint: requirements against the torch of the base image."""

from __future__ import annotations

import pytest

from support.fixes import fixed
from support.image_checks import findings

REPLACED = "image/base-torch-replaced"
CONSTRAINT = "image/ngc-constraint"
NGC = "FROM nvcr.io/nvidia/pytorch:24.05-py3\n"
PINNED = "FROM nvcr.io/nvidia/pytorch:25.06-py3\n"
OWN = "FROM pytorch/pytorch:2.1.0-cuda11.8-cudnn8-runtime\n"


@pytest.mark.parametrize(
    ("text", "words", "best"),
    [
        (
            f"{NGC}RUN pip install torch==2.4.0 six\n",
            "torch 2.4.0 (cu121) replaces the torch 2.4.0a0+07cecf4168 of the base image",
            f"{NGC}RUN pip install six\n",
        ),
        (f"{NGC}RUN pip install 'torch>=2.4' six\n", "replaces the torch 2.4.0a0+07cecf4168", f"{NGC}RUN pip install six\n"),
        (
            f"{NGC}RUN pip install torchdata==0.7.0\n",
            "torchdata 0.7.0 needs torch==2.1.0 and replaces the torch 2.4.0a0+07cecf4168",
            f"{NGC}RUN pip install torchdata==0.11.0\n",
        ),
        (f"{NGC}RUN pip install vllm==0.8.5\n", "vllm 0.8.5 needs torch==2.6.0 and replaces", ""),
        (f"{OWN}RUN pip install torch==2.2.0 six\n", "torch 2.2.0 (cu121) replaces the torch 2.1.0", f"{OWN}RUN pip install six\n"),
        (
            "ARG TAG\nFROM nvcr.io/nvidia/pytorch:$TAG\nRUN pip install torch==2.1.0 six\n",
            "torch 2.1.0 replaces the torch of nvcr.io/nvidia/pytorch:$TAG",
            "ARG TAG\nFROM nvcr.io/nvidia/pytorch:$TAG\nRUN pip install six\n",
        ),
        (
            "ARG TAG\nFROM nvcr.io/nvidia/pytorch:$TAG\nRUN pip install 'torch>=1.7' torchvision==0.10.0 six\n",
            "torchvision 0.10.0, which needs torch 1.9.0, replaces the torch of",
            "ARG TAG\nFROM nvcr.io/nvidia/pytorch:$TAG\nRUN pip install six\n",
        ),
    ],
)  # fmt: skip
def test_the_torch_of_the_base_goes(text: str, words: str, best: str) -> None:
    files = {"Dockerfile": text}
    (found,) = findings(files, REPLACED)
    assert found.severity == "warning"
    assert words in found.message
    outcomes = fixed(files, found)
    assert not best or outcomes[0]["Dockerfile"] == best


@pytest.mark.parametrize(
    "text",
    [
        f"{NGC}RUN pip install 'torch>=2.0' transformers\n",
        f"{NGC}RUN pip install torchvision\n",
        f"{NGC}RUN pip install --no-deps torchdata==0.7.0\n",
        f"{NGC}RUN python -m venv /opt/a && /opt/a/bin/pip install torch==2.4.0\n",
        f"{OWN}RUN pip install torch==2.1.0 torchvision==0.16.0\n",
        f"{OWN}RUN pip install 'torch>=2'\n",
        # vLLM brings them, and nothing says which.
        "FROM vllm/vllm-openai:v0.8.5\nRUN pip install torch torchvision torchaudio\n",
        "FROM pytorch/pytorch:2.10.0-cuda12.8-cudnn9-runtime\nRUN pip install torch==2.10.0+cu128 -i https://download.pytorch.org/whl/cu128\n",
        "FROM python:3.10\nRUN pip install torch==2.4.0\n",
        "FROM example.org/team/torch:1\nRUN pip install torch==2.4.0\n",
        "ARG TAG\nFROM nvcr.io/nvidia/pytorch:$TAG\nRUN pip install 'torch>=2.0'\n",
    ],
)
def test_the_torch_of_the_base_stays_or_is_not_known(text: str) -> None:
    assert findings({"Dockerfile": text}, REPLACED) == []


def test_another_tag_of_the_base_has_the_torch_that_is_asked_for() -> None:
    files = {"Dockerfile": f"{OWN}RUN pip install torch==2.2.0\n"}
    (found,) = findings(files, REPLACED)
    texts = [one["Dockerfile"] for one in fixed(files, found)]
    assert "FROM pytorch/pytorch:2.2.0-cuda11.8-cudnn8-runtime\nRUN pip install torch==2.2.0\n" in texts


@pytest.mark.parametrize(
    ("run", "words"),
    [
        ("RUN pip install torch==2.8.0 six\n", "torch==2.8.0 does not fit the torch 2.8.0a0+5228986c39"),
        ("RUN pip install 'torch>=2.8' six\n", "torch>=2.8 does not fit the torch 2.8.0a0+5228986c39"),
        ("RUN pip install vllm==0.10.2 six\n", "vllm 0.10.2 needs torch==2.8.0, which does not fit the torch 2.8.0a0+5228986c39"),
        ("RUN pip install torchvision==0.23.0 six\n", "torchvision"),
    ],
)  # fmt: skip
def test_the_constraint_file_of_nvidia(run: str, words: str) -> None:
    files = {"Dockerfile": PINNED + run}
    (found,) = findings(files, CONSTRAINT)
    assert (found.severity, found.line, found.column) == ("warning", 2, 17)
    assert words in found.message
    assert fixed(files, found)[0]["Dockerfile"] == f"{PINNED}RUN pip install six\n"


@pytest.mark.parametrize(
    "text",
    [
        f"{PINNED}RUN pip install transformers\n",
        f"{PINNED}RUN pip install 'torch>=2.7' torchvision\n",
        f"{PINNED}ENV PIP_CONSTRAINT=\nRUN pip install torch==2.8.0\n",
        f"{PINNED}RUN sed -i /torch/d /etc/pip/constraint.txt && pip install torch==2.8.0\n",
        f"{PINNED}RUN PIP_CONSTRAINT= pip install torch==2.8.0\n",
        f"{PINNED}RUN uv pip install --system torch==2.8.0\n",
        f"{NGC}RUN pip install torch==2.8.0\n",
        "FROM nvcr.io/nvidia/pytorch:25.10-py3\nRUN pip install torch==2.8.0\n",
    ],
)
def test_nothing_is_constrained(text: str) -> None:
    assert findings({"Dockerfile": text}, CONSTRAINT) == []


def test_where_the_file_does_not_count_the_torch_is_replaced() -> None:
    text = f"{PINNED}ENV PIP_CONSTRAINT=\nRUN pip install torch==2.8.0\n"
    assert [one.severity for one in findings({"Dockerfile": text}, REPLACED)] == ["warning"]
