"""Command lines of installers: options, their values, and the words that are left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from seatrial.images.story.words import Word


class Options(msgspec.Struct, frozen=True):
    """What an installer's command line may say.

    `valued` are long options that take a value, `short` gives the long name of a one-letter option. `known` are the long
    options without a value that may be shortened, as Python's optparse allows; empty where the tool does not allow it.
    """

    valued: frozenset[str]
    short: Mapping[str, str]
    known: frozenset[str] = frozenset()

    def full(self, name: str) -> str:
        """The long name that a shortened one stands for; itself when it is none or several."""
        if not self.known or name in self.valued or name in self.known:
            return name
        longer = [one for one in (*self.valued, *self.known) if one.startswith(name)]
        return longer[0] if len(longer) == 1 else name


class Parsed(msgspec.Struct, frozen=True):
    """A command line that was taken apart. `values` keeps the order; `flags` are the options without a value."""

    words: tuple[Word, ...]
    values: tuple[tuple[str, Word], ...]
    flags: frozenset[str]

    def all(self, *names: str) -> tuple[Word, ...]:
        """The values of these options, in order."""
        return tuple(word for name, word in self.values if name in names)

    def last(self, *names: str) -> Word | None:
        """The value that counts when an option is given several times."""
        found = self.all(*names)
        return found[-1] if found else None


def parse(arguments: Sequence[Word], options: Options) -> Parsed:
    """Take a command line apart. An option that is not known counts as one without a value."""
    words: list[Word] = []
    values: list[tuple[str, Word]] = []
    flags: set[str] = set()
    waiting = ""
    literal = False
    for word in arguments:
        text = word.text
        if waiting:
            values.append((waiting, word))
            waiting = ""
        elif literal or not text.startswith("-") or text == "-":
            words.append(word)
        elif text == "--":
            literal = True
        elif text.startswith("--"):
            waiting = _long(word, options, values, flags)
        else:
            waiting = _short(word, options, values, flags)
    return Parsed(tuple(words), tuple(values), frozenset(flags))


def _long(word: Word, options: Options, values: list[tuple[str, Word]], flags: set[str]) -> str:
    name, equals, _ = word.text[2:].partition("=")
    full = options.full(name)
    if equals and full in options.valued:
        values.append((full, word.cut(len(name) + 3)))
    elif full in options.valued:
        return full
    else:
        flags.add(full)
    return ""


def _short(word: Word, options: Options, values: list[tuple[str, Word]], flags: set[str]) -> str:
    """`-qU`, `-r FILE`, `-rFILE`, `-r=FILE` of uv."""
    for index, letter in enumerate(word.text[1:], 1):
        full = options.short.get(letter, letter)
        if full not in options.valued:
            flags.add(full)
            continue
        if index + 1 == len(word.text):
            return full
        skipped = 1 if word.text[index + 1] == "=" else 0
        values.append((full, word.cut(index + 1 + skipped)))
        return ""
    return ""
