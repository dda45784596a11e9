"""What architectures share."""

from zoo.layers.basic import Embedding, MultiHot, mlp
from zoo.layers.catalogue import CatalogueRows
from zoo.layers.features import FeatureNodes, HistoryPooling
from zoo.layers.fold_in import LeastSquaresFoldIn, item_to_item, liked_events, liked_items
from zoo.layers.interactions import InteractionRows
from zoo.layers.neighbors import UserNeighbors
from zoo.layers.propagation import CoPropagation

__all__ = [
    "CatalogueRows",
    "CoPropagation",
    "Embedding",
    "FeatureNodes",
    "HistoryPooling",
    "InteractionRows",
    "LeastSquaresFoldIn",
    "MultiHot",
    "UserNeighbors",
    "item_to_item",
    "liked_events",
    "liked_items",
    "mlp",
]
