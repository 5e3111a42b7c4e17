"""YAML with positions: YAML 1.1 as PyYAML and libyaml read it, without dates, objects or code.

libyaml reads; where PyYAML was built without it, PyYAML's own parser does the same, about 15 times slower.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seatrial.sources.text import Source, SourceError, finding
from seatrial.sources.tree import Document, Node
from seatrial.sources.yaml_values import TooDeepError, build

if TYPE_CHECKING:
    from seatrial.findings import Finding

_NULL = "tag:yaml.org,2002:null"
_SPEC = "https://yaml.org/spec/1.1/"
_INDICATORS = 2000
DEEPEST = 200
"""Deeper nesting than this is an accident or an attack."""


def read(source: Source) -> Document:
    """Read the one document of a file; an empty file is a document whose value is None.

    Raises:
        SourceError: the text is not YAML, or holds several documents.
    """
    documents = read_all(source)
    if len(documents) > 1:
        second = documents[1].root.start
        raise SourceError(
            finding(
                "source/yaml-syntax",
                "error",
                source.place(second),
                "expected one YAML document, found another after `---`",
            )
        )
    return documents[0] if documents else Document(source, Node("scalar", 0, 0, tag=_NULL))


def read_text(path: str, text: str) -> Document:
    """Read the one document in `text`; see `read`."""
    return read(Source(path, text))


def read_all(source: Source) -> tuple[Document, ...]:
    """Read every document of a file.

    Raises:
        SourceError: the text is not YAML.
    """
    import yaml

    _check_depth(source)
    try:
        loader = _loader()(source.text)
    except (yaml.YAMLError, UnicodeEncodeError) as error:
        raise SourceError(_syntax(source, error)) from error
    try:
        documents = []
        while loader.check_node():
            documents.append(build(source, loader.get_node()))
        return tuple(documents)
    except (yaml.YAMLError, UnicodeEncodeError) as error:
        raise SourceError(_syntax(source, error)) from error
    except TooDeepError as error:
        raise _too_deep(source, error.offset) from error
    except RecursionError as error:  # PyYAML's own parser, called from deep within another program
        raise _too_deep(source, 0) from error
    finally:
        loader.dispose()


def _loader() -> Any:
    import yaml

    # libyaml's absence is a property of the wheel or distribution package that provides PyYAML.
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def has_libyaml() -> bool:
    """Whether YAML is read by libyaml."""
    import yaml

    return bool(yaml.__with_libyaml__)


def _check_depth(source: Source) -> None:
    """Refuse absurd nesting before libyaml's recursive composer sees it: 100,000 levels end the process.

    Fewer indicators than that means fewer levels; only a file with more is looked at twice.
    """
    if sum(map(source.text.count, "[{:-?")) > _INDICATORS and _deepest(source.text) > DEEPEST:
        raise _too_deep(source, 0)


def _too_deep(source: Source, offset: int) -> SourceError:
    message = f"collections are nested more than {DEEPEST} deep"
    return SourceError(finding("source/yaml-syntax", "error", source.place(offset), message))


def _deepest(text: str) -> int:
    import yaml

    opened = (yaml.events.MappingStartEvent, yaml.events.SequenceStartEvent)
    closed = (yaml.events.MappingEndEvent, yaml.events.SequenceEndEvent)
    depth = deepest = 0
    try:
        for event in yaml.parse(text, Loader=_loader()):
            if isinstance(event, opened):
                depth += 1
                deepest = max(deepest, depth)
                if deepest > DEEPEST:
                    break
            elif isinstance(event, closed):
                depth -= 1
    except (yaml.YAMLError, UnicodeEncodeError):
        pass  # the reading that follows meets the same error and says where
    return deepest


def _syntax(source: Source, error: Exception) -> Finding:
    """PyYAML's own words, at its place."""
    problem, cause = str(error), ""
    offset = 0
    character = getattr(error, "character", None)
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if isinstance(error, UnicodeEncodeError):
        offset, problem = error.start, "a lone surrogate is not a character"
    elif isinstance(character, int):
        offset = max(source.text.find(chr(character)), 0)
        problem = f"the control character U+{character:04X} is not allowed in YAML"
    elif mark is not None:
        offset = mark.index
        problem = error.problem or error.context  # type: ignore[attr-defined]
        cause = _cause(source, error, offset)
    return finding("source/yaml-syntax", "error", source.place(offset), problem, cause=cause, source=_SPEC)


def _cause(source: Source, error: Any, offset: int) -> str:
    line, column = source.position(offset)
    before = source.line(line)[: column - 1]
    if source.text[offset : offset + 1] == "\t" and not before.strip():
        return "the line is indented with a tab; YAML allows only spaces there"
    if "mapping values are not allowed" in error.problem and before.strip():
        return "`: ` inside an unquoted value starts a new mapping; quote the value"
    if not error.context or error.context_mark is None:
        return ""
    opened = source.position(error.context_mark.index)
    return f"{error.context} that starts on line {opened[0]}"
