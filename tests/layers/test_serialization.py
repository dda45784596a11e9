"""Layers as Keras saves them: a config and, apart from it, weights."""

from __future__ import annotations

import keras
import pytest

from zoo import layers
from zoo.layers.interaction_graph import Constant, GraphAttention, TimeEmbedding
from zoo.layers.prompts import NearestEvents, NearestLevel, TokenTable
from zoo.schema import Feature

LAYERS = [
    layers.AttentionPooling(),
    layers.CatalogueRows(5, Feature("genres", "item", "categorical", 4, length=2)),
    layers.CoPropagation(2),
    layers.DenseResidual(4, 2),
    layers.Dropout(0.25),
    layers.Embedding(5, 3, stddev=0.1),
    layers.HistoryPooling(),
    layers.GatedBlock(2, 8, 0.1),
    layers.IdEmbedding(5, 3, dropout=0.5),
    layers.InteractionRows(5, 4),
    layers.LinearRecurrence(0.5, 0.9),
    layers.MultiHot(5),
    layers.NormalSample(),
    layers.NumericEmbedding(3),
    layers.PointwiseAttentionBlock(2, 5, 0.1),
    layers.PositionEmbedding(5, scale=2.0, stddev=0.1),
    layers.LikedGraph(5, 4),
    layers.MultiHot(5),
    layers.Noise(0.1),
    layers.NumericEmbedding(3),
    layers.RatingGraph(5, 4, 3),
    layers.RatingScale(),
    layers.SparseRows(5, 4, pairs=3, is_weighted=False),
    layers.SelfAttention(2, 0.1, is_causal=False),
    layers.TimeGapBias(),
    layers.TransformerBlock(2, 8, 0.1, "gelu", is_causal=False, is_normed_first=False),
    layers.UserNeighbors(5, 4, 2),
    layers.Weighted(),
    Constant(3),
    GraphAttention(2, 3),
    NearestEvents(2, 3),
    NearestLevel(),
    TimeEmbedding(4),
    TokenTable(5, 3, front=True),
]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_a_layer_is_made_again_from_its_config(layer):
    described = keras.saving.serialize_keras_object(layer)
    assert described["registered_name"] == f"recozoo>{type(layer).__name__}"
    again = keras.saving.deserialize_keras_object(described)
    assert type(again) is type(layer)
    assert again.get_config() == layer.get_config()
