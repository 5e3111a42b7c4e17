"""YAML as Ruby's Psych 4 loads it, which is how the agent reads: no aliases, no dates, YAML 1.1 with Ruby's own numbers.

Of several documents only the first is looked at. The nodes are those that `appspec.ruby` explains.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.deployments.appspec.ruby import (
    RubyError,
    Symbol,
    inspect,
    is_text,
    value_of,
)
from seatrial.deployments.appspec.scalars import DisallowedError, typed
from seatrial.deployments.appspec.syntax import syntax
from seatrial.sources.text import finding
from seatrial.sources.tree import Duplicate, Node

if TYPE_CHECKING:
    from seatrial.findings import Finding
    from seatrial.sources.text import Source

_STANDARD = "tag:yaml.org,2002:"
_TEXT_TAGS = ("!str", "!ruby/string", f"{_STANDARD}str")
_DEEPEST = 200


class Loaded(msgspec.Struct, frozen=True):
    """What Psych gives. `root` is None for an empty file. Keys given twice count once, the later value wins."""

    root: Node | None
    duplicates: tuple[Duplicate, ...] = ()
    documents: int = 1


class Stopped(Exception):  # noqa: N818 - what happened, as with `Refused` elsewhere
    """Psych raises an error; `finding` has its message and place, and says what kind it is by its rule."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


def load(source: Source) -> Loaded:
    """Read a file as Psych does.

    Raises:
        Stopped: Psych refuses the file, or Ruby fails while it makes values of it.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    work = _Work(source)
    try:
        events = loader(source.text)
    except (yaml.YAMLError, UnicodeEncodeError) as error:
        raise Stopped(syntax(source, error)) from error
    try:
        raw = _first(source, events)
        more = raw is not None and _has_more(events)
    except (yaml.YAMLError, UnicodeEncodeError) as error:
        raise Stopped(syntax(source, error)) from error
    finally:
        events.dispose()
    if raw is None:
        return Loaded(None)
    try:
        root = _value(work, raw)
    except RubyError as error:
        place = source.place(error.node.start, error.node.end)
        raise Stopped(finding("appspec/shape", "error", place, error.args[0], cause=_BROKEN)) from error
    return Loaded(root, tuple(work.duplicates), 2 if more else 1)


_BROKEN = "Ruby cannot make a value of this, and the agent fails with an error of its own"


class _Work:
    """What is gathered while values are made."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.duplicates: list[Duplicate] = []


class _Raw(msgspec.Struct):
    """A node of the syntax, before it has a value. `children` of a mapping are keys and values in turn."""

    kind: str
    start: int
    end: int
    tag: str | None = None
    text: str = ""
    is_quoted: bool = False
    children: list[_Raw] = []


def _first(source: Source, events: Any) -> _Raw | None:
    """The syntax of the first document, or None where there is none."""
    import yaml

    stack: list[_Raw] = []
    while True:
        event = events.get_event()
        if event is None or isinstance(event, yaml.StreamEndEvent):
            return None
        if isinstance(event, yaml.DocumentEndEvent):
            return stack[0].children[0]
        if isinstance(event, yaml.DocumentStartEvent):
            stack.append(_Raw("document", 0, 0, children=[]))
        elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
            _close(stack.pop(), event)
        elif not isinstance(event, yaml.StreamStartEvent):
            node = _raw(event)
            stack[-1].children.append(node)
            if node.kind in ("sequence", "mapping"):
                stack.append(node)
                if len(stack) > _DEEPEST:
                    raise Stopped(
                        finding(
                            "source/yaml-syntax", "error", source.place(node.start),
                            f"collections are nested more than {_DEEPEST} deep",
                        )
                    )  # fmt: skip


def _raw(event: Any) -> _Raw:
    import yaml

    start, end = event.start_mark.index, event.end_mark.index
    if isinstance(event, yaml.AliasEvent):
        return _Raw("alias", start, end, text=event.anchor or "")
    if isinstance(event, yaml.ScalarEvent):
        return _Raw("scalar", start, end, event.tag, event.value, bool(event.implicit[1]))
    kind = "sequence" if isinstance(event, yaml.SequenceStartEvent) else "mapping"
    return _Raw(kind, start, end, event.tag, "", bool(event.flow_style), [])


def _close(node: _Raw, event: Any) -> None:
    """A block collection ends with its last value, not with the blank lines and comments that follow."""
    is_flow = node.is_quoted
    node.end = event.end_mark.index if is_flow or not node.children else node.children[-1].end


def _has_more(events: Any) -> bool:
    """Whether another document follows; one that is not YAML counts, too: nobody reads it."""
    import yaml

    try:
        return isinstance(events.get_event(), yaml.DocumentStartEvent)
    except yaml.YAMLError:
        return True


def _value(work: _Work, raw: _Raw) -> Node:
    if raw.kind == "alias":
        raise _stopped(work, raw, "appspec/alias", f"Unknown alias: {raw.text}")
    if raw.tag is not None:
        _check_tag(work, raw)
    if raw.kind == "scalar":
        return Node("scalar", raw.start, raw.end, _scalar(work, raw), raw.text, raw.tag or "")
    if raw.kind == "sequence":
        items = [_value(work, one) for one in raw.children]
        return Node("sequence", raw.start, raw.end, tag=raw.tag or "", items=items)
    return _mapping(work, raw)


