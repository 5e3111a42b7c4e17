"""What the steps of test plans do, and a driver that runs such a plan as a process of its own.

`python -m support.steps PLAN FOLDER` begins or continues the run, as a command would: SEATRIAL_HOME and
SEATRIAL_CACHE come from the environment, FOLDER is where steps leave traces that tests look at.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seatrial import paths
from seatrial.engine.journal import Journal
from seatrial.engine.plan import Call, Command, Key, Plan, Ref, Retry, Service, Stage, Step, Teardown
from seatrial.engine.run import begin, execute

if TYPE_CHECKING:
    from seatrial.engine.call import Context

TEARDOWN = Stage(name="TEARDOWN", always=True, steps=(Step(name="teardown", action=Teardown()),))


def call(name: str, function: str, **fields: Any) -> Step:
    inputs = fields.pop("inputs", {})
    secrets = fields.pop("secrets", {})
    return Step(
        name=name, action=Call(target=f"support.steps:{function}", inputs=inputs, secrets=secrets), **fields
    )


def shell(name: str, script: str, *arguments: str, **fields: Any) -> Step:
    """A script of the test's own; data comes as arguments."""
    secrets = fields.pop("secrets", {})
    return Step(
        name=name, action=Command(argv=["sh", "-c", script, name, *arguments], secrets=secrets), **fields
    )


# Functions of steps


def tree(context: Context, name: str) -> dict[str, Any]:
    place = context.tree(name)
    (place / "file").write_text("content")
    return {"path": str(place), "summary": "made a tree"}


def count(context: Context, folder: str, name: str) -> dict[str, Any]:
    """Append a line, so that a test sees how often this ran to its end."""
    with (Path(folder) / name).open("a") as stream:
        stream.write(f"{context.run} {context.attempt}\n")
    return {"times": len((Path(folder) / name).read_text().splitlines())}


def wait_for(context: Context, file: str) -> dict[str, Any]:
    """Go on when the test says so."""
    context.say(f"waiting for {Path(file).name}")
    while not Path(file).exists():
        time.sleep(0.005)
    return {"seen": True}


def fail(context: Context, message: str) -> dict[str, Any]:
    raise ValueError(message)


def flaky(context: Context, folder: str, mode: str = "bad") -> dict[str, Any]:
    count(context, folder, "flaky")
    if mode != "good":
        raise RuntimeError("connection reset by peer")
    return {"mode": mode}


def make_artifact(context: Context, folder: str, text: str) -> dict[str, Any]:
    count(context, folder, "artifact-made")
    path = Path(folder) / "artifact"
    path.write_text(text)
    context.artifact("artifact", path)
    return {"path": str(path)}


def say_secret(context: Context) -> dict[str, Any]:
    secret = context.secrets["TOKEN"]
    context.say(f"the token is {secret}.")
    for letter in secret:  # also when it arrives in pieces
        sys.stdout.write(letter)
        sys.stdout.flush()
    sys.stderr.write(f"\n{secret}\n")
    return {}


def leave(context: Context, folder: str, what: str = "") -> dict[str, Any]:
    """Say which process this is and which looks after it, and leave something behind in it."""
    (Path(folder) / context.step).write_text(f"{os.getpid()} {os.getppid()}")
    context.say(f"this is {context.step} with {' '.join(context.secrets.values())}")
    if what == "a process":
        subprocess.Popen(["sleep", "987654"])
    elif what == "a process of its own session":
        subprocess.run(["sh", "-c", "setsid sleep 987654 &"], check=True)
    elif what == "a thread":
        threading.Thread(target=time.sleep, args=(987654,), daemon=True).start()
    elif what == "an open file":
        _left.append((Path(folder) / "left").open("w"))
    elif what == "a variable":
        os.environ["LEFT"] = "behind"
    elif what == "another folder":
        os.chdir("/")
    elif what == "a failure":
        raise ValueError("no such thing")
    return {}


_left: list[Any] = []


# Plans


def plan(name: str, folder: Path) -> Plan:
    stages = PLANS[name](folder)
    return Plan(
        kind="test",
        name=name,
        subject=str(folder),
        key=name,
        stages=stages,
        abandon_after=float(os.environ.get("TEST_ABANDON", "600")),
        limits={"gpu": 1} | ({name: 1} if (name := os.environ.get("TEST_LIMIT", "")) else {}),
    )


