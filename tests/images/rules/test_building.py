"""Packages that need torch or nvcc while they are built."""

from __future__ import annotations

import pytest

from seatrial.images.facts.builds import source_build, source_builds
from support.image_checks import applied, findings

ISOLATION, TOOLKIT = "image/build-isolation", "image/build-toolkit"
DEVEL = "FROM nvidia/cuda:12.4.1-devel-ubuntu22.04\nRUN apt-get update && apt-get install -y python3-pip\n"
SLIM = "FROM python:3.10-slim\n"
TORCH = "RUN pip install torch==2.6.0\n"


def severities(text: str, rule: str, **others: str) -> list[str]:
    files = {"Dockerfile": text, **{f"{name}.txt": body for name, body in others.items()}}
    return [one.severity for one in findings(files, rule)]


@pytest.mark.parametrize(
    "text",
    [
        SLIM + "RUN pip install torch==2.6.0 flash-attn==2.7.4.post1\n",
        SLIM + "RUN pip install --no-build-isolation torch==2.6.0 flash-attn==2.7.4.post1\n",
        DEVEL + "RUN pip install flash-attn==2.7.4.post1 --no-build-isolation\n" + TORCH,
        SLIM + "RUN pip install uv\nRUN uv pip install --system torch==2.6.0\nRUN uv pip install --system flash-attn==2.7.4.post1\n",
        SLIM + TORCH + "RUN pip install git+https://github.com/NVIDIA/apex.git\n",
    ],
)  # fmt: skip
def test_a_build_that_cannot_see_torch_is_an_error(text: str) -> None:
    assert severities(text, ISOLATION) == ["error"]


@pytest.mark.parametrize(
    "text",
    [
        SLIM + TORCH + "RUN pip install flash-attn==2.7.4.post1\n",
        "ARG BASE\nFROM $BASE\nRUN pip install torch==2.6.0 flash-attn==2.7.4.post1\n",
        SLIM + TORCH + "RUN pip install git+https://github.com/NVIDIA/apex.git || true\n",
        "ARG BASE\nFROM $BASE\n" + TORCH + "RUN pip install git+https://github.com/NVIDIA/apex.git\n",
        SLIM + TORCH + "RUN pip install mamba-ssm==2.2.4\n",
    ],
)
def test_what_depends_on_pip_is_a_warning(text: str) -> None:
    assert severities(text, ISOLATION) == ["warning"]


@pytest.mark.parametrize(
    "text",
    [
        SLIM + TORCH + "RUN pip install --no-build-isolation flash-attn==2.7.4.post1\n",
        SLIM + TORCH + "RUN PIP_NO_BUILD_ISOLATION=0 pip install flash-attn==2.7.4.post1\n",
        DEVEL + TORCH + "RUN pip install flash-attn==2.7.4.post1\n",
        "FROM ubuntu:20.04\nRUN apt-get install -y python3 curl\nRUN pip install torch==2.0.1\nRUN pip install flash-attn==2.3.2\n",
        "FROM nvcr.io/nvidia/pytorch:23.10-py3\nRUN pip install flash-attn==2.3.2\n",
        "ARG BASE\nFROM $BASE\nRUN pip install --no-build-isolation flash-attn==2.7.4.post1\n",
        SLIM + TORCH + "RUN pip install torch-scatter -f https://data.pyg.org/whl/torch-2.6.0+cu124.html\n",
        SLIM + TORCH + "RUN pip install xformers==0.0.29.post2\n",
    ],
)
def test_what_is_built_beside_torch_is_none(text: str) -> None:
    assert severities(text, ISOLATION) == []


def test_dependency_files_alone_get_a_warning() -> None:
    (one,) = findings({"requirements.txt": "torch==2.8.0\nflash-attn==2.8.3\n"}, ISOLATION)

    assert one.severity == "warning"


