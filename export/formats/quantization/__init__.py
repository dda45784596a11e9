"""Smaller variants of a TFLite file. Each is the float file rewritten, and stores every table once.

The converter's own quantization stores an 8-bit table twice: one copy for looking rows up, another for multiplying with
it. Here one copy serves both: 8-bit numbers, and one scale a row. A lookup gathers the numbers and the scale, and
multiplies them. A product multiplies with the 8-bit numbers first, then with the scales.
"""

from __future__ import annotations

from export.formats.quantization.base import Sample, Variant
from zoo.registries import Registry

__all__ = ["VARIANTS", "Sample", "Variant", "quantize", "share_parts"]

VARIANTS: Registry[Variant] = Registry("quantization", "export.formats.quantization.variants", "zoo.quantizations")


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
    >>> len(content) - len(share_parts(content)) >= 50 * 64 * 4
    True
    """
    from export.formats.quantization.network import Network

    return Network(content).pack()


def quantize(content: bytes, variant: str, sample: Sample | None = None) -> bytes:
    """A smaller variant of a float TFLite model, with the same signatures, int32 indices and float32 scores.

    A model without hidden layers, such as a matrix factorization, is the same in `"dynamic"` and `"int8"`.

    Args:
        content: The float model, as `share_parts` gives it.
        variant: One of `VARIANTS`, whose modules say what each does.
        sample: The inputs of every signature by name, `[examples, ...]`. Only a variant with `needs_sample` reads it.

    Returns:
        A TFLite model.

    Raises:
        UserError: If there is no such variant, or if it has layers to measure and the sample has no inputs that reach
            them.

    Example:

    >>> import tensorflow as tf
    >>> weights = tf.random.normal((64, 64))
    >>> layer = tf.function(lambda x: x @ weights, input_signature=[tf.TensorSpec((None, 64))])
    >>> content = tf.lite.TFLiteConverter.from_concrete_functions([layer.get_concrete_function()]).convert()
    >>> len(quantize(content, "dynamic")) < 0.5 * len(content)
    True
    """
    from export.formats.quantization.network import Network

    network = Network(content)
    VARIANTS[variant].rewrite(network, content, sample or {})
    return network.pack()
