"""Everything that was declared of an image, asked of it; independent tests at the same time."""

from __future__ import annotations

import os
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from seatrial.config.checks import Checks
from seatrial.errors import SeatrialError
from seatrial.images.testing.declared import (
    commands,
    files,
    from_checks,
    from_structure,
    http,
    licenses,
    metadata,
)  # fmt: skip
from seatrial.images.testing.declared.model import (
    CommandTest,
    ContentTest,
    FileTest,
    LicenseTest,
)  # fmt: skip
from seatrial.images.testing.model import Check, failed, skipped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from seatrial.images.testing.declared.declaration import Declared
    from seatrial.images.testing.declared.from_structure import Test
    from seatrial.images.testing.model import Subject

_WORKERS = 4


def check(subject: Subject) -> Iterator[Check]:
    """An answer for each declared test, in the order of their files; their ids differ from one another."""
    if not subject.spec.declared:
        yield skipped("declared", "no checks were declared")
        return
    from concurrent.futures import ThreadPoolExecutor

    work = [task for declared in subject.spec.declared for task in _tasks(subject, declared)]
    if not work:
        names = ", ".join(declared.name for declared in subject.spec.declared)
        yield failed("declared", f"no test is declared in {names}", "declare some, or leave the files out")
        return
    # Those that wait for programs are started first.
    with ThreadPoolExecutor(_WORKERS) as pool:
        running = [pool.submit(task) for task in work]
        found = [one for future in running for one in future.result()]
    yield from _told_apart(found)


def _tasks(subject: Subject, declared: Declared) -> Iterator[Callable[[], list[Check]]]:
    content = declared.content
    if isinstance(content, Checks):
        tests: Iterable[Test] = from_checks.tests(declared, content, subject.root)
        if content.http.requests:
            yield lambda: _guarded(
                "http", declared.at("http"), lambda: http.check(subject, declared, content.http)
            )
    else:
        tests = from_structure.tests(declared, content, subject.root, os.environ)
    for test in tests:
        yield partial(_asked, subject, test)


def _asked(subject: Subject, test: Test) -> list[Check]:
    return _guarded(test.id, test.where, lambda: [_one(subject, test)])


def _one(subject: Subject, test: Test) -> Check:
    if isinstance(test, CommandTest):
        return commands.check(subject.root, test)
    if isinstance(test, FileTest):
        return files.check_file(subject, test)
    if isinstance(test, ContentTest):
        return files.check_content(subject, test)
    if isinstance(test, LicenseTest):
        return licenses.check(subject, test)
    return metadata.check(subject.root.settings, test)


def _guarded(identifier: str, where: str, ask: Callable[[], Iterable[Check]]) -> list[Check]:
    """One test that cannot be asked does not take the others with it."""
    try:
        return list(ask())
    except SeatrialError as error:
        if error.exit_code != SeatrialError.exit_code:
            raise
        why = f"{error.what}: {error.why}" if error.why else error.what
        return [failed(identifier, why, error.fix or f"correct {where}")]


def _told_apart(found: list[Check]) -> Iterator[Check]:
    seen: Counter[str] = Counter()
    for one in found:
        seen[one.id] += 1
        number = seen[one.id]
        yield one if number == 1 else msgspec.structs.replace(one, id=f"{one.id}#{number}")
