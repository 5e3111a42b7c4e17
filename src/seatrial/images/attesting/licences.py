"""Licences as packages declare them, and as SPDX writes them where that is certain."""

from __future__ import annotations

import re
from functools import lru_cache

# Debian's names in copyright files. Source: Debian copyright-format 1.0, "License specification".
_DEBIAN = {
    "expat": "MIT",
    "bsd-2-clause": "BSD-2-Clause",
    "bsd-3-clause": "BSD-3-Clause",
    "bsd-4-clause": "BSD-4-Clause",
    "apache-2": "Apache-2.0",
    "artistic": "Artistic-1.0-Perl",
    "zlib/libpng": "Zlib",
    "cc0": "CC0-1.0",
    "mpl-1.1": "MPL-1.1",
    "mpl-2": "MPL-2.0",
}
_GNU = re.compile(r"(A?L?GPL|GFDL)-(\d(?:\.\d)?)(\+)?", re.IGNORECASE)
# PyPI's classifiers that mean one licence. Those that leave the version open ("BSD License") are not here.
_CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "ISC License (ISCL)": "ISC",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
    "Boost Software License 1.0 (BSL-1.0)": "BSL-1.0",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
    "GNU General Public License v2 or later (GPLv2+)": "GPL-2.0-or-later",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0-only",
    "GNU General Public License v3 or later (GPLv3+)": "GPL-3.0-or-later",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "GNU Affero General Public License v3": "AGPL-3.0-only",
}


def from_metadata(expression: str, text: str, classifiers: tuple[str, ...]) -> tuple[str, ...]:
    """The licence of a Python package: its expression (PEP 639), a short licence field, else its classifiers."""
    if expression:
        return (spdx(expression) or expression,)
    line = text.strip()
    if line and "\n" not in line and spdx(line):
        return (spdx(line),)
    named = [one.rpartition(" :: ")[2] for one in classifiers if one.startswith("License :: ")]
    named = [_CLASSIFIERS.get(one, one) for one in named if one not in ("OSI Approved", "License")]
    if named:
        return tuple(dict.fromkeys(named))
    return (line.partition("\n")[0].strip()[:100],) if line and line.upper() != "UNKNOWN" else ()


def from_copyright(text: str) -> tuple[str, ...]:
    """The licences that a copyright file in Debian's machine-readable form names, sorted; none from free prose."""
    if not text.lstrip().lower().startswith(("format:", "format-specification:")):
        return ()
    names = (
        line.partition(":")[2].strip() for line in text.splitlines() if line.lower().startswith("license:")
    )
    return tuple(sorted({_from_debian(name) for name in names if name and len(name) < 100}))  # noqa: PLR2004


def _from_debian(name: str) -> str:
    words = [_one_of_debian(word) for word in re.split(r"\s+", name.replace(",", " "))]
    joined = " ".join({"and": "AND", "or": "OR"}.get(word, word) for word in words)
    return spdx(joined) or name


def _one_of_debian(word: str) -> str:
    if match := _GNU.fullmatch(word):
        version = match[2] if "." in match[2] else f"{match[2]}.0"
        return f"{match[1].upper()}-{version}-{'or-later' if match[3] else 'only'}"
    return _DEBIAN.get(word.lower(), word)


@lru_cache(maxsize=4096)
def spdx(text: str) -> str:
    """`text` as an SPDX expression in its usual form; empty when it is none."""
    try:
        from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
    except ImportError:  # packaging before 24.2 knows no licences; names stay as they were declared
        return ""
    try:
        return str(canonicalize_license_expression(text))
    except (InvalidLicenseExpression, ValueError):
        return ""
