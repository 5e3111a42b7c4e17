"""`seatrial image why` and `seatrial image facts` as a user sees them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from seatrial.cli.image_why import why
from seatrial.errors import ANSWER_IS_NO, DONE, USAGE, UsageError


def seatrial(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("seatrial"), "image", *arguments],
        env={**os.environ, "SEATRIAL_HOME": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def asked(*arguments: str) -> tuple[int, dict[str, Any]]:
    done = CliRunner().invoke(why, [*arguments, "--json"], catch_exceptions=False)
    return done.exit_code, json.loads(done.stdout)


def test_a_build_that_was_published(tmp_path: Path) -> None:
    done = seatrial("why", "torch==2.7.1", "--cuda", "11.8", home=tmp_path)

    assert done.returncode == DONE
    assert done.stdout.startswith("yes: torch==2.7.1, CUDA 11.8\n")
    assert "--index-url https://download.pytorch.org/whl/cu118" in done.stdout
    assert "torchvision 0.22.1" in done.stdout
    assert list(tmp_path.iterdir()) == []  # asking writes nothing


@pytest.mark.parametrize(
    ("arguments", "about", "text"),
    [
        (("torch==2.7.1", "--cuda", "12.4"), "cuda", "published for cu118, cu126 (the default), cu128"),
        (("torch==2.7.1+cu124",), "cuda", "no build for CUDA 12.4"),
        (("torch==1.13.1", "--python", "3.12"), "python", "only for 3.7, 3.8, 3.9, 3.10, 3.11"),
        (("torch==2.7.1", "--gpu", "RTX 5090"), "gpu", "the build cu128 does"),
        (
            ("torch==2.9.0", "--cuda", "13.0", "--gpu", "p3.2xlarge"),
            "gpu",
            "CUDA 13.0 and later make no code",
        ),
        (("torch==2.11.0", "--driver", "570"), "driver", "CUDA 12.9 is the newest for that driver"),
        (
            ("torch==2.7.1", "--with", "torchvision==0.21.0"),
            "with",
            "torchvision 0.21.0 is made for torch ==2.6.0",
        ),
        (("vllm==0.8.5", "--with", "torch==2.7.1"), "with", "is made for torch ==2.6.0, not 2.7.1"),
        (("torch==2.7.9",), "release", "never published; near it are 2.9.0, 2.8.0, 2.7.1, 2.7.0"),
        (("ctranslate2==4.4.0", "--cuda", "11.8"), "cuda", "built for CUDA 12"),
        (("flash-attn==2.6.3", "--with", "torch==2.6.0", "--python", "3.11"), "wheels", "no prebuilt wheel"),
        (("tensorflow-gpu==2.12.0",), "end", "placeholder"),
        (("bitsandbytes==0.44.1", "--with", "torch==2.6.0"), "with", "No module named 'triton.ops'"),
    ],
)
def test_a_no_says_why_and_where_that_is_written(arguments: tuple[str, ...], about: str, text: str) -> None:
    code, found = asked(*arguments)

    assert code == ANSWER_IS_NO
    assert found["answer"] == "no"
    reasons = [one for one in found["reasons"] if one["verdict"] == "no" and one["about"] == about]
    assert any(text in one["text"] for one in reasons), found["reasons"]
    assert all(one["source"].startswith("https://") for one in reasons)


@pytest.mark.parametrize(
    "arguments",
    [
        ("torch==99.0",),
        ("torch==2.8.0rc1",),
        ("torch==1.11.0", "--cuda", "11.5"),  # its list of builds may be incomplete
        ("torch==2.6.0", "--with", "some-package==1.0"),
        ("vllm==0.8.5", "--gpu", "H100"),
        ("transformers==4.38.2", "--with", "torch==2.1.2"),  # reported, not verified
    ],
)
def test_what_is_not_known_is_said_to_be_so(arguments: tuple[str, ...]) -> None:
    code, found = asked(*arguments)

    assert code == DONE
    assert found["answer"] == "unknown"


def test_a_range_stands_for_the_newest_that_fits() -> None:
    _, found = asked("torch<2.8", "--python", "3.12")

    assert found["question"]["version"] == "2.7.1"


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("torhc==1.0",), "torch"),
        (("torch==2.7.1", "--gpu", "H1000"), "h100"),
        (("torch==2.7.1", "--cuda", "twelve"), "12.6"),
        (("torch==2.7.1", "--python", "three"), "3.12"),
        (("torch==2.7.1", "--driver", "v535"), "535"),
        (("torch>=99",), "seatrial image facts show torch"),
        (("not a requirement",), "torch==2.7.1"),
    ],
)
def test_a_slip_is_met_with_what_was_probably_meant(arguments: tuple[str, ...], hint: str) -> None:
    with pytest.raises(UsageError) as slip:
        CliRunner().invoke(why, arguments, catch_exceptions=False)

    assert hint in str(slip.value.fix)


def test_exit_codes(tmp_path: Path) -> None:
    no = seatrial("why", "torch==1.13.1", "--python", "3.12", home=tmp_path)
    slip = seatrial("why", "torhc==1.0", home=tmp_path)

    assert (no.returncode, no.stdout.splitlines()[0]) == (ANSWER_IS_NO, "no: torch==1.13.1, Python 3.12")
    assert (slip.returncode, slip.stdout) == (USAGE, "")
    assert "did you mean torch" in slip.stderr


def test_facts_are_listed_and_shown(tmp_path: Path) -> None:
    listed = json.loads(seatrial("facts", "list", "--json", home=tmp_path).stdout)
    shown = json.loads(seatrial("facts", "show", "torchvision", "--json", home=tmp_path).stdout)
    kept = seatrial("facts", "show", "cuda", home=tmp_path)

    assert {"torch", "torchvision", "vllm"} <= {one["name"] for one in listed["derived"]}
    assert {"cuda", "gpus", "pairs"} <= {one["name"] for one in listed["kept"]}
    assert next(one for one in shown["releases"] if one["version"] == "0.22.1")["requires"] == [
        "numpy",
        "torch==2.7.1",
    ]
    assert "525.60.13" in kept.stdout
    wrong = seatrial("facts", "show", "torchvison", home=tmp_path)
    assert (wrong.returncode, "did you mean torchvision" in wrong.stderr) == (USAGE, True)
