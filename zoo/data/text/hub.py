"""Text vectors of keras-hub backbones."""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from zoo.data.text import TEXT_ENCODERS
from zoo.data.text.pretrained import Encode, PretrainedEncoder
from zoo.errors import UserError, unknown_name

if TYPE_CHECKING:
    import keras
    import keras_hub

# Texts that go through the backbone at a time, and the most tokens of one; the rest of it is not read.
BATCH_SIZE = 32
MAX_TOKENS = 256

# The inputs that a backbone may have are those whose names end so.
_KINDS = ("token_ids", "padding_mask", "segment_ids")

Backbone: TypeAlias = "keras_hub.models.Backbone"
Tokenizer: TypeAlias = "keras_hub.models.Tokenizer"


@TEXT_ENCODERS.register
class KerasHubEncoder(PretrainedEncoder):
    """The mean of a keras-hub backbone's last hidden states over the tokens of a text, of length one.

    Every text backbone will do. One with an encoder and a decoder gives the encoder's states. Tokens that start, end or
    pad are not part of the mean. A text is cut to 256 tokens, or what the backbone can take.

    Example:

    ```python
    encoder = text_encoder("keras-hub:bert_tiny_en_uncased")
    encoder.fit(["a red kettle", "a blue kettle"])["width"]  # 128
    ```
    """

    name = "keras-hub"
    package = "keras_hub"
    takes = "the name of a keras-hub preset, which is downloaded, or the folder of one"

    @contextlib.contextmanager
    def _open(self) -> Iterator[Encode]:
        with _quiet():
            backbone, tokenizer = self._load()
            yield functools.partial(_mean_states, backbone, tokenizer)

    def _load(self) -> tuple[Backbone, Tokenizer]:
        try:
            backbone, tokenizer = _from_preset(self.model)
        except UserError:
            raise
        except ImportError as error:
            raise self._not_installed(error.name or str(error)) from error
        except Exception as error:  # what presets and hubs raise is not known beforehand
            raise self._not_loaded(str(error)) from error
        others = [name for name in backbone.input if not name.endswith(_KINDS)]
        if others:
            raise self._not_loaded(f"it reads {', '.join(others)} beside text")
        return backbone, tokenizer


def _from_preset(model: str) -> tuple[Backbone, Tokenizer]:
    import keras_hub

    presets = keras_hub.models.Backbone.presets
    if not Path(model).is_dir() and "/" not in model and model not in presets:
        raise unknown_name("keras-hub preset", model, presets)
    tokenizer = keras_hub.models.Tokenizer.from_preset(model)
    return keras_hub.models.Backbone.from_preset(model), tokenizer


def _token(tokenizer: Tokenizer, name: str) -> list[int]:
    """A special token of a tokenizer, if it has one."""
    token = getattr(tokenizer, name, None)
    return [] if token is None else [token]


def _mean_states(backbone: Backbone, tokenizer: Tokenizer, texts: list[str]) -> np.ndarray:
    """The mean of the last hidden states over the tokens of each text, `[texts, width]`."""
    start, end = _token(tokenizer, "start_token_id"), _token(tokenizer, "end_token_id")
    longest = min(MAX_TOKENS, getattr(backbone, "max_sequence_length", None) or MAX_TOKENS) - len(start + end)
    rows = [np.asarray(row).tolist()[:longest] for row in tokenizer(texts)]
    # Texts of about one length go together, to pad little.
    order = np.argsort([len(row) for row in rows], kind="stable")
    means: dict[int, np.ndarray] = {}
    for first in range(0, len(rows), BATCH_SIZE):
        batch = order[first : first + BATCH_SIZE]
        vectors = _mean_of_batch(backbone, [[*start, *rows[i], *end] for i in batch], len(start), len(end), tokenizer)
        means.update(zip(batch.tolist(), vectors, strict=True))
    return np.stack([means[i] for i in range(len(rows))])


def _mean_of_batch(
    backbone: Backbone, rows: list[list[int]], before: int, after: int, tokenizer: Tokenizer
) -> np.ndarray:
    """The mean of the last hidden states of rows of tokens, except some before and after."""
    from keras import ops

    sizes = np.array([len(row) for row in rows])[:, None]
    position = np.arange(max(1, sizes.max()))
    tokens = np.full((len(rows), len(position)), getattr(tokenizer, "pad_token_id", None) or 0, np.int32)
    is_token = position < sizes
    tokens[is_token] = np.concatenate(rows)
    by_kind = {"token_ids": tokens, "padding_mask": is_token, "segment_ids": np.zeros_like(tokens)}
    # An encoder and a decoder have inputs of their own, and get the same.
    inputs = {name: by_kind[kind] for name in backbone.input for kind in _KINDS if name.endswith(kind)}
    states = _last_states(backbone(inputs, training=False))
    is_text = ((position >= before) & (position < sizes - after)).astype(np.float32)[..., None]
    values = ops.convert_to_numpy(ops.cast(states, "float32"))
    return (values * is_text).sum(axis=1) / np.maximum(is_text.sum(axis=1), 1)


def _last_states(outputs: keras.KerasTensor | dict[str, keras.KerasTensor]) -> keras.KerasTensor:
    """The last hidden states among what a backbone gives."""
    if not isinstance(outputs, dict):
        return outputs
    return outputs["sequence_output" if "sequence_output" in outputs else "encoder_sequence_output"]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No warnings, logs or progress bars of libraries."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
