"""What the facts say about releases, CUDA, drivers, GPUs and pairs; and that they say nothing where nothing is known."""

from __future__ import annotations

import pytest

from seatrial.images import facts


@pytest.mark.parametrize(
    ("torch", "vision", "audio"),
    [("2.7.1", "0.22.1", "2.7.1"), ("2.0.1", "0.15.2", "2.0.2"), ("1.13.1", "0.14.1", "0.13.1"), ("1.4.0", "0.5.0", "0.4.0")],
)  # fmt: skip
def test_the_companions_of_a_torch(torch: str, vision: str, audio: str) -> None:
    found = facts.companions(torch)

    assert found["torchvision"] == (vision,)
    assert audio in found["torchaudio"]
    assert facts.torch_of("torchvision", vision) == f"=={torch}"


def test_companions_whose_metadata_says_too_little() -> None:
    assert facts.torch_of("torchaudio", "2.11.0") == ">=2.11"
    assert facts.torch_of("torchtext", "0.18") == "==2.3.*"
    assert facts.torch_of("torchcodec", "0.9.1") == "==2.9.*"
    assert facts.companions("2.10.0")["torchaudio"] == ("2.10.0",)
    assert facts.companions("2.14.0")["torchaudio"] == ("2.11.0",)
    assert facts.companions("2.4.1")["torchtext"] == ()


def test_a_version_is_found_however_it_is_spelled() -> None:
    for text in ("2.7.0", "2.7", "2.7.0+cu118", " 2.7.0 "):
        one = facts.release("torch", text)
        assert one is not None
        assert one.version == "2.7.0"
    assert facts.release("torch", "2.7.9") is None
    assert facts.release("torch", "nonsense") is None
    assert facts.release("no-such-package", "1.0") is None


def test_the_builds_of_torch() -> None:
    builds = facts.torch_builds("2.7.1")
    assert builds is not None
    assert [one.tag for one in builds] == ["cu118", "cu126", "cu128"]
    assert facts.default_cuda("2.7.1") == "12.6"
    one = facts.torch_build("2.7.1", "cu128")
    assert one is not None
    assert one.index == "https://download.pytorch.org/whl/cu128"
    assert facts.torch_build("2.7.1", "12.4") is None
    assert facts.builds_complete("2.7.1")
    assert not facts.builds_complete("1.11.0")
    assert facts.torch_builds("99.0") is None
    assert facts.default_cuda("99.0") is None


def test_which_c_abi_the_builds_of_torch_have() -> None:
    assert facts.cxx11_abi("2.5.1") is False
    assert facts.cxx11_abi("2.6.0") is False
    assert facts.cxx11_abi("2.6.0", "12.6") is True
    assert facts.cxx11_abi("2.7.0") is True
    assert facts.cxx11_abi("99.0") is None


@pytest.mark.parametrize(
    ("package", "version", "pythons"),
    [
        ("torch", "1.13.1", ("3.7", "3.8", "3.9", "3.10", "3.11")),
        ("torch", "2.2.0", ("3.8", "3.9", "3.10", "3.11", "3.12")),
        ("deepspeed", "0.14.4", ()),
        ("torch", "99.0", None),
    ],
)
def test_pythons_with_a_wheel(package: str, version: str, pythons: tuple[str, ...] | None) -> None:
    assert facts.pythons(package, version) == pythons


def test_wheels_for_the_stable_abi_and_for_any_python_count_from_their_first_python_on() -> None:
    assert facts.pythons("xformers", "0.0.35", arm=False) is not None
    assert "3.13" in (facts.pythons("xformers", "0.0.35") or ())
    assert "3.12" in (facts.pythons("vllm", "0.8.5") or ())
    assert "3.8" not in (facts.pythons("transformers", "4.57.1") or ())


def test_the_newest_that_fits() -> None:
    one = facts.newest("torch", "<2.8", "3.12")
    assert one is not None
    assert one.version == "2.7.1"
    old = facts.newest("torch", "", "3.7")
    assert old is not None
    assert old.version == "1.13.1"
    assert facts.newest("torch", ">=99") is None


