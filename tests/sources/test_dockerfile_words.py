"""Variables of a Dockerfile: `dockerfile_words.expand` gives what BuildKit gives, and says where it comes from."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seatrial.sources.dockerfile_words import expand

KNOWN = {"TORCH": "2.1.0", "EMPTY": "", "FILE": "a/b.tar.gz", "WORD": "hello", "STARS": "a*b*c"}

EXPANDED = [
    ("plain", "plain"),
    ("torch==$TORCH", "torch==2.1.0"),
    ("torch==${TORCH}+cu121", "torch==2.1.0+cu121"),
    ("$TORCHx", ""),
    ("${TORCH}x", "2.1.0x"),
    ("$1x", "x"),
    ("$.", "$."),
    ("a$", "a$"),
    ("${NONE:-1.0}", "1.0"),
    ("${NONE-1.0}", "1.0"),
    ("${EMPTY:-1.0}", "1.0"),
    ("${EMPTY-1.0}", ""),
    ("${NONE:-${TORCH}}", "2.1.0"),
    ("${NONE:-${OTHER:-x}}", "x"),
    ("${TORCH:+yes}", "yes"),
    ("${EMPTY:+yes}", ""),
    ("${EMPTY+yes}", "yes"),
    ("${NONE:+yes}", ""),
    ("${TORCH:?no}", "2.1.0"),
    ("${FILE#*/}", "b.tar.gz"),
    ("${FILE##*.}", "gz"),
    ("${FILE%.*}", "a/b.tar"),
    ("${FILE%%.*}", "a/b"),
    ("${FILE%gz}", "a/b.tar."),
    ("${WORD#h?l}", "lo"),
    ("${WORD#x}", "hello"),
    ("${TORCH/./-}", "2-1.0"),
    ("${TORCH//./-}", "2-1-0"),
    ("${TORCH//./}", "210"),
    ("${WORD/l*/p}", "hep"),
    ("${FILE/\\//-}", "a-b.tar.gz"),
    ("${STARS//\\*/+}", "a+b+c"),
    ("'$TORCH'", "$TORCH"),
    ('"$TORCH"', "2.1.0"),
    ("\"'$TORCH'\"", "'2.1.0'"),
    ("\\$TORCH", "$TORCH"),
    ('"\\$TORCH \\" \\a"', '$TORCH " \\a'),
    ("a\\b\\\\c", "ab\\c"),
    ("a\\", "a"),
    ("'a b'\"c d\"e", "a bc de"),
    ("<<EOF", "<<EOF"),
]


@pytest.mark.parametrize(("text", "expected"), EXPANDED, ids=[one[0] for one in EXPANDED])
def test_expands(text: str, expected: str) -> None:
    result = expand(text, KNOWN)
    assert (result.text, result.error) == (expected, "")


@pytest.mark.parametrize(
    "text",
    [
        "${}",
        "${TORCH",
        "${:x}",
        "${TORCH!}",
        "${TORCH:x}",
        "${TORCH:=x}",
        "${TORCH:#x}",
        "'a",
        '"a',
        "${NONE?}",
        "${NONE:?why}",
        "${EMPTY:?}",
        "${TORCH/a}",
        "${WORD#\\h}",
    ],
)
def test_refuses(text: str) -> None:
    result = expand(text, KNOWN)
    assert result.error
    assert result.text == text


def test_a_refusal_says_which_variable_and_why() -> None:
    assert expand("${NONE:?set it}", {}).error == "NONE: set it"
    assert expand("${NONE:?}", {}).error == "NONE: is not allowed to be unset"
    assert expand("${EMPTY:?}", KNOWN).error == "NONE: is not allowed to be empty".replace("NONE", "EMPTY")


def test_escapes_with_a_backtick() -> None:
    assert expand("C:\\a\\$TORCH`$", KNOWN, "`").text == "C:\\a\\2.1.0$"


@pytest.mark.parametrize(
    ("text", "unknown", "used"),
    [
        ("$NONE-$TORCH-$NONE", ("NONE",), ("TORCH",)),
        ("${NONE:-x}", (), ()),
        ("${NONE:-$OTHER}", ("OTHER",), ()),
        ("${TORCH:-$OTHER}", (), ("TORCH",)),
        ("${NONE:+$OTHER}", (), ()),
        ("${TORCH:+$OTHER}", ("OTHER",), ("TORCH",)),
        ("${NONE%x}", ("NONE",), ()),
        ("'$NONE'", (), ()),
    ],
)
def test_names_what_leaves_a_hole(text: str, unknown: tuple[str, ...], used: tuple[str, ...]) -> None:
    result = expand(text, KNOWN)
    assert (result.unknown, result.used) == (unknown, used)


@pytest.mark.parametrize("text", ["a:$TORCH-${WORD}b", '"a$TORCH"-${NONE:-$WORD}', "$EMPTY$TORCH"])
def test_pieces_say_where_values_stand(text: str) -> None:
    result = expand(text, KNOWN)
    for piece in result.pieces:
        written = text[piece.at[0] : piece.at[1]]
        assert piece.name in written
        assert result.text[piece.start : piece.end] == expand(written, KNOWN).text
    assert [piece.at[0] for piece in result.pieces] == sorted(piece.at[0] for piece in result.pieces)
    assert result.pieces


@given(st.text("ab$\\{}'\":-+?#%/*<{N ", max_size=30))
@settings(max_examples=500, deadline=None)
def test_expands_any_text(text: str) -> None:
    result = expand(text, {"a": "bb", "N": ""})
    assert result.error or all(0 <= one.start <= one.end <= len(result.text) for one in result.pieces)


def test_a_nest_of_defaults_is_refused_not_followed() -> None:
    assert expand("${A:-" * 5000 + "}" * 5000, {}).error


def test_patterns_do_not_explode() -> None:
    started = time.process_time()
    expand("${A##" + "*a" * 60 + "*b}", {"A": "a" * 400})
    expand('"' + "$A" * 20_000 + '"', {"A": "x"})
    assert time.process_time() - started < 5
