"""image/torch-swapped and image/install-order: what a later install does to an earlier torch."""

from __future__ import annotations

import pytest

from support.fixes import fixed
from support.image_checks import findings

SWAPPED = "image/torch-swapped"
ORDER = "image/install-order"
SLIM = "FROM python:3.10-slim\n"
WHL = "https://download.pytorch.org/whl"


@pytest.mark.parametrize(
    ("run", "words", "first"),
    [
        (
            "RUN pip install torch==2.0.1\nRUN pip install vllm==0.8.5\n",
            "vllm 0.8.5 needs torch==2.6.0 and exchanges the torch 2.0.1 (cu117)",
            "",
        ),
        (
            "RUN pip install torch==2.0.1\nRUN pip install vllm\n",
            "its newest release, needs torch==",
            "",
        ),
        (
            "RUN pip install torch==2.5.1\nRUN pip install torchvision\n",
            "its newest release, needs torch",
            "pip install torchvision==0.20.1",
        ),
        (
            "RUN pip install torch==2.4.0\nRUN pip install torchvision==0.20.1\n",
            "torchvision 0.20.1 needs torch==2.5.1 and exchanges the torch 2.4.0 (cu121)",
            "pip install torchvision==0.19.0",
        ),
        (
            f"RUN pip install torch --index-url {WHL}/cu118\nRUN pip install xformers==0.0.35.dev0 vllm==0.10.2\n",
            "vllm 0.10.2 needs torch==2.8.0 and exchanges the torch (cu118)",
            "",
        ),
    ],
)
def test_a_later_package_that_needs_another_torch(run: str, words: str, first: str) -> None:
    files = {"Dockerfile": SLIM + run}
    (found,) = findings(files, SWAPPED)
    assert found.severity == "warning"
    assert words in found.message
    assert found.line == 3
    outcomes = fixed(files, found)
    assert not first or first in outcomes[0]["Dockerfile"]


@pytest.mark.parametrize(
    "run",
    [
        "RUN pip install torch==2.6.0\nRUN pip install vllm==0.8.5\n",
        "RUN pip install torch==2.0.1 vllm==0.8.5\n",
        "RUN pip install torch==2.0.1\nRUN pip install --no-deps vllm==0.8.5\n",
        "RUN pip install torch==2.0.1\nRUN pip install accelerate==1.0.0\n",
        # Nobody chose that torch.
        "RUN pip install torch\nRUN pip install vllm==0.8.5\n",
        # The files say that they want another one now.
        "RUN pip install torch==2.0.1\nRUN pip install torch==2.1.0\n",
        "RUN pip install torch==2.0.1\nRUN pip install vllm==0.8.5\nRUN pip install torch==2.0.1\n",
        "RUN pip install torch==2.0.1 || true\nRUN pip install vllm==0.8.5\n",
        "RUN python -m venv /opt/a && /opt/a/bin/pip install torch==2.0.1\nRUN pip install vllm==0.8.5\n",
        "RUN pip install torch==2.0.1\nRUN conda install -y vllm\n",
        "RUN pip install torch==2.0.1\nRUN pip install some-package-that-is-not-known\n",
    ],
)
def test_a_torch_that_stays_or_that_nobody_chose(run: str) -> None:
    assert findings({"Dockerfile": SLIM + run}, SWAPPED) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            f"{SLIM}RUN pip install torch==2.7.0\nRUN pip install flash-attn==2.8.3 --no-build-isolation\nRUN pip install vllm==0.10.2\n",
            "flash-attn is compiled against torch 2.7.0 (cu126) before vllm brings torch 2.8.0 (cu128)",
        ),
        (
            f"{SLIM}RUN pip install torch==2.7.0\nRUN pip install torch-scatter causal-conv1d\nRUN pip install torch==2.8.0\n",
            "torch-scatter and causal-conv1d are compiled against torch 2.7.0 (cu126) before torch 2.8.0 (cu128) is installed",
        ),
        (
            "ARG TAG\nFROM nvcr.io/nvidia/pytorch:$TAG\nRUN pip install flash-attn==2.8.3\nRUN pip install vllm==0.10.2\n",
            "flash-attn is compiled against the torch of the base image before vllm brings torch 2.8.0 (cu128)",
        ),
    ],
)
def test_what_was_compiled_against_the_earlier_torch(text: str, words: str) -> None:
    files = {"Dockerfile": text}
    found = next(one for one in findings(files, SWAPPED) if "compiled" in one.message)
    assert (found.severity, found.message) == ("warning", words)
    first, second = text.splitlines()[-2:]
    assert [second, first] in [one["Dockerfile"].splitlines()[-2:] for one in fixed(files, found)]


