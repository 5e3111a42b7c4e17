"""Answer problems: which versions would be chosen, why none can be, or why that cannot be told."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec

from seatrial.images.solving.explain import REFUSED, explain
from seatrial.images.solving.model import Ask, Change, Setting, Solution
from seatrial.images.solving.nearest import nearest_changes
from seatrial.images.solving.prepare import Prepared, prepare
from seatrial.images.solving.remember import answering, forget_old, key_of, recall, remember
from seatrial.images.solving.settle import Means, Settled, known_releases, settle

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

BUDGET = 60.0  # seconds
_AT_ONCE = 4


class Problem(msgspec.Struct, frozen=True):
    """Asks that go into one environment, and where that is."""

    asks: tuple[Ask, ...]
    setting: Setting


def solve(
    asks: Sequence[Ask],
    setting: Setting,
    *,
    budget: float = BUDGET,
    refresh: bool = False,
    offline: bool = False,
    env: Mapping[str, str] | None = None,
) -> Solution:
    """Choose versions for everything asked, as one install into one environment.

    Nothing of the repository and no source distribution is run. `budget` is in seconds; when it is spent, the answer is
    unknown. `refresh` forgets what was answered before; `offline` answers from memory alone.

    Raises:
        MissingToolError: uv is not installed.
        UsageError: the platform or C library of `setting` is not one that wheels are made for.
    """
    means = _means(budget, refresh, offline, env)
    numbered, ids = _numbered(asks, setting)
    key = key_of("solution", numbered.asks, numbered.setting, means.env)
    with answering(key):  # who asks the same at the same time waits for the one answer
        return _with_ids(_recalled(key, means) or _answered(key, numbered, means), ids)


def solve_all(
    problems: Iterable[Problem],
    *,
    budget: float = BUDGET,
    refresh: bool = False,
    offline: bool = False,
    env: Mapping[str, str] | None = None,
) -> list[Solution]:
    """Answer many problems, a few at the same time; `budget` is for each. As `solve`."""

    def one(problem: Problem) -> Solution:
        return solve(problem.asks, problem.setting, budget=budget, refresh=refresh, offline=offline, env=env)

    some = list(problems)
    if not some:
        return []
    with ThreadPoolExecutor(min(_AT_ONCE, len(some), os.cpu_count() or 1)) as pool:
        return list(pool.map(one, some))


def changes(
    asks: Sequence[Ask],
    setting: Setting,
    solution: Solution,
    *,
    budget: float = BUDGET,
    refresh: bool = False,
    offline: bool = False,
    env: Mapping[str, str] | None = None,
) -> tuple[Change, ...]:
    """The nearest changes that make an unsatisfiable problem satisfiable, best first; empty where none was found in time.

    Raises:
        MissingToolError: uv is not installed.
    """
    if solution.conflict is None or not solution.conflict.asks:
        return ()
    means = _means(budget, refresh, offline, env)
    problem, ids = _numbered(asks, setting)
    numbers = [number for number, own in ids.items() if own in solution.conflict.asks]
    key = key_of("changes", problem.asks, problem.setting, means.env)
    with answering(key):
        found = None if refresh else recall(key, tuple[Change, ...], anyhow=offline)
        if found is None:
            found = () if offline else _changes(problem, numbers, means)
            if found or (means.left > 0 and not offline):
                remember(key, found, short=not found)
    return tuple(
        msgspec.structs.replace(
            one, edits=tuple(msgspec.structs.replace(edit, ask=ids[edit.ask]) for edit in one.edits)
        )
        for one in found
    )


def _changes(problem: Problem, numbers: Sequence[str], means: Means) -> tuple[Change, ...]:
    question = prepare(problem.asks, problem.setting, means).question
    if question.places.missing:
        return ()
    settled = settle(question, msgspec.structs.replace(means, cached_first=True))
    return nearest_changes(settled.question, numbers, means)


def _recalled(key: str, means: Means) -> Solution | None:
    if not means.refresh and (known := recall(key, Solution)) is not None:
        return msgspec.structs.replace(known, cached=True)
    if not means.offline:
        return None
    return _earlier(key) or _unanswered(
        "this was not resolved before, and no index is asked offline", "run it once online"
    )


def _earlier(key: str) -> Solution | None:
    """An answer whose time is over, for when there is no better one."""
    old = recall(key, Solution, anyhow=True)
    if old is None:
        return None
    note = "the index cannot be asked now: this is an earlier answer"
    return msgspec.structs.replace(old, cached=True, notes=(*old.notes, note))


def _answered(key: str, problem: Problem, means: Means) -> Solution:
    solution = _solve(problem.asks, problem.setting, means)
    if solution.status == "unknown":
        return _earlier(key) or solution
    remember(key, solution, short=solution.status == "unsatisfiable")
    return solution


def _numbered(asks: Sequence[Ask], setting: Setting) -> tuple[Problem, dict[str, str]]:
    """The problem with identities of our own, so that its answer fits whoever asks the same; and whose they are."""
    ids: dict[str, str] = {}

    def renamed(some: Sequence[Ask]) -> tuple[Ask, ...]:
        found = []
        for ask in some:
            number = str(len(ids))
            ids[number] = ask.id
            found.append(msgspec.structs.replace(ask, id=number))
        return tuple(found)

    limits = msgspec.structs.replace(setting, constraints=renamed(setting.constraints))
    return Problem(renamed(asks), limits), ids


def _with_ids(solution: Solution, ids: Mapping[str, str]) -> Solution:
    if solution.conflict is None:
        return solution
    own = tuple(ids[number] for number in solution.conflict.asks)
    return msgspec.structs.replace(solution, conflict=msgspec.structs.replace(solution.conflict, asks=own))


def _means(budget: float, refresh: bool, offline: bool, env: Mapping[str, str] | None) -> Means:
    environment = dict(os.environ if env is None else env)
    return Means(environment, time.monotonic() + budget, refresh, offline)


def _unanswered(reason: str, remedy: str, notes: tuple[str, ...] = ()) -> Solution:
    return Solution(status="unknown", reason=reason, remedy=remedy, notes=notes)


def _solve(asks: Sequence[Ask], setting: Setting, means: Means) -> Solution:
    forget_old()
    prepared = prepare(asks, setting, means)
    places = prepared.question.places
    if places.missing:
        return _unanswered(
            f"the index {places.missing} cannot be asked from here",
            "run this where the index can be reached",
            tuple(dict.fromkeys((*places.notes, *prepared.notes))),
        )
    settled = settle(prepared.question, means)
    notes = _notes(prepared, settled)
    kind = settled.answer.kind
    if kind == "satisfied":
        return _satisfied(settled, notes, means)
    if kind in REFUSED:
        explained = explain(settled, means)
        return Solution(
            status="unknown" if explained.doubt else "unsatisfiable",
            conflict=explained.conflict,
            reason=explained.doubt,
            remedy="run this where those indexes can be reached" if explained.doubt else "",
            notes=notes,
        )
    return _unanswered(*_failed(settled), notes)


def _failed(settled: Settled) -> tuple[str, str]:
    """Why there is no answer, and what would help."""
    first = next((line for line in settled.answer.text.splitlines() if line.startswith("error:")), "")
    said = first.removeprefix("error:").strip() or settled.answer.text.strip()[:300]
    match settled.answer.kind:
        case "late":
            return "resolving took longer than the time it was given", "give it more time"
        case "unreachable":
            return (
                f"the package index cannot be asked: {said}",
                "check the network, the index address (UV_DEFAULT_INDEX) and its credentials",
            )
        case _:
            return f"uv could not read what is asked for: {said}", "correct the requirements"


def _satisfied(settled: Settled, notes: tuple[str, ...], means: Means) -> Solution:
    question, versions = settled.question, settled.answer.versions
    installed = question.setting.installed
    stood_in = {
        name: some[versions[name]]
        for name, some in question.stand_ins.items()
        if versions.get(name, "") in some and installed.get(name) != versions[name]
    }
    unseen = tuple(sorted(name for name, needs in stood_in.items() if needs is None))
    built = tuple(sorted(name for name in stood_in if "+" not in versions[name]))
    said = [f"{name} {versions[name]}: its own dependencies were not seen" for name in unseen]
    return Solution(
        status="satisfied",
        versions=versions,
        replaced={
            name: (installed[name], version)
            for name, version in versions.items()
            if name in installed and installed[name] != version
        },
        built=built,
        unseen=(*unseen, *question.excluded),
        yanked=_yanked(settled, means),
        notes=(*notes, *said),
        left_out=question.places.left_out,
    )


def _notes(prepared: Prepared, settled: Settled) -> tuple[str, ...]:
    late = [
        f"{name} comes from an address that cannot be read: what it needs was not seen"
        for name in settled.question.excluded
        if name not in prepared.question.excluded
    ]
    return tuple(dict.fromkeys((*settled.question.places.notes, *prepared.notes, *late)))


def _yanked(settled: Settled, means: Means) -> dict[str, str]:
    """Chosen versions that were withdrawn: an installer takes one only where exactly it is asked for."""
    found = {}
    for ask in settled.question.asks:
        version = settled.answer.versions.get(ask.name)
        if version is None or ask.url or "==" not in ask.specifier:
            continue
        release = known_releases(settled.question, ask.name, means).get(version)
        if release is not None and release.yanked is not None:
            found[ask.name] = f"{version}: {release.yanked or 'no reason given'}"
    return found
