"""Break real things on purpose and keep what they print, as cases for `seatrial explain`.

A recipe (`scripts/provoking/recipes/*.yaml`) says which files lie in a new folder, what runs there and which cause is
right. The output goes, without anything that belongs to this machine, to `tests/diagnosis/provoked/`: two thirds to
`train.yaml`, a third to `held.yaml.gz`, which is for measuring only. A recipe with `healthy: true` must succeed; its
output goes to `tests/diagnosis/healthy/` and must not be explained. `scripts/provoking/worlds.py` starts what a recipe
needs beside it.

Run: .venv/bin/python scripts/provoke_failures.py [--only REGEX]… [--recipes FOLDER] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from provoking.recipes import Recipe, recipes
from provoking.scrubbing import Machine, scrub
from provoking.storing import Captured, keep
from provoking.worlds import WORLDS

SECONDS = 600
_LONGEST = {False: 400, True: 2500}
"""Lines kept of a failure, and of a background."""


class Outcome(NamedTuple):
    recipe: Recipe
    captured: Captured | None
    problem: str


def main() -> int:
    given = _arguments()
    chosen = [
        one
        for one in recipes(Path(given.recipes))
        if not given.only or any(re.search(pattern, one.name) for pattern in given.only)
    ]
    outcomes = []
    for one in chosen:
        outcomes.append(provoke(one))
        print(f"{outcomes[-1].problem or 'ok':<40} {one.name}", flush=True)
        keep([one.captured for one in outcomes[-1:] if one.captured], Path(given.out))
    failed = [one for one in outcomes if one.problem]
    print(f"{len(outcomes) - len(failed)} captured, {len(failed)} not")
    return 1 if failed else 0


def provoke(recipe: Recipe) -> Outcome:
    """Run `recipe` in a folder of its own and return what it printed."""
    absent = [tool for tool in recipe.tools if shutil.which(tool, path=_path()) is None]
    if absent:
        return Outcome(recipe, None, f"absent: {', '.join(absent)}")
    with (
        tempfile.TemporaryDirectory(prefix="provoke-", ignore_cleanup_errors=True) as name,
        ExitStack() as stack,
    ):
        top = Path(name)
        top.chmod(0o755)
        home, work = top / "home", top / "app"
        home.mkdir()
        work.mkdir()
        environment = _environment(home)
        for world in recipe.worlds:
            environment |= stack.enter_context(WORLDS[world](top / world))
        environment |= recipe.env
        for path, text in recipe.files.items():
            (work / path).parent.mkdir(parents=True, exist_ok=True)
            (work / path).write_text(text)
        if recipe.prepare:
            _run(recipe.prepare, work, environment)
        status, output = _run(recipe.run, work, environment)
        log = scrub(output, Machine.here(top), _LONGEST[recipe.background])
    if recipe.healthy != (status == 0) and not recipe.any_status:
        return Outcome(recipe, None, f"exit status {status}: {log.strip().splitlines()[-1:]}")
    if not log.strip():
        return Outcome(recipe, None, "printed nothing")
    return Outcome(recipe, Captured.of(recipe, log, status), "")


def _run(script: str, work: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Exit status and output, standard error among it as a console shows it."""
    running = subprocess.Popen(
        ["bash", "-c", script],
        cwd=work,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        output, _ = running.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(running.pid, signal.SIGKILL)
        return 124, running.communicate()[0].decode(errors="replace")
    return running.returncode, output.decode(errors="replace")


def _environment(home: Path) -> dict[str, str]:
    """What a build service would set, and the host's certificates."""
    trust = {name: value for name, value in os.environ.items() if name.endswith(("_CERT_FILE", "_CA_BUNDLE"))}
    return trust | {
        "HOME": str(home),
        "PATH": _path(),
        "LANG": "C.UTF-8",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
        "DEBIAN_FRONTEND": "noninteractive",
        "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"),
        "GIT_TERMINAL_PROMPT": "0",
        "AWS_EC2_METADATA_DISABLED": "true",
        "PYTHON": sys.executable,
        "RUSTUP_HOME": os.environ.get("RUSTUP_HOME", str(Path.home() / ".rustup")),
    }


def _path() -> str:
    return os.environ.get("PROVOKE_PATH") or os.environ["PATH"]


def _arguments() -> argparse.Namespace:
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", help="recipes whose name this matches")
    parser.add_argument("--recipes", default=here / "provoking/recipes")
    parser.add_argument("--out", default=here.parent / "tests/diagnosis")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
