"""image/python-version: nothing installs on the image's Python."""

from __future__ import annotations

import pytest

from support.fixes import changes, fixed
from support.image_checks import findings

RULE = "image/python-version"
INDEX = "https://download.pytorch.org/whl"


@pytest.mark.parametrize(
    ("base", "install", "words"),
    [
        ("python:3.12-slim", "torch==2.1.1", "torch 2.1.1 has wheels for Python 3.8 to 3.11, but the image has Python 3.12"),
        ("python:3.10", "torch==1.4.0", "torch 1.4.0 has wheels for Python 3.5 to 3.8, but the image has Python 3.10"),
        ("python:3.10-slim", "torch==2.15.0", "torch 2.15.0 has wheels for Python 3.11"),
        ("python:3.12", "'torch>=2.0,<2.2'", "torch<2.2,>=2.0 ends with 2.1.2, which has wheels for Python 3.8 to 3.11"),
        ("python:3.12", f"torch --index-url {INDEX}/cu117", "the newest torch there is 2.0.1, which has wheels for"),
        ("python:3.13", "tensorflow==2.15.0", "tensorflow 2.15.0 has wheels for Python 3.9 to 3.11"),
        ("python:latest", "torch==1.4.0", "the Python of python:latest, by now 3.13 or newer"),
        ("python:3", "torch==2.0.1", "the Python of python:3, by now 3.13 or newer"),
        ("python", "torch==2.0.1", "the Python of python, by now 3.13 or newer"),
        ("python:3.11-slim", "torchvision==0.10.0", "torchvision 0.10.0 has wheels for Python 3.6 to 3.9"),
    ],
)  # fmt: skip
def test_a_pin_without_a_wheel(base: str, install: str, words: str) -> None:
    files = {"Dockerfile": f"FROM {base}\nRUN pip install {install}\n"}
    (found,) = findings(files, RULE)
    assert found.severity == "error"
    assert words in found.message
    assert (found.line, found.column) == (2, 17)
    assert fixed(files, found)


@pytest.mark.parametrize(
    ("base", "install"),
    [
        ("python:3.11-slim", "torch==2.1.1"),
        ("python:3.12", "torch==2.2.0"),
        # numpy has source archives.
        ("python:3.12", "numpy==1.21.0"),
        ("python:3.12", "'torch>=2.0'"),
        ("python:3.12", "torch"),
        ("python:3.12", "'torch==2.1.1 ; python_version < \"3.12\"'"),
        ("python:3.12", "torch==99.1"),
        ("python:3.12", "https://example.org/torch-2.1.1-cp312-cp312-linux_x86_64.whl"),
        ("python:3.12", "torch==2.1.1 -f ./wheels"),
        ("python:3", "torch==2.9.0"),
        ("python:3-buster", "torch==2.0.1"),
        ("example.org/team/base:1", "torch==1.4.0"),
        ("ubuntu", "torch==1.4.0"),
    ],
)
def test_what_installs_or_is_not_known(base: str, install: str) -> None:
    assert findings({"Dockerfile": f"FROM {base}\nRUN pip install {install}\n"}, RULE) == []


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        ("FROM python:3.12\nRUN pip install torch==2.1.1 || true\n", "warning"),
        (
            "FROM python:3.12\nRUN pip install torch==2.1.1 --extra-index-url https://wheels.example.org/\n",
            "warning",
        ),
        (f"FROM python:3.12\nRUN pip install torchvision==0.16.0 --index-url {INDEX}/cu118\n", "warning"),
        # Nothing public says which Python this one has.
        ("FROM pytorch/pytorch:2.1.0-cuda11.8-cudnn8-runtime\nRUN pip install tensorflow==2.3.0\n", "note"),
        ("FROM python:3.12\nRUN uv pip install --system torch==2.1.1\n", "error"),
    ],
)
def test_how_bad_it_is(text: str, severity: str) -> None:
    assert [one.severity for one in findings({"Dockerfile": text}, RULE)] == [severity]


def test_uv_brings_a_python_of_its_own_to_a_project() -> None:
    project = '[project]\nname = "a"\nversion = "1"\nrequires-python = "==3.10.*"\ndependencies = ["torch==2.1.1"]\n'
    text = "FROM python:3.12\nCOPY pyproject.toml .\nRUN uv sync\n"
    assert findings({"Dockerfile": text, "pyproject.toml": project}, RULE) == []


def test_the_target_says_which_python_it_is() -> None:
    files = {"requirements.txt": "torch==2.1.1\n"}
    assert findings(files, RULE) == []
    (found,) = findings(files, RULE, python="3.12")
    assert found.severity == "error"
    assert fixed(files, found, python="3.12")[0] == {"requirements.txt": "torch==2.2.0\n"}


@pytest.mark.parametrize(
    ("base", "after"),
    [
        ("python:3.12-slim", "python:3.11-slim"),
        ("python:3.13.1-slim-bookworm", "python:3.11-slim-bookworm"),
        ("python:latest", "python:3.11"),
        ("python:3-slim", "python:3.11-slim"),
        ("python", "python:3.11"),
        ("python:slim", "python:3.11-slim"),
    ],
)
def test_the_first_fix_is_the_nearest_python(base: str, after: str) -> None:
    files = {"Dockerfile": f"FROM {base} AS one\nRUN pip install torch==2.1.1\n"}
    (found,) = findings(files, RULE)
    outcome = fixed(files, found)[0]
    assert changes(files, outcome) == {"Dockerfile": ([f"FROM {base} AS one"], [f"FROM {after} AS one"])}


def test_companions_are_raised_with_torch() -> None:
    files = {"Dockerfile": "FROM python:3.12\nRUN pip install torch==2.1.1 torchvision==0.16.1\n"}
    (found,) = findings(files, RULE)
    texts = [one["Dockerfile"] for one in fixed(files, found)]
    assert "FROM python:3.12\nRUN pip install torch==2.2.0 torchvision==0.17.0\n" in texts


def test_a_python_that_is_copied_from_another_image() -> None:
    text = "FROM openjdk:slim\nCOPY --from=python:3 / /\nRUN pip install torch==1.5.0\n"
    (found,) = findings({"Dockerfile": text}, RULE)
    assert found.severity == "error"
    assert fixed({"Dockerfile": text}, found)[0]["Dockerfile"] == text.replace("python:3", "python:3.8")
    assert findings({"Dockerfile": text.replace("python:3 ", "python:3.8 ")}, RULE) == []


def test_conda_has_builds_of_its_own() -> None:
    text = "FROM continuumio/miniconda3\nRUN conda install -y python=3.12 pytorch=2.1.1 -c conda-forge\n"
    assert findings({"Dockerfile": text}, RULE) == []
