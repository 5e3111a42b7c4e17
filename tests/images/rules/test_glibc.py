"""Wheels that need a newer C library than there is, or another one."""

from __future__ import annotations

import pytest

from support.image_checks import findings
from support.image_fixes import all_help, texts

RULE = "image/glibc"


@pytest.mark.parametrize(
    ("base", "newer"),
    [
        ("python:3.9-slim-stretch", "python:3.9-slim-buster"),
        ("debian:9", "debian:10"),
        ("ubuntu:18.04", "ubuntu:20.04"),
        ("nvidia/cuda:11.8.0-cudnn8-runtime-ubuntu18.04", "nvidia/cuda:11.8.0-cudnn8-runtime-ubuntu20.04"),
    ],
)
def test_a_base_that_is_too_old_is_an_error(base: str, newer: str) -> None:
    files = {"Dockerfile": f"FROM {base}\nRUN pip install torch==2.7.1\n"}
    (found,) = findings(files, RULE, python="3.9")

    assert (found.severity, found.line, found.column) == ("error", 2, 17)
    assert "2.28" in found.message
    assert texts(files, found) == [
        f"FROM {newer}\nRUN pip install torch==2.7.1\n",
        f"FROM {base}\nRUN pip install torch==2.6.0\n",
    ]
    assert all_help(files, found, python="3.9")


@pytest.mark.parametrize("wanted", ["'torch>=2.7'", "'torch>=2.7,<2.9' numpy"])
def test_a_range_without_an_older_release_is_an_error(wanted: str) -> None:
    text = f"FROM amazonlinux:2\nRUN pip install {wanted}\n"
    (found,) = findings({"Dockerfile": text}, RULE, python="3.11")

    assert found.severity == "error"


@pytest.mark.parametrize(
    ("base", "debian"),
    [("python:3.11-alpine", "python:3.11-slim"), ("python:3.11-alpine3.19", "python:3.11-slim")],
)
@pytest.mark.parametrize("package", ["torch", "tensorflow", "onnxruntime==1.20.1", "'torch>=2'"])
def test_alpine_has_no_glibc(base: str, debian: str, package: str) -> None:
    files = {"Dockerfile": f"FROM {base}\nRUN pip install {package}\n"}
    (found,) = findings(files, RULE)

    assert (found.severity, found.line) == ("error", 2)
    assert texts(files, found) == [f"FROM {debian}\nRUN pip install {package}\n"]


def test_what_pip_would_compile_is_a_warning() -> None:
    text = "FROM amazonlinux:2\nRUN pip install numpy==2.3.1\n"
    (found,) = findings({"Dockerfile": text}, RULE, python="3.11")

    assert found.severity == "warning"


def test_files_without_an_image_are_judged_for_the_target() -> None:
    files = {"requirements.txt": "torch==2.7.1\n"}
    (found,) = findings(files, RULE, glibc="2.17", python="3.11")

    assert found.severity == "error"
    assert texts(files, found, "requirements.txt") == ["torch==2.6.0\n"]
    assert not findings(files, RULE, glibc="2.28", python="3.11")
    assert not findings(files, RULE, python="3.11")


@pytest.mark.parametrize(
    "text",
    [
        "FROM python:3.11-slim-buster\nRUN pip install torch==2.7.1\n",
        "FROM ubuntu:18.04\nRUN pip install torch\n",
        "FROM ubuntu:18.04\nRUN pip install torch==2.6.0\n",
        "FROM python:3.11-alpine\nRUN pip install numpy==1.26.4 requests\n",
        "FROM example.com/base:1\nRUN pip install torch==2.7.1\n",
        "FROM ubuntu:18.04\nRUN conda install pytorch=2.5.1\n",
        "FROM python:3.11-alpine\nRUN pip install torch --index-url https://example.com/simple\n",
        "FROM python:3.11-alpine\nRUN pip install torch --find-links /wheels\n",
        "FROM python:3.11-alpine\nRUN pip install https://example.com/torch-2.7.1-cp311-cp311-linux_x86_64.whl\n",
    ],
)
def test_near_misses(text: str) -> None:
    assert not findings({"Dockerfile": text}, RULE, python="3.11")


def test_what_may_not_run_is_no_error() -> None:
    text = 'FROM ubuntu:18.04\nRUN if [ "$A" ]; then pip install torch==2.7.1; fi\n'
    (found,) = findings({"Dockerfile": text}, RULE, python="3.9")

    assert found.severity == "warning"
