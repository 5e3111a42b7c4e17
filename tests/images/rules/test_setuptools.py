"""Packages that import what newer releases of setuptools do not have."""

from __future__ import annotations

import pytest

from support.image_checks import applied, findings

RULE = "image/setuptools-removed"


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        ("setuptools==82.0.0\nlibrosa==0.9.2\n", "error"),
        ("setuptools\nlibrosa==0.9.2\n", "warning"),
        ("setuptools>=60\npytorch-lightning==1.9.5\n", "warning"),
        ("setuptools==82.0.0\ntensorboard==2.20.0\n", "warning"),
    ],
)
def test_a_setuptools_without_pkg_resources_is_found(text: str, severity: str) -> None:
    files = {"requirements.txt": text}
    (one,) = findings(files, RULE)

    assert (one.severity, one.line) == (severity, 2)
    assert one.fix is not None
    for fix in (one.fix, *one.alternatives):
        assert findings(applied(files, fix), RULE) == []


@pytest.mark.parametrize(
    "text",
    [
        "setuptools==81.0.0\nlibrosa==0.9.2\n",
        "setuptools<82\nlibrosa==0.9.2\n",
        "setuptools\nlibrosa==0.11.0\n",
        "librosa==0.9.2\n",
        "setuptools==82.0.0\ntorch==2.0.1\nnumpy<2\n",
    ],
)
def test_what_works_is_none(text: str) -> None:
    assert findings({"requirements.txt": text}, RULE) == []


def test_an_old_torch_needs_it_to_build_extensions() -> None:
    text = (
        "FROM nvidia/cuda:11.8.0-devel-ubuntu22.04\nRUN apt-get update && apt-get install -y python3-pip\n"
        "RUN pip install torch==2.0.1 'numpy<2' setuptools\n{}"
    )
    build = "RUN pip install --no-build-isolation git+https://github.com/facebookresearch/detectron2\n"

    assert findings({"Dockerfile": text.format("")}, RULE) == []
    assert [one.severity for one in findings({"Dockerfile": text.format(build)}, RULE)] == ["warning"]


@pytest.mark.parametrize(("base", "found"), [("python:3.12-slim", 1), ("python:3.10-slim", 0), ("$BASE", 0)])
def test_a_python_without_setuptools_of_its_own_gets_the_newest(base: str, found: int) -> None:
    text = f"ARG BASE\nFROM {base}\nRUN pip install tensorboard==2.18.0\n"

    assert len(findings({"Dockerfile": text}, RULE)) == found
