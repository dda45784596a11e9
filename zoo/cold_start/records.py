"""Feature records of users: what a caller says of somebody whom training never saw."""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Mapping, Sequence
from typing import TypeGuard

import numpy as np
import pandas as pd

from zoo.cold_start.encoding import encode_column, feature_names, indices_of
from zoo.data.dataset import Dataset
from zoo.data.table import Table
from zoo.data.values import LARGEST
from zoo.errors import UserError, unknown_name
from zoo.families import Recommender
from zoo.schema import HISTORY_NAMES, PADDING, Feature

# Training interactions whose ages say what is usual.
USUAL_OF = 1000


@dataclasses.dataclass(frozen=True)
class NewUser:
    """A feature record of a user, encoded.

    Args:
        place: Which record it was, for errors: `"record 2"`, counted from 1.
        name: The id in the record, else its place.
        inputs: By name, the encoded value of every query input that the record says something of, `[*feature.shape]`.
        seen: `[n]` int32 item indices of the whole history, however long, oldest first.
    """

    place: str
    name: object
    inputs: dict[str, np.ndarray]
    seen: np.ndarray

    @property
    def features(self) -> list[str]:
        """The user features that the record says something of."""
        return [name for name in self.inputs if name not in HISTORY_NAMES]

    def is_read_by(self, model: Recommender) -> bool:
        """Whether a model reads anything of the record."""
        return not self.inputs.keys().isdisjoint(model.query_names)


def read_records(records: Sequence[Mapping[str, object]], dataset: Dataset) -> list[NewUser]:
    """Checks and encodes feature records of users; `Run.recommend` says what a record may hold.

    Args:
        records: By record, raw values by name.
        dataset: The data of the run.

    Returns:
        One `NewUser` a record.

    Raises:
        UserError: If a key is unknown or a value is of another kind than its feature, with the number of the record.

    Example:

    >>> from zoo.data import load_dataset
    >>> data = load_dataset("synthetic", num_users=50, num_items=40, num_interactions=500)
    >>> [user] = read_records([{"age": 34, "history": ["i0003", "i0001"]}], data)
    >>> user.features, data.vocabularies["item"].lookup(user.seen).tolist()
    (['age'], ['i0003', 'i0001'])
    """
    features = dataset.schema.side_features("user")
    users, values = [], []
    for number, record in enumerate(records, start=1):
        place = f"record {number}"
        given = _by_feature(record, dataset, place)
        seen, inputs = _history(given, dataset, place)
        users.append(NewUser(place, _name(given, dataset, place), inputs, seen))
        values.append({f.name: _cell(given[f.name], f, place) for f in features if f.name in given})
    for feature in features:
        told = {at: row[feature.name] for at, row in enumerate(values) if feature.name in row}
        if told:
            _add_feature(users, feature, told, dataset)
    return users


def _add_feature(users: list[NewUser], feature: Feature, told: Mapping[int, object], dataset: Dataset) -> None:
    """Encodes what is told of a feature, by the number of the user, as the inputs of these users."""
    column = pd.Series(list(told.values()), dtype=object)
    table = Table(column.to_frame(feature.name), "the records")
    for at, value in zip(told, encode_column(table, feature.name, feature, dataset), strict=True):
        users[at].inputs[feature.name] = value


def check_usable(user: NewUser, model: Recommender, dataset: Dataset) -> None:
    """Raises a `UserError` if a record says nothing that a model reads or that users could be alike in."""
    if user.is_read_by(model) or user.features:
        return
    useful = [feature.name for feature in dataset.schema.side_features("user")]
    reads_history = not set(HISTORY_NAMES).isdisjoint(model.query_names)
    if not useful and not reads_history:
        raise UserError(
            f"{user.place}: {model.architecture} knows a user only by the id, and {dataset.name} has no user features "
            "in which others could be alike. Train on data with a table of users, or an architecture that reads "
            "histories."
        )
    useful += ["history"] * reads_history
    raise UserError(
        f"{user.place}: says nothing of the user that {model.architecture} could use. "
        f"Give at least one of: {', '.join(useful)}."
    )


def _by_feature(record: Mapping[str, object], dataset: Dataset, place: str) -> dict[str, object]:
    """The values of a record by the names of features, without those that say nothing."""
    known = _known_keys(dataset)
    given: dict[str, object] = {}
    for key, value in record.items():
        name = next((name for name in feature_names(str(key), "user") if name in known), None)
        if name is None:
            raise _unknown_key(key, known, dataset, place)
        if name in given:
            raise UserError(f"{place}: {key!r} stands for {name!r}, which is there already. Leave one out.")
        given[name] = value
    return {name: value for name, value in given.items() if not _says_nothing(value)}


def _known_keys(dataset: Dataset) -> list[str]:
    """The keys that a record may have."""
    features = [feature.name for feature in dataset.schema.side_features("user")]
    return ["user", *(name for name in HISTORY_NAMES if name in dataset.schema), *features]


def _unknown_key(key: object, known: list[str], dataset: Dataset, place: str) -> UserError:
    if dataset.schema.side_features("user"):
        return unknown_name(f"key of {place}", str(key), known)
    return UserError(
        f"{place}: {key!r} is unknown, because {dataset.name} has no user features. "
        f"A record may have: {', '.join(known)}."
    )


def _says_nothing(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value) or (_is_list(value) and not len(value))


