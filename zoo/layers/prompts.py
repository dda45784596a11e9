"""Prompts put together inside the graph, of token tables.

The tables have the tokens of every item's title, of every rating and of every value of a user's features. They are
filled once, before training, and are weights like any others. So neither a saved model nor an exported one needs texts
or a tokenizer.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from zoo.schema import FIRST_KNOWN, PADDING, Feature, Schema

if TYPE_CHECKING:
    from zoo.types import Tensor

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

# From a text to its tokens.
Encode: TypeAlias = Callable[[str], Sequence[int]]
# From all texts, in groups, to what turns a text into tokens.
MakeTokenizer: TypeAlias = Callable[[list[Sequence[str]]], Encode]


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
        groups: Texts. If there are more words than fit, those of earlier groups stay, and in a group the more
            frequent ones.
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


@keras.saving.register_keras_serializable("recozoo")
class TokenTable(keras.layers.Layer):
    """The tokens of some texts, not trained; called on their indices.

    Args:
        rows: How many texts.
        tokens: The most tokens of one; what is beyond them is cut off.
        front: Whether shorter ones are filled up in front, so that the last token is always there.
    """

    def __init__(self, rows: int, tokens: int, front: bool = False, **kwargs: object) -> None:
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

    def call(self, indices: Tensor) -> Tensor:
        """`[batch, ...]` indices to `[batch, ..., tokens]`, filled up with `NO_TOKEN`."""
        return ops.take(self.rows, indices, axis=0)


@keras.saving.register_keras_serializable("recozoo")
class NearestLevel(keras.layers.Layer):
    """The index of the level that a number is nearest to; levels are not trained.

    Example:

    >>> level = NearestLevel()
    >>> level.set(np.array([1.0, 3.0, 5.0]))
    >>> level(np.array([[4.5, 0.0]], "float32")).numpy()
    array([[2, 0]], dtype=int32)
    """

    def __init__(self, **kwargs: object) -> None:
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
        # A number half-way, as whole ones often are, belongs to the lower level however it was rounded before.
        bounds = levels[:-1] + 0.501 * (levels[1:] - levels[:-1])
        self.bounds.assign(np.concatenate([bounds, np.full(LEVELS - 1 - len(bounds), FAR)]))

    def call(self, numbers: Tensor) -> Tensor:
        """`[batch, ...]` numbers to `[batch, ...]` indices, int32."""
        is_above = ops.cast(numbers, "float32")[..., None] > self.bounds
        return ops.sum(ops.cast(is_above, "int32"), axis=-1)


def levels_of(numbers: np.ndarray) -> np.ndarray:
    """The distinct values of some numbers, or `LEVELS` quantiles of them if they are more; none if all are one."""
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

    ```python
    tables, item = PromptTables(schema, title_tokens=5), schema.input("item")
    title = tables.titles(item)
    question = ops.concatenate([tables.phrase("Will the user like", title), title], axis=1)
    tables.set(texts, lambda groups: WordTokenizer(groups, 4096))
    ```
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

    def phrase(self, words: str, like: keras.KerasTensor) -> keras.KerasTensor:
        """The tokens of a phrase, `[batch, n]`, for a tensor `like` of `batch` rows."""
        table = TokenTable(1, len(split_words(words)) * self._phrase_tokens, front=True)
        self._phrases.append((table, lambda _: [words]))
        return table(ops.zeros_like(like[:, 0], dtype="int32"))

    def events(self, items: keras.KerasTensor, ratings: keras.KerasTensor) -> keras.KerasTensor:
        """Titles with ratings: `[batch, k]` items and ratings, as `history_rating` has them, to `[batch, n]`."""
        feature = self.schema["history_rating"]
        stars = self._ratings(self._rating(ratings * feature.std + feature.mean))
        stars = ops.where(ops.equal(items, PADDING)[..., None], NO_TOKEN, stars)
        return _in_a_row(ops.concatenate([self.titles(items), stars], axis=-1))

    def profile(self) -> list[keras.KerasTensor]:
        """The tokens of each feature of the user, `[batch, n]`; text vectors have no words any more."""
        return [self._feature(f) for f in self.schema.side_features("user") if f.kind != "text"]

    def _feature(self, feature: Feature) -> keras.KerasTensor:
        value, name = self.schema.input(feature.name), feature.name.replace("_", " ")
        if feature.kind == "numeric":
            level, table = NearestLevel(), TokenTable(LEVELS, self._profile_tokens)
            self._numbers[feature.name] = level
            self._profile.append((table, lambda texts: _numbers(texts, feature.name, name)))
            return table(level(value * feature.std + feature.mean))
        table = TokenTable(feature.size, self._profile_tokens)
        self._profile.append((table, lambda texts: [text and f"{name} {text}" for text in texts.values[feature.name]]))
        return table(value) if feature.length is None else _in_a_row(table(value[:, :MOST_VALUES]))

    def set(self, texts: Texts, make_tokenizer: MakeTokenizer) -> list[int]:
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


def _in_a_row(tokens: Tensor) -> Tensor:
    """`[batch, k, n]` tokens as `[batch, k * n]`."""
    return ops.reshape(tokens, (-1, tokens.shape[1] * tokens.shape[2]))


@keras.saving.register_keras_serializable("recozoo")
class NearestEvents(keras.layers.Layer):
    """The events of a history whose items are nearest to the target, by cosine, in the order of the history.

    The later one wins where two events are equally near. Vectors are rounded to whole numbers, whose products are exact
    in any order of summation. So two runtimes never choose differently.

    Retrieval of behaviours as in ReLLa (Lin et al., 2023, arXiv:2308.11131).

    Args:
        k: How many events.
        texts: How many vectors of length 1, or of 0, are joined in the vector of an item.
    """

    def __init__(self, k: int, texts: int = 1, **kwargs: object) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.k, self.texts = k, texts

    def call(self, history: Tensor, ratings: Tensor, vectors: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
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
        # An item may be in the history twice; the place tells these events apart.
        keys = near * length + np.arange(length, dtype=np.float32)
        keys = tf.where(tf.equal(history, PADDING), NOT_THERE, keys)
        places = tf.sort(tf.math.top_k(keys, self.k).indices, axis=1)
        return tf.gather(history, places, batch_dims=1), tf.gather(ratings, places, batch_dims=1)


def known_texts(raw: Iterable[object]) -> list[str]:
    """The texts of indices: none for padding and unknown, then the raw values."""
    return [""] * FIRST_KNOWN + [str(value) for value in raw]
