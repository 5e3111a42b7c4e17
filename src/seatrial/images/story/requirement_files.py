"""What a requirement or constraint file asks for, with what it includes."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

import msgspec

from seatrial.images.story import requests
from seatrial.images.story.model import Request, Span
from seatrial.images.story.options import Options, parse
from seatrial.images.story.words import Word, plain
from seatrial.sources import requirements as reader

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from seatrial.images.story.model import Style
    from seatrial.sources.requirements import Line, RequirementsFile
    from seatrial.sources.text import Source

_OPTION = re.compile(r"(?:^|\s)--?[A-Za-z]")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
_WORD = re.compile(r"\S+")

# https://pip.pypa.io/en/stable/reference/requirements-file-format/#supported-options
_OPTIONS = Options(
    valued=frozenset(
        {
            "index-url",
            "extra-index-url",
            "find-links",
            "no-binary",
            "only-binary",
            "trusted-host",
            "use-feature",
            "requirement",
            "constraint",
            "editable",
            "config-settings",
            "config-setting",
            "global-option",
            "hash",
        }
    ),
    short={"i": "index-url", "f": "find-links", "r": "requirement", "c": "constraint", "e": "editable"},
)


class Gathered(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that dependency files say. The fields mean what they mean in `Install`."""

    requests: tuple[Request, ...] = ()
    constraints: tuple[Request, ...] = ()
    index: str = ""
    extra_indexes: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    flags: frozenset[str] = frozenset()
    files: tuple[Source, ...] = ()
    unread: tuple[str, ...] = ()

    def __add__(self, other: Gathered) -> Gathered:
        known = {one.path for one in self.files}
        return Gathered(
            requests=self.requests + other.requests,
            constraints=self.constraints + other.constraints,
            index=other.index or self.index,
            extra_indexes=_new(self.extra_indexes, other.extra_indexes),
            find_links=_new(self.find_links, other.find_links),
            flags=self.flags | other.flags,
            files=self.files + tuple(one for one in other.files if one.path not in known),
            unread=_new(self.unread, other.unread),
        )


def _new(known: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(known + more))


def gather(
    path: str,
    read: Callable[[str], Source | None],
    variables: Mapping[str, str],
    *,
    constraint: bool = False,
) -> Gathered:
    """Read a file at `path`, and the ones that it names, each once.

    `read` gives a file by its path, which is one of the image when the file is read in an image; `variables` replace
    `${NAME}`. A file that cannot be read is named in `unread`.
    """
    found = Gathered()
    waiting = [(path, constraint)]
    seen: set[tuple[str, bool]] = set()
    while waiting:
        here = waiting.pop(0)
        if here in seen:
            continue
        seen.add(here)
        source = None if "://" in here[0] or "$" in here[0] else read(here[0])
        if source is None:
            found += Gathered(unread=(f"{here[0]} is not among the files",))
            continue
        one, others = _file(reader.read(source), variables, constraint=here[1])
        found += one
        waiting += [(_beside(here[0], target), also or here[1]) for target, also in others]
    return found


def _beside(path: str, target: str) -> str:
    return target if "://" in target else posixpath.normpath(posixpath.join(posixpath.dirname(path), target))


def includes(source: Source) -> tuple[str, ...]:
    """The paths that a file includes or is constrained by, as seen from where its own path is."""
    lines = reader.read(source).lines
    return tuple(_beside(source.path, one.target) for one in lines if one.kind in ("include", "constraint"))


def _file(
    file: RequirementsFile, variables: Mapping[str, str], *, constraint: bool
) -> tuple[Gathered, list[tuple[str, bool]]]:
    style: Style = "locked" if file.hashed else "lines"
    asked: list[Request] = []
    unread: list[str] = []
    others: list[tuple[str, bool]] = []
    found = Gathered(files=(file.source,))
    for line in file.lines:
        if line.kind in ("include", "constraint"):
            target = _expanded(line.target, variables).split(" --")[0].strip()
            others.append((target, line.kind == "constraint"))
        elif line.kind == "option":
            found += _options(_words(file.source, line.start, line.text))
        else:
            request = _request(file.source, line, style, variables)
            if request is None:
                place = file.source.place(line.start)
                unread.append(f"{place.path}:{place.line} cannot be read: {line.text}")
            else:
                asked.append(request)
    unread += [f"{one.path}:{one.line} cannot be read: {one.message}" for one in file.findings]
    more = Gathered(constraints=tuple(asked)) if constraint else Gathered(requests=tuple(asked))
    return found + more + Gathered(unread=tuple(unread)), others


def _request(source: Source, line: Line, style: Style, variables: Mapping[str, str]) -> Request | None:
    option = _OPTION.search(line.text, 1)
    asked = line.text[: option.start()].rstrip() if option else line.text
    index = ""
    if option:
        start = option.start() + 1
        options = _options(_words(source, line.start + start, line.text[start:]))
        index = options.index or next(iter(options.extra_indexes), "")
    editable = line.text.startswith("-")
    if editable:
        asked = line.target
    lead = line.text.find(asked)

    def where(start: int, end: int) -> Span | None:
        """A line stands as it is up to where it is continued, and where no variable is replaced."""
        same = source.text.startswith(line.text[: lead + end], line.start) and "${" not in line.text
        return Span(source, line.start + lead + start, line.start + lead + end) if same else None

    at = Span(source, line.start, line.end)
    asked = _expanded(asked, variables)
    return requests.read(asked, at, where, style=style, editable=editable, index=index)


def _expanded(text: str, variables: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda match: variables.get(match[1], match[0]), text)


def _words(source: Source, start: int, text: str) -> list[Word]:
    """The words of an option's line; where they stand matters to nobody, their text does."""
    words = []
    for match in _WORD.finditer(text):
        word = plain(source, start + match.start(), start + match.end())
        words.append(msgspec.structs.replace(word, text=match.group().strip("\"'")))
    return words


def _options(words: list[Word]) -> Gathered:
    options = parse(words, _OPTIONS)
    index = options.last("index-url")
    return Gathered(
        index=index.text if index else "",
        extra_indexes=tuple(word.text for word in options.all("extra-index-url")),
        find_links=tuple(word.text for word in options.all("find-links")),
        flags=options.flags & {"pre", "no-index", "require-hashes", "prefer-binary"},
    )