def _name(given: Mapping[str, object], dataset: Dataset, place: str) -> object:
    user = given.get("user", place)
    if not _is_id(user):
        raise UserError(f"{place}: 'user' is an id, a text or an integer. Received: {user!r}.")
    if "user" in given and user in dataset.vocabularies["user"]:
        raise UserError(
            f"{place}: the user {user!r} is known from training, and a record is of a new user. Give only the id, "
            "or leave it out of the record."
        )
    return user


def _cell(value: object, feature: Feature, place: str) -> object:
    """A value of a record as a cell of a table, where it is of the feature's kind."""
    is_right, wanted = _fits(value, feature)
    if _is_multi_valued(feature):
        value = (feature.separator or "").join(map(str, _as_list(value)))
    if not is_right:
        raise UserError(f"{place}: {feature.name!r} is {wanted}. Received: {value!r}.")
    # As texts, because 1 and True in one column would else be taken for the same.
    return value if feature.kind == "numeric" else str(value)


def _fits(value: object, feature: Feature) -> tuple[bool, str]:
    """Whether a value is of a feature's kind, and what is."""
    if feature.kind == "numeric":
        return _is_number(value, feature), "a finite number"
    if feature.kind == "text":
        return isinstance(value, str), "a text"
    if _is_multi_valued(feature):
        return all(map(_is_category, _as_list(value))), "a list of categories, each a text or a number"
    return _is_category(value), "one category, a text or a number"


def _is_multi_valued(feature: Feature) -> bool:
    return feature.kind == "categorical" and feature.length is not None


def _as_list(value: object) -> Sequence[object]:
    return value if _is_list(value) else [value]


def _history(given: Mapping[str, object], dataset: Dataset, place: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """All items seen, and the encoded history features of the last of them."""
    if "history" not in given:
        _check_no_history(given, place)
        return np.empty(0, np.int32), {}
    items = given["history"]
    if not _is_list(items) or not all(map(_is_id, items)):
        raise UserError(f"{place}: 'history' is a list of item ids, most recent last. Received: {items!r}.")
    seen = indices_of(dataset.vocabularies["item"], items).astype(np.int32)
    inputs = {"history": _padded(seen, dataset.schema["history"])}
    for feature in (dataset.schema[name] for name in HISTORY_NAMES[1:] if name in dataset.schema):
        if feature.name in given:
            raw = _event_values(given[feature.name], feature, len(seen), place)
        else:
            raw = _usual_values(feature, dataset, len(seen))
        inputs[feature.name] = _padded((raw - feature.mean) / feature.std, feature)
    return seen, inputs


def _check_no_history(given: Mapping[str, object], place: str) -> None:
    name = next((name for name in HISTORY_NAMES if name in given), None)
    if name is not None:
        raise UserError(f"{place}: {name!r} goes with the items seen. Give these as 'history'.")


def _usual_values(feature: Feature, dataset: Dataset, number: int) -> np.ndarray:
    """Events of which no more is said were liked as well as can be, and as long ago as is usual in training."""
    return np.full(number, feature.std) if feature.name == "history_rating" else _usual_ages(dataset, number)


def _usual_ages(dataset: Dataset, number: int) -> np.ndarray:
    """The seconds since each of so many last events, the most recent last: medians over some training interactions."""
    rows = dataset.part("train")
    if rows.empty:
        return np.zeros(number)
    query = dataset.queries_before(["history", "history_age"], rows.iloc[:: max(1, len(rows) // USUAL_OF)])
    ages = np.where(query["history"] != PADDING, query["history_age"] * dataset.schema["history_age"].std, np.nan)
    known = ages[:, ~np.isnan(ages).all(axis=0)]
    if not known.shape[1]:
        return np.zeros(number)
    # Events older than all of these are as old as the oldest.
    usual = np.maximum.accumulate(np.nanmedian(known, axis=0)[::-1])[::-1]
    return np.pad(usual, (number, 0), mode="edge")[len(usual) :]


def _event_values(values: object, feature: Feature, number: int, place: str) -> np.ndarray:
    is_age = feature.name == "history_age"
    least, wanted = (0, "the seconds since each event") if is_age else (-math.inf, "the rating of each item")
    if not _is_list(values) or not all(_is_number(value, feature) and value >= least for value in values):
        raise UserError(f"{place}: {feature.name!r} is a list of finite numbers, {wanted}. Received: {values!r}.")
    if len(values) != number:
        raise UserError(f"{place}: {feature.name!r} has {len(values)} values for the {number} items of 'history'.")
    return np.array(values, np.float64)


def _padded(values: np.ndarray, feature: Feature) -> np.ndarray:
    """The last values, padded in front."""
    padded = np.zeros(feature.shape, feature.dtype)
    last = values[-len(padded) :]
    padded[len(padded) - len(last) :] = last
    return padded


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, list | tuple | np.ndarray)


def _is_id(value: object) -> TypeGuard[str | int]:
    return isinstance(value, str | numbers.Integral) and not isinstance(value, bool)


def _is_category(value: object) -> bool:
    if isinstance(value, str | np.bool_ | numbers.Integral):
        return True
    return isinstance(value, numbers.Real) and math.isfinite(value)


def _is_number(value: object, feature: Feature) -> TypeGuard[float]:
    """Whether a value is a number, and stays one once it is standardised."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        return False
    try:
        return abs((float(value) - feature.mean) / feature.std) <= LARGEST
    except OverflowError:
        return False
