"""What a builder refuses in a Dockerfile is found at its place, and the rest of the file is read."""

from __future__ import annotations

import pytest

from seatrial.sources.dockerfile import read
from seatrial.sources.dockerfile_lines import LONGEST_LINE
from seatrial.sources.text import Source

REFUSED = [
    ("FROM a\nRUM b\n", 2, "unknown instruction: RUM"),
    ("FROM\n", 1, "FROM requires either one or three arguments"),
    ("FROM a b\n", 1, "FROM requires either one or three arguments"),
    ("FROM a AS 1b\n", 1, "invalid name for build stage"),
    ("ARG A\n", 1, "contains no stages to build"),
    ("", 1, "file with no instructions"),
    ("ARG A\nRUN b\nFROM c\n", 2, "no build stage in current context"),
    ("FROM a\nCOPY b\n", 2, "COPY requires at least two arguments"),
    ("FROM a\nADD\n", 2, "ADD requires at least two arguments"),
    ("FROM a\nENV\n", 2, "ENV requires at least one argument"),
    ("FROM a\nENV b\n", 2, "ENV must have two arguments"),
    ("FROM a\nENV b=c d\n", 2, 'can\'t find = in "d"'),
    ("FROM a\nENV =b\n", 2, "ENV names can not be blank"),
    ("FROM a\nARG\n", 2, "ARG requires at least one argument"),
    ("FROM a\nWORKDIR\n", 2, "WORKDIR requires exactly one argument"),
    ("FROM a\nSHELL bash -c\n", 2, "SHELL requires the arguments to be in JSON form"),
    ("FROM a\nSHELL []\n", 2, "SHELL requires at least one argument"),
    ("FROM a\nCMD [1]\n", 2, "arrays must be comprised of strings only"),
    ("FROM a\nHEALTHCHECK TCP x\n", 2, 'Unknown type "TCP"'),
    ("FROM a\nHEALTHCHECK CMD\n", 2, "Missing command after HEALTHCHECK CMD"),
    ("FROM a\nHEALTHCHECK NONE x\n", 2, "takes no arguments"),
    ("FROM a\nRUN --mont=type=cache b\n", 2, "unknown flag: --mont"),
    ("FROM a\nCOPY --from b c\n", 2, "missing a value on flag: --from"),
    ("FROM a\nCOPY --from=b --from=c d e\n", 2, "duplicate flag specified: --from"),
    ("FROM a\nONBUILD ONBUILD RUN b\n", 2, "Chaining ONBUILD"),
    ("FROM a\nONBUILD FROM b\n", 2, "FROM isn't allowed as an ONBUILD trigger"),
    ("FROM a\nRUN <<EOF\nb\n", 2, "unterminated heredoc EOF"),
    ("# escape=x\nFROM a\n", 1, "invalid escape token 'x'"),
    ("# escape=`\n# escape=`\nFROM a\n", 2, "only one escape parser directive"),
    ("FROM a\nRUN " + "b" * LONGEST_LINE + "\n", 2, "greater than max allowed size"),
]


@pytest.mark.parametrize(("text", "line", "message"), REFUSED, ids=[one[2] for one in REFUSED])
def test_finds_what_is_refused(text: str, line: int, message: str) -> None:
    (found,) = read(Source("Dockerfile", text)).findings
    assert (found.rule, found.severity, found.line) == ("source/dockerfile-syntax", "error", line)
    assert message in found.message


@pytest.mark.parametrize(
    "text",
    [
        "FROM a as b\nCOPY --from=b --link --chmod=755 --exclude=x --exclude=y c d\n",
        "FROM a\nRUN --mount=type=a --mount=type=b --network=none --security=insecure c\n",
        "FROM a\nHEALTHCHECK --interval=5s --retries=3 CMD b\nHEALTHCHECK none\n",
        "FROM a\nRUN -- --b\nCMD\nENTRYPOINT []\n",
        "# syntax=example.org/other\nFROM a\nRUN --own=flag b\n",
        "FROM a\nRUN " + "é" * (LONGEST_LINE // 2 - 2) + "\n",
    ],
)
def test_finds_nothing_where_nothing_is_wrong(text: str) -> None:
    assert read(Source("Dockerfile", text)).findings == ()


def test_reads_on_after_what_is_refused() -> None:
    result = read(Source("Dockerfile", "FROM a\nRUM b\nENV c\nRUN d\nCMD [1]\nUSER e\n"))
    assert [one.keyword for one in result.instructions] == ["FROM", "RUN", "USER"]


def test_says_it_once_where_a_file_is_something_else() -> None:
    text = "apiVersion: v1\nkind: ConfigMap\ndata:\n  x: y\n"
    assert len(read(Source("Dockerfile", text)).findings) == 1
