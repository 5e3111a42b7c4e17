"""Requests that exclude each other by the metadata of one of them."""

from __future__ import annotations

import pytest

from support.image_checks import applied, findings

RULE = "image/unsatisfiable"


def test_a_pin_that_another_one_does_not_allow_is_an_error() -> None:
    files = {"requirements.txt": "vllm==0.4.2\ntransformers==4.30.0  # old\n"}
    (found,) = findings(files, RULE)

    assert (found.severity, found.line) == ("error", 2)
    assert "vllm 0.4.2 needs transformers>=4.40.0" in found.message
    assert found.fix is not None
    assert applied(files, found.fix)["requirements.txt"] == "vllm==0.4.2\ntransformers==4.40.0  # old\n"


def test_a_range_without_a_version_that_fits_is_an_error_too() -> None:
    assert findings({"requirements.txt": "jax==0.4.30\njaxlib<0.4.20\n"}, RULE)


@pytest.mark.parametrize(
    "text",
    [
        "vllm==0.4.2\ntransformers==4.40.1\n",
        "vllm\ntransformers==4.30.0\n",  # an older one may be chosen
        "vllm==0.4.2\ntransformers>=4.30\n",
        # The build for another CUDA needs other libraries than the metadata of the default build says.
        (
            "--extra-index-url https://download.pytorch.org/whl/cu126\n"
            "torch==2.8.0+cu126\nnvidia-cublas-cu12==12.6.4.1\n"
        ),
    ],
)
def test_what_can_be_installed_together_is_left_alone(text: str) -> None:
    assert not findings({"requirements.txt": text}, RULE)


def test_two_commands_do_not_exclude_each_other() -> None:
    dockerfile = "FROM python:3.11\nRUN pip install transformers==4.30.0\nRUN pip install vllm==0.4.2\n"

    assert not findings({"Dockerfile": dockerfile}, RULE)


def test_a_command_that_leaves_dependencies_out_is_left_alone() -> None:
    dockerfile = "FROM python:3.11\nRUN pip install --no-deps vllm==0.4.2 transformers==4.30.0\n"

    assert not findings({"Dockerfile": dockerfile}, RULE)
