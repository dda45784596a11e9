"""How the client reaches TF Serving: over REST, by a pool of kept connections, or over gRPC."""

from __future__ import annotations

import contextlib
import json
import numbers
import socket
import threading
import urllib.request
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlsplit

import numpy as np
import urllib3
from urllib3.exceptions import HTTPError, NewConnectionError, ProtocolError, ProxyError, SSLError, TimeoutError

from export.serving.encoding import Arrays
from export.serving.errors import ClientError, ServerError, TimedOutError, UnavailableError
from export.serving.signatures import DTYPES, Signature, Tensor
from zoo.errors import UserError

if TYPE_CHECKING:
    import grpc
    from tensorflow_serving.apis.predict_pb2 import PredictRequest

# How many idle connections a client keeps. More threads than these may call at once, and their connections are closed.
KEPT_CONNECTIONS = 16


class Transport(Protocol):
    """Sends predict requests to a model."""

    def predict(self, signature: Signature, arrays: Arrays) -> Arrays:
        """The outputs of a signature by name."""
        ...

    def close(self) -> None:
        """Closes the connections."""
        ...


# The largest answer that is read, in bytes. A thousand lists of a thousand items are a tenth of it.
LARGEST_ANSWER = 256_000_000


class _Deadline:
    """Ends a call that takes too long in all, however steadily its bytes trickle in.

    Args:
        seconds: How long the call may take.
    """

    def __init__(self, seconds: float) -> None:
        self.connection: urllib3.connection.HTTPConnection | None = None
        self.has_passed = False
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> _Deadline:
        _CALL.deadline = self
        self._timer.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._timer.cancel()
        _CALL.deadline = None

    def _end(self) -> None:
        self.has_passed = True
        sock = self.connection and self.connection.sock
        if sock:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


class _Call(threading.local):
    """The call that this thread makes: its deadline, and whether it has opened a connection."""

    has_connected = False
    deadline: _Deadline | None = None


_CALL = _Call()


class _Connection(urllib3.connection.HTTPConnection):
    """A connection that is noted in the call that uses it."""

    def connect(self) -> None:
        _CALL.has_connected = True
        super().connect()

    def request(self, *arguments: Any, **options: Any) -> None:
        if _CALL.deadline is not None:
            _CALL.deadline.connection = self
        super().request(*arguments, **options)


