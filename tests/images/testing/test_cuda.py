"""Why no GPU is seen: the first reason, and whether it is a failure. No machine of these tests needs to have one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from seatrial.images.runtimes.gpus import Machine, driver_in, libraries_in, machine, options, variables
from seatrial.images.testing.cuda import Built, why_not
from seatrial.images.testing.model import TestSpec
from support.debian import Item, base, needs_bwrap, own_cache
from support.ml import checks, installed, torch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TORCH = Built("torch 2.6.0+cu124", "12.4")
WHOLE = Machine(("/dev/nvidia0", "/dev/nvidiactl"), "550.54.15", {"libcuda.so.1": "/usr/lib/libcuda.so.1"})

# What is in the image, which variable hides GPUs, the machine, and how the reason begins.
REASONS: list[tuple[Built | None, str, Machine, str]] = [
    (None, "", WHOLE, "nothing in the image is for GPUs"),
    (Built("torch 2.6.0+cpu", "", "torch 2.6.0+cpu is a CPU build"), "", WHOLE, "torch 2.6.0+cpu is a CPU build"),
    (TORCH, "CUDA_VISIBLE_DEVICES=''", WHOLE, "the image hides GPUs: CUDA_VISIBLE_DEVICES"),
    (TORCH, "", Machine(), "there is no NVIDIA GPU on this machine"),
    (TORCH, "", Machine((), "550.54.15"), "this machine has the driver 550.54.15, but no GPU's device file"),
    (TORCH, "", WHOLE._replace(libraries={}), "this machine has 1 GPU, but its driver's libraries are not to be found"),
    (TORCH, "", WHOLE._replace(driver="470.57.02"), "torch 2.6.0+cu124 needs CUDA 12.4, whose lowest driver is 525.60.13; this machine has 470.57.02; the newest that it runs is CUDA 11.8"),
]  # fmt: skip


@pytest.mark.parametrize(("built", "hidden", "here", "reason"), REASONS, ids=[r[3][:40] for r in REASONS])
def test_the_first_reason_is_named_by_invented_machines(
    built: Built | None, hidden: str, here: Machine, reason: str
) -> None:
    found = why_not(built, hidden, here)
    assert found is not None
    assert found[0].startswith(reason)
    assert found[1]


@pytest.mark.parametrize("cuda", ["12.4", "11.8", "", "99.9"])
def test_nothing_is_said_against_a_machine_that_has_all_by_an_invented_one(cuda: str) -> None:
    assert why_not(Built("torch", cuda), "", WHOLE) is None


def test_a_driver_is_read_as_it_describes_itself() -> None:
    text = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\nGCC version:  gcc 12\n"
    opened = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  575.57.08  Release Build  (x)\n"
    assert (driver_in(text), driver_in(opened), driver_in("")) == ("550.54.15", "575.57.08", "")


def test_only_the_drivers_libraries_are_passed_on() -> None:
    cache = """3 libs found in cache `/etc/ld.so.cache'
	libcuda.so.1 (libc6,x86-64) => /usr/lib/x86_64-linux-gnu/libcuda.so.1
	libcuda.so.1 (libc6) => /usr/lib/i386-linux-gnu/libcuda.so.1
	libcuda.so (libc6,x86-64) => /usr/lib/x86_64-linux-gnu/libcuda.so
	libcudart.so.12 (libc6,x86-64) => /usr/local/cuda/lib64/libcudart.so.12
	libnvidia-ptxjitcompiler.so.1 (libc6,x86-64) => /usr/lib/x86_64-linux-gnu/libnvidia-ptxjitcompiler.so.1
	libc.so.6 (libc6,x86-64, OS ABI: Linux 3.2.0) => /lib/x86_64-linux-gnu/libc.so.6
"""
    assert libraries_in(cache) == {
        "libcuda.so.1": "/usr/lib/x86_64-linux-gnu/libcuda.so.1",
        "libnvidia-ptxjitcompiler.so.1": "/usr/lib/x86_64-linux-gnu/libnvidia-ptxjitcompiler.so.1",
    }


def test_devices_and_libraries_become_visible_by_an_invented_machine() -> None:
    words = " ".join(options(WHOLE))
    assert "--dev-bind-try /dev/nvidia0 /dev/nvidia0" in words
    assert words.endswith("/run/seatrial/nvidia/libcuda.so.1")
    assert variables({"LD_LIBRARY_PATH": "/opt/x"}) == {"LD_LIBRARY_PATH": "/opt/x:/run/seatrial/nvidia"}
    assert variables({}) == {"LD_LIBRARY_PATH": "/run/seatrial/nvidia"}


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    needs_bwrap()
    for _ in own_cache(tmp_path_factory):
        yield base()


# What the image holds, its settings, and what is said of it.
IMAGES: list[tuple[str, list[Item], dict[str, Any], str]] = [
    ("nothing", [], {}, "nothing in the image is for GPUs"),
    ("cpu", torch("2.6.0+cpu"), {}, "torch 2.6.0+cpu is a CPU build"),
    ("cupy", installed("cupy-cuda12x", "13.4.0", {"cupy.py": ""}), {"Env": ["CUDA_VISIBLE_DEVICES=-1"]}, "the image hides GPUs: CUDA_VISIBLE_DEVICES='-1'"),
    ("hidden", torch("2.6.0+cu124", "12.4"), {"Env": ["NVIDIA_VISIBLE_DEVICES=void"]}, "the image hides GPUs: NVIDIA_VISIBLE_DEVICES='void'"),
]  # fmt: skip


@pytest.mark.parametrize(("items", "settings", "reason"), [i[1:] for i in IMAGES], ids=[i[0] for i in IMAGES])
def test_an_image_is_skipped_or_fails_where_a_gpu_is_required_by_a_stand_in_for_torch(
    debian: Path, tmp_path: Path, items: list[Item], settings: dict[str, Any], reason: str
) -> None:
    (found,) = checks(debian, tmp_path / "a", items, TestSpec(), "cuda", "quick", **settings)
    assert (found.status, found.message) == ("skip", reason)
    (found,) = checks(debian, tmp_path / "b", items, TestSpec(gpu_required=True), "cuda", "quick", **settings)
    assert (found.status, found.message) == ("fail", f"a GPU is required: {reason}")
    assert found.fix


def test_a_machine_without_a_gpu_is_no_fault_of_the_image_by_a_stand_in_for_torch(
    debian: Path, tmp_path: Path
) -> None:
    if machine().gpus:
        pytest.skip("this machine has a GPU")
    (found,) = checks(debian, tmp_path, torch("2.6.0+cu124", "12.4"), TestSpec(), "cuda", "quick")
    assert (found.status, found.message) == (
        "skip",
        "there is no NVIDIA GPU on this machine (no /dev/nvidia0)",
    )
