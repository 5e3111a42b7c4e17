"""A signature's skeleton from a log that no signature explains."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.diagnosis import fragments, loading

if TYPE_CHECKING:
    from seatrial.diagnosis.model import Evidence, Explanation

# What differs from log to log, and the name its capture gets; earlier ones win.
_VARIES = (
    ("arn", r"arn:aws[\w-]*:[^\s\"',]+", r"arn:[^\s\"',]+"),
    ("url", r"[a-z][a-z0-9+.-]*://[^\s\"',)]+", r"[a-z][a-z0-9+.-]*://[^\s\"',)]+"),
    ("id", r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", r"[0-9a-f-]{36}"),
    ("digest", r"\bsha256:[0-9a-f]{12,64}\b", r"sha256:[0-9a-f]+"),
    ("digest", r"\b(?=[0-9a-f]*\d)(?=\d*[a-f])[0-9a-f]{12,64}\b", r"[0-9a-f]+"),
    ("quoted", r"'[^'\n]+'", r"'[^']+'"),
    ("quoted", r'"[^"\n]+"', r'"[^"]+"'),
    ("path", r"(?<![\w.])/[\w.@+-]+(?:/[\w.@+-]+)+/?|(?<![\w/])[\w.-]+(?:/[\w.-]+)+\.\w+", r"[^\s:\"',]+"),
    ("address", r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b", r"[\d.:]+"),
    ("version", r"\b\d+(?:\.\d+){1,3}(?:[\w.+-]*\w)?\b", r"[\w.+-]+"),
    ("number", r"\b\d+\b", r"\d+"),
)
_ANY = re.compile("|".join(f"(?P<v{i}>{found})" for i, (_, found, _) in enumerate(_VARIES)))


def skeleton(explanation: Explanation) -> str:
    """YAML of a signature for the line that tells most; cause and fix are left for a person to write.

    Raises:
        LookupError: the log has no line to learn from.
    """
    import yaml

    line = _best(explanation)
    pattern = generalised(line.text)
    signature = {
        "id": _name(line.text),
        "service": "system",
        "title": line.text[:60],
        "patterns": [pattern],
        "cause": "",
        "fix": {"text": ""},
        "retry": "never",
        "rank": "root",
        "confidence": "medium",
        "source": "",
        "examples": [line.text],
        "counter_examples": [],
    }
    head = "# Say in `cause` and `fix` what is wrong and what to do; {name} is what a capture has found.\n"
    body = yaml.safe_dump([signature], sort_keys=False, allow_unicode=True, width=1000)
    return head + body


def generalised(text: str) -> str:
    """A pattern for lines like this one: what differs between logs is captured."""
    pattern, position = "", 0
    used: dict[str, int] = {}
    for match in _ANY.finditer(text):
        name, _, varies = _VARIES[int((match.lastgroup or "v0")[1:])]
        used[name] = used.get(name, 0) + 1
        unique = name if used[name] == 1 else f"{name}{used[name]}"
        pattern += _literal(text[position : match.start()])
        quote = match[0][0] if name == "quoted" else ""
        pattern += f"{quote}(?P<{unique}>{varies[1:-1] if quote else varies}){quote}"
        position = match.end()
    pattern += _literal(text[position:])
    try:
        fragments.needed(pattern)
    except LookupError:
        return _literal(text)
    return pattern


def _literal(text: str) -> str:
    return re.sub(r"\\([ \-#&~])", r"\1", re.escape(text))


def _best(explanation: Explanation) -> Evidence:
    from seatrial.diagnosis import marks

    known = [(weight, re.compile(pattern)) for weight, pattern in marks.TELLING]

    def tells(line: Evidence) -> int:
        return next((weight for weight, pattern in known if pattern.search(line.text)), 0)

    lines = [cause.evidence for cause in explanation.causes] or list(explanation.lines)
    if not any(re.search(r"[A-Za-z]{2}", line.text) for line in lines):
        raise LookupError
    return max(lines, key=lambda line: (tells(line), line.line))


def _name(text: str) -> str:
    words = [word.lower() for word in re.findall(r"[A-Za-z]{3,}", _ANY.sub(" ", text))][:4]
    name = "-".join(words) or "unknown-failure"
    taken = {one.id for one in loading.builtin()}
    return f"{name}-here" if name in taken else name
