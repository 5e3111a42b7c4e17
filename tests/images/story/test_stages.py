"""Stages start from what BuildKit would start from, and variables have the values that it would give them."""

from __future__ import annotations

import pytest

from seatrial.images.story.model import Copy, Setting
from support.stories import install_of, installs_of, shorts, stage_of, story_of

BASES = [
    ("FROM a:1\n", "a:1", "a:1"),
    ("ARG T=1.2\nFROM a:$T\n", "a:1.2", "1.2"),
    ("ARG T=1.2\nFROM a:${T}\n", "a:1.2", "1.2"),
    ('ARG T="1.2"\nFROM "a:${T}"\n', "a:1.2", "1.2"),
    ("ARG B=a:1\nFROM $B AS x\n", "a:1", "a:1"),
    ("ARG B=a\nARG T=1\nFROM ${B}:${T}\n", "a:1", "1"),
    ("ARG C=12.1\nFROM a:${C}-devel\n", "a:12.1-devel", None),
    ("ARG C=12.1\nARG T=$C\nFROM a:$T\n", "a:12.1", "12.1"),
    ("ARG R=h:5000/a\nFROM $R\n", "h:5000/a", "h:5000/a"),
    ("FROM a:${T:-9}\n", "a:9", "9"),
    ("ARG T\nFROM a:$T\n", "", None),
    ("FROM $B\n", "", None),
    ("FROM --platform=$BUILDPLATFORM a:$TARGETARCH\n", "a:amd64", None),
    ("ARG X=1\nFROM a:1\nARG X=2\nFROM b:$X\n", "b:1", "1"),
]


@pytest.mark.parametrize(("text", "reference", "value"), BASES, ids=[one[0] for one in BASES])
def test_bases(text: str, reference: str, value: str | None) -> None:
    base = story_of({"Dockerfile": text}).stages[-1].base
    assert base is not None
    assert base.reference == reference
    assert (base.value.text if base.value else None) == value
    assert base.at.text.strip('"').startswith(("a", "b", "$"))


def test_build_arguments_replace_defaults() -> None:
    files = {"Dockerfile": "ARG T=1\nFROM a:$T\nARG V=2\nRUN pip install torch==$V\n"}
    story = story_of(files, build_args={"T": "7", "V": "8"})
    base = story.stages[0].base
    assert base is not None
    assert (base.reference, base.value) == ("a:7", None)
    [install] = installs_of(story.stages[0])
    assert shorts(install) == ["torch==8"]
    assert install.requests[0].version is None


def test_platform_and_stages_by_name_and_number() -> None:
    story = story_of(
        {"Dockerfile": "FROM --platform=linux/arm64 a AS One\nFROM one AS two\nFROM b\nFROM TWO\n"}
    )
    bases = [one.base for one in story.stages]
    assert [one.stage for one in bases if one] == [None, 0, None, 1]
    assert [one.platform for one in bases if one] == ["linux/arm64", "", "", ""]
    assert [one.name for one in story.stages] == ["one", "two", "", ""]
    assert [one.index for one in story.lineage(story.stages[3])] == [0, 1, 3]
    assert [one.index for one in story.leaves] == [2, 3]


VALUES = [
    ("ARG V=1\nRUN pip install a==$V", "a==1"),
    ("ARG V\nRUN pip install a==${V:-3}", "a==3"),
    ("ENV V=1\nRUN pip install a==$V", "a==1"),
    ("ENV V=1\nARG V=2\nRUN pip install a==$V", "a==1"),
    ("ARG V=2\nENV V=1\nRUN pip install a==$V", "a==1"),
    ("ARG V=2\nENV W=$V.0\nRUN pip install a==$W", "a==2.0"),
    ("ENV V=1 W=$V\nRUN pip install a==$W", "a"),
    ("ENV V 1.5\nRUN pip install a==$V", "a==1.5"),
    ("ARG V=2.4.1\nRUN pip install a==${V%.*}", "a==2.4"),
    ("ARG V=12.1\nRUN pip install a==${V//./}", "a==121"),
    ("RUN V=4 && pip install a==$V", "a==4"),
    ("RUN export V=4; pip install a==$V", "a==4"),
    ("RUN V=4\nRUN pip install a==$V", "a"),
    ("RUN (V=4); pip install a==$V", "a"),
    ("ARG TARGETARCH\nRUN if [ $TARGETARCH = arm64 ]; then pip install b; else pip install a; fi", "a"),
    ("RUN pip install a==1+$(uname -m)", "a==1+x86_64"),
    ("ARG G=1\nRUN pip install a==$G", "a==1"),
]


@pytest.mark.parametrize(("text", "expected"), VALUES, ids=[one[0] for one in VALUES])
def test_values(text: str, expected: str) -> None:
    assert shorts(install_of(text)) == [expected]


def test_arguments_must_be_declared_again_and_environment_is_inherited() -> None:
    story = story_of(
        {
            "Dockerfile": "ARG V=1\nFROM a AS one\nENV E=5\nARG L=2\nRUN pip install x==$V\n"
            "FROM one\nARG V\nRUN pip install x==$V y==$E z==$L\n"
        }
    )
    assert [shorts(one) for stage in story.stages for one in installs_of(stage)] == [
        ["x"],
        ["x==1", "y==5", "z"],
    ]
    assert story.stages[1].arguments == {"V": "1"}


def test_a_variable_outside_quotes_is_split() -> None:
    install = install_of('ENV P="torch==2.1 numpy<2"\nRUN pip install $P "$P"')
    assert shorts(install) == ["torch==2.1", "numpy<2"]
    first = install.requests[0]
    assert (first.at.text, first.version and first.version.text) == ("$P", "2.1")
    assert first.version is not None
    assert first.version.place.line == 2


def test_a_version_stands_where_its_variable_got_it() -> None:
    install = install_of('ARG TORCH_VERSION=2.4.0\nRUN pip install "torch==${TORCH_VERSION}" x==1')
    torch, other = install.requests
    assert torch.version is not None
    assert (torch.version.text, torch.version.place.line, torch.version.place.column) == ("2.4.0", 2, 19)
    assert torch.versions is None
    assert torch.at.text == '"torch==${TORCH_VERSION}"'
    assert other.versions is not None
    assert (other.versions.text, other.versions.place.line) == ("==1", 3)


def test_settings_and_copies() -> None:
    stage = stage_of("ARG A=1\nENV X=$A Y=$NO\nCOPY --from=python:3.11 /a /b ./c/\nADD x y")
    settings = [step for step in stage.steps if isinstance(step, Setting)]
    assert [(one.name, one.value, one.known, one.at.text) for one in settings] == [
        ("X", "1", True, "X=$A"),
        ("Y", "$NO", False, "Y=$NO"),
    ]
    copies = [step for step in stage.steps if isinstance(step, Copy)]
    assert [(one.sources, one.destination, one.origin) for one in copies] == [
        (("/a", "/b"), "./c/", "python:3.11"),
        (("x",), "y", ""),
    ]


def test_a_continued_requirement_still_has_its_place() -> None:
    install = install_of("RUN pip install \\\n    # why\n    'torch>=2,\\\n<3' \\\n    numpy")
    assert shorts(install) == ["torch<3,>=2", "numpy"]
    assert install.requests[0].versions is None
    assert install.requests[1].at.text == "numpy"
