"""TFLite with built-in operators only: one file, one signature an endpoint, vocabularies attached."""

from __future__ import annotations

import dataclasses
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

from export.endpoints import Endpoint, EndpointGraphs, TensorInfo, unrolled
from export.formats import quantization
from zoo.errors import UserError, unknown_name
from zoo.schema import FIRST_KNOWN, Vocabulary

NAME = "tflite"
FILE = "model.tflite"
VOCABULARIES = "vocabularies.json"
# With a fixed batch: how many items `exclude`, `candidates` and the `items` of `score` hold in every call.
LIST_LENGTH = 500


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
    if "int8" in quantize and sample is None:
        raise UserError("int8 measures the ranges of layers on a sample. Give one, or ask for dynamic.")
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


def file_name(variant: str | None = None) -> str:
    """The file of a variant, e.g. `"model-int8.tflite"`; of the float model without one."""
    return FILE if variant is None else f"model-{variant}.tflite"


def python_example(manifest: Mapping[str, Any], query: Mapping[str, Any] | None = None) -> str:
    """Lines of Python that ask the file for recommendations, raw ids in and out; run in the folder of the bundle.

    Args:
        manifest: The manifest of the bundle.
        query: The raw values of one query by input; of those left out nothing is known.

    Returns:
        The lines.
    """
    values = "\n".join(f"        {known.name!r}: {_in_python(known)}," for known in _example_inputs(manifest, query))
    return f"""\
import json
import zipfile

import numpy as np
from ai_edge_litert.interpreter import Interpreter

path = "tflite/{FILE}"
with zipfile.ZipFile(path) as attached:
    vocabularies = json.loads(attached.read("{VOCABULARIES}"))
index_of = {{
    name: {{entry["padding"]: 0, **{{value: i for i, value in enumerate(entry["values"], entry["first_index"])}}}}
    for name, entry in vocabularies.items()
}}


def numbers(values, shape, dtype=np.float32, front=False):
    row = np.zeros(shape[1:] or (1,), dtype)
    row[len(row) - len(values) if front else 0 :][: len(values)] = values
    return np.broadcast_to(row, (shape[0], len(row))).reshape(shape)


def indices(vocabulary, values, shape, front=False):
    # 1 where unknown; filled up with padding, which is 0.
    return numbers([index_of[vocabulary].get(value, 1) for value in values], shape, np.int32, front)


recommend = Interpreter(path).get_signature_runner("recommend")
answer = recommend(
    **{{
{values}
    }}
)
items = [vocabularies["item"]["values"][i - {FIRST_KNOWN}] for i in answer["items"][0] if i > 0]
print(list(zip(items, answer["scores"][0].tolist())))
"""


def kotlin_example(manifest: Mapping[str, Any], query: Mapping[str, Any] | None = None) -> str:
    """Lines of Kotlin, for Android, that ask the file for recommendations, raw ids in and out.

    Args:
        manifest: See `python_example`.
        query: See `python_example`.

    Returns:
        The lines.
    """
    inputs = _example_inputs(manifest, query)
    values = "\n".join(f"    {_kotlin_text(known.name)} to {_in_kotlin(known)}," for known in inputs)
    rows, k = inputs[0].shape[0], manifest["k"]
    return f"""\
// implementation("com.google.ai.edge.litert:litert:1.4.0")
import java.io.File
import java.util.zip.ZipFile
import org.json.JSONObject
import org.tensorflow.lite.Interpreter

val file = File(filesDir, "{FILE}")
val vocabularies = ZipFile(file).use {{
    JSONObject(it.getInputStream(it.getEntry("{VOCABULARIES}")).reader().readText())
}}
// Looked up as texts, whether ids are texts or integers.
val indexOf = vocabularies.keys().asSequence().associateWith {{ name ->
    val entry = vocabularies.getJSONObject(name)
    val values = entry.getJSONArray("values")
    val known = (0 until values.length()).associate {{ values[it].toString() to it + entry.getInt("first_index") }}
    known + (entry["padding"].toString() to 0)
}}

// 1 where unknown; filled up with padding, which is 0.
fun indices(vocabulary: String, values: List<Any>, length: Int, front: Boolean = false): IntArray {{
    val found = values.map {{ indexOf.getValue(vocabulary)[it.toString()] ?: 1 }}
    val padding = List(length - values.size) {{ 0 }}
    return (if (front) padding + found else found + padding).toIntArray()
}}
fun numbers(values: List<Float>, length: Int, front: Boolean = false): FloatArray {{
    val padding = List(length - values.size) {{ 0f }}
    return (if (front) padding + values else values + padding).toFloatArray()
}}

val inputs = mapOf<String, Any>(
{values}
)
val best = Array({rows}) {{ IntArray({k}) }}
val scores = Array({rows}) {{ FloatArray({k}) }}
Interpreter(file).use {{
    it.runSignature(inputs, mapOf<String, Any>("items" to best, "scores" to scores), "recommend")
}}
val values = vocabularies.getJSONObject("item").getJSONArray("values")
val items = best[0].filter {{ it > 0 }}.map {{ values[it - {FIRST_KNOWN}].toString() }}
"""


