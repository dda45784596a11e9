"""Parts of a trained architecture inside another one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras

if TYPE_CHECKING:
    from zoo.types import Tensor


class Frozen:
    """A part of another architecture inside this one; trained along until it has weights of its own to keep.

    Args:
        query: Symbolic tensors made of the query.
        item: Symbolic tensors made of the item.
        both: A symbolic tensor made of these.

    Attributes:
        query: What `query` is once it can be frozen.
        item: What `item` is then.
        both: What `both` is then.

    Example:

    ```python
    expert = Frozen(graph.query, graph.item, graph.target)
    expert.freeze(trained.get_layer("graph_target").output)
    ```
    """

    def __init__(
        self, query: Sequence[keras.KerasTensor], item: Sequence[keras.KerasTensor], both: keras.KerasTensor
    ) -> None:
        self._whole = _model_of(both)
        of_query, of_item = (_Part(keras.Model(_sources(tensors), tensors)) for tensors in (list(query), list(item)))
        of_both = _Part(keras.Model([*query, *item], [both]))
        self._parts = of_query, of_item, of_both
        self.query, self.item = of_query(_sources(query)), of_item(_sources(item))
        [self.both] = of_both([*self.query, *self.item])

    def freeze(self, trained: keras.KerasTensor) -> None:
        """Takes over the weights behind a symbolic tensor that was made in the same way, and trains them no more."""
        self._whole.set_weights(_model_of(trained).get_weights())
        for part in self._parts:
            part.trainable = False


# Not registered with Keras, because its config would hold a network. `keras.Model.save` needs no config of it: a saved
# model is its recipe, which builds the architecture with all of its layers again.
class _Part(keras.layers.Layer):
    """A network inside another.

    A part that is not trainable drops units in training all the same. It knows the answers to the examples that it was
    trained on too well, and layers that are trained behind it would come to rely on them.
    """

    def __init__(self, model: keras.Model, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.model = model

    def call(self, inputs: list[Tensor], training: bool = False) -> list[Tensor]:
        outputs = self.model(inputs, training=training)
        return outputs if isinstance(outputs, list) else [outputs]


def _sources(tensors: Sequence[keras.KerasTensor]) -> list[keras.KerasTensor]:
    """The inputs that symbolic tensors were made from."""
    inputs = {source.name: source for tensor in tensors for source in keras.utils.get_source_inputs(tensor)}
    return [inputs[name] for name in sorted(inputs)]


def _model_of(tensor: keras.KerasTensor) -> keras.Model:
    return keras.Model(_sources([tensor]), tensor)
