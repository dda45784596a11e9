"""A small HTTP server that keeps connections, as TF Serving does, and counts them."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    """Keeps the sockets that were opened to it and the bodies that were sent to it."""

    def __init__(self, port, handler):
        super().__init__(("127.0.0.1", port), handler)
        self.sockets, self.bodies = [], []

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"

    def process_request(self, request, client_address):
        self.sockets.append(request)
        super().process_request(request, client_address)

    def close_sockets(self):
        for each in self.sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


class Handler(BaseHTTPRequestHandler):
    """Reads and writes JSON."""

    protocol_version = "HTTP/1.1"
    # An answer is written in two parts, of which the second would wait until the first has arrived.
    disable_nagle_algorithm = True

    def do_POST(self):
        self.respond()

    def read_body(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies.append(body)
        return body

    def answer(self, code, body):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.wfile.write(data)

    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def http_server(handler, port=0):
    """A server whose connections end with it."""
    server = Server(port, handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        server.close_sockets()
        thread.join()


def post(url, data):
    """The JSON that a URL answers to some bytes."""
    with urllib.request.urlopen(urllib.request.Request(url, data), timeout=60) as response:
        return json.load(response)
