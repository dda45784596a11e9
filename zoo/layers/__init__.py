"""What architectures share."""

from zoo.layers.attention import GatedBlock, PositionEmbedding, SelfAttention, TransformerBlock
from zoo.layers.basic import Dropout, Embedding, MultiHot, Weighted, joined_mlp, mlp, unit_length
from zoo.layers.catalogue import CatalogueRows
from zoo.layers.data import DataLayer, data_layers
from zoo.layers.factorization import linear_query, linear_terms, pairwise_products, query_and_item
from zoo.layers.features import (
    AttentionPooling,
    FeatureNodes,
    HistoryPooling,
    HistorySummary,
    IdEmbedding,
    NumericEmbedding,
    feature_values,
)
from zoo.layers.fold_in import (
    LeastSquaresFoldIn,
    event_labels,
    item_to_item,
    largest_label,
    liked_events,
    liked_items,
    liked_once,
)
from zoo.layers.interaction_graph import InteractionGraph, item_nodes
from zoo.layers.interactions import InteractionRows
from zoo.layers.neighbors import UserNeighbors
from zoo.layers.pointwise_attention import PointwiseAttentionBlock, TimeGapBias
from zoo.layers.propagation import CoPropagation
from zoo.layers.rating_scale import RatingScale
from zoo.layers.recurrence import LinearRecurrence
from zoo.layers.sparse_rows import SparseRows

__all__ = [
    "AttentionPooling",
    "CatalogueRows",
    "CoPropagation",
    "DataLayer",
    "Dropout",
    "Embedding",
    "FeatureNodes",
    "GatedBlock",
    "HistoryPooling",
    "HistorySummary",
    "IdEmbedding",
    "InteractionGraph",
    "InteractionRows",
    "LeastSquaresFoldIn",
    "LinearRecurrence",
    "MultiHot",
    "NumericEmbedding",
    "PointwiseAttentionBlock",
    "PositionEmbedding",
    "RatingScale",
    "SelfAttention",
    "SparseRows",
    "TimeGapBias",
    "TransformerBlock",
    "UserNeighbors",
    "Weighted",
    "data_layers",
    "event_labels",
    "feature_values",
    "item_nodes",
    "item_to_item",
    "joined_mlp",
    "largest_label",
    "liked_events",
    "liked_items",
    "liked_once",
    "linear_query",
    "linear_terms",
    "mlp",
    "pairwise_products",
    "query_and_item",
    "unit_length",
]
