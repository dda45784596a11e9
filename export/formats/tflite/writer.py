"""TFLite with built-in operators only: one file, one signature an endpoint, vocabularies attached."""

from __future__ import annotations

import json
import re
import tempfile
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.lite.python.convert import ConverterError

from export.endpoints import Endpoint, EndpointGraphs, unrolled
from export.formats import quantization
from export.formats.tflite.files import FILE, LIST_LENGTH, VOCABULARIES, file_name, fixed_shape
from zoo.errors import UserError, unknown_name
from zoo.schema import FIRST_KNOWN, Vocabulary


def write(
    graphs: EndpointGraphs,
    vocabularies: Mapping[str, Vocabulary],
    folder: Path,
    *,
    quantize: Collection[str] = (),
    batch: int | None = None,
    list_length: int = LIST_LENGTH,
    allow_flex: bool = False,
    sample: quantization.Sample | None = None,
) -> None:
    """Writes `folder/model.tflite` and its smaller variants, whose signatures take and give indices.

    All files have the same signatures. The vocabularies are attached to each as a zip archive behind the model, the
    way TFLite metadata attaches files. It is compressed, for ids may take more room than 8-bit vectors.

    Args:
        graphs: The endpoints over indices.
        vocabularies: What a caller looks raw values up in.
        folder: Where the files go; made if need be.
        quantize: Which variants to write too: `"float16"` for `model-float16.tflite`, `"dynamic"` for
            `model-dynamic.tflite` (8-bit weights), `"int8"` for `model-int8.tflite` (8-bit weights and layers).
        batch: The number of queries of every call, for delegates that need fixed shapes. By default any number goes.
        list_length: With `batch`, the length of every list that otherwise may have any.
        allow_flex: Whether operators of TensorFlow may be used where TFLite has none of its own. Such a file runs
            only where the Flex delegate is linked in.
        sample: For `"int8"`: for each endpoint its inputs by name as indices, `[examples, ...]`, on which the
            ranges of the layers are measured.

    Raises:
        UserError: For an unknown variant, `"int8"` without a sample, a `batch` or `list_length` below 1, or an
            architecture that needs an operator that TFLite does not have.

    Example:

    >>> write(graphs, vocabularies, Path("bundle/tflite"), quantize=("dynamic",), batch=1)
    """
    for variant in quantize:
        if variant not in quantization.VARIANTS:
            raise unknown_name("quantization", variant, quantization.VARIANTS)
    measuring = [variant for variant in quantize if quantization.VARIANTS[variant].needs_sample]
    if measuring and sample is None:
        raise UserError(f"{measuring[0]} measures the ranges of layers on a sample. Give one, or ask for dynamic.")
    if batch is not None and min(batch, list_length) < 1:
        raise UserError(f"batch and list_length must be at least 1. Received: {batch} and {list_length}.")
    folder.mkdir(parents=True, exist_ok=True)
    described = json.dumps(_described(vocabularies), ensure_ascii=False, separators=(",", ":"))
    content = quantization.share_parts(_convert(graphs, batch, list_length, allow_flex))
    _store(folder / FILE, content, described)
    if sample is not None and batch is not None:
        sample = {
            endpoint.name: _with_fixed_lists(endpoint, sample[endpoint.name], list_length)
            for endpoint in graphs.endpoints
            if endpoint.name in sample
        }
    for variant in quantize:
        _store(folder / file_name(variant), quantization.quantize(content, variant, sample), described)


def _convert(graphs: EndpointGraphs, batch: int | None, list_length: int, allow_flex: bool) -> bytes:
    # TFLite has no built-in operator for a loop over a tensor list.
    with unrolled(graphs.model), tempfile.TemporaryDirectory() as scratch:
        functions = {e.name: _function(graphs, e, batch, list_length) for e in graphs.endpoints}
        module = tf.Module()
        module.read = [variable for function in functions.values() for variable in function.graph.variables]
        tf.saved_model.save(module, scratch, signatures=functions)
        converter = tf.lite.TFLiteConverter.from_saved_model(scratch, signature_keys=list(functions))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if allow_flex:
            converter.target_spec.supported_ops.append(tf.lite.OpsSet.SELECT_TF_OPS)
        try:
            return converter.convert()
        except ConverterError as error:
            missing = re.search(r"^(TF Select|Custom) ops: (.+)", str(error), re.MULTILINE)
            if missing is None:
                raise
            way_out = (
                "Give --allow-flex to use TensorFlow's, in a file for runtimes with the Flex delegate only, or leave"
                if missing[1] == "TF Select"
                else "The Flex delegate has none either. Leave"
            )
            raise UserError(
                f"{graphs.model.architecture}: TFLite has no operator of its own for {missing[2]}. "
                f"{way_out} tflite out."
            ) from error


def _function(graphs: EndpointGraphs, endpoint: Endpoint, batch: int | None, list_length: int) -> Any:
    """The endpoint as a concrete function, of fixed shapes if there is a batch size."""
    if batch is None:
        return graphs.function(endpoint).get_concrete_function()
    specs = []
    for info in endpoint.inputs:
        shape = fixed_shape(info.shape, batch, list_length)
        specs.append(tf.TensorSpec(shape, info.index_spec.dtype, name=info.name))
    names = [info.name for info in endpoint.inputs]

    def run(*tensors: Any) -> dict[str, Any]:
        return graphs.call(endpoint, dict(zip(names, tensors, strict=True)))

    return tf.function(run, input_signature=specs, autograph=False).get_concrete_function()


def _with_fixed_lists(endpoint: Endpoint, inputs: Mapping[str, np.ndarray], length: int) -> dict[str, np.ndarray]:
    """Inputs whose lists of any length are cut or filled up to a fixed one."""
    fixed = {}
    for info in endpoint.inputs:
        values = np.asarray(inputs[info.name])
        if None in info.shape[1:]:
            values = np.pad(values[:, :length], [(0, 0), (0, max(0, length - values.shape[1]))])
        fixed[info.name] = values
    return fixed


def _described(vocabularies: Mapping[str, Vocabulary]) -> dict[str, Any]:
    return {
        name: {"first_index": FIRST_KNOWN, "padding": vocabulary.padding_value, "values": vocabulary.to_json()}
        for name, vocabulary in vocabularies.items()
    }


def _store(path: Path, content: bytes, vocabularies: str) -> None:
    path.write_bytes(content)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as attached:
        attached.writestr(VOCABULARIES, vocabularies)
