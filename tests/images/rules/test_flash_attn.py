"""Wheels of flash-attn: the named ones by their file name, the others by what setup.py will find."""

from __future__ import annotations

import pytest

from support.image_checks import applied, findings

RULE = "image/flash-attn-wheel"
URL = "https://github.com/Dao-AILab/flash-attention/releases/download"


def wheel(labels: str, version: str = "2.7.4.post1", python: str = "310") -> str:
    return (
        f"flash-attn @ {URL}/v{version}/flash_attn-{version}+{labels}-cp{python}-cp{python}-linux_x86_64.whl"
    )


def image(requirements: str, base: str = "python:3.10-slim") -> dict[str, str]:
    return {
        "Dockerfile": f"FROM {base}\nCOPY requirements.txt .\nRUN pip install -r requirements.txt\n",
        "requirements.txt": requirements,
    }


@pytest.mark.parametrize(
    ("torch", "labels", "said"),
    [
        ("torch==2.4.0", "cu12torch2.4cxx11abiTRUE", "C++ ABI"),
        ("torch==2.5.1", "cu12torch2.4cxx11abiFALSE", "was made for torch 2.4"),
        ("torch==2.4.1+cu118", "cu12torch2.4cxx11abiFALSE", "CUDA 12"),
        ("torch>=2.5", "cu12torch2.4cxx11abiFALSE", "was made for torch 2.4"),
        ("torch", "cu12torch2.4cxx11abiTRUE", "was made for torch 2.4"),
    ],
)
def test_a_wheel_that_cannot_load_is_an_error(torch: str, labels: str, said: str) -> None:
    extra = "--extra-index-url https://download.pytorch.org/whl/cu118\n" if "+cu118" in torch else ""
    (one,) = findings(image(f"{extra}{torch}\n{wheel(labels)}\n"), RULE)

    assert one.severity == "error"
    assert said in one.message


@pytest.mark.parametrize(
    ("torch", "labels"),
    [
        ("torch==2.4.0", "cu12torch2.4cxx11abiFALSE"),
        ("torch==2.4.1", "cu12torch2.4cxx11abiFALSE"),
        ("torch==2.7.1", "cu12torch2.7cxx11abiTRUE"),
    ],
)
def test_a_wheel_that_fits_is_none(torch: str, labels: str) -> None:
    version = "2.8.3" if "2.7c" in labels else "2.7.4.post1"
    assert findings(image(f"{torch}\n{wheel(labels, version)}\n"), RULE) == []


def test_an_open_torch_may_fit() -> None:
    (one,) = findings(image(f"torch>=2.4\n{wheel('cu12torch2.4cxx11abiFALSE')}\n"), RULE)

    assert one.severity == "warning"


def test_the_fix_changes_the_label_alone() -> None:
    files = image(f"torch==2.4.0\n{wheel('cu12torch2.4cxx11abiTRUE')}\n")
    (one,) = findings(files, RULE)

    assert one.fix is not None
    assert (
        applied(files, one.fix)["requirements.txt"] == f"torch==2.4.0\n{wheel('cu12torch2.4cxx11abiFALSE')}\n"
    )


def test_a_wheel_for_another_python_is_refused() -> None:
    files = image(f"torch==2.4.0\n{wheel('cu12torch2.4cxx11abiFALSE', python='311')}\n")
    (one,) = findings(files, RULE)

    assert (one.severity, one.line) == ("error", 2)
    assert "Python 3.11" in one.message
    assert one.fix is not None
    assert "-cp310-cp310-" in applied(files, one.fix)["requirements.txt"]


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("torch==2.3.0\nflash-attn==2.5.7\n", "Pin flash-attn to 2.5.8"),
        ("torch==2.2.0\nflash-attn==2.5.8\n", "Pin flash-attn to 2.5.7"),
        ("torch==2.6.0\nflash-attn==2.6.3\n", "Pin flash-attn to 2.7.4"),
    ],
)
def test_a_version_without_a_good_wheel_is_a_warning(text: str, fix: str) -> None:
    (one,) = findings({"requirements.txt": text}, RULE)

    assert (one.severity, one.line) == ("warning", 2)
    assert one.fix is not None
    assert one.fix.title == fix
    assert findings(applied({"requirements.txt": text}, one.fix), RULE) == []


@pytest.mark.parametrize(
    "text",
    [
        "torch==2.3.0\nflash-attn==2.5.8\n",
        "torch==2.2.2\nflash-attn==2.5.8\n",
        "torch==2.4.0\nflash-attn==2.6.1\n",
        "torch==2.8.0\nflash-attn==2.8.3\n",
        "torch\nflash-attn==2.5.7\n",
    ],
)
def test_a_version_with_a_wheel_is_none(text: str) -> None:
    assert findings({"requirements.txt": text}, RULE) == []


def test_a_build_that_is_asked_for_is_none() -> None:
    text = (
        "FROM nvidia/cuda:12.4.1-devel-ubuntu22.04\nRUN apt-get install -y python3-pip\n"
        "RUN pip install torch==2.6.0\nRUN {}pip install flash-attn==2.6.3 --no-build-isolation\n"
    )
    assert len(findings({"Dockerfile": text.format("")}, RULE)) == 1
    assert findings({"Dockerfile": text.format("MAX_JOBS=4 ")}, RULE) == []
    assert findings({"Dockerfile": text.format("FLASH_ATTENTION_FORCE_BUILD=TRUE ")}, RULE) == []
