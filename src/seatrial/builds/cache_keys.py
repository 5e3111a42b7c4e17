"""Keys of caches: what `$(codebuild-hash-files …)`, variables and commands in them become."""

from __future__ import annotations

import hashlib
import re
import shlex
from typing import TYPE_CHECKING
from urllib.parse import quote

from seatrial.builds.packing import Gone, open_found
from seatrial.builds.patterns import expand, find
from seatrial.errors import SeatrialError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from seatrial.builds.view import View

_HASH_FILES = re.compile(r"\$\(\s*codebuild-hash-files\s+([^()`]*)\)")
_LONGEST_KEY = 900  # of the 1024 bytes that a key in S3 has, with the prefix
_CHUNK = 1 << 20


def evaluate(
    text: str,
    environment: Mapping[str, str],
    view: View,
    seen: str,
    shell: Callable[[str], str] | None = None,
) -> str:
    """A key with its `$(codebuild-hash-files …)`, variables, and by `shell` other commands put in.

    Raises:
        SeatrialError: it has commands in it and there is no shell, or it ends up empty or too long.
    """

    def put(found: re.Match[str]) -> str:
        try:
            names = shlex.split(found[1])
        except ValueError as error:
            raise SeatrialError(f"the cache's key cannot be read: {error}", where=text) from error
        return hash_files(view, seen, tuple(expand(name, environment) for name in names))

    made = _HASH_FILES.sub(put, text)
    if "$(" in made or "`" in made:
        if shell is None:
            raise SeatrialError("the cache's key needs a shell", where=text, why="it has a command in it")
        made = shell(made)
    else:
        made = expand(made, environment)
    made = made.strip()
    if not made or len(quote(made, safe="")) > _LONGEST_KEY:
        raise SeatrialError("the cache's key is " + ("too long" if made else "empty"), where=text)
    return made


def hash_files(view: View, seen: str, patterns: tuple[str, ...]) -> str:
    """What `codebuild-hash-files` stands for here: SHA-256 over names and contents of the files, in order of names.

    CodeBuild does not say how it counts; the hash changes when theirs does, but is not the same text.
    """
    total = hashlib.sha256()
    found = {one.name: one for pattern in patterns for one in find(view, seen, pattern)}
    for name in sorted(found):
        content = hashlib.sha256()
        try:
            with open_found(found[name]) as stream:
                while piece := stream.read(_CHUNK):
                    content.update(piece)
        except Gone:
            continue
        total.update(name.encode(errors="surrogateescape") + b"\0" + content.digest())
    return total.hexdigest()
