"""direct_url.json: where a package that was named by its place came from, without who may read it.

Source: https://packaging.python.org/en/latest/specifications/direct-url/
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from seatrial.images.uv_program import without_credentials

if TYPE_CHECKING:
    from seatrial.images.inputs.model import Unbuilt


def of_archive(url: str, sha256: str, subfolder: str = "") -> str:
    """For a wheel or source archive; empty unless it lies on a server."""
    if not re.match(r"https?://", url):
        return ""
    info = {"hash": f"sha256={sha256}", "hashes": {"sha256": sha256}}
    return _text({"archive_info": info, "url": without_credentials(url)}, subfolder)


def of_repository(unbuilt: Unbuilt, commit: str) -> str:
    """For a repository; empty unless it lies on a server and the commit is known."""
    if unbuilt.url.startswith(("file:", "/")) or not commit:
        return ""
    info = {"commit_id": commit, "vcs": "git"}
    if unbuilt.revision:
        info["requested_revision"] = unbuilt.revision
    return _text({"url": public_repository(unbuilt.url), "vcs_info": info}, unbuilt.subfolder)


def public_repository(url: str) -> str:
    """The address of a repository without name and password; the `git` user of ssh is no secret."""
    parts = urlsplit(url)
    user = "git@" if parts.scheme == "ssh" and parts.username == "git" else ""
    return urlunsplit(parts._replace(netloc=user + parts.netloc.rpartition("@")[2]))


def described(source: Unbuilt) -> str:
    """`name 1.0`, or where it lies."""
    if source.name:
        return f"{source.name} {source.version}".strip()
    return public_repository(source.url) if "://" in source.url else source.url


def _text(content: dict[str, Any], subfolder: str) -> str:
    return json.dumps({**content, **({"subdirectory": subfolder} if subfolder else {})}, sort_keys=True)
