"""Prompts put together inside the graph, and a causal language model that answers them.

Prompts are made of token tables: the tokens of every item's title, of every rating, of every value of a user's
features. They are set once, before training, and are weights like any others; so no text and no tokenizer is
needed afterwards, neither by a saved model nor by an exported one.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from zoo.errors import UserError
from zoo.keras_internals import flatten_layers
from zoo.layers.data import DataLayer, Source
from zoo.schema import FIRST_KNOWN, PADDING, Feature, Schema

# What fills up rows of tokens; no tokenizer gives it.
NO_TOKEN = -1
ANSWERS = ("yes", "no")
# The values of a number that have tokens of their own; others take those of the nearest.
LEVELS = 16
# Values of a multi-valued feature of a user that a prompt has room for.
MOST_VALUES = 2
FAR = 1e30
# Below anything: what is not there is nearest to nothing.
NOT_THERE = -FAR
# A quarter of the whole numbers that are exact in float32.
LARGEST_KEY = 2**22

Encode = Callable[[str], Sequence[int]]


@dataclasses.dataclass(frozen=True)
class Texts:
    """All that prompts are worded with.

    Args:
        titles: `[num_items]` titles by item index.
        values: By categorical feature of the users, the text of each of its indices.
        numbers: By numeric feature of the users, and for `"history_rating"`, the raw numbers of the data.
    """

    titles: Sequence[str]
    values: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    numbers: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)


class WordTokenizer:
    """Lower-case words and question marks and colons as tokens; token 0 stands for any word that is not known.

    Args:
        groups: Texts. Where there are more words than fit, those of earlier groups stay, and in a group the
            more frequent ones.
        size: The most tokens.

    Example:

    >>> tokenizer = WordTokenizer([["the red kettle", "the teapot"]], size=10)
    >>> tokenizer("The blue kettle?")
    [1, 0, 3, 0]
    """

    def __init__(self, groups: Iterable[Iterable[str]], size: int) -> None:
        words: dict[str, None] = {}
        for texts in groups:
            counts = Counter(word for text in texts for word in split_words(text))
            # The sort is stable, so among equally frequent words the order of the texts decides.
            words |= dict.fromkeys(sorted(counts, key=lambda word: -counts[word]))
        self.tokens = {word: token for token, word in enumerate(list(words)[: size - 1], start=1)}

    def __call__(self, text: str) -> list[int]:
        """The tokens of a text."""
        return [self.tokens.get(word, 0) for word in split_words(text)]


def split_words(text: str) -> list[str]:
    """The words of a text in lower case, question marks and colons among them."""
    return re.findall(r"\w+|[?:]", text.lower())


class TokenTable(keras.layers.Layer):
    """The tokens of some texts, not trained; called on their indices.

    Args:
        rows: How many texts.
        tokens: The most tokens of one; what is beyond them is cut off.
        front: Whether shorter ones are filled up in front, so that the last token is always there.
    """

    def __init__(self, rows: int, tokens: int, front: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tokens, self.front = tokens, front
        self.rows = self.add_weight(
            name="rows",
            shape=(rows, tokens),
            dtype="int32",
            initializer=keras.initializers.Constant(NO_TOKEN),
            trainable=False,
            autocast=False,
        )

    def set(self, texts: Sequence[str], encode: Encode) -> None:
        """Sets the tokens of the texts; rows beyond them stay empty."""
        table = np.full(self.rows.shape, NO_TOKEN, np.int32)
        for row, text in enumerate(texts):
            tokens = list(encode(text))[: self.tokens] if text else []
            start = self.tokens - len(tokens) if self.front else 0
            table[row, start : start + len(tokens)] = tokens
        self.rows.assign(table)

    def call(self, indices: Any) -> Any:
        """`[batch, ...]` indices to `[batch, ..., tokens]`, filled up with `NO_TOKEN`."""
        return ops.take(self.rows, indices, axis=0)


class NearestLevel(keras.layers.Layer):
    """The index of the level that a number is nearest to; levels are not trained.

    Example:

    >>> level = NearestLevel()
    >>> level.set(np.array([1.0, 3.0, 5.0]))
    >>> level(np.array([[4.5, 0.0]], "float32")).numpy()
    array([[2, 0]], dtype=int32)
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # What lies between a level and the next.
        self.bounds = self.add_weight(
            name="bounds",
            shape=(LEVELS - 1,),
            initializer=keras.initializers.Constant(FAR),
            trainable=False,
            autocast=False,
        )

    def set(self, levels: np.ndarray) -> None:
        """Sets up to `LEVELS` levels, in ascending order."""
        # A number half-way, as whole ones often are, is of the lower level however it was rounded before.
        bounds = levels[:-1] + 0.501 * (levels[1:] - levels[:-1])
        self.bounds.assign(np.concatenate([bounds, np.full(LEVELS - 1 - len(bounds), FAR)]))

    def call(self, numbers: Any) -> Any:
        """`[batch, ...]` numbers to `[batch, ...]` indices, int32."""
        is_above = ops.cast(numbers, "float32")[..., None] > self.bounds
        return ops.sum(ops.cast(is_above, "int32"), axis=-1)


