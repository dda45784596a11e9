"""The client reports a faulty request before sending it."""

from __future__ import annotations

import pandas as pd
import pytest
from toy_model import query, toy_endpoints

from export.serving import Client, MissingInputError, RequestError, WrongDtypeError, WrongShapeError
from zoo.errors import UserError

FAULTY_REQUESTS = {
    "a missing input": (
        MissingInputError,
        {"user": None},
        {},
        r"'recommend' needs .* Missing: user \(string, \[any\]\)",
    ),
    "a string for an integer": (WrongDtypeError, {}, {"exclude": [[10], ["20"]]}, r"'exclude', row 1: .*'20' \(str\)"),
    "a float for an integer": (WrongDtypeError, {}, {"exclude": [[10.0], []]}, r"'exclude', row 0: .*10.0 \(float\)"),
    "a truth value for an integer": (WrongDtypeError, {}, {"exclude": [[True], []]}, r"True \(bool\)"),
    "an integer beyond 64 bits": (WrongDtypeError, {}, {"exclude": [[2**63], []]}, "does not fit into 64 bits"),
    "an integer for a string": (
        WrongDtypeError,
        {"user": [7, 8]},
        {},
        r"'user', row 0: expected a string. .*7 \(int\)",
    ),
    "bytes for a string": (WrongDtypeError, {"user": ["ann", b"x"]}, {}, r"row 1: .*\(bytes\)"),
    "nothing for a string": (WrongDtypeError, {"user": pd.Series(["ann", None])}, {}, "'user', row 1"),
    "half a character": (WrongDtypeError, {"user": ["ann", "\ud83d"]}, {}, "'user', row 1"),
    "a string for a number": (WrongDtypeError, {"weight": ["1", "2"]}, {}, "expected a number"),
    "nothing for a number": (WrongDtypeError, {"weight": [None, 1.0]}, {}, r"float\('nan'\)"),
    "one value for a column": (WrongShapeError, {"user": "ann"}, {}, r"'user': expected a list .*\['ann'\]"),
    "a list for a value": (WrongShapeError, {"user": [["ann"], ["bob"]]}, {}, "'user', row 0: .* nested too deep"),
    "a value for a list": (WrongShapeError, {}, {"exclude": [10, 20]}, "'exclude': expected a list in row 0"),
    "lists too deep": (WrongShapeError, {}, {"exclude": [[[10]], [[20]]]}, "nested too deep"),
    "too many values": (WrongShapeError, {"genres": [["a", "b", "c"], []]}, {}, "expected at most 2 .* Received: 3"),
    "a vector too short": (WrongShapeError, {"text": [[1.0], [1.0]]}, {}, "'text', row 0: expected exactly 2"),
    "other numbers of rows": (WrongShapeError, {}, {"exclude": [[10]]}, "2 in 'user', but 1 in 'exclude'"),
    "an unknown input": (RequestError, {"usr": ["ann", "bob"]}, {}, "'usr'. Did you mean 'user'"),
    "k of none": (RequestError, {}, {"k": 0}, "k must be an integer between 1 and the 3"),
    "k of too many": (RequestError, {}, {"k": 4}, "Received: 4"),
    "k that is no number": (RequestError, {}, {"k": True}, "Received: True"),
}


@pytest.mark.parametrize("name", FAULTY_REQUESTS)
def test_a_faulty_request_is_reported_before_it_is_sent(client, served, name):
    kind, columns, others, message = FAULTY_REQUESTS[name]
    with pytest.raises(kind, match=message) as caught:
        client.recommend(query(2, **columns), **others)
    assert isinstance(caught.value, UserError)
    assert served.requests == []


def test_all_missing_inputs_are_named(client):
    with pytest.raises(MissingInputError, match=r"Missing: history .*, history_rating .*, genres "):
        client.recommend({"user": ["ann"], "weight": [1.0], "text": [[0.0, 0.0]]})


def test_a_call_needs_a_query(client):
    with pytest.raises(WrongShapeError, match="There is no query"):
        client.recommend(query(0))
    with pytest.raises(WrongShapeError, match="There is no query"):
        client.embed_items([])


def test_only_towers_have_vectors():
    client = Client("http://localhost:1", toy_endpoints()[:2], "toy")
    with pytest.raises(RequestError, match=r"no endpoint 'embed_items'. It has: recommend, score"):
        client.embed_items([10])


@pytest.mark.parametrize("address", ["localhost:8500", "ftp://localhost", "http://", "grpc://", ""])
def test_an_address_needs_a_known_scheme_and_a_host(address):
    with pytest.raises(UserError, match="Expected an address like grpc://host:port"):
        Client(address, toy_endpoints(), "toy")


def test_a_name_must_be_given_without_a_manifest():
    with pytest.raises(UserError, match="name="):
        Client("http://localhost:1", toy_endpoints())


def test_only_a_manifest_describes_a_model(tmp_path):
    with pytest.raises(UserError, match="manifest of a bundle"):
        Client("http://localhost:1", {"some": "thing"})
    with pytest.raises(UserError, match="not a bundle"):
        Client("http://localhost:1", tmp_path)
