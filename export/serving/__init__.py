"""Serves a bundle: what TF Serving reads, a typed client of it, and an index of tensorflow-recommenders."""

from export.serving.answers import Recommendations, Scores, Vectors
from export.serving.client import Client
from export.serving.errors import (
    ClientError,
    MissingInputError,
    RequestError,
    ServerError,
    TimedOutError,
    UnavailableError,
    WrongDtypeError,
    WrongShapeError,
)

__all__ = [
    "Client",
    "ClientError",
    "MissingInputError",
    "Recommendations",
    "RequestError",
    "Scores",
    "ServerError",
    "TimedOutError",
    "UnavailableError",
    "Vectors",
    "WrongDtypeError",
    "WrongShapeError",
]
