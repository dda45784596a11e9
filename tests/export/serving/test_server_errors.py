"""Every failure of a call is an error of the client that says what happened."""

from __future__ import annotations

import pytest
from http_server import Handler
from tf_server import SERVERS, Refused, grpc_server, rest_server
from toy_model import query, toy_endpoints

from export.endpoints import Endpoint, TensorInfo
from export.serving import (
    Client,
    ClientError,
    MissingInputError,
    RequestError,
    ServerError,
    TimedOutError,
    UnavailableError,
    WrongDtypeError,
    WrongShapeError,
)
from zoo.errors import UserError, ZooError


def test_an_error_of_the_server_has_its_words(client, served):
    served.refusal = Refused("INVALID_ARGUMENT", "Expects arg[0] to be string but int64 is provided")
    with pytest.raises(ServerError, match=r"Expects arg\[0\] to be string") as caught:
        client.recommend(query())
    assert caught.value.code in (400, "INVALID_ARGUMENT")
    assert not isinstance(caught.value, UserError)


def test_another_model_under_the_name_is_an_error(client, served):
    served.name = "another"
    with pytest.raises(ServerError, match="Servable not found") as caught:
        client.recommend(query())
    assert caught.value.code in (404, "NOT_FOUND")


def test_an_input_that_the_served_model_lacks_is_an_error(served):
    (endpoint, *_) = toy_endpoints()
    more = TensorInfo("age", "float32", (None,), "")
    with grpc_server(served) as address:
        client = Client(address, [Endpoint("recommend", (*endpoint.inputs, more), endpoint.outputs)], "toy")
        with pytest.raises(ServerError, match=r"Sent extra: \{age\}"):
            client.recommend(query(age=[1.0]))


def test_an_answer_without_an_output_is_an_error(served):
    (endpoint, *_) = toy_endpoints()
    outputs = (*endpoint.outputs, TensorInfo("reasons", "string", (None,), ""))
    for start in SERVERS.values():
        with start(served) as address:
            client = Client(address, [Endpoint("recommend", endpoint.inputs, outputs)], "toy")
            with pytest.raises(ServerError, match="Is another model served there"):
                client.recommend(query())


def test_a_server_that_is_too_busy_is_unavailable(client, served):
    served.refusal = Refused("UNAVAILABLE", "The batch scheduling queue is full")
    with pytest.raises(UnavailableError, match="queue is full"):
        client.recommend(query())


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_no_server_is_unavailable(scheme):
    client = Client(f"{scheme}://127.0.0.1:9", toy_endpoints(), "toy")
    with client, pytest.raises(UnavailableError, match="cannot be reached"):
        client.recommend(query())


@pytest.mark.parametrize("scheme", SERVERS)
def test_a_server_that_takes_too_long_is_a_timeout(served, scheme):
    served.delay = 1.5
    with SERVERS[scheme](served) as address, pytest.raises(TimedOutError, match=r"no answer within 0.5 s"):
        Client(address, toy_endpoints(), "toy", timeout=0.5).recommend(query())


class ProxyHandler(Handler):
    """A server that is not TF Serving."""

    code = 200
    body = b"<html>Hello</html>"

    def respond(self):
        self.read_body()
        self.answer(self.code, self.body)


class BrokenProxyHandler(ProxyHandler):
    code = 502


def test_an_answer_that_is_not_tf_serving_s_is_an_error():
    with rest_server(None, ProxyHandler) as address, pytest.raises(UnavailableError, match="is not TF Serving's"):
        Client(address, toy_endpoints(), "toy").recommend(query())
    with rest_server(None, BrokenProxyHandler) as address, pytest.raises(ServerError, match="502: <html>Hello"):
        Client(address, toy_endpoints(), "toy").recommend(query())


@pytest.mark.parametrize("body", [b"[]", b"[1]", b"{", b"7"])
def test_json_that_is_no_answer_is_an_error(body, monkeypatch):
    monkeypatch.setattr(ProxyHandler, "body", body)
    with rest_server(None, ProxyHandler) as address, pytest.raises(ClientError, match=r"TF Serving|another model"):
        Client(address, toy_endpoints(), "toy").recommend(query())


def test_the_port_of_the_other_protocol_is_unavailable(served):
    with rest_server(served) as address, pytest.raises(UnavailableError, match="cannot be reached"):
        Client(address.replace("http", "grpc"), toy_endpoints(), "toy").recommend(query())
    with grpc_server(served) as address, pytest.raises(UnavailableError, match="is not TF Serving's"):
        Client(address.replace("grpc", "http"), toy_endpoints(), "toy").recommend(query())


def test_all_errors_are_errors_of_the_client_and_of_the_zoo():
    for kind in (RequestError, MissingInputError, WrongDtypeError, WrongShapeError, ServerError, TimedOutError):
        assert issubclass(kind, ClientError)
    assert issubclass(UnavailableError, ClientError)
    assert issubclass(ClientError, ZooError)
