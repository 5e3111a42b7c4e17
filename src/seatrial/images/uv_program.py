"""Running uv: where it is, an environment in which it says plainly what it found, and what its failures mean."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit, urlunsplit

from seatrial.errors import MissingToolError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from seatrial.processes import Completed

UNSATISFIABLE = 1  # uv's exit code; 2 is a file it cannot read or an index it cannot reach

Failure = Literal["no-wheel", "unsatisfiable", "unreachable", "refused"]
"""no-wheel: a chosen version would have to be built. unsatisfiable: the requests contradict each other.
unreachable: an index or a file cannot be had. refused: uv cannot work with what it was given."""

_NO_WHEEL = re.compile(r"no usable wheels|no wheels with a matching|[Bb]uilding source")
_UNREACHABLE = re.compile(
    r"error sending request|Failed to fetch|[Cc]onnect|dns error|tls|status client error|status server"
)


def find_uv() -> str:
    """The uv program that was installed with Seatrial, else one on PATH.

    Raises:
        MissingToolError: there is none.
    """
    import shutil

    try:
        import uv

        return str(uv.find_uv_bin())
    except (ImportError, FileNotFoundError) as error:
        found = shutil.which("uv")
        if found is None:
            raise MissingToolError(
                "uv is not installed", why="it resolves requirements", fix="install it with `pip install uv`"
            ) from error
        return found


def quiet(env: Mapping[str, str]) -> dict[str, str]:
    """Let uv print the solution on stdout, progress nowhere, and never colours."""
    dropped = ("UV_OUTPUT_FILE", "VIRTUAL_ENV", "FORCE_COLOR", "CLICOLOR_FORCE")
    kept = {name: value for name, value in env.items() if name not in dropped}
    return {**kept, "NO_COLOR": "1", "UV_NO_PROGRESS": "1"}


def failure(done: Completed) -> Failure:
    """What kind of failure it was; exit code 1 is also a source distribution that could not be built."""
    text = clean(done.stderr or done.stdout)
    if done.code == UNSATISFIABLE:
        return "no-wheel" if _NO_WHEEL.search(text) else "unsatisfiable"
    return "unreachable" if _UNREACHABLE.search(text) else "refused"


def clean(text: str) -> str:
    """Output of uv without colours and without credentials in addresses."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    return re.sub(r"(\w+://)[^/@\s`'\"]+@", r"\1***@", text)


def without_credentials(url: str) -> str:
    """The URL without user name, password and fragment."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))