def levels_of(numbers: np.ndarray) -> np.ndarray:
    """The distinct values of some numbers, or `LEVELS` quantiles of them if they are more; none if there is but one."""
    levels = np.unique(numbers)
    if len(levels) > LEVELS:
        levels = np.unique(np.quantile(numbers, np.linspace(0, 1, LEVELS), method="nearest"))
    return levels if len(levels) > 1 else levels[:0]


class PromptTables:
    """The token tables that prompts are put together from, as symbolic tensors of the schema's inputs.

    Args:
        schema: The schema of the data.
        title_tokens: Tokens of a title.
        rating_tokens: Tokens of a rating.
        profile_tokens: Tokens of a feature of the user: its name and its value.
        phrase_tokens: How many tokens a word of a phrase may take.

    Example:

    >>> tables = PromptTables(schema, title_tokens=5)
    >>> question = ops.concatenate([tables.phrase("Will the user like"), tables.titles(schema.input("item"))], axis=1)
    >>> tables.set(texts, lambda groups: WordTokenizer(groups, 4096))
    """

    def __init__(
        self,
        schema: Schema,
        *,
        title_tokens: int,
        rating_tokens: int = 1,
        profile_tokens: int = 2,
        phrase_tokens: int = 1,
    ) -> None:
        self.schema, self._profile_tokens, self._phrase_tokens = schema, profile_tokens, phrase_tokens
        self.titles = TokenTable(schema.size("item"), title_tokens, name="title_tokens")
        self._rating = NearestLevel(name="rating_levels")
        self._ratings = TokenTable(LEVELS, rating_tokens, name="rating_tokens")
        # Every table with what its texts are.
        self._phrases: list[tuple[TokenTable, Callable[[Texts], Sequence[str]]]] = []
        self._profile: list[tuple[TokenTable, Callable[[Texts], Sequence[str]]]] = []
        self._numbers = {"history_rating": self._rating}

    def phrase(self, words: str, like: Any) -> Any:
        """The tokens of a phrase, `[batch, n]`, for a tensor `like` of `batch` rows."""
        table = TokenTable(1, len(split_words(words)) * self._phrase_tokens, front=True)
        self._phrases.append((table, lambda _: [words]))
        return table(ops.zeros_like(like[:, 0], dtype="int32"))

    def events(self, items: Any, ratings: Any) -> Any:
        """Titles with ratings: `[batch, k]` items and ratings, as `history_rating` has them, to `[batch, n]`."""
        feature = self.schema["history_rating"]
        stars = self._ratings(self._rating(ratings * feature.std + feature.mean))
        stars = ops.where(ops.equal(items, PADDING)[..., None], NO_TOKEN, stars)
        return _in_a_row(ops.concatenate([self.titles(items), stars], axis=-1))

    def profile(self) -> list[Any]:
        """The tokens of each feature of the user, `[batch, n]`; text vectors have no words any more."""
        return [self._feature(f) for f in self.schema.side_features("user") if f.kind != "text"]

    def _feature(self, feature: Feature) -> Any:
        value, name = self.schema.input(feature.name), feature.name.replace("_", " ")
        if feature.kind == "numeric":
            level, table = NearestLevel(), TokenTable(LEVELS, self._profile_tokens)
            self._numbers[feature.name] = level
            self._profile.append((table, lambda texts: _numbers(texts, feature.name, name)))
            return table(level(value * feature.std + feature.mean))
        table = TokenTable(feature.size, self._profile_tokens)
        self._profile.append((table, lambda texts: [text and f"{name} {text}" for text in texts.values[feature.name]]))
        return table(value) if feature.length is None else _in_a_row(table(value[:, :MOST_VALUES]))

    def set(self, texts: Texts, make_tokenizer: Callable[[list[Sequence[str]]], Encode]) -> list[int]:
        """Fills the tables.

        Args:
            texts: What to word prompts with.
            make_tokenizer: Gives what turns a text into tokens, when told all texts in groups.

        Returns:
            The tokens of the answers yes and no.
        """
        worded = [
            *self._phrases,
            *self._profile,
            (self._ratings, lambda texts: _numbers(texts, "history_rating")),
            (self.titles, lambda texts: texts.titles),
        ]
        groups = [wording(texts) for _, wording in worded]
        encode = make_tokenizer([ANSWERS, *groups])
        for (table, _), group in zip(worded, groups, strict=True):
            table.set(group, encode)
        for name, level in self._numbers.items():
            level.set(levels_of(texts.numbers[name]))
        # Some tokenizers put a token of their own before a word.
        return [list(encode(answer))[-1] for answer in ANSWERS]