def _stopped(work: _Work, raw: _Raw, rule: str, message: str) -> Stopped:
    return Stopped(finding(rule, "error", work.source.place(raw.start, raw.end), message))


# The tags that name a class, by what they are written on; only Symbol is allowed.
_CLASSES = (
    (re.compile(r"!ruby/(?:hash|array|struct|object|exception|string|marshalable):(\w[\w:]*)"), ""),
    (re.compile(r"!(?:str|seq|map):(\w[\w:]*)"), ""),
    (re.compile(r"!ruby/object:?"), "Object"),
    (re.compile(r"!ruby/struct:?"), "Struct"),
    (re.compile(r"!ruby/exception:?"), "Exception"),
    (re.compile(r"!ruby/regexp"), "Regexp"),
    (re.compile(r"!ruby/range"), "Range"),
)
_HARMLESS = re.compile(r"!ruby/object:Hash")


def _check_tag(work: _Work, raw: _Raw) -> None:
    tag = raw.tag or ""
    if raw.kind == "mapping" and tag in ("!set", f"{_STANDARD}set"):
        raise _disallowed(work, raw, "Psych::Set")
    if raw.kind == "mapping" and tag in ("!omap", f"{_STANDARD}omap"):
        raise _disallowed(work, raw, "Psych::Omap")
    if _HARMLESS.fullmatch(tag):
        return
    if tag in ("!ruby/class", "!ruby/module"):
        raise _disallowed(work, raw, raw.text)
    for pattern, name in _CLASSES:
        found = pattern.fullmatch(tag)
        if found:
            raise _disallowed(work, raw, name or found[1])


def _disallowed(work: _Work, raw: _Raw, name: str) -> Stopped:
    return _stopped(work, raw, "appspec/yaml-class", f"Tried to load unspecified class: {name}")


def _mapping(work: _Work, raw: _Raw) -> Node:
    entries: dict[tuple[str, str], tuple[Node, Node]] = {}
    written: dict[tuple[str, str], Node] = {}
    for raw_key, raw_value in zip(raw.children[::2], raw.children[1::2], strict=True):
        key, value = _value(work, raw_key), _value(work, raw_value)
        merged = _merged(key, value)
        for name, one in merged if merged is not None else [(key, value)]:
            same = _identity(name)
            # As in a Hash: the first place, the last value.
            entries[same] = (entries[same][0] if same in entries else name, one)
        if merged is None:
            same = _identity(key)
            if same in written:
                work.duplicates.append(_duplicate(work.source, written[same], key))
            written.setdefault(same, key)
    found = Node("mapping", raw.start, raw.end, tag=raw.tag or "", entries=list(entries.values()))
    return _text_with_variables(found) if raw.tag in _TEXT_TAGS else found


def _text_with_variables(node: Node) -> Node:
    """A mapping that claims to be a text: its key `str` is that text."""
    held = value_of(node, "str")
    if held is None or not is_text(held):
        raise RubyError("can't modify frozen NilClass: nil", node)
    return held


def _duplicate(source: Source, first: Node, again: Node) -> Duplicate:
    return Duplicate(again.text, source.place(first.start, first.end), source.place(again.start, again.end))


def _merged(key: Node, value: Node) -> list[tuple[Node, Node]] | None:
    """What `<<` brings in, or None where it is an ordinary key."""
    if not (is_text(key) and key.value == "<<") or key.tag == f"{_STANDARD}str":
        return None
    if value.kind == "mapping":
        return value.entries
    if value.kind == "sequence" and all(one.kind == "mapping" for one in value.items):
        return [entry for one in reversed(value.items) for entry in one.entries]
    return None


def _identity(key: Node) -> tuple[str, str]:
    return (type(key.value).__name__ if key.kind == "scalar" else key.kind), inspect(key)


def _scalar(work: _Work, raw: _Raw) -> Any:
    if raw.is_quoted:
        return raw.text
    tag = raw.tag or ""
    if tag in _TEXT_TAGS:
        return raw.text
    if tag in ("!binary", f"{_STANDARD}binary"):
        return _binary(raw.text)
    if tag.startswith("!ruby/sym"):
        return Symbol(raw.text)
    try:
        plain = typed(raw.text)
    except DisallowedError as error:
        raise _disallowed(work, raw, error.args[0]) from error
    except ValueError as error:
        raise _no_number(raw) from error
    if tag in ("!float", f"{_STANDARD}float"):
        if isinstance(plain, int | float) and not isinstance(plain, bool):
            return float(plain)
        raise _no_number(raw)
    return plain


def _no_number(raw: _Raw) -> RubyError:
    node = Node("scalar", raw.start, raw.end, raw.text, raw.text)
    return RubyError(f"invalid value for Float(): {inspect(node)}", node)


def _binary(text: str) -> str:
    import base64
    import binascii

    try:
        return base64.b64decode(text).decode("utf-8", errors="replace")
    except (binascii.Error, ValueError):
        return ""
