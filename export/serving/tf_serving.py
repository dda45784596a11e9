"""The files that TF Serving reads beside and inside a SavedModel, and examples of requests.

`models.config` says where the model is. `batching.config` says how requests are joined. The server runs the warm-up
requests in `assets.extra` before a version takes traffic.

`export.serving.Client` reports a faulty request before sending it. The server answers other callers as follows:

- A missing input: "input size does not match signature", over REST "Missing named input".
- A wrong type: "Expects arg[0] to be string but int64 is provided", over REST "is not of expected type".
- A wrong shape: "is not compatible with expected shape".
- Inputs of different lengths: "Inputs differ in their number of rows".

Where the server joins requests, an error of one request is the error of all that were joined with it.
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from export.rendering import render
from export.serving.signatures import MAX_BATCH, SETS
from export.serving.transports import predict_request
from zoo.schema import HISTORY_NAMES

if TYPE_CHECKING:
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    from export.endpoints import Endpoint, TensorInfo

# Raw inputs by name, `[rows, ...]`.
Sample: TypeAlias = Mapping[str, np.ndarray]
# A value of a request as JSON has it.
Value: TypeAlias = "str | int | float | list[Value]"

CONFIG = "models.config"
BATCHING = "batching.config"
WARM_UP = "assets.extra/tf_serving_warmup_requests"
# The inputs that the client takes as arguments of their own.
ITEM_LISTS = (*SETS, "items")
DEFAULT_SIGNATURE = "serving_default"
# The sizes of batches that requests are joined to, which are warmed up. Filling up at most doubles the work.
BATCH_SIZES = tuple(2**power for power in range(MAX_BATCH.bit_length()))

TEMPLATES = Path(__file__).parent / "templates"


def write(
    folder: Path,
    name: str,
    bundle: str,
    endpoints: Iterable[Endpoint],
    samples: Mapping[str, Sample],
    version: str,
) -> None:
    """Writes `models.config`, `batching.config` and the warm-up requests of a version.

    Args:
        folder: The folder of versions.
        name: The name the model is served under.
        bundle: The name of the bundle's folder, which is under `/models` in the server.
        endpoints: The endpoints, each a signature.
        samples: For every endpoint some raw inputs by name, `[rows, ...]`, with at least one row.
        version: The name of the version's folder, which exists.
    """
    (folder / CONFIG).write_text(_models_config(name, f"/models/{bundle}/{folder.name}"), encoding="utf-8")
    (folder / BATCHING).write_text(_batching_config(), encoding="utf-8")
    _write_warm_up(folder / version / WARM_UP, name, tuple(endpoints), samples)


def docker_command(bundle: str, image: str = "tensorflow/serving") -> str:
    """The command that serves a bundle, to be run in the folder that holds the bundle's folder.

    The server sees a new version of the bundle appear, because the folder that holds the bundle's folder is mounted.

    Args:
        bundle: The name of the bundle's folder.
        image: The image of TF Serving.

    Returns:
        A shell command. gRPC is on port 8500, REST on 8501.
    """
    path = f"/models/{bundle}/saved_model"
    return _rendered(
        "docker.sh",
        image=shlex.quote(image),
        models=shlex.quote(f"--model_config_file={path}/{CONFIG}"),
        batching=shlex.quote(f"--batching_parameters_file={path}/{BATCHING}"),
    )


def rest_example(
    name: str,
    endpoint: Endpoint,
    sample: Sample,
    form: str = "columnar",
    address: str = "http://localhost:8501",
) -> str:
    """A request over REST with curl.

    Args:
        name: The name the model is served under.
        endpoint: The endpoint to ask.
        sample: Raw inputs by name. The first row is asked.
        form: `"columnar"` (all inputs by name) or `"row"` (a list with one query each).
        address: Where the server is.

    Returns:
        A shell command. Its lists begin with padding, so the server may join the request with others.
    """
    inputs = {info.name: _sent(info, sample[info.name]) for info in endpoint.inputs}
    if form == "columnar":
        body: dict[str, object] = {"inputs": inputs}
    else:
        rows = inputs[endpoint.inputs[0].name] if len(inputs) == 1 else [{key: v[0] for key, v in inputs.items()}]
        body = {"instances": rows}
    data = shlex.quote(json.dumps({"signature_name": endpoint.name, **body}, ensure_ascii=False))
    return _rendered("curl.sh", request=data, url=shlex.quote(f"{address}/v1/models/{name}:predict"))


def grpc_example(
    bundle: str,
    endpoint: Endpoint,
    sample: Sample,
    address: str = "grpc://localhost:8500",
) -> str:
    """A request over gRPC with the typed client.

    Args:
        bundle: The folder of the bundle.
        endpoint: The endpoint to ask.
        sample: Raw inputs by name. The first row is asked.
        address: Where the server is. With `http://` the same code asks over REST.

    Returns:
        Python code that prints the answer.
    """
    arguments = _arguments(_kept(endpoint, sample))
    place = {"address": repr(address), "bundle": repr(bundle)}
    return _rendered("grpc.py", endpoint=endpoint.name, arguments=arguments, **place)


def _arguments(row: Mapping[str, Value]) -> list[str]:
    """The arguments of a call of the client: the query as one, and every list of items that is not empty."""
    query = [f"{key!r}: [{_code(value)}]" for key, value in row.items() if key not in ITEM_LISTS]
    lists = [f"{key}=[{_code(row[key])}]" for key in ITEM_LISTS if row.get(key, []) != []]
    return [*([f"{{{', '.join(query)}}}"] if query else []), *lists]


def _rendered(example: str, **values: object) -> str:
    return render(TEMPLATES / f"{example}.jinja", **values).rstrip()


def _batching_config() -> str:
    return render(TEMPLATES / f"{BATCHING}.jinja", largest=MAX_BATCH, sizes=BATCH_SIZES)


def _models_config(name: str, base_path: str) -> str:
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(name=name, base_path=base_path, model_platform="tensorflow")
    return text_format.MessageToString(config)


def _write_warm_up(path: Path, name: str, endpoints: tuple[Endpoint, ...], samples: Mapping[str, Sample]) -> None:
    import tensorflow as tf

    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as file:
        for request in _warm_up_requests(name, endpoints, samples):
            file.write(request.SerializeToString())


def _warm_up_requests(
    name: str, endpoints: tuple[Endpoint, ...], samples: Mapping[str, Sample]
) -> Iterator[PredictionLog]:
    """Every signature at every batch size, as `PredictionLog`."""
    from tensorflow_serving.apis import prediction_log_pb2

    # The default signature is `recommend` under another name. The server warms it up separately.
    signatures = {endpoint.name: endpoint for endpoint in endpoints}
    for signature, endpoint in {**signatures, DEFAULT_SIGNATURE: signatures["recommend"]}.items():
        dtypes = {info.name: info.dtype for info in endpoint.inputs}
        for size in BATCH_SIZES:
            arrays = {key: _repeated(samples[endpoint.name][key], size) for key in dtypes}
            log = prediction_log_pb2.PredictionLog()
            log.predict_log.request.CopyFrom(predict_request(name, signature, dtypes, arrays))
            yield log


def _repeated(values: np.ndarray, size: int) -> np.ndarray:
    return np.asarray(values)[np.arange(size) % len(values)]


def _sent(info: TensorInfo, values: np.ndarray) -> list[Value]:
    """The first row. A list that the server may fill up begins with padding."""
    (row,) = np.asarray(values)[:1].tolist()
    if info.name in SETS:
        row = [info.padding, *(value for value in row if value != info.padding)]
    return [_rounded(row)]


def _kept(endpoint: Endpoint, sample: Sample) -> dict[str, Value]:
    """The first row by input name as a caller of the client would write it, without padding."""
    kept: dict[str, Value] = {}
    for info in endpoint.inputs:
        (row,) = np.asarray(sample[info.name])[:1].tolist()
        kept[info.name] = _rounded(_without_padding(info, row, kept.get("history")))
    return kept


def _without_padding(info: TensorInfo, row: Value, history: Value | None) -> Value:
    """A value, or the values of a list without padding. In what belongs to a history these are the last ones."""
    if not isinstance(row, list):
        return row
    if info.vocabulary:
        return [value for value in row if value != info.padding]
    return row[len(row) - len(history) :] if info.name in HISTORY_NAMES and isinstance(history, list) else row


def _rounded(value: Value) -> Value:
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return round(value, 4) if isinstance(value, float) else value


def _code(value: Value) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_code, value))}]"
    return 'float("nan")' if isinstance(value, float) and math.isnan(value) else repr(value)
