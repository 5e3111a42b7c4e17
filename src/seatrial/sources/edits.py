"""Applying fixes: text edits that leave every other byte as it was.

A fix is applied whole or not at all; a set of fixes is written whole or not at all, as far as a file system
lets several files change together: every new file is on the disk before the first takes its name.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec

from seatrial.errors import SeatrialError
from seatrial.files import atomic_writer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from seatrial.findings import Edit, Fix
    from seatrial.sources.text import Source

Span = tuple[int, int, str]
"""Offsets from and to, and the text that goes there."""


class Selection(msgspec.Struct, frozen=True):
    """Fixes that fit together, in the order given, and those that touch the same text as an earlier one."""

    fixes: tuple[Fix, ...]
    refused: tuple[Fix, ...]
    edits: dict[str, tuple[Span, ...]]


def select(fixes: Iterable[Fix], sources: Mapping[str, Source]) -> Selection:
    """Choose the fixes that can be applied together; the same edit asked for twice counts once.

    Raises:
        SeatrialError: an edit is for a file that was not read, or for a place that the file does not have.
    """
    taken: dict[str, list[Span]] = {}
    chosen: list[Fix] = []
    refused: list[Fix] = []
    for fix in fixes:
        wanted = [(edit.path, _span(edit, sources)) for edit in fix.edits]
        new = [(path, span) for path, span in dict.fromkeys(wanted) if span not in taken.get(path, ())]
        clash = any(_overlap(span, other) for path, span in new for other in taken.get(path, ()))
        within = any(_overlap(a[1], b[1]) for i, a in enumerate(new) for b in new[:i] if a[0] == b[0])
        if clash or within:
            refused.append(fix)
            continue
        for path, span in new:
            taken.setdefault(path, []).append(span)
        chosen.append(fix)
    return Selection(
        tuple(chosen), tuple(refused), {path: tuple(sorted(spans)) for path, spans in taken.items()}
    )


def _span(edit: Edit, sources: Mapping[str, Source]) -> Span:
    source = sources.get(edit.path)
    if source is None:
        raise SeatrialError("a fix is for a file that was not checked", where=edit.path)
    try:
        start, end = source.offset(edit.start), source.offset(edit.end)
    except ValueError as error:
        raise SeatrialError(f"a fix does not fit its file: {error}", where=edit.path) from error
    if start > end:
        raise SeatrialError("a fix ends before it starts", where=str(source.place(start)))
    return start, end, edit.text


def _overlap(one: Span, other: Span) -> bool:
    """Whether two edits touch the same text; two insertions at one point have no order, so they do."""
    if one[:2] == other[:2]:
        return True
    return one[0] < other[1] and other[0] < one[1]


def edited(source: Source, spans: Sequence[Span]) -> Source:
    """The source after its edits, which must not overlap."""
    parts, position = [], 0
    for start, end, text in sorted(spans):
        parts += [source.text[position:start], text]
        position = end
    return msgspec.structs.replace(source, text="".join(parts) + source.text[position:])


def write(root: Path, selection: Selection, sources: Mapping[str, Source]) -> tuple[str, ...]:
    """Write the selected edits to the files below `root` and return the paths that changed.

    Raises:
        SeatrialError: a file is no longer what was checked, or cannot be written. Then nothing was changed.
    """
    changed = {
        path: edited(sources[path], spans).encoded()
        for path, spans in sorted(selection.edits.items())
        if edited(sources[path], spans).text != sources[path].text
    }
    _refuse_aliases(root, list(changed))
    with ExitStack() as stack:
        for path, data in changed.items():
            _refuse_changed(root / path, sources[path])
            stream = stack.enter_context(atomic_writer(root / path))
            stream.write(data)
            stream.flush()
    return tuple(changed)


def _refuse_changed(file: Path, source: Source) -> None:
    try:
        now = file.read_bytes()
    except OSError as error:
        raise SeatrialError(f"the file cannot be read: {error.strerror}", where=str(file)) from error
    if now != source.encoded():
        raise SeatrialError(
            "the file changed while it was being checked; nothing was written",
            where=str(file),
            fix="run the same command again",
        )


def _refuse_aliases(root: Path, paths: list[str]) -> None:
    real: dict[Path, str] = {}
    for path in paths:
        other = real.setdefault((root / path).resolve(), path)
        if other != path:
            raise SeatrialError(
                f"{other} and {path} are the same file; nothing was written",
                where=path,
                fix="check only one of them",
            )


def diff(before: Source, after: Source, context: int = 3) -> str:
    """A unified diff that `git apply` and `patch -p1` accept; empty when nothing differs."""
    import difflib

    lines = difflib.unified_diff(
        _lines(before), _lines(after), f"a/{before.path}", f"b/{before.path}", n=context
    )
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )


def _lines(source: Source) -> list[str]:
    """Lines end at LF alone here: that is how patch and git count them."""
    parts = (("\ufeff" if source.bom else "") + source.text).split("\n")
    return [f"{part}\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])
