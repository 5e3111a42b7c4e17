"""No chunking, encoding or position of a secret gets it past the mask."""

from __future__ import annotations

import base64
import itertools
import json
from urllib.parse import quote

from hypothesis import example, given
from hypothesis import strategies as st

from seatrial.masking import Mask

SECRETS = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x24F, exclude_characters="*"), min_size=6, max_size=40
)


def through(mask: Mask, chunks: list[bytes]) -> bytes:
    return b"".join([*(mask.feed(chunk) for chunk in chunks), mask.flush()])


def cut(data: bytes, places: list[int]) -> list[bytes]:
    marks = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in itertools.pairwise(marks)]


@given(st.text(max_size=60), SECRETS, st.text(max_size=60), st.lists(st.integers(0, 200), max_size=8))
@example("", "abcabd", "ab", [3])
@example("aaaaaa", "aaaaaab", "", [1, 2, 3])
def test_a_secret_is_masked_wherever_the_stream_is_cut(
    before: str, secret: str, after: str, places: list[int]
) -> None:
    data = f"{before}{secret}{after}".encode()
    shown = through(Mask([secret]), cut(data, places))
    assert secret.encode() not in shown
    assert shown == through(Mask([secret]), [data])


@given(st.text(max_size=80), SECRETS, st.lists(st.integers(0, 200), max_size=8))
def test_text_without_the_secret_passes_unchanged(text: str, secret: str, places: list[int]) -> None:
    data = text.encode()
    forms = (secret, json.dumps(secret)[1:-1], quote(secret))
    if not any(form in text for form in forms) and base64.b64encode(secret.encode())[:8] not in data:
        assert through(Mask([secret]), cut(data, places)) == data


@given(SECRETS, st.binary(max_size=7), st.binary(max_size=7))
def test_a_secret_is_masked_in_the_forms_in_which_programs_print_it(
    secret: str, before: bytes, after: bytes
) -> None:
    raw = secret.encode()
    encoded = base64.b64encode(before + raw + after)
    # All but the characters that the neighbours take part in.
    head, tail = -(-len(before) * 4 // 3), len(encoded) - -(-(len(after) + 2) * 4 // 3)
    inner = encoded[head:tail].rstrip(b"=")
    mask = Mask([secret])
    assert secret not in mask.text(f"Authorization: Basic {secret}")
    assert json.dumps(secret)[1:-1] not in mask.text(json.dumps({"password": secret}))
    assert quote(secret, safe="") not in mask.text(f"https://user:{quote(secret, safe='')}@host/")
    if len(inner) >= 8:
        assert inner not in through(mask, [b"Basic " + encoded + b"\n"])


def test_each_line_of_a_key_is_a_secret() -> None:
    key = "-----BEGIN KEY-----\nMIIEvgIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END KEY-----"
    shown = Mask([key]).text("  MIIEvgIBADANBgkq\n  hkiG9w0BAQEFAASC\n")
    assert "MIIE" not in shown
    assert "hkiG" not in shown


def test_what_cannot_become_a_secret_is_shown_at_once() -> None:
    mask = Mask(["secret-value"])
    assert mask.feed(b"line 1\n") == b"line 1\n"
    assert mask.feed(b"password: se") == b"password: "
    assert mask.feed(b"ven\n") == b"seven\n"
