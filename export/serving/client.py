"""A typed client of a bundle's SavedModel in TF Serving, over REST or gRPC."""

from __future__ import annotations

import numbers
import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from export.serving.answers import Recommendations, Scores, Vectors
from export.serving.encoding import Arrays, cut, encode, padded
from export.serving.errors import RequestError
from export.serving.signatures import MAX_BATCH, UNKNOWN, Signature, read_signatures
from export.serving.transports import connect
from zoo.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from export.endpoints import Endpoint
    from export.serving.encoding import Query


class Client:
    """Asks a model in TF Serving, with raw ids in and out.

    A query is a mapping of input names to columns: lists, NumPy arrays or pandas columns (a DataFrame is one, too),
    with one row a query. Lists in a column may differ in length, because the client pads them. The client reports a
    faulty request before sending it. Threads may share a client.

    Args:
        address: `"grpc://host:8500"`, `"http://host:8501"` or `"https://..."`. HTTP goes through the proxy that the
            environment names (`http_proxy`, `https_proxy`, `no_proxy`).
        endpoints: What describes the model: the folder of its bundle, the content of the bundle's manifest
            or `Bundle.endpoints`.
        name: The name it is served under; by default the name of its architecture, as in `models.config`.
        version: The version to ask; by default the latest.
        timeout: Seconds to wait for an answer.

    Raises:
        UserError: If the address has no known scheme, or the name is neither given nor in the manifest.

    Example:

    ```python
    with Client("grpc://localhost:8500", "bundles/mf") as client:
        best = client.recommend({"user": ["ann", "bob"]}, exclude=[["film 7"], []], k=10)
    print(best.items.shape)  # (2, 10)
    ```
    """

    def __init__(
        self,
        address: str,
        endpoints: str | Path | Mapping[str, object] | Iterable[Endpoint],
        name: str | None = None,
        version: int | None = None,
        timeout: float = 10.0,
    ) -> None:
        self._signatures, architecture = read_signatures(endpoints)
        served = name or architecture
        if not served:
            raise UserError(
                "The name that the model is served under is in no manifest here. Give it: Client(..., name=...)."
            )
        self._transport = connect(address, served, version, timeout)

    def recommend(
        self,
        query: Query,
        exclude: ArrayLike | None = None,
        candidates: ArrayLike | None = None,
        k: int | None = None,
    ) -> Recommendations:
        """The best items for each query.

        Args:
            query: Columns by input name.
            exclude: For each query, a list of items never to return.
            candidates: For each query, a list of items to choose from. An empty list means the whole catalogue.
            k: How many items. By default, and at most, as many as the bundle was exported for.

        Raises:
            RequestError: If the request is faulty.
            UnavailableError: If the server cannot be reached or is too busy.
            TimedOutError: If it does not answer in time.
            ServerError: If it answers with an error.
        """
        _check_k(k, self._signature("recommend"))
        answer, unknown = self._ask("recommend", query, {"exclude": exclude, "candidates": candidates})
        return Recommendations(answer["items"][:, :k], answer["scores"][:, :k], unknown)

    def score(self, query: Query, items: ArrayLike) -> Scores:
        """The score of each item for its query.

        Args:
            query: Columns by input name.
            items: For each query, a list of items.

        Raises:
            RequestError, UnavailableError, TimedOutError, ServerError: As in `recommend`.
        """
        answer, unknown = self._ask("score", query, {"items": items})
        return Scores(answer["scores"], unknown)

    def embed_query(self, query: Query) -> Vectors:
        """The vector of each query. Only towers have vectors.

        Args:
            query: Columns by input name.

        Raises:
            RequestError, UnavailableError, TimedOutError, ServerError: As in `recommend`.
        """
        answer, unknown = self._ask("embed_query", query, {})
        return Vectors(answer["vectors"], unknown)

    def embed_items(self, items: ArrayLike) -> Vectors:
        """The vector of each item. Only towers have vectors.

        Args:
            items: A list of items.

        Raises:
            RequestError, UnavailableError, TimedOutError, ServerError: As in `recommend`.
        """
        answer, unknown = self._ask("embed_items", {}, {"items": items})
        return Vectors(answer["vectors"], unknown)

    def close(self) -> None:
        """Closes the connections."""
        self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        self.close()

    def _signature(self, name: str) -> Signature:
        if name not in self._signatures:
            raise RequestError(f"This model has no endpoint {name!r}. It has: {', '.join(self._signatures)}.")
        return self._signatures[name]

    def _ask(
        self, endpoint: str, query: Query, others: Mapping[str, ArrayLike | None]
    ) -> tuple[Arrays, dict[str, np.ndarray]]:
        """The outputs of an endpoint without padding, and apart from them those named unknown."""
        signature = self._signature(endpoint)
        arrays = encode(signature, query, others)
        parts = []
        for start in range(0, len(arrays[signature.inputs[0].name]), MAX_BATCH):
            part = {name: values[start : start + MAX_BATCH] for name, values in arrays.items()}
            answer = self._transport.predict(signature, padded(signature, part))
            parts.append(cut(signature, part, answer))
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        names = [name for name in joined if name.startswith(UNKNOWN)]
        return joined, {name.removeprefix(UNKNOWN): joined.pop(name).astype(bool) for name in names}


def _check_k(k: int | None, signature: Signature) -> None:
    (most,) = [info.shape[1] or 0 for info in signature.outputs if info.name == "items"]
    if k is None:
        return
    if not isinstance(k, numbers.Integral) or isinstance(k, bool) or not 1 <= k <= most:
        raise RequestError(f"k must be an integer between 1 and the {most} of this bundle. Received: {k!r}.")
