"""Conda's environment files: channels, dependencies, and what they leave to pip.

Source: https://docs.conda.io/projects/conda/en/stable/user-guide/tasks/manage-environments.html
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

import msgspec

from seatrial.images.story import conda_specs, requests
from seatrial.images.story.model import Request, Span
from seatrial.images.story.requirement_files import Gathered, gather
from seatrial.sources.text import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from seatrial.sources.text import Source
    from seatrial.sources.tree import Node


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """An environment file. `conda` is what conda installs, `pip` what pip installs after it."""

    name: str
    conda: Gathered
    pip: Gathered


def load(source: Source, read: Callable[[str], Source | None], path: str) -> Environment | None:
    """Read an environment file; None when it is not YAML or has no dependencies. `path` is where it is for `read`."""
    from seatrial.sources import yaml

    try:
        root = yaml.read(source).root
    except SourceError:
        return None
    children = {key.text: value for key, value in root.entries}
    items = children.get("dependencies")
    if items is None or items.kind != "sequence":
        return None
    channels = children.get("channels")
    named = [node.text for node in channels.items] if channels else []
    conda = Gathered(files=(source,), flags=frozenset(f"channel={one}" for one in named))
    pip = Gathered()
    for node in items.items:
        if node.kind == "scalar":
            conda += _conda(source, node)
        elif node.kind == "mapping":
            for key, value in node.entries:
                if key.text == "pip":
                    for item in value.items:
                        pip += _pip(source, item, read, path)
    name = children["name"].text if "name" in children else ""
    return Environment(name=name, conda=conda, pip=pip)


def _inside(source: Source, node: Node) -> Callable[[int, int], Span | None]:
    """Where a part of a scalar stands; nowhere when escapes make it another text."""
    written = source.text[node.start : node.end]
    lead = written.find(node.text)

    def where(start: int, end: int) -> Span | None:
        return Span(source, node.start + lead + start, node.start + lead + end) if lead >= 0 else None

    return where


def _conda(source: Source, node: Node) -> Gathered:
    found = conda_specs.read(
        node.text, Span(source, node.start, node.end), _inside(source, node), style="conda"
    )
    if found is None:
        return Gathered(
            unread=(f"{source.path}:{source.position(node.start)[0]} cannot be read: {node.text}",)
        )
    return Gathered(requests=(found,))


def _pip(source: Source, node: Node, read: Callable[[str], Source | None], path: str) -> Gathered:
    """One item below `pip:`, which is a line of a requirement file."""
    text = node.text.strip()
    for option in ("--requirement", "-r", "--constraint", "-c"):
        if text.startswith(option):
            file = text[len(option) :].lstrip(" =")
            beside = posixpath.normpath(posixpath.join(posixpath.dirname(path), file))
            return gather(beside, read, {}, constraint="c" in option[:3])
    for option in ("--extra-index-url", "--find-links", "-f"):
        if text.startswith(option):
            value = (text[len(option) :].lstrip(" ="),)
            return (
                Gathered(extra_indexes=value) if option == "--extra-index-url" else Gathered(find_links=value)
            )
    for option in ("--index-url", "-i"):
        if text.startswith(option):
            return Gathered(index=text[len(option) :].lstrip(" ="))
    editable = text.startswith(("-e ", "--editable "))
    where = _inside(source, node)
    request: Request | None = requests.read(
        text.split(maxsplit=1)[1] if editable else text.split(" --", 1)[0],
        Span(source, node.start, node.end),
        (lambda _start, _end: None) if editable or text != node.text else where,
        style="lines",
        editable=editable,
    )
    if request is None:
        if text.startswith("-"):
            return Gathered(flags=frozenset({text.lstrip("-")}) & {"pre", "no-index", "no-deps"})
        return Gathered(unread=(f"{source.path}:{source.position(node.start)[0]} cannot be read: {text}",))
    return Gathered(requests=(request,))