class _SecureConnection(_Connection, urllib3.connection.HTTPSConnection):
    pass


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class Rest:
    """Predict requests over REST, in the columnar form. Threads may share it.

    Connections are kept and used again. A server may close one that is idle just as a request goes out. Nothing was
    answered then, and a prediction changes nothing, so the request is sent again over the next connection. A new
    connection that the server closes without an answer is an error.

    Args:
        address: `"http://host:port"` or `"https://host:port"`.
        name: The name the model is served under.
        version: The version to ask. None means the latest.
        timeout: Seconds that the whole call may take.
    """

    def __init__(self, address: str, name: str, version: int | None, timeout: float) -> None:
        versioned = f"/versions/{version}" if version is not None else ""
        self._url = f"{address.rstrip('/')}/v1/models/{quote(name, safe='')}{versioned}:predict"
        self._timeout = timeout
        self._connections = _manager(address)

    def predict(self, signature: Signature, arrays: Arrays) -> Arrays:
        """The outputs of a signature by name."""
        inputs = {name: _listed(array) for name, array in arrays.items()}
        request = {"signature_name": signature.name, "inputs": inputs}
        body = json.dumps(request, separators=(",", ":")).encode()
        answer = self._send(body)
        rows = len(next(iter(arrays.values())))
        try:
            outputs = answer["outputs"]
            if len(signature.outputs) == 1:
                # The server leaves the name out where there is only one output.
                outputs = {signature.outputs[0].name: outputs}
            found: Arrays = {info.name: np.array(outputs[info.name], DTYPES[info.dtype]) for info in signature.outputs}
            return _checked(signature, found, rows)
        except (TypeError, KeyError, ValueError) as error:
            raise _other_model(signature, error) from error

    def close(self) -> None:
        """Closes the connections."""
        self._connections.clear()

    def _send(self, body: bytes) -> dict:
        with _Deadline(self._timeout) as deadline:
            try:
                response = self._post(body)
                data = response.read(LARGEST_ANSWER + 1)
                if len(data) > LARGEST_ANSWER:
                    response.close()
                    raise UnavailableError(f"{self._url}: the answer has more than {LARGEST_ANSWER:,} bytes.")
                response.release_conn()
                if response.status >= 300:
                    raise self._refusal(response.status, data)
                return _json_object(data)
            except (HTTPError, OSError, ValueError) as error:
                if deadline.has_passed:
                    raise TimedOutError(f"{self._url}: no answer within {self._timeout:g} s.") from error
                raise self._failure(error) from error

    def _post(self, body: bytes) -> urllib3.BaseHTTPResponse:
        """The response, of which only the status and the headers have been read."""
        while True:
            _CALL.has_connected = False
            try:
                return self._connections.urlopen(
                    "POST",
                    self._url,
                    body=body,
                    headers={"Content-Type": "application/json"},
                    timeout=urllib3.Timeout(total=self._timeout),
                    retries=False,
                    redirect=False,
                    preload_content=False,
                )
            except ProtocolError as error:
                if _CALL.has_connected or not isinstance(error.args[-1], ConnectionError):
                    raise

    def _failure(self, error: Exception) -> ClientError:
        if isinstance(error, NewConnectionError | SSLError | ProxyError):
            return UnavailableError(f"{self._url}: cannot be reached ({error}).")
        if isinstance(error, TimeoutError):
            return TimedOutError(f"{self._url}: no answer within {self._timeout:g} s.")
        return UnavailableError(f"{self._url}: the answer broke off or is not TF Serving's ({error}).")

    def _refusal(self, status: int, data: bytes) -> ClientError:
        text = data.decode("utf-8", "replace")
        try:
            message = str(json.loads(text)["error"])
        except (ValueError, TypeError, KeyError):
            message = text[:200]
        if status == 503:
            return UnavailableError(f"{self._url}: is too busy ({message}).")
        return ServerError(status, message)


class Grpc:
    """Predict requests over gRPC. Threads may share it.

    Args:
        address: `"grpc://host:port"`.
        name: The name the model is served under.
        version: The version to ask. None means the latest.
        timeout: Seconds to wait for an answer.
    """

    def __init__(self, address: str, name: str, version: int | None, timeout: float) -> None:
        import grpc
        from tensorflow_serving.apis import prediction_service_pb2_grpc

        self._address, self._name, self._version, self._timeout = urlsplit(address).netloc, name, version, timeout
        self._channel = grpc.insecure_channel(self._address)
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)

    def predict(self, signature: Signature, arrays: Arrays) -> Arrays:
        """The outputs of a signature by name."""
        import grpc
        import tensorflow as tf

        try:
            outputs = self._stub.Predict(self._request(signature, arrays), timeout=self._timeout).outputs
        except grpc.RpcError as error:
            raise self._failure(error) from error
        try:
            found = {info.name: _from_proto(tf.make_ndarray(outputs[info.name]), info) for info in signature.outputs}
            return _checked(signature, found, len(next(iter(arrays.values()))))
        except (TypeError, ValueError) as error:
            raise _other_model(signature, error) from error

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()

    def _request(self, signature: Signature, arrays: Arrays) -> PredictRequest:
        request = predict_request(self._name, signature.name, {i.name: i.dtype for i in signature.inputs}, arrays)
        if self._version is not None:
            request.model_spec.version.value = self._version
        return request

    def _failure(self, error: grpc.RpcError) -> ClientError:
        import grpc

        if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
            return TimedOutError(f"{self._address}: no answer within {self._timeout:g} s.")
        if error.code() == grpc.StatusCode.UNAVAILABLE:
            return UnavailableError(f"{self._address}: cannot be reached or is too busy ({error.details()}).")
        return ServerError(error.code().name, error.details())


# The transport of each scheme of an address.
TRANSPORTS: dict[str, type[Rest] | type[Grpc]] = {"grpc": Grpc, "http": Rest, "https": Rest}