def swift_example(manifest: Mapping[str, Any], query: Mapping[str, Any] | None = None) -> str:
    """Lines of Swift, for iOS, that ask the file for recommendations, raw ids in and out.

    Args:
        manifest: See `python_example`.
        query: See `python_example`.

    Returns:
        The lines.
    """
    inputs = _example_inputs(manifest, query)
    lengths = "\n".join(
        f"try recommend.resizeInput(named: {_swift_text(known.name)}, toShape: {list(known.shape)})" for known in inputs
    )
    values = "\n".join(
        f"try recommend.copy({_in_swift(known)}, toInputNamed: {_swift_text(known.name)})" for known in inputs
    )
    return f"""\
import Foundation
import TensorFlowLite
import ZIPFoundation

let url = Bundle.main.url(forResource: "model", withExtension: "tflite")!
var json = Data()
let attached = try Archive(url: url, accessMode: .read)
_ = try attached.extract(attached["{VOCABULARIES}"]!) {{ json.append($0) }}
let vocabularies = try JSONSerialization.jsonObject(with: json) as! [String: [String: Any]]
// Looked up as texts, whether ids are texts or integers.
let indexOf = vocabularies.mapValues {{ entry -> [String: Int32] in
    var known = ["\\(entry["padding"]!)": Int32(0)]
    for (place, value) in (entry["values"] as! [Any]).enumerated() {{
        known["\\(value)"] = Int32(place + (entry["first_index"] as! Int))
    }}
    return known
}}

func filled<T>(_ values: [T], _ padding: T, _ rows: Int, _ length: Int, _ front: Bool) -> Data {{
    let rest = Array(repeating: padding, count: length - values.count)
    let row = front ? rest + values : values + rest
    return Array(repeating: row, count: rows).flatMap {{ $0 }}.withUnsafeBytes {{ Data($0) }}
}}
func numbers(_ values: [Float32], _ rows: Int, _ length: Int, front: Bool = false) -> Data {{
    filled(values, 0, rows, length, front)
}}
// 1 where unknown; filled up with padding, which is 0.
func indices(_ vocabulary: String, _ values: [Any], _ rows: Int, _ length: Int, front: Bool = false) -> Data {{
    filled(values.map {{ indexOf[vocabulary]!["\\($0)"] ?? 1 }}, 0, rows, length, front)
}}

let recommend = try Interpreter(modelPath: url.path).signatureRunner(with: "recommend")
{lengths}
try recommend.allocateTensors()
{values}
try recommend.invoke()
let best = try recommend.output(named: "items").data.withUnsafeBytes {{ Array($0.bindMemory(to: Int32.self)) }}
let values = vocabularies["item"]!["values"] as! [Any]
let items = best.prefix({manifest["k"]}).filter {{ $0 > 0 }}.map {{ "\\(values[Int($0) - {FIRST_KNOWN}])" }}
"""