def _numbers(texts: Texts, feature: str, name: str = "") -> list[str]:
    return [f"{name} {level:g}".strip() for level in levels_of(texts.numbers[feature])]


def _in_a_row(tokens: Any) -> Any:
    """`[batch, k, n]` tokens as `[batch, k * n]`."""
    return ops.reshape(tokens, (-1, tokens.shape[1] * tokens.shape[2]))


class NearestEvents(keras.layers.Layer):
    """The events of a history whose items are nearest to the target, by cosine, in the order of the history.

    Of events that are equally near, the later ones. Vectors are rounded to whole numbers, whose products are exact
    in any order of summation: two runtimes never choose differently.

    Retrieval of behaviours as in ReLLa (Lin et al., 2023, arXiv:2308.11131).

    Args:
        k: How many events.
        texts: How many vectors of length 1, or of 0, are joined in the vector of an item.
    """

    def __init__(self, k: int, texts: int = 1, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.k, self.texts = k, texts

    def call(self, history: Any, ratings: Any, vectors: Any, target: Any) -> tuple[Any, Any]:
        """Chooses events.

        Args:
            history: `[batch, L]` items, 0 where there are none.
            ratings: `[batch, L]` their ratings.
            vectors: `[batch, L, dim]` their vectors.
            target: `[batch, dim]` the vector of the target.

        Returns:
            Items and ratings, both `[batch, k]`.
        """
        length = history.shape[1]
        steps = math.floor(math.sqrt(LARGEST_KEY / length / self.texts))
        near = tf.linalg.matvec(tf.floor(vectors * steps + 0.5), tf.floor(target * steps + 0.5))
        # An item may have been met twice; the place tells these events apart.
        keys = near * length + np.arange(length, dtype=np.float32)
        keys = tf.where(tf.equal(history, PADDING), NOT_THERE, keys)
        places = tf.sort(tf.math.top_k(keys, self.k).indices, axis=1)
        return tf.gather(history, places, batch_dims=1), tf.gather(ratings, places, batch_dims=1)


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

    >>> expert = Frozen(graph.query, graph.item, graph.target)
    >>> expert.freeze(trained.get_layer("graph_target").output)
    """

    def __init__(self, query: Sequence[Any], item: Sequence[Any], both: Any) -> None:
        self._whole = _model_of(both)
        of_query, of_item = (_Part(keras.Model(_sources(tensors), tensors)) for tensors in (list(query), list(item)))
        of_both = _Part(keras.Model([*query, *item], [both]))
        self._parts = of_query, of_item, of_both
        self.query, self.item = of_query(_sources(query)), of_item(_sources(item))
        [self.both] = of_both([*self.query, *self.item])

    def freeze(self, trained: Any) -> None:
        """Takes over the weights behind a symbolic tensor that was made in the same way, and trains them no more."""
        self._whole.set_weights(_model_of(trained).get_weights())
        for part in self._parts:
            part.trainable = False


class _Part(keras.layers.Layer):
    """A network inside another.

    One that is not trainable drops units in training all the same: of the examples that it was trained on it knows
    the answers too well, which what is trained behind it would come to rely on.
    """

    def __init__(self, model: keras.Model, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model = model

    def call(self, inputs: list[Any], training: bool = False) -> list[Any]:
        outputs = self.model(inputs, training=training)
        return outputs if isinstance(outputs, list) else [outputs]


def _sources(tensors: Sequence[Any]) -> list[Any]:
    """The inputs that symbolic tensors were made from."""
    inputs = {source.name: source for tensor in tensors for source in keras.utils.get_source_inputs(tensor)}
    return [inputs[name] for name in sorted(inputs)]


def _model_of(tensor: Any) -> keras.Model:
    return keras.Model(_sources([tensor]), tensor)


class LanguageModel(DataLayer[Texts]):
    """The log-odds of the answer yes against no, after a prompt.

    Args:
        backbone: A causal language model of keras-hub without its head.
        tables: The token tables that its prompts are made of, which `adapt` fills.
        make_tokenizer: Gives what turns a text into tokens, when told all texts in groups.
        soft_place: The place in the prompt that the soft token takes, if it is given one.
        lora_rank: 0 trains all of it; another number trains adapters of this rank of its queries and values, and
            the biases of these, alone (Hu et al., 2021, arXiv:2106.09685).

    Raises:
        UserError: If the backbone is no causal language model or has no layers to adapt.
    """

    source: ClassVar[Source] = "texts"

    def __init__(
        self,
        backbone: Any,
        tables: PromptTables,
        make_tokenizer: Callable[[list[Sequence[str]]], Encode],
        soft_place: int = 0,
        lora_rank: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._tables, self._make_tokenizer = tables, make_tokenizer
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
        self.answers.assign(self._tables.set(data, self._make_tokenizer))

    def call(self, tokens: Any, soft: Any | None = None) -> Any:
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

    def compute_output_shape(self, tokens_shape: Any, soft_shape: Any = None) -> tuple[int | None, int]:
        """One logit a prompt."""
        return tokens_shape[0], 1

    def start_from(self, trained: LanguageModel) -> None:
        """Takes over the weights of a trained language model of the same shape, adapters aside."""
        mine, theirs = ([weight for weight in layer.weights if "lora" not in weight.name] for layer in (self, trained))
        if [weight.shape for weight in mine] != [weight.shape for weight in theirs]:
            raise UserError(
                "The pretrained language model is of another shape. Give both runs the same hparams, "
                "'lora_rank' and 'soft_token' aside."
            )
        for weight, value in zip(mine, theirs, strict=True):
            weight.assign(value)


def _reads(layer: Any, tensor: Any) -> bool:
    return not isinstance(layer, keras.layers.InputLayer) and layer.input is tensor


def _check_is_causal(backbone: Any) -> None:
    import keras_hub

    known = [task.backbone_cls for task in keras_hub.models.CausalLM.__subclasses__() if task.backbone_cls]
    inputs = backbone.input if isinstance(backbone.input, dict) else {}
    if not isinstance(backbone, tuple(known)) or set(inputs) != {"token_ids", "padding_mask"}:
        raise UserError(
            f"{type(backbone).__name__} is not a causal language model of text alone. Choose a preset of one, "
            "e.g. gpt2_base_en."
        )


def _enable_lora(backbone: Any, rank: int) -> None:
    targets = backbone.default_lora_layer_names()
    if not any(layer.name in targets and hasattr(layer, "enable_lora") for layer in flatten_layers(backbone)):
        raise UserError(f"{type(backbone).__name__} has no layers that lora_rank can adapt. Set lora_rank=0.")
    backbone.enable_lora(rank)


def need_keras_hub() -> Any:
    """The package keras-hub. Raises a `UserError` that names the extra to install."""
    try:
        import keras_hub
    except ImportError as error:
        raise UserError('Language models need the package keras-hub: pip install "recozoo[text]"') from error
    return keras_hub


def small_language_model(vocabulary: int, length: int, dim: int, layers: int, heads: int, dropout: float) -> Any:
    """A GPT-2 of any size, untrained (Radford et al., 2019).

    Args:
        vocabulary: Tokens it knows.
        length: Tokens of the longest prompt.
        dim: Width of its vectors.
        layers: Its transformer layers.
        heads: Heads of their attention, of which `dim` is a multiple.
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


def preset_language_model(preset: str) -> Any:
    """The trained backbone of a keras-hub preset: a name, a handle or a folder. Raises a `UserError` if it is none."""
    return _from_preset(need_keras_hub().models.Backbone, preset)


def preset_tokenizer(preset: str) -> Encode:
    """The tokenizer of a keras-hub preset, as a function from a text to its tokens."""
    keras_hub = need_keras_hub()
    tokenizer = _from_preset(keras_hub.tokenizers.Tokenizer, preset)
    # Within a text, a word of byte pairs begins with its space.
    space = " " if isinstance(tokenizer, keras_hub.tokenizers.BytePairTokenizer) else ""
    return lambda text: np.asarray(tokenizer(space + text)).tolist()


def _from_preset(kind: Any, preset: str) -> Any:
    try:
        return kind.from_preset(preset)
    except Exception as error:  # keras-hub fails with errors of any kind
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UserError(
            f"preset {preset!r}: keras-hub cannot load it ({reason}). Give the name of a preset, "
            "or the folder of one that was saved by save_to_preset."
        ) from error


def described(backbone: Any) -> dict[str, Any]:
    """What builds a language model of the same shape again, JSON-ready."""
    return keras.saving.serialize_keras_object(backbone)


def from_description(description: Mapping[str, Any]) -> Any:
    """The untrained backbone that `described` is of."""
    need_keras_hub()
    return keras.saving.deserialize_keras_object(dict(description))


def known_texts(raw: Iterable[Any]) -> list[str]:
    """The texts of indices: none for padding and unknown, then the raw values."""
    return [""] * FIRST_KNOWN + [str(value) for value in raw]