def connect(address: str, name: str, version: int | None, timeout: float) -> Transport:
    """The transport to a server.

    Args:
        address: `"grpc://host:port"`, `"http://host:port"` or `"https://host:port"`.
        name: The name the model is served under.
        version: The version to ask. None means the latest.
        timeout: Seconds to wait for an answer.

    Raises:
        UserError: If the address has another scheme, no host or more than a path, the version is no number, or the
            time-out is none.
    """
    try:
        parts = urlsplit(address)
        is_complete = bool(parts.hostname) and (parts.port or 1) > 0 and not (parts.query or parts.fragment)
    except ValueError:  # a port or an IPv6 address that is none
        is_complete = False
    scheme = address.partition("://")[0]
    if scheme not in TRANSPORTS or not is_complete or any(not letter.isprintable() for letter in address):
        valid = ", ".join(f"{known}://host:port" for known in TRANSPORTS)
        raise UserError(f"Expected an address like {valid}. Received: {address!r}.")
    if version is not None and (not isinstance(version, numbers.Integral) or isinstance(version, bool) or version < 0):
        raise UserError(f"Expected version as a number of at least 0. Received: {version!r}.")
    if not isinstance(timeout, numbers.Real) or isinstance(timeout, bool) or not 0 < timeout < threading.TIMEOUT_MAX:
        raise UserError(f"Expected timeout as a number of seconds above 0. Received: {timeout!r}.")
    return TRANSPORTS[scheme](address, name, None if version is None else int(version), float(timeout))


def predict_request(
    name: str, signature: str, dtypes: Mapping[str, str], arrays: Mapping[str, np.ndarray]
) -> PredictRequest:
    """The message that asks a signature over gRPC.

    Args:
        name: The name the model is served under.
        signature: The signature.
        dtypes: The dtype of each input by name: `"string"`, `"int64"` or `"float32"`.
        arrays: The inputs by name.
    """
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = name, signature
    for key, dtype in dtypes.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(arrays[key], dtype, arrays[key].shape))
    return request


def _manager(address: str) -> urllib3.PoolManager:
    """The connections to a server, by way of the proxy that the environment names, if it names one."""
    scheme, host = urlsplit(address)[:2]
    proxy = None if urllib.request.proxy_bypass(host) else urllib.request.getproxies().get(scheme)
    if proxy:
        manager: urllib3.PoolManager = urllib3.ProxyManager(proxy, maxsize=KEPT_CONNECTIONS)
    else:
        manager = urllib3.PoolManager(maxsize=KEPT_CONNECTIONS)
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
    return manager


def _listed(array: np.ndarray) -> list:
    """The values for JSON, small whole numbers without a point: padding is most of a short history.

    TF Serving takes whole numbers for floats up to 2^24, which floats of 32 bits have all of.
    """
    if array.dtype.kind != "f":
        return array.tolist()
    values, is_whole = array.astype(object), np.isfinite(array) & (np.floor(array) == array) & (np.abs(array) < 2**24)
    values[is_whole] = array[is_whole].astype(np.int64)
    return values.tolist()


def _json_object(data: bytes) -> dict:
    answer = json.loads(data)
    if not isinstance(answer, dict):
        raise ValueError(f"expected a JSON object, received {answer!r}")
    return answer


def _from_proto(array: np.ndarray, info: Tensor) -> np.ndarray:
    if info.dtype != "string":
        return array.astype(DTYPES[info.dtype])
    decoded = np.empty(array.shape, object)
    decoded.ravel()[:] = [value.decode() for value in array.ravel()]
    return decoded


def _checked(signature: Signature, outputs: Arrays, rows: int) -> Arrays:
    """The outputs, if they have a row for each of the request. Raises a `ValueError` otherwise."""
    for name, values in outputs.items():
        if len(values) != rows:
            raise ValueError(f"{name} has {len(values)} rows, and {rows} were asked for")
    return outputs


def _other_model(signature: Signature, error: Exception) -> ClientError:
    return ServerError("an unexpected result", f"{error!r} in {signature.name!r}. Is another model served there?")
