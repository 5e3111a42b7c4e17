"""A reference alone says what is inside a base image, and what is not known is said to be unknown."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from seatrial.images.catalog import Contents, identify

_DIGEST = "@sha256:" + "ab" * 32
_AWS = "763104351884.dkr.ecr.eu-west-1.amazonaws.com"
_PUBLIC = "public.ecr.aws/deep-learning-containers"

# reference: what must be known about it. None means known to be unknown.
KNOWN: dict[str, dict[str, object]] = {
    # NVIDIA's CUDA
    "nvidia/cuda:12.4.1-cudnn-devel-ubuntu22.04": {
        "cuda": "12.4.1", "cudnn": "9.1.0.70", "nccl": "2.21.5", "cuda_toolkit": True, "os": "ubuntu22.04",
        "glibc": "2.35", "python": "", "bare": True, "externally_managed": False, "removed": None, "moving": "",
    },
    "nvidia/cuda:12.1.1-cudnn8-runtime-ubuntu20.04": {"cudnn": "8.9.0.131", "cuda_toolkit": False, "glibc": "2.31"},
    "nvidia/cuda:12.2.2-devel-ubuntu22.04": {"cudnn": "", "cuda_toolkit": True},
    "nvidia/cuda:12.8.1-base-ubuntu24.04": {"cudnn": "", "nccl": "", "externally_managed": True, "glibc": "2.39"},
    "nvcr.io/nvidia/cuda:11.6.2-cudnn8-runtime-ubuntu20.04": {"cuda": "11.6.2", "cudnn": "8.4.0.27"},
    "docker.io/nvidia/cuda:13.2.1-cudnn-devel-ubuntu24.04": {"cuda": "13.2.1", "cudnn": "9", "removed": None},
    "nvidia/cuda:12.3.2-cudnn9-runtime-ubuntu22.04": {"cudnn": "9.0.0.312"},
    "nvidia/cuda:13.0.2-devel-amzn2023": {"os": "amzn2023", "python": None, "removed": None},
    "nvidia/cuda:12.6.3-devel-rockylinux9": {"os": "rockylinux9", "glibc": "2.34", "python": None},
    "nvidia/cuda:14.1.0-devel-ubuntu26.04": {"cuda": "14.1.0", "removed": None, "glibc": "2.43"},
    "nvidia/cuda:11.2.2-cudnn8-devel-ubuntu18.04": {"apt_key_stale": True, "removed": None},
    "nvidia/cuda:11.2.2-cudnn8-devel-ubuntu20.04": {"apt_key_stale": False, "removed": None},
    # PyTorch's own
    "pytorch/pytorch:2.5.1-cuda12.4-cudnn9-devel": {
        "packages": {"torch": "2.5.1"}, "torch_cuda": "12.4", "cudnn": "9", "cuda_toolkit": True, "python": "3.11",
        "conda": True, "interpreter": "conda",
    },
    "pytorch/pytorch:2.1.2-cuda12.1-cudnn8-runtime": {"cuda_toolkit": False, "os": None, "apt_key_stale": False},
    "pytorch/pytorch:1.13.1-cuda11.6-cudnn8-devel": {"python": "3.10", "glibc": "2.27", "apt_key_stale": False},
    "pytorch/pytorch:1.10.0-cuda11.3-cudnn8-devel": {"python": None, "apt_key_stale": True},
    "pytorch/pytorch:1.10.0-cuda11.3-cudnn8-runtime": {"apt_key_stale": False},
    "pytorch/pytorch:2.10.0-cuda12.6-cudnn9-runtime": {"conda": False, "python": "3.12", "externally_managed": False},
    "pytorch/pytorch": {"moving": "rolling", "packages": {}, "present": frozenset({"torch"})},
    f"pytorch/pytorch:2.9.1-cuda12.8-cudnn9-runtime{_DIGEST}": {"packages": {"torch": "2.9.1"}, "moving": ""},
    # NVIDIA's PyTorch
    "nvcr.io/nvidia/pytorch:25.06-py3": {
        "packages": {"torch": "2.8.0a0+5228986c39"}, "cuda": "12.9.0.043", "torch_cuda": "12.9", "python": "3.12",
        "os": "ubuntu24.04", "constraint_file": "/etc/pip/constraint.txt", "externally_managed": False,
    },
    "nvcr.io/nvidia/pytorch:25.02-py3": {"constraint_file": "", "packages": {"torch": "2.7.0a0+6c54963f75"}},
    "nvcr.io/nvidia/pytorch:24.07-py3": {"python": "3.10", "glibc": "2.35", "conda": False},
    "nvcr.io/nvidia/pytorch:23.04-py3": {"python": "3.8", "os": "ubuntu20.04"},
    "nvcr.io/nvidia/pytorch:20.12-py3": {"python": None, "packages": {}, "conda": None},
    "nvcr.io/nvidia/pytorch:99.01-py3": {"python": None, "cuda": None, "constraint_file": ""},
    "nvcr.io/nvidia/pytorch:25.09-py3": {"constraint_file": "/etc/pip/constraint.txt"},
    "nvcr.io/nvidia/pytorch:25.10-py3": {"constraint_file": ""},
    # other images of NVIDIA's
    "nvcr.io/nvidia/tritonserver:25.12-trtllm-python-py3": {
        "packages": {"torch": "2.9.0a0+145a3a7bda.nv25.10", "tensorrt": "10.13.3.9", "tensorrt-llm": "1.1.0"},
    },
    "nvcr.io/nvidia/tritonserver:24.08-vllm-python-py3": {"packages": {"vllm": "0.5.0.post1"}, "cuda": "12.6.0.022"},
    "nvcr.io/nvidia/tritonserver:25.06-py3": {"cuda": "12.9.0.043", "python": "3.12", "packages": {}},
    "nvcr.io/nvidia/tritonserver:26.07-py3-min": {"python": None, "os": "ubuntu24.04"},
    "nvcr.io/nvidia/cuda-dl-base:25.06-cuda12.9-devel-ubuntu24.04": {"cuda": "12.9", "cuda_toolkit": True},
    "nvcr.io/nvidia/tensorflow:24.05-tf2-py3": {"present": frozenset({"tensorflow"}), "python": "3.10"},
    "nvcr.io/nvidia/l4t-base:r36.2.0": {"accelerator": "cuda", "cuda": None, "python": None, "bare": False},
    "nvcr.io/nvidia/nemo:25.04.01": {"accelerator": "cuda", "packages": {}},
    # AWS
    f"{_AWS}/pytorch-training:2.6.0-gpu-py312-cu126-ubuntu22.04-ec2": {
        "packages": {"torch": "2.6.0"}, "python": "3.12", "torch_cuda": "12.6", "os": "ubuntu22.04", "moving": "",
    },
    f"{_AWS}/pytorch-training:2.9.0-gpu-py312-ec2": {
        "packages": {"torch": "2.9.0"}, "torch_cuda": "13.0", "os": "ubuntu22.04", "moving": "patch",
    },
    "727897471807.dkr.ecr.cn-north-1.amazonaws.com.cn/pytorch-inference:2.6.0-cpu-py312-ubuntu22.04-sagemaker": {
        "accelerator": "cpu", "cuda": "", "cudnn": "", "end_of_patch": "2026-06-30",
    },
    f"{_AWS}/huggingface-pytorch-training:2.1.0-transformers4.36.0-gpu-py310-cu121-ubuntu20.04": {
        "packages": {"torch": "2.1.0", "transformers": "4.36.0"}, "python": "3.10", "glibc": "2.31",
    },
    f"{_AWS}/pytorch-training-neuronx:2.9.0-neuronx-py312-sdk2.28.0-ubuntu24.04": {"accelerator": "neuron", "cuda": ""},
    f"{_AWS}/djl-inference:0.33.0-lmi15.0.0-cu128": {"packages": {"vllm": "0.8.4"}, "cuda": "12.8"},
    f"{_AWS}/tensorflow-training:2.13.0-gpu-py310-cu118-ubuntu20.04-sagemaker": {"packages": {"tensorflow": "2.13.0"}},
    f"{_PUBLIC}/base:devel-cu130-amzn2023": {
        "cuda": "13.0", "cuda_toolkit": True, "python": "3.13", "end_of_patch": "2029-06-30",
    },
    f"{_PUBLIC}/base:runtime-cu130-amzn2023": {"cuda_toolkit": False},
    f"{_PUBLIC}/vllm:0.27.1-gpu-py312-cu130-ubuntu22.04-sagemaker-v1.0": {"packages": {"vllm": "0.27.1"}},
    f"{_PUBLIC}/pytorch:2.11.0-cu130-amzn2023-sagemaker": {"packages": {"torch": "2.11.0"}, "accelerator": "cuda"},
    "public.ecr.aws/hpc-cloud/nccl-tests:cuda12.8.1-efa1.43.2-ofiv1.16.3-ncclv2.27.7-1-testsv2.16.9": {
        "cuda": "12.8.1", "nccl": "2.27.7", "moving": "",
    },
    "public.ecr.aws/hpc-cloud/nccl-tests:efa1.37.0-ofiv1.13.2-aws-ncclv2.23.4-1-testsv2.13.10": {
        "moving": "", "cuda": None, "nccl": "2.23.4",
    },
    "public.ecr.aws/hpc-cloud/nccl-tests:latest": {"moving": "rolling", "cuda": None},
    f"public.ecr.aws/hpc-cloud/nccl-tests:latest{_DIGEST}": {"moving": "", "cuda": None},
    # servers
    "vllm/vllm-openai:v0.8.5": {
        "packages": {"vllm": "0.8.5", "torch": "2.6.0"}, "python": "3.12", "os": "ubuntu22.04", "cuda_toolkit": True,
    },
    "vllm/vllm-openai:v0.19.0-ubuntu2404": {"os": "ubuntu24.04", "python": None},
    "vllm/vllm-openai:nightly": {"moving": "rolling", "packages": {}},
    "lmsysorg/sglang:v0.5.2-cu129-b200": {"cuda": "12.9", "accelerator": "cuda"},
    "lmsysorg/sglang:v0.4.6.post5-rocm630": {"accelerator": "rocm", "cuda": ""},
    "deepjavalibrary/djl-serving:0.29.0-lmi": {"moving": "", "python": None},
    # Python
    "python:3.11-slim": {"python": "3.11", "os": "debian13", "moving": "patch", "cuda": "", "interpreter": "image"},
    "python:3.11.4-slim": {"os": "debian12", "moving": "", "glibc": "2.36", "externally_managed": False},
    "python:3.11.3": {"os": "debian11", "glibc": "2.31"},
    "python:3.12-slim-bookworm": {"os": "debian12"},
    "library/python:3.9-bullseye": {"python": "3.9", "os": "debian11"},
    "docker.io/library/python:3.10-alpine3.20": {"libc": "musl", "glibc": "", "os": "alpine3.20"},
    "public.ecr.aws/docker/library/python:3.13": {"python": "3.13", "os": "debian13"},
    "python": {"moving": "rolling", "python": None, "os": None},
    "python:3": {"moving": "rolling", "python": None},
    "python:3.6-slim": {"python": "3.6", "os": None, "glibc": None},
    # distributions and conda
    "ubuntu:22.04": {"os": "ubuntu22.04", "python": "", "externally_managed": False, "moving": "patch"},
    "ubuntu:noble-20240605": {"os": "ubuntu24.04", "externally_managed": True},
    "ubuntu": {"os": None, "moving": "rolling"},
    "arm64v8/ubuntu:24.04": {"os": "ubuntu24.04"},
    "debian:12-slim": {"os": "debian12", "externally_managed": True, "glibc": "2.36"},
    "debian:bullseye": {"os": "debian11", "externally_managed": False},
    "amazonlinux:2023": {"os": "amzn2023", "python": "3.9", "interpreter": "system"},
    "rockylinux:9": {"os": "rockylinux9", "glibc": "2.34"},
    "registry.access.redhat.com/ubi8/ubi:8.10": {"os": "ubi8", "glibc": "2.28"},
    "quay.io/pypa/manylinux_2_28_x86_64": {"glibc": "2.28"},
    "continuumio/miniconda3:latest": {"conda": True, "python": None, "moving": "rolling"},
    "mambaorg/micromamba:1.5.8-jammy-cuda-12.1.1": {"conda": True, "python": "", "os": "ubuntu22.04"},
    "ghcr.io/astral-sh/uv:python3.12-bookworm-slim": {"python": "3.12", "os": "debian12"},
    "ghcr.io/astral-sh/uv:0.8.15": {"python": "", "os": None},
    # the rest
    "tensorflow/tensorflow:2.15.0-gpu": {"packages": {"tensorflow": "2.15.0"}, "accelerator": "cuda", "cuda": None},
    "tensorflow/tensorflow:2.15.0": {"accelerator": "cpu", "cuda": ""},
    "tensorflow/tensorflow:latest-gpu": {"moving": "rolling", "packages": {}},
    "rocm/pytorch:rocm6.4_ubuntu22.04_py3.10_pytorch_release_2.6.0": {
        "accelerator": "rocm", "packages": {"torch": "2.6.0"}, "python": "3.10", "cuda": "",
    },
    "huggingface/transformers-pytorch-gpu:4.41.2": {"present": frozenset({"torch", "transformers"}), "packages": {}},
}  # fmt: skip

UNKNOWN = (
    "",
    "   ",
    "$BASE_IMAGE",
    "${REGISTRY}/app:1",
    "Upper/Case:1",
    "scratch",
    "builder",
    "node:22-slim",
    "acme/pytorch:2.5.1-cuda12.4-cudnn9-devel",
    "registry.acme.example/pytorch/pytorch:2.5.1-cuda12.4-cudnn9-devel",
    "123456789012.dkr.ecr.eu-west-1.amazonaws.com/pytorch-training:2.6.0-gpu-py312-cu126-ubuntu22.04-ec2",
    f"{_AWS}/team-model:1.0",
    f"{_PUBLIC}/pytorch-training:surprise",
    "pytorch/pytorch:not-a-known-form",
    "pytorch/manylinux-builder:cuda12.1",
    "nvidia/cuda:surprise",
    "nvcr.io/nvidia/pytorch:main",
    "python:3.11-windowsservercore-ltsc2022",
    "python:mine",
    f"python{_DIGEST}",
    "python:3.11 ",
    "x" * 500,
)


@pytest.mark.parametrize("reference", KNOWN)
def test_contents(reference: str) -> None:
    found = identify(reference)
    assert found is not None
    expected = KNOWN[reference]
    assert {field: getattr(found, field) for field in expected} == expected
    assert found.sources, "everything known has a source"


@pytest.mark.parametrize("reference", UNKNOWN)
def test_an_unknown_image_is_unknown(reference: str) -> None:
    assert identify(reference) is None


def test_one_image_by_all_its_names_is_the_same() -> None:
    names = (
        "python:3.12-slim",
        "library/python:3.12-slim",
        "docker.io/python:3.12-slim",
        "index.docker.io/library/python:3.12-slim",
    )
    assert len({_facts(name) for name in names}) == 1
    regions = [f"763104351884.dkr.ecr.{region}.amazonaws.com" for region in ("us-east-1", "ap-south-1")]
    tag = "pytorch-training:2.6.0-gpu-py312-cu126-ubuntu22.04-ec2"
    assert len({_facts(f"{place}/{tag}") for place in (*regions, _PUBLIC)}) == 1


def _facts(reference: str) -> str:
    found = identify(reference)
    assert found is not None
    return repr(
        [
            getattr(found, field)
            for field in Contents.__struct_fields__
            if field not in ("reference", "digest")
        ]
    )


@pytest.mark.parametrize(
    ("reference", "instead"),
    [
        ("nvidia/cuda:11.3.0-cudnn8-devel-ubuntu20.04", "11.3.1-cudnn8-devel-ubuntu20.04"),
        ("nvidia/cuda:11.0-base", "11.0.3-base-ubuntu20.04"),
        ("nvidia/cuda:12.1-runtime-ubuntu22.04", "12.1.1-runtime-ubuntu22.04"),
        ("nvcr.io/nvidia/cuda:11.6.0-devel-ubuntu20.04", "11.6.2-devel-ubuntu20.04"),
    ],
)
def test_a_removed_tag_says_what_to_take_instead(reference: str, instead: str) -> None:
    found = identify(reference)
    assert found is not None
    assert found.removed is not None
    assert instead in found.removed.instead
    assert found.removed.source.startswith("https://")


def test_what_is_offered_instead_of_a_removed_tag_exists() -> None:
    for tag in (
        "10.2-cudnn7-devel-ubuntu18.04",
        "9.0-base",
        "11.4.0-runtime-ubuntu20.04",
        "10.1-devel-centos7",
        "latest",
    ):
        found = identify(f"nvidia/cuda:{tag}")
        assert found is not None
        assert found.removed is not None, tag
        for other in found.removed.instead:
            replacement = identify(f"nvidia/cuda:{other}")
            assert replacement is not None
            assert replacement.removed is None, other
            assert not replacement.apt_key_stale, other


def test_what_rests_on_experience_says_so() -> None:
    found = identify("pytorch/pytorch:2.4.1-cuda12.1-cudnn9-runtime")
    assert found is not None
    assert found.unverified >= {"python", "os", "glibc"}


def test_a_short_name_of_aws_says_only_what_all_its_images_have() -> None:
    exact = identify(f"{_PUBLIC}/sglang:0.5.10-gpu-py312-cu129-ubuntu24.04-ec2")
    short = identify(f"{_PUBLIC}/sglang:0.5-gpu-py312-ec2")
    assert exact is not None
    assert short is not None
    assert (exact.packages, exact.moving) == ({"sglang": "0.5.10"}, "")
    assert (short.packages, short.moving, short.python) == ({}, "patch", "3.12")
    assert "sglang" in short.present


def test_bases_of_real_dockerfiles() -> None:
    folder = os.environ.get("SEATRIAL_CASES", "")
    table = Path(folder) / "dockerfiles.tsv"
    if not folder or not table.is_file():
        pytest.skip("SEATRIAL_CASES does not name a folder with dockerfiles.tsv")
    with table.open(newline="") as stream:
        bases = {
            base for row in csv.DictReader(stream, delimiter="\t") for base in row["base_images"].split()
        }
    families = (
        "nvidia/",
        "nvcr.io/",
        "pytorch/",
        "python:",
        "ubuntu",
        "763104351884",
        "public.ecr.aws/",
        "vllm/",
        "amazonlinux",
        "tensorflow/",
        "rocm/",
        "continuumio/",
    )
    ours = [base for base in bases if base.startswith(families)]
    identified = [base for base in bases if identify(base) is not None]
    assert sum(base in ours for base in identified) >= 0.75 * len(ours)
