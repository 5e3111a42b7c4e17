"""The Dockerfile reader reads what BuildKit's own parser reads, on real files and on nasty ones."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seatrial.sources import text
from seatrial.sources.dockerfile import read
from seatrial.sources.text import Source

if TYPE_CHECKING:
    from seatrial.sources.dockerfile_model import Instruction

buildkit: Any = pytest.importorskip("dockerfile", reason="the package `dockerfile` wraps BuildKit's parser")

# What the parser calls an instruction; it leaves it to the next step to refuse what it does not know.
KNOWN = frozenset(buildkit.all_cmds())

TRIGGERS = KNOWN - {"onbuild"}

Seen = tuple[str, str, bool, int, tuple[str, ...], tuple[str, ...], tuple[tuple[str, int, str], ...]]
"""Keyword, the one in ONBUILD, JSON form, line, flags, values, here-documents."""


def theirs(content: str) -> list[Seen] | None:
    """What BuildKit's parser says; None where it refuses the file."""
    try:
        parsed = buildkit.parse_string(content)
    except buildkit.GoParseError:
        return None
    return [
        (
            one.cmd.upper(),
            (one.sub_cmd or "").upper(),
            one.json,
            one.start_line,
            one.flags,
            one.value,
            tuple((doc.name, doc.file_descriptor, doc.content) for doc in one.heredocs),
        )
        for one in parsed
        if (one.cmd or "").lower() in KNOWN
    ]


def without_lines(instructions: list[Seen]) -> list[tuple[object, ...]]:
    """Where an instruction begins with an empty continued line, the parser counts that line to it."""
    return [(*one[:3], *one[4:]) for one in instructions]


def ours(source: Source) -> list[Seen]:
    return [seen(source, one) for one in read(source).instructions]


def seen(source: Source, one: Instruction) -> Seen:
    inner = one.onbuild or one
    return (
        one.keyword,
        one.onbuild.keyword if one.onbuild else "",
        inner.json is not None,
        # The parser knows no lone carriage return; positions, as in editors, do.
        source.text.count("\n", 0, one.start) + 1,
        tuple(f"--{flag.name}" + ("" if flag.value is None else f"={flag.value.text}") for flag in one.flags),
        values(inner),
        # The wrapper does not show those of ONBUILD.
        tuple((doc.name, doc.descriptor, doc.content.text) for doc in one.heredocs if not one.onbuild),
    )


def values(one: Instruction) -> tuple[str, ...]:
    """The values as the parser lists them, keyword by keyword."""
    if one.keyword == "HEALTHCHECK":
        kind, *command = re.split(r"[\t\v\f\r ]+", one.body.text, maxsplit=1) if one.body.text else [""]
        held = [word.text for word in one.json] if one.json is not None else command
        return (kind, *held) if kind else ()
    if one.json is not None:
        return tuple(word.text for word in one.json)
    if one.keyword in ("ENV", "LABEL"):
        return tuple(
            part for pair in one.pairs for part in (pair.key.text, pair.value.text if pair.value else "")
        )
    if one.keyword == "ARG":
        return tuple(pair.key.text + (f"={pair.value.text}" if pair.value else "") for pair in one.pairs)
    if one.keyword in ("FROM", "EXPOSE", "ADD", "COPY", "VOLUME"):
        return tuple(word.text for word in one.words)
    return (one.body.text,) if one.body.text else ()