def _long(folder: Path) -> tuple[Stage, ...]:
    """A tree, a service with a grandchild that hides in a session of its own, and a step that waits."""
    service = 'setsid sleep 987654 & echo $$ > "$1/service"; exec sleep 987654'
    return (
        Stage(
            name="BUILD", steps=(call("tree", "tree", inputs={"name": "built"}), _counted(folder, "build"))
        ),
        Stage(
            name="SERVE",
            steps=(
                Step(
                    name="service",
                    action=Service(argv=["sh", "-c", service, "service", str(folder)], lifetime=_lifetime()),
                ),
                call("up", "wait_for", inputs={"file": str(folder / "service")}),
            ),
        ),
        Stage(
            name="WORK",
            steps=(
                shell(
                    "hide",
                    'setsid sleep 987654 & echo hidden > "$1/hidden"; while ! [ -e "$1/go" ]; do sleep 0.01; done',
                    str(folder),
                ),
                _counted(folder, "work"),
            ),
        ),
        TEARDOWN,
    )


def _lifetime() -> float:
    return float(os.environ.get("TEST_LIFETIME", "600"))


def _counted(folder: Path, name: str) -> Step:
    return call(name, "count", inputs={"folder": str(folder), "name": name})


def _kept(folder: Path) -> tuple[Stage, ...]:
    key = Key(inputs=("text",), code="1")
    made = call("make", "make_artifact", inputs={"folder": str(folder), "text": "x"}, key=key)
    return (Stage(name="MAKE", steps=(made, call("use", "wait_for", inputs={"file": Ref("make", "path")}))),)


PLANS: dict[str, Any] = {
    "long": _long,
    "cached": _kept,
    "failing": lambda folder: (
        Stage(
            name="ONE",
            steps=(
                call("tree", "tree", inputs={"name": "t"}),
                call("bad", "fail", inputs={"message": "no such thing"}),
            ),
        ),
        Stage(name="TWO", steps=(_counted(folder, "two"),)),
        TEARDOWN,
    ),
    "flaky": lambda folder: (
        Stage(
            name="ONE",
            steps=(
                call(
                    "flaky",
                    "flaky",
                    inputs={"folder": str(folder)},
                    retries=(
                        Retry(
                            match="reset by peer",
                            times=1,
                            change={"mode": "good"},
                            reason="the network hiccuped",
                        ),
                    ),
                ),
            ),
        ),
    ),
    "secret": lambda _folder: (
        Stage(
            name="ONE",
            steps=(
                call("say", "say_secret", secrets={"TOKEN": "env:TEST_TOKEN"}),
                shell("echo", 'echo "$TOKEN"; echo "$TOKEN" >&2', secrets={"TOKEN": "env:TEST_TOKEN"}),
            ),
        ),
    ),
    "slow": lambda _folder: (
        Stage(
            name="ONE",
            steps=(shell("sleep", "trap '' INT TERM; while :; do sleep 0.05; done", timeout=0.3, grace=0.2),),
        ),
    ),
    "parallel": lambda folder: (
        Stage(
            name="ONE",
            steps=tuple(
                shell(
                    f"p{n}",
                    'mkdir "$1/gpu" || exit 9; sleep 0.05; rmdir "$1/gpu"',
                    str(folder),
                    needs=(),
                    limits=("gpu",),
                )
                for n in range(4)
            ),
        ),
    ),
    "unlimited": lambda folder: (
        Stage(
            name="ONE",
            steps=tuple(
                shell(f"u{n}", 'mkdir "$1/one" || exit 9; sleep 0.2; rmdir "$1/one"', str(folder), needs=())
                for n in range(3)
            ),
        ),
    ),
    "talk": lambda folder: (
        Stage(
            name="ONE",
            steps=(
                shell(
                    "talk",
                    'i=0; while [ $i -lt 2000 ]; do echo "line $i"; i=$((i+1)); done; touch "$1/said"; while ! [ -e "$1/go" ]; do sleep 0.01; done; echo end',
                    str(folder),
                ),
            ),
        ),
    ),
}


def main() -> None:
    journal = Journal(paths.home())
    run_id, _ = begin(journal, plan(sys.argv[1], Path(sys.argv[2])))
    print(run_id, flush=True)
    raise SystemExit({"succeeded": 0, "failed": 1, "stopped": 130}[execute(journal, run_id)])


if __name__ == "__main__":
    main()
