"""What TF Serving needs beside a SavedModel, and the client, end to end over the wire.

The server in these tests runs the SavedModel behind real sockets and follows the sources of TF Serving: how
a request becomes tensors (predict_util.cc, json_tensor.cc), and how requests are joined (batching_session.cc,
batching_util.cc).
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import math
import shlex
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2, prediction_service_pb2_grpc
from tensorflow_serving.config import model_server_config_pb2
from test_saved_model import decoded, make_calls, meta_graph, run_in_cpp, run_in_python, write_saved_model

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
    tf_serving,
)
from export.serving.client import predict_request
from zoo.errors import UserError, ZooError

# ------------------------------------------------------------------------------------------- the server

FIELDS = {"string": "string_val", "int64": "int64_val", "int32": "int_val", "float32": "float_val"}
HTTP_CODES = {"NOT_FOUND": 404, "INVALID_ARGUMENT": 400, "FAILED_PRECONDITION": 412, "UNAVAILABLE": 503}
# The largest whole number that the server takes for a float32.
LARGEST_FLOAT_INTEGER = 2**24 - 1


class Refused(Exception):  # noqa: N818, for it is an answer.
    """An error of the server: the name of its gRPC status and the message."""


class Served:
    """A SavedModel under a name, as TF Serving has it."""

    def __init__(self, folder, name, version=1):
        self.name, self.version = name, version
        self.signatures = meta_graph(folder).signature_def
        self.requests, self.delay, self.refusal = [], 0.0, None
        self._loaded = tf.saved_model.load(str(folder))

    def predict(self, request):
        """What RunPredict in predict_util.cc does."""
        self.requests.append(request)
        time.sleep(self.delay)
        if self.refusal:
            raise self.refusal
        spec = request.model_spec
        if spec.name != self.name or (spec.HasField("version") and spec.version.value != self.version):
            raise Refused("NOT_FOUND", f"Servable not found for request: Latest({spec.name})")
        inputs = self.input_dtypes(spec.signature_name)
        missing, extra = sorted(set(inputs) - set(request.inputs)), sorted(set(request.inputs) - set(inputs))
        if missing or extra:
            sizes = f"{len(request.inputs)}!={len(inputs)}"
            said = f"Sent extra: {{{','.join(extra)}}}. Missing but required: {{{','.join(missing)}}}."
            raise Refused("INVALID_ARGUMENT", f"input size does not match signature: {sizes} {said}")
        feed = {key: tf.make_ndarray(proto) for key, proto in request.inputs.items()}
        response = predict_pb2.PredictResponse()
        for key, array in self.run(spec.signature_name, feed).items():
            response.outputs[key].CopyFrom(to_proto(array))
        return response

    def run(self, signature, feed):
        tensors = {key: tf.constant(array) for key, array in feed.items()}
        outputs = self._loaded.signatures[signature or "serving_default"](**tensors)
        return {key: decoded(value.numpy()) for key, value in outputs.items()}

    def input_dtypes(self, signature):
        name = signature or "serving_default"
        if name not in self.signatures:
            raise Refused("FAILED_PRECONDITION", f'Serving signature key "{name}" not found.')
        return {key: tf.dtypes.as_dtype(info.dtype).name for key, info in self.signatures[name].inputs.items()}

    def run_joined(self, requests):
        """What BatchingSession does with requests of one signature: fills up, joins, runs, splits by rows."""
        tensors = [{key: tf.make_ndarray(proto) for key, proto in request.inputs.items()} for request in requests]
        joined = {key: np.concatenate(filled_up([feed[key] for feed in tensors])) for key in tensors[0]}
        answer = self.run(requests[0].model_spec.signature_name, joined)
        ends = np.cumsum([len(next(iter(feed.values()))) for feed in tensors])[:-1]
        parts = {key: np.split(values, ends) for key, values in answer.items()}
        return [{key: parts[key][i] for key in parts} for i in range(len(requests))]


def filled_up(tensors):
    """What AddPadding in batching_util.cc does: all but the rows are filled up with the first value of the tensor."""
    shape = np.max([tensor.shape for tensor in tensors], axis=0)[1:]
    filled = []
    for tensor in tensors:
        if tensor.shape[1:] == tuple(shape):
            filled.append(tensor)
            continue
        if tensor.size < 1:
            raise Refused("INVALID_ARGUMENT", "Got empty tensor in batch of non-empty tensors.")
        widths = [(0, 0), *((0, most - own) for most, own in zip(shape, tensor.shape[1:], strict=True))]
        filled.append(np.pad(tensor, widths, constant_values=tensor.ravel()[0]))
    return filled


def to_proto(array):
    """Values in the field of their type, as Tensor::AsProtoField writes them."""
    dtype = "string" if array.dtype == object else str(array.dtype)
    proto = tensor_pb2.TensorProto(dtype=tf.dtypes.as_dtype(dtype).as_datatype_enum)
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    getattr(proto, FIELDS[dtype]).extend([v.encode() for v in array.ravel()] if dtype == "string" else array.ravel())
    return proto


def request_from_json(body, dtypes):
    """The tensors of a JSON request in row or columnar form by the rules of json_tensor.cc."""
    if "instances" in body:
        rows = body["instances"]
        columns = {}
        for row in rows:
            if isinstance(row, dict) and set(row) != {"b64"}:
                if set(row) != set(dtypes):
                    raise Refused("INVALID_ARGUMENT", f"JSON object keys must be equal to: {','.join(sorted(dtypes))}")
            elif len(dtypes) == 1:
                row = {next(iter(dtypes)): row}
            else:
                raise Refused("INVALID_ARGUMENT", "instances is a plain list, but expecting list of objects")
            for key, value in row.items():
                columns.setdefault(key, []).append(value)
    else:
        columns = body["inputs"]
        if not isinstance(columns, dict) and len(dtypes) == 1:
            columns = {next(iter(dtypes)): columns}
        for key in dtypes:
            if key not in columns:
                raise Refused("INVALID_ARGUMENT", f"Missing named input: {key} in 'inputs' object.")
    return {key: array_from_json(columns[key], dtype) for key, dtype in dtypes.items()}


def array_from_json(value, dtype):
    shape, first = [], value
    while isinstance(first, list):
        shape.append(len(first))
        first = first[0] if first else None
    flat = list(leaves(value, shape, dtype))
    return np.array(flat, object if dtype == "string" else dtype).reshape(shape)


def leaves(value, shape, dtype):
    if not shape:
        yield leaf(value, dtype)
    elif not isinstance(value, list) or len(value) != shape[0]:
        raise Refused("INVALID_ARGUMENT", f"Encountered list at unexpected size, expected size: {shape[0]}")
    else:
        for each in value:
            yield from leaves(each, shape[1:], dtype)


def leaf(value, dtype):
    if dtype == "string" and isinstance(value, dict) and set(value) == {"b64"}:
        return base64.b64decode(value["b64"]).decode()
    kinds = {"string": str, "int64": int, "float32": (int, float)}[dtype]
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise Refused("INVALID_ARGUMENT", f"JSON Value: {json.dumps(value)} is not of expected type: {dtype}")
    if dtype == "float32" and isinstance(value, int) and abs(value) > LARGEST_FLOAT_INTEGER:
        raise Refused("INVALID_ARGUMENT", f"Cannot convert JSON value: {value} to float without loss of precision.")
    return value


def answer_to_json(outputs, form):
    """The JSON of an answer: names are left out where there is one output."""
    columns = {key: [jsonable(row) for row in array] for key, array in outputs.items()}
    if form == "inputs":
        return {"outputs": columns if len(columns) > 1 else next(iter(columns.values()))}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return {"predictions": rows if len(columns) > 1 else next(iter(columns.values()))}


def jsonable(values):
    """Floats as the fewest digits, at most nine, that give the same float32."""
    if isinstance(values, np.ndarray):
        return [jsonable(value) for value in values]
    return float(f"{values:.9g}") if isinstance(values, np.float32) else getattr(values, "item", lambda: values)()


class RestHandler(BaseHTTPRequestHandler):
    """POST /v1/models/NAME[/versions/N]:predict."""

    def do_POST(self):
        served = self.server.served
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        request = predict_pb2.PredictRequest()
        path, _, verb = self.path.partition(":")
        _, _, _, name, *version = path.split("/")
        assert verb == "predict"
        request.model_spec.name, request.model_spec.signature_name = name, body.get("signature_name", "")
        if version:
            request.model_spec.version.value = int(version[1])
        try:
            dtypes = served.input_dtypes(request.model_spec.signature_name)
            for key, array in request_from_json(body, dtypes).items():
                request.inputs[key].CopyFrom(to_proto(array))
            response = served.predict(request)
            outputs = {key: decoded(tf.make_ndarray(proto)) for key, proto in response.outputs.items()}
            self._answer(200, answer_to_json(outputs, "inputs" if "inputs" in body else "instances"))
        except Refused as error:
            self._answer(HTTP_CODES[error.args[0]], {"error": error.args[1]})

    def _answer(self, code, body):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.wfile.write(data)

    def log_message(self, *arguments):
        pass


class GrpcService(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, served):
        self.served = served

    def Predict(self, request, context):  # noqa: N802
        try:
            return self.served.predict(request)
        except Refused as error:
            context.abort(grpc.StatusCode[error.args[0]], error.args[1])


@contextlib.contextmanager
def rest_server(served, handler=RestHandler):
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.served = served
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@contextlib.contextmanager
def grpc_server(served):
    server = grpc.server(futures.ThreadPoolExecutor(2))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(GrpcService(served), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"grpc://127.0.0.1:{port}"
    server.stop(None).wait()


SERVERS = {"rest": rest_server, "grpc": grpc_server}

# ------------------------------------------------------------------------------------------- the models

# A catalogue of four items with integer ids, whose scores are 4, 3, 2, 1 plus the weight of the query.
ITEMS, PADDING, LOWEST = [10, 20, 30, 2**60 + 1], -1, float(np.finfo(np.float32).min)
IDS = {"dtype": "int64", "vocabulary": "item", "padding": PADDING}


def unknown(name, rank):
    return TensorInfo(f"unknown_{name}", "int32", (None,) * rank, "1 where the value is not known.")


def toy_endpoints():
    query = (
        TensorInfo("user", "string", (None,), "The user.", "user", ""),
        TensorInfo("history", "int64", (None, 3), "The last 3 items.", "item", PADDING),
        TensorInfo("history_rating", "float32", (None, 3), "Their ratings."),
        TensorInfo("genres", "string", (None, 2), "Up to 2 values, padded behind.", "genres", ""),
        TensorInfo("weight", "float32", (None,), "Added to every score."),
        TensorInfo("text", "float32", (None, 2), "A text as a vector."),
    )
    exclude = TensorInfo("exclude", shape=(None, None), about="", **IDS)
    candidates = TensorInfo("candidates", shape=(None, None), about="", **IDS)
    items = TensorInfo("items", shape=(None, None), about="", **IDS)
    unknowns = (unknown("user", 1), unknown("history", 2), unknown("genres", 2))
    best = (TensorInfo("items", shape=(None, 3), about="", **IDS), TensorInfo("scores", "float32", (None, 3), ""))
    vectors = TensorInfo("vectors", "float32", (None, 2), "")
    return (
        Endpoint(
            "recommend",
            (*query, exclude, candidates),
            (*best, *unknowns, unknown("exclude", 2), unknown("candidates", 2)),
        ),
        Endpoint(
            "score",
            (*query, items),
            (TensorInfo("scores", "float32", (None, None), ""), *unknowns, unknown("items", 2)),
        ),
        Endpoint("embed_query", query, (vectors, *unknowns)),
        Endpoint("embed_items", (TensorInfo("items", shape=(None,), about="", **IDS),), (vectors, unknown("items", 1))),
    )


class Toy(tf.Module):
    """The toy endpoints, written down one by one."""

    def recommend(self, feed):
        catalogue = tf.constant(ITEMS, tf.int64)

        def among(name):
            return tf.reduce_any(catalogue[None, :, None] == feed[name][:, None, :], axis=2)

        all_are_candidates = tf.reduce_all(feed["candidates"] == PADDING, axis=1, keepdims=True)
        allowed = (all_are_candidates | among("candidates")) & ~among("exclude")
        scores = tf.where(allowed, tf.constant([4.0, 3.0, 2.0, 1.0]) + feed["weight"][:, None], LOWEST)
        scores, places = tf.math.top_k(scores, 3)
        items = tf.where(scores > LOWEST, tf.gather(catalogue, places), PADDING)
        return {"items": items, "scores": scores, **self.unknown(feed)}

    def score(self, feed):
        return {"scores": tf.cast(feed["items"], tf.float32) + feed["weight"][:, None], **self.unknown(feed)}

    def embed_query(self, feed):
        history = tf.reduce_sum(tf.cast(feed["history"], tf.float32) * [[1.0, 10.0, 100.0]], axis=1)
        vectors = tf.stack([history, tf.reduce_sum(feed["history_rating"] * [[1.0, 10.0, 100.0]], axis=1)], axis=1)
        return {"vectors": vectors + feed["text"], **self.unknown(feed)}

    def embed_items(self, feed):
        items = tf.cast(feed["items"], tf.float32)
        return {"vectors": tf.stack([items, -items], axis=1), **self.unknown(feed)}

    def unknown(self, feed):
        known = {"user": ["", "ann", "bob"], "genres": ["", "war", "love"]}
        found = {}
        for name in ("user", "genres", "history", "exclude", "candidates", "items"):
            if name in feed:
                values = tf.constant(known[name]) if name in known else tf.constant([PADDING, *ITEMS], tf.int64)
                found[f"unknown_{name}"] = 1 - tf.cast(
                    tf.reduce_any(feed[name][..., None] == values, axis=-1), tf.int32
                )
        return found


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """The toy model as a SavedModel."""
    module, signatures = Toy(), {}
    for endpoint in toy_endpoints():
        names = [info.name for info in endpoint.inputs]
        method = getattr(module, endpoint.name)

        def run(*tensors, names=names, method=method):
            return method(dict(zip(names, tensors, strict=True)))

        specs = [tf.TensorSpec(info.shape, info.dtype, info.name) for info in endpoint.inputs]
        signatures[endpoint.name] = tf.function(run, input_signature=specs).get_concrete_function()
    signatures["serving_default"] = signatures["recommend"]
    folder = tmp_path_factory.mktemp("toy")
    tf.saved_model.save(module, str(folder / "1"), signatures=signatures)
    return folder / "1"


@pytest.fixture
def served(toy):
    return Served(toy, "toy")


@pytest.fixture(params=SERVERS)
def client(request, served):
    """A client of the toy model, over REST or gRPC."""
    with SERVERS[request.param](served) as address, Client(address, toy_endpoints(), name="toy") as made:
        yield made


def query(rows=1, **columns):
    """A query for the toy model."""
    return {
        "user": ["ann"] * rows,
        "history": [[]] * rows,
        "history_rating": [[]] * rows,
        "genres": [[]] * rows,
        "weight": [0.0] * rows,
        "text": [[0.0, 0.0]] * rows,
        **columns,
    }


@pytest.fixture(scope="module", params=["run", "features_run"])
def exported(request, tmp_path_factory):
    """The SavedModel of a run over string ids, and of one that reads everything, in a folder like a bundle's."""
    run = request.getfixturevalue(request.param)
    bundle = tmp_path_factory.mktemp("bundle")
    made = write_saved_model(run, bundle / "saved_model")
    endpoints = {endpoint.name: endpoint.to_json() for endpoint in made.endpoints}
    manifest = {"recipe": {"name": run.config.model}, "endpoints": endpoints}
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    return made


