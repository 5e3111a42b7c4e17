"""The smallest service that can be deployed: it listens where PORT says, and answers everything, /ping included."""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Greeter(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept
    disable_nagle_algorithm = True

    def do_GET(self):
        body = b"hello\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments):
        """The load balancer has a log."""


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Greeter).serve_forever()
