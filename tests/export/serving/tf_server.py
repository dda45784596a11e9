"""A server that runs a SavedModel behind real sockets and follows the sources of TF Serving.

It follows predict_util.cc and json_tensor.cc in how a request becomes tensors, and batching_session.cc and
batching_util.cc in how requests are joined.
"""

from __future__ import annotations

import base64
import contextlib
import json
import time
from concurrent import futures

import grpc
import numpy as np
import tensorflow as tf
from http_server import Handler, http_server
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
from test_saved_model import decoded, meta_graph

FIELDS = {"string": "string_val", "int64": "int64_val", "int32": "int_val", "float32": "float_val"}
HTTP_CODES = {"NOT_FOUND": 404, "INVALID_ARGUMENT": 400, "FAILED_PRECONDITION": 412, "UNAVAILABLE": 503}
# The largest whole number that the server takes for a float32.
LARGEST_FLOAT_INTEGER = 2**24 - 1


class Refused(Exception):  # noqa: N818, because it is an answer.
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
    """What AddPadding in batching_util.cc does: it fills all axes except rows up with the first value of a tensor."""
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


class RestHandler(Handler):
    """POST /v1/models/NAME[/versions/N]:predict."""

    def respond(self):
        served = self.server.served
        body = json.loads(self.read_body())
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
            self.answer(200, answer_to_json(outputs, "inputs" if "inputs" in body else "instances"))
        except Refused as error:
            self.answer(HTTP_CODES[error.args[0]], {"error": error.args[1]})


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
    with http_server(handler) as server:
        server.served = served
        yield server.address


@contextlib.contextmanager
def grpc_server(served):
    server = grpc.server(futures.ThreadPoolExecutor(2))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(GrpcService(served), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"grpc://127.0.0.1:{port}"
    server.stop(None).wait()


SERVERS = {"rest": rest_server, "grpc": grpc_server}
