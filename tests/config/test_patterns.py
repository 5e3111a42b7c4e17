"""Regular expressions as Go has them. The answers are those of Go's package regexp."""

from __future__ import annotations

import pytest

from seatrial.config.patterns import PatternError, compiled

# pattern, text, whether Go finds it there
ANSWERS = [
    ("a", "bab", True),
    ("", "x", True),
    # `$` is the very end, not the place before a last line break.
    ("foo$", "foo\n", False),
    ("(?m)foo$", "foo\nbar", True),
    ("^b", "a\nb", False),
    ("(?m)^b", "a\nb", True),
    ("a.b", "a\nb", False),
    ("(?s)a.b", "a\nb", True),
    (r"b\z", "ab", True),
    # Flags hold to the end of their group, across alternatives.
    ("a(?i)b|c", "C", True),
    ("(a(?i)b)c", "aBC", False),
    ("(?i:É)|x", "é", True),
    ("(?i)k", "\N{KELVIN SIGN}", True),
    (r"(?i)\W", "\N{KELVIN SIGN}", False),
    ("(?U)^a+$", "aa", True),
    # Classes are ASCII, and white space has no vertical tab.
    (r"^\s$", "\v", False),
    (r"^\S$", "\v", True),
    (r"\d", "٣", False),
    (r"\w", "é", False),
    (r"\pL", "é", True),
    (r"\p{Lu}", "é", False),
    (r"\P{Lu}", "É", False),
    (r"[\S]", " ", False),
    ("[[:alpha:]]+-2", "test-2", True),
    ("[[:^alpha:]]", "ab", False),
    (r"[\d-z]", "-", True),
    ("[]a]", "]", True),
    ("[^]a]", "]", False),
    ("[^a]", "\n", True),
    # What is no repetition is a text.
    ("x{,3}", "x{,3}", True),
    ("x{", "x{", True),
    ("^x{2}$", "xx", True),
    (r"\Qa.b\E+", "a.bb", True),
    (r"\Qa.b\E", "axb", False),
    (r"\x{e9}\101", "éA", True),
    (r"\_\-\.", "_-.", True),
    (r"\B", "", True),
    (r"\bb\b", "a b c", True),
    ("(?P<n>a)(?<m>b)", "ab", True),
    (".*a.*|.*b.*", "xbx", True),
]
REFUSED = [
    "(?=a)", "(?!a)", "(?<=a)b", r"(a)\1", "(?>a)", "(?P=n)", "a**", "a++", "a{2}{3}", "*a", "{2}", "(?i){2}", "(",
    "a)", "[a", "[b-a]", "[[:nothing:]]", r"\Z", r"\y", "a{1001}", "a{3,2}", "\\", r"\x{110000}", r"\pX",
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "text", "found"), ANSWERS)
def test_patterns_mean_what_they_mean_in_go(pattern: str, text: str, *, found: bool) -> None:
    assert (compiled(pattern).search(text) is not None) is found


@pytest.mark.parametrize("pattern", REFUSED)
def test_what_go_refuses_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError):
        compiled(pattern)


def test_what_stands_around_a_word_does_not_make_a_long_line_slow() -> None:
    line = "x" * 200_000
    assert compiled(".*FAIL.*").search(line) is None
    assert compiled(".*FAIL.*").search(line + "FAIL") is not None