def samples_of(exported, rows):
    """Some raw inputs of every endpoint."""
    calls = dict(make_calls(exported.endpoints, exported.vocabularies, rows))
    return {endpoint.name: calls[endpoint.name] for endpoint in exported.endpoints}


def bundle_of(exported):
    return exported.folder.parent.parent


def served_by(exported):
    return Served(exported.folder, json.loads((bundle_of(exported) / "manifest.json").read_text())["recipe"]["name"])


@pytest.fixture
def written(exported, tmp_path):
    """What the module writes for a version of such a bundle: the samples given, and the folder of versions."""
    samples = samples_of(exported, 5)
    folder = tmp_path / "saved_model"
    folder.mkdir()
    tf_serving.write(folder, "served", "my bundle", exported.endpoints, samples, "3")
    return samples, folder


# ------------------------------------------------------------------------------------------- what the server reads


def test_the_models_config_says_where_the_versions_are_under_the_mounted_folder(written):
    config = model_server_config_pb2.ModelServerConfig()
    text_format.Parse((written[1] / "models.config").read_text(), config)
    (model,) = config.model_config_list.config
    assert (model.name, model.base_path) == ("served", "/models/my bundle/saved_model")
    assert model.model_platform == "tensorflow"


@pytest.mark.parametrize("bundle", ['say "hi"', "it's", "日本", "back\\slash", "😀"])
def test_any_name_of_a_folder_survives_the_models_config(bundle):
    config = model_server_config_pb2.ModelServerConfig()
    text_format.Parse(tf_serving._models_config("mf", f"/models/{bundle}/saved_model"), config)
    assert config.model_config_list.config[0].base_path == f"/models/{bundle}/saved_model"


