"""Users and items that training never saw, known by their features.

Raw values are encoded by what was fitted in training. If an architecture reads nothing of what is known of a new
user, the users most like them stand in: `Neighbors`.
"""

from __future__ import annotations

from zoo.cold_start.encoding import encode_column, feature_names
from zoo.cold_start.neighbors import NEIGHBORS, Neighbors, unit_vectors
from zoo.cold_start.records import NewUser, check_usable, read_records

__all__ = [
    "NEIGHBORS",
    "Neighbors",
    "NewUser",
    "check_usable",
    "encode_column",
    "feature_names",
    "read_records",
    "unit_vectors",
]
