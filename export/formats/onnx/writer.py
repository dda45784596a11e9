"""ONNX files with raw ids in and out, one for each endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from export.endpoints import EndpointGraphs
from export.formats.onnx.conversion import convert
from export.formats.onnx.edges import add_edges
from export.formats.onnx.folding import fold
from export.formats.onnx.opsets import check_opset
from export.formats.onnx.rewriting import absorb_transposes, add_up_repeats, store_equal_weights_once
from export.formats.onnx.saving import save
from zoo.schema import Vocabulary


def write(
    graphs: EndpointGraphs, vocabularies: Mapping[str, Vocabulary], folder: Path, opset: int | None = None
) -> None:
    """Writes `folder/<endpoint>.onnx` for every endpoint, and `<endpoint>.onnx.data` beside one larger than 2 GB.

    Args:
        graphs: The endpoints over indices.
        vocabularies: What raw values are looked up in.
        folder: Where the files go. It is made if need be.
        opset: The operator set of ONNX, from `OLDEST_OPSET` to `LATEST_OPSET`; by default `DEFAULT_OPSET`.

    Raises:
        UserError: If the operator set is not among those.
    """
    opset = check_opset(opset)
    folder.mkdir(parents=True, exist_ok=True)
    for endpoint in graphs.endpoints:
        model, weights = convert(graphs.constant_function(endpoint), endpoint, opset)
        store_equal_weights_once(model.graph, weights)
        absorb_transposes(model.graph)
        add_up_repeats(model.graph)
        fold(model, weights)
        add_edges(model, endpoint, vocabularies, weights)
        save(model, weights, folder / f"{endpoint.name}.onnx")