def batching_parameters():
    """The message `BatchingParameters` as session_bundle_config.proto of TF Serving defines it."""
    file = descriptor_pb2.FileDescriptorProto(
        name="batching.proto",
        package="tensorflow.serving",
        syntax="proto3",
        dependency=["google/protobuf/wrappers.proto"],
    )
    message = file.message_type.add(name="BatchingParameters")
    kinds = descriptor_pb2.FieldDescriptorProto
    wrapped = ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads")
    for number, name in enumerate(wrapped, start=1):
        value = ".google.protobuf.Int64Value"
        message.field.add(
            name=name, number=number, type=kinds.TYPE_MESSAGE, type_name=value, label=kinds.LABEL_OPTIONAL
        )
    message.field.add(name="allowed_batch_sizes", number=6, type=kinds.TYPE_INT64, label=kinds.LABEL_REPEATED)
    message.field.add(name="pad_variable_length_inputs", number=7, type=kinds.TYPE_BOOL, label=kinds.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.serving.BatchingParameters"))()


def test_the_batching_parameters_are_as_the_server_wants_them(written):
    parameters = text_format.Parse((written[1] / "batching.config").read_text(), batching_parameters())
    sizes = list(parameters.allowed_batch_sizes)
    assert sizes == sorted(set(sizes)) == list(tf_serving.BATCH_SIZES)
    assert sizes[0] == 1
    assert sizes[-1] == parameters.max_batch_size.value == 64
    assert parameters.batch_timeout_micros.value == 1000
    assert parameters.max_enqueued_batches.value == 100
    assert parameters.num_batch_threads.value >= 1
    assert parameters.pad_variable_length_inputs is True


def warm_up(folder):
    """The requests of the file, read as the server reads them."""
    path = folder / "3" / "assets.extra" / "tf_serving_warmup_requests"
    logs = [prediction_log_pb2.PredictionLog.FromString(r.numpy()) for r in tf.data.TFRecordDataset(str(path))]
    assert {log.WhichOneof("log_type") for log in logs} == {"predict_log"}
    return [log.predict_log.request for log in logs]


def as_call(request):
    return request.model_spec.signature_name, {key: decoded(tf.make_ndarray(p)) for key, p in request.inputs.items()}


def test_every_signature_is_warmed_up_at_every_batch_size_of_the_server(exported, written):
    requests = warm_up(written[1])
    signatures = {name for name in meta_graph(exported.folder).signature_def if not name.startswith("__")}
    sizes = [(name, len(next(iter(feed.values())))) for name, feed in map(as_call, requests)]
    assert sorted(sizes) == sorted((name, size) for name in signatures for size in tf_serving.BATCH_SIZES)
    assert len(requests) <= 1000
    assert {request.model_spec.name for request in requests} == {"served"}
    assert not any(request.model_spec.HasField("version") for request in requests)


def test_warm_up_requests_are_the_samples_repeated_as_often_as_needed(written):
    samples, folder = written
    for name, feed in map(as_call, warm_up(folder)):
        sample = samples["recommend" if name == "serving_default" else name]
        for key, values in feed.items():
            np.testing.assert_array_equal(values, sample[key][np.arange(len(values)) % 5])


def test_the_cpp_runtime_answers_every_warm_up_request(exported, written):
    calls = [as_call(request) for request in warm_up(written[1])]
    for found, expected in zip(run_in_cpp(exported.folder, calls), run_in_python(exported.folder, calls), strict=True):
        for key, values in expected.items():
            if values.dtype == np.float32:
                np.testing.assert_allclose(found[key], values, rtol=1e-5, atol=1e-6)
            else:
                np.testing.assert_array_equal(found[key], values)


# ------------------------------------------------------------------------------------------- commands and examples


@pytest.mark.parametrize("name", ["mf", "it's mine"])
def test_the_docker_command_mounts_the_folder_of_the_bundle_and_names_both_configs(name):
    words = shlex.split(tf_serving.docker_command(name).replace("\\\n", " "))
    assert words[:2] == ["docker", "run"]
    assert words[words.index("-v") + 1] == "$PWD:/models:ro"
    assert words[words.index("tensorflow/serving") + 1 :] == [
        f"--model_config_file=/models/{name}/saved_model/models.config",
        "--enable_batching",
        f"--batching_parameters_file=/models/{name}/saved_model/batching.config",
    ]


@pytest.mark.parametrize("form", ["columnar", "row"])
def test_the_curl_examples_of_every_endpoint_are_answered_as_the_model_answers(exported, form):
    served, samples = served_by(exported), samples_of(exported, 2)
    with rest_server(served) as address:
        for endpoint in exported.endpoints:
            command = tf_serving.rest_example(served.name, endpoint, samples[endpoint.name], form, address)
            curl, option, data, url = shlex.split(command)
            assert (curl, option) == ("curl", "-d")
            answer = post(url, data.encode())["outputs" if form == "columnar" else "predictions"]
            first = {key: values[:1] for key, values in samples[endpoint.name].items()}
            check_json(answer, form, {k: v for k, v in served.run(endpoint.name, first).items() if k[:7] != "unknown"})


def post(url, data):
    with urllib.request.urlopen(urllib.request.Request(url, data), timeout=60) as response:
        return json.load(response)


def check_json(answer, form, expected):
    (row,) = answer if form == "row" else [answer]
    for key, values in expected.items():
        found = row[key] if isinstance(row, dict) else row
        values = values[0] if form == "row" else values
        if values.dtype == np.float32:
            np.testing.assert_allclose(np.array(found, np.float32), values, rtol=1e-3, atol=1e-3)
        else:
            assert found == values.tolist()


@pytest.mark.parametrize("scheme", SERVERS)
def test_the_python_examples_of_every_endpoint_print_what_the_model_answers(exported, scheme):
    served, samples = served_by(exported), samples_of(exported, 2)
    with SERVERS[scheme](served) as address:
        for endpoint in exported.endpoints:
            code = tf_serving.grpc_example(str(bundle_of(exported)), endpoint, samples[endpoint.name], address)
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(code, {})
            expected = served.run(endpoint.name, {k: v[:1] for k, v in samples[endpoint.name].items()})
            assert printed.getvalue().startswith(("Recommendations(", "Scores(", "Vectors("))
            if endpoint.name == "recommend":
                assert repr(expected["items"].tolist()[0][0]) in printed.getvalue()


# ------------------------------------------------------------------------------------------- the client


@pytest.mark.parametrize("scheme", SERVERS)
def test_the_client_gets_what_the_model_answers(exported, scheme):
    served, samples = served_by(exported), samples_of(exported, 7)
    with SERVERS[scheme](served) as address, Client(address, bundle_of(exported)) as client:
        for endpoint in exported.endpoints:
            feed = dict(samples[endpoint.name])
            expected = served.run(endpoint.name, feed)
            others = {key: feed.pop(key) for key in ("exclude", "candidates", "items") if key in feed}
            answer = getattr(client, endpoint.name)(*([feed] if feed else []), **others)
            for info in endpoint.outputs:
                if info.name.startswith("unknown_"):
                    found, values = answer.unknown[info.name.removeprefix("unknown_")], expected[info.name] == 1
                else:
                    found, values = getattr(answer, info.name), expected[info.name]
                if endpoint.name == "score" and info.name == "scores":
                    (items,) = [each for each in endpoint.inputs if each.name == "items"]
                    values = np.where(others["items"] == items.padding, np.nan, values)
                if info.dtype == "float32":
                    np.testing.assert_allclose(found, values, rtol=1e-5, atol=1e-6)
                else:
                    np.testing.assert_array_equal(found, values)


def test_lists_of_different_lengths_are_padded_by_the_client(client):
    best = client.recommend(
        query(3, weight=[0.0, 1.0, -1.0]),
        exclude=[[10], [], [20, 99, 30]],
        candidates=[[], [ITEMS[3], 20], [30, 10]],
    )
    assert best.items.tolist() == [[20, 30, ITEMS[3]], [20, ITEMS[3], PADDING], [10, PADDING, PADDING]]
    assert best.items.dtype == np.int64
    np.testing.assert_array_equal(best.scores, np.float32([[3, 2, 1], [4, 2, LOWEST], [3, LOWEST, LOWEST]]))
    assert best.unknown["exclude"].tolist() == [[False, False, False], [False, False, False], [False, True, False]]
    assert not best.unknown["candidates"].any()
    assert best.unknown["candidates"].shape == (3, 2)


def test_histories_are_padded_in_front_and_keep_their_last_events(client):
    histories = [[1, 2, 3, 4], [7], []]
    ratings = [[0.1, 0.2, 0.3, 0.4], [0.5], []]
    vectors = client.embed_query(query(3, history=histories, history_rating=ratings)).vectors
    expected = [[2 + 30 + 400, 0.2 + 3 + 40], [700 - 11, 50], [-111, 0]]
    np.testing.assert_allclose(vectors, expected, rtol=1e-6)


def test_other_lists_are_padded_behind(client):
    found = client.embed_query(query(2, genres=[["opera"], ["love", "war"]])).unknown["genres"]
    assert found.tolist() == [[True, False], [False, False]]


def test_a_smaller_k_is_a_slice(client):
    best = client.recommend(query(2), k=2)
    assert best.items.tolist() == [[10, 20], [10, 20]]
    assert best.scores.tolist() == [[4, 3], [4, 3]]


def test_a_list_of_items_to_score_may_be_shorter_than_another(client):
    answer = client.score(query(3), [[10, 20], [], [30, 99]])
    np.testing.assert_array_equal(answer.scores, [[10, 20], [np.nan, np.nan], [30, 99]])
    assert answer.unknown["items"].tolist() == [[False, False], [False, False], [False, True]]


def test_no_items_at_all_have_no_scores(client):
    assert client.score(query(2), [[], []]).scores.shape == (2, 0)


def test_items_have_vectors_and_unknown_ones_are_told(client):
    answer = client.embed_items([10, 99])
    assert answer.vectors.tolist() == [[10, -10], [99, -99]]
    assert answer.unknown["items"].tolist() == [False, True]


def test_unknown_users_are_told(client):
    assert client.recommend(query(2, user=["ann", "Ann 😀"])).unknown["user"].tolist() == [False, True]


def test_integers_keep_all_their_digits(client):
    assert client.recommend(query(), candidates=[[2**60 + 1]]).items.tolist() == [[2**60 + 1, PADDING, PADDING]]
    assert client.recommend(query(), candidates=[[2**60]]).items.tolist() == [[PADDING] * 3]


def test_a_number_that_is_not_known_is_nan_on_the_way_too(client):
    assert np.isnan(client.score(query(weight=[float("nan")]), [[10]]).scores).all()


def test_a_large_whole_number_is_legal_as_a_float(client):
    assert client.score(query(weight=[2**30]), [[0]]).scores.tolist() == [[2**30]]


@pytest.mark.parametrize("kind", ["lists", "arrays", "columns", "frame"])
def test_lists_arrays_and_pandas_columns_are_the_same(client, kind):
    columns = query(2, user=["ann", "zoe"], weight=[0.5, 2])
    items = [[10, 20], [30, 20]]
    if kind == "arrays":
        columns = {k: np.array(v, object if k in ("user", "genres") else None) for k, v in columns.items()}
        columns["history"] = columns["history"].astype(np.int64)
        items = np.array(items)
    elif kind == "columns":
        columns = {k: pd.Series(v) for k, v in columns.items()}
        items = pd.Series([np.array(row) for row in items])
    elif kind == "frame":
        columns = pd.DataFrame(columns)
    answer = client.score(columns, items)
    assert answer.scores.tolist() == [[10.5, 20.5], [32, 22]]
    assert answer.unknown["user"].tolist() == [False, True]


def test_more_queries_than_a_batch_of_the_server_go_in_parts(client, served):
    weights = np.arange(130, dtype=np.float32)
    answer = client.score(query(130, weight=weights), [[int(i)] * (i % 3) for i in range(130)])
    assert [len(tf.make_ndarray(request.inputs["weight"])) for request in served.requests] == [64, 64, 2]
    expected = [[2 * i if i % 3 > j else np.nan for j in range(2)] for i in range(130)]
    np.testing.assert_array_equal(answer.scores, expected)


def test_the_version_asked_for_is_the_one_that_answers(served):
    for name, start in SERVERS.items():
        with start(served) as address, Client(address, toy_endpoints(), "toy", version=1) as client:
            assert len(client.recommend(query()).items) == 1, name
        with start(served) as address, pytest.raises(ServerError, match="Servable not found"):
            Client(address, toy_endpoints(), "toy", version=2).recommend(query())


def test_a_client_is_made_from_a_bundle_its_manifest_or_its_endpoints(exported):
    served, samples = served_by(exported), samples_of(exported, 1)["embed_items"]
    manifest = bundle_of(exported) / "manifest.json"
    with rest_server(served) as address:
        for described in (bundle_of(exported), str(manifest), json.loads(manifest.read_text())):
            assert Client(address, described).embed_items(samples["items"]).vectors.ndim == 2
        assert Client(address, exported.endpoints, served.name).embed_items(samples["items"]).vectors.ndim == 2


def test_a_client_over_rest_does_not_import_tensorflow(exported):
    code = (
        "import sys\nfrom export.serving import Client\n"
        f"Client('http://localhost:1', {str(bundle_of(exported))!r})\nassert 'tensorflow' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


# ------------------------------------------------------------------------------------------- joined requests


def sent(client, served, *calls):
    """The requests that calls of the client make."""
    del served.requests[:]
    for call in calls:
        call(client)
    return list(served.requests)


def test_the_server_fills_lists_up_with_the_first_value_of_a_request(served):
    """The trap that the client avoids: an item of the first row is excluded in the second one too."""
    feeds = [{**padded_query(2), "exclude": np.array([[10], [20]]), "candidates": np.full((2, 1), PADDING)}]
    feeds.append({**padded_query(1), "exclude": np.array([[30, 20]]), "candidates": np.full((1, 1), PADDING)})
    first, _ = served.run_joined([make_request(feed) for feed in feeds])
    assert served.run("recommend", feeds[0])["items"].tolist()[1] == [10, 30, ITEMS[3]]
    assert first["items"].tolist()[1] == [30, ITEMS[3], PADDING]


def test_the_server_cannot_join_a_list_of_no_values_with_others(served):
    feeds = [{**padded_query(1), "exclude": np.zeros((1, n), np.int64), "candidates": [[PADDING]]} for n in (0, 2)]
    with pytest.raises(Refused, match="empty tensor"):
        served.run_joined([make_request(feed) for feed in feeds])


def padded_query(rows):
    feed = {k: np.array(v, object if k in ("user", "genres") else None) for k, v in query(rows).items()}
    feed = {k: v.astype(np.float32) if v.dtype == np.float64 else v for k, v in feed.items()}
    feed["history"], feed["history_rating"] = np.full((rows, 3), PADDING), np.zeros((rows, 3), np.float32)
    feed["genres"] = np.full((rows, 2), "", object)
    return feed


def make_request(feed):
    dtypes = {info.name: info.dtype for info in toy_endpoints()[0].inputs}
    arrays = {key: np.asarray(value) for key, value in feed.items()}
    return predict_request("toy", "recommend", dtypes, arrays)


LISTS = st.lists(st.lists(st.sampled_from([*ITEMS, 99]), max_size=3), min_size=1, max_size=3)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(LISTS, st.booleans()), min_size=2, max_size=3))
@example([([[10], [20]], False), ([[30, 20]], False)])
@example([([[10], []], True), ([[20, 30]], True)])
@example([([[], []], True), ([[20]], False)])
def test_requests_of_the_client_have_the_same_answers_joined_or_alone(client, served, cases):
    answers = []

    def ask(lists, are_candidates):
        others = {"candidates" if are_candidates else "exclude": lists}
        answers.append(client.recommend(query(len(lists)), **others))

    requests = sent(client, served, *(lambda _, case=case: ask(*case) for case in cases))
    for answer, joined in zip(answers, served.run_joined(requests), strict=True):
        np.testing.assert_array_equal(answer.items, joined["items"])
        np.testing.assert_array_equal(answer.scores, joined["scores"])