@dataclasses.dataclass(frozen=True)
class _ExampleInput:
    """An input of an example.

    Args:
        name: Its name.
        vocabulary: What its values are looked up in, if anything.
        shape: Its shape in the example.
        values: The raw values of one query, without padding.
        is_filled_in_front: Whether padding goes in front of them.
    """

    name: str
    vocabulary: str | None
    shape: tuple[int, ...]
    values: list[Any]
    is_filled_in_front: bool

    @property
    def length(self) -> int:
        """How many values a query has, padding included."""
        return self.shape[1] if len(self.shape) > 1 else 1


def _example_inputs(manifest: Mapping[str, Any], query: Mapping[str, Any] | None) -> list[_ExampleInput]:
    fixed = manifest.get("tflite")
    found = []
    for described in manifest["endpoints"]["recommend"]["inputs"]:
        info = TensorInfo(**{**described, "shape": tuple(described["shape"])})
        given = np.asarray((query or {}).get(info.name, []), object).ravel().tolist()
        if info.vocabulary:
            given = [value for value in given if value != info.padding]
        sizes = (fixed["batch"], fixed["list_length"]) if fixed else (1, len(given) or 1)
        shape = _fixed(info.shape, *sizes)
        found.append(_ExampleInput(info.name, info.vocabulary, shape, given, info.name.startswith("history")))
    return found


def _in_python(known: _ExampleInput) -> str:
    front = ", front=True" if known.is_filled_in_front else ""
    if known.vocabulary is None:
        return f"numbers({[float(value) for value in known.values]}, {known.shape}{front})"
    return f"indices({known.vocabulary!r}, {known.values}, {known.shape}{front})"


def _in_kotlin(known: _ExampleInput) -> str:
    front = ", front = true" if known.is_filled_in_front else ""
    if known.vocabulary is None:
        values = ", ".join(f"{float(value)}f" for value in known.values)
        made = f"numbers(listOf({values}), %d{front})"
    else:
        values = ", ".join(_kotlin_text(value) for value in known.values)
        made = f"indices({_kotlin_text(known.vocabulary)}, listOf({values}), %d{front})"
    # One number a query is a plain array, a list of them an array of rows.
    return made % known.shape[0] if len(known.shape) == 1 else f"Array({known.shape[0]}) {{ {made % known.length} }}"


def _in_swift(known: _ExampleInput) -> str:
    sizes = f"{known.shape[0]}, {known.length}" + (", front: true" if known.is_filled_in_front else "")
    if known.vocabulary is None:
        return f"numbers({[float(value) for value in known.values]}, {sizes})"
    values = ", ".join(_swift_text(value) for value in known.values)
    return f"indices({_swift_text(known.vocabulary)}, [{values}], {sizes})"


def _kotlin_text(value: Any) -> str:
    if not isinstance(value, str):
        return f"{value}L"
    return json.dumps(value).replace("\\f", "\\u000c").replace("$", "\\$")


def _swift_text(value: Any) -> str:
    if not isinstance(value, str):
        return str(value)
    plain = (character if character.isprintable() else f"\\u{{{ord(character):x}}}" for character in _escaped(value))
    return '"' + "".join(plain) + '"'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


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
        shape = _fixed(info.shape, batch, list_length)
        specs.append(tf.TensorSpec(shape, info.index_spec.dtype, name=info.name))
    names = [info.name for info in endpoint.inputs]

    def run(*tensors: Any) -> dict[str, Any]:
        return graphs.call(endpoint, dict(zip(names, tensors, strict=True)))

    return tf.function(run, input_signature=specs, autograph=False).get_concrete_function()


def _fixed(shape: Collection[int | None], batch: int, list_length: int) -> tuple[int, ...]:
    return (batch, *(list_length if size is None else size for size in list(shape)[1:]))


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
