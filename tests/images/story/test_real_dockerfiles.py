"""Real Dockerfiles are read without a crash, and every place covers what it says."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seatrial.images import story
from seatrial.images.story.model import Command, Install, Request, Setting
from support.stories import spans, stage_of, story_of

if TYPE_CHECKING:
    from seatrial.images.story.model import Span, Step, Story

FEWEST = 151


@cache
def folders() -> tuple[Path, ...]:
    """The folders with one Dockerfile each that SEATRIAL_CASES has."""
    root = Path(os.environ.get("SEATRIAL_CASES", "")) / "dockerfiles"
    if not os.environ.get("SEATRIAL_CASES") or not root.is_dir():
        pytest.skip("SEATRIAL_CASES does not name a folder with dockerfiles")
    return tuple(sorted(one for one in root.iterdir() if one.is_dir()))


@cache
def stories() -> tuple[Story, ...]:
    return tuple(one for folder in folders() for one in story.read_all(folder))


def plain(text: str) -> str:
    """Text as a reader of it would compare it: without quotes, continuations, escapes and case."""
    return re.sub(r"[-_.]+", "-", re.sub(r"\\\r?\n|[\"'\\]", "", unquote(text))).lower()


def check(what: str, span: Span, whose: Step | Request) -> None:
    assert 0 <= span.start <= span.end <= len(span.source.text)
    if not isinstance(whose, Request):
        return
    if what == "version" and whose.style != "poetry":
        assert span.text
        assert unquote(span.text).lower().lstrip("v") in whose.specifier.lower()
    elif what == "versions" and whose.style in ("lines", "toml", "shell") and not whose.conda:
        from packaging.specifiers import SpecifierSet

        assert SpecifierSet(span.text.strip("() ")) == whose.specifiers
    elif what == "at" and "$" not in span.text and whose.name and not whose.url:
        assert plain(whose.conda or whose.name) in plain(span.text)


def test_every_place_covers_what_it_says() -> None:
    assert len(folders()) >= FEWEST
    found = [entry for one in stories() for entry in spans(one)]
    for what, span, whose in found:
        check(what, span, whose)
    assert len(found) > 5000


def test_sources_are_those_that_places_name() -> None:
    for one in stories():
        for _, span, _ in spans(one):
            assert one.sources[span.source.path] is span.source


def test_steps_are_in_the_order_of_the_file() -> None:
    for one in stories():
        for stage in one.stages:
            starts = [step.at.start for step in stage.steps if isinstance(step, Install | Setting | Command)]
            assert len(starts) < 2 or starts[0] <= starts[-1]


def test_most_words_of_installers_are_read() -> None:
    """What is left unread are files and folders that are not there, and variables without a value."""
    reasons = ("is not among the files", "no value is known for", "is a pattern, and")
    left = {
        why
        for one in stories()
        for stage in one.stages
        for step in stage.steps
        if isinstance(step, Install)
        for why in step.unread
        if not any(reason in why for reason in reasons)
    }
    assert left == set()


PIECES = st.lists(
    st.sampled_from(
        [
            "FROM a\n", "FROM a AS b\n", "FROM b\n", "RUN ", "COPY . .\n", "COPY r.txt /x/\n", "ARG V=1\n", "ENV V=2 W=$V\n",
            "WORKDIR ../x\n", "pip install ", "-r r.txt ", "torch==$V ", "'a<2' ", "${V:-", "}", "$(", ")", "`", "\\\n", "&& ",
            "|| ", "; ", "\n", "uv sync ", "uv pip install ", "conda install ", "conda env create -f e.yml ", "poetry add ", "-e . ",
            "--index-url ", "--", "-", "> r.txt ", "echo x ", "<<EOF\n", "EOF\n", "sed -i '/x/d' r.txt ", "grep -v x r.txt ", '"', "'",
            'SHELL ["bash"]\n', 'CMD ["x"]\n', 'RUN ["pip", "install", "a"]\n', "cd .. ", "é ", "# c\n", "--mount=type=bind,target=x ",
            "[x]", "@", "https://h/x.whl ", "python -m venv v ", ". v/bin/activate ", "for x in a b; do ", "done ", "if [ $V = 1 ]; then ", "fi ",
        ]
    ),
    max_size=25,
).map("".join)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(PIECES, st.sampled_from(["torch==2.1\n-r r.txt\n", "<<<<<<<\n", "-e .[x]\n--pre\n", "\\\n", ""]))
def test_nothing_crashes_and_places_are_inside(text: str, requirements: str) -> None:
    files = {
        "Dockerfile": text,
        "r.txt": requirements,
        "e.yml": "dependencies: [a]\n",
        "pyproject.toml": "[project]\n",
    }
    for _, span, _ in spans(story_of(files)):
        assert 0 <= span.start <= span.end <= len(span.source.text)
        assert span.source.path in files


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("ab1=<>!~[],; \"'\\$#-.@:/{}()*\n"), max_size=30))
def test_any_word_is_read_without_a_crash(word: str) -> None:
    for command in ("pip install ", "conda install ", "poetry add ", "apt-get install ", "uv add "):
        stage_of(f"RUN {command}{word}")
    story_of({"requirements.txt": word})
    story_of({"environment.yml": f"dependencies:\n- {word}\n"})
