"""Every part of a Dockerfile knows where it stands: what is edited there is what was read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seatrial.sources.dockerfile import read
from seatrial.sources.dockerfile_text import Joined, concatenate, join
from seatrial.sources.text import Source

if TYPE_CHECKING:
    from seatrial.sources.dockerfile_model import Instruction

FILE = """\
# syntax=docker/dockerfile:1
FROM --platform=linux/amd64 pytorch/pytorch:2.1.0-cuda12.1-cudnn8-runtime AS base

# a comment
ARG TORCH=2.1.0 \\
    # in between
    NUMPY="1.26"
env A=b C="d e"
RUN --mount=type=cache,target=/root/.cache \\
    pip install \\
      # torch first
      torch==2.1\\
.0 \\

      numpy
CMD ["python", "-c", "print(\\"a\\")"]
RUN <<-"EOF" bash -s
\tpip install scipy
\tEOF
COPY --from=base a b/
"""


def instructions(text: str = FILE) -> tuple[Instruction, ...]:
    return read(Source("Dockerfile", text)).instructions


def at(part: Joined, text: str = FILE) -> str:
    return text[part.start : part.end]


def test_instructions_cover_their_lines() -> None:
    found = instructions()
    assert [one.keyword for one in found] == ["FROM", "ARG", "ENV", "RUN", "CMD", "RUN", "COPY"]
    assert FILE[found[0].start : found[0].end] == FILE.splitlines()[1]
    assert FILE[found[3].start : found[3].end].startswith("RUN --mount")
    assert FILE[found[3].start : found[3].end].endswith("\n      numpy")
    assert FILE[found[5].start : found[5].end] == 'RUN <<-"EOF" bash -s\n\tpip install scipy\n\tEOF'


def test_words_and_flags_stand_where_they_are_written() -> None:
    start, *_, copy = instructions()
    platform = start.flag("platform")
    assert platform
    assert at(platform) == platform.text == "linux/amd64"
    assert [at(word) for word in start.words] == [
        "pytorch/pytorch:2.1.0-cuda12.1-cudnn8-runtime",
        "AS",
        "base",
    ]
    assert FILE[copy.flags[0].start : copy.flags[0].end] == "--from=base"


def test_pairs_stand_where_they_are_written() -> None:
    _, arguments, variables, *_ = instructions()
    pairs = [*arguments.pairs, *variables.pairs]
    assert [(at(pair.key), pair.value and at(pair.value)) for pair in pairs] == [
        ("TORCH", "2.1.0"),
        ("NUMPY", '"1.26"'),
        ("A", "b"),
        ("C", '"d e"'),
    ]


def test_a_word_over_two_lines_covers_both() -> None:
    run = instructions()[3]
    index = run.body.text.index("torch==")
    start, end = run.body.span(index, index + len("torch==2.1.0"))
    assert run.body.text[index:].startswith("torch==2.1.0")
    assert FILE[start:end] == "torch==2.1\\\n.0"
    assert at(run.body.piece(index, index + len("torch"))) == "torch"
    assert "in between" not in run.body.text
    assert "torch first" not in run.body.text


def test_strings_of_json_stand_inside_their_quotes() -> None:
    command = instructions()[4]
    assert command.json
    assert [word.text for word in command.json] == ["python", "-c", 'print("a")']
    assert [at(word) for word in command.json] == ["python", "-c", 'print(\\"a\\")']
    code = command.json[2]
    start, end = code.span(code.text.index('"'), code.text.index('"') + 1)
    assert FILE[start:end] == '\\"'


def test_here_documents_lose_tabs_but_no_places() -> None:
    document = instructions()[5].heredocs[0]
    assert (document.name, document.chomp, document.expand) == ("EOF", True, False)
    assert at(document.terminator) == "EOF"
    assert document.data.text == "pip install scipy\n"
    assert FILE[document.data.start :].startswith("pip install scipy")


def test_a_script_has_its_here_documents_where_the_shell_wants_them() -> None:
    script = instructions()[5].script
    assert script.text == '<<-"EOF" bash -s\n\tpip install scipy\nEOF'
    start, end = script.span(script.text.index("scipy"), script.text.index("scipy") + 5)
    assert FILE[start:end] == "scipy"


@pytest.mark.parametrize(
    ("text", "script", "interpreter"),
    [
        ("RUN <<EOF\npip x\nEOF\n", "pip x\n", ""),
        ("RUN <<-EOF\n\tpip x\n\tEOF\n", "pip x\n", ""),
        (
            "RUN <<EOF\n#!/usr/bin/env python3\nx\nEOF\n",
            "#!/usr/bin/env python3\nx\n",
            "/usr/bin/env python3",
        ),
        ("RUN <<EOF cat\n#!/x\nEOF\n", "<<EOF cat\n#!/x\nEOF", ""),
        ("RUN cat <<A <<B\n1\nA\n2\nB\n", "cat <<A <<B\n1\nA\n2\nB", ""),
        ("RUN a \\\n b\n", "a  b", ""),
    ],
)
def test_scripts(text: str, script: str, interpreter: str) -> None:
    one = instructions(text)[0]
    assert one.script.text == script
    assert one.interpreter == interpreter


def test_windows_line_ends_are_no_part_of_words() -> None:
    text = "FROM a\r\nENV b=c\r\nRUN d \\\r\n  e\r\n"
    found = instructions(text)
    assert [word.text for word in found[0].words] == ["a"]
    assert at(found[2].body, text) == "d \\\r\n  e"
    assert found[2].body.text == "d   e"


def test_syntax_and_escape() -> None:
    result = read(Source("Dockerfile", "# escape=`\n# syntax=docker/dockerfile:1.7-labs x\nFROM a\n"))
    assert (result.escape, result.syntax) == ("`", "docker/dockerfile:1.7-labs")


@given(st.text("ab\n", max_size=40), st.data())
@settings(deadline=None)
def test_pieces_of_joined_text_keep_their_places(source: str, data: st.DataObject) -> None:
    offset = st.integers(0, len(source))
    cuts = sorted(data.draw(st.lists(offset, min_size=2, max_size=8)))
    spans = list(zip(cuts[::2], cuts[1::2], strict=False))
    joined = join(source, spans)
    assert joined.text == "".join(source[start:end] for start, end in spans)
    for index, character in enumerate(joined.text):
        assert source[joined.offset(index)] == character
    within = st.integers(0, len(joined.text))
    start, end = sorted((data.draw(within), data.draw(within)))
    piece = joined.piece(start, end)
    assert piece.text == joined.text[start:end]
    assert [piece.offset(n) for n in range(len(piece.text))] == [joined.offset(n) for n in range(start, end)]
    if piece.text:
        assert (piece.start, piece.end) == joined.span(start, end)
    both = concatenate([piece, joined])
    assert [both.offset(n) for n in range(len(both.text))] == [
        *(piece.offset(n) for n in range(len(piece.text))),
        *(joined.offset(n) for n in range(len(joined.text))),
    ]
