"""An explanation as text, Markdown, and GitHub annotations."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seatrial.diagnosis.model import Cause, Evidence, Explanation

_RETRY = {
    "transient": "the same may work when it is tried again",
    "after-change": "try again after the change",
    "never": "",
}
_COLOURS = {"high": "1;31", "medium": "1;33", "low": "1;36"}


def text(one: Explanation, *, name: str = "", colour: bool = False) -> str:
    """All of it, for a terminal."""
    if not one.causes:
        return _unknown(one, name)
    parts = []
    for number, cause in enumerate(one.causes, 1):
        title = _paint(cause.title, _COLOURS[cause.confidence], colour)
        head = f"{'also: ' if number > 1 else ''}{title} [{cause.id}, confidence {cause.confidence}{_confirmed(cause)}]"
        lines = [head, *_proof(cause, name), f"  cause: {cause.cause}", f"  fix: {cause.fix}"]
        if cause.command:
            lines.append(f"  run: {cause.command}")
        if _RETRY[cause.retry]:
            lines.append(f"  retry: {_RETRY[cause.retry]}")
        for finding in cause.findings:
            lines.append(
                f"  {finding.path}:{finding.line}:{finding.column}: {finding.message} [{finding.rule}]"
            )
            if finding.fix:
                lines.append(f"    fix: {finding.fix.title}")
        parts.append("\n".join(lines))
    if one.follows:
        parts.append("follows from that: " + ", ".join(one.follows))
    return "\n\n".join(parts) + "\n"


def brief(one: Explanation) -> str:
    """A few lines, for the end of a failed run; empty when nothing is known with at least medium confidence."""
    best = [cause for cause in one.causes[:1] if cause.confidence != "low"]
    if not best:
        return ""
    cause = best[0]
    lines = [
        f"why: {cause.cause} [{cause.id}]",
        f"  line {cause.evidence.line}: {_short(cause.evidence.text)}",
    ]
    lines.append(f"  fix: {cause.fix}")
    if cause.command:
        lines.append(f"  run: {cause.command}")
    return "\n".join(lines) + "\n"


def markdown(one: Explanation, *, name: str = "") -> str:
    """For a comment, an issue or a summary of a job."""
    if not one.causes:
        body = "\n".join(f"{_at(line)}: {line.text}" for line in one.lines)
        return f"### {_headline(one)}\n" + (f"\n{_fenced(body)}\n" if body else "")
    parts = []
    for cause in one.causes:
        lines = [f"### {_escaped(cause.title)}", "", _escaped(cause.cause), ""]
        lines += [_fenced(cause.evidence.text), ""]
        place = f"{name}, line {cause.evidence.line}" if name else f"line {cause.evidence.line}"
        lines += [
            f"{_escaped(place)}{_times(cause)} · `{cause.id}` · confidence {cause.confidence}{_confirmed(cause)}",
            "",
        ]
        lines.append(f"**Fix:** {_escaped(cause.fix)}")
        if cause.command:
            lines += ["", _fenced(cause.command)]
        lines += [f"- `{f.path}:{f.line}`: {_escaped(f.message)}" for f in cause.findings]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def github(one: Explanation) -> str:
    """Workflow commands of GitHub Actions: an annotation for each cause, at the finding's place when there is one."""
    lines = []
    for cause in one.causes:
        kind = "error" if cause.confidence != "low" else "warning"
        message = f"{cause.cause}\nLine {cause.evidence.line}: {cause.evidence.text}\nFix: {cause.fix}"
        if cause.command:
            message += f"\nRun: {cause.command}"
        places = [f"file={_property(f.path)},line={f.line},col={f.column}," for f in cause.findings] or [""]
        lines += [f"::{kind} {place}title={_property(cause.title)}::{_data(message)}" for place in places]
    if not one.causes and one.lines:
        shown = "\n".join(f"{_at(line)}: {line.text}" for line in one.lines)
        lines.append(f"::warning title={_property(_headline(one))}::{_data(shown)}")
    return "".join(f"{line}\n" for line in lines)


def _unknown(one: Explanation, name: str) -> str:
    where = f"{name}: " if name else ""
    shown = [f"  {_at(line)}: {line.text}" for line in one.lines]
    return "\n".join([where + _headline(one), *shown]) + "\n"


def _headline(one: Explanation) -> str:
    if one.outcome == "succeeded":
        return "the log ends well; there is nothing to explain"
    if not one.total:
        return "the log is empty"
    return "no known cause; the lines that tell most:" if one.lines else "no known cause"


def _proof(cause: Cause, name: str) -> list[str]:
    lines = [
        f"  {name + ':' if name else 'line '}{cause.evidence.line}:{_from(cause.evidence)} {cause.evidence.text}{_times(cause)}"
    ]
    return lines + [f"    also {_at(other)}: {other.text}" for other in cause.others]


def _at(line: Evidence) -> str:
    return f"line {line.line}" + (f" ({line.source})" if line.source else "")


def _from(line: Evidence) -> str:
    return f" ({line.source})" if line.source else ""


def _times(cause: Cause) -> str:
    return f" ({cause.count} times)" if cause.count > 1 else ""


def _confirmed(cause: Cause) -> str:
    return {"yes": ", confirmed", "no": ", not confirmed", "unknown": ""}[cause.confirmed]


def _short(line: str) -> str:
    return line if len(line) <= 200 else line[:199] + "…"  # noqa: PLR2004 - the width of two lines of a terminal


def _paint(value: str, code: str, colour: bool) -> str:
    return f"\x1b[{code}m{value}\x1b[0m" if colour else value


def _escaped(value: str) -> str:
    return "".join("\\" + c if c in "\\`*_[]<>#|" else c for c in value)


def _fenced(value: str) -> str:
    fence = "```"
    while fence in value:
        fence += "`"
    return f"{fence}\n{value}\n{fence}"


def _data(value: str) -> str:
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: str) -> str:
    return _data(value).replace(":", "%3A").replace(",", "%2C")
