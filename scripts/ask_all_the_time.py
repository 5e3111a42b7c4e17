"""Ask a service all the time, and say at the end how it answered: JSON on stdout, exit code 1 when a request failed.

    ask_all_the_time.py URL [--body FILE] [--clients N] [--rate N] [--seconds N]

Ends by itself after --seconds, or on SIGTERM. A request failed when its answer is no 2xx, or there is none.
"""

from __future__ import annotations

import argparse
import http.client
import json
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--body", type=Path)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--rate", type=float, default=200, help="requests per second in all")
    parser.add_argument("--seconds", type=float, default=3600)
    asked = parser.parse_args()
    body = asked.body.read_bytes() if asked.body else None
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started it ends it
    answers: Counter[str] = Counter()
    clients = [
        threading.Thread(target=ask, args=(asked.url, body, asked.clients / asked.rate, ended, answers))
        for _ in range(asked.clients)
    ]
    for client in clients:
        client.start()
    ended.wait(asked.seconds)
    ended.set()
    for client in clients:
        client.join()
    failed = {what: count for what, count in answers.items() if not what.startswith("2")}
    print(json.dumps({"requests": answers.total(), "failed": sum(failed.values()), "answers": answers}))
    return 1 if failed or not answers else 0


def ask(url: str, body: bytes | None, every: float, ended: threading.Event, answers: Counter[str]) -> None:
    """Ask on one kept connection, one request each `every` seconds."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    headers = {"Content-Type": "application/json"} if body is not None else {}
    due = time.monotonic()
    while not ended.is_set():
        try:
            connection.request("GET" if body is None else "POST", parts.path or "/", body, headers)
            answer = connection.getresponse()
            answer.read()
            answers[str(answer.status)] += 1
        except (OSError, http.client.HTTPException) as error:
            answers[type(error).__name__] += 1
            connection.close()
        due = max(due + every, time.monotonic() - every)
        ended.wait(max(0.0, due - time.monotonic()))
    connection.close()


if __name__ == "__main__":
    sys.exit(main())
