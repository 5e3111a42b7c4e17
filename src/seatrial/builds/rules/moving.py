"""Moving a key with all that it holds to another level of a YAML file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.builds.rules.look import edit
from seatrial.findings import Fix

if TYPE_CHECKING:
    from seatrial.sources.text import Source
    from seatrial.sources.tree import Node


def moved_to_top(source: Source, root: Node, parent: Node, key: Node, *, safe: bool) -> Fix | None:
    """Make a key of `parent` one of the top level, at the end of the file. None where the text is not in block style."""
    return _moved(
        source,
        parent,
        key,
        source.position(root.start)[1] - 1,
        len(source.text),
        safe=safe,
        to="the top level",
    )


def moved_up(source: Source, phases: Node, parent: Node, key: Node, *, safe: bool) -> Fix | None:
    """Make a key of one phase a phase, after all others."""
    end = _line_after(source, phases.end)
    return _moved(source, parent, key, source.position(phases.start)[1] - 1, end, safe=safe, to="phases")


def nested_into(source: Source, parent: Node, key: Node) -> Fix | None:
    """Make a key part of the key before it, or after it, in `parent`."""
    keys = [one for one, _ in parent.entries]
    at = next(index for index, one in enumerate(keys) if one is key)
    if at + 1 < len(keys) and at == 0:
        other, inner = parent.entries[at + 1]
    elif at > 0:
        other, inner = parent.entries[at - 1]
    else:
        return None
    if inner.kind != "mapping" or not inner.entries or any(one.text == key.text for one, _ in inner.entries):
        return None
    column = source.position(inner.start)[1] - 1
    target = source.starts[source.position(inner.start)[0] - 1]
    block = _block(source, parent, key)
    if block is None or not _is_first(source, inner.start):
        return None
    start, end = block
    text = _shifted(source.text[start:end], column - (source.position(key.start)[1] - 1))
    if start == target:
        return None
    return Fix(
        title=f"move {key.text} into {other.text}",
        safe=False,
        edits=(edit(source, start, end, ""), edit(source, target, target, text)),
    )


def _moved(
    source: Source, parent: Node, key: Node, column: int, target: int, *, safe: bool, to: str
) -> Fix | None:
    block = _block(source, parent, key)
    if block is None:
        return None
    start, end = block
    by = column - (source.position(key.start)[1] - 1)
    text = _shifted(source.text[start:end], by)
    title = f"move {key.text} to {to}"
    if not source.text[end:target].strip():
        return Fix(title=title, safe=safe, edits=(edit(source, start, end, text),))
    if not text.endswith("\n"):
        text += "\n"
    before = source.text[:target]
    glue = "" if before.endswith("\n") else "\n"
    return Fix(
        title=title,
        safe=safe,
        edits=(edit(source, start, end, ""), edit(source, target, target, glue + text)),
    )


def _block(source: Source, parent: Node, key: Node) -> tuple[int, int] | None:
    """The lines of a key and its value, up to the next key of its mapping."""
    if source.text[parent.start : parent.start + 1] == "{" or not _is_first(source, key.start):
        return None
    start = source.starts[source.position(key.start)[0] - 1]
    later = [one for one, _ in parent.entries if one.start > key.start]
    if later:
        end = source.starts[source.position(later[0].start)[0] - 1]
    else:
        value = next(value for one, value in parent.entries if one is key)
        end = _line_after(source, max(value.end, key.end))
    return start, end


def _is_first(source: Source, offset: int) -> bool:
    line, column = source.position(offset)
    return not source.line(line)[: column - 1].strip()


def _line_after(source: Source, offset: int) -> int:
    if offset > 0 and source.text[offset - 1 : offset] == "\n":
        return offset
    found = source.text.find("\n", offset)
    return found + 1 if found >= 0 else len(source.text)


def _shifted(text: str, by: int) -> str:
    """Every line further right, or left as far as it goes; empty lines stay empty."""
    lines = text.split("\n")
    if by >= 0:
        return "\n".join(f"{' ' * by}{one}" if one.strip() else one for one in lines)
    return "\n".join(one[min(-by, len(one) - len(one.lstrip(" "))) :] for one in lines)
