"""Amazon's registry as far as it can be had on one machine: moto answers its API, a docker-registry stands in for the rest.

The host names of ECR lead there through a proxy that is set as HTTPS_PROXY, by certificates of an authority of the test's.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import contextmanager
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import TYPE_CHECKING, NamedTuple

import pytest

from seatrial.readiness import free_port
from support.faults import Proxy, proxy
from support.registries import need, running
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ACCOUNT = "123456789012"
REGIONS = ("eu-west-1", "us-east-1")
# What moto hands out; the registry that stands in knows no other.
PASSWORD = f"{ACCOUNT}-auth-token"


class Amazon(NamedTuple):
    """`api` records the calls to AWS, `registry` those to the registry and `sister` those to the one of the other
    region; `env` are the variables that lead to all of them.
    """

    api: Proxy
    registry: Proxy
    sister: Proxy
    env: dict[str, str]

    def called(self, action: str) -> int:
        """How often AWS was asked to do `action`."""
        return sum(seen.headers.get("X-Amz-Target", "").endswith(f".{action}") for seen in self.api.seen)


def host(region: str = REGIONS[0]) -> str:
    return f"{ACCOUNT}.dkr.ecr.{region}.amazonaws.com"


@contextmanager
def amazon(folder: Path) -> Iterator[Amazon]:
    """Start all of it, with what it keeps in `folder`."""
    certificate, key = _certificates(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with (
        _moto(folder) as api_host,
        proxy(api_host) as api,
        running(folder / "registry", login=("AWS", PASSWORD)) as upstream,
        running(folder / "sister", login=("AWS", PASSWORD)) as other,
        proxy(upstream, tls=context) as registry,
        proxy(other, tls=context) as sister,
        _connect_proxy({host(): registry.host, host(REGIONS[1]): sister.host}) as way,
    ):
        yield Amazon(
            api,
            registry,
            sister,
            {
                "AWS_ENDPOINT_URL": f"http://{api.host}",
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test",
                "AWS_EC2_METADATA_DISABLED": "true",
                "AWS_CONFIG_FILE": str(folder / "none"),
                "AWS_SHARED_CREDENTIALS_FILE": str(folder / "none"),
                "HTTPS_PROXY": f"http://{way}",
                "SSL_CERT_FILE": str(certificate),
            },
        )


@contextmanager
def _moto(folder: Path) -> Iterator[str]:
    if importlib.util.find_spec("moto") is None:
        pytest.skip("moto is not installed")
    port = free_port()
    with (folder / "moto.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            env={**os.environ, "MOTO_ACCOUNT_ID": ACCOUNT},
            stdout=log,
            stderr=log,
        )
    try:
        until(lambda: process.poll() is not None or _listens(port), "moto answers", seconds=60)
        assert process.poll() is None, (folder / "moto.log").read_text()
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _certificates(folder: Path) -> tuple[Path, Path]:
    names = ",".join(f"DNS:{host(region)}" for region in REGIONS)
    certificate, key = folder / "authority.pem", folder / "key.pem"
    subprocess.run(
        [
            need("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", str(key), "-out", str(certificate), "-days", "2", "-subj", "/CN=test",
            "-addext", f"subjectAltName={names}", "-addext", "keyUsage=critical,digitalSignature,keyCertSign",
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return certificate, key


@contextmanager
def _connect_proxy(targets: dict[str, str]) -> Iterator[str]:
    """A CONNECT to a host leads to its HOST:PORT on this machine."""

    class Tunnel(StreamRequestHandler):
        def handle(self) -> None:
            wanted = self.rfile.readline().decode().split()[1].partition(":")[0]
            while self.rfile.readline().strip():
                pass
            address, _, port = targets[wanted].partition(":")
            with socket.create_connection((address, int(port))) as far:
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=_pump, args=(far, self.connection), daemon=True)
                back.start()
                _pump(self.connection, far)
                back.join()

    class Server(ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False
        allow_reuse_address = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a client that goes away is no news

    server = Server(("127.0.0.1", 0), Tunnel)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(1 << 16):
            target.sendall(piece)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
