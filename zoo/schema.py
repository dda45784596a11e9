"""The features that an architecture is told about (roles, kinds, sizes), and the vocabularies of raw ids."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal, Required, TypeAlias, TypedDict, cast

import numpy as np

from zoo.errors import UserError, unknown_name

if TYPE_CHECKING:
    import keras

Role = Literal["user", "item", "history", "context", "label"]
Kind = Literal["id", "categorical", "numeric", "text"]

ROLES: tuple[Role, ...] = ("user", "item", "history", "context", "label")
KINDS: tuple[Kind, ...] = ("id", "categorical", "numeric", "text")

# The names of the features of a history. The last value counts most: padding goes in front, and the first values of a
# long history are dropped.
HISTORY_NAMES = ("history", "history_rating", "history_age")

SECONDS_A_DAY = 86_400.0

PADDING = 0
UNKNOWN = 1
FIRST_KNOWN = 2


# A raw id as a vocabulary keeps it.
RawId: TypeAlias = int | str


class FeatureJson(TypedDict, total=False):
    """A `Feature`, JSON-ready, without the fields that are at their default."""

    name: Required[str]
    role: Required[Role]
    kind: Required[Kind]
    size: int
    length: int | None
    separator: str | None
    mean: float
    std: float
    threshold: float | None


@dataclasses.dataclass(frozen=True)
class Feature:
    """One column of the data as a model sees it.

    Args:
        name: The name of the model input and of the endpoint input.
        role: `"user"`, `"item"`, `"history"`, `"context"` or `"label"`.
        kind: `"id"`, `"categorical"`, `"numeric"` or `"text"`.
        size: Ids and categories: rows of an embedding table, padding and unknown included.
            Texts: the width of the text vector. Numbers: 1.
        length: For lists (a history, a multi-valued category) the padded length, else `None`.
        separator: The text between the values of a multi-valued category in its raw form.
        mean: The number that is subtracted from a raw number.
        std: The number that the difference is divided by.
        threshold: Where labels are 0 and 1 by a threshold of the rating, that threshold. Liked items are above it.
    """

    name: str
    role: Role
    kind: Kind
    size: int = 1
    length: int | None = None
    separator: str | None = None
    mean: float = 0.0
    std: float = 1.0
    threshold: float | None = None

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise unknown_name(f"role of feature {self.name!r}", self.role, ROLES)
        if self.kind not in KINDS:
            raise unknown_name(f"kind of feature {self.name!r}", self.kind, KINDS)
        least = FIRST_KNOWN if self.is_indexed else 1
        if self.size < least:
            raise UserError(f"Feature {self.name!r} has size {self.size}. Expected at least {least}.")
        if self.length is not None and self.length < 1:
            raise UserError(f"Feature {self.name!r} has length {self.length}. Expected at least 1.")
        if self.std == 0:
            raise UserError(f"Feature {self.name!r} has std 0. Expected another number to divide by.")

    @property
    def is_indexed(self) -> bool:
        """Whether raw values are looked up in a vocabulary."""
        return self.kind in ("id", "categorical")

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example: `()`, `(length,)` for lists, `(size,)` for text vectors."""
        if self.kind == "text":
            return (self.size,)
        return () if self.length is None else (self.length,)

    @property
    def dtype(self) -> str:
        """`"int32"` for what is looked up in a vocabulary, else `"float32"`."""
        return "int32" if self.is_indexed else "float32"


