"""TFLite with built-in operators only: one file, one signature an endpoint, vocabularies attached."""

from __future__ import annotations

import json
import re
import tempfile
import zipfile
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import numpy as np
import tensorflow as tf
from tensorflow.lite.python.convert import ConverterError

from export.endpoints import Endpoint, EndpointGraphs, TensorInfo, unrolled
from export.formats import quantization
from export.formats.tflite.files import FILE, LIST_LENGTH, VOCABULARIES, file_name, fixed_shape
from zoo.errors import UserError
from zoo.schema import FIRST_KNOWN, Vocabulary

if TYPE_CHECKING:
    from zoo.types import Tensor

# What the converter says if TFLite has no operator for something: the kind of operator it would take, and which.
MISSING = re.compile(r"^(TF Select|Custom) ops: (.+)", re.MULTILINE)
# What to do about it, by that kind.
WAYS_OUT = {
    "TF Select": "Give --allow-flex to use TensorFlow's where the Flex delegate is linked in, or leave tflite out.",
    "Custom": "The Flex delegate has none either. Leave tflite out.",
}


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
    way TFLite metadata attaches files. It is compressed, because ids may take more room than 8-bit vectors.

    Args:
        graphs: The endpoints over indices.
        vocabularies: What a caller looks raw values up in.
        folder: Where the files go. It is made if need be.
        quantize: Which variants to write too: `"float16"` for `model-float16.tflite`, `"dynamic"` for
            `model-dynamic.tflite` (8-bit weights), `"int8"` for `model-int8.tflite` (8-bit weights and layers).
        batch: The number of queries of every call, for delegates that need fixed shapes. By default a call may have
            any number.
        list_length: The length of every list that may have any without `batch`. Only read if `batch` is given.
        allow_flex: Whether operators of TensorFlow may be used where TFLite has none of its own. Such a file runs
            only where the Flex delegate is linked in.
        sample: For each endpoint its inputs by name as indices, `[examples, ...]`. `"int8"` measures the ranges of
            layers on them.

    Raises:
        UserError: If a variant is unknown, if `"int8"` has no sample, if `batch` or `list_length` is below 1, or if
            the architecture needs an operator that TFLite does not have.

    Example:

    ```python
    write(EndpointGraphs(model, vocabularies), vocabularies, Path("bundle/tflite"), quantize=("dynamic",), batch=1)
    ```
    """
    _check_variants(quantize, sample)
    if batch is not None and min(batch, list_length) < 1:
        raise UserError(f"batch and list_length must be at least 1. Received: {batch} and {list_length}.")
    folder.mkdir(parents=True, exist_ok=True)
    described = json.dumps(_described(vocabularies), ensure_ascii=False, separators=(",", ":"))
    content = quantization.share_parts(_convert(graphs, batch, list_length, allow_flex))
    _store(folder / FILE, content, described)
    if sample is not None and batch is not None:
        sample = _with_fixed_lists(graphs.endpoints, sample, list_length)
    for variant in quantize:
        _store(folder / file_name(variant), quantization.quantize(content, variant, sample), described)


def _check_variants(variants: Collection[str], sample: quantization.Sample | None) -> None:
    for variant in variants:
        if quantization.VARIANTS[variant].needs_sample and sample is None:
            raise UserError(f"{variant} measures the ranges of layers on a sample. Give one, or ask for dynamic.")


def _convert(graphs: EndpointGraphs, batch: int | None, list_length: int, allow_flex: bool) -> bytes:
    """The float model, with one signature an endpoint."""
    # TFLite has no built-in operator for a loop over a tensor list.
    with unrolled(graphs.model), tempfile.TemporaryDirectory() as scratch:
        functions = {e.name: _function(graphs, e, batch, list_length) for e in graphs.endpoints}
        module = tf.Module()
        module.read = [variable for function in functions.values() for variable in function.graph.variables]
        tf.saved_model.save(module, scratch, signatures=functions)
        converter = tf.lite.TFLiteConverter.from_saved_model(scratch, signature_keys=list(functions))
        converter.target_spec.supported_ops = _operators(allow_flex)
        try:
            return converter.convert()
        except ConverterError as error:
            missing = MISSING.search(str(error))
            if missing is None:
                raise
            raise _no_operator(graphs.model.architecture, *missing.groups()) from error


def _operators(allow_flex: bool) -> list[tf.lite.OpsSet]:
    return [tf.lite.OpsSet.TFLITE_BUILTINS, *([tf.lite.OpsSet.SELECT_TF_OPS] if allow_flex else [])]


def _no_operator(architecture: str, kind: str, operators: str) -> UserError:
    return UserError(f"{architecture}: TFLite has no operator of its own for {operators}. {WAYS_OUT[kind]}")


def _function(
    graphs: EndpointGraphs, endpoint: Endpoint, batch: int | None, list_length: int
) -> tf.types.experimental.ConcreteFunction:
    """The endpoint as a concrete function, of fixed shapes if there is a batch size."""
    if batch is None:
        return graphs.function(endpoint).get_concrete_function()
    specs = [
        tf.TensorSpec(fixed_shape(info.shape, batch, list_length), info.index_spec.dtype, name=info.name)
        for info in endpoint.inputs
    ]
    names = [info.name for info in endpoint.inputs]

    def run(*tensors: Tensor) -> dict[str, Tensor]:
        return graphs.call(endpoint, dict(zip(names, tensors, strict=True)))

    return tf.function(run, input_signature=specs, autograph=False).get_concrete_function()


def _with_fixed_lists(
    endpoints: Iterable[Endpoint], sample: quantization.Sample, length: int
) -> dict[str, dict[str, np.ndarray]]:
    """A sample in which lists of any length are cut or filled up to a fixed one."""
    return {
        endpoint.name: {
            info.name: _with_length(info, sample[endpoint.name][info.name], length) for info in endpoint.inputs
        }
        for endpoint in endpoints
        if endpoint.name in sample
    }


def _with_length(info: TensorInfo, values: np.ndarray, length: int) -> np.ndarray:
    values = np.asarray(values)
    if None not in info.shape[1:]:
        return values
    return np.pad(values[:, :length], [(0, 0), (0, max(0, length - values.shape[1]))])


class _VocabularyJson(TypedDict):
    """A vocabulary as it is attached to the file."""

    first_index: int
    padding: str | int
    values: list[int | str]


def _described(vocabularies: Mapping[str, Vocabulary]) -> dict[str, _VocabularyJson]:
    return {
        name: {"first_index": FIRST_KNOWN, "padding": vocabulary.padding_value, "values": vocabulary.to_json()}
        for name, vocabulary in vocabularies.items()
    }


def _store(path: Path, content: bytes, vocabularies: str) -> None:
    path.write_bytes(content)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as attached:
        attached.writestr(VOCABULARIES, vocabularies)
