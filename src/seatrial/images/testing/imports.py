"""Every declared module imports, in the image and by its own interpreter."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from seatrial.errors import SeatrialError
from seatrial.images import runtime
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
for name in json.loads(sys.stdin.read()):
    report.write(json.dumps({"start": name}) + "\\n")
    begin = time.perf_counter()
    try:
        importlib.import_module(name)
        answer = {"done": name, "seconds": time.perf_counter() - begin}
    except BaseException as error:
        answer = {"done": name, "error": "%s: %s" % (type(error).__name__, error), "missing": getattr(error, "name", None)}
    report.write(json.dumps(answer) + "\\n")
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
}
_TIMEOUT = 240.0
_CHUNKS = 2
_BAD_SIGNALS = {4: "illegal instruction", 6: "abort", 7: "bus error", 9: "killed", 11: "segmentation fault"}


def check(subject: Subject) -> Iterator[Check]:
    """Import the modules, in a few interpreters at a time; one each at level full."""
    from concurrent.futures import ThreadPoolExecutor

    python = subject.python
    if python is None:
        yield skipped("imports", "the image has no Python")
        return
    names = wanted(subject, python)
    if not names:
        yield skipped("imports", "nothing is installed and nothing declared to import")
        return
    count = len(names) if subject.level == "full" else min(len(names), max(_CHUNKS, os.cpu_count() or 1))
    chunks = [names[start::count] for start in range(count)]
    with ThreadPoolExecutor(max(_CHUNKS, os.cpu_count() or 1)) as pool:
        errors: dict[str, str] = {}
        for found in pool.map(lambda chunk: _import(subject, python, chunk), chunks):
            errors |= found
    if not errors:
        yield passed("imports", f"{len(names)} modules import", names)
    for name in sorted(errors, key=names.index):
        yield failed(f"imports:{name}", f"`import {name}` fails: {errors[name]}", _advice(errors[name]))


def wanted(subject: Subject, python: Python) -> list[str]:
    """Declared modules first, then those of the distributions of the lock, or of all that are not the system's."""
    names = dict.fromkeys(subject.spec.imports)
    for distribution in python.distributions:
        if distribution.name in subject.lock if subject.lock is not None else not distribution.system:
            names |= dict.fromkeys(_main_modules(distribution))
    return list(names)


def _main_modules(distribution: Distribution) -> list[str]:
    """The modules that a distribution is used by: not its private or test modules."""
    public = [n for n in distribution.modules if not n.startswith("_") and n.lower() not in _NO_MODULE]
    plain = distribution.name.replace("-", "_")
    same = [n for n in public if n.lower() == plain]
    return same or public


def _import(subject: Subject, python: Python, names: list[str]) -> dict[str, str]:
    """Errors by module. After a crash the modules behind the one that crashed get a new interpreter."""
    errors: dict[str, str] = {}
    left = names
    while left:
        launch = runtime.Launch(
            entrypoint=(python.program,),
            network="none",
            env={**subject.spec.env, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        try:
            done = runtime.run(
                subject.root, ["-c", _IMPORT], launch, stdin=json.dumps(left), timeout=_TIMEOUT
            )
        except SeatrialError as error:
            if error.exit_code != SeatrialError.exit_code:
                raise
            return {**errors, left[0]: f"importing {', '.join(left)} {error.what.partition(' ')[2]}"}
        started, finished = None, set()
        for line in done.stdout.splitlines():
            answer = json.loads(line)
            if "start" in answer:
                started = answer["start"]
                continue
            finished.add(answer["done"])
            if "error" in answer:
                errors[answer["done"]] = _first_line(answer["error"])
        if len(finished) == len(left):
            return errors
        crashed = started if started is not None and started not in finished else left[0]
        errors[crashed] = _ending(done.code, done.stderr)
        left = [n for n in left if n not in finished and n != crashed]
    return errors


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0][:400] if text.strip() else "no reason given"


def _ending(code: int, stderr: str) -> str:
    last = (stderr.strip().splitlines() or [""])[-1][:300]
    how = _BAD_SIGNALS.get(code - 128, f"exit code {code}")
    return f"the interpreter ended ({how}) {last}".strip()


def _advice(error: str) -> str:
    """What to do, from the words of the interpreter and the loader."""
    if "cannot open shared object file" in error:
        library = error.split(":")[1].strip() if ":" in error else "the library"
        return f"install the system package that has {library}, or a wheel that carries it"
    if "No module named" in error:
        return "add the distribution that has this module to the requirements and lock again"
    if "numpy" in error.lower() and (
        "1.x" in error or "_ARRAY_API" in error or "dtype size changed" in error
    ):
        return "compiled against another NumPy major: pin numpy<2, or take a version built for NumPy 2"
    if "GLIBC" in error:
        return "the wheel needs a newer glibc: take a newer base image or an older wheel"
    if "undefined symbol" in error:
        return "two packages do not fit each other (ABI): pin versions that were built together"
    return (
        "import it in the image to see the whole traceback: seatrial image run IMAGE -- python3 -c 'import …'"
    )
