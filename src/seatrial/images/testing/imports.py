"""Every declared module imports, in the image and by its own interpreter."""

from __future__ import annotations

import json
import os
import re
import secrets
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from seatrial.errors import SeatrialError
from seatrial.images import runtime
from seatrial.images.testing.import_advice import advice
from seatrial.images.testing.model import Check, Subject, failed, passed, skipped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.images.testing.python import Distribution, Python

# Says which module it is about to import before it does, so that a crash has a name.
_IMPORT = """
import importlib, json, os, sys, time, warnings
warnings.simplefilter("ignore")
report = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)
mark, names = json.loads(sys.stdin.read())
for name in names:
    report.write("\\n" + mark + json.dumps({"start": name}) + "\\n")
    # What C code prints counts as well, so the descriptor is caught and not sys.stderr.
    said, before = os.memfd_create("said"), os.dup(2)
    os.dup2(said, 2)
    begin, error, place = time.perf_counter(), None, ""
    try:
        importlib.import_module(name)
    except BaseException as caught:
        error = "%s: %s" % (type(caught).__name__, caught)
        trace = caught.__traceback__
        while trace is not None:
            file = trace.tb_frame.f_code.co_filename
            # Where it really happened: neither in this program nor in the import system.
            if not file.startswith("<"):
                place = file
            trace = trace.tb_next
        place = getattr(caught, "path", None) or place
    sys.stderr.flush()
    os.dup2(before, 2)
    os.close(before)
    os.lseek(said, 0, os.SEEK_SET)
    text = os.read(said, 20000).decode("utf-8", "replace")
    os.close(said)
    report.write("\\n" + mark + json.dumps({"done": name, "seconds": time.perf_counter() - begin, "error": error, "place": place, "said": text}) + "\\n")
report.flush()
os._exit(0)
"""
_NO_MODULE = {
    "test",
    "tests",
    "testing",
    "doc",
    "docs",
    "example",
    "examples",
    "benchmarks",
    "conftest",
    "setup",
    "scripts",
    "share",
    "etc",
}
# numpy/_core/src/multiarray, printed when a module built for the old C API is loaded.
_NUMPY_ABI = re.compile(r"compiled using NumPy 1\.x cannot be run in\s+NumPy (\S+)")
_MOST_PARTS = 3
_TIMEOUT = 240.0
_CHUNKS = 2
_BAD_SIGNALS = {4: "illegal instruction", 6: "abort", 7: "bus error", 9: "killed", 11: "segmentation fault"}


class Failure(NamedTuple):
    """What an import said, and the file in which it happened."""

    words: str
    place: str = ""


def check(subject: Subject) -> Iterator[Check]:
    """Import the modules, in a few interpreters at a time; one each at level full."""
    from concurrent.futures import ThreadPoolExecutor

    python = subject.python
    if python is None:
        yield skipped("imports", subject.no_python())
        return
    names = wanted(subject, python)
    if not names:
        yield skipped("imports", "nothing is installed and nothing declared to import")
        return
    count = len(names) if subject.level == "full" else min(len(names), max(_CHUNKS, os.cpu_count() or 1))
    chunks = [names[start::count] for start in range(count)]
    with ThreadPoolExecutor(max(_CHUNKS, os.cpu_count() or 1)) as pool:
        errors: dict[str, Failure] = {}
        for found in pool.map(lambda chunk: _import(subject, python, chunk), chunks):
            errors |= found
    if not errors:
        yield passed("imports", f"{len(names)} modules import", names)
    for name in sorted(errors, key=names.index):
        words = errors[name].words
        answer = failed(f"imports:{name}", f"`import {name}` fails: {words}", advice(subject, words))
        cause = _cause(name, errors)
        yield msgspec.structs.replace(answer, because=f"imports:{cause}") if cause else answer


def _cause(name: str, errors: dict[str, Failure]) -> str:
    """The other module whose failure this one only meets: it happened in that one's files, in the same words."""
    mine = errors[name]
    for other, failure in errors.items():
        if other != name and failure == mine and mine.place:
            parts = mine.place.split("/")
            owner = {other.partition(".")[0], f"{other}.py"} & {*parts, parts[-1].partition(".")[0]}
            own = {name.partition(".")[0]} & {*parts, parts[-1].partition(".")[0]}
            if owner and not own:
                return other
    return ""


def wanted(subject: Subject, python: Python) -> list[str]:
    """Declared modules first, then those of the distributions of the lock, or of all that are not the system's."""
    names = dict.fromkeys(subject.spec.imports)
    for distribution in python.distributions:
        if distribution.name in subject.lock if subject.lock is not None else not distribution.system:
            names |= dict.fromkeys(_main_modules(distribution))
    return list(names)


def _main_modules(distribution: Distribution) -> list[str]:
    """The modules that a distribution is used by: not its private or test modules."""
    public = [
        n
        for n in distribution.modules
        if not n.startswith("_") and n.lower().partition(".")[0] not in _NO_MODULE
    ]
    plain = distribution.name.replace("-", "_")
    same = [n for n in public if n.lower().replace(".", "_") == plain]
    # Of a namespace there may be many parts, of which some are for software that is absent.
    return same or [n for n in public if "." not in n] or public[:_MOST_PARTS]


def _import(subject: Subject, python: Python, names: list[str]) -> dict[str, Failure]:
    """Errors by module. After a crash the modules behind the one that crashed get a new interpreter."""
    errors: dict[str, Failure] = {}
    # What is imported may write to every descriptor that is open, so our lines begin with a word that it cannot know.
    mark = secrets.token_hex(8)
    left = names
    while left:
        launch = runtime.Launch(
            entrypoint=(python.program,),
            network="none",
            env={**subject.spec.env, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        try:
            done = runtime.run(
                subject.root, ["-c", _IMPORT], launch, stdin=json.dumps([mark, left]), timeout=_TIMEOUT
            )
        except SeatrialError as error:
            if error.exit_code != SeatrialError.exit_code:
                raise
            return {**errors, left[0]: Failure(f"importing {', '.join(left)} {error.what.partition(' ')[2]}")}
        started, finished = None, set()
        for line in done.stdout.split("\n"):
            if not line.startswith(mark):
                continue
            answer = json.loads(line.removeprefix(mark))
            if "start" in answer:
                started = answer["start"]
                continue
            finished.add(answer["done"])
            problem = _problem(answer["error"], answer["said"])
            if problem:
                errors[answer["done"]] = Failure(problem, answer["place"])
        if len(finished) == len(left):
            return errors
        crashed = started if started is not None and started not in finished else left[0]
        errors[crashed] = Failure(_ending(done.code, done.stderr))
        left = [n for n in left if n not in finished and n != crashed]
    return errors


def _problem(error: str | None, said: str) -> str:
    """The line that says why, or nothing. An old binary on NumPy 2 is one also when its import goes through."""
    if match := _NUMPY_ABI.search(said):
        return f"compiled against NumPy 1, which NumPy {match[1]} cannot run"
    if error is None:
        return ""
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    first = lines[0] if lines else ""
    if not first.endswith(":"):
        return first[:400]
    heard = [line.strip() for line in said.splitlines() if line.strip() and line.strip() != first]
    return f"{first} {lines[1] if len(lines) > 1 else heard[-1] if heard else 'it gives no reason'}"[:400]


def _ending(code: int, stderr: str) -> str:
    last = (stderr.strip().splitlines() or [""])[-1][:300]
    how = _BAD_SIGNALS.get(code - 128, f"exit code {code}")
    return f"the interpreter ended ({how}) {last}".strip()