class Schema:
    """The features of a dataset, in a fixed order.

    The user and item ids are the features named `"user"` and `"item"`; the items that a user has seen
    are `"history"` (most recent last, padded in front), with their ratings as `"history_rating"` and, where
    events have a time, how long ago they were as `"history_age"`.

    Args:
        features: The features. Names must be unique.

    Example:

    >>> schema = Schema.of_ids(num_users=943, num_items=1682)
    >>> schema["item"].size
    1684
    """

    def __init__(self, features: Iterable[Feature]) -> None:
        self.features = tuple(features)
        names = [feature.name for feature in self.features]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise UserError(f"Feature names must be unique. Received twice: {', '.join(twice)}.")
        self._inputs: dict[str, keras.KerasTensor] = {}

    @classmethod
    def of_ids(cls, num_users: int = 1000, num_items: int = 1000, history_length: int = 50) -> Schema:
        """The schema of plain interactions: users, items, histories and a label.

        Args:
            num_users: Known users, padding and unknown not counted.
            num_items: Known items, padding and unknown not counted.
            history_length: The longest history a query may carry.

        Returns:
            A `Schema` without further features.
        """
        if num_users < 1 or num_items < 1 or history_length < 1:
            raise UserError(
                "Expected num_users, num_items and history_length of at least 1. "
                f"Received: {num_users}, {num_items}, {history_length}."
            )
        return cls(
            [
                Feature("user", "user", "id", num_users + FIRST_KNOWN),
                Feature("item", "item", "id", num_items + FIRST_KNOWN),
                *history_features(num_items + FIRST_KNOWN, history_length, largest_rating=1.0),
                Feature("label", "label", "numeric"),
            ]
        )

    def __getitem__(self, name: str) -> Feature:
        try:
            return self._by_name[name]
        except KeyError:
            raise unknown_name("feature", name, self._by_name) from None

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def __iter__(self) -> Iterator[Feature]:
        return iter(self.features)

    def __len__(self) -> int:
        return len(self.features)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schema) and self.features == other.features

    def __hash__(self) -> int:
        return hash(self.features)

    def __repr__(self) -> str:
        return f"Schema({', '.join(f'{f.name}: {f.role} {f.kind}' for f in self.features)})"

    @cached_property
    def _by_name(self) -> dict[str, Feature]:
        return {feature.name: feature for feature in self.features}

    def size(self, name: str) -> int:
        """The rows an embedding table needs for the named feature."""
        return self[name].size

    def role(self, *roles: Role) -> list[Feature]:
        """The features of the given roles, in order, ids included."""
        return [feature for feature in self.features if feature.role in roles]

    def side_features(self, *roles: Role) -> list[Feature]:
        """The features of the given roles that are not ids."""
        return [feature for feature in self.role(*roles) if feature.kind != "id"]

    def input(self, name: str) -> keras.KerasTensor:
        """The symbolic Keras input of the named feature, `[batch, *feature.shape]`; the same one each time."""
        import keras

        if name not in self._inputs:
            feature = self[name]
            self._inputs[name] = keras.Input(shape=feature.shape, dtype=feature.dtype, name=name)
        return self._inputs[name]

    def to_json(self) -> list[FeatureJson]:
        """The schema as JSON-ready values; fields at their default are left out."""
        defaults = {field.name: field.default for field in dataclasses.fields(Feature)}
        described = [
            {key: value for key, value in dataclasses.asdict(feature).items() if value != defaults[key]}
            for feature in self.features
        ]
        return cast(list[FeatureJson], described)

    @classmethod
    def from_json(cls, values: Sequence[FeatureJson]) -> Schema:
        """The schema that `to_json` described."""
        return cls(Feature(**value) for value in values)


def history_features(
    num_rows: int, length: int, largest_rating: float, threshold: float | None = None, is_ordered: bool = False
) -> list[Feature]:
    """The features of past events: the items, their ratings, and how long ago the events were.

    Ratings are scaled by the largest one. They are centred only by the threshold above which an item is liked, so that
    a rating above 0 is a liking in either case.

    Args:
        num_rows: Rows of the item table, padding and unknown included.
        length: The longest history a query may carry.
        largest_rating: The largest absolute rating of the data.
        threshold: The rating above which an item is liked, if that makes the labels.
        is_ordered: Whether events have a time.

    Returns:
        The features `history`, `history_rating` and, where events have a time, `history_age`. The age is in seconds,
        and scaled to days.
    """
    features = [
        Feature("history", "history", "id", num_rows, length=length),
        Feature(
            "history_rating",
            "history",
            "numeric",
            length=length,
            mean=threshold or 0.0,
            std=largest_rating,
            threshold=threshold,
        ),
    ]
    if is_ordered:
        features.append(Feature("history_age", "history", "numeric", length=length, std=SECONDS_A_DAY))
    return features


