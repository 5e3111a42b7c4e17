"""Package URLs. Source: package-url/purl-spec, PURL-SPECIFICATION.rst and PURL-TYPES.rst."""

from __future__ import annotations

import re
from urllib.parse import quote

_PAGE = re.compile(r"https?://[A-Za-z0-9._~:/?#!$&'()*+,;=%-]{1,2000}")


def purl(kind: str, name: str, version: str, *, namespace: str = "", **qualifiers: str) -> str:
    """`pkg:deb/debian/curl@7.88.1-10?arch=amd64`; empty qualifiers are left out, the others are sorted.

    Names are as the type wants them: of PyPI lowercase with dashes.
    """
    head = "/".join(_quoted(part) for part in (kind, *namespace.split("/"), name) if part)
    pairs = "&".join(f"{key}={_quoted(value)}" for key, value in sorted(qualifiers.items()) if value)
    return f"pkg:{head}@{_quoted(version)}" + (f"?{pairs}" if pairs else "")


def page(text: str) -> str:
    """The address of a web page as metadata names it; empty when it is none, or has somebody's name in it."""
    text = text.strip()
    return text if _PAGE.fullmatch(text) else ""


def _quoted(text: str) -> str:
    return quote(text, safe=".-_~:")
