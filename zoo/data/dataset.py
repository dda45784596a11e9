"""A prepared dataset: interactions, users and items as indices, and all that was fitted to make them so."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from zoo.arrays import load_arrays, save_arrays
from zoo.data.column_use import ColumnUse
from zoo.data.sequences import Sequences
from zoo.data.table import Table, read_saved_table, save_table
from zoo.schema import FIRST_KNOWN, ROLES, Feature, Schema, Vocabulary

Part = Literal["train", "valid", "test", "query"]
PARTS: tuple[Part, ...] = ("train", "valid", "test", "query")

# The arguments of a dataset by name.
Fields: TypeAlias = dict[str, Any]

# Rows of items without interactions, in a folder of data to train on.
WAITING = "waiting.parquet"

# The file that makes a folder that of a dataset whose training interactions were streamed.
STREAM = "stream.npz"


@dataclasses.dataclass(repr=False)
class Dataset:
    """Interactions ready for training, with everything needed to answer in raw ids.

    Args:
        name: What the data is called in reports.
        schema: Its features.
        vocabularies: One for `"user"`, one for `"item"` and one for every categorical feature.
        interactions: One row an interaction: `user`, `item` (int32 indices), `label` (float32),
            `timestamp` (float64 seconds, NaN-free; absent when the data has no order), `rating` (the raw
            one, where labels say whether it is above a threshold),
            `part` (`"train"`, `"valid"`, `"test"`, or `"query"` for what is known of a held-out user
            but never trained on) and one column a context feature, encoded.
            Multi-valued and text contexts are columns of arrays. Rows of a user are in time order.
        users: Encoded user features by name, `[num_user_rows, *feature.shape]`, rows 0 and 1 neutral.
        items: Encoded item features by name, `[num_item_rows, *feature.shape]`, likewise.
        titles: `[num_item_rows]` what to show a person for an item; its raw id where there is no title.
        encoders: What was fitted for text features, by feature name (JSON-ready or arrays).
        notes: What was counted while preparing, in plain words, for reports.
        facts: Numbers known of the data, e.g. the best reachable metric of a synthetic set.
        candidates: By held-out part, what the held-out items of each user are ranked against by the
            protocol `sampled-ranking`: int32 item indices `[num_user_rows, n]`, padded with 0.
        drawn: By held-out part, how its candidates were drawn, where they were not listed in the data.
        columns: What the columns of the tables were taken for; not saved.
        waiting: Raw rows of items without interactions. A run has them as items, or leaves them out, so they are
            saved for training only.
    """

    name: str
    schema: Schema
    vocabularies: dict[str, Vocabulary]
    interactions: pd.DataFrame
    users: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    items: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    titles: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0, object))
    encoders: dict[str, dict[str, object]] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)
    facts: dict[str, float] = dataclasses.field(default_factory=dict)
    candidates: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    drawn: dict[str, str] = dataclasses.field(default_factory=dict)
    columns: list[ColumnUse] = dataclasses.field(default_factory=list)
    waiting: Table | None = None

    def __repr__(self) -> str:
        counts = self.interactions["part"].value_counts()
        by_part = ", ".join(f"{counts[part]} {part}" for part in PARTS if part in counts)
        return (
            f"{type(self).__name__}({self.name!r}: {self.num_users - FIRST_KNOWN} users, "
            f"{self.num_items - FIRST_KNOWN} items; interactions: {by_part}; features: {self._names_by_role()})"
        )

    def _names_by_role(self) -> str:
        names = {role: [feature.name for feature in self.schema.role(role)] for role in ROLES}
        return ", ".join(f"{role} ({', '.join(some)})" for role, some in names.items() if some)

    @property
    def is_ordered(self) -> bool:
        """Whether the interactions carry a timestamp, so that histories have an order."""
        return "timestamp" in self.interactions.columns

    @property
    def is_split_in_time(self) -> bool:
        """Whether every user's held-out interactions come after all that is known of the user."""
        if not self.is_ordered:
            return False
        held_out = self.interactions["part"].isin(["valid", "test"])
        # Rows of a user are in time order, so known rows must never follow a held-out one.
        held_out_before = held_out.astype(int).groupby(self.interactions["user"]).cumsum()
        return not bool(((held_out_before > 0) & ~held_out).any())

    @property
    def has_binary_labels(self) -> bool:
        """Whether the labels are zeros and ones, both present."""
        return set(np.unique(self.interactions["label"].to_numpy())) == {0.0, 1.0}

    @property
    def label_scale(self) -> tuple[float, float]:
        """Mean and standard deviation of the training labels; 1 instead of a deviation of 0."""
        labels = self.part("train")["label"].to_numpy()
        return float(labels.mean()), float(labels.std()) or 1.0

    @property
    def num_items(self) -> int:
        """Rows of the item table, padding and unknown included."""
        return self.schema.size("item")

    @property
    def num_users(self) -> int:
        """Rows of the user table, padding and unknown included."""
        return self.schema.size("user")

    @property
    def popularity(self) -> np.ndarray:
        """How often each item has a label above 0 in the training part, int64 `[num_item_rows]`."""
        train = self.part("train")
        return np.bincount(train["item"][train["label"] > 0], minlength=self.num_items)

    def with_max_history(self, max_history: int | None) -> Dataset:
        """The same data with queries whose histories are at most so long; `None` keeps all of every history."""
        longest = max(1, int(self.sequences(*PARTS).counts.max()))
        length = min(max_history or longest, longest)
        features = [
            dataclasses.replace(feature, length=length) if feature.role == "history" else feature
            for feature in self.schema
        ]
        return dataclasses.replace(self, schema=Schema(features))

    def part(self, *parts: Part) -> pd.DataFrame:
        """The interactions of the given parts."""
        return self.interactions[self.interactions["part"].isin(parts)]

    def seen(self, user: object) -> np.ndarray:
        """The items that a user has seen.

        Args:
            user: The raw id of the user.

        Returns:
            The raw ids of the items in all parts, `[num_seen]`, the oldest first; none for an unknown user.

        Example:

        >>> from zoo.data import load_dataset
        >>> data = load_dataset("synthetic", num_users=50, num_items=40, num_interactions=500)
        >>> len(data.seen("nobody"))
        0
        """
        (index,) = self.vocabularies["user"].index([user])
        return self.vocabularies["item"].lookup(self.sequences(*PARTS).of(index))

    def sequences(self, *parts: Part) -> Sequences:
        """The events of every user in the given parts, oldest first; put together once and then remembered."""
        cache: dict[tuple[Part, ...], Sequences] = self.__dict__.setdefault("_sequences", {})
        if parts not in cache:
            cache[parts] = self._make_sequences(parts)
        return cache[parts]

    def _make_sequences(self, parts: tuple[Part, ...]) -> Sequences:
        rows = self.part(*parts)
        users = rows["user"].to_numpy()
        order = np.argsort(users, kind="stable")
        offsets = np.zeros(self.num_users + 1, np.int64)
        np.cumsum(np.bincount(users, minlength=self.num_users), out=offsets[1:])
        return Sequences(
            offsets,
            rows["item"].to_numpy()[order].astype(np.int32),
            rows["label"].to_numpy()[order].astype(np.float32),
            self.event_ratings(rows)[order],
            rows["timestamp"].to_numpy()[order] if self.is_ordered else None,
        )

    def event_ratings(self, rows: pd.DataFrame) -> np.ndarray:
        """The ratings of interactions as the feature `history_rating` has them, float32."""
        if "history_rating" not in self.schema:
            return np.zeros(len(rows), np.float32)
        feature = self.schema["history_rating"]
        raw = rows["rating" if "rating" in rows else "label"].to_numpy(np.float64)
        return ((raw - feature.mean) / feature.std).astype(np.float32)

    @property
    def now(self) -> float:
        """The moment that is asked about where no other is known: that of the latest interaction, in seconds."""
        return float(self.interactions["timestamp"].max()) if self.is_ordered else 0.0

    def queries(
        self,
        names: list[str],
        users: np.ndarray,
        *before: Part,
        context: Part | None = None,
        asked: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """The query tensors of the given users.

        Args:
            names: The query inputs that are wanted.
            users: `[batch]` user indices.
            *before: The parts whose interactions are the history.
            context: The part whose first interaction of a user gives the context features and the moment
                asked about; without one, or where the user has none, the context is unknown and the
                moment is the latest of the data.
            asked: `[batch]` seconds, the moments asked about where they are known.

        Returns:
            One array an input, `[batch, *feature.shape]`.
        """
        users = np.asarray(users, np.int32)

        def history() -> dict[str, np.ndarray]:
            known = self.sequences(*before)
            moments = self._asked(users, context) if asked is None else asked
            return known.history(users, known.offsets[users + 1], moments, self._history_length)

        return self._query(names, users, history, lambda feature: self._context(feature, users, context))

    def queries_before(self, names: list[str], rows: pd.DataFrame) -> dict[str, np.ndarray]:
        """The query tensors that stood before each of the given interactions.

        Args:
            names: The query inputs that are wanted.
            rows: Rows of `interactions`, with their index.

        Returns:
            One array an input, `[len(rows), *feature.shape]`. The history is all that the user did before, in
            whichever part it is.
        """
        users = rows["user"].to_numpy(np.int32)

        def history() -> dict[str, np.ndarray]:
            asked = rows["timestamp"].to_numpy() if self.is_ordered else np.zeros(len(rows))
            places = self._places[self.interactions.index.get_indexer(rows.index)]
            return self.sequences(*PARTS).history(users, places, asked, self._history_length)

        return self._query(names, users, history, lambda feature: np.stack(list(rows[feature.name])))

    def _query(
        self,
        names: list[str],
        users: np.ndarray,
        history: Callable[[], dict[str, np.ndarray]],
        context: Callable[[Feature], np.ndarray],
    ) -> dict[str, np.ndarray]:
        """The wanted tensors of users, whose histories are looked up only where they are wanted."""
        wanted = Schema(self.schema[name] for name in names)
        query = {"user": users}
        if wanted.role("history"):
            query |= history()
        query |= {feature.name: self.users[feature.name][users] for feature in wanted.side_features("user")}
        query |= {feature.name: context(feature) for feature in wanted.role("context")}
        return {name: query[name] for name in names}

    @property
    def _history_length(self) -> int:
        return self.schema["history"].length or 1

    @property
    def _places(self) -> np.ndarray:
        """The place of each interaction among the sequences of all parts."""
        if "_place" not in self.__dict__:
            order = np.argsort(self.interactions["user"].to_numpy(), kind="stable")
            places = np.empty(len(order), np.int64)
            places[order] = np.arange(len(order))
            self.__dict__["_place"] = places
        return self.__dict__["_place"]

    def _asked(self, users: np.ndarray, part: Part | None) -> np.ndarray:
        """The moments asked about: of each user's first interaction in a part, else the latest of the data."""
        moments = np.full(len(users), self.now)
        if part is None or not self.is_ordered:
            return moments
        first = self.part(part).drop_duplicates("user").set_index("user")["timestamp"]
        return first.reindex(users).fillna(self.now).to_numpy()

    def _context(self, feature: Feature, users: np.ndarray, part: Part | None) -> np.ndarray:
        values = np.repeat(neutral(feature)[None], len(users), axis=0)
        if part is None:
            return values
        first = self.part(part).drop_duplicates("user").set_index("user")[feature.name]
        has_one = np.isin(users, first.index.to_numpy())
        if has_one.any():
            values[has_one] = np.stack(list(first.loc[users[has_one]]))
        return values

    def save(self, folder: Path) -> None:
        """Writes the dataset as Parquet, NumPy and JSON files into an existing folder."""
        self.interactions.to_parquet(folder / "interactions.parquet", index=False)
        tables: dict[str, dict[str, np.ndarray]] = {
            "users": self.users,
            "items": self.items,
            "titles": {"titles": self.titles.astype(str)},
        }
        if self.candidates:
            tables["candidates"] = self.candidates
        for name, arrays in tables.items():
            save_arrays(folder / f"{name}.npz", arrays)
        self.save_preprocessing(folder)

    def save_for_training(self, folder: Path) -> Dataset:
        """Writes all that training needs, for `load` to take up again, and gives the dataset that uses these files."""
        self.save(folder)
        if self.waiting is not None:
            save_table(self.waiting, folder / WAITING)
        return self

    def save_preprocessing(self, folder: Path) -> None:
        """Writes all that was fitted, and no interactions: `dataset.json` and `encoders.npz`."""
        arrays, values = _split_arrays(self.encoders)
        save_arrays(folder / "encoders.npz", arrays)
        described = {
            "name": self.name,
            "schema": self.schema.to_json(),
            "vocabularies": {name: vocabulary.to_json() for name, vocabulary in self.vocabularies.items()},
            "encoders": values,
            "notes": self.notes,
            "facts": self.facts,
        }
        (folder / "dataset.json").write_text(json.dumps(described, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def fields_of(cls, folder: Path) -> Fields:
        """The arguments of the dataset that `save` wrote into a folder."""
        candidates, waiting = folder / "candidates.npz", folder / WAITING
        return {
            "waiting": read_saved_table(waiting) if waiting.exists() else None,
            **cls.fitted_of(folder),
            "interactions": pd.read_parquet(folder / "interactions.parquet"),
            "users": load_arrays(folder / "users.npz"),
            "items": load_arrays(folder / "items.npz"),
            "titles": load_arrays(folder / "titles.npz")["titles"].astype(object),
            "candidates": load_arrays(candidates) if candidates.exists() else {},
        }

    @staticmethod
    def fitted_of(folder: Path) -> Fields:
        """The arguments that `save_preprocessing` wrote into a folder."""
        described = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
        encoders: dict[str, dict[str, object]] = described["encoders"]
        for key, array in load_arrays(folder / "encoders.npz").items():
            feature, _, name = key.partition("/")
            encoders[feature][name] = array
        return {
            "name": described["name"],
            "schema": Schema.from_json(described["schema"]),
            "vocabularies": {name: Vocabulary(values) for name, values in described["vocabularies"].items()},
            "encoders": encoders,
            "notes": described["notes"],
            "facts": described["facts"],
        }


def neutral(feature: Feature) -> np.ndarray:
    """The encoded value that says nothing: unknown for categories, the mean for numbers, zeros for texts."""
    value = np.zeros(feature.shape, feature.dtype)
    if feature.is_indexed:
        if feature.length is None:
            value[...] = 1
        else:
            value[:1] = 1
    return value


def _split_arrays(
    encoders: dict[str, dict[str, object]],
) -> tuple[dict[str, np.ndarray], dict[str, dict[str, object]]]:
    """The fitted arrays by feature and key, and all other fitted values by feature."""
    arrays: dict[str, np.ndarray] = {}
    values: dict[str, dict[str, object]] = {feature: {} for feature in encoders}
    for feature, fitted in encoders.items():
        for key, value in fitted.items():
            if isinstance(value, np.ndarray):
                arrays[f"{feature}/{key}"] = value
            else:
                values[feature][key] = value
    return arrays, values
