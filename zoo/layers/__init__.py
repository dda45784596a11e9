"""What architectures share."""

from zoo.layers.basic import Embedding, MultiHot, mlp
from zoo.layers.catalogue import CatalogueRows
from zoo.layers.features import FeatureNodes, HistoryPooling
from zoo.layers.propagation import CoPropagation

__all__ = [
    "CatalogueRows",
    "CoPropagation",
    "Embedding",
    "FeatureNodes",
    "HistoryPooling",
    "MultiHot",
    "mlp",
]
