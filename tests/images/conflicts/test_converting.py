"""The converter from the words of a report to files, on made-up setups."""

from __future__ import annotations

from typing import Any

import pytest

from support.conflict_cases import Tree, convert
from support.conflict_words import Inexpressible, Wanted, read_wanted

INDEX = "https://download.pytorch.org/whl"


def files_of(**setup: Any) -> dict[str, str]:
    tree = convert(setup)
    assert isinstance(tree, Tree), tree
    return tree.files


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ("1.2.3", "some==1.2.3"),
        ("1.2", "some==1.2.*"),
        ("1.x", "some==1.*"),
        ("1.2.x", "some==1.2.*"),
        ("1.2.3.post1", "some==1.2.3.post1"),
        (">=1,<3", "some>=1,<3"),
        (">=1 (unpinned)", "some>=1"),
        ("9.9.9 (unpinned)", "some"),
        ("latest (>=7)", "some"),
        ("(new)", "some"),
        ("", "some"),
        (">=1 -> 1.5.0", "some>=1"),
        ("1.0.1/1.0.2", "some==1.0.2"),
        ("3.0.0 (cu121)", "some==3.0.0"),
        ("cu121 (>=3)", "some>=3"),
        ("1.2.3 in dev.txt", "some==1.2.3"),
    ],
)
def test_words_for_a_version(text: str, request_: str) -> None:
    wanted = read_wanted("some", text)
    assert isinstance(wanted, Wanted)
    assert wanted.request == request_


@pytest.mark.parametrize(
    ("text", "variant"),
    [
        ("cu118", "cu118"),
        ("(cu118 index)", "cu118"),
        ("3.0.0 cu118", "cu118"),
        ("(PyPI -> cu118)", ""),
        ("3.0.0 (PyPI cu118)", ""),
        ("cu118..cu121", "cu121"),
        ("latest cu11", ""),
    ],
)
def test_words_for_an_index(text: str, variant: str) -> None:
    wanted = read_wanted("some", text)
    assert isinstance(wanted, Wanted)
    assert wanted.variant == variant


@pytest.mark.parametrize(
    "text",
    ["manually installed", "(older wheel)", "3.0.0 (+cuXXX index)", "1.0 / not a match", "4.9x", "editable"],
)
def test_words_without_a_version_are_inexpressible(text: str) -> None:
    assert isinstance(read_wanted("some", text), Inexpressible)


def test_packages_alone_are_a_requirement_file() -> None:
    assert files_of(packages={"one": "1.0.0", "two": "latest"}) == {"requirements.txt": "one==1.0.0\ntwo\n"}


def test_a_python_is_its_slim_image() -> None:
    files = files_of(python="3.9", packages={"one": "1.0.0"})
    assert (
        files["Dockerfile"]
        == "FROM python:3.9-slim\nCOPY requirements.txt .\nRUN pip install -r requirements.txt\n"
    )


def test_a_named_index_is_a_command_of_its_own_on_an_open_base() -> None:
    files = files_of(packages={"torch": "9.0.0 (cu121)", "one": "latest"})
    assert files["Dockerfile"].splitlines() == [
        "ARG BASE",
        "FROM ${BASE}",
        f"RUN pip install torch==9.0.0 --index-url {INDEX}/cu121",
        "COPY requirements.txt .",
        "RUN pip install -r requirements.txt",
    ]


def test_labels_give_their_index_unless_that_would_label_a_sister() -> None:
    labelled = files_of(packages={"torch": "9.0.0+cu121", "one": "1.0.0"})
    assert labelled == {
        "requirements.txt": f"--extra-index-url {INDEX}/cu121\ntorch==9.0.0+cu121\none==1.0.0\n"
    }
    mixed = files_of(packages={"torch": "9.0.0+cu121", "torchvision": "9.1.0"})
    assert mixed["requirements.txt"] == "torchvision==9.1.0\n"
    assert f"RUN pip install torch==9.0.0+cu121 --index-url {INDEX}/cu121" in mixed["Dockerfile"]


def test_a_base_without_a_tag_leaves_the_tag_open() -> None:
    files = files_of(base="registry.example/some/image (with things)", packages={"one": "1.0.0"})
    assert files["Dockerfile"].startswith("ARG TAG\nFROM registry.example/some/image:${TAG}\n")


@pytest.mark.parametrize(
    "setup",
    [
        {"base": "an image with CUDA"},
        {"base": "some/image:1 -> some/image:2"},
        {"host": "a library"},
        {"env": "a library of the system"},
        {"gpu": "some card"},
        {"packages": {"other thing": "1.0.0"}},
        {"packages": {"flash-attn": "9.0.0+cu12torch9.0cxx11abiTRUE"}},
    ],
)
def test_what_cannot_stand_in_a_file(setup: dict[str, Any]) -> None:
    made = convert(setup)
    assert isinstance(made, Inexpressible)
    assert made.why


def test_a_given_dockerfile_stays_and_the_rest_is_added() -> None:
    files = files_of(
        base="some/image:1",
        packages={"one": "1.0.0", "two": "2.0.0"},
        dockerfile="RUN pip install one ...\n...\npip install three --index-url .../cu121",
    )
    assert files["Dockerfile"].splitlines() == [
        "FROM some/image:1",
        "RUN pip install one",
        f"RUN pip install three --index-url {INDEX}/cu121",
        "COPY requirements.txt .",
        "RUN pip install -r requirements.txt",
    ]
    assert files["requirements.txt"] == "two==2.0.0\n"


def test_a_toolkit_gets_the_ubuntu_of_the_python() -> None:
    files = files_of(cuda="12.1", python="3.8", packages={"one": "1.0.0"})
    assert files["Dockerfile"].startswith("FROM nvidia/cuda:12.1.0-devel-ubuntu20.04\nRUN apt-get update")
    other = files_of(base="nvidia/cuda:12.1.0-base-ubuntu20.04", python="3.11", packages={"one": "1.0.0"})
    assert "python3.11 -m venv /opt/venv" in other["Dockerfile"]


def test_variables_and_order_and_target() -> None:
    tree = convert(
        {
            "base": "some/image:1",
            "env": "LD_LIBRARY_PATH=/some/lib:...",
            "packages": {"one": "1.0.0 before two", "two": "2.0.0"},
            "gpu": "some card",
        }
    )
    assert isinstance(tree, Tree)
    assert tree.target == {"gpu": "some card"}
    assert tree.files["Dockerfile"].splitlines()[1:] == [
        "ENV LD_LIBRARY_PATH=/some/lib:${LD_LIBRARY_PATH}",
        "RUN pip install one==1.0.0",
        "RUN pip install two==2.0.0",
    ]
