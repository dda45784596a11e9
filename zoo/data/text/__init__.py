"""Text encoders: they turn texts into vectors, and do it again from their stored state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from zoo.data.text.encoder import TextEncoder
from zoo.registries import Registry

TEXT_ENCODERS: Registry[type[TextEncoder]] = Registry("text encoder", "zoo.data.text", "zoo.text_encoders")


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
    return TEXT_ENCODERS[kind](dim, model=model)


def encode_texts(fitted: Mapping[str, object], texts: Iterable[str]) -> np.ndarray:
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
    return TEXT_ENCODERS[str(fitted["encoder"])](fitted=fitted).encode(texts)
