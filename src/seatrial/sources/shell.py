"""The simple commands of a shell text, in the order in which they run.

The text is parsed by tree-sitter-bash. What cannot be parsed is marked, the rest is read.
Source: https://www.gnu.org/software/bash/manual/bash.html#Shell-Commands
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from seatrial.sources.dockerfile_text import Joined, Run, concatenate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tree_sitter import Node, Parser

    from seatrial.sources.shell_model import ShellCommand

_MOST_DOCUMENTS = 100
"""The grammar takes quadratic time for here-documents that do not end; nobody has this many."""

_LEADING = re.compile(
    r"""\s*(?P<document>[0-9]*<<-?[ \t]*(?:"[^"\n]*"|'[^'\n]*'|[^\s<>|&;()"'`$]+))(?P<gap>[ \t]+)(?P<name>[^\s<>|&;()#"'`$]+)"""
)
_NOT_ASCII = re.compile(r"[^\x01-\x7f]")
_ESCAPED = re.compile(r"\\.", re.DOTALL)
_CARRIAGE = re.compile(r"(\\)?\r\n")


def commands(text: str | Joined, variables: Mapping[str, str] | None = None) -> tuple[ShellCommand, ...]:
    """The simple commands of a text, each with its place: offsets in `text`, or in the source of a `Joined`.

    Commands in `bash -c "…"`, `eval "…"`, `bash <<EOF` and `$(…)` follow, or for the last precede, the command that
    holds them. A function's commands stand where it is called. A `for` over known words is unrolled, each turn after
    an assignment of its own.
    `variables` are those whose values are known at the start; what is not there is unknown, and what is known not to
    be set is there as an empty text. Where they decide an `if`, a `case` or a test before `&&` and `||`, only what
    runs is returned. A text with more than a hundred here-documents is not read. Never raises.
    """
    from seatrial.sources.shell_walk import walk

    plain = text if isinstance(text, str) else text.text
    if plain.count("<<") > _MOST_DOCUMENTS:
        return ()
    whole = text if isinstance(text, Joined) else Joined(text, (Run(0, 0, len(text)),) if text else ())
    return walk(whole, dict(variables or {}))


def command_first(whole: Joined) -> Joined:
    """The text with its first command's name before the here-document that it begins with: `<<EOF bash -e`.

    The shell takes either order, and a Dockerfile's `RUN <<EOF bash -e` is the usual one; the grammar knows one alone.
    """
    found = _LEADING.match(whole.text)
    if found is None:
        return whole
    parts = (found.span("name"), found.span("gap"), found.span("document"), (found.end(), len(whole.text)))
    return concatenate(whole.piece(*part) for part in parts)


def parse(text: str) -> Node:
    """The syntax tree of a text. Its byte offsets are indices in `text`."""
    # Every character that is not ASCII is one byte that can be part of a word, but not of a name. So the byte offsets
    # of the tree are code points.
    plain = _NOT_ASCII.sub(",", text)
    if "\r" in plain:
        plain = _CARRIAGE.sub(lambda found: " \\\n" if found[1] else "\n\n", plain)
    if "\\ " in plain or "\\\t" in plain:
        # The grammar loses an escaped blank at the end of a word.
        plain = _ESCAPED.sub(lambda found: ",," if found[0][1] in " \t" else found[0], plain)
    return _parser().parse(plain.encode("ascii")).root_node


@cache
def _parser() -> Parser:
    import tree_sitter
    import tree_sitter_bash

    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_bash.language()))
