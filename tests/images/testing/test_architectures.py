"""Compiled code against the GPU that an image is for, from what shared objects hold and what torch says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from seatrial.errors import UsageError
from seatrial.images.testing import fatbin
from seatrial.images.testing.architectures import from_flags, judge, target_of
from seatrial.images.testing.cuda import Built
from seatrial.images.testing.fatbin import Code
from seatrial.images.testing.model import TestSpec
from support.debian import base, needs_bwrap, own_cache
from support.ml import checks, gpu_object, torch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PTX, CODE = 1, 2


def test_headers_say_which_gpus_code_is_for(tmp_path: Path) -> None:
    (tmp_path / "a.so").write_bytes(gpu_object((CODE, 80), (CODE, 90), (PTX, 90)))
    (tmp_path / "b.so").write_bytes(gpu_object((CODE, 75), section=b"__nv_relfatbin"))
    (tmp_path / "c.so").write_bytes(gpu_object((CODE, 75), section=b".rodata"))
    assert fatbin.read(tmp_path / "a.so") == Code(frozenset({80, 90}), frozenset({90}))
    assert fatbin.read(tmp_path / "b.so") == Code(frozenset({75}))
    assert fatbin.read(tmp_path / "c.so") is None


def test_damaged_objects_are_read_to_where_they_make_sense(tmp_path: Path) -> None:
    whole = gpu_object((CODE, 80), (PTX, 90))
    for cut in (0, 3, 40, 63, 64, 100, 200, len(whole) - 5000):
        (tmp_path / "x.so").write_bytes(whole[:cut])
        fatbin.read(tmp_path / "x.so")
    for at in range(40, 320, 3):
        (tmp_path / "x.so").write_bytes(whole[:at] + b"\xff\xff\xff" + whole[at + 3 :])
        fatbin.read(tmp_path / "x.so")


# Machine code, PTX, the GPU, and what comes of it.
CASES: list[tuple[set[int], set[int], str, str]] = [
    ({80}, set(), "A100", "pass architectures"),
    ({80}, set(), "A10G", "pass architectures"),
    ({86}, set(), "A100", "fail architectures:torch"),
    ({80, 86}, set(), "H100", "fail architectures:torch"),
    ({80}, {80}, "H100", "pass architectures:ptx"),
    ({80}, {90}, "V100", "fail architectures:torch"),
    ({100}, set(), "RTX 5090", "fail architectures:torch"),
    ({90}, set(), "p5.48xlarge", "pass architectures"),
    ({75}, set(), "ml.g4dn.xlarge", "pass architectures"),
    ({90}, set(), "sm_90", "pass architectures"),
]


@pytest.mark.parametrize(("sm", "ptx", "gpu", "wanted"), CASES)
def test_code_runs_on_a_gpu_or_not(sm: set[int], ptx: set[int], gpu: str, wanted: str) -> None:
    found = list(judge({"torch": Code(frozenset(sm), frozenset(ptx))}, target_of(gpu), None))
    assert [f"{check.status} {check.id}" for check in found] == [wanted]


def test_ptx_is_passed_with_a_warning() -> None:
    (found,) = judge({"torch": Code(frozenset({80}), frozenset({80}))}, target_of("H100"), None)
    assert found.message.startswith("warning: torch runs on H100 only by compiling PTX at its first use")


def test_the_fix_names_a_release_of_torch_and_its_index() -> None:
    (found,) = judge({"torch": Code(frozenset({90}))}, target_of("B200"), Built("torch 2.6.0+cu124", "12.4"))
    assert found.message == "torch has no code for B200 (sm_100); it has sm_90"
    assert found.fix == (
        "install torch==2.7.0+cu128 from https://download.pytorch.org/whl/cu128: the nearest release that has one"
    )


def test_what_torch_says_of_itself_is_understood() -> None:
    assert from_flags("flags sm_50 sm_90a compute_90") == Code(frozenset({50, 90}), frozenset({90}))


def test_an_unknown_gpu_is_an_error_with_the_nearest_name() -> None:
    with pytest.raises(UsageError) as caught:
        target_of("h1000")
    assert "h100" in str(caught.value.fix)


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    needs_bwrap()
    for _ in own_cache(tmp_path_factory):
        yield base()


def test_the_objects_of_an_image_are_judged_by_a_stand_in_for_torch(debian: Path, tmp_path: Path) -> None:
    """A library of NVIDIA's own beside it is not: it keeps code that no header shows."""
    layer = torch(
        "2.6.0+cu124", "12.4", libtorch_cuda=gpu_object((CODE, 80)), libcufft=gpu_object((CODE, 50))
    )
    (found,) = checks(debian, tmp_path / "a", layer, TestSpec(gpu="g5.xlarge"), "architectures", "quick")
    assert found.status == "pass"
    (found,) = checks(debian, tmp_path / "b", layer, TestSpec(gpu="H100"), "architectures", "quick")
    assert (found.id, found.status) == ("architectures:torch", "fail")
    assert "torch==2.6.0+cu124" in found.fix
    (found,) = checks(debian, tmp_path / "c", layer, TestSpec(), "architectures", "standard")
    assert found.status == "skip"
    assert "torch: sm_80" in found.message


def test_an_image_without_code_for_gpus_is_skipped(debian: Path, tmp_path: Path) -> None:
    (found,) = checks(debian, tmp_path, [], TestSpec(gpu="H100"), "architectures", "quick")
    assert (found.status, found.message) == ("skip", "no compiled code for GPUs is in the image")
