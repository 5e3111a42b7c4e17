"""How keys, tokens and passwords look, and names that only they have. Values are never shown."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator


class Pattern(NamedTuple):
    """`needle` is searched first, being quick; then `exact`, whose first group, if any, must look random.

    `exact` begins with plain characters, by which it is found fast; that no word goes on before it is looked at after.
    """

    kind: str
    needle: bytes
    exact: re.Pattern[bytes]


# Forms: GitHub "Token formats", Hugging Face, Slack, GitLab, PyPI and OpenAI documentation; AWS IAM "Identifiers".
_PATTERNS = (
    Pattern(
        "private key",
        b"PRIVATE KEY-----",
        re.compile(
            rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----(?:\\n|\s)+(?:[A-Za-z-]+: [^\n]+\n|\s)*[A-Za-z0-9+/=]{40}"
        ),
    ),
    *(
        Pattern("GitHub token", needle, re.compile(rb"(" + needle + rb"[A-Za-z0-9]{36})\b"))
        for needle in (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_")
    ),
    Pattern("GitHub token", b"github_pat_", re.compile(rb"(github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59})\b")),
    Pattern("Hugging Face token", b"hf_", re.compile(rb"(hf_[A-Za-z0-9]{34,37})\b")),
    Pattern("Slack token", b"xox", re.compile(rb"(xox[abprs]-[0-9]{10,}-[A-Za-z0-9-]{20,})\b")),
    Pattern("GitLab token", b"glpat-", re.compile(rb"(glpat-[A-Za-z0-9_-]{20})\b")),
    Pattern("PyPI token", b"pypi-AgEI", re.compile(rb"(pypi-AgEI[A-Za-z0-9_-]{50,})\b")),
    Pattern(
        "OpenAI key", b"sk-", re.compile(rb"(sk-(?:proj-)?[A-Za-z0-9_-]{20}T3BlbkFJ[A-Za-z0-9_-]{20,})\b")
    ),
    Pattern("Anthropic key", b"sk-ant-", re.compile(rb"(sk-ant-[a-z0-9]+-[A-Za-z0-9_-]{80,})")),
)
_AWS_ID = re.compile(rb"\b((?:AKIA|ASIA)[A-Z2-7]{16})\b")
_AWS_SECRET = re.compile(rb"(?<![A-Za-z0-9/+=])([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])")
_SECRET_NAME = re.compile(
    r"(?:^|_)(?:SECRET(?:_?ACCESS)?(?:_KEY)?|TOKEN|PASSWORD|PASSWD|API_?KEY|PRIVATE_KEY|ACCESS_KEY|CREDENTIALS?)(?:$|_)",
    re.IGNORECASE,
)
PLACEHOLDER = re.compile(
    r"^(?:|\$.*|<.*>|\{.*\}|%.*%|x+|\*+|\.+|changeme|change[-_]me|your[-_ ].*|.*example.*|.*placeholder.*|none|null|"
    r"true|false|empty|n/?a|not[-_ ]?(?:needed|used|set|required)|%\(.*|\d{1,5}|/.*|https?://[^@]*|secret|password|token|test|dummy|todo)$",
    re.IGNORECASE,
)
_RANDOM_BITS = 3.0
# A user and a password before a host: RFC 3986, 3.2.1.
_WITH_PASSWORD = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://([^\s/:@'\"<>]*):([^\s/@'\"<>]+)@[A-Za-z0-9\[]")


def matches(content: bytes, *, public: bool = False) -> Iterator[tuple[str, int]]:
    """Keys and tokens that are known by their form, with where they are. In `public` content only whole key pairs."""
    if b"AKIA" in content or b"ASIA" in content:
        yield from _aws(content, pair_only=public)
    for pattern in _PATTERNS:
        if pattern.needle not in content:
            continue
        for match in pattern.exact.finditer(content):
            if not pattern.exact.groups or (_begins(content, match) and _looks_random(match[1].decode())):
                yield pattern.kind, match.start()


def _begins(content: bytes, match: re.Match[bytes]) -> bool:
    before = content[match.start() - 1 : match.start()] if match.start() else b""
    return not (before.isalnum() or before == b"_")


def _aws(content: bytes, *, pair_only: bool) -> Iterator[tuple[str, int]]:
    for match in _AWS_ID.finditer(content):
        if b"EXAMPLE" in match[1] or not _looks_random(match[1][4:].decode()):
            continue
        near = content[max(0, match.start() - 300) : match.end() + 300]
        secret = any(_is_aws_secret(m[1].decode()) for m in _AWS_SECRET.finditer(near))
        if secret:
            yield "AWS access key with its secret", match.start()
        elif not pair_only:
            yield "AWS access key id", match.start()


def _is_aws_secret(text: str) -> bool:
    kinds = (any(c.islower() for c in text), any(c.isupper() for c in text), any(c.isdigit() for c in text))
    return all(kinds) and "EXAMPLE" not in text and _looks_random(text)


def with_password(content: bytes) -> Iterator[int]:
    """Where there are addresses with a password in them, such as https://user:password@host."""
    for match in _WITH_PASSWORD.finditer(content):
        user, password = match[1].decode(errors="replace"), match[2].decode(errors="replace")
        if password != user and not PLACEHOLDER.match(password):
            yield match.start()


def is_secret(name: str, value: str) -> bool:
    """Whether a variable is one that holds a secret, and holds one."""
    value = value.strip().strip("'\"")
    if name.upper().endswith(("_FILE", "_PATH", "_URL", "_NAME", "_ID", "_TYPE", "_LIMIT", "TOKENS")):
        return False
    return bool(_SECRET_NAME.search(name)) and not PLACEHOLDER.match(value)


def _looks_random(text: str) -> bool:
    """Shannon entropy per character: words and patterns like `xxxx` and `abcabc` are below, keys above."""
    body = text.rpartition("_")[2] if "_" in text[:12] else text
    counts = Counter(body)
    bits = -sum(n / len(body) * math.log2(n / len(body)) for n in counts.values()) if body else 0.0
    return bits >= _RANDOM_BITS
