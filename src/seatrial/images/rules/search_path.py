"""LD_LIBRARY_PATH of an image: its folders, where each is written, and edits that take one away."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from seatrial.images import edit
from seatrial.images.story.model import Span

if TYPE_CHECKING:
    from seatrial.findings import Fix
    from seatrial.images.story.model import Setting
    from seatrial.images.timeline.model import Timeline

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


class Folder(msgspec.Struct, frozen=True):
    """A folder of LD_LIBRARY_PATH; `at` is the text that says it, `setting` the ENV."""

    path: str
    at: Span
    setting: Setting


def folders(timeline: Timeline) -> list[Folder]:
    """The folders of LD_LIBRARY_PATH as the image keeps it, in the order in which they are searched."""
    setting = timeline.variables.get("LD_LIBRARY_PATH")
    if setting is None:
        return []
    found = []
    for span in _pieces(setting):
        path = _expanded(span.text, timeline).rstrip("/")
        if path.startswith("/") or "site-packages" in path:
            found.append(Folder(path, span, setting))
    return found


def _pieces(setting: Setting) -> list[Span]:
    """The parts between the colons of the written value; colons inside `${…}` are none."""
    text, start = setting.at.text, setting.at.start
    match = re.match(r"""\w+\s*(?:=|\s)\s*["']?""", text)
    at = match.end() if match else 0
    end = len(text.rstrip("\"' \t"))
    return [
        Span(setting.at.source, start + at + one.start(), start + at + one.end())
        for one in re.finditer(r"(?:\$\{[^}]*\}|[^:$]|\$(?!\{))+", text[at:end])
    ]


def _expanded(text: str, timeline: Timeline) -> str:
    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        known = timeline.variables.get(name)
        if known is not None and known.known and name != "LD_LIBRARY_PATH":
            return known.value
        return match[0]

    return _VARIABLE.sub(value, text)


def without(folder: Folder) -> Fix | None:
    """LD_LIBRARY_PATH without a folder; the whole line goes where nothing else is in it."""
    title = f"Take {folder.path} out of LD_LIBRARY_PATH"
    source, at = folder.at.source, folder.at
    if source.text[at.end : at.end + 1] == ":":
        return edit.fix(title, [edit.replace(Span(source, at.start, at.end + 1), "")])
    if source.text[at.start - 1 : at.start] == ":":
        return edit.fix(title, [edit.replace(Span(source, at.start - 1, at.end), "")])
    line = source.line(source.position(at.start)[0]).strip()
    if re.fullmatch(r"ENV\s+" + re.escape(folder.setting.at.text), line, re.IGNORECASE):
        return edit.fix(title, [edit.without_line(folder.setting.at)])
    return None
