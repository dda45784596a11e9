"""Each test fails if Keras drops or changes what recozoo takes from it beyond its public interface."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.keras_internals import GradientsSummedBefore, flatten_layers, open_for_weights, slot_of


def test_flatten_layers_gives_the_model_and_every_layer_at_any_depth_once():
    shared = keras.layers.Dense(2, name="shared")
    inner = keras.Sequential([keras.Input((2,)), shared, shared], name="inner")
    outer = keras.Sequential([keras.Input((2,)), inner, keras.layers.Dropout(0.1)], name="outer")
    names = [layer.name for layer in flatten_layers(outer)]
    assert names[0] == "outer"
    assert {"inner", "shared"} <= set(names)
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("optimizer", "slot", "expected"),
    [
        (keras.optimizers.Adagrad(0.1, initial_accumulator_value=0.5), "accumulators", [0.5, 4.5]),
        (keras.optimizers.Adam(0.1, beta_1=0.75), "momentums", [0.0, 0.5]),
        (keras.optimizers.Adam(0.1, beta_2=0.75), "velocities", [0.0, 1.0]),
    ],
    ids=["accumulators", "momentums", "velocities"],
)
def test_slot_of_gives_what_the_optimizer_keeps_of_a_variable(optimizer, slot, expected):
    others, variable = keras.Variable(np.zeros(3, np.float32)), keras.Variable(np.zeros(2, np.float32))
    optimizer.build([others, variable])
    optimizer.apply([tf.zeros(3), tf.constant([0.0, 2.0])])
    kept = slot_of(optimizer, slot, variable)
    np.testing.assert_allclose(kept, expected, rtol=1e-6)
    assert isinstance(kept, tf.Variable)


def test_gradients_summed_before_are_not_summed_again():
    class Summed(GradientsSummedBefore, keras.optimizers.SGD):
        pass

    def steps(kind):
        strategy = tf.distribute.MirroredStrategy(["CPU:0"])
        with strategy.scope():
            variable, optimizer = keras.Variable(np.zeros(1, np.float32)), kind(1.0)
            optimizer.build([variable])
        asked = []
        whole = optimizer._all_reduce_sum_gradients
        optimizer._all_reduce_sum_gradients = lambda pairs: asked.append(pairs) or whole(pairs)
        strategy.run(tf.function(lambda: optimizer.apply([tf.ones(1)])))
        return asked, float(variable.value.numpy()[0])

    asked, value = steps(Summed)
    assert asked, "Keras no longer asks the method that is overridden"
    assert value == -1
    pairs = [(tf.ones(1), None)]
    assert Summed(1.0)._all_reduce_sum_gradients(pairs) is pairs


def test_a_layer_that_is_built_makes_other_weights_while_it_is_open_for_them():
    layer = keras.layers.Dense(2)
    layer.build((None, 3))
    with pytest.raises(ValueError, match="already built"):
        layer.add_weight(shape=(4,))
    with open_for_weights(layer):
        del layer.bias
        layer.bias = layer.add_weight(shape=(2,), name="other")
    assert [weight.name for weight in layer.weights] == ["kernel", "other"]
    with pytest.raises(ValueError, match="already built"):
        layer.add_weight(shape=(4,))
