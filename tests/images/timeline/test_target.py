"""What `--target` says, read."""

from __future__ import annotations

import pytest

from seatrial.errors import UsageError
from seatrial.images.timeline.target import target


def test_nothing_said_is_linux_on_x86() -> None:
    read = target({})

    assert (read.python, read.driver, read.driver_cuda, read.glibc, read.gpus) == ("", "", "", "", ())
    assert read.architecture == "x86_64"


@pytest.mark.parametrize(
    ("written", "capabilities"),
    [
        ("H100", ["9.0"]),
        ("rtx5090+L4", ["12.0", "8.9"]),
        ("NVIDIA A100-SXM4-80GB / V100", ["8.0", "7.0"]),
        ("p5.48xlarge", ["9.0"]),
        ("ml.g5.2xlarge+g6e", ["8.6", "8.9"]),
        ("sm_120", ["12.0"]),
        ("H100+h100", ["9.0"]),
    ],
)
def test_gpus_and_instance_types(written: str, capabilities: list[str]) -> None:
    assert [one.capability for one in target({"gpu": written}).gpus] == capabilities


@pytest.mark.parametrize(
    ("written", "driver", "cuda"),
    [
        ("535.104.05", "535.104.05", ""),
        ("535", "535", ""),
        ("cuda12.2", "", "12.2"),
        ("CUDA 11.4", "", "11.4"),
        ("12.2", "", "12.2"),
    ],
)
def test_a_driver_by_its_version_or_by_its_cuda(written: str, driver: str, cuda: str) -> None:
    read = target({"driver": written})

    assert (read.driver, read.driver_cuda) == (driver, cuda)


def test_the_other_keys() -> None:
    read = target({"python": "3.11.9", "platform": "linux/arm64", "glibc": "2.31", "cuda": "12.4.1"})

    assert (read.python, read.architecture, read.glibc, read.driver_cuda) == (
        "3.11",
        "aarch64",
        "2.31",
        "12.4",
    )


@pytest.mark.parametrize(
    ("options", "architecture"),
    [
        ({"gpu": "GH200"}, "aarch64"),
        ({"gpu": "g5g.xlarge"}, "aarch64"),
        ({"gpu": "GH200+H100"}, "x86_64"),
        ({"gpu": "GH200", "platform": "linux/amd64"}, "x86_64"),
    ],
)
def test_gpus_of_arm_machines(options: dict[str, str], architecture: str) -> None:
    assert target(options).architecture == architecture


@pytest.mark.parametrize(
    ("options", "what", "fix"),
    [
        ({"gpu": "H1000"}, "'H1000' is no GPU", "gpu=H100"),
        ({"gpu": "rtx 5091"}, "no GPU", "RTX 509"),
        ({"gpu": "toaster"}, "no GPU", "sm_90"),
        ({"driver": "new"}, "no version of NVIDIA's driver", "driver=cuda12.2"),
        ({"cuda": "twelve"}, "no version of CUDA", "cuda=12.4"),
        ({"glibc": "musl"}, "no version of glibc", "glibc=2.31"),
        ({"python": "2.7"}, "no version of Python", "python=3.11"),
        ({"platform": "windows/amd64"}, "windows/amd64", "linux/amd64"),
    ],
)
def test_mistakes_say_what_to_write(options: dict[str, str], what: str, fix: str) -> None:
    with pytest.raises(UsageError) as caught:
        target(options)

    assert what in caught.value.what
    assert fix in (caught.value.fix or "")