@pytest.mark.parametrize(
    "run",
    [
        "RUN pip install torch==2.8.0\nRUN pip install flash-attn==2.8.3 --no-build-isolation\nRUN pip install vllm==0.10.2\n",
        "RUN pip install torch==2.7.0\nRUN pip install torch-scatter -f https://data.pyg.org/whl/torch-2.8.0+cu128.html\nRUN pip install torch==2.8.0\n",
        "RUN pip install torch==2.7.0\nRUN pip install https://example.org/flash_attn-2.8.3-cp310-cp310-linux_x86_64.whl\nRUN pip install torch==2.8.0\n",
        "RUN pip install torch==2.7.0\nRUN pip install flash-attn\nRUN pip install torch==2.8.0\nRUN pip install -I flash-attn\n",
        "RUN pip install torch==2.7.0\nRUN pip install flash-attn\nRUN pip uninstall -y flash-attn\nRUN pip install torch==2.8.0\n",
    ],
)
def test_what_was_not_compiled_here_or_stays_right(run: str) -> None:
    found = findings({"Dockerfile": SLIM + run}, SWAPPED)
    assert [one for one in found if "compiled" in one.message] == []


def test_companions_before_and_apart_from_a_pinned_torch() -> None:
    run = (
        "RUN pip install torchvision torchaudio transformers==4.46.1\n"
        f"RUN pip install torch==2.5.1+cu121 --index-url {WHL}/cu121\n"
    )
    files = {"Dockerfile": SLIM + run}
    (found,) = findings(files, ORDER)
    assert (found.severity, found.line, found.column) == ("warning", 2, 17)
    assert found.message.startswith(
        "torchvision and torchaudio are installed before torch 2.5.1+cu121 and apart from it"
    )
    assert fixed(files, found)[0]["Dockerfile"] == (
        f"{SLIM}RUN pip install transformers==4.46.1\n"
        f"RUN pip install torch==2.5.1+cu121 torchvision torchaudio --index-url {WHL}/cu121\n"
    )


def test_a_command_that_is_left_with_nothing_goes() -> None:
    run = "RUN apt-get update && \\\n    pip install torchvision\nRUN pip install torch==2.5.1\n"
    files = {"Dockerfile": SLIM + run}
    (found,) = findings(files, ORDER)
    after = fixed(files, found)[0]["Dockerfile"]
    assert after == f"{SLIM}RUN apt-get update\nRUN pip install torch==2.5.1 torchvision\n"


@pytest.mark.parametrize(
    "run",
    [
        f"RUN pip install torch==2.5.1 torchvision torchaudio --index-url {WHL}/cu121\n",
        "RUN pip install torchvision==0.20.1\nRUN pip install torch==2.5.1\n",
        "RUN pip install torchvision\nRUN pip install torch\n",
        "RUN pip install torchvision\nRUN pip install torch==2.5.1\nRUN pip install -U torchvision==0.20.1\n",
        f"RUN pip install torchvision --index-url {WHL}/cu121\nRUN pip install torch==2.5.1\n",
        "RUN conda install -y torchvision -c pytorch\nRUN pip install torch==2.5.1\n",
    ],
)
def test_companions_with_torch_or_of_a_known_version(run: str) -> None:
    assert findings({"Dockerfile": SLIM + run}, ORDER) == []
