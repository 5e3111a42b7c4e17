"""One run of `uv pip compile`: files written, program run, answer read. Nothing is ever built.

Everything goes through files in a folder of our own: addresses may hold credentials, which belong in no argument list,
and uv reads no configuration of the repository there.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from seatrial.errors import SeatrialError
from seatrial.images.solving import stand_ins
from seatrial.images.solving.metadata import Needs  # noqa: TC001 - msgspec reads it at run time
from seatrial.images.solving.model import Ask, Setting  # noqa: TC001
from seatrial.images.solving.places import Places  # noqa: TC001
from seatrial.images.target import uv_platform
from seatrial.images.uv_program import clean, failure, find_uv, quiet
from seatrial.processes import run

if TYPE_CHECKING:
    from collections.abc import Mapping

# Where packages come from is in our file, how packages are chosen is in the question: of uv's variables only those
# that say how to reach the network count.
_KEPT = (
    "UV_CACHE_DIR", "UV_OFFLINE", "UV_NATIVE_TLS", "UV_SYSTEM_CERTS", "UV_KEYRING_PROVIDER", "UV_INSECURE_HOST",
    "UV_ALLOW_INSECURE_HOST", "UV_HTTP_TIMEOUT", "UV_HTTP_CONNECT_TIMEOUT", "UV_HTTP_RETRIES", "UV_REQUEST_TIMEOUT",
    "UV_CONCURRENT_DOWNLOADS", "UV_LINK_MODE", "UV_CREDENTIALS_DIR",
)  # fmt: skip


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one run of uv is told.

    `excluded` packages count as there in any version. `stand_ins`: package → version → what it needs, None where that
    is not known.
    """

    asks: tuple[Ask, ...]
    constraints: tuple[Ask, ...]
    setting: Setting
    places: Places
    excluded: tuple[str, ...] = ()
    stand_ins: dict[str, dict[str, Needs | None]] = {}


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What uv said. `text` is cleaned of credentials."""

    kind: Literal["satisfied", "no-wheel", "unsatisfiable", "unreachable", "refused", "late"]
    versions: dict[str, str] = {}
    text: str = ""


def ask_uv(
    question: Question,
    env: Mapping[str, str],
    *,
    timeout: float,
    refresh: bool = False,
    offline: bool = False,
) -> Answer:
    """Ask once. `timeout` is in seconds; `offline` uses uv's cache alone.

    Raises:
        MissingToolError: uv is not installed.
    """
    uv = find_uv()
    with tempfile.TemporaryDirectory(prefix="seatrial-") as name:  # 0700, so the addresses in it stay ours
        folder = Path(name)
        _write(question, folder)
        try:
            done = run(
                _command(uv, question, refresh and not env.get("UV_OFFLINE")),
                cwd=folder,
                env=_environment(env, offline),
                timeout=timeout,
            )
        except SeatrialError as error:
            if isinstance(error.__cause__, subprocess.TimeoutExpired):
                return Answer(kind="late")
            raise
        text = re.sub(r"(://[^\s`?]+)\?[^\s`]*", r"\1", clean(done.stderr)).replace(f"{folder}{os.sep}", "")
        if done.code != 0:
            return Answer(kind=failure(done), text=text.strip())
        versions = read_versions((folder / "chosen.txt").read_text("utf-8"))
    return Answer(kind="satisfied", versions=versions, text=text.strip())


def _write(question: Question, folder: Path) -> None:
    setting, places = question.setting, question.places
    links = [*places.find_links]
    links += [str(stand_ins.folder_of(name, some)) for name, some in question.stand_ins.items() if some]
    head = [f"--index-url {places.default}" if places.default else "--no-index"]
    head += [f"--extra-index-url {one}" for one in places.extras]
    head += [f"--find-links {one}" for one in links]
    asked = [f"{ask.name} @ {ask.url}" if ask.url else ask.text for ask in question.asks]
    _private(folder / "asked.txt", [*head, *asked])
    _private(folder / "limits.txt", [ask.text for ask in question.constraints])
    never = [f'{name} ; python_version < "0"' for name in question.excluded]
    _private(folder / "overrides.txt", [*setting.overrides, *never])
    # uv keeps the versions of an existing output where they satisfy, as pip does with what is installed.
    kept = [f"{name}=={version}" for name, version in sorted(setting.installed.items())]
    _private(folder / "chosen.txt", kept)


def _private(path: Path, lines: list[str]) -> None:
    path.touch(mode=0o600)
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")


def _command(uv: str, question: Question, refresh: bool) -> list[str]:
    setting = question.setting
    return [
        uv, "pip", "compile", "asked.txt",
        *(["--constraints", "limits.txt"] if question.constraints else []),
        *(["--overrides", "overrides.txt"] if setting.overrides or question.excluded else []),
        "--output-file", "chosen.txt",
        "--only-binary", ":all:",
        "--python-version", setting.full_python,
        "--python-platform", uv_platform(setting.target),
        "--python", sys.executable,
        "--index-strategy", "first-index" if setting.first_index else "unsafe-best-match",
        "--no-config", "--no-python-downloads", "--no-header", "--no-annotate", "--no-sources",
        *(["--prerelease", "allow"] if setting.pre else []),
        *(["--no-deps"] if setting.no_deps else []),
        *(["--exclude-newer", setting.exclude_newer] if setting.exclude_newer else []),
        *(["--refresh"] if refresh else []),
    ]  # fmt: skip


def _environment(env: Mapping[str, str], offline: bool) -> dict[str, str]:
    kept = {name: value for name, value in quiet(env).items() if not name.startswith("UV_") or name in _KEPT}
    if offline:
        kept["UV_OFFLINE"] = "1"
    return {**kept, "UV_NO_PROGRESS": "1", "PATH": _path_without_git(env)}


def _path_without_git(env: Mapping[str, str]) -> str:
    """For uv: it needs no other program here, and what it cannot find it cannot run."""
    keyring = shutil.which("keyring", path=env.get("PATH", ""))
    return str(Path(keyring).parent) if keyring and env.get("UV_KEYRING_PROVIDER") else "/nonexistent"


def read_versions(text: str) -> dict[str, str]:
    """The pins that uv wrote, normalised name → version; a direct reference has the version of its wheel's name."""
    from packaging.utils import canonicalize_name

    found: dict[str, str] = {}
    for line in text.splitlines():
        if match := re.match(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*==\s*([^\s;]+)", line):
            found[canonicalize_name(match[1])] = match[2]
        elif match := re.match(
            r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*@\s*\S*/[^/\s]+?-([^-/\s]+)-\S*\.whl", line
        ):
            found[canonicalize_name(match[1])] = match[2].replace("%2B", "+")
    return found
