"""Drawn inputs of layers, and layers with drawn weights."""

from __future__ import annotations

import numpy as np


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def shaken(layer, *inputs):
    """What a layer with weights far from zero makes of inputs."""
    layer(*inputs)
    rng = np.random.default_rng(1)
    for weight in layer.weights:
        if weight.dtype == "float32":
            weight.assign(rng.normal(size=weight.shape))
    return layer(*inputs).numpy()