TRICKY = {
    "comment inside": "FROM a\nRUN b \\\n# no\n  # nor this\n  c\n",
    "blank inside": "FROM a\nRUN b \\\n\n\n  c\nRUN d\n",
    "continued at the end": "FROM a\nRUN b \\",
    "escaped escape": "FROM a\nRUN b \\\\\nRUN c\n",
    "escape with blanks after": "FROM a\nRUN b \\ \t\n  c\n",
    "keyword in pieces": "FR\\\nOM a\n",
    "backtick": "# escape=`\nFROM a\nRUN dir C:\\ `\n  more\nCOPY a C:\\\n",
    "directives": "# syntax=docker/dockerfile:1\n# ESCAPE = ` \nFROM a\nRUN b `\n c\n",
    "directive after a comment": "# hello\n# escape=`\nFROM a\nRUN b \\\n c\n",
    "directive after a blank line": "\n# escape=`\nFROM a\nRUN b \\\n c\n",
    "windows lines": "FROM a\r\nRUN b \\\r\n  c\r\nRUN <<E\r\nx\r\nE\r\nENV a=b\r\n",
    "lower case": "from a as b\nrun c\nCopy --from=b d e\n",
    "flags": "FROM --platform=$X a\nRUN --mount=type=cache,target=/x --mount=type=secret,id=y  z\nRUN -- --x y\n",
    "quoted flags": "FROM a\nCOPY --chown=\"a b\" --from='x' --chmod=a\\ b c d\n",
    "json": 'FROM a\nCMD ["a", "b\\"c", "\\u00e9\\ud83d\\ude00\\n"]\nCOPY ["a b", "c"]\nRUN [ "x" ]\nENTRYPOINT []\n',
    "json in pieces": 'FROM a\nCMD ["a", \\\n# no\n "b"]\n',
    "nearly json": "FROM a\nCMD ['a']\nCMD [a]\nRUN [ -f x ] && y\nCMD [\"a\",]\nVOLUME [/a]\n",
    "heredoc": "FROM a\nRUN <<EOF\nb\n c\nEOF\nRUN d\n",
    "heredocs": "FROM a\nCOPY <<A <<-'B' \"C\" /d/\n1\nA\n\t2\n\tB\nRUN e\n",
    "heredoc with a descriptor": "FROM a\nRUN 3<<EOF cat <&3\nb\nEOF\n",
    "heredoc in a pipe": "FROM a\nRUN cat <<EOF | sh && b\nc\nEOF\nRUN d\n",
    "heredoc of comments": "FROM a\nRUN <<EOF\n# b\\\nc \\\nEOF\n",
    "heredoc after a continuation": "FROM a\nRUN b \\\n  <<EOF\nc\nEOF\nRUN d\n",
    "heredoc in ONBUILD": "FROM a\nONBUILD RUN <<EOF\nb\nEOF\nRUN c\n",
    "no heredoc in CMD": "FROM a\nCMD <<EOF\nRUN b\n",
    "no heredoc in JSON": 'FROM a\nRUN ["<<EOF"]\nRUN b\n',
    "no heredoc in quotes": "FROM a\nRUN echo '<<EOF'\nRUN b\n",
    "no heredoc where quotes do not match": "FROM a\nRUN echo it's <<EOF\nRUN b\n",
    "here-string": "FROM a\nRUN cat <<< b\nRUN c\n",
    "shift": "FROM a\nRUN echo $((1<<2))\nRUN b\n",
    "env": 'FROM a\nENV a=b c="d e" f=\'g h\' i=j\\ k l=\nENV m n  o\nENV p="q\\"r" s=\'t\\\'\nLABEL u=v "w x"=y\n',
    "env over lines": 'FROM a\nENV b=c \\\n    d=e \\\n    # no\n    f="g \\\n h"\n',
    "arg": 'ARG a\nARG b=c\nFROM a\nARG d e=f g="h i"\n',
    "healthcheck": 'FROM a\nHEALTHCHECK --interval=5s CMD curl x\nHEALTHCHECK CMD ["a"]\nHEALTHCHECK NONE\n',
    "others": 'FROM a\nMAINTAINER b c\nUSER d:e\nWORKDIR /f g\nSTOPSIGNAL 9\nEXPOSE 80 90/udp\nSHELL ["b", "-c"]\n',
    "onbuild": 'FROM a\nONBUILD COPY --from=b c d\nONBUILD CMD ["e"]\n',
    "unicode": "FROM a\nENV é=ü→ b=\U0001f600\nRUN echo \U0001f600\u00a0x\n",
    "lone carriage return": "FROM a\nRUN b\rc\nENV d=e\rf=g\n",
    "form feed": "FROM\fa\nRUN\vb\n",
}


@pytest.mark.parametrize("content", TRICKY.values(), ids=TRICKY.keys())
def test_reads_what_buildkit_reads(content: str) -> None:
    source = Source("Dockerfile", content)
    assert ours(source) == theirs(content)
    assert read(source).findings == ()


