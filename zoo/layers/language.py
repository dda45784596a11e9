"""A causal language model that answers prompts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, ClassVar, TypeVar

import keras
import numpy as np
from keras import ops

from zoo.errors import UserError
from zoo.keras_internals import flatten_layers
from zoo.layers.data import DataLayer, Source
from zoo.layers.prompts import NO_TOKEN, Encode, Texts

if TYPE_CHECKING:
    from pydantic import JsonValue

    from zoo.types import Shape, Tensor

# What a preset gives.
Loaded = TypeVar("Loaded")


# Not registered with Keras, because its config would hold a network and a function. `keras.Model.save` needs no config
# of it: a saved model is its recipe, which builds the architecture with all of its layers again.
class LanguageModel(DataLayer[Texts]):
    """The log-odds of the answer yes against no, after a prompt.

    Args:
        backbone: A causal language model of keras-hub without its head.
        soft_place: The place in the prompt that the soft token takes, if it is given one.
        lora_rank: 0 trains all of it; another number trains adapters of this rank of its queries and values, and
            the biases of these only (Hu et al., 2021, arXiv:2106.09685).
        fill: Fills the token tables of the prompts from the words of the data, and gives the tokens of the answers yes
            and no. `adapt` calls it.

    Raises:
        UserError: If the backbone is no causal language model or has no layers to adapt.
    """

    source: ClassVar[Source] = "texts"

    def __init__(
        self,
        backbone: keras.Model,
        soft_place: int = 0,
        lora_rank: int = 0,
        fill: Callable[[Texts], Sequence[int]] | None = None,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self._fill = fill
        _check_is_causal(backbone)
        if lora_rank:
            _enable_lora(backbone, lora_rank)
        tokens, mask = backbone.input["token_ids"], backbone.input["padding_mask"]
        first = next(layer for layer in backbone.layers if _reads(layer, tokens))
        self.embed = keras.Model(tokens, first.output)
        self.decode = keras.Model([first.output, mask], backbone.output)
        self.token_embedding = backbone.token_embedding
        self.dim, self.soft_place = first.output.shape[-1], soft_place
        self.answers = self.add_weight(
            name="answers", shape=(2,), dtype="int32", initializer="zeros", trainable=False, autocast=False
        )

    def adapt(self, data: Texts) -> None:
        """Fills the token tables of the prompts.

        Args:
            data: The words of the data.
        """
        if self._fill is not None:
            self.answers.assign(self._fill(data))

    def call(self, tokens: Tensor, soft: Tensor | None = None) -> Tensor:
        """Reads prompts.

        Args:
            tokens: `[batch, n]` int32 tokens; those that are `NO_TOKEN` are not attended to. The last one is there.
            soft: `[batch, dim]` vectors in place of the embedded token at `soft_place`.

        Returns:
            `[batch, 1]` logits.
        """
        vectors = self.embed(ops.maximum(tokens, 0))
        there = ops.cast(ops.not_equal(tokens, NO_TOKEN), "int32")
        if soft is not None:
            before, after = slice(None, self.soft_place), slice(self.soft_place + 1, None)
            vectors = ops.concatenate([vectors[:, before], soft[:, None], vectors[:, after]], axis=1)
            there = ops.concatenate([there[:, before], ops.ones_like(there[:, :1]), there[:, after]], axis=1)
        last = self.decode([vectors, there])[:, -1]
        odds = ops.take(self.token_embedding(last, reverse=True), self.answers, axis=-1)
        return odds[:, :1] - odds[:, 1:]

    def compute_output_shape(self, tokens_shape: Shape, soft_shape: Shape | None = None) -> tuple[int | None, int]:
        """One logit a prompt."""
        return tokens_shape[0], 1

    def start_from(self, trained: LanguageModel) -> None:
        """Takes over the weights of a trained language model of the same shape, except for adapters."""
        mine, theirs = ([weight for weight in layer.weights if "lora" not in weight.name] for layer in (self, trained))
        if [weight.shape for weight in mine] != [weight.shape for weight in theirs]:
            raise UserError(
                "The pretrained language model is of another shape. Give both runs the same hparams, "
                "except 'lora_rank' and 'soft_token'."
            )
        for weight, value in zip(mine, theirs, strict=True):
            weight.assign(value)


def _reads(layer: keras.layers.Layer, tensor: keras.KerasTensor) -> bool:
    return not isinstance(layer, keras.layers.InputLayer) and layer.input is tensor


def _check_is_causal(backbone: keras.Model) -> None:
    import keras_hub

    known = [task.backbone_cls for task in keras_hub.models.CausalLM.__subclasses__() if task.backbone_cls]
    inputs = backbone.input if isinstance(backbone.input, dict) else {}
    if not isinstance(backbone, tuple(known)) or set(inputs) != {"token_ids", "padding_mask"}:
        raise UserError(
            f"{type(backbone).__name__} is not a causal language model that reads only text. Choose a preset of one, "
            "e.g. gpt2_base_en."
        )


def _enable_lora(backbone: keras.Model, rank: int) -> None:
    targets = backbone.default_lora_layer_names()
    if not any(layer.name in targets and hasattr(layer, "enable_lora") for layer in flatten_layers(backbone)):
        raise UserError(f"{type(backbone).__name__} has no layers that lora_rank can adapt. Set lora_rank=0.")
    backbone.enable_lora(rank)


def need_keras_hub() -> ModuleType:
    """The package keras-hub. Raises a `UserError` that names the extra to install if it is missing."""
    try:
        import keras_hub
    except ImportError as error:
        raise UserError('Language models need the package keras-hub: pip install "recozoo[text]"') from error
    return keras_hub


def small_language_model(
    vocabulary: int, length: int, dim: int, layers: int, heads: int, dropout: float
) -> keras.Model:
    """A GPT-2 of any size, untrained (Radford et al., 2019).

    Args:
        vocabulary: Tokens it knows.
        length: Tokens of the longest prompt.
        dim: Width of its vectors.
        layers: Its transformer layers.
        heads: Heads of their attention; `dim` is a multiple of it.
        dropout: Share of the units dropped in training.

    Returns:
        A keras-hub backbone.
    """
    least = {"vocabulary": vocabulary, "embedding_dim": dim, "layers": layers, "heads": heads}
    for name, value in least.items():
        if value < 1:
            raise UserError(f"{name} must be at least 1. Received: {value}.")
    if dim % heads:
        raise UserError(f"embedding_dim must be a multiple of heads. Received: {dim} and {heads}.")
    if not 0 <= dropout < 1:
        raise UserError(f"dropout must be at least 0 and below 1. Received: {dropout}.")
    return need_keras_hub().models.GPT2Backbone(
        vocabulary_size=vocabulary,
        num_layers=layers,
        num_heads=heads,
        hidden_dim=dim,
        intermediate_dim=4 * dim,
        dropout=dropout,
        max_sequence_length=length,
    )


def preset_language_model(preset: str) -> keras.Model:
    """The trained backbone of a keras-hub preset: a name, a handle or a folder. Raises a `UserError` if it is none."""
    return _loaded(need_keras_hub().models.Backbone.from_preset, preset)


def preset_tokenizer(preset: str) -> Encode:
    """The tokenizer of a keras-hub preset, as a function from a text to its tokens."""
    keras_hub = need_keras_hub()
    tokenizer = _loaded(keras_hub.tokenizers.Tokenizer.from_preset, preset)
    # Within a text, a word of byte pairs begins with its space.
    space = " " if isinstance(tokenizer, keras_hub.tokenizers.BytePairTokenizer) else ""
    return lambda text: np.asarray(tokenizer(space + text)).tolist()


def _loaded(load: Callable[[str], Loaded], preset: str) -> Loaded:
    try:
        return load(preset)
    except Exception as error:  # keras-hub fails with errors of any kind
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UserError(
            f"preset {preset!r}: keras-hub cannot load it ({reason}). Give the name of a preset, "
            "or the folder of one that was saved by save_to_preset."
        ) from error


def described(backbone: keras.Model) -> dict[str, JsonValue]:
    """What builds a language model of the same shape again, JSON-ready."""
    return keras.saving.serialize_keras_object(backbone)


def from_description(description: Mapping[str, object]) -> keras.Model:
    """The untrained backbone that `described` has described."""
    need_keras_hub()
    return keras.saving.deserialize_keras_object(dict(description))
