"""Positions count code points from one, whatever the line ends, and nothing of a file is lost."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial.sources.text import Source, SourceError, decode, read

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = st.text(st.sampled_from("ab é😀\t\r\n\u2028\x0b"), max_size=40)


@given(TEXTS)
def test_an_offset_and_its_position_are_the_same_place(text: str) -> None:
    source = Source("a", text)
    for offset in range(len(text) + 1):
        assert source.offset(source.position(offset)) == offset


@given(TEXTS, st.booleans())
def test_bytes_come_back_as_they_were(text: str, bom: bool) -> None:
    data = (b"\xef\xbb\xbf" if bom else b"") + text.encode()
    assert decode(data, "a").encoded() == data


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_lines_end_at_lf_crlf_and_cr(newline: str) -> None:
    source = Source("a", f"äb{newline}😀d{newline}")

    assert source.position(source.text.index("d")) == (2, 2)
    assert [source.line(number) for number in (1, 2, 3)] == ["äb", "😀d", ""]
    assert source.newline == newline


def test_a_byte_order_mark_is_no_column() -> None:
    source = decode("\ufeffkey: 1".encode(), "a")

    assert source.bom
    assert source.position(source.text.index("key")) == (1, 1)


@pytest.mark.parametrize("position", [(0, 1), (1, 0), (1, 4), (4, 1), (2, 2)])
def test_a_place_that_a_text_does_not_have_is_refused(position: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="has no"):
        Source("a", "ab\n\n").offset(position)


def test_the_first_wrong_byte_is_named() -> None:
    with pytest.raises(SourceError) as caught:
        decode("line\nä".encode() + b"\xff!", "x.yml")

    assert caught.value.finding.rule == "source/not-utf8"
    assert (caught.value.finding.line, caught.value.finding.column) == (2, 2)
    assert "0xff" in caught.value.finding.cause


def test_utf_16_is_named() -> None:
    with pytest.raises(SourceError) as caught:
        decode("a: 1".encode("utf-16"), "x.yml")

    assert "UTF-16" in caught.value.finding.cause


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        read(tmp_path / "none.yml", "none.yml")

    assert caught.value.where == "none.yml:1:1"
    assert "No such file" in str(caught.value)


def test_the_error_survives_a_process_boundary() -> None:
    with pytest.raises(SourceError) as caught:
        decode(b"\xff", "x")

    again = pickle.loads(pickle.dumps(caught.value))
    assert again.finding == caught.value.finding