REFUSED = {
    "mixed array": 'FROM a\nCMD ["b", 1]\n',
    "nested array": 'FROM a\nCMD [["b"]]\n',
    "env without a value": "FROM a\nENV b\n",
    "env with a stray word": "FROM a\nENV b=c d\n",
    "label with a stray word": "FROM a\nLABEL b=c d\n",
    "heredoc without an end": "FROM a\nRUN <<EOF\nb\n",
    "directive twice": "# escape=`\n# escape=`\nFROM a\n",
    "wrong escape": "# escape=/\nFROM a\n",
    "nothing": "\n# nothing\n",
}


@pytest.mark.parametrize("content", REFUSED.values(), ids=REFUSED.keys())
def test_refuses_what_buildkit_refuses(content: str) -> None:
    assert theirs(content) is None
    assert [one.rule for one in read(Source("Dockerfile", content)).findings] == ["source/dockerfile-syntax"]


PIECES = (
    "FROM ",
    "RUN ",
    "env ",
    "ARG ",
    "COPY ",
    "LABEL ",
    "ONBUILD ",
    "CMD ",
    "HEALTHCHECK ",
    "EXPOSE ",
    "VOLUME ",
    "SHELL ",
    "USER ",
    "NOT ",
    "\\\n",
    "\\ \n",
    "\\\r\n",
    "\n",
    "\r\n",
    "\r",
    "# c\n",
    " # c\n",
    "# escape=`\n",
    "# syntax=x\n",
    "`",
    "`\n",
    "\\",
    "\\\\\n",
    "<<EOF",
    "<<-EOF",
    '<<"EOF"',
    "<<'E F'",
    "3<<EOF",
    "<<EOF2",
    "EOF\n",
    "\tEOF\n",
    "EOF2\n",
    "E F\n",
    "a",
    "b=c",
    "a=",
    '="x y"',
    "='q'",
    '"',
    "'",
    "$X",
    "${X:-1}",
    "${",
    "}",
    " ",
    "\t",
    "--from=x ",
    "--a ",
    "-- ",
    '--"q r"=1 ',
    '["a"]\n',
    '["a", "b\\\\n\\u00e9"]\n',
    "[1]\n",
    '[\\\n "a"]\n',
    "[",
    "é",
    "\x0b",
    "=",
    '\\"',
    "\\$",
    "<",
    "<<<",
)


@given(
    st.lists(st.sampled_from(PIECES), max_size=14).map("".join),
    st.sampled_from(("", "FROM x\n", "# escape=`\n")),
)
@settings(max_examples=1500, deadline=None)
def test_reads_any_mixture_as_buildkit_does(content: str, before: str) -> None:
    source = Source("Dockerfile", before + content)
    expected = theirs(source.text)
    result = read(source)
    if expected is None:
        # BuildKit stops at the first thing that is wrong; here the rest is read too.
        assert result.findings
    elif not any(kind == "ONBUILD" and inner.lower() not in TRIGGERS for kind, inner, *_ in expected):
        assert without_lines(ours(source)) == without_lines(expected)


@given(st.text(max_size=200))
@settings(max_examples=300, deadline=None)
def test_reads_any_text(content: str) -> None:
    source = Source("Dockerfile", content)
    for one in read(source).instructions:
        assert 0 <= one.start <= one.end <= len(content)
        assert one.script.end <= len(content)


def test_reads_here_documents_of_onbuild() -> None:
    trigger, after = read(Source("Dockerfile", TRICKY["heredoc in ONBUILD"])).instructions[1:]
    assert trigger.onbuild
    assert trigger.onbuild.script.text == "b\n"
    assert after.body.text == "c"


def test_reads_real_files_as_buildkit_does() -> None:
    folder = os.environ.get("SEATRIAL_CASES")
    if not folder or not (Path(folder) / "dockerfiles").is_dir():
        pytest.skip("SEATRIAL_CASES does not name a folder with dockerfiles")
    files = sorted((Path(folder) / "dockerfiles").glob("*/Dockerfile*"))
    assert files
    for file in files:
        source = text.read(file, file.parent.name)
        assert ours(source) == theirs(source.text), file.parent.name