def test_yanked_releases_are_known_and_not_chosen() -> None:
    yanked = [
        (name, one) for name in facts.tracked() for one in facts.releases(name) if one.yanked is not None
    ]
    assert yanked
    for name, one in yanked:
        chosen = facts.newest(name, f"=={one.version}")
        assert chosen is None


@pytest.mark.parametrize(
    ("driver", "cuda", "runs"),
    [
        ("535", "12.8", True),
        ("525", "12.1", True),
        ("525.60.12", "12.1", False),
        ("470.82.01", "12.1", False),
        ("470.82.01", "11.8", True),
        ("575.57.08", "13.0", False),
        ("580", "cu130", True),
        ("418", "10.2", False),
        ("535", "99.1", None),
        ("new", "12.1", None),
    ],
)
def test_which_driver_runs_which_cuda(driver: str, cuda: str, runs: bool | None) -> None:
    assert facts.driver_runs(driver, cuda) is runs


@pytest.mark.parametrize(
    ("name", "capability"),
    [
        ("RTX 5090", "12.0"), ("rtx5090", "12.0"), ("NVIDIA GeForce RTX 4090", "8.9"), ("3090ti", "8.6"),
        ("A10G", "8.6"), ("h100", "9.0"), ("H100 80GB", "9.0"), ("NVIDIA-H100-80GB-HBM3", "9.0"), ("H100 NVL", "9.0"),
        ("NVIDIA A100-SXM4-80GB", "8.0"), ("Tesla T4", "7.5"), ("V100-SXM2-32GB", "7.0"), ("L40S", "8.9"), ("L40", "8.9"),
        ("B200", "10.0"), ("B300", "10.3"), ("DGX Spark", "12.1"), ("sm_90", "9.0"), ("sm90a", "9.0"), ("compute_120", "12.0"),
        ("8.6", "8.6"), ("Tesla P100-PCIE-16GB", "6.0"), ("Quadro RTX 8000", "7.5"),
    ],
)  # fmt: skip
def test_gpus_by_the_names_that_people_use(name: str, capability: str) -> None:
    found = facts.gpu(name)
    assert found is not None
    assert found.capability == capability


@pytest.mark.parametrize("name", ["", "MI300X", "a1000000", "cpu", "sm_"])
def test_what_is_no_known_gpu_is_not_guessed(name: str) -> None:
    assert facts.gpu(name) is None


def test_instance_types() -> None:
    one = facts.instance("ml.p4d.24xlarge")
    assert one is not None
    assert (one.gpu.name, one.count) == ("A100", 8)
    for name in ("trn1.2xlarge", "m5.large", "g4ad.xlarge", "p99.xlarge"):
        assert facts.instance(name) is None


@pytest.mark.parametrize(
    ("torch", "cuda", "capability", "runs"),
    [
        ("2.7.1", "12.8", "12.0", True),  # its own code
        ("2.7.1", "12.8", "12.1", True),  # the same major version
        ("2.7.1", "12.6", "12.0", False),  # no compiler for it before 12.8
        ("2.6.0", "12.4", "10.0", False),
        ("2.0.1", "11.7", "9.0", False),
        ("2.0.1", "11.8", "9.0", True),
        ("2.4.0", "12.1", "8.9", True),  # runs the code for 8.6
        ("2.9.0", "13.0", "7.0", False),  # dropped by CUDA 13
        ("2.9.0", "12.6", "7.0", True),
        ("2.8.0", "12.8", "6.1", False),
        ("1.10.0", "10.2", "8.6", False),
        ("1.10.0", "11.3", "8.6", None),  # not known
        ("99.0", "13.0", "9.0", None),
    ],
)
def test_which_build_of_torch_runs_on_which_gpu(
    torch: str, cuda: str, capability: str, runs: bool | None
) -> None:
    found = facts.gpu_support(torch, cuda, capability)

    assert found.runs is runs
    assert found.reason
    assert bool(found.source) is (runs is not None)


