"""Text features: what turns a text into a vector, and does it again from its stored state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from zoo.data.text.encoder import TextEncoder
from zoo.data.text.hub import KerasHubEncoder
from zoo.data.text.sentences import SentenceTransformersEncoder
from zoo.data.text.tfidf import TfidfEncoder
from zoo.errors import unknown_name

__all__ = [
    "TEXT_ENCODERS",
    "KerasHubEncoder",
    "SentenceTransformersEncoder",
    "TextEncoder",
    "TfidfEncoder",
    "encode_texts",
    "text_encoder",
]

TEXT_ENCODERS: dict[str, type[TextEncoder]] = {
    encoder.name: encoder for encoder in (TfidfEncoder, SentenceTransformersEncoder, KerasHubEncoder)
}


def text_encoder(name: str = "tfidf", *, dim: int | None = None) -> TextEncoder:
    """A text encoder by name, to be fitted.

    Args:
        name: `"tfidf"`, `"sentence-transformers:<name or path>"` or `"keras-hub:<preset or path>"`.
        dim: The largest width of a vector; wider ones are reduced to it. By default 64 for `tfidf`, and
            the width of the model for pretrained ones.

    Returns:
        A `TextEncoder`.

    Raises:
        UserError: If there is no such encoder, or its model is not named.
    """
    kind, _, model = name.partition(":")
    if kind not in TEXT_ENCODERS:
        raise unknown_name("text encoder", kind, TEXT_ENCODERS)
    return TEXT_ENCODERS[kind](dim, model=model)


def encode_texts(fitted: Mapping[str, Any], texts: Iterable[str]) -> np.ndarray:
    """Encodes texts with what an encoder stored, e.g. those of items that came later.

    Args:
        fitted: An entry of `Dataset.encoders`.
        texts: The texts.

    Returns:
        Float32 `[texts, width]`.

    Raises:
        UserError: If a pretrained model is needed and not there any more.

    Example:

    >>> fitted = text_encoder("tfidf").fit(["a red kettle", "a blue kettle", "a teapot"])
    >>> encode_texts(fitted, ["kettle", ""]).shape
    (2, 2)
    """
    if fitted["encoder"] not in TEXT_ENCODERS:
        raise unknown_name("text encoder", fitted["encoder"], TEXT_ENCODERS)
    return TEXT_ENCODERS[fitted["encoder"]](fitted=fitted).encode(texts)
