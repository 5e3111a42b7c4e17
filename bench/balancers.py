"""HAProxy and Envoy side by side under the same load: requests per second, split, latency, and processor time.

A load of its own process (16 connections, one request after the other) asks two instances of a small service through
each load balancer in turns, so that both meet the same machine; then weights are changed. Then Envoy copies
as many requests as it may to a third instance, and once more to one that answers after 5 s.
Exits with 1 when a request failed, or a split was off by more than half a point.

Run: .venv/bin/python bench/balancers.py [REQUESTS_PER_ROUND] [ROUNDS]
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from seatrial.clock import SystemClock
from seatrial.config.deploying import Shadow
from seatrial.deployments import envoy, haproxy
from seatrial.deployments.observing.recording import Recorder
from seatrial.deployments.proxy import Mirror, Options, Slot
from seatrial.errors import MissingToolError
from seatrial.readiness import free_port, wait_http

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVICE = Path(__file__).parent.parent / "tests" / "support" / "small_service.py"
SHARE = 10
CONNECTIONS = 16
MILLION = 1e6
ALLOWED = 0.5


class Seen(NamedTuple):
    """What one round came to; times are in milliseconds, `processor` in microseconds of the balancer's per request."""

    rate: float
    failures: int
    split_error: float
    median: float
    p99: float
    processor: float


def main(requests: int, rounds: int) -> int:
    try:
        print(f"{haproxy.find()}, {envoy.find()}")
    except MissingToolError as missing:
        print(f"skipped: {missing}")
        return 0
    kinds = ("haproxy", "envoy", "envoy, copies", "envoy, slow copies")
    found: dict[str, list[Seen]] = {kind: [] for kind in kinds}
    shifts: dict[str, list[float]] = {"haproxy": [], "envoy": []}
    with ExitStack() as stack:
        ports = {name: stack.enter_context(service(name)) for name in ("old", "new", "copy")}
        ports["slow"] = stack.enter_context(service("slow", LATENCY="5"))
        for number in range(rounds):
            for kind in kinds if number % 2 else kinds[::-1]:
                found[kind].append(one_round(kind, ports, requests, shifts))
                print(f"{kind}: {found[kind][-1]}", file=sys.stderr, flush=True)
    print(
        f"{requests} requests per round, {rounds} rounds, {SHARE} % to the new version; medians of the rounds"
    )
    print("| load balancer | requests/s | failed | largest split error | p50 | p99 | its processor time |")
    print("|---|---|---|---|---|---|---|")
    for kind, seen in found.items():
        rate, median, p99, processor = (
            statistics.median(getattr(one, name) for one in seen)
            for name in ("rate", "median", "p99", "processor")
        )
        failures, worst = sum(one.failures for one in seen), max(one.split_error for one in seen)
        print(
            f"| {kind} | {rate:,.0f} | {failures} | {worst:.2f} points | {median:.1f} ms | {p99:.1f} ms | {processor:.0f} µs |"
        )
    pairs = zip(found["haproxy"], found["envoy"], strict=True)
    ratio = statistics.median(two.rate / one.rate for one, two in pairs)
    print(f"Envoy answers {ratio:.2f} times as many requests per second as HAProxy (median of pairs)")
    for kind, times in shifts.items():
        print(f"a shift takes {kind} {statistics.median(times):.1f} ms, at most {max(times):.1f} ms")
    failed = any(one.failures or one.split_error > ALLOWED for seen in found.values() for one in seen)
    return int(failed)


