"""What setup.cfg and setup.py require, without running anything: only what they state literally."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, TypeGuard

from seatrial.images.story import requests
from seatrial.images.story.model import Request, Span
from seatrial.images.story.requirement_files import Gathered

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from seatrial.sources.text import Source

_SECTION = re.compile(r"\[(?P<name>[^\]]+)\]\s*$")
_OPTION = re.compile(r"(?P<name>[A-Za-z0-9_.-]+)\s*[=:]\s*(?P<value>.*)$")


def from_cfg(source: Source, extras: Sequence[str]) -> Gathered | None:
    """`install_requires` of `[options]` and the extras asked for; None when the file says nothing of it."""
    wanted = {("options", "install_requires")} | {("options.extras_require", one) for one in extras}
    section = option = ""
    found: list[Request] = []
    said = False
    for number, start in enumerate(source.starts, 1):
        line = source.line(number)
        bare = line.split(" #", 1)[0].rstrip()
        if not bare.strip() or bare.lstrip().startswith(("#", ";")):
            continue
        header = _SECTION.match(line)
        entry = _OPTION.match(line)
        lead = len(bare) - len(bare.lstrip())
        if header:
            section, option = header["name"].strip(), ""
            continue
        if lead == 0 and entry:
            option = entry["name"]
            lead = entry.start("value")
        said = said or (section, option) == ("options", "install_requires")
        if (section, option) in wanted and bare[lead:].strip():
            request = _text(source, start + lead, bare[lead:])
            found += [request] if request else []
    return Gathered(requests=tuple(found), files=(source,)) if said else None


def _text(source: Source, start: int, text: str) -> Request | None:
    def where(first: int, last: int) -> Span | None:
        return Span(source, start + first, start + last)

    return requests.read(text, Span(source, start, start + len(text)), where, style="lines")


def from_py(source: Source, extras: Sequence[str]) -> Gathered:
    """The literal `install_requires` and `extras_require` of a call of `setup`; what is computed is `unread`."""
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source.text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Gathered(files=(source,), unread=(f"{source.path} is not Python",))
    call = next((node for node in ast.walk(tree) if _is_setup(node)), None)
    if call is None:
        return Gathered(files=(source,), unread=(f"{source.path} does not call setup",))
    names = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    keywords = {one.arg: one.value for one in call.keywords}
    unread = [f"{source.path} computes its options"] if None in keywords else []
    found: list[Request] = []
    if (required := keywords.get("install_requires")) is not None:
        found += _list(source, _named(required, names), unread, "install_requires")
    if extras and (optional := keywords.get("extras_require")) is not None:
        found += _extras(source, _named(optional, names), extras, names, unread)
    return Gathered(requests=tuple(found), files=(source,), unread=tuple(unread))


def _is_setup(node: ast.AST) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and (
        (isinstance(node.func, ast.Name) and node.func.id == "setup")
        or (isinstance(node.func, ast.Attribute) and node.func.attr == "setup")
    )


def _named(node: ast.expr, names: dict[str, ast.expr]) -> ast.expr:
    return names.get(node.id, node) if isinstance(node, ast.Name) else node


def _list(source: Source, node: ast.expr, unread: list[str], what: str) -> Iterator[Request]:
    if not isinstance(node, ast.List | ast.Tuple):
        unread.append(f"{source.path} computes {what}")
        return
    for item in node.elts:
        request = _string(source, item)
        if request is None:
            unread.append(f"{source.path}:{item.lineno} cannot be read as a requirement")
        else:
            yield request


def _extras(
    source: Source, node: ast.expr, extras: Sequence[str], names: dict[str, ast.expr], unread: list[str]
) -> Iterator[Request]:
    if not isinstance(node, ast.Dict):
        unread.append(f"{source.path} computes extras_require")
        return
    for key, value in zip(node.keys, node.values, strict=True):
        if isinstance(key, ast.Constant) and key.value in extras:
            yield from _list(source, _named(value, names), unread, f"the extra {key.value!s}")


def _string(source: Source, node: ast.expr) -> Request | None:
    if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
        return None
    start, end = _offset(source, node.lineno, node.col_offset), 0
    end = _offset(source, node.end_lineno or node.lineno, node.end_col_offset or 0)
    written = source.text[start:end]
    exact = written[1:-1] == node.value

    def where(first: int, last: int) -> Span | None:
        return Span(source, start + 1 + first, start + 1 + last) if exact else None

    at = Span(source, start + 1, end - 1) if exact else Span(source, start, end)
    return requests.read(node.value, at, where, style="toml")


def _offset(source: Source, line: int, column: int) -> int:
    """Python counts columns in bytes of UTF-8, and lines by line feeds and form feeds apart as we do."""
    start = source.starts[line - 1]
    text = source.line(line)
    return start + len(text.encode()[:column].decode(errors="ignore"))
