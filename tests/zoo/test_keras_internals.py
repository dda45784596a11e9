"""Each test fails if Keras drops or changes what recozoo takes from it beyond its public interface."""

from __future__ import annotations

import keras

from zoo.keras_internals import flatten_layers


def test_flatten_layers_gives_the_model_and_every_layer_at_any_depth_once():
    shared = keras.layers.Dense(2, name="shared")
    inner = keras.Sequential([keras.Input((2,)), shared, shared], name="inner")
    outer = keras.Sequential([keras.Input((2,)), inner, keras.layers.Dropout(0.1)], name="outer")
    names = [layer.name for layer in flatten_layers(outer)]
    assert names[0] == "outer"
    assert {"inner", "shared"} <= set(names)
    assert len(names) == len(set(names))
