"""A typed client of a bundle's SavedModel in TF Serving, over REST or gRPC; use it as `export.serving.Client`.

The server's batching joins requests. Where their lists differ in length it fills the shorter tensor up with
the tensor's own *first* value, whatever that is. So the client sends every `exclude` and `candidates` with a
first column of padding, which makes that filling harmless, and takes of an answer only what belongs to what
it asked.
"""

from __future__ import annotations

import dataclasses
import http.client
import json
import numbers
import types
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import numpy as np

from zoo.errors import UserError, ZooError, unknown_name
from zoo.files import read_json

if TYPE_CHECKING:
    from export.endpoints import Endpoint

# The most queries of a request; more are sent in parts, for a server that batches refuses larger ones.
MAX_BATCH = 64
MANIFEST = "manifest.json"
# Lists in which the last value counts most: padded in front, and cut in front where they are too long.
HISTORY = ("history", "history_rating", "history_age")
# Lists of any length in which padding means nothing wherever it stands.
SETS = ("exclude", "candidates")
UNKNOWN = "unknown_"
DTYPES: dict[str, Any] = {"string": object, "int64": np.int64, "int32": np.int32, "float32": np.float32}
KINDS: dict[str, tuple[Any, str, str]] = {
    "string": (str, "a string", "Give ids as the data had them, as strings (str)."),
    "int64": (numbers.Integral, "an integer", "Give ids as the data had them, as integers (int)."),
    "float32": (numbers.Real, "a number", "Give a number that is not known as float('nan')."),
}
LARGEST = 2**63 - 1


class ClientError(ZooError):
    """A call did not work out. Every error of the client is one."""


class RequestError(ClientError, UserError):
    """The call is wrong, which was found before anything was sent."""


class MissingInputError(RequestError):
    """An input that the endpoint needs was not given."""


class WrongDtypeError(RequestError):
    """A value is not of the type of its input."""


class WrongShapeError(RequestError):
    """An input has not the shape, the length or the number of rows that it must have."""


class UnavailableError(ClientError):
    """The server cannot be reached or has too much to do; the same call may work later."""


class TimedOutError(ClientError):
    """The server did not answer in time."""


class ServerError(ClientError):
    """The server answered with an error.

    Args:
        code: The HTTP status, such as `404`, or the name of the gRPC status, such as `"NOT_FOUND"`.
        message: What the server said.
    """

    def __init__(self, code: int | str, message: str) -> None:
        super().__init__(f"The server answered {code}: {message}")
        self.code = code
        self.message = message


@dataclasses.dataclass(frozen=True)
class Recommendations:
    """The answer of `Client.recommend`.

    Args:
        items: `[batch, k]` raw item ids, best first; the padding value where no item is left.
        scores: `[batch, k]` float32.
        unknown: For every input of ids or categories a bool array of its shape: true where the model does
            not know the value.
    """

    items: np.ndarray
    scores: np.ndarray
    unknown: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Scores:
    """The answer of `Client.score`.

    Args:
        scores: `[batch, n]` float32; NaN behind the end of a list of items that is shorter than the longest.
        unknown: As in `Recommendations`.
    """

    scores: np.ndarray
    unknown: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Vectors:
    """The answer of `Client.embed_query` and `Client.embed_items`.

    Args:
        vectors: `[batch, dim]` float32.
        unknown: As in `Recommendations`.
    """

    vectors: np.ndarray
    unknown: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class _Tensor:
    name: str
    dtype: str
    shape: tuple[int | None, ...]
    vocabulary: str | None
    padding: Any

    @property
    def text(self) -> str:
        return f"{self.name} ({self.dtype}, [{', '.join('any' if n is None else str(n) for n in self.shape)}])"


@dataclasses.dataclass(frozen=True)
class _Signature:
    name: str
    inputs: tuple[_Tensor, ...]
    outputs: tuple[_Tensor, ...]


