"""TFLite with built-in operators only: one file, one signature an endpoint, vocabularies attached."""

from __future__ import annotations

import json
import tempfile
import zipfile
from pathlib import Path

import tensorflow as tf

from export.endpoints import EndpointGraphs, unrolled
from zoo.schema import FIRST_KNOWN, Vocabulary

NAME = "tflite"
FILE = "model.tflite"
VOCABULARIES = "vocabularies.json"


def write(graphs: EndpointGraphs, vocabularies: dict[str, Vocabulary], folder: Path) -> None:
    """Writes `folder/model.tflite`, whose signatures take and give indices.

    The vocabularies are attached the way TFLite metadata attaches files, as a zip archive behind the
    model, so that any zip reader finds them in the same file.

    Args:
        graphs: The endpoints over indices.
        vocabularies: What a caller looks raw values up in.
        folder: Where the file goes; made if need be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # TFLite has no built-in operator for a loop over a tensor list.
    with unrolled(graphs._model), tempfile.TemporaryDirectory() as scratch:
        functions = {e.name: graphs.function(e).get_concrete_function() for e in graphs.endpoints}
        module = tf.Module()
        module.read = [variable for function in functions.values() for variable in function.graph.variables]
        tf.saved_model.save(module, scratch, signatures=functions)
        converter = tf.lite.TFLiteConverter.from_saved_model(scratch, signature_keys=list(functions))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        content = converter.convert()
    path = folder / FILE
    path.write_bytes(content)
    described = {
        name: {
            "first_index": FIRST_KNOWN,
            "padding": vocabulary.padding_value,
            "values": vocabulary.to_json(),
        }
        for name, vocabulary in vocabularies.items()
    }
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as attached:
        attached.writestr(VOCABULARIES, json.dumps(described, ensure_ascii=False))
