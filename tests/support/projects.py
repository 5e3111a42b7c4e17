"""A small project that can be shipped whole in seconds: a service of the standard library and a wheel of our own.

Its requirements have the names and the conflict of the real example, but its wheels are made here, so that it
needs no index.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from support import debian
from support.wheels import wheel

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SERVE = """
import json, os, signal, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import numpy, onnxruntime

class Service(BaseHTTPRequestHandler):
    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.answer(200 if self.path == "/ping" else 404, {})
    def do_POST(self):
        numbers = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(200, {"sum": onnxruntime.add(numbers), "numpy": numpy.__version__})
    def log_message(self, *arguments):
        pass

server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Service)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
server.serve_forever()
"""

SETTINGS = """\
images:
  sums:
    base: {{oci: {base}}}
    requirements: [requirements.txt]
    source: {{include: [serve.py]}}
    entrypoint: [python3, /app/serve.py]
    ports: [8080]
services:
  sums:
    image: sums
    replicas: 2
    stop_timeout: 5
    verify:
      - {{request: numbers.json, expect: sum.json}}
"""


def sums(folder: Path) -> Path:
    """Write the project and return its folder."""
    project = folder / "sums"
    project.mkdir(parents=True)
    (project / "serve.py").write_text(SERVE)
    (project / "requirements.txt").write_text("onnxruntime==1.17.3\nnumpy==2.1.3\n")
    (project / "seatrial.yaml").write_text(SETTINGS.format(base=debian.base()))
    (project / "numbers.json").write_text("[1, 2, 3.5]")
    (project / "sum.json").write_text(json.dumps({"sum": 6.5, "numpy": "1.26.4"}))
    return project


def wheels(folder: Path) -> Mapping[str, str]:
    """Make the wheels, and return the environment in which only they can be had."""
    folder.mkdir(parents=True)
    for version in ("1.26.4", "2.1.3"):
        wheel(folder, "numpy", version, {"numpy/__init__.py": f"__version__ = '{version}'\n".encode()})
    add = b"import numpy\n\ndef add(numbers):\n    return sum(numbers)\n"
    wheel(folder, "onnxruntime", "1.17.3", {"onnxruntime/__init__.py": add}, requires=("numpy>=1.21.6",))
    return {
        "UV_NO_INDEX": "1",
        "UV_OFFLINE": "1",
        "UV_NO_CONFIG": "1",
        "UV_FIND_LINKS": str(folder),
        "UV_CACHE_DIR": str(folder / "uv"),
    }
