"""Traffic that shifts under load: failed requests and split errors of each strategy, and what kills cost.

Everything is real: `seatrial deploy run` moves the traffic of a small service (two instances per version) behind
HAProxy, while processes of their own ask all the time: eight clients that keep their connections and eight that do
not. What is counted is what clients saw. Budgets: no failed request, a split within 0.5 percentage points. A killed
back end fails no GET and no more POSTs than were in flight; a killed controller leaves the split as it is and is
replaced within 1 s; a killed load balancer serves again within 2 s, with the same slots and weights.

`shifting.py [--requests N] [--driver haproxy|envoy] [SCENARIO…]`
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from seatrial.engine import identity
from seatrial.services import processes, records, target
from seatrial.services.model import folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.services.model import Instance

NAME = "shop"
CLIENTS = 8
SETTLE = 0.1
"""Seconds after a shift whose requests may still have been sent under the old split."""
MOST_ERROR = 0.5
HERE = Path(__file__).parent
PROGRAM = HERE.parent / "tests" / "support" / "small_service.py"


class Asked(NamedTuple):
    """One request as a client saw it. `who` answered, or `!` and why nobody did."""

    sent: float
    answered: float
    who: str
    kept: bool


class Traffic:
    """Load from a process of its own; `asked` is there when it is over."""

    def __init__(self, port: int, place: Path, *, posts: bool) -> None:
        self.file = place / "asked.json"
        self.file.unlink(missing_ok=True)
        kinds = ["--keep", str(CLIENTS), "--close", str(CLIENTS), *(["--posts"] if posts else [])]
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "shifting_load.py"), str(port), str(self.file), *kinds],
            stdout=(place / "asked.count").open("wb"),
        )
        self.counted = place / "asked.count"
        self.asked: list[Asked] = []

    def count(self) -> int:
        """How many requests have been answered so far."""
        lines = self.counted.read_bytes().rpartition(b"\n")[0].split(b"\n")
        return int(lines[-1] or 0)

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        self.asked = [Asked(*one) for one in json.loads(self.file.read_bytes())]

    @property
    def failed(self) -> list[Asked]:
        return [one for one in self.asked if one.who.startswith("!")]


class Bench:
    """A state folder and a project of their own, and the next version each time."""

    def __init__(self, top: Path, requests: int, driver: str) -> None:
        self.top, self.requests, self.driver = top, requests, driver
        self.home = top / "home"
        self.project = top / "project"
        self.project.mkdir()
        shutil.copy(PROGRAM, self.project / "service.py")
        self.env = {**os.environ, "SEATRIAL_HOME": str(self.home), "SEATRIAL_CACHE": str(top / "cache")}
        self.version = 0
        self.before = ""
        self.rate = 0.0
        self.missed: list[str] = []

    def deploy(
        self, strategy: str, *more: str, wait: bool = True, again: bool = False
    ) -> subprocess.Popen[bytes]:
        """Deploy a new version, or go on with the latest one."""
        self.version += not again
        self.before = self.latest()
        settings = {"command": ["python3", "service.py", f"v{self.version}"], "replicas": 2}
        deploy = {"driver": self.driver, "drain_timeout": 10}
        (self.project / "seatrial.yaml").write_text(
            json.dumps({"services": {NAME: {**settings, "deploy": deploy}}})
        )
        line = [sys.executable, "-m", "seatrial", "deploy", "run", str(self.project)]
        log = (self.top / "deploy.log").open("ab")
        process = subprocess.Popen(
            [*line, "--strategy", strategy, "--no-analysis", *more],
            env=self.env,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        if wait and process.wait() != 0:
            raise SystemExit((self.top / "deploy.log").read_text())
        return process

    def latest(self) -> str:
        """The latest deployment's id, '' before the first."""
        every = records.every(self.home)
        return records.find(self.home, "latest").id if every else ""

    def shifts(self) -> bool:
        """Whether the deployment that was started last has moved traffic."""
        return self.latest() != self.before and bool(self.shares())

    @property
    def port(self) -> int:
        return target.look(self.home, NAME)[0].listening.port

    def instances(self) -> list[Instance]:
        """Those of the latest version."""
        latest = records.find(self.home, "latest").part(NAME).after
        return [one for one in target.look(self.home, NAME)[1].instances if one.revision == latest]

    @contextmanager
    def traffic(self, *, posts: bool = False) -> Iterator[Traffic]:
        found = Traffic(self.port, self.top, posts=posts)
        try:
            yield found
        finally:
            found.end()

    def shares(self) -> list[tuple[float, float]]:
        """When which share was in force, in the latest deployment."""
        events = records.events(self.home, records.find(self.home, "latest").id)
        return [
            (one.at, float(one.data["share"]))
            for one in events
            if one.kind in ("shift", "rollback") and "share" in one.data
        ]

    def miss(self, what: str, *, when: bool) -> None:
        if when:
            self.missed.append(what)


