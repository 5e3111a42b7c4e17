"""A small service: `python small_service.py NAME` answers NAME on 127.0.0.1:$PORT, some thousand times a second.

`/ping` is its health, `/slow?SECONDS` takes that long, `/env` says what it sees, `/die` ends it. Variables change how
it behaves: EXIT (ends at once with this code), UNWELL (its ping fails), STUBBORN (SIGTERM is nothing to it), CHILD
(starts a program that leaves its group and writes its pid into this file), LATENCY (seconds of each answer), STATUS (what each answer says instead of 200 OK).
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys

NAME = sys.argv[1]
LATENCY = float(os.environ.get("LATENCY", "0"))
STATUS = os.environ.get("STATUS", "200 OK")


class Connection(asyncio.Protocol):
    """One request after the other."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        while (end := self.received.find(b"\r\n\r\n")) >= 0:
            head = self.received[:end].decode("latin-1")
            begun = end + 4
            if "\r\ncontent-length:" in head.lower():
                length = int(head.lower().partition("\r\ncontent-length:")[2].split("\r\n")[0])
                if len(self.received) < begun + length:
                    return
                begun += length
            self.received = self.received[begun:]
            self.answer(head.split(" ", 2)[1])

    def answer(self, path: str) -> None:
        if path == "/ping":
            self.say("503 Unwell" if os.environ.get("UNWELL") else "200 OK", "pong")
        elif path == "/die":
            os._exit(7)
        elif path == "/env":
            self.say("200 OK", json.dumps(dict(os.environ)))
        elif path.startswith("/slow?") or LATENCY:
            seconds = float(path.partition("?")[2] or LATENCY)
            asyncio.get_running_loop().call_later(seconds, self.say, STATUS, NAME)
        else:
            self.say(STATUS, NAME)

    def say(self, status: str, body: str) -> None:
        text = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        self.transport.write(text.encode())  # type: ignore[attr-defined]


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", int(os.environ["PORT"]), backlog=512)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    if code := os.environ.get("EXIT"):
        sys.stderr.write(f"{NAME} has no model to serve\n")
        raise SystemExit(int(code))
    if os.environ.get("STUBBORN"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if path := os.environ.get("CHILD"):
        child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
        with open(path, "a", encoding="ascii") as stream:  # noqa: PTH123 - starts faster without pathlib
            stream.write(f"{child.pid}\n")
    asyncio.run(main())
