"""Smaller variants of a TFLite file. Each is the float file rewritten, and stores every table once.

The converter's own quantization stores an 8-bit table twice: one copy for looking rows up, another for multiplying with
it. Here one copy serves both: 8-bit numbers, and one scale a row. A lookup gathers the numbers and the scale, and
multiplies them. A product multiplies with the 8-bit numbers first, then with the scales.
"""

from __future__ import annotations

from export.formats.quantization.activations import Sample, hidden_layers, measure, quantize_activations
from export.formats.quantization.network import Network
from export.formats.quantization.weights import halve, quantize_weights, round_tables

__all__ = ["VARIANTS", "Sample", "quantize", "share_parts"]

VARIANTS = ("float16", "dynamic", "int8")


def share_parts(content: bytes) -> bytes:
    """The same TFLite model, in which a table that is a part of another one takes no room.

    The converter stores a slice of a table as a table of its own. The file format lets a buffer be any range of bytes
    of the file, so a slice can be a place inside the whole table.

    Args:
        content: A TFLite model.

    Returns:
        A TFLite model that gives the same answers.

    Example:

    >>> import tensorflow as tf
    >>> whole = tf.random.normal((100, 64))
    >>> def call(x):
    ...     return {"all": x @ tf.transpose(whole), "first": x @ tf.transpose(whole[:50])}
    >>> function = tf.function(call, input_signature=[tf.TensorSpec((None, 64))]).get_concrete_function()
    >>> content = tf.lite.TFLiteConverter.from_concrete_functions([function]).convert()
    >>> len(content) - len(share_parts(content)) > 50 * 64 * 4
    True
    """
    return Network(content).pack()


def quantize(content: bytes, variant: str, sample: Sample | None = None) -> bytes:
    """A smaller variant of a float TFLite model, with the same signatures, int32 indices and float32 scores.

    `"float16"`: Tables are 16-bit numbers. A runtime makes them 32-bit ones when it loads them.

    `"dynamic"`: Weights are 8-bit numbers with a scale a row. A matrix product rounds its other factor to 8 bits when
    it runs, with a scale found at that moment, and gives 32-bit floats.

    `"int8"`: As `"dynamic"`, and hidden layers take and give 8-bit numbers, whose ranges were measured on a sample.
    A layer stays dynamic if its result reaches a score, a vector or a comparison without another layer in between,
    because 256 levels cannot rank a catalogue. What runs between layers (norms, softmax, the gates and states of
    recurrent layers) stays float, because 8 bits would save no time there and cost much accuracy. A model without
    hidden layers, such as a matrix factorization, is therefore the same in `"dynamic"` and `"int8"`.

    Args:
        content: The float model, as `share_parts` gives it.
        variant: One of `VARIANTS`.
        sample: The inputs of every signature by name, `[examples, ...]`. Only `"int8"` needs it.

    Returns:
        A TFLite model.

    Raises:
        UserError: If `"int8"` has layers to measure and the sample has no inputs that reach them.

    Example:

    >>> import tensorflow as tf
    >>> weights = tf.random.normal((64, 64))
    >>> layer = tf.function(lambda x: x @ weights, input_signature=[tf.TensorSpec((None, 64))])
    >>> content = tf.lite.TFLiteConverter.from_concrete_functions([layer.get_concrete_function()]).convert()
    >>> len(quantize(content, "dynamic")) < 0.5 * len(content)
    True
    """
    network = Network(content)
    if variant == "float16":
        halve(network)
        return network.pack()
    layers = hidden_layers(network) if variant == "int8" else set()
    ranges = measure(content, network, layers, sample or {})
    rounded = round_tables(network)
    for graph in network.graphs:
        quantize_weights(network, graph, rounded)
        quantize_activations(network, graph, ranges)
    return network.pack()
