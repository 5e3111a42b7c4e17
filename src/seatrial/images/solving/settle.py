"""Asking until the answer stands: what uv cannot see without building is given a stand-in, what cannot be reached is left out."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec

from seatrial.errors import SeatrialError
from seatrial.images.solving import stand_ins
from seatrial.images.solving.asking import Answer, Question, ask_uv
from seatrial.images.solving.derivation import facts
from seatrial.images.solving.metadata import Needs, static_needs
from seatrial.images.solving.places import leave_out
from seatrial.images.solving.releases import File, Release, listed, page, releases

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_ROUNDS = 16
_NOT_THERE = ("none", "only", "absent", "lacks")
_SEEN = Needs()
_UNCACHED = re.compile(r"network was disabled|needs to be downloaded|not found in the cache")


class Means(msgspec.Struct, frozen=True):
    """With what questions are asked: uv's environment and the end of the time (monotonic seconds).

    `refresh` looks everything up anew. `offline` asks nobody. `cached_first` takes what uv has in its cache where that
    is enough for an answer: right for asking whether, soon after the same packages were looked up, and many times faster.
    """

    env: dict[str, str]
    deadline: float
    refresh: bool = False
    offline: bool = False
    cached_first: bool = False

    @property
    def left(self) -> float:
        return self.deadline - time.monotonic()


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """The last answer, and the question it belongs to."""

    answer: Answer
    question: Question


def settle(question: Question, means: Means) -> Settled:
    """Ask uv, and ask again with what its answer shows to be missing, until nothing is.

    Raises:
        MissingToolError: uv is not installed.
    """
    answer = Answer(kind="late")
    for _ in range(_ROUNDS):
        if means.left <= 0:
            return Settled(answer=Answer(kind="late"), question=question)
        answer = _ask(question, means)
        means = msgspec.structs.replace(means, refresh=False)
        better = _improved(question, answer, means)
        if better is None:
            break
        question = better
    return Settled(answer=answer, question=question)


def _ask(question: Question, means: Means) -> Answer:
    if means.cached_first or means.offline:
        answer = ask_uv(question, means.env, timeout=means.left, offline=True)
        if means.offline or (answer.kind != "unreachable" and not _UNCACHED.search(answer.text)):
            return answer
    return ask_uv(question, means.env, timeout=max(means.left, 0.001), refresh=means.refresh)


def _improved(question: Question, answer: Answer, means: Means) -> Question | None:
    """The question with what this answer lacked; None: it lacked nothing that can be had."""
    if answer.kind in ("unreachable", "refused"):
        return _without_unreachable(question, answer.text) or _without_addresses(question, answer.text)
    if answer.kind in ("no-wheel", "unsatisfiable"):
        installed = question.setting.installed
        absent = {fact.subject.name for fact in facts(answer.text) if fact.kind in _NOT_THERE}
        there = {name: installed[name] for name in absent & installed.keys()}
        return (
            with_sources(question, unbuilt(answer.text), means)
            or with_installed(question, there, means)
            or _without_addresses(question, answer.text)
        )
    if answer.kind == "satisfied":
        return _with_needs_of_chosen(question, answer.versions, means) or _with_passed_over(
            question, answer.versions, means
        )
    return None


def _without_unreachable(question: Question, text: str) -> Question | None:
    for ask in question.asks:
        if ask.url and ask.url.partition("#")[0] in text:
            return msgspec.structs.replace(
                question,
                asks=tuple(one for one in question.asks if one is not ask),
                excluded=(*question.excluded, ask.name),
            )
    places = leave_out(question.places, text)
    return None if places is None else msgspec.structs.replace(question, places=places)


def _without_addresses(question: Question, text: str) -> Question | None:
    """Packages that another one wants from an address: uv takes addresses from the request alone, pip from anyone."""
    names = re.findall(rf"Package `({_PACKAGE})` was included as a URL dependency", text)
    fresh = [name for name in dict.fromkeys(names) if name not in question.excluded]
    if not fresh:
        return None
    return msgspec.structs.replace(question, excluded=(*question.excluded, *fresh))


_PACKAGE = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"


def unbuilt(text: str) -> set[str]:
    """The packages of which uv says that it saw no wheel that it can use."""
    found = set(re.findall(rf"Wheels are required for `({_PACKAGE})`", text))
    joined = re.sub(r"\s+", " ", text)
    for sentence in re.split(r"(?:Because|And because|, we can conclude that)", joined):
        if re.search(r"ha(?:s|ve) no (?:usable wheels|wheels with)", sentence):
            before = re.split(r"ha(?:s|ve) no (?:usable wheels|wheels with)", sentence)[0]
            found |= set(re.findall(rf"\b({_PACKAGE})(?=[<>=!~])", before))
            found |= set(re.findall(rf"all versions of ({_PACKAGE})", before))
    return found


def with_sources(question: Question, names: Iterable[str], means: Means) -> Question | None:
    """The question with a stand-in for each release of these packages that is a source distribution alone.

    None: there is none that is not there already.
    """
    wanted = [name for name in sorted(names) if name not in question.stand_ins]
    added: dict[str, dict[str, Needs | None]] = {}
    for name, known in zip(wanted, look_up(question, wanted, means), strict=True):
        pinned = {ask.specifier.lstrip("= ") for ask in question.asks if ask.name == name}
        added[name] = {
            version: None
            for version, one in known.items()
            if one.sources and not one.wheels and (one.yanked is None or version in pinned)
        }
    if not any(added.values()):
        return None
    return msgspec.structs.replace(question, stand_ins={**question.stand_ins, **added})


def look_up(question: Question, names: list[str], means: Means) -> list[dict[str, Release]]:
    """What the indexes list of each package, empty where they cannot be asked; a few at the same time."""
    if not names:
        return []
    with ThreadPoolExecutor(min(8, len(names))) as pool:
        return list(pool.map(lambda name: known_releases(question, name, means), names))


def known_releases(question: Question, name: str, means: Means) -> dict[str, Release]:
    """The releases of a package on all indexes of the question."""
    return releases(_files(question, name, means), name, question.setting)


def _files(question: Question, name: str, means: Means) -> list[File]:
    from pathlib import Path
    from urllib.parse import unquote, urlsplit

    found: list[File] = []
    for index in question.places.indexes:
        try:
            found += page(index, name, refresh=means.refresh, offline=means.offline) or ()
        except SeatrialError:
            continue
    for link in question.places.find_links:
        parts = urlsplit(link)
        if parts.scheme in ("", "file"):
            found += listed(Path(unquote(parts.path) if parts.scheme else link))
    return found


def _with_needs_of_chosen(question: Question, versions: Mapping[str, str], means: Means) -> Question | None:
    """Read the static metadata of each chosen stand-in; when it says more than was assumed, ask again with it."""
    changed = dict(question.stand_ins)
    for name, assumed in question.stand_ins.items():
        version = versions.get(name, "")
        if assumed.get(version, _SEEN) is not None:
            continue
        needs = _needs_of(question, name, version, means)
        if needs is not None:
            changed[name] = {**changed[name], version: needs}
    if changed == question.stand_ins:
        return None
    return msgspec.structs.replace(question, stand_ins=changed)


def _needs_of(question: Question, name: str, version: str, means: Means) -> Needs | None:
    one = known_releases(question, name, means).get(version)
    for file in () if one is None else (*one.wheels, *one.sources):
        if (needs := static_needs(file, offline=means.offline)) is not None:
            return needs
    return None


def _with_passed_over(question: Question, versions: Mapping[str, str], means: Means) -> Question | None:
    """Where the base's version was passed over because no index has it, give it a stand-in, so that it can stay."""
    installed = question.setting.installed
    passed_over = {
        name: installed[name]
        for name, version in versions.items()
        if name in installed and installed[name] != version
    }
    return with_installed(question, passed_over, means)


def with_installed(question: Question, installed: Mapping[str, str], means: Means) -> Question | None:
    """The question with a stand-in for each installed version that no index has; None: there is none to add."""
    names = [name for name, version in installed.items() if version not in question.stand_ins.get(name, {})]
    added: dict[str, dict[str, Needs | None]] = {}
    for name, known in zip(names, look_up(question, names, means), strict=True):
        version = installed[name]
        if version not in known or not known[version].wheels:
            others = question.stand_ins.get(name, {})
            added[name] = {
                **others,
                version: labelled_needs(question, name, version, means),
            }
    return msgspec.structs.replace(question, stand_ins={**question.stand_ins, **added}) if added else None


def labelled_needs(question: Question, name: str, version: str, means: Means) -> Needs | None:
    """What a build with a label (`2.4.0+cu121`) needs: what the release without it does, but for the device's libraries."""
    public, _, label = version.partition("+")
    needs = _needs_of(question, name, public, means)
    return None if needs is None else stand_ins.without_device_libraries(needs, label)
