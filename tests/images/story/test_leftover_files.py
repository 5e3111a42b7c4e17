"""Dependency files without a Dockerfile: each independent set stands alone, and what another file includes does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from seatrial.images import story
from seatrial.images.story.model import Install
from seatrial.sources.text import Source
from support.stories import installs_of, shorts, story_of

if TYPE_CHECKING:
    from pathlib import Path

PROJECT = '[project]\nname = "x"\nrequires-python = ">=3.10"\ndependencies = ["torch==2.1"]\n'

SETS = [
    ({"requirements.txt": "a\n"}, [["a"]]),
    ({"requirements.txt": "a\n", "requirements-dev.txt": "b\n"}, [["b"], ["a"]]),
    ({"requirements.txt": "a\n", "requirements-dev.txt": "-r requirements.txt\nb\n"}, [["b", "a"]]),
    ({"requirements.txt": "a\n-c constraints.txt\n", "constraints.txt": "b<2\n"}, [["a"]]),
    ({"requirements.txt": "a\n", "requirements_constraints.txt": "b<2\n"}, [["a"]]),
    ({"requirements/base.txt": "a\n", "requirements/dev.txt": "-r base.txt\nb\n"}, [["b", "a"]]),
    ({"pyproject.toml": PROJECT}, [["torch==2.1"]]),
    ({"pyproject.toml": PROJECT, "requirements.txt": "a\n"}, [["a"], ["torch==2.1"]]),
    ({"setup.cfg": "[options]\ninstall_requires = a\n"}, [["a"]]),
    ({"setup.py": "from setuptools import setup\nsetup(install_requires=['a'])\n"}, [["a"]]),
    ({"Pipfile": '[packages]\na = "==1"\n'}, [["a==1"]]),
    ({"environment.yaml": "dependencies: [a, {pip: [b]}]\n"}, [["a", "b"]]),
    ({"pylock.toml": '[[packages]]\nname = "a"\nversion = "1"\n'}, [["a==1"]]),
    ({"notes.txt": "a\n", "requirements.md": "b\n"}, []),
    ({"requirements.txt": "# nothing\n"}, []),
    ({}, []),
]


@pytest.mark.parametrize(("files", "expected"), SETS, ids=["+".join(one[0]) or "nothing" for one in SETS])
def test_sets(files: dict[str, str], expected: list[list[str]]) -> None:
    found = story_of(files)
    assert sorted(
        [name for one in installs_of(stage) for name in shorts(one)] for stage in found.stages
    ) == sorted(expected)
    for stage in found.stages:
        assert stage.base is None
        assert all(one.options is None and one.environment == "" for one in installs_of(stage))
    assert [one.index for one in found.stages] == list(range(len(found.stages)))


PYTHONS = [
    ({"requirements.txt": "a\n", ".python-version": "3.11.4\n"}, "3.11.4"),
    ({"environment.yml": "dependencies: [python=3.9.12]\n"}, "3.9"),
    ({"Pipfile": '[packages]\na = "*"\n[requires]\npython_version = "3.8"\n'}, "3.8"),
    ({"pyproject.toml": PROJECT}, ""),
    ({"Dockerfile": "FROM x\n", ".python-version": "3.11\n"}, "3.11"),
]


@pytest.mark.parametrize(("files", "python"), PYTHONS, ids=["+".join(one[0]) for one in PYTHONS])
def test_python(files: dict[str, str], python: str) -> None:
    assert story_of(files).python == python


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def texts(one: story.Story) -> list[str]:
    return [
        name
        for stage in one.stages
        for step in stage.steps
        if isinstance(step, Install)
        for name in shorts(step)
    ]


def test_what_a_dockerfile_installs_is_not_told_twice(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "Dockerfile": "FROM x\nCOPY requirements.txt .\nRUN pip install -r requirements.txt\n",
            "requirements.txt": "a\n",
            "requirements-dev.txt": "b\n",
        },
    )
    [only] = story.read_all(tmp_path)
    assert texts(only) == ["a"]
    assert sorted(only.sources) == ["Dockerfile", "requirements.txt"]


def test_what_no_dockerfile_installs_is_a_story_of_its_own(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "Dockerfile": "FROM x\nRUN pip install z\n",
            "Dockerfile.gpu": "FROM y\n",
            "requirements.txt": "a\n",
        },
    )
    first, second, rest = story.read_all(tmp_path)
    assert first.dockerfile is not None
    assert second.dockerfile is not None
    assert (first.dockerfile.path, second.dockerfile.path) == ("Dockerfile", "Dockerfile.gpu")
    assert texts(first) == ["z"]
    assert rest.dockerfile is None
    assert texts(rest) == ["a"]
    assert story.read(tmp_path).dockerfile == first.dockerfile


def test_an_empty_folder_has_an_empty_story(tmp_path: Path) -> None:
    [only] = story.read_all(tmp_path)
    assert (only.stages, only.dockerfile) == ((), None)
    assert story.read(tmp_path).stages == ()


def test_another_dockerfile_with_its_context(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"docker/Dockerfile": "FROM x\nCOPY req/a.txt .\nRUN pip install -r a.txt\n", "req/a.txt": "a\n"},
    )
    assert texts(story.read(tmp_path, dockerfile=tmp_path / "docker" / "Dockerfile")) == ["a"]


def test_a_dockerfile_whose_context_is_its_own_folder(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "docker/Dockerfile": "FROM x\nCOPY a.txt .\nRUN sed -i '/b/d' a.txt && pip install -r a.txt\n",
            "docker/a.txt": "b\na\n",
        },
    )
    found = story.read(tmp_path, dockerfile=tmp_path / "docker" / "Dockerfile")
    assert texts(found) == ["a"]
    [install] = [step for step in found.stages[0].steps if isinstance(step, Install)]
    assert install.requests[0].at.source is found.sources["docker/a.txt"]


def test_files_outside_of_the_context_are_not_read(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("secret\n")
    root = tmp_path / "context"
    write(
        root,
        {
            "Dockerfile": "FROM x\nCOPY ../outside.txt link.txt ./\nRUN pip install -r outside.txt -r link.txt\n"
        },
    )
    (root / "link.txt").symlink_to(outside)
    found = story.read(root)
    assert texts(found) == []
    assert list(found.sources) == ["Dockerfile"]


def test_bytes_that_are_no_text_do_not_stop_the_rest(tmp_path: Path) -> None:
    write(tmp_path, {"Dockerfile": "FROM x\nCOPY . .\nRUN pip install -r a.txt -r b.txt\n", "b.txt": "b\n"})
    (tmp_path / "a.txt").write_bytes("a\n".encode("utf-16"))
    assert texts(story.read(tmp_path)) == ["b"]


def test_the_python_of_a_folder_above_does_not_count() -> None:
    files = {
        path: Source(path, text)
        for path, text in {"sub/requirements.txt": "a\n", ".python-version": "3.14\n"}.items()
    }

    assert story.from_sources(None, files.get, ["sub/requirements.txt"]).python == ""