@pytest.mark.parametrize("scheme", SERVERS)
def test_columns_that_the_server_filled_up_are_cut_off(served, scheme, monkeypatch):
    """An answer that is wider than asked for, as it comes from a joined request."""
    wider = make_wider(served.run, {"exclude": 4, "candidates": 5, "items": 6})
    monkeypatch.setattr(served, "run", wider)
    with SERVERS[scheme](served) as address, Client(address, toy_endpoints(), "toy") as client:
        best = client.recommend(query(2), exclude=[[10], [99, 20]])
        assert best.items.tolist() == [[20, 30, ITEMS[3]], [10, 30, ITEMS[3]]]
        assert best.unknown["exclude"].tolist() == [[False, False], [True, False]]
        assert best.unknown["candidates"].shape == (2, 0)
        answer = client.score(query(2), [[10], [99]])
        assert answer.scores.tolist() == [[10], [99]]
        assert answer.unknown["items"].tolist() == [[False], [True]]


def make_wider(run, widths):
    def run_wider(signature, feed):
        feed = dict(feed)
        for name, width in widths.items():
            if name in feed and feed[name].ndim == 2:
                feed[name], _ = filled_up([feed[name], np.zeros((1, width), feed[name].dtype)])
        return run(signature, feed)

    return run_wider


