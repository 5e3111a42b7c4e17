"""What is recommended exists, stays, and fulfils what was asked for."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import pytest

from seatrial.images import facts
from seatrial.images.catalog import identify
from seatrial.images.catalog.rank import candidates
from seatrial.images.catalog.wishes import Wanted
from seatrial.images.facts.cuda import driver_runs, gpu_support

if TYPE_CHECKING:
    from seatrial.images.catalog.rank import Ranked

_TORCHES = (
    None,
    "",
    "2.8",
    "1.4.0",
    "1.12.1",
    "1.13.1",
    "2.1.2",
    "2.5.1",
    "2.7.1",
    "2.10.0",
    "2.14.1",
    "2.15.0",
    "9.9",
)
_PYTHONS = ("", "3.10", "3.12", "3.14")
_HARDWARE = (((), ""), (("9.0",), "535.129.03"), (("12.0",), "580.65.06"), (("7.0",), "525.60.13"))
_WISHES = [
    Wanted(
        torch=torch,
        python=python,
        needs_nvcc=nvcc,
        capabilities=capabilities,
        driver=driver,
        today="2026-06-01",
    )
    for torch, python, (capabilities, driver), nvcc in product(_TORCHES, _PYTHONS, _HARDWARE, (False, True))
]


def _name(wanted: Wanted) -> str:
    parts = [
        str(wanted.torch),
        wanted.python,
        *wanted.capabilities,
        wanted.driver,
        "nvcc" if wanted.needs_nvcc else "",
    ]
    return "-".join(parts)


@pytest.mark.parametrize("wanted", _WISHES, ids=_name)
def test_every_recommended_base_fulfils_the_wish(wanted: Wanted) -> None:
    for one in candidates(wanted):
        _pinned_and_there(one)
        _fulfils(one, wanted)


def _pinned_and_there(one: Ranked) -> None:
    found = identify(one.reference)
    assert found is not None
    assert found.removed is None, one.reference
    assert not found.apt_key_stale, one.reference
    assert found.moving == "", one.reference
    assert not one.reference.endswith((":latest", ":main", ":nightly"))


def _fulfils(one: Ranked, wanted: Wanted) -> None:
    found = one.contents
    if wanted.python:
        assert found.python in ("", wanted.python)
        assert found.python or any(
            f"Python {wanted.python}" in text for text in (*one.reasons, *one.cautions)
        )
    if wanted.needs_nvcc:
        assert found.cuda_toolkit
    inside = found.packages.get("torch", "")
    if wanted.torch and inside:
        plain = inside.partition("a0")[0].partition("+")[0]
        assert plain == wanted.torch or plain.startswith(f"{wanted.torch}.")
    if wanted.driver and one.cuda:
        assert driver_runs(wanted.driver, one.cuda) is not False
    for capability in wanted.capabilities if one.torch and one.cuda else ():
        assert gpu_support(one.torch, one.cuda, capability).runs is not False
    if found.end_of_patch:
        assert found.end_of_patch >= wanted.today
    if one.torch and found.python and not inside:
        assert found.python in (facts.pythons("torch", one.torch) or ())


def test_a_project_with_torch_gets_it_with_torch_inside() -> None:
    best = candidates(Wanted(torch="2.5.1"))[0]
    assert best.reference == "pytorch/pytorch:2.5.1-cuda12.4-cudnn9-runtime"
    assert best.behind == ""


def test_a_source_build_gets_the_compiler_of_the_same_cuda() -> None:
    ranked = candidates(Wanted(torch="2.5.1", needs_nvcc=True))
    assert ranked[0].reference == "pytorch/pytorch:2.5.1-cuda12.4-cudnn9-devel"
    plain = next(one for one in ranked if one.reference.startswith("nvidia/cuda:"))
    assert plain.reference == "nvidia/cuda:12.4.1-devel-ubuntu22.04"
    assert any("2.5.1" in text for text in plain.cautions)


def test_another_python_than_the_torch_image_has_makes_it_a_python_image() -> None:
    best = candidates(Wanted(torch="2.5.1", python="3.12"))[0]
    assert best.reference.startswith("python:3.12.")
    assert best.torch == "2.5.1"


def test_blackwell_gets_a_build_with_code_for_it() -> None:
    for one in candidates(Wanted(torch="2.7.1", capabilities=("12.0",))):
        assert one.cuda == "12.8"


def test_an_old_driver_gets_an_old_cuda() -> None:
    found = candidates(Wanted(torch="2.9.1", driver="535.129.03"))
    assert found
    assert all(one.cuda.startswith("12.") for one in found)


def test_no_torch_means_no_torch() -> None:
    best = candidates(Wanted(python="3.12"))[0]
    assert best.reference.startswith("python:3.12.")
    assert "torch" not in best.contents.present


def test_several_machines_on_aws() -> None:
    best = candidates(Wanted(torch="2.10.0", multi_node=True, today="2026-06-01"))[0]
    assert best.reference.startswith("public.ecr.aws/deep-learning-containers/")
    assert any("EFA" in text for text in best.reasons)


@pytest.mark.parametrize(
    ("serving", "package"), [("vllm", "vllm"), ("sglang", "sglang"), ("djl", "vllm"), ("triton", "")]
)
def test_a_server_comes_with_its_package(serving: str, package: str) -> None:
    ranked = candidates(Wanted(serving=serving))  # type: ignore[arg-type]
    assert ranked
    for one in ranked:
        assert not package or package in one.contents.packages


def test_what_contradicts_itself_has_no_candidate() -> None:
    assert candidates(Wanted(torch="2.14.1", cuda="11.8")) == ()
    assert candidates(Wanted(torch="2.10.0", driver="450.80.02")) == ()


def test_a_runner_up_says_why_it_is_not_first_and_images_differ() -> None:
    ranked = candidates(Wanted(torch="2.5.1"))
    assert [one.behind == "" for one in ranked] == [True] + [False] * (len(ranked) - 1)
    assert len({one.contents.family for one in ranked}) >= 3
    assert len({one.reference for one in ranked}) == len(ranked)
    assert candidates(Wanted(torch="2.5.1"), 2) == ranked[:2]
