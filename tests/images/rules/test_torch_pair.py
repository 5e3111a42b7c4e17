"""image/torch-pair: companions that were built for another torch."""

from __future__ import annotations

import pytest

from support.fixes import changes, fixed
from support.image_checks import findings

RULE = "image/torch-pair"
SLIM = "FROM python:3.11-slim\n"
BASE = "ARG BASE\nFROM $BASE\n"


@pytest.mark.parametrize(
    ("text", "severity", "place", "fixes"),
    [
        ("torch==2.4.0\ntorchvision==0.20.1\n", "error", (2, 1), ["torchvision==0.19.0", "torch==2.5.1"]),
        ("torch==2.4.0+cu121\ntorchvision==0.20.1+cu124\n", "error", (2, 1), ["torchvision==0.19.0+cu121"]),
        ("torch==2.6.0\ntorchaudio==2.5.1\n", "error", (2, 1), ["torchaudio==2.6.0", "torch==2.5.1"]),
        ("torch==2.1.0\ntorchtext==0.15.2\n", "error", (2, 1), ["torchtext==0.16.0", "torch==2.0.1"]),
        (
            "torch==2.5.1\ntorchvision>=0.21  # newest\n",
            "error",
            (2, 1),
            ["torchvision==0.20.1  # newest", "torch==2.6.0"],
        ),
        ("torch==2.1.1\ntorchvision==0.16.0\n", "error", (2, 1), ["torchvision==0.16.1", "torch==2.1.0"]),
        ("torch==2.9.0\ntorchaudio\n", "warning", (2, 1), ["torchaudio==2.9.0"]),
        ("torch==2.10.0\ntorchaudio==2.11.0\n", "error", (2, 1), ["torchaudio==2.10.0", "torch==2.11.0"]),
        ("torch==2.3.1\ntorchvision==0.18.1\ntorchaudio==2.2.2\n", "error", (3, 1), ["torchaudio==2.3.1"]),
    ],
)
def test_versions_that_do_not_belong_together(
    text: str, severity: str, place: tuple[int, int], fixes: list[str]
) -> None:
    files = {"requirements.txt": f"# tools\n{text}"}
    (found,) = findings(files, RULE)
    assert (found.severity, (found.line - 1, found.column)) == (severity, place)
    assert found.source.startswith("https://")
    outcomes = fixed(files, found)
    lines = [outcome["requirements.txt"].splitlines() for outcome in outcomes]
    for wanted, outcome in zip(fixes, lines, strict=False):
        assert wanted in outcome


@pytest.mark.parametrize(
    "text",
    [
        "torch==2.4.0\ntorchvision==0.19.0\ntorchaudio==2.4.0\n",
        "torch==2.4.0+cu121\ntorchvision==0.19.0+cu121\n",
        "torch==2.0.1\ntorchaudio==2.0.2\n",
        "torch\ntorchvision==0.20.1\n",
        "torch>=2.0\ntorchvision\ntorchaudio==2.4.0\n",
        "torch==2.4.0\ntorchvision\n",
        "torch==2.4.0\ntorchvision==0.2.1\n",
        "torch==99.0\ntorchvision==0.20.1\n",
        "torch==2.4.0\ntorchvision @ git+https://github.com/pytorch/vision\n",
        "torch==2.4.0\ntorchvision==0.20.1 ; python_version < '3.0'\n",
        "torch==1.13.1\ntorchaudio\n",
    ],
)
def test_versions_that_go_together_or_are_not_known(text: str) -> None:
    assert findings({"requirements.txt": text}, RULE) == []


@pytest.mark.parametrize(
    ("run", "severity"),
    [
        ("RUN pip install torch==2.4.0\nRUN pip install --no-deps torchvision==0.20.1\n", "error"),
        ("RUN pip install torch==2.4.1\nRUN pip install --no-deps torchvision==0.19.0\n", "warning"),
        ("RUN pip install torchvision==0.20.1\nRUN pip install torch==2.4.0\n", "error"),
        ("RUN pip install torch==2.4.0 torchvision==0.20.1 || true\n", "warning"),
        (
            "RUN pip install torch==2.4.0 torchvision==0.20.1 -i https://wheels.example.org/simple\n",
            "warning",
        ),
        ("RUN conda install -y pytorch=2.4.0 torchvision=0.20.1 -c conda-forge\n", "warning"),
    ],
)
def test_how_they_are_installed_decides_how_bad_it_is(run: str, severity: str) -> None:
    assert [one.severity for one in findings({"Dockerfile": SLIM + run}, RULE)] == [severity]


@pytest.mark.parametrize(
    "run",
    [
        # pip exchanges torch itself, which another rule says.
        "RUN pip install torch==2.4.0\nRUN pip install torchvision==0.20.1\n",
        # A later command repairs it.
        "RUN pip install torchvision==0.20.1\nRUN pip install torch==2.4.0\nRUN pip install torchvision==0.19.0\n",
        "RUN pip install torchvision==0.20.1\nRUN pip install torch==2.4.0\nRUN pip uninstall -y torchvision\n",
        "RUN python -m venv /opt/a && /opt/a/bin/pip install torch==2.4.0\nRUN pip install torchvision==0.20.1\n",
    ],
)
def test_what_is_repaired_later_is_not_reported(run: str) -> None:
    assert findings({"Dockerfile": SLIM + run}, RULE) == []


def test_the_version_of_an_argument_is_changed_where_it_stands() -> None:
    text = f'ARG VISION=0.20.1\n{SLIM}ARG VISION\nRUN pip install torch==2.4.0 "torchvision==$VISION"\n'
    files = {"Dockerfile": text}
    (found,) = findings(files, RULE)
    best = fixed(files, found)[0]
    assert changes(files, best) == {"Dockerfile": (["ARG VISION=0.20.1"], ["ARG VISION=0.19.0"])}


def test_an_unknown_base_changes_nothing_about_two_pins() -> None:
    files = {"Dockerfile": f"{BASE}RUN pip install torch==2.4.0 torchvision==0.20.1\n"}
    assert [one.severity for one in findings(files, RULE)] == ["error"]


def test_companions_of_the_base_are_not_this_rules() -> None:
    files = {
        "Dockerfile": "FROM pytorch/pytorch:2.1.0-cuda11.8-cudnn8-runtime\nRUN pip install torch==2.2.0\n"
    }
    assert findings(files, RULE) == []


def test_an_index_whose_builds_are_not_all_known_may_have_the_companion() -> None:
    index = "https://download.pytorch.org/whl/cu129"
    dockerfile = f"FROM python:3.12\nRUN pip install torch==2.9.1 torchvision --index-url {index}\n"

    assert not findings({"Dockerfile": dockerfile}, "image/torch-pair")