# ------------------------------------------------------------------------------------------- JSON


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


# ------------------------------------------------------------------------------------------- what is wrong with a call


WRONG_CALLS = {
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
    "a list for a value": (WrongShapeError, {"user": [["ann"], ["bob"]]}, {}, "'user', row 0: is nested too deep"),
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


@pytest.mark.parametrize("name", WRONG_CALLS)
def test_what_is_wrong_with_a_call_is_found_before_it_is_sent(client, served, name):
    kind, columns, others, message = WRONG_CALLS[name]
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
def test_an_address_says_how_to_ask(address):
    with pytest.raises(UserError, match="Expected an address like grpc://host:port"):
        Client(address, toy_endpoints(), "toy")


def test_a_name_must_be_given_where_no_manifest_says_it():
    with pytest.raises(UserError, match="name="):
        Client("http://localhost:1", toy_endpoints())


def test_only_a_manifest_describes_a_model(tmp_path):
    with pytest.raises(UserError, match="manifest of a bundle"):
        Client("http://localhost:1", {"some": "thing"})
    with pytest.raises(UserError, match="not a bundle"):
        Client("http://localhost:1", tmp_path)


# ------------------------------------------------------------------------------------------- what goes wrong on the way


def test_an_error_of_the_server_is_told_in_its_words(client, served):
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


def test_an_input_that_the_served_model_has_not_is_an_error(served):
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


class ProxyHandler(BaseHTTPRequestHandler):
    """Something else than TF Serving."""

    code = 200
    body = b"<html>Hello</html>"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        RestHandler._answer(self, self.code, self.body)

    log_message = RestHandler.log_message


class BrokenProxyHandler(ProxyHandler):
    code = 502


def test_something_else_than_tf_serving_is_told_apart():
    with rest_server(None, ProxyHandler) as address, pytest.raises(UnavailableError, match="is not TF Serving's"):
        Client(address, toy_endpoints(), "toy").recommend(query())
    with rest_server(None, BrokenProxyHandler) as address, pytest.raises(ServerError, match="502: <html>Hello"):
        Client(address, toy_endpoints(), "toy").recommend(query())


@pytest.mark.parametrize("body", [b"[]", b"[1]", b"{", b"7"])
def test_json_that_is_no_answer_is_told_apart(body, monkeypatch):
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