def test_flash_attn_wheels() -> None:
    url = "https://github.com/Dao-AILab/flash-attention/releases/download/"
    assert facts.flash_attn_url("2.5.8", "2.3.0", "cu121", "3.10", abi=False) == (
        f"{url}v2.5.8/flash_attn-2.5.8+cu122torch2.3cxx11abiFALSE-cp310-cp310-linux_x86_64.whl"
    )
    assert facts.flash_attn_url("2.8.3", "2.8.0", "12.8", "3.12", abi=True) == (
        f"{url}v2.8.3/flash_attn-2.8.3+cu12torch2.8cxx11abiTRUE-cp312-cp312-linux_x86_64.whl"
    )
    assert facts.flash_attn_url("2.8.3", "2.8.0", "13.0", "3.12", abi=True) is None  # CUDA 13
    assert facts.flash_attn_url("2.8.3", "2.4.0", "12.4", "3.13", abi=False) is None  # left out
    assert facts.flash_attn_url("2.6.3", "2.6.0", "12.4", "3.11", abi=False) is None  # torch is too new
    assert facts.flash_attn_versions("2.3.1", "12.1", "3.10")[0] == "2.7.4.post1"
    assert facts.flash_attn_versions("2.12.0", "13.0") == ()
    assert facts.flash_attn_wheels("99.0") is None


def reported(package: str, version: str, other: str, other_version: str) -> list[str]:
    return [
        row.severity
        for row in facts.clashes(package, version, other, other_version)
        if row.severity != "note"
    ]


@pytest.mark.parametrize(
    ("package", "version", "other", "other_version", "severities"),
    [
        ("transformers", "4.57.1", "torch", "2.0.1", ["error", "error"]),
        ("transformers", "4.57.1", "torch", "2.1.2", ["error"]),
        ("transformers", "4.55.4", "torch", "2.1.2", []),
        ("transformers", "5.20.2", "torch", "2.5.1", ["error"]),
        ("transformers", "4.49.0", "torch", "2.0.1", []),
        ("deepspeed", "0.14.3", "torch", "2.4.0", ["error"]),
        ("deepspeed", "0.14.4", "torch", "2.4.0", []),
        ("bitsandbytes", "0.44.1", "torch", "2.6.0", ["error"]),
        ("bitsandbytes", "0.45.1", "torch", "2.6.0", []),
        ("torch", "2.1.2", "setuptools", "70.3.0", ["warning"]),
        ("torch", "2.1.2", "setuptools", "75.8.0", []),  # it has that name again
        ("setuptools", "82.0.0", "torch", "2.1.2", ["warning"]),
        ("torch", "2.2.0", "setuptools", "82.0.0", []),
        ("torchao", "0.18.0", "torch", "2.9.1", ["error"]),
        ("torchao", "0.15.0", "torch", "2.9.1+cu128", []),
        ("peft", "0.19.1", "torchao", "0.15.0", ["error"]),
        ("xformers", "0.0.35", "torch", "2.11.0", ["warning"]),
        ("torch", "2.2.0", "nvidia-nccl-cu12", "2.18.3", ["error"]),
    ],
)
def test_what_does_not_go_together(
    package: str, version: str, other: str, other_version: str, severities: list[str]
) -> None:
    assert reported(package, version, other, other_version) == severities


def test_libraries_that_wheels_were_built_for() -> None:
    def of(package: str, version: str, cuda: str = "") -> tuple[str, str] | None:
        one = facts.libraries(package, version, cuda)
        return None if one is None else (one.cuda_major, one.cudnn)

    assert of("torch", "2.3.1") == ("12", "8")
    assert of("torch", "2.4.0") == ("12", "9")
    assert of("torch", "2.7.1", "11.8") == ("11", "9")
    assert of("ctranslate2", "4.4.0") == ("12", "8")
    assert of("ctranslate2", "4.5.0") == ("12", "9")
    assert of("onnxruntime-gpu", "1.18.0") == ("11", "8")
    assert of("onnxruntime-gpu", "1.19.2") == ("12", "9")
    assert of("tensorflow", "2.10.1") == ("11", "8")
    assert of("tensorflow", "2.18.0") == ("12", "9")
    assert of("transformers", "4.40.0") is None
    assert facts.pin_of_torch("2.2.2", "nvidia-nccl-cu12") == "2.19.3"
    assert facts.pin_of_torch("1.12.1", "nvidia-nccl-cu12") is None
