"""Packages that do not go together: found at the right place and severity, repaired by each alternative, and no more."""

from __future__ import annotations

import pytest

from seatrial.images import facts
from support.image_checks import applied, findings

SLIM = "FROM python:3.10-slim\nCOPY requirements.txt .\nRUN pip install -r requirements.txt\n"


def found(
    text: str, rule: str, dockerfile: str = SLIM, **target: str
) -> list[tuple[str, int, tuple[str, ...]]]:
    """Severity, line in requirements.txt and the titles of the alternatives."""
    files = {"Dockerfile": dockerfile, "requirements.txt": text}
    return [
        (one.severity, one.line, tuple(each.title for each in (one.fix, *one.alternatives) if each))
        for one in findings(files, f"image/{rule}", **target)
    ]


@pytest.mark.parametrize(
    ("rule", "text", "severity", "line", "fix"),
    [
        ("transformers-torch", "torch==2.0.1\ntransformers==5.20.0\n", "error", 2, "Pin transformers to 4.49.0"),
        ("transformers-torch", "torch==2.0.1\nnumpy<2\ntransformers\n", "warning", 3, "Keep transformers below 4.50"),
        ("deepspeed-torch", "torch==2.4.0\ndeepspeed==0.14.3\n", "error", 2, "Pin deepspeed to 0.14.4"),
        ("bitsandbytes-triton", "torch==2.6.0\nbitsandbytes==0.44.1\n", "error", 2, "Pin bitsandbytes to 0.45.1"),
        ("torchao-torch", "torch==2.9.1\ntorchao>=0.9.0\n", "warning", 2, "Keep torchao below 0.16"),
        ("xformers-torch", "torch==2.3.0\nxformers==0.0.24\n", "error", 2, "Pin xformers to 0.0.26.post1"),
        ("vllm-torch", "vllm==0.7.3\ntorch==2.4.0\n", "error", 1, "Pin vllm to 0.6.3.post1"),
        ("triton-torch", "torch==2.5.1\ntriton==3.0.0\n", "error", 2, "Pin triton to 3.1.0"),
    ],
)  # fmt: skip
def test_a_pair_that_fails_is_found_where_it_is_changed(
    rule: str, text: str, severity: str, line: int, fix: str
) -> None:
    ((worst, at, fixes),) = found(text, rule)

    assert (worst, at, fixes[0]) == (severity, line, fix)
    assert len(fixes) > 1


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("transformers-torch", "torch==2.0.1\ntransformers==4.49.0\n"),
        ("transformers-torch", "torch==2.7.1\ntransformers\n"),
        ("transformers-torch", "torch\ntransformers\n"),
        ("transformers-torch", "transformers[torch]\ntorch>=2\n"),
        ("deepspeed-torch", "torch==2.4.0\ndeepspeed==0.14.4\n"),
        ("deepspeed-torch", "torch==2.3.1\ndeepspeed==0.14.3\n"),
        ("bitsandbytes-triton", "torch==2.5.1\nbitsandbytes==0.44.1\n"),
        ("bitsandbytes-triton", "torch==2.6.0\nbitsandbytes==0.45.1\n"),
        ("bitsandbytes-triton", "--index-url https://download.pytorch.org/whl/cpu\ntorch==2.6.0\nbitsandbytes==0.44.1\n"),
        ("torchao-torch", "torch==2.9.1\ntorchao==0.15.0\n"),
        ("xformers-torch", "torch==2.3.0\nxformers==0.0.26.post1\n"),
        ("xformers-torch", "torch==2.3.0+cu121\nxformers==0.0.26.post1\n"),
        ("xformers-torch", "torch==2.3.0\nxformers\n"),
        ("vllm-torch", "vllm==0.7.3\ntorch==2.5.1\n"),
        ("vllm-torch", "vllm\ntorch==2.4.0\n"),
        ("vllm-torch", "vllm==0.7.3\ntorch>=2.4\n"),
        ("vllm-torch", "torch-npu==2.5.1\nvllm==0.7.3\n"),
        ("triton-torch", "torch==2.5.1\ntriton==3.1.0\n"),
        ("triton-torch", "torch==2.5.1\ntriton\n"),
    ],
)  # fmt: skip
def test_what_works_is_no_finding(rule: str, text: str) -> None:
    assert found(text, rule) == []


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("torch == 2.4.0 # new\ndeepspeed == 0.14.3\n", "torch == 2.4.0 # new\ndeepspeed == 0.14.4\n"),
        ("vllm==0.2.1.post1\nxformers==0.0.22\ntorch==2.3.0\n", "vllm==0.5.1\nxformers==0.0.26.post1\ntorch==2.3.0\n"),
        ("vllm==0.6.5\n# why\nvllm-flash-attn==2.6.*\n", "vllm==0.6.5\n# why\n"),
    ],
)  # fmt: skip
def test_the_first_fix_changes_only_what_must(text: str, after: str) -> None:
    one = next(each for each in findings({"requirements.txt": text}) if each.severity == "error")

    assert one.fix is not None
    assert applied({"requirements.txt": text}, one.fix) == {"requirements.txt": after}