class Vocabulary:
    """Raw values and their indices: 0 is padding, 1 is unknown, known values start at 2.

    Args:
        values: The known raw values, strings or integers, without repeats.

    Example:

    >>> vocabulary = Vocabulary(["a", "b"])
    >>> vocabulary.index(["b", "never seen"])
    array([3, 1], dtype=int32)
    """

    def __init__(self, values: Iterable[object]) -> None:
        known = list(values)
        integers = [int(value) for value in known if isinstance(value, int | np.integer)]
        self.is_integer = bool(known) and len(integers) == len(known)
        # Texts are objects, because NumPy strings would lose NULs at their end.
        self.values: np.ndarray = _int64(integers) if self.is_integer else np.array([str(v) for v in known], object)
        # Integer ids have no natural "nothing". One below the smallest is taken, or -1 where that is free.
        smallest = int(self.values.min()) if self.is_integer else 0
        self.padding_value: RawId = min(-1, smallest - 1) if self.is_integer else ""
        if not self.is_integer and "" in self._index_of:
            raise UserError("An empty string cannot be an id, because it stands for padding.")
        if len(self._index_of) != len(self.values):
            raise UserError("A vocabulary cannot hold the same value twice.")

    @cached_property
    def _index_of(self) -> dict[object, int]:
        return {value: index for index, value in enumerate(self.values.tolist(), start=FIRST_KNOWN)}

    def __len__(self) -> int:
        """The number of known values, padding and unknown not counted."""
        return len(self.values)

    def __contains__(self, value: object) -> bool:
        return self._cast(value) in self._index_of

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Vocabulary)
            and self.is_integer == other.is_integer
            and np.array_equal(self.values, other.values)
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def size(self) -> int:
        """The rows an embedding table needs: the known values, padding and unknown."""
        return len(self.values) + FIRST_KNOWN

    @cached_property
    def raw(self) -> np.ndarray:
        """The raw value of every index; padding and unknown have the padding value."""
        return np.concatenate([np.array([self.padding_value] * FIRST_KNOWN, dtype=self.values.dtype), self.values])

    def _cast(self, value: object) -> object:
        if not self.is_integer:
            return value if type(value) is str else str(value)
        try:
            number = int(value)  # type: ignore[call-overload]
        except (TypeError, ValueError, OverflowError):
            return None
        return number if str(number) == str(value).strip() or number == value else None

    def index(self, values: Iterable[object]) -> np.ndarray:
        """The index of each raw value, `UNKNOWN` for values that are not known.

        Args:
            values: Raw values. For integer vocabularies `7` and `"7"` are the same id.

        Returns:
            An int32 array of the same length.
        """
        if self.is_integer and isinstance(values, np.ndarray) and values.dtype.kind == "i":
            return self._index_of_integers(values)
        known, padding = self._index_of, self.padding_value
        raw = map(self._cast, values)
        return np.fromiter((PADDING if one == padding else known.get(one, UNKNOWN) for one in raw), dtype=np.int32)

    def _index_of_integers(self, values: np.ndarray) -> np.ndarray:
        order, ascending = self._ascending
        places = np.minimum(np.searchsorted(ascending, values), len(ascending) - 1)
        indices = np.where(ascending[places] == values, order[places] + FIRST_KNOWN, UNKNOWN)
        return np.where(values == self.padding_value, PADDING, indices).astype(np.int32)

    @cached_property
    def _ascending(self) -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(self.values)
        return order, self.values[order]

    def lookup(self, indices: np.ndarray) -> np.ndarray:
        """The raw value of each index; padding and unknown give `padding_value`."""
        return self.raw[np.asarray(indices)]

    def to_json(self) -> list[RawId]:
        """The known values in index order, JSON-ready."""
        return self.values.tolist()

    def dumps(self) -> str:
        """The vocabulary as a JSON text."""
        return json.dumps(self.to_json(), ensure_ascii=False)


def _int64(values: Sequence[int]) -> np.ndarray:
    """Integers as int64. The smallest int64 is refused, because a padding value may need to be below all others."""
    if not -(2**63) < min(values) <= max(values) < 2**63:
        raise UserError("Integer ids must lie within 64 bits. Give larger ones as strings.")
    return np.array(values, np.int64)
