"""The two forms of a JSON request, as the server reads them."""

from __future__ import annotations

import base64
import json
import math

import pytest
from http_server import post
from tf_server import Refused, Served, request_from_json, rest_server
from toy_model import ITEMS, padded_query


def test_the_row_and_the_columnar_form_have_equal_answers(toy):
    served = Served(toy, "toy")
    feed = {key: values.tolist() for key, values in padded_query(2).items()}
    columns = {**feed, "weight": [math.nan, 1.5], "exclude": [[-1, 10], [-1, 20]], "candidates": [[-1], [-1]]}
    rows = [{key: values[i] for key, values in columns.items()} for i in range(2)]
    with rest_server(served) as address:
        url = f"{address}/v1/models/toy:predict"
        by_column = post(url, json.dumps({"inputs": columns}).encode())["outputs"]
        by_row = post(url, json.dumps({"instances": rows}).encode())["predictions"]
    for i, row in enumerate(by_row):
        assert {key: repr(value) for key, value in row.items()} == {k: repr(v[i]) for k, v in by_column.items()}
    assert by_column["items"][1] == [10, 30, ITEMS[3]]


def test_strings_may_be_sent_as_base64(toy):
    encoded = {"b64": base64.b64encode("日本".encode()).decode()}
    assert request_from_json({"inputs": [encoded]}, {"user": "string"})["user"].tolist() == ["日本"]
    assert request_from_json({"instances": [encoded, "é"]}, {"user": "string"})["user"].tolist() == ["日本", "é"]


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        ([7.0], "int64", "not of expected type"),
        (["7"], "int64", "not of expected type"),
        ([7], "string", "not of expected type"),
        ([None], "float32", "not of expected type"),
        ([2**24], "float32", "without loss of precision"),
        ([[1], [1, 2]], "int64", "unexpected size"),
    ],
)
def test_json_that_is_no_tensor_of_the_input_is_refused_by_the_server(value, dtype, message):
    with pytest.raises(Refused, match=message):
        request_from_json({"inputs": value}, {"x": dtype})
