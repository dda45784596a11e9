"""The REST client keeps its connections, and gets by when a server closes them."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from http_server import Handler, http_server
from toy_model import toy_endpoints

from export.serving import Client, TimedOutError, UnavailableError

ENDPOINTS = [endpoint for endpoint in toy_endpoints() if endpoint.name == "embed_items"]


class Vectors(Handler):
    """Answers `embed_items`: an item's vector is the item and its negative."""

    def respond(self):
        items = json.loads(self.read_body())["inputs"]["items"]
        self.answer(200, {"outputs": {"vectors": [[i, -i] for i in items], "unknown_items": [0] * len(items)}})


class Impatient(Vectors):
    """Closes a connection that is idle for a moment."""

    timeout = 0.05


class OneAnswer(Vectors):
    """Closes a connection when a second request arrives on it, as a server does that gave up on it just then."""

    has_answered = False

    def respond(self):
        if self.has_answered:
            self.read_body()
            self.close_connection = True
        else:
            self.has_answered = True
            super().respond()


class NoAnswer(Handler):
    """Closes every connection without an answer."""

    def respond(self):
        self.read_body()
        self.close_connection = True


class HalfOfTheSecondAnswer(OneAnswer):
    """Closes a connection in the middle of its second answer."""

    def respond(self):
        if self.has_answered:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        super().respond()


class Silent(Handler):
    """Begins an answer and never ends it."""

    beginning = b""

    def respond(self):
        self.read_body()
        self.wfile.write(self.beginning)
        time.sleep(1.5)
        self.close_connection = True


def make_client(address, **options):
    return Client(address, ENDPOINTS, "toy", **options)


def check_call(client, item=10):
    assert client.embed_items([item]).vectors.tolist() == [[item, -item]]


def test_twenty_calls_open_one_connection():
    with http_server(Vectors) as server, make_client(server.address) as client:
        for item in range(20):
            check_call(client, item)
        assert len(server.bodies) == 20
        assert len(server.sockets) == 1


def test_calls_after_an_error_of_the_server_keep_the_connection():
    class Busy(Vectors):
        def respond(self):
            if self.server.bodies:
                super().respond()
            else:
                self.read_body()
                self.answer(503, {"error": "The batch scheduling queue is full"})

    with http_server(Busy) as server, make_client(server.address) as client:
        with pytest.raises(UnavailableError, match="queue is full"):
            check_call(client)
        check_call(client)
        assert len(server.sockets) == 1


def test_closing_a_client_closes_its_connections():
    with http_server(Vectors) as server:
        with make_client(server.address) as client:
            check_call(client)
        deadline = time.monotonic() + 10
        while server.sockets[0].fileno() != -1:
            assert time.monotonic() < deadline, "the connection is still open"
            time.sleep(0.01)


def test_a_server_that_drops_idle_connections_is_asked_over_new_ones():
    with http_server(Impatient) as server, make_client(server.address) as client:
        for _ in range(3):
            check_call(client)
            time.sleep(0.3)
        assert len(server.sockets) == 3


def test_a_request_is_sent_again_when_a_kept_connection_closes_without_an_answer():
    with http_server(OneAnswer) as server, make_client(server.address) as client:
        for item in range(3):
            check_call(client, item)
        assert len(server.sockets) == 3
        assert len(server.bodies) == 5


def test_a_request_over_a_new_connection_is_sent_once():
    with http_server(NoAnswer) as server, make_client(server.address) as client:
        with pytest.raises(UnavailableError, match="broke off or is not TF Serving's"):
            check_call(client)
        assert len(server.bodies) == 1


def test_a_request_that_was_answered_in_part_is_sent_once():
    with http_server(HalfOfTheSecondAnswer) as server, make_client(server.address) as client:
        check_call(client)
        with pytest.raises(UnavailableError, match="broke off or is not TF Serving's"):
            check_call(client)
        assert len(server.bodies) == 2


def test_a_client_survives_a_restart_of_the_server():
    with http_server(Vectors) as server:
        port, client = server.server_port, make_client(server.address)
        check_call(client)
    with pytest.raises(UnavailableError, match="cannot be reached"):
        check_call(client)
    with client, http_server(Vectors, port):
        check_call(client)


@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"])
def test_waiting_for_an_answer_ends_after_the_timeout(beginning, monkeypatch):
    monkeypatch.setattr(Silent, "beginning", beginning)
    with http_server(Silent) as server, make_client(server.address, timeout=0.3) as client:
        check_times_out(client)
        assert len(server.bodies) == 1


def test_connecting_ends_after_the_timeout():
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):  # Connections that nobody accepts fill the queue, and the next one has to wait.
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        check_times_out(make_client(f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=0.3))


def check_times_out(client):
    start = time.monotonic()
    with pytest.raises(TimedOutError, match=r"no answer within 0.3 s"):
        check_call(client)
    assert 0.2 < time.monotonic() - start < 1.2


def test_threads_share_a_client():
    with http_server(Vectors) as server, make_client(server.address) as client, ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda item: client.embed_items([item]).vectors.tolist(), range(200)))
        assert answers == [[[item, -item]] for item in range(200)]
        assert len(server.sockets) <= 8


def test_threads_share_a_client_whose_connections_close():
    with http_server(OneAnswer) as server, make_client(server.address) as client, ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda item: client.embed_items([item]).vectors.tolist(), range(100)))
        assert answers == [[[item, -item]] for item in range(100)]


def test_requests_go_through_the_proxy_of_the_environment(monkeypatch):
    paths = []

    class Proxy(Vectors):
        def respond(self):
            paths.append(self.path)
            super().respond()

    with http_server(Proxy) as server:
        monkeypatch.setenv("http_proxy", server.address)
        monkeypatch.setenv("no_proxy", "localhost")
        check_call(make_client("http://models.example:8501"))
    assert paths == ["http://models.example:8501/v1/models/toy:predict"]