def measure_rate(bench: Bench) -> None:
    with bench.traffic() as traffic:
        while not traffic.count():
            time.sleep(0.05)
        began, before = time.monotonic(), traffic.count()
        time.sleep(2)
        bench.rate = (traffic.count() - before) / (time.monotonic() - began)


def strategy(bench: Bench, name: str, made: str) -> None:
    """One deployment under load. `made` has {seconds} for the length of each step."""
    steps = {"canary": 1, "linear": 4, "blue-green": 0}[name]
    need = bench.requests / bench.rate * 1.1
    with bench.traffic() as traffic:
        wait_for(traffic, bench.requests // 5 if steps else bench.requests // 2)
        bench.deploy(made.format(seconds=max(1, round(0.6 * need / max(1, steps)))))
        wait_for(traffic, bench.requests)
    report(bench, name, traffic)


def rollback(bench: Bench) -> None:
    """The version that was promoted goes back to the one before, which is still there."""
    with bench.traffic() as traffic:
        wait_for(traffic, bench.requests // 2)
        began = time.time()
        line = [sys.executable, "-m", "seatrial", "deploy", "rollback", NAME]
        subprocess.run(line, env=bench.env, check=True, capture_output=True)
        took = time.time() - began
        wait_for(traffic, bench.requests)
    old = f"v{bench.version - 1}"
    first = min(one.sent for one in traffic.asked if one.who == old and one.sent > began)
    late = [one for one in traffic.asked if one.who == f"v{bench.version}" and one.sent > first + SETTLE]
    failed = len(traffic.failed)
    print(f"{'rollback':<12} {len(traffic.asked):>8} {failed:>7}   all traffic back {first - began:.2f} s after the command's start "
          f"(whole command {took:.2f} s), {len(late)} requests to the wrong version after")  # fmt: skip
    bench.miss("rollback: failed requests", when=bool(failed or late))


def wait_for(traffic: Traffic, count: int) -> None:
    deadline = time.monotonic() + 600
    while traffic.count() < count and time.monotonic() < deadline:
        time.sleep(0.05)


def report(bench: Bench, name: str, traffic: Traffic) -> None:
    """The split of each step as clients saw it, beside the one that was asked for."""
    moments = [*bench.shares(), (max(one.answered for one in traffic.asked), 100.0)]
    found, worst = [], 0.0
    for (begin, share), (end, _) in itertools.pairwise(moments):
        within = [
            one
            for one in traffic.asked
            if begin + SETTLE <= one.sent and one.answered < end and one.who[0] != "!"
        ]
        if len(within) < 1000:  # noqa: PLR2004 - two events at almost the same time
            continue
        seen = 100 * sum(one.who == f"v{bench.version}" for one in within) / len(within)
        worst = max(worst, abs(seen - share))
        found.append(f"{share:g} → {seen:.2f} %")
    failed, kept = len(traffic.failed), sum(one.kept for one in traffic.asked)
    print(
        f"{name:<12} {len(traffic.asked):>8} {failed:>7}   {worst:.2f} points   {', '.join(found)}   ({kept} kept)"
    )
    bench.miss(f"{name}: {failed} failed requests {traffic.failed[:3]}", when=bool(failed))
    bench.miss(f"{name}: split {worst:.2f} points off", when=worst > MOST_ERROR)


@contextmanager
def at_half(bench: Bench) -> Iterator[None]:
    """A deployment that stays at 50 %, and is promoted at the end."""
    process = bench.deploy("canary:50%:10m", wait=False)
    try:
        until(bench.shifts)
        yield
    finally:
        line = [sys.executable, "-m", "seatrial", "deploy", "promote", "latest"]
        subprocess.run(line, env=bench.env, check=False, capture_output=True)
        process.wait()


def until(condition: object) -> float:
    """When it held, in seconds since the epoch."""
    deadline = time.monotonic() + 60
    while not condition():  # type: ignore[operator]
        if time.monotonic() > deadline:
            raise TimeoutError("it did not happen within 60 s")
        time.sleep(0.005)
    return time.time()


def kill_back_ends(bench: Bench, *, posts: bool) -> None:
    """Each instance of the new version twice, one after the other."""
    with at_half(bench), bench.traffic(posts=posts) as traffic:
        wait_for(traffic, 200)
        kills = 0
        for _ in range(2):
            for one in bench.instances():
                assert one.process is not None
                before = one.restarts
                os.kill(one.process.pid, signal.SIGKILL)
                kills += 1
                until(
                    lambda one=one, before=before: any(
                        now.slot == one.slot and now.restarts > before and now.state == "ready"
                        for now in target.look(bench.home, NAME)[1].instances
                    )
                )
                time.sleep(0.3)
    failed = traffic.failed
    worst = most_at_once(failed)
    most = 2 * CLIENTS if posts else 0
    what = "POST" if posts else "GET"
    print(f"back end killed, {what}: {kills} kills, {len(traffic.asked)} requests, {len(failed)} failed, "
          f"at most {worst} by one kill (allowed: {most})")  # fmt: skip
    bench.miss(f"{what}: {worst} failed by one kill {failed[:3]}", when=worst > most)


def most_at_once(failed: list[Asked]) -> int:
    """Failures within a second of each other are of one kill."""
    moments = sorted(one.answered for one in failed)
    return max((sum(begin <= one < begin + 1 for one in moments) for begin in moments), default=0)


def kill_controller(bench: Bench) -> None:
    """Everything but the service: command, engine and step. The same command goes on."""
    process = bench.deploy("canary:20%:10m", wait=False)
    until(bench.shifts)
    with bench.traffic() as traffic:
        wait_for(traffic, 500)
        for pid in controllers(bench):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
        killed = time.time()
        time.sleep(3)
        identifier = records.find(bench.home, "latest").id
        began = time.time()
        again = bench.deploy("canary:20%:10m", wait=False, again=True)
        until(
            lambda: any(
                one.at > began and one.text.startswith("going on at")
                for one in records.events(bench.home, identifier)
            )
        )
        told = next(
            one.at
            for one in records.events(bench.home, identifier)
            if one.at > began and one.text.startswith("going on")
        )
        time.sleep(1)
    line = [sys.executable, "-m", "seatrial", "deploy", "promote", "latest"]
    subprocess.run(line, env=bench.env, check=True, capture_output=True)
    again.wait()
    alone = [one for one in traffic.asked if killed < one.sent < began]
    seen = 100 * sum(one.who == f"v{bench.version}" for one in alone) / len(alone)
    failed = len(traffic.failed)
    print(f"controller killed: {failed} failed of {len(traffic.asked)}; split without it {seen:.2f} % of 20 %; "
          f"taken over {told - began:.2f} s after the next start (budget 1 s)")  # fmt: skip
    bench.miss("controller: failed requests", when=bool(failed))
    bench.miss("controller: split", when=abs(seen - 20) > MOST_ERROR)
    bench.miss("controller: taken over late", when=told - began > 1)


def controllers(bench: Bench) -> list[int]:
    """Processes of this state folder that are none of the service's."""
    mark = f"SEATRIAL_HOME={bench.home}".encode()
    token = processes.token(folder(bench.home, NAME), "").encode()
    found = []
    for one in Path("/proc").iterdir():
        if one.name.isdigit() and int(one.name) != os.getpid():
            with suppress(OSError):
                environment = (one / "environ").read_bytes()
                kept = token in environment or b"seatrial.services.waking" in (one / "cmdline").read_bytes()
                if mark in environment and not kept:
                    found.append(int(one.name))
    return found


def kill_proxy(bench: Bench) -> None:
    with at_half(bench), bench.traffic() as traffic:
        wait_for(traffic, 500)
        _, actual = target.look(bench.home, NAME)
        assert actual.proxy is not None
        before = {
            name: (one.port, one.weight, one.mode)
            for name, one in target.status(bench.home, NAME).slots.items()
        }
        os.kill(actual.proxy.pid, signal.SIGKILL)
        killed = until(lambda: identity.of(actual.proxy.pid) is None)
        until(lambda: target.look(bench.home, NAME)[1].proxy_starts > actual.proxy_starts)
        time.sleep(2)
        after = {
            name: (one.port, one.weight, one.mode)
            for name, one in target.status(bench.home, NAME).slots.items()
        }
    again = (
        min(one.answered for one in traffic.asked if one.sent > killed and not one.who.startswith("!"))
        - killed
    )
    alone = [
        one for one in traffic.asked if one.sent > killed + again + SETTLE and not one.who.startswith("!")
    ]
    seen = 100 * sum(one.who == f"v{bench.version}" for one in alone) / len(alone)
    failed = traffic.failed
    late = [one for one in failed if one.sent > killed + 2]
    print(f"load balancer killed: serves again after {again:.2f} s (budget 2 s), {'same' if after == before else 'OTHER'} slots and "
          f"weights, split {seen:.2f} % of 50 %, {len(failed)} failed of {len(traffic.asked)}")  # fmt: skip
    bench.miss(f"load balancer: {again:.2f} s, {len(late)} failures later", when=again > 2 or bool(late))  # noqa: PLR2004
    bench.miss("load balancer: slots differ", when=after != before or abs(seen - 50) > MOST_ERROR)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("scenarios", nargs="*")
    parser.add_argument("--requests", type=int, default=50_000)
    parser.add_argument("--driver", default="haproxy")
    asked = parser.parse_args()
    scenarios = {
        "canary": lambda bench: strategy(bench, "canary", "canary:10%:{seconds}s"),
        "linear": lambda bench: strategy(bench, "linear", "linear:20%:{seconds}s"),
        "blue-green": lambda bench: strategy(bench, "blue-green", "blue-green"),
        "rollback": rollback,
        "back-end-get": lambda bench: kill_back_ends(bench, posts=False),
        "back-end-post": lambda bench: kill_back_ends(bench, posts=True),
        "controller": kill_controller,
        "load-balancer": kill_proxy,
    }
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        bench = Bench(Path(name), asked.requests, asked.driver)
        try:
            bench.deploy("all-at-once")
            measure_rate(bench)
            print(
                f"{asked.driver}, {2 * CLIENTS} clients, {bench.rate:.0f} requests/s on {os.cpu_count()} cores"
            )
            print(f"{'':<12} {'requests':>8} {'failed':>7}   split error  steps (asked → seen)")
            for scenario in asked.scenarios or scenarios:
                scenarios[scenario](bench)
        except TimeoutError:
            sys.stderr.write((bench.top / "deploy.log").read_text()[-3000:])
            raise
        finally:
            with suppress(Exception):
                target.down(bench.home, NAME)
    for one in bench.missed:
        print(f"MISSED {one}")
    return 1 if bench.missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