def test_the_option_is_written_after_install() -> None:
    files = {"Dockerfile": SLIM + TORCH + "RUN pip install flash-attn==2.7.4.post1\n"}
    (one,) = findings(files, ISOLATION)

    assert one.fix is not None
    assert applied(files, one.fix)["Dockerfile"].endswith(
        "RUN pip install --no-build-isolation flash-attn==2.7.4.post1\n"
    )


def test_a_later_command_is_written_for_what_came_with_torch() -> None:
    files = {
        "Dockerfile": DEVEL
        + "COPY requirements.txt .\nRUN pip install \\\n    -r requirements.txt\nCMD python\n",
        "requirements.txt": "torch==2.6.0\n# fast\nflash-attn==2.7.4.post1\n",
    }
    (one,) = findings(files, ISOLATION)

    assert one.fix is not None
    after = applied(files, one.fix)
    assert after["requirements.txt"] == "torch==2.6.0\n# fast\n"
    assert (
        "    -r requirements.txt\nRUN pip install --no-build-isolation flash-attn==2.7.4.post1\nCMD"
        in after["Dockerfile"]
    )
    assert findings(after, ISOLATION) == []


LATER = "RUN pip install --no-build-isolation flash-attn=={}\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (SLIM + TORCH + LATER.format("2.6.3"), ["error"]),
        (SLIM + TORCH + LATER.format("2.7.4.post1"), []),
        (SLIM + "RUN pip install torch==2.0.1 'numpy<2'\nRUN pip install --no-build-isolation flash-attn\n", ["warning"]),
        (DEVEL + TORCH + LATER.format("2.6.3"), []),
        (SLIM + "RUN apt-get install -y nvidia-cuda-toolkit\n" + TORCH + LATER.format("2.6.3"), []),
        ("ARG BASE\nFROM $BASE\n" + TORCH + LATER.format("2.6.3"), []),
        (SLIM + TORCH + "RUN pip install --no-build-isolation causal-conv1d==1.4.0\n", []),
    ],
)  # fmt: skip
def test_compiling_needs_a_compiler(text: str, found: list[str]) -> None:
    assert severities(text, TOOLKIT) == found


def test_a_version_that_has_a_wheel_is_offered() -> None:
    base = (
        "FROM nvidia/cuda:12.4.1-runtime-ubuntu22.04\nRUN apt-get update && apt-get install -y python3-pip\n"
    )
    files = {"Dockerfile": base + TORCH + LATER.format("2.6.3")}
    (one,) = findings(files, TOOLKIT, python="3.10")
    fixes = [each for each in (one.fix, *one.alternatives) if each]

    assert fixes[0].title.startswith("Pin flash-attn to 2.")
    assert fixes[1].title.startswith("Install the wheel of flash-attn 2.")
    for each in fixes:
        assert findings(applied(files, each), TOOLKIT, python="3.10") == []


def test_the_table_agrees_with_itself() -> None:
    known = source_builds()

    for one in known.builds:
        assert one.source.startswith("https://")
        assert one.package == one.package.lower().replace("_", "-")
    assert source_build("flash-attn", "1.0.8") != source_build("flash-attn", "2.8.3")
    apex = source_build("", "", "git+https://github.com/NVIDIA/apex@24.04.01")
    assert apex is not None
    assert apex.package == "apex"
    assert source_build("requests", "2.32.0") is None


def test_a_base_with_the_toolkit_is_offered() -> None:
    base = (
        "FROM nvidia/cuda:12.4.1-runtime-ubuntu22.04\nRUN apt-get update && apt-get install -y python3-pip\n"
    )
    files = {"Dockerfile": base + "RUN MAX_JOBS=4 pip install --no-build-isolation flash-attn==2.8.3\n"}
    (one,) = findings(files, TOOLKIT)

    assert one.severity == "error"
    assert one.fix is not None
    assert applied(files, one.fix)["Dockerfile"].startswith("FROM nvidia/cuda:12.4.1-devel-ubuntu22.04\n")
