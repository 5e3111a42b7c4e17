"""Base images that are gone, move, cannot be updated, or get no patches."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from seatrial.images.rules import bases
from seatrial.images.story.reading import from_sources
from seatrial.images.timeline.read import timelines
from seatrial.sources.text import Source
from support.image_checks import applied, findings

if TYPE_CHECKING:
    from seatrial.findings import Finding

PYTORCH_2021 = "pytorch/pytorch:1.9.0-cuda10.2-cudnn7-devel"
PATCHED_UNTIL_JANUARY = (
    "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.6.0-gpu-py312-cu126-ubuntu22.04-ec2"
)


def one(dockerfile: str, rule: str) -> Finding:
    (found,) = findings({"Dockerfile": dockerfile}, f"image/{rule}")
    return found


def none(dockerfile: str, rule: str) -> bool:
    return not findings({"Dockerfile": dockerfile}, f"image/{rule}")


class TestRemoved:
    def test_a_deleted_tag_is_an_error_with_existing_ones_of_the_same_system(self) -> None:
        found = one("FROM nvidia/cuda:10.2-devel-ubuntu18.04\n", "tag-removed")

        assert (found.severity, found.line, found.column) == ("error", 1, 6)
        assert found.fix is not None
        titles = [found.fix.title, *(fix.title for fix in found.alternatives)]
        assert all("-devel-ubuntu18.04" in title for title in titles)

    def test_the_tag_may_be_the_default_of_an_argument(self) -> None:
        files = {"Dockerfile": "ARG CUDA=11.0\nFROM nvidia/cuda:${CUDA}-devel-ubuntu20.04\n"}
        (found,) = findings(files, "image/tag-removed")

        assert found.fix is not None
        after = applied(files, found.fix)
        assert after["Dockerfile"] == "ARG CUDA=11.0.3\nFROM nvidia/cuda:${CUDA}-devel-ubuntu20.04\n"
        assert not findings(after, "image/tag-removed")

    def test_a_tag_that_is_only_missing_from_the_list_is_a_warning(self) -> None:
        assert one("FROM nvidia/cuda:11.7.0-devel-ubuntu22.04\n", "tag-removed").severity == "warning"

    def test_what_one_registry_deleted_another_may_have(self) -> None:
        found = one("FROM nvcr.io/nvidia/cuda:10.2-devel-ubuntu18.04\n", "tag-removed")

        assert found.severity == "warning"

    @pytest.mark.parametrize(
        "base",
        [
            "nvidia/cuda:12.4.1-devel-ubuntu22.04",
            "nvidia/cuda:99.0.0-devel-ubuntu26.04",
            "example.com/nvidia/cuda:10.2-devel",
            "nvidia/cuda:$TAG",
        ],
    )
    def test_others_are_left_alone(self, base: str) -> None:
        assert none(f"FROM {base}\n", "tag-removed")


class TestMoving:
    NCCL = "public.ecr.aws/hpc-cloud/nccl-tests:latest"

    def test_a_pin_on_top_of_a_moving_base_is_a_warning(self) -> None:
        found = one(f"FROM {self.NCCL}\nRUN pip install torch==2.7.1\n", "tag-moving")

        assert found.severity == "warning"
        assert "torch 2.7.1" in found.message
        assert found.fix is not None
        assert ":cuda" in found.fix.title

    def test_the_torch_for_the_pinned_base_comes_from_the_index_of_its_cuda(self) -> None:
        index = "https://download.pytorch.org/whl"
        files = {"Dockerfile": f"FROM {self.NCCL}\nRUN pip install torch==2.7.1 --index-url {index}/cu128\n"}
        (found,) = findings(files, "image/tag-moving")

        (other,) = found.alternatives
        lines = applied(files, other)["Dockerfile"].splitlines()
        assert lines[0].startswith("FROM public.ecr.aws/hpc-cloud/nccl-tests:cuda13.0.")
        assert lines[1] == f"RUN pip install torch==2.9.1 --index-url {index}/cu130"

    def test_a_python_is_named_that_the_pins_have_wheels_for(self) -> None:
        files = {"Dockerfile": "FROM python:latest\nRUN pip install torch==2.1.1\n"}
        (found,) = findings(files, "image/tag-moving")

        assert found.fix is not None
        assert applied(files, found.fix)["Dockerfile"].startswith("FROM python:3.11\n")

    def test_nothing_pinned_is_a_note(self) -> None:
        assert one("FROM python:latest\nRUN pip install flask\n", "tag-moving").severity == "note"

    @pytest.mark.parametrize(
        "base", ["python:3.11-slim", "example.com/mine:latest", f"python@sha256:{'0' * 64}"]
    )
    def test_patches_digests_and_unknown_images_do_not_count(self, base: str) -> None:
        assert none(f"FROM {base}\nRUN pip install torch==2.7.1\n", "tag-moving")


class TestAptKey:
    UPDATE = "RUN set -e; \\\n    apt-get update && apt-get install -y git\n"
    KEY = "https://developer.download.nvidia.com/compute/cuda/repos/ubuntu1804/x86_64/3bf863cc.pub"

    def test_an_update_on_an_old_image_is_an_error_before_which_the_repository_goes(self) -> None:
        files = {"Dockerfile": f"FROM {PYTORCH_2021}\n# tools\n{self.UPDATE}"}
        (found,) = findings(files, "image/apt-key")

        assert (found.severity, found.line) == ("error", 3)
        assert found.fix is not None
        after = applied(files, found.fix)["Dockerfile"]
        assert after.splitlines()[1:4] == [
            "# tools",
            "RUN rm -f /etc/apt/sources.list.d/cuda.list /etc/apt/sources.list.d/nvidia-ml.list",
            "RUN set -e; \\",
        ]
        assert not findings({"Dockerfile": after}, "image/apt-key")

    @pytest.mark.parametrize(
        "before",
        [
            "RUN rm /etc/apt/sources.list.d/cuda.list && rm /etc/apt/sources.list.d/nvidia-ml.list\n",
            f"RUN apt-key adv --fetch-keys {KEY}\n",
            "RUN rm -rf /etc/apt/sources.list.d\n",
        ],
    )
    def test_whoever_saw_to_it_before_is_left_alone(self, before: str) -> None:
        assert none(f"FROM {PYTORCH_2021}\n{before}{self.UPDATE}", "apt-key")

    def test_without_an_update_nothing_fails(self) -> None:
        assert none(f"FROM {PYTORCH_2021}\nRUN pip install flask\n", "apt-key")

    def test_a_new_image_has_the_key(self) -> None:
        assert none(f"FROM nvidia/cuda:12.4.1-devel-ubuntu22.04\n{self.UPDATE}", "apt-key")

    def test_an_image_that_may_have_been_built_again_is_a_warning(self) -> None:
        found = one(f"FROM nvidia/cuda:11.1.1-devel-ubuntu18.04\n{self.UPDATE}", "apt-key")

        assert found.severity == "warning"


@pytest.mark.parametrize(("today", "expected"), [(date(2026, 1, 29), 0), (date(2026, 1, 30), 1)])
def test_an_image_is_reported_from_the_day_after_its_last_patch(today: date, expected: int) -> None:
    story = from_sources(Source("Dockerfile", f"FROM {PATCHED_UNTIL_JANUARY}\n"), lambda _: None, ())
    (line,) = timelines(story)

    found = [one.finding for one in bases.check(line, today) if one.finding.rule == "image/end-of-patch"]

    assert [one.severity for one in found] == ["warning"] * expected
