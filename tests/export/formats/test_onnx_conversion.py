"""The converter's own faults that are mended."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import onnxruntime
import tensorflow as tf
from scipy.special import erfc

from export.formats.onnx.conversion import convert
from export.formats.onnx.opsets import DEFAULT_OPSET


def test_large_integers_are_ranked_exactly():
    values = 2**24 + np.array([[0, 3, 1, 2], [7, 5, 6, 4]], np.int32)
    spec = tf.TensorSpec((None, 4), tf.int32, "values")

    @tf.function(input_signature=[spec])
    def rank(values):
        best, places = tf.math.top_k(values, 3)
        return {"best": best, "places": places}

    endpoint = SimpleNamespace(inputs=[SimpleNamespace(index_spec=spec)])
    model, weights = convert(rank, endpoint, DEFAULT_OPSET)
    assert not weights
    session = onnxruntime.InferenceSession(model.SerializeToString())
    best, places = session.run(["best", "places"], {"values": values})
    np.testing.assert_array_equal(best - 2**24, [[3, 2, 1], [7, 6, 5]])
    np.testing.assert_array_equal(places, [[1, 3, 2], [0, 2, 1]])


def test_the_complement_of_the_error_function_is_made_of_that_function():
    values = np.linspace(-4, 4, 41, dtype=np.float32)
    spec = tf.TensorSpec((None,), tf.float32, "values")

    @tf.function(input_signature=[spec])
    def complement(values):
        return {"twice": 2 * tf.math.erfc(values)}

    model, _ = convert(complement, SimpleNamespace(inputs=[SimpleNamespace(index_spec=spec)]), DEFAULT_OPSET)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (found,) = session.run(["twice"], {"values": values})
    np.testing.assert_allclose(found, 2 * erfc(values), atol=1e-6)
