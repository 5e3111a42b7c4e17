"""Secrets out of streams: values are replaced before a byte reaches the disk."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable

MASK = b"***"
_SHORTEST = 4
"""Shorter values would mask ordinary text and protect nothing."""

_KNOWN = (
    r"(?P<keep>\b(?:aws_?secret_?access_?key|aws_?session_?token|password|passwd|secret|api_?key|access_?token|auth_?token"
    r"|private_?token|client_?secret|token|_authtoken|accountkey|sharedaccesskey)[\"']?\s{0,3}[:=]\s{0,3}[\"']?)(?!\s)[^\s\"',;&}]{6,}"
    r"|(?P<header>\bauthorization[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?:bearer|basic|token|aws4-hmac-sha256)\s+)[^\s\"',]{6,}"
    r"|(?P<user>[a-z][a-z0-9+.-]{1,20}://[^\s/:@]{0,100}:)[^\s/@]{1,300}(?=@)"
    r"|(?P<query>[?&](?:X-Amz-Signature|X-Amz-Security-Token|X-Amz-Credential|sig|Signature)=)[^&\s\"']+"
    r"|\b(?-i:(?:AKIA|ASIA)[A-Z2-7]{16})\b"
    r"|\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{15,}|xox[abposr]-[\w-]{10,}|hf_[A-Za-z0-9]{20,}"
    r"|npm_[A-Za-z0-9]{30,}|pypi-[\w-]{30,}|sk-[\w-]{20,}|(?-i:AIza)[\w-]{30,}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{5,}"
    r"|dckr_pat_[\w-]{20,})"
    r"|(?P<begin>-----BEGIN [A-Z ]*PRIVATE KEY-----).*"
)
"""Secrets that can be told by their form or by the name before them."""


def hide_known(text: str) -> str:
    """Mask what looks like a secret by its form: keys and tokens of known services, passwords in URLs and settings."""
    return re.sub(_KNOWN, _kept, text, flags=re.IGNORECASE)  # compiled when first needed, which is seldom


def _kept(match: re.Match[str]) -> str:
    return next((value for value in match.groupdict().values() if value), "") + MASK.decode()


class Mask:
    """Replaces secret values in a stream of bytes, also where a value is cut by a chunk's edge.

    Masked are the values themselves, each line of a multi-line value, and their JSON, URL and base64 forms.
    """

    def __init__(self, values: Iterable[str]) -> None:
        forms = sorted(
            {form for value in values for form in _forms(value)}, key=lambda form: (-len(form), form)
        )
        self._forms = forms
        self._longest = max((len(form) for form in forms), default=0)
        self._pattern = re.compile(b"|".join(re.escape(form) for form in forms)) if forms else None
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """Return what can be shown after `chunk`; a tail that may be the start of a secret is kept back."""
        if self._pattern is None:
            return chunk
        text = self._held + chunk
        keep = self._tail(text)
        # A match that begins before the kept tail may run into it: then the tail grows to its beginning.
        safe = len(text) - keep
        shown, position = [], 0
        # Looking for each form by itself is many times as fast as the pattern, and mostly none is there.
        found = [form for form in self._forms if form in text]
        for match in _matching(found).finditer(text) if found else ():
            if match.start() >= safe:
                break
            shown += [text[position : match.start()], MASK]
            position = match.end()
        cut = max(position, safe)
        shown.append(text[position:cut])
        self._held = text[cut:]
        return b"".join(shown)

    def flush(self) -> bytes:
        """The rest, when nothing more will come."""
        rest, self._held = self._held, b""
        return rest if self._pattern is None else self._pattern.sub(MASK, rest)

    def text(self, value: str) -> str:
        """Mask a whole text."""
        return (
            value
            if self._pattern is None
            else self._pattern.sub(MASK, value.encode()).decode(errors="replace")
        )

    def _tail(self, text: bytes) -> int:
        """How many bytes at the end of `text` might be the beginning of a secret that is still coming."""
        for size in range(min(self._longest - 1, len(text)), 0, -1):
            end = text[-size:]
            if any(form.startswith(end) for form in self._forms if len(form) > size):
                return size
        return 0


def _matching(forms: list[bytes]) -> re.Pattern[bytes]:
    """A pattern for these forms, which are in order; re keeps those that were compiled last."""
    return re.compile(b"|".join(re.escape(form) for form in forms))


def _forms(value: str) -> set[bytes]:
    found: set[str] = set()
    for part in (value, *value.splitlines()):
        if len(part.strip()) < _SHORTEST:
            continue
        found |= {
            part,
            json.dumps(part)[1:-1],
            json.dumps(part, ensure_ascii=False)[1:-1],
            quote(part),
            quote(part, safe=""),
        }
        raw = part.encode()
        for shift in range(3):
            # A value inside a longer base64 text appears in one of three alignments; its inner bytes are fixed.
            encoded = base64.b64encode(b"\0" * shift + raw)
            inner = encoded[(0, 2, 3)[shift] : len(encoded) - (0, 4, 4)[(shift + len(raw)) % 3]]
            if len(inner) >= 2 * _SHORTEST:
                found.add(inner.decode())
    return {form.encode() for form in found}
