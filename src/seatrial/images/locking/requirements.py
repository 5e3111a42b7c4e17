"""A lock as a requirement file with hashes: what pip, uv and others install with `--require-hashes`."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.images.locking.model import Locked

_WIDTH = 110


def to_text(locked: Locked, name: str) -> str:
    """The file called `name`. The same lock gives the same text on any machine and any day."""
    parts = ["\n".join(header(locked, name)), _places(locked)]
    parts += [
        " \\\n    ".join(
            [
                f"{one.name}=={one.version}",
                *(f"--hash=sha256:{sha}" for sha in sorted({f.sha256 for f in one.files})),
            ]
        )
        for one in locked.pins
    ]
    return "".join(f"{part}\n" for part in parts if part)


def header(locked: Locked, name: str) -> Iterator[str]:
    """The comments at the beginning: for what it is, how it is used, and what it does not hold."""
    base = f", on {locked.base}" if locked.base else ""
    yield from _wrapped(
        f"Everything that {locked.origin} installs{base}: made by seatrial for {locked.target}, and for that alone."
    )
    option = "" if locked.whole else " --no-deps"
    if not name.endswith(".toml"):
        yield from _wrapped(f"Install it with: pip install{option} --require-hashes -r {name}")
    if locked.brought:
        yield from _wrapped(f"From the base, and not pinned here: {', '.join(locked.brought)}")
    if locked.conda:
        yield from _wrapped(f"From conda, and not pinned here: {', '.join(locked.conda)}")
    if locked.unseen:
        yield from _wrapped(
            f"Pinned, but what they need is not known before they are built: {', '.join(locked.unseen)}"
        )
    if locked.left:
        yield "# Not pinned:"
        for one in locked.left:
            yield from _wrapped(f"{one.text}", lead="#   ")
            yield from _wrapped(f"({one.reason})", lead="#     ")


def _wrapped(text: str, lead: str = "# ") -> list[str]:
    return textwrap.wrap(
        " ".join(text.split()),
        _WIDTH,
        initial_indent=lead,
        subsequent_indent=f"{lead}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _places(locked: Locked) -> str:
    lines = [f"--index-url {locked.index}"] if locked.index else []
    lines += [f"--extra-index-url {one}" for one in locked.extra_indexes]
    lines += [f"--find-links {one}" for one in locked.find_links]
    return "\n".join(lines)
