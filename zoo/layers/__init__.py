"""What architectures share."""

from zoo.layers.attention import GatedBlock, PositionEmbedding, SelfAttention, TransformerBlock
from zoo.layers.basic import Dropout, Embedding, MultiHot, Weighted, joined_mlp, mlp, unit_length
from zoo.layers.catalogue import CatalogueRows
from zoo.layers.data import DataLayer, data_layers
from zoo.layers.derived import DerivedLayer, derive
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
    each_liked_once,
    each_once,
    event_labels,
    item_to_item,
    largest_label,
    liked_events,
    liked_items,
)
from zoo.layers.graph import Edges, LikedGraph
from zoo.layers.graph_nodes import GraphNodes
from zoo.layers.interaction_graph import InteractionGraph, item_nodes
from zoo.layers.interactions import InteractionRows
from zoo.layers.latent import (
    DenseResidual,
    NormalSample,
    check_autoencoder,
    divergence_from_standard,
    log_mixture,
    log_normal,
)
from zoo.layers.neighbors import UserNeighbors
from zoo.layers.noise import Noise
from zoo.layers.pointwise_attention import PointwiseAttentionBlock, TimeGapBias
from zoo.layers.propagation import CoPropagation
from zoo.layers.rating_graph import ConvolvedItems, MeanOfLevels, RatingConvolution, RatingGraph
from zoo.layers.rating_scale import RatingScale
from zoo.layers.recurrence import LinearRecurrence
from zoo.layers.settled import SettledUsers
from zoo.layers.sparse_rows import SparseRows

__all__ = [
    "AttentionPooling",
    "CatalogueRows",
    "CoPropagation",
    "ConvolvedItems",
    "DataLayer",
    "DenseResidual",
    "DerivedLayer",
    "Dropout",
    "Edges",
    "Embedding",
    "FeatureNodes",
    "GatedBlock",
    "GraphNodes",
    "HistoryPooling",
    "HistorySummary",
    "IdEmbedding",
    "InteractionGraph",
    "InteractionRows",
    "LeastSquaresFoldIn",
    "LikedGraph",
    "LinearRecurrence",
    "MeanOfLevels",
    "MultiHot",
    "Noise",
    "NormalSample",
    "NumericEmbedding",
    "PointwiseAttentionBlock",
    "PositionEmbedding",
    "RatingConvolution",
    "RatingGraph",
    "RatingScale",
    "SelfAttention",
    "SettledUsers",
    "SparseRows",
    "TimeGapBias",
    "TransformerBlock",
    "UserNeighbors",
    "Weighted",
    "check_autoencoder",
    "data_layers",
    "derive",
    "divergence_from_standard",
    "each_liked_once",
    "each_once",
    "event_labels",
    "feature_values",
    "item_nodes",
    "item_to_item",
    "joined_mlp",
    "largest_label",
    "liked_events",
    "liked_items",
    "linear_query",
    "linear_terms",
    "log_mixture",
    "log_normal",
    "mlp",
    "pairwise_products",
    "query_and_item",
    "unit_length",
]
