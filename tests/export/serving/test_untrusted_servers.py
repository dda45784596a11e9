"""A server that is slow, wrong or hostile costs a client its time-out at most, and never its answer."""

from __future__ import annotations

import contextlib
import time

import numpy as np
import pytest
from http_server import Handler
from tf_server import rest_server
from toy_model import query, toy_endpoints

from export.serving import Client, ClientError, ServerError, TimedOutError, UnavailableError, transports
from zoo.errors import UserError


class Trickling(Handler):
    """Sends a byte at a time, each well before a time-out of one byte would be over."""

    before_the_body = False

    def respond(self):
        self.read_body()
        with contextlib.suppress(OSError):
            if self.before_the_body:
                for letter in b"HTTP/1.1 200 OK\r\nServer: " + b"x" * 200:
                    self.wfile.write(bytes([letter]))
                    self.wfile.flush()
                    time.sleep(0.1)
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            for _ in range(100):
                self.wfile.write(b" ")
                self.wfile.flush()
                time.sleep(0.1)


@pytest.mark.parametrize("before_the_body", [False, True])
def test_a_time_out_is_that_of_the_whole_call(monkeypatch, before_the_body):
    monkeypatch.setattr(Trickling, "before_the_body", before_the_body)
    with rest_server(None, Trickling) as address:
        client = Client(address, toy_endpoints(), "toy", timeout=0.5)
        start = time.perf_counter()
        with pytest.raises(TimedOutError, match=r"no answer within 0\.5 s"):
            client.recommend(query())
        assert time.perf_counter() - start < 2


def test_a_client_can_be_used_after_a_time_out(served):
    with rest_server(served) as address:
        client = Client(address, toy_endpoints(), "toy", timeout=0.5)
        served.delay = 1.0
        with pytest.raises(TimedOutError):
            client.recommend(query())
        served.delay = 0.0
        assert len(client.recommend(query()).items) == 1


class Redirecting(Handler):
    """Sends every request somewhere else."""

    def respond(self):
        self.read_body()
        self.send_response(307)
        self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()


def test_redirects_are_not_followed():
    with rest_server(None, Redirecting) as address, pytest.raises(ServerError, match="answered 307"):
        Client(address, toy_endpoints(), "toy").recommend(query())


class Large(Handler):
    """Answers more than anybody asked for."""

    def respond(self):
        self.read_body()
        self.answer(200, b"[" + b" " * 5000 + b"]")


def test_an_answer_that_is_too_large_is_not_read(monkeypatch):
    monkeypatch.setattr(transports, "LARGEST_ANSWER", 1000)
    with rest_server(None, Large) as address, pytest.raises(UnavailableError, match="more than 1,000 bytes"):
        Client(address, toy_endpoints(), "toy").recommend(query())


class OtherRows(Handler):
    """Answers another number of rows."""

    def respond(self):
        self.read_body()
        self.answer(200, {"outputs": {info.name: np.zeros([3, 2]).tolist() for info in toy_endpoints()[0].outputs}})


def test_an_answer_of_other_rows_is_an_error():
    with rest_server(None, OtherRows) as address, pytest.raises(ClientError, match="has 3 rows, and 2 were asked for"):
        Client(address, toy_endpoints(), "toy").recommend(query(2))


@pytest.mark.parametrize("version", ["1", "1:predict?x=", "../..", 1.5, -1, True])
def test_a_version_is_a_number(version):
    with pytest.raises(UserError, match="Expected version as a number"):
        Client("http://127.0.0.1:9", toy_endpoints(), "toy", version=version)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), "1", None, True])
def test_a_time_out_is_a_number_of_seconds(timeout):
    with pytest.raises(UserError, match="Expected timeout as a number of seconds"):
        Client("http://127.0.0.1:9", toy_endpoints(), "toy", timeout=timeout)


@pytest.mark.parametrize(
    "address",
    [
        *("", "localhost:8501", "ftp://localhost", "http://", "http://:8501", "http://[::1", "http://a:port"),
        *("http://a:99999", "http://a?b=c", "http://a#b", "http://a\r\nHost: b", "grpc://", "HTTP//a"),
    ],
)
def test_an_address_that_is_none_is_an_error(address):
    with pytest.raises(UserError, match="Expected an address like"):
        Client(address, toy_endpoints(), "toy")


def test_padding_takes_few_letters_of_a_request():
    values = np.array([[0.0, 0.0, 3.5, 4.0, np.nan, 1e30]], np.float32)
    listed = transports._listed(values)
    assert listed[0][:4] == [0, 0, 3.5, 4]
    assert [type(value) for value in listed[0][:4]] == [int, int, float, int]
    np.testing.assert_array_equal(np.array(listed, np.float32), values)
