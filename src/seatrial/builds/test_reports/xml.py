"""XML of strangers, read as a stream: no entities, nothing fetched, bounded in depth, size and memory."""

from __future__ import annotations

import re
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from seatrial.builds.test_reports.model import Damaged

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

DEEPEST = 200
LARGEST = 1 << 30
"""Bytes of one file."""
_TEXT = 64 * 1024
"""Characters of one element's text that are kept."""
_MOST_NODES = 20_000
"""Elements within one record; a test case or a class with more is cut."""
_CHUNK = 1 << 16
_ENCODING = re.compile(rb"""^\s*<\?xml[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")


class Element(NamedTuple):
    """One element with what is in it. Names have no namespace."""

    tag: str
    attributes: dict[str, str]
    children: list[Element]
    texts: list[str]
    line: int

    @property
    def text(self) -> str:
        """Its own text, without that of its children."""
        return "".join(self.texts).strip()

    def child(self, tag: str) -> Element | None:
        """The first child of that name."""
        return next((one for one in self.children if one.tag == tag), None)

    def find(self, *tags: str) -> Element | None:
        """What a path of children leads to."""
        here: Element | None = self
        for tag in tags:
            here = here.child(tag) if here is not None else None
        return here

    def get(self, name: str, default: str = "") -> str:
        """An attribute."""
        return self.attributes.get(name, default)


class Record(NamedTuple):
    """A wanted element, and the names and attributes of those that it is in, outermost first."""

    element: Element
    around: tuple[tuple[str, dict[str, str]], ...]

    def within(self, tag: str) -> dict[str, str]:
        """The attributes of the nearest element of that name around it."""
        return next((attributes for name, attributes in reversed(self.around) if name == tag), {})


def records(path: Path, roots: Collection[str], tags: Collection[str]) -> Iterator[Record]:
    """Each outermost element named in `tags`, in a document whose root is one of `roots`; memory does not grow.

    Raises:
        Damaged: it is no such document, is broken, declares entities, or is over the limits.
    """
    reader = _Reader(roots, frozenset(tags))
    with path.open("rb") as stream:
        yield from reader.read(stream)


class _Reader:
    """What expat calls. Not more than one chunk's records are held."""

    def __init__(self, roots: Collection[str], tags: frozenset[str]) -> None:
        self.roots = roots
        self.tags = tags
        self.path: list[tuple[str, dict[str, str]]] = []
        self.open: list[Element] = []
        self.kept = 0
        self.nodes = 0
        self.ready: list[Record] = []

    def read(self, stream: IO[bytes]) -> Iterator[Record]:
        from xml.parsers import expat

        first = stream.read(_CHUNK)
        if not first.strip():
            raise Damaged(
                "the file is empty", fix="the program that writes it did not finish, or ran no test"
            )
        self.parser = expat.ParserCreate(encoding=_encoding(first), namespace_separator=" ")
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.EntityDeclHandler = self._entity
        self.parser.buffer_text = True
        size, chunk = 0, first
        try:
            while chunk:
                size += len(chunk)
                if size > LARGEST:
                    raise Damaged(f"the file is larger than {LARGEST >> 20} MiB")
                self.parser.Parse(chunk, False)
                yield from self.ready
                self.ready.clear()
                chunk = stream.read(_CHUNK)
            self.parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise self._broken(error) from error
        except (LookupError, ValueError) as error:
            raise Damaged(f"its encoding cannot be read: {error}", line=1, column=1) from error
        yield from self.ready

    def _broken(self, error: Any) -> Damaged:
        from xml.parsers.expat import errors

        what = errors.messages.get(error.code, "unknown")
        inside = f" inside <{self.path[-1][0]}>" if self.path else ""
        cut = error.code == errors.codes[errors.XML_ERROR_NO_ELEMENTS] or "unclosed" in what
        why = "the file ends too early" if cut else f"this is not XML: {what}"
        return Damaged(f"{why}{inside}", line=error.lineno, column=error.offset + 1)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        tag = name.rpartition(" ")[2]
        if not self.path and tag not in self.roots:
            wanted = " or ".join(f"<{root}>" for root in sorted(self.roots))
            raise self._here(f"the document is <{tag}>, not {wanted}", format_hint(tag))
        if len(self.path) >= DEEPEST:
            raise self._here(f"elements are nested more than {DEEPEST} deep")
        attributes = {key.rpartition(" ")[2]: value for key, value in attributes.items()}
        if self.open or tag in self.tags:
            self._open(tag, attributes)
        self.path.append((tag, attributes))

    def _open(self, tag: str, attributes: dict[str, str]) -> None:
        if not self.open:
            self.nodes = self.kept = 0
        self.nodes += 1
        element = Element(tag, attributes, [], [], self.parser.CurrentLineNumber)
        if self.open and self.nodes <= _MOST_NODES:
            self.open[-1].children.append(element)
        self.open.append(element)

    def _end(self, _name: str) -> None:
        self.path.pop()
        if self.open:
            element = self.open.pop()
            if not self.open:
                self.ready.append(Record(element, tuple(self.path)))

    def _text(self, text: str) -> None:
        if self.open and self.kept < _TEXT:
            piece = text[: _TEXT - self.kept]
            self.kept += len(piece) if piece.strip() else 0
            self.open[-1].texts.append(piece)

    def _entity(self, name: str, *_rest: Any) -> None:
        raise self._here(f"it declares the entity {name!r}, which is not read for safety")

    def _here(self, message: str, fix: str = "") -> Damaged:
        return Damaged(
            message, line=self.parser.CurrentLineNumber, column=self.parser.CurrentColumnNumber + 1, fix=fix
        )


def _encoding(first: bytes) -> str | None:
    """The encoding to tell expat, where what the file says of itself cannot be true."""
    found = _ENCODING.match(first)
    # .NET writes strings with `encoding="utf-16"` into files that are UTF-8.
    if found and found[1].lower().startswith(b"utf-16"):
        return "utf-8"
    return None


_ROOTS = {
    "testsuites": "JUNITXML",
    "testsuite": "JUNITXML",
    "test-results": "NUNITXML",
    "test-run": "NUNIT3XML",
    "testng-results": "TESTNGXML",
    "TestRun": "VISUALSTUDIOTRX",
    "report": "JACOCOXML",
}


def format_hint(root: str) -> str:
    """The file-format that a document with this root has, as advice."""
    if root == "coverage":
        return "file-format: COBERTURAXML or CLOVERXML reads coverage"
    return f"file-format: {_ROOTS[root]} reads <{root}>" if root in _ROOTS else ""