class Client:
    """Asks a model in TF Serving, with raw ids in and out.

    A query is a mapping of input names to columns: lists, NumPy arrays or pandas columns (so a DataFrame
    will do), one row a query. Rows of lists may differ in length; the client pads them. What is wrong with
    a call is found before it is sent.

    Args:
        address: `"grpc://host:8500"`, `"http://host:8501"` or `"https://..."`.
        endpoints: What describes the model: the folder of its bundle, the content of the bundle's manifest
            or `Bundle.endpoints`.
        name: The name it is served under; by default the name of its architecture, as in `models.config`.
        version: The version to ask; by default the latest.
        timeout: Seconds to wait for an answer.

    Raises:
        UserError: If the address has no known scheme, or the name is neither given nor in the manifest.

    Example:

    >>> with Client("grpc://localhost:8500", "bundles/mf") as client:
    ...     best = client.recommend({"user": ["ann", "bob"]}, exclude=[["film 7"], []], k=10)
    >>> best.items.shape
    (2, 10)
    """

    def __init__(
        self,
        address: str,
        endpoints: str | Path | Mapping[str, Any] | Iterable[Endpoint],
        name: str | None = None,
        version: int | None = None,
        timeout: float = 10.0,
    ) -> None:
        described, architecture = _described(endpoints)
        served = name or architecture
        if not served:
            raise UserError("Without a manifest, the name the model is served under must be given: Client(..., name=).")
        self._signatures = {key: _signature(key, value) for key, value in described.items()}
        scheme, host = urlsplit(address)[:2]
        if scheme not in TRANSPORTS or not host:
            valid = ", ".join(f"{known}://host:port" for known in TRANSPORTS)
            raise UserError(f"Expected an address like {valid}. Received: {address!r}.")
        self._transport = TRANSPORTS[scheme](address if scheme != "grpc" else host, served, version, timeout)

    def recommend(
        self, query: Mapping[str, Any], exclude: Any = None, candidates: Any = None, k: int | None = None
    ) -> Recommendations:
        """The best items for each query.

        Args:
            query: Columns by input name.
            exclude: For each query, a list of items never to return.
            candidates: For each query, a list of items to choose from; an empty list means the whole catalogue.
            k: How many items; at most, and by default, as many as the bundle was exported for.

        Raises:
            RequestError: If something is wrong with the call.
            UnavailableError: If the server cannot be reached or is too busy.
            TimedOutError: If it does not answer in time.
            ServerError: If it answers with an error.
        """
        _check_k(k, self._signature("recommend"))
        answer, unknown = self._ask("recommend", query, {"exclude": exclude, "candidates": candidates})
        return Recommendations(answer["items"][:, :k], answer["scores"][:, :k], unknown)

    def score(self, query: Mapping[str, Any], items: Any) -> Scores:
        """The score of each item for its query.

        Args:
            query: Columns by input name.
            items: For each query, a list of items.

        Raises:
            RequestError, UnavailableError, TimedOutError, ServerError: As for `recommend`.
        """
        answer, unknown = self._ask("score", query, {"items": items})
        return Scores(answer["scores"], unknown)

    def embed_query(self, query: Mapping[str, Any]) -> Vectors:
        """The vector of each query; for towers only.

        Args:
            query: Columns by input name.

        Raises:
            RequestError, UnavailableError, TimedOutError, ServerError: As for `recommend`.
        """
        answer, unknown = self._ask("embed_query", query, {})
        return Vectors(answer["vectors"], unknown)

    def embed_items(self, items: Any) -> Vectors:
        """The vector of each item; for towers only.

        Args:
            items: A list of items.

        Raises:
            RequestError, UnavailableError, TimedOutError, ServerError: As for `recommend`.
        """
        answer, unknown = self._ask("embed_items", {}, {"items": items})
        return Vectors(answer["vectors"], unknown)

    def close(self) -> None:
        """Closes the connection."""
        self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        self.close()

    def _signature(self, name: str) -> _Signature:
        if name not in self._signatures:
            raise RequestError(f"This model has no endpoint {name!r}. It has: {', '.join(self._signatures)}.")
        return self._signatures[name]

    def _ask(
        self, endpoint: str, query: Mapping[str, Any], others: Mapping[str, Any]
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """The outputs of an endpoint, without what padding has to do with; those named unknown apart."""
        signature = self._signature(endpoint)
        arrays = _encode(signature, query, others)
        parts = []
        for start in range(0, len(arrays[signature.inputs[0].name]), MAX_BATCH):
            part = {name: values[start : start + MAX_BATCH] for name, values in arrays.items()}
            answer = self._transport.predict(signature, _request(signature, part))
            parts.append(_answer(signature, part, answer))
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        names = [name for name in joined if name.startswith(UNKNOWN)]
        return joined, {name.removeprefix(UNKNOWN): joined.pop(name).astype(bool) for name in names}


def _check_k(k: Any, signature: _Signature) -> None:
    (most,) = [info.shape[1] for info in signature.outputs if info.name == "items"]
    is_integer = isinstance(k, numbers.Integral) and not isinstance(k, bool)
    if k is not None and not (is_integer and 1 <= k <= most):
        raise RequestError(f"k must be an integer between 1 and the {most} of this bundle. Received: {k!r}.")


def _encode(signature: _Signature, query: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The inputs as arrays of one number of rows."""
    names = [info.name for info in signature.inputs if info.name not in others]
    for name in query.keys():  # noqa: SIM118, for a DataFrame has columns as keys and rows to iterate over.
        if name not in names:
            raise RequestError(str(unknown_name(f"input of {signature.name!r}", str(name), names)))
    given = {**{name: query[name] for name in query.keys()}, **others}  # noqa: SIM118
    missing = [info.text for info in signature.inputs if given.get(info.name) is None and info.name not in SETS]
    if missing:
        raise MissingInputError(f"{signature.name!r} needs more inputs. Missing: {', '.join(missing)}.")
    arrays: dict[str, np.ndarray] = {}
    for info in signature.inputs:
        if given.get(info.name) is not None:
            arrays[info.name] = _array(info, given[info.name])
    first = next(iter(arrays))
    rows = len(arrays[first])
    for name, array in arrays.items():
        if len(array) != rows:
            raise WrongShapeError(
                f"Every input has one row a query. Received: {rows} in {first!r}, but {len(array)} in {name!r}."
            )
    if rows == 0:
        raise WrongShapeError(f"There is no query: {first!r} has no rows.")
    for info in signature.inputs:
        arrays.setdefault(info.name, np.full((rows, 0), info.padding, DTYPES[info.dtype]))
    return arrays


def _array(info: _Tensor, values: Any) -> np.ndarray:
    rows = _listed(info, values, "a list with one row a query")
    if len(info.shape) == 1:
        return _filled(info, [_value(info, value, row) for row, value in enumerate(rows)], ())
    lists = [_row(info, _listed(info, value, f"a list in row {row}"), row) for row, value in enumerate(rows)]
    width = info.shape[1] if info.shape[1] is not None else max(map(len, lists), default=0)
    return _filled(info, lists, (width,))


def _filled(info: _Tensor, rows: list[Any], width: tuple[int, ...]) -> np.ndarray:
    """The rows as one array, padded where they are shorter than that."""
    array = np.full((len(rows), *width), info.padding, DTYPES[info.dtype])
    for row, values in enumerate(rows):
        if not width:
            array[row] = values
        elif values:
            array[row, slice(-len(values), None) if info.name in HISTORY else slice(len(values))] = values
    return array


def _row(info: _Tensor, values: list[Any], row: int) -> list[Any]:
    """The values of a list, of which there are not too many."""
    size = info.shape[1]
    if size is not None:
        is_padded = info.vocabulary is not None or info.name in HISTORY
        if info.name in HISTORY:
            values = values[-size:]
        if len(values) > size or (len(values) < size and not is_padded):
            wanted = f"at most {size}" if is_padded else f"exactly {size}"
            raise WrongShapeError(f"Input {info.name!r}, row {row}: expected {wanted} values. Received: {len(values)}.")
    return [_value(info, value, row) for value in values]


def _listed(info: _Tensor, values: Any, wanted: str) -> list[Any]:
    if hasattr(values, "tolist"):
        values = values.tolist()
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise WrongShapeError(
            f"Input {info.name!r}: expected {wanted}. Received: {values!r}. Put it into brackets: [{values!r}]."
        )
    return list(values)


def _value(info: _Tensor, value: Any, row: int) -> Any:
    kind, wanted, mend = KINDS[info.dtype]
    if isinstance(value, list | tuple | np.ndarray):
        raise WrongShapeError(f"Input {info.name!r}, row {row}: is nested too deep. Expected: {info.text}.")
    if isinstance(value, kind) and not isinstance(value, bool):
        if info.dtype == "int64" and not -LARGEST - 1 <= value <= LARGEST:
            mend = "It does not fit into 64 bits."
        elif info.dtype != "string" or _is_unicode(value):
            return value
    raise WrongDtypeError(
        f"Input {info.name!r}, row {row}: expected {wanted}. Received: {value!r} ({type(value).__name__}). {mend}"
    )


def _is_unicode(value: Any) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _request(signature: _Signature, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays as they are sent: sets with a first column of padding, and none without columns."""
    sent = dict(arrays)
    for info in signature.inputs:
        array = arrays[info.name]
        if info.name in SETS or (array.ndim == 2 and array.shape[1] == 0):
            padding = np.full((len(array), 1), info.padding, array.dtype)
            sent[info.name] = np.concatenate([padding, array], axis=1)
    return sent


def _answer(
    signature: _Signature, arrays: dict[str, np.ndarray], answer: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The answer without the columns that belong to padding, the client's own or the server's."""
    own = dict(answer)
    for name, values in answer.items():
        source = arrays.get(name.removeprefix(UNKNOWN))
        if name.startswith(UNKNOWN) and source is not None and source.ndim == 2:
            start = 1 if name.removeprefix(UNKNOWN) in SETS else 0
            own[name] = values[:, start : start + source.shape[1]]
    if signature.name == "score":
        items, (padding,) = arrays["items"], [info.padding for info in signature.inputs if info.name == "items"]
        own["scores"] = np.where(items == padding, np.float32(np.nan), answer["scores"][:, : items.shape[1]])
    return own


class _Rest:
    """Predict calls over REST, in the columnar form."""

    def __init__(self, address: str, name: str, version: int | None, timeout: float) -> None:
        versioned = f"/versions/{version}" if version is not None else ""
        self._url = f"{address.rstrip('/')}/v1/models/{quote(name, safe='')}{versioned}:predict"
        self._timeout = timeout

    def predict(self, signature: _Signature, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        inputs = {name: array.tolist() for name, array in arrays.items()}
        body = json.dumps({"signature_name": signature.name, "inputs": inputs}).encode()
        request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"})
        outputs: Any = self._send(request).get("outputs")
        if len(signature.outputs) == 1:
            # The server leaves the name out where there is only one output.
            outputs = {signature.outputs[0].name: outputs}
        try:
            return {info.name: np.array(outputs[info.name], DTYPES[info.dtype]) for info in signature.outputs}
        except (TypeError, KeyError, ValueError) as error:
            raise _other_model(signature, error) from error

    def _send(self, request: urllib.request.Request) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as response:
                return dict(json.load(response))
        except urllib.error.HTTPError as error:
            raise _http_error(error) from error
        except (TimeoutError, urllib.error.URLError) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, TimeoutError):
                raise TimedOutError(f"{self._url}: no answer within {self._timeout:g} s.") from error
            raise UnavailableError(f"{self._url}: cannot be reached ({reason}).") from error
        except (OSError, http.client.HTTPException, ValueError, TypeError) as error:
            raise UnavailableError(f"{self._url}: the answer broke off or is not TF Serving's ({error}).") from error

    def close(self) -> None:
        pass


class _Grpc:
    """Predict calls over gRPC."""

    def __init__(self, address: str, name: str, version: int | None, timeout: float) -> None:
        import grpc
        from tensorflow_serving.apis import prediction_service_pb2_grpc

        self._address, self._name, self._version, self._timeout = address, name, version, timeout
        self._channel = grpc.insecure_channel(address)
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)

    def predict(self, signature: _Signature, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        import grpc
        import tensorflow as tf

        try:
            outputs = self._stub.Predict(self._request(signature, arrays), timeout=self._timeout).outputs
        except grpc.RpcError as error:
            raise self._error(error) from error
        try:
            return {info.name: _from_proto(tf.make_ndarray(outputs[info.name]), info) for info in signature.outputs}
        except (TypeError, ValueError) as error:
            raise _other_model(signature, error) from error

    def _request(self, signature: _Signature, arrays: dict[str, np.ndarray]) -> Any:
        request = predict_request(self._name, signature.name, {i.name: i.dtype for i in signature.inputs}, arrays)
        if self._version is not None:
            request.model_spec.version.value = self._version
        return request

    def _error(self, error: Any) -> ClientError:
        import grpc

        if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
            return TimedOutError(f"{self._address}: no answer within {self._timeout:g} s.")
        if error.code() == grpc.StatusCode.UNAVAILABLE:
            return UnavailableError(f"{self._address}: cannot be reached or is too busy ({error.details()}).")
        return ServerError(error.code().name, error.details())

    def close(self) -> None:
        self._channel.close()


TRANSPORTS: dict[str, Any] = {"grpc": _Grpc, "http": _Rest, "https": _Rest}


def predict_request(
    name: str, signature: str, dtypes: Mapping[str, str], arrays: Mapping[str, np.ndarray]
) -> Any:  # a PredictRequest, which importing this module does not import
    """The `PredictRequest` that asks a signature.

    Args:
        name: The name the model is served under.
        signature: The signature.
        dtypes: The dtype of each input by name: `"string"`, `"int64"` or `"float32"`.
        arrays: The inputs by name.

    Returns:
        A `tensorflow_serving.apis.predict_pb2.PredictRequest`.
    """
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = name, signature
    for key, dtype in dtypes.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(arrays[key], dtype, arrays[key].shape))
    return request


def _from_proto(array: np.ndarray, info: _Tensor) -> np.ndarray:
    if info.dtype != "string":
        return array.astype(DTYPES[info.dtype])
    decoded = np.empty(array.shape, object)
    decoded.ravel()[:] = [value.decode() for value in array.ravel()]
    return decoded


def _http_error(error: urllib.error.HTTPError) -> ClientError:
    text = error.read().decode("utf-8", "replace")
    try:
        message = str(json.loads(text)["error"])
    except (ValueError, TypeError, KeyError):
        message = text[:200]
    if error.code == 503:
        return UnavailableError(f"{error.url}: is too busy ({message}).")
    return ServerError(error.code, message)


def _other_model(signature: _Signature, error: Exception) -> ClientError:
    return ServerError("an unexpected result", f"{error!r} in {signature.name!r}. Is another model served there?")


def _described(endpoints: Any) -> tuple[dict[str, Any], str | None]:
    """Every endpoint as in a manifest, and the architecture where that is known."""
    if isinstance(endpoints, str | Path):
        path = Path(endpoints)
        endpoints = read_json(path if path.is_file() else path / MANIFEST, "bundle")
    if not isinstance(endpoints, Mapping):
        return {endpoint.name: endpoint.to_json() for endpoint in endpoints}, None
    try:
        return endpoints["endpoints"], endpoints["recipe"]["name"]
    except (KeyError, TypeError):
        raise UserError("Expected the manifest of a bundle, which has 'endpoints' and 'recipe'.") from None


def _signature(name: str, described: Mapping[str, Any]) -> _Signature:
    def tensors(part: str) -> tuple[_Tensor, ...]:
        return tuple(
            _Tensor(i["name"], i["dtype"], tuple(i["shape"]), i["vocabulary"], i["padding"]) for i in described[part]
        )

    return _Signature(name, tensors("inputs"), tensors("outputs"))
