"""The commands of a shell text: which there are, in which order, how sure they are, and where they stand."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seatrial.sources.dockerfile import read
from seatrial.sources.shell import commands
from seatrial.sources.shell_expand import expand, fields
from seatrial.sources.text import Source

if TYPE_CHECKING:
    from seatrial.sources.shell_model import ShellCommand


def shown(script: str, **variables: str) -> list[str]:
    """Each command with its surroundings: `?` not certain, `!` its failure is ignored, `|` pipes, `$` captured."""
    return [
        ("?" if not one.certain and not one.ignored else "!" if one.ignored else "")
        + ("$" if one.captured else "")
        + ("|" if one.reads else "")
        + " ".join(word.raw for word in one.words)
        + ("|" if one.writes else "")
        for one in commands(script, variables)
        if one.words
    ]


SCRIPTS: list[tuple[str, list[str]]] = [
    ("a; b\nc", ["a", "b", "c"]),
    ("a && b && c", ["a", "b", "c"]),
    ("a || b", ["!a", "?b"]),
    ("a || true", ["!a", "?true"]),
    ("a && b || true", ["!a", "!b", "?true"]),
    ("a || exit 1; b", ["a", "?exit 1", "b"]),
    ("a || { echo no; exit 1; }", ["a", "?echo no", "?exit 1"]),
    ("a || (b && false)", ["a", "?b", "?false"]),
    ("a || exit 0", ["!a", "?exit 0"]),
    ("a || b && c", ["!a", "?b", "c"]),
    ("[ -f x ] && a", ["?a"]),
    ("[ -f x ] && a || b; c", ["!a", "?b", "c"]),
    ("[ -f x ] || a && b", ["?a", "b"]),
    ("test -d x && a; b", ["test -d x", "?a", "b"]),
    ("command -v a && b", ["command -v a", "?b"]),
    ("grep -q x y && a", ["grep -q x y", "?a"]),
    ("true && a; false && b; false || c; true || d", ["true", "a", "false", "!false", "c", "!true"]),
    ("if a; then b; else c; fi; d", ["!a", "?b", "?c", "d"]),
    ("case $X in a) b;; c|d) e;; esac; f", ["?b", "?e", "f"]),
    ("while a; do b; done; until c; do d; done", ["!a", "?b", "!c", "?d"]),
    ("for x in $X; do a; done; for ((i=0;i<2;i++)); do b; done", ["?a", "?b"]),
    ("for x in 1 2; do a $x; done", ["a $x", "a $x"]),
    ("for x in *.whl; do a; done", ["?a"]),
    ("for x in 1 2; do a || break; done", ["!a", "?break"]),
    ("f() { a; }; f; g", ["f", "a", "g"]),
    ("f() { a; }\nb", ["b", "?a"]),
    ("f() { f; }; f", ["f", "f"]),
    ("! a; b & c", ["!a", "!b", "c"]),
    ("a | b |& c", ["a|", "|b|", "|c"]),
    ("(a; b) && { c; d; }", ["a", "b", "c", "d"]),
    ("a $(b x) `c`", ["$b x", "$c", "a $(b x) `c`"]),
    ("A=$(b) c", ["$b", "c"]),
    ("export A=$(b)", ["$b", "export"]),
    ("a > f 2>&1 b <c d", ["a b d"]),
    ("pip install torch>=2.0 'x'<3", ["pip install torch 'x'"]),
    ("cat <<E > f && a\nx\nE\nb", ["cat", "a", "b"]),
    ("cat <<E | a && b || c\nx\nE", ["!cat|", "!|a", "!b", "?c"]),
    ("a 2>/dev/null && b > f | c", ["a", "b|", "|c"]),
    ("set -e # a\n# b; c\nd", ["set -e", "d"]),
    ('bash -c "a && b"; c', ['bash -c "a && b"', "a", "b", "c"]),
    ("/bin/sh -ec 'a'; sudo bash -lc b", ["/bin/sh -ec 'a'", "a", "sudo bash -lc b", "b"]),
    ("bash -o pipefail -c 'a | b'", ["bash -o pipefail -c 'a | b'", "a|", "|b"]),
    ("bash script.sh -c a", ["bash script.sh -c a"]),
    ("bash script.sh <<E\na\nE", ["bash script.sh"]),
    ("bash <<'E'\na\nE\nsh -s x <<<b", ["bash", "a", "sh -s x", "b"]),
    ("<<E bash -e\na\nE\nb", ["bash -e", "a", "b"]),
    ("<<-'E' cat | a && b\n\tx\n\tE", ["cat|", "|a", "b"]),
    ("<<E cat > f\na\nE", ["cat"]),
    ("eval 'a b' c", ["eval 'a b' c", "a b c"]),
    ('eval "bash -c \'a \\"b c\\"\'"', ['eval "bash -c \'a \\"b c\\"\'"', "bash -c 'a \"b c\"'", 'a "b c"']),
]


@pytest.mark.parametrize(("script", "expected"), SCRIPTS, ids=[one[0] for one in SCRIPTS])
def test_commands(script: str, expected: list[str]) -> None:
    assert shown(script) == expected


DECIDED = [
    ('if [ -z "$A" ]; then a; else b; fi', {"A": ""}, ["a"]),
    ('if [ -z "$A" ]; then a; else b; fi', {"A": "x"}, ["b"]),
    (
        'if [ "$CUDA" = "11.8" ]; then a; elif [ "$CUDA" = "12.1" ]; then b; else c; fi',
        {"CUDA": "12.1"},
        ["b"],
    ),
    ('if [ "$CUDA" = "11.8" ]; then a; elif [ "$B" ]; then b; else c; fi', {"CUDA": "12"}, ["?b", "?c"]),
    ('case "$CUDA" in 11.*) a;; 12.*|13.*) b;; *) c;; esac', {"CUDA": "12.4"}, ["b"]),
    ("case $(uname -m) in x86_64) a;; esac", {}, ["?a"]),
    ('[ "$A" = 1 ] && a; [ "$A" = 2 ] && b', {"A": "1"}, ["a"]),
    ('[[ $A == 1* && -n "$A" ]] && a || b', {"A": "12"}, ["!a", "?b"]),
    ('[[ $A == 1* && -n "$A" ]] && a || b', {"A": "2"}, ["b"]),
    ("A=2; if [ $A = 2 ]; then a; fi", {}, ["a"]),
    ("A=2; (A=3); [ $A = 2 ] && a", {}, ["a"]),
    ("A=2; b || A=3; [ $A = 2 ] && a", {}, ["!b", "?a"]),
    ("A=$(b); [ $A = 2 ] && a", {"A": "2"}, ["$b", "?a"]),
    ("A=1 b; [ $A = 1 ] && a", {"A": "2"}, ["b"]),
    ("export A=1; [ $A = 1 ] && a", {}, ["export", "a"]),
    ("unset A; [ -z $A ] && a", {"A": "1"}, ["unset A", "?a"]),
    ('[ "${A:-0}" = 0 ] && a', {}, ["a"]),
    ("for x in 1 2; do [ $x = 2 ] && a $x; done", {}, ["a $x"]),
]


@pytest.mark.parametrize(("script", "variables", "expected"), DECIDED, ids=[one[0] for one in DECIDED])
def test_known_values_decide_what_runs(script: str, variables: dict[str, str], expected: list[str]) -> None:
    assert shown(script, **variables) == expected


def test_assignments_stand_in_order() -> None:
    found = commands("A=1 B='x y'\nexport C=$A\nD=2 pip install\nE+=3\nF=")
    assert [[(one.name, one.value.raw) for one in command.assignments] for command in found] == [
        [("A", "1"), ("B", "'x y'")],
        [("C", "$A")],
        [("D", "2")],
        [("E", "3")],
        [("F", "")],
    ]
    assert [command.lasting for command in found] == [True, True, False, True, True]
    assert found[3].assignments[0].append


def test_scopes_tell_what_a_cd_and_an_assignment_reach() -> None:
    outside, first, second, inner, last = commands("cd a; (cd b; cd c; bash -c 'cd d'); cd e")[:3] + tuple(
        one for one in commands("cd a; (cd b; cd c; bash -c 'cd d'); cd e") if one.raw in ("cd d", "cd e")
    )
    assert outside.scope == last.scope == ()
    assert first.scope == second.scope
    assert inner.scope[: len(first.scope)] == first.scope != ()
    assert len(inner.scope) > len(first.scope)


def test_words_are_made_of_parts() -> None:
    _, command = commands("pip install \"torch==${V:-2.1}+$C\" 'a b'$(c)")
    version, other = command.words[2:]
    assert [(part.kind, part.text, part.operator) for part in version.parts] == [
        ("text", "torch==", ""),
        ("variable", "V", ":-"),
        ("text", "+", ""),
        ("variable", "C", ""),
    ]
    assert [part.text for part in version.parts[1].argument] == ["2.1"]
    assert [(part.kind, part.text) for part in other.parts] == [("text", "a b"), ("substitution", "$(c)")]
    assert command.words[1].literal == "install"
    assert version.literal is None


def test_values_say_what_they_come_from() -> None:
    script = 'pip install "torch==$V" numpy==1.$N scipy==${S:-1.11.4} $ALL'
    (command,) = commands(script)
    known = {"V": "2.1.0", "ALL": "a==1  b==2"}
    torch, numpy, scipy, first, second = fields(command.words[2:], known)
    assert torch.text == "torch==2.1.0"
    assert torch.variable(len("torch=="), len(torch.text)) == "V"
    assert torch.literal(0, 5) == (script.index("torch"), script.index("torch") + 5)
    assert (numpy.text, numpy.unknown, numpy.literal(0, len(numpy.text))) == ("numpy==1.$N", ("N",), None)
    assert scipy.text == "scipy==1.11.4"
    assert scipy.literal(len("scipy=="), len(scipy.text)) == (
        script.index("1.11.4"),
        script.index("1.11.4") + 6,
    )
    assert [(one.text, one.variable(0, 4)) for one in (first, second)] == [("a==1", "ALL"), ("b==2", "ALL")]


def test_unknown_variables_stay_as_written() -> None:
    (command,) = commands('a $X "${Y%.*}" ${Z:?why} ${A[0]} $((1+2))')
    values = fields(command.words[1:], {})
    assert [one.text for one in values] == ["$X", "${Y%.*}", "${Z:?why}", "${A[0]}", "$((1+2))"]
    assert [one.unknown for one in values] == [("X",), ("Y",), ("Z",), ("${A[0]}",), ("$((1+2))",)]


def test_here_documents_and_files() -> None:
    script = "cat > req.txt <<'EOF'\ntorch==$V\nEOF\ncat <<EOF >> \"$F\"\na $V \\$b\nEOF\necho x >f 2>g"
    quoted, plain, echo = commands(script)
    assert quoted.output
    assert quoted.input
    assert (quoted.output.literal, quoted.input.literal) == ("req.txt", "torch==$V\n")
    assert script[quoted.input.start : quoted.input.end] == "torch==$V\n"
    assert plain.input
    assert expand(plain.input, {"V": "1"}).text == "a 1 $b\n"
    assert plain.output
    assert [part.text for part in plain.output.parts] == ["F"]
    assert echo.output
    assert echo.output.literal == "f"


def places(found: tuple[ShellCommand, ...], text: str) -> None:
    """Every literal character of every word stands where it is said to stand."""
    for command in found:
        assert 0 <= command.start <= command.end <= len(text)
        for word in command.words:
            for part in word.parts:
                if part.kind == "text" and len(part.text) == part.last - part.first:
                    for index, character in enumerate(part.text):
                        start, end = part.span(index, index + 1)
                        # One character of a JSON string may be written as `\\u0061`.
                        assert text[start:end] == character or text[start] == "\\"


def test_places_in_a_dockerfile() -> None:
    text = (
        'FROM a\nRUN set -e && \\\n    # é comment\n    bash -c "pip install \\\n      \'torch==2.1\' \\"numpy\\"" && \\\r\n'
        '  x é y\nRUN ["bash", "-c", "pip install \\"scipy\\" \\u0061b"]\nRUN <<EOF\npip \\\n install z\nEOF\n'
        "RUN <<EOF bash -e\npip install w\nEOF\n"
    )
    _, first, second, third, fourth = read(Source("Dockerfile", text)).instructions
    assert second.json
    found = {
        one.raw: one
        for part in (first.script, second.json[2], third.script, fourth.script)
        for one in commands(part)
    }
    places(tuple(found.values()), text)
    torch = next(one for one in found.values() if one.name == "pip" and "torch" in one.raw)
    assert [word.literal for word in torch.words] == ["pip", "install", "torch==2.1", "numpy"]
    assert text[torch.words[2].start : torch.words[2].end] == "'torch==2.1'"
    assert text[torch.words[3].start : torch.words[3].end] == '\\"numpy\\"'
    scipy = next(one for one in found.values() if "scipy" in one.raw)
    assert text[scipy.words[2].start : scipy.words[2].end] == '\\"scipy\\"'
    assert scipy.words[3].literal == "ab"
    assert "pip \\\n install z" in found
    last = found["pip install w"]
    assert text[last.start : last.end] == "pip install w"
    shell = next(one for one in found.values() if one.input)
    assert text[shell.start : shell.end] == "bash -e"
    assert text[found["x é y"].words[1].start] == "é"


@pytest.mark.parametrize("broken", ["a; if b; then", "a; )", "a; b 'c", 'a; b "c', "a; $(b", "a; case"])
def test_what_cannot_be_parsed_is_marked_and_the_rest_is_read(broken: str) -> None:
    found = commands(broken)
    assert found[0].name == "a"
    assert all(one.broken for one in found[1:])
    assert not any(one.broken and one.certain for one in found)


def test_windows_line_ends() -> None:
    found = commands("a b \\\r\n  c\r\nif d; then\r\n  e\r\nfi\r\n")
    assert [[word.literal for word in one.words] for one in found] == [["a", "b", "c"], ["d"], ["e"]]
    assert not any(one.broken for one in found)


@given(st.text("ab $\"'`\\(){}[];|&<>=\n\r\té#!*?$", max_size=60))
@settings(max_examples=500, deadline=None)
def test_reads_any_text(script: str) -> None:
    found = commands(script, {"a": "x y"})
    places(found, script)
    for one in found:
        fields(one.words, {"a": "x y"})


LONG = {
    "one word": "a" * 100_000,
    "words": "pip install " + "a " * 50_000,
    "variables": "a " + "$A" * 50_000,
    "and": "a && " * 20_000 + "a",
    "or": "a || " * 20_000 + "a",
    "pipes": "a | " * 25_000 + "a",
    "commands": "a;" * 50_000,
    "parentheses": "(" * 100_000,
    "balanced": "(" * 50_000 + "a" + ")" * 50_000,
    "substitutions": "a" + " $(b" * 20_000,
    "defaults": "a " + "${a:-" * 15_000 + "}" * 15_000,
    "ifs": "if a; then " * 9_000,
    "functions": "f() { f; f; };" * 7_000 + "f",
    "doubling": "".join(f"f{n}() {{ f{n + 1}; f{n + 1}; }};" for n in range(60)) + "f0",
    "loops": "for a in b c; do " * 60 + "x;" + "done;" * 60,
    "shells": 'bash -c "' * 11_000,
    "evals": "eval " * 20_000,
    "redirections": "a" + " > f" * 20_000,
    "here-documents": "cat <<A;" * 12_000 + "\n",
    "quotes": "\"'`" * 33_000,
    "not ASCII": "é" * 100_000,
    "nothing": "\0" * 100_000,
    "tests": "[ " + "a -a " * 20_000 + "b ]",
}


@pytest.mark.parametrize("script", LONG.values(), ids=LONG.keys())
def test_long_texts_take_linear_time(script: str) -> None:
    started = time.process_time()
    commands(script, {"A": "x y"})
    # A machine that does other things too needs half a second for the slowest; quadratic time would be minutes.
    assert time.process_time() - started < 15
