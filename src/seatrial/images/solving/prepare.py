"""From a problem to the first question: what can be asked at all, and what must be seen before asking."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import msgspec

from seatrial.images.solving.asking import Question
from seatrial.images.solving.places import find_places, shown
from seatrial.images.solving.settle import (
    Means,
    known_releases,
    labelled_needs,
    look_up,
    with_installed,
    with_sources,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seatrial.images.solving.metadata import Needs
    from seatrial.images.solving.model import Ask, Setting


class Prepared(msgspec.Struct, frozen=True):
    """The first question and what to say of it."""

    question: Question
    notes: tuple[str, ...]


def prepare(asks: Sequence[Ask], setting: Setting, means: Means) -> Prepared:
    """Leave out what cannot be read without running or fetching code, and stand in for what uv would have to build."""
    notes: list[str] = []
    kept: list[Ask] = []
    excluded: list[str] = []
    for ask in asks:
        problem = _unreadable(ask)
        if problem is None:
            kept.append(ask)
            continue
        notes.append(f"{ask.name or ask.id} {problem}")
        if ask.name and ask.url:
            excluded.append(ask.name)
    # A package that is there from elsewhere is there for all who ask for it.
    kept = [ask for ask in kept if ask.name not in excluded]
    constraints = tuple(
        ask
        for ask in setting.constraints
        if _unreadable(ask) is None and not ask.url and ask.name not in excluded
    )
    places = find_places(setting, kept, means.env)
    question = Question(
        asks=tuple(kept),
        constraints=constraints,
        setting=setting,
        places=places,
        excluded=tuple(dict.fromkeys(excluded)),
    )
    named = [ask.name for ask in kept if not ask.url]
    if not means.offline and not places.missing:
        look_up(question, list(dict.fromkeys(named)), means)  # several at a time; kept for what follows
        question = with_sources(question, named, means) or question
        question = _with_installed(question, means)
        question, said = _with_labels(question, means)
        notes += said
    return Prepared(question, tuple(notes))


def _unreadable(ask: Ask) -> str | None:
    """Why an ask is left out; None: it can be asked."""
    from packaging.requirements import InvalidRequirement, Requirement

    if not ask.url:
        try:
            Requirement(ask.text)
        except InvalidRequirement:
            return f"is asked for as {ask.text!r}, which is no requirement, and was left out"
        return "spans lines and was left out" if "\n" in ask.text else None
    try:
        parts = urlsplit(ask.url)
    except ValueError:
        return "comes from an address that cannot be read, and was left out"
    where = f"comes from {shown(ask.url)}"
    wheel = unquote(parts.path).endswith(".whl") and re.fullmatch(r"[^\s'\"$]+", ask.url) is not None
    if not wheel or parts.scheme not in ("http", "https", "file"):
        return f"{where} and was left out: what it needs cannot be told without building it"
    from seatrial.images.solving.places import reachable

    return (
        None
        if reachable(ask.url)
        else f"{where}, which cannot be asked from here: what it needs was not seen"
    )


def _with_installed(question: Question, means: Means) -> Question:
    """Stand in for what the base has and an ask is content with, where no index has that version."""
    from packaging.specifiers import SpecifierSet

    installed = question.setting.installed
    kept = {
        ask.name: installed[ask.name]
        for ask in question.asks
        if not ask.url
        and ask.name in installed
        and SpecifierSet(ask.specifier).contains(installed[ask.name], prereleases=True)
    }
    return with_installed(question, kept, means) or question


def _with_labels(question: Question, means: Means) -> tuple[Question, list[str]]:
    """Stand in for builds with a local label that only a place out of reach has: `torch==2.4.0+cu121`."""
    notes: list[str] = []
    added: dict[str, dict[str, Needs | None]] = {}
    if not question.places.left_out:
        return question, notes
    for ask in (*question.asks, *question.constraints):
        match = re.fullmatch(r"===?\s*([^\s,*+]+\+[A-Za-z0-9.]+)", ask.specifier.strip())
        if match is None:
            continue
        version = match[1]
        public, _, label = version.partition("+")
        known = known_releases(question, ask.name, means)
        if version in known or public not in known or not known[public].wheels:
            continue
        needs = labelled_needs(question, ask.name, version, means)
        added.setdefault(ask.name, dict(question.stand_ins.get(ask.name, {})))[version] = needs
        notes.append(
            f"{ask.name} {version} was resolved as {public} of the default index: the same release without the "
            f"libraries that differ in the build {label}"
        )
    return msgspec.structs.replace(question, stand_ins={**question.stand_ins, **added}), notes
