"""Words and branches are read as bash reads them: what it prints is what was foreseen."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from seatrial.sources.shell import commands
from seatrial.sources.shell_expand import expand, fields

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from seatrial.sources.shell_model import ShellCommand

BASH = shutil.which("bash") or ""
VARIABLES = {"X": "torch==2.1", "E": "", "S": "a b  c", "P": "/usr/lib/x.tar.gz", "N": "3", "V": "11.8"}

pytestmark = pytest.mark.skipif(not BASH, reason="bash is not installed")


def run(script: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([BASH, "-c", script], env=VARIABLES, capture_output=True, check=False)


# Words.

WORD = (
    "a",
    "b-c",
    "x==",
    '"q r"',
    "'s  t'",
    "\\ ",
    '\\"',
    "\\\\",
    "$X",
    "${X}",
    '"$X"',
    "$S",
    '"$S"',
    "$E",
    '"$E"',
    "${E:-d}",
    "${E-d}",
    '${U:-"x y"}',
    "${U:-x y}",
    "${U:-$X}",
    '"${U:-x}"',
    "${X:+z}",
    "${E:+z}",
    "${X%%=*}",
    "${P##*/}",
    "${P%.*}",
    "${X/t/T}",
    "${X//t/T}",
    "${P//\\//-}",
    "${X:0:5}",
    "${X:2}",
    "${X: -3}",
    "${X^^}",
    "$'\\n\\t'",
    "$'a b'",
    "é",
    "→",
    ",",
    "=",
    "/",
    "+",
    '"a\\$b"',
    '"a\\nb"',
    '"a${X}b c${S}d"',
    '""',
    "''",
    "1",
    "@",
    "%",
    "[",
)
words = st.lists(
    # The grammar takes `==` for the operator of a test, wherever it stands alone.
    st.lists(st.sampled_from(WORD), min_size=1, max_size=4).map("".join).filter("==".__ne__),
    min_size=1,
    max_size=12,
)


@given(words)
@settings(max_examples=250, deadline=None)
def test_words_are_what_bash_makes_of_them(written: list[str]) -> None:
    # One program for all words of an example: each word is printed with its arguments apart.
    lines = [f"show {word}" for word in written]
    ran = run('show() { printf "%s\\0" "$#" "$@"; }\n' + "\n".join(lines) + "\n")
    assume(not ran.stderr)
    printed = iter(ran.stdout.decode().split("\0"))
    for line in lines:
        count = int(next(printed))
        expected = [next(printed) for _ in range(count)]
        (command,) = commands(line)
        values = fields(command.words[1:], VARIABLES)
        # What has no value is left as it is; bash makes nothing of it.
        if not any(value.unknown for value in values):
            assert [value.text for value in values] == expected, line


ASSIGNED = ("$X", '"$S"', "$S", "a\\ b", "${U:-x y}", "'q'\"r\"", "x=$X", "${P%.*}", "$E", "é", "$N+1", "")


@given(st.lists(st.sampled_from(ASSIGNED), max_size=3).map("".join))
@settings(max_examples=60, deadline=None)
def test_assigned_values_are_what_bash_keeps(written: str) -> None:
    ran = run(f'A={written}\nprintf "%s" "$A"\n')
    assume(not ran.stderr)
    first = commands(f"A={written}\n")[0]
    value = expand(first.assignments[0].value, VARIABLES)
    assert value.unknown or value.text == ran.stdout.decode()


# Branches. Leaves print a number; what is printed is compared with what was said to run.

TESTS = (
    '[ -z "$X" ]',
    '[ -z "$E" ]',
    '[ "$N" = 3 ]',
    '[ "$N" != "3" ]',
    '[ "$N" -lt 4 ]',
    '[ ! -z "$E" ]',
    '[ -n "$X" -a "$N" = 3 ]',
    '[ "$N" = 4 -o "$V" = 11.8 ]',
    "[[ $V == 11.* ]]",
    "[[ $V != 12* ]]",
    '[[ $V == "11.*" ]]',
    "[[ -n $X && $V == 11.8 ]]",
    "[[ -z $X || ( $V == 12 && $N == 3 ) ]]",
    "[[ ! -z $E ]]",
    'test -n "$E"',
    'test "$N" = 3',
)
LEAVES = (
    "say",
    "say",
    "say",
    "N=4",
    "N=3",
    "V=12.1",
    "E=",
    "E=y",
    'N="$V"',
    "export N=5",
    "true",
    "false",
    ":",
)


def compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    several = st.lists(inner, min_size=1, max_size=2).map("; ".join)
    value = st.sampled_from(("$N", '"$V"', "x$E"))
    pattern = st.sampled_from(("3", "12*", "11.?", "2|4", '"x"', "[0-9]", "*"))
    return st.one_of(
        st.tuples(inner, st.sampled_from((" && ", " || ")), inner).map("".join),
        several.map(lambda body: f"{{ {body}; }}"),
        several.map(lambda body: f"( {body} )"),
        st.tuples(several, several).map(lambda two: f"if {two[0]}; then {two[1]}; fi"),
        st.tuples(several, several, several, several).map(
            lambda four: f"if {four[0]}; then {four[1]}; elif {four[2]}; then {four[3]}; else say; fi"
        ),
        st.tuples(value, pattern, several, pattern, several).map(
            lambda case: f"case {case[0]} in {case[1]}) {case[2]};; {case[3]}) {case[4]} ;; *) say;; esac"
        ),
        several.map(lambda body: f"for v in a b; do {body}; done"),
        inner.map(lambda body: f"! {body}" if body.split()[0] in ("say", "true", "false", "[") else body),
        st.just('eval "say"'),
        st.just("bash -c 'say && say'"),
    )


scripts = st.lists(
    st.recursive(st.one_of(st.sampled_from(LEAVES), st.sampled_from(TESTS)), compound, max_leaves=12),
    min_size=1,
    max_size=3,
).map("\n".join)


def numbered(script: str) -> str:
    parts = script.split("say")
    return "".join(f"{part}say {number}" for number, part in enumerate(parts[:-1])) + parts[-1]


def within(few: Iterable[str], many: Sequence[str]) -> bool:
    """Whether all of the few are among the many, in the same order."""
    left = iter(many)
    return all(any(one == other for other in left) for one in few)


def said(found: Iterable[ShellCommand]) -> list[str]:
    return [one.words[1].literal or "" for one in found if one.name == "say"]


@given(scripts)
@settings(max_examples=300, deadline=None)
def test_what_runs_for_certain_runs_and_what_does_not_is_left_out(written: str) -> None:
    script = numbered(written)
    ran = run('say() { echo "$1"; }\nexport -f say\n' + script + "\n")
    assume(not ran.stderr)
    printed = ran.stdout.decode().split()
    found = commands(script, VARIABLES)
    assert within(printed, said(found)), "something ran that was not foreseen"
    assert within(said(one for one in found if one.certain), printed), "something was certain and did not run"


@given(scripts)
@settings(max_examples=150, deadline=None)
def test_without_values_nothing_is_left_out_that_may_run(written: str) -> None:
    script = numbered(written)
    ran = run('say() { echo "$1"; }\nexport -f say\n' + script + "\n")
    assume(not ran.stderr)
    assert within(ran.stdout.decode().split(), said(commands(script)))