@pytest.mark.parametrize(
    "text",
    [
        "torch==2.0.1\nnumpy<2\ntransformers\n",
        "vllm==0.7.3\n--extra-index-url https://download.pytorch.org/whl/cu124\ntorch==2.4.0+cu124\n",
        "torch==2.6.0\nbitsandbytes==0.44.1\n",
        "torch==2.3.0\nxformers==0.0.24\ntorchvision==0.18.0\n",
    ],
)
def test_every_alternative_ends_the_finding(text: str) -> None:
    files = {"requirements.txt": text}
    before = [one for one in findings(files) if one.severity != "note"]

    for one in before:
        for fix in (one.fix, *one.alternatives):
            assert fix is not None
            left = [(each.rule, each.message) for each in findings(applied(files, fix))]
            assert (one.rule, one.message) not in left


def test_torch_of_the_base_counts() -> None:
    old = "FROM pytorch/pytorch:2.0.1-cuda11.7-cudnn8-runtime\nRUN pip install transformers\n"
    (one,) = findings({"Dockerfile": old}, "image/transformers-torch")

    assert (one.severity, one.line) == ("warning", 2)
    assert "of the base image" in one.message
    new = old.replace("2.0.1-cuda11.7-cudnn8", "2.7.1-cuda12.6-cudnn9")
    assert findings({"Dockerfile": new}, "image/transformers-torch") == []
    assert findings({"Dockerfile": "ARG BASE\nFROM $BASE\nRUN pip install transformers\n"}, "image/transformers-torch") == []  # fmt: skip


def test_an_install_that_may_not_run_is_no_error() -> None:
    text = "FROM python:3.10-slim\nRUN pip install torch==2.4.0\nRUN pip install deepspeed==0.14.3 || true\n"

    assert [one.severity for one in findings({"Dockerfile": text}, "image/deepspeed-torch")] == ["warning"]


def test_a_later_install_can_repair_it() -> None:
    text = "FROM python:3.10-slim\nRUN pip install torch==2.4.0 deepspeed==0.14.3\nRUN pip install deepspeed==0.14.5\n"

    assert findings({"Dockerfile": text}, "image/deepspeed-torch") == []


def test_torch_that_is_exchanged_afterwards_leaves_vllm_behind() -> None:
    text = "FROM python:3.11-slim\nRUN pip install vllm==0.7.3\nRUN pip install torch==2.7.1\n"
    (one,) = findings({"Dockerfile": text}, "image/vllm-torch")

    assert (one.severity, one.line) == ("warning", 2)
    again = text.replace("torch==2.7.1", "torch==2.5.1")
    assert findings({"Dockerfile": again}, "image/vllm-torch") == []
    within = text.replace("vllm==0.7.3", "--no-deps xformers==0.0.23").replace("2.7.1", "2.1.0")
    assert findings({"Dockerfile": within}, "image/xformers-torch") == []


def test_the_rows_of_the_table_name_versions_that_exist() -> None:
    for row in facts.pairs():
        known = facts.releases(row.package)
        assert not known or any(facts.fits(one.version, row.versions) for one in known), row
        assert row.source.startswith("https://")
