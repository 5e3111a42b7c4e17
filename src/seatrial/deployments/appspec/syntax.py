"""What Psych says of a text that is not YAML."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seatrial.sources.text import finding

if TYPE_CHECKING:
    from seatrial.findings import Finding
    from seatrial.sources.text import Source


def syntax(source: Source, error: Any) -> Finding:
    """Psych's message: libyaml's problem and context, at the place where the context starts."""
    if isinstance(error, UnicodeEncodeError):
        return _said(source, error.start, "invalid trailing UTF-8 octet", (1, 1))
    character = getattr(error, "character", None)
    if isinstance(character, int):
        offset = max(source.text.find(chr(character)), 0)
        return _said(source, offset, "control characters are not allowed", (1, 1))
    problem_mark, context_mark = error.problem_mark, error.context_mark
    told = " ".join(one for one in (error.problem, error.context) if one)
    mark = context_mark or (problem_mark if _by_scanner(error) else None)
    position = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    offset = (problem_mark or context_mark).index if problem_mark or context_mark else 0
    return _said(source, offset, told, position, _cause(source, error, offset))


def _by_scanner(error: Any) -> bool:
    """The scanner of libyaml notes where it stands also where there is no context; its parser does not."""
    import yaml

    return isinstance(error, yaml.scanner.ScannerError)


def _said(source: Source, offset: int, told: str, position: tuple[int, int], cause: str = "") -> Finding:
    message = f"(<unknown>): {told} at line {position[0]} column {position[1]}"
    return finding(
        "source/yaml-syntax", "error", source.place(offset), message, cause=cause,
        source="https://yaml.org/spec/1.1/",
    )  # fmt: skip


def _cause(source: Source, error: Any, offset: int) -> str:
    line, column = source.position(offset)
    before = source.line(line)[: column - 1]
    if source.text[offset : offset + 1] == "\t" and not before.strip():
        return "the line is indented with a tab; YAML allows only spaces there"
    if "mapping values are not allowed" in (error.problem or "") and before.strip():
        return "`: ` inside an unquoted value starts a new mapping, or the line is indented too far"
    if error.context_mark is None or not error.context:
        return ""
    return f"{error.context} that starts on line {error.context_mark.line + 1}"
