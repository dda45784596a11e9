"""Named protocols: what is asked of a model, on which interactions, and what the answer is compared with."""

from zoo.evaluation.evaluation import Evaluation
from zoo.evaluation.protocols.base import (
    PROTOCOLS,
    Protocol,
    RankingProtocol,
    RowProtocol,
    default_protocol,
    evaluate,
    is_headline,
    metric_names,
)

__all__ = [
    "PROTOCOLS",
    "Evaluation",
    "Protocol",
    "RankingProtocol",
    "RowProtocol",
    "default_protocol",
    "evaluate",
    "is_headline",
    "metric_names",
]