def one_round(kind: str, ports: dict[str, int], requests: int, shifts: dict[str, list[float]]) -> Seen:
    """Start a load balancer, send it the load, shift once in its midst, and end it."""
    driver: Any = haproxy if kind == "haproxy" else envoy
    port = free_port()
    copied = ports["slow" if "slow" in kind else "copy"] if "copies" in kind else 0
    slots = [
        Slot(name="old", port=ports["old"], weight=100 - SHARE, mode="ready"),
        Slot(name="new", port=ports["new"], weight=SHARE, mode="ready"),
        Slot(name="copy", port=copied, mode="ready" if copied else "maint", shadow=bool(copied)),
    ]
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        options = Options(interval=0.5, access_log=True)
        driver.prepare(folder, port, [slot.name for slot in slots], options, slots)
        with (folder / "access.log").open("ab") as log, (folder / "log").open("ab") as said:
            process = subprocess.Popen(
                driver.argv(folder, program=driver.find()), stdout=log, stderr=said, cwd=folder
            )
        stack.callback(process.wait)
        stack.callback(process.kill)
        driver.wait_started(folder, deadline=time.time() + 20, clock=SystemClock(), alive=lambda: None)
        wait_http(f"http://127.0.0.1:{port}/", deadline=time.time() + 20, clock=SystemClock())
        if copied:
            stack.enter_context(Recorder(folder, Shadow(), folder / "compared.json"))
            driver.apply(folder, slots, Mirror(share=100, methods=("GET",)))
        ask(port, requests // 10)  # warm
        before = processor(process.pid)
        answers = ask(port, requests)
        used = processor(process.pid) - before
        if kind in shifts:
            shifts[kind] += [shift(driver, folder, slots, share) for share in (50, 25, 0, SHARE)]
    good = answers["answers"]
    total = sum(good.values())
    return Seen(
        rate=total / answers["seconds"],
        failures=answers["failures"],
        split_error=abs(100 * good.get("new", 0) / total - SHARE),
        median=answers["p50"] * 1000,
        p99=answers["p99"] * 1000,
        processor=used * MILLION / total,
    )


def shift(driver: Any, folder: Path, slots: list[Slot], share: int) -> float:
    """Change the split; the milliseconds until it is in force."""
    old, new = slots[:2]
    began = time.perf_counter()
    driver.apply(
        folder,
        [
            Slot(name="old", port=old.port, weight=100 - share, mode="ready"),
            Slot(name="new", port=new.port, weight=share, mode="ready"),
        ],
    )
    return (time.perf_counter() - began) * 1000


@contextmanager
def service(name: str, **env: str) -> Iterator[int]:
    """One instance of the small service; yields its port."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, str(SERVICE), name], env={**os.environ, "PORT": str(port), **env}
    )
    try:
        wait_http(f"http://127.0.0.1:{port}/ping", deadline=time.time() + 20, clock=SystemClock())
        yield port
    finally:
        process.kill()
        process.wait()


def processor(pid: int) -> float:
    """Seconds of processor time that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ask(port: int, requests: int) -> Any:
    """Send the load from a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--load", str(port), str(requests)], capture_output=True, check=True
    )
    return json.loads(done.stdout)


async def load(port: int, requests: int) -> dict[str, Any]:
    """Ask until that many requests are answered."""
    left, answers, failures, took = requests, Counter[str](), 0, list[float]()

    async def client() -> None:
        nonlocal left, failures
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while left > 0:
            left -= 1
            began = time.perf_counter()
            try:
                writer.write(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                body = await reader.readexactly(length)
            except (OSError, EOFError, ValueError):
                failures += 1
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                continue
            took.append(time.perf_counter() - began)
            if b" 200 " in head[:16]:
                answers[body.decode()] += 1
            else:
                failures += 1
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(CONNECTIONS)))
    seconds = time.perf_counter() - began
    took.sort()
    return {
        "seconds": seconds,
        "answers": answers,
        "failures": failures,
        "p50": took[len(took) // 2],
        "p99": took[len(took) * 99 // 100],
    }


if __name__ == "__main__":
    if sys.argv[1:2] == ["--load"]:
        print(json.dumps(asyncio.run(load(int(sys.argv[2]), int(sys.argv[3])))))
        sys.exit()
    given = [int(one) for one in sys.argv[1:]]
    sys.exit(main(given[0] if given else 4_000, given[1] if len(given) > 1 else 3))
