"""Feature columns: what kind each is, and its values as a model takes them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from zoo.data.dataset import neutral
from zoo.data.readers import Table, are_integers, distinct
from zoo.data.text import text_encoder
from zoo.errors import UserError, unknown_name
from zoo.schema import FIRST_KNOWN, UNKNOWN, Feature, Role, Vocabulary

# What a user says of a feature: its kind, options of the kind, and whether it is known when a request arrives.
Options: TypeAlias = Mapping[str, Any]

# What may be said of a feature, by the kind it has.
OPTIONS: dict[str, tuple[str, ...]] = {
    "categorical": ("separator", "length"),
    "numeric": (),
    "text": ("encoder", "dim"),
    "ignore": (),
}

SEPARATOR = "|"
MAX_VALUES = 16
MAX_CATEGORIES = 10_000
FEW_NUMBERS = 10

# Names that mean something else in a query, a dataset or a file of arrays.
_RESERVED_IN_QUERIES = (
    "user",
    "item",
    "label",
    "history",
    "history_rating",
    "history_age",
    "exclude",
    "candidates",
    "k",
)
RESERVED = frozenset((*_RESERVED_IN_QUERIES, "timestamp", "rating", "part", "file", "allow_pickle"))

_MISSING_NUMBERS = frozenset({"na", "n/a", "nan", "null", "none"})


@dataclasses.dataclass
class Encoded:
    """A feature with the values of all rows of its column, and what was fitted to encode them."""

    feature: Feature
    values: np.ndarray
    vocabulary: Vocabulary | None = None
    fitted: dict[str, Any] | None = None
    note: str = ""


@dataclasses.dataclass
class Column:
    """A column of a table that may become a feature.

    Args:
        table: The table, its rows being those to encode.
        name: The column.
        role: The role of the feature.
        options: What the user said of it.
    """

    table: Table
    name: str
    role: Role
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for option in self.options:
            if option != "kind" and option not in OPTIONS[self.kind]:
                raise UserError(
                    f"Feature {self.name!r} is {self.kind} and takes no {option!r}. "
                    f"It takes: {', '.join(OPTIONS[self.kind]) or 'no options'}."
                )
        if "length" in self.options and not self._separator:
            raise UserError(f"Feature {self.name!r} has a length but no separator: its values are no lists.")

    @cached_property
    def _distinct(self) -> tuple[np.ndarray, np.ndarray]:
        return distinct(self.table.frame[self.name])

    @cached_property
    def _counts(self) -> np.ndarray:
        codes, texts = self._distinct
        return np.bincount(codes[codes >= 0], minlength=len(texts))

    @cached_property
    def _numbers(self) -> tuple[np.ndarray, np.ndarray]:
        """The distinct texts as numbers (NaN where missing or not one), and which are meant as numbers."""
        _, texts = self._distinct
        values = pd.to_numeric(pd.Series(texts, dtype=object), errors="coerce").to_numpy(np.float64)
        values = np.where(np.isfinite(values), values, np.nan)
        is_missing = np.array([text.strip().lower() in _MISSING_NUMBERS for text in texts], dtype=bool)
        return values, ~np.isnan(values) | is_missing

    @property
    def kind(self) -> str:
        """What the user said, else what the values look like; `"ignore"` for what no model can use."""
        return self._kind_and_reason[0]

    @property
    def reason(self) -> str:
        """Why the column is ignored."""
        return self._kind_and_reason[1]

    @cached_property
    def _kind_and_reason(self) -> tuple[str, str]:
        if "kind" in self.options:
            return self.options["kind"], ""
        for kind, options in OPTIONS.items():
            if self.options.keys() & set(options):
                return kind, ""
        _, texts = self._distinct
        rows = self._counts.sum()
        if not rows:
            return "ignore", "has no values"
        values, is_number = self._numbers
        # Codes such as 00501 would lose their zeros as numbers.
        is_code = any(re.match(r"-?0\d", text) for text in texts)
        if is_number.all() and not np.isnan(values).all() and not is_code:
            values = values[~np.isnan(values)]
            is_numeric = len(values) > FEW_NUMBERS or bool((values % 1 != 0).any())
            return ("numeric" if is_numeric else "categorical"), ""
        if self._separator:
            return "categorical", ""
        words = self._share(lambda text: len(text.split()))
        if words > 3 and len(texts) > 0.5 * rows:
            return "text", ""
        if len(texts) > MAX_CATEGORIES or (rows > 50 and len(texts) > 0.9 * rows):
            return "ignore", f"has {len(texts)} distinct values in {rows} rows"
        return "categorical", ""

    def _share(self, measure: Callable[[str], float]) -> float:
        """The mean of a measure of the texts over the rows that have one."""
        measured = np.array([measure(text) for text in self._distinct[1]], dtype=np.float64)
        return float(measured @ self._counts / max(1, self._counts.sum()))

    @cached_property
    def _separator(self) -> str | None:
        if "separator" in self.options:
            return self.options["separator"] or None
        return SEPARATOR if self._share(lambda text: SEPARATOR in text) >= 0.1 else None

    def encode(self, name: str) -> Encoded:
        """The feature and its values.

        Args:
            name: What the feature is called.

        Returns:
            An `Encoded`.
        """
        if self.kind == "numeric":
            return self._encode_numeric(name)
        if self.kind == "text":
            return self._encode_text(name)
        return self._encode_lists(name) if self._separator else self._encode_categorical(name)

    def _rows_of_numbers(self) -> np.ndarray:
        """`[rows]` raw numbers, NaN where there is none; a `UserError` with the place of what is no number."""
        codes, texts = self._distinct
        values, is_number = self._numbers
        is_bad = np.append(~is_number, False)[codes]
        if is_bad.any():
            at = int(np.argmax(is_bad))
            place = self.table.where(self.table.frame.index[at], self.name)
            raise UserError(f"{place}: expected a number, for the feature is numeric. Received: {texts[codes[at]]!r}.")
        return np.append(values, np.nan)[codes]

    def _encode_numeric(self, name: str) -> Encoded:
        rows = self._rows_of_numbers()
        known = rows[~np.isnan(rows)]
        mean, std = (float(known.mean()), float(known.std()) or 1.0) if len(known) else (0.0, 1.0)
        encoded = np.nan_to_num((rows - mean) / std).astype(np.float32)
        return Encoded(Feature(name, self.role, "numeric", mean=mean, std=std), encoded)

    def _encode_text(self, name: str) -> Encoded:
        codes, texts = self._distinct
        try:
            encoder = text_encoder(self.options.get("encoder", "tfidf"), dim=self.options.get("dim"))
            fitted = encoder.fit(texts)
            vectors = encoder.encode(texts)
        except UserError as error:
            raise UserError(f"Feature {self.name!r}: {error}") from error
        vectors = np.concatenate([vectors, np.zeros_like(vectors, shape=(1, vectors.shape[1]))])
        return Encoded(Feature(name, self.role, "text", vectors.shape[1]), vectors[codes], fitted=fitted)

    def _encode_categorical(self, name: str) -> Encoded:
        codes, texts = self._distinct
        vocabulary, indices = vocabulary_of(texts)
        feature = Feature(name, self.role, "categorical", vocabulary.size)
        return Encoded(feature, np.append(indices, UNKNOWN).astype(np.int32)[codes], vocabulary)

    def _encode_lists(self, name: str) -> Encoded:
        codes, texts = self._distinct
        lists = [list(dict.fromkeys(filter(None, map(str.strip, t.split(self._separator))))) for t in texts]
        sizes = np.array([len(values) for values in lists], dtype=np.int64)
        length = self.options.get("length") or min(MAX_VALUES, max(1, int(sizes.max(initial=0))))
        flat, values = pd.factorize(np.array([value for values in lists for value in values], dtype=object))
        vocabulary, indices = vocabulary_of(values)
        feature = Feature(name, self.role, "categorical", vocabulary.size, length, self._separator)
        rows = np.repeat(neutral(feature)[None], len(texts) + 1, axis=0)
        row = np.repeat(np.arange(len(texts)), sizes)
        place = np.arange(len(row)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        fits = place < length
        rows[row[fits], place[fits]] = indices[flat][fits]
        cut = int(self._counts[sizes > length].sum())
        note = f"The {self.role} column {self.name!r} was cut to {length} values in {cut} rows." if cut else ""
        return Encoded(feature, rows[codes], vocabulary, note=note)


def vocabulary_of(texts: Iterable[str]) -> tuple[Vocabulary, np.ndarray]:
    """A vocabulary of distinct texts, sorted; of integers where all of them are.

    Args:
        texts: The texts.

    Returns:
        The `Vocabulary`, and the index of each text in it.
    """
    texts = list(texts)
    values: list[Any] = [int(text) for text in texts] if are_integers(texts) else texts
    order = sorted(range(len(values)), key=values.__getitem__)
    indices = np.empty(len(values), np.int32)
    indices[order] = np.arange(FIRST_KNOWN, len(values) + FIRST_KNOWN)
    return Vocabulary([values[i] for i in order]), indices


def check_options(features: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """What the user said of features, checked: kinds and option names.

    Args:
        features: By column, a kind or a mapping with `kind`, `separator`, `length`, `encoder`, `dim`, `at_request`.

    Returns:
        A mapping for every column.

    Raises:
        UserError: If a kind or an option is unknown.
    """
    known = ["kind", "at_request", *(option for options in OPTIONS.values() for option in options)]
    checked: dict[str, dict[str, Any]] = {}
    if not isinstance(features or {}, Mapping):
        raise UserError(f"Expected features as a mapping, column to kind or options. Received: {features!r}.")
    for column, said in (features or {}).items():
        options = dict(said) if isinstance(said, Mapping) else {"kind": said}
        for option in options:
            if option not in known:
                raise unknown_name(f"option of feature {column!r}", str(option), known)
        if "kind" in options and str(options["kind"]) not in OPTIONS:
            raise unknown_name(f"kind of feature {column!r}", str(options["kind"]), OPTIONS)
        for option in ("separator", "encoder"):
            if not isinstance(options.get(option) or "", str):
                raise UserError(f"Feature {column!r}: expected {option} as text. Received: {options[option]!r}.")
        if not isinstance(options.get("at_request", False), bool):
            received = f"Received: {options['at_request']!r}."
            raise UserError(f"Feature {column!r}: expected at_request as true or false. {received}")
        for option in ("length", "dim"):
            if option in options and (not isinstance(options[option], int) or options[option] < 1):
                raise UserError(f"Feature {column!r}: expected {option} of at least 1. Received: {options[option]!r}.")
        checked[column] = options
    return checked


def name_columns(columns: Iterable[Column]) -> list[str]:
    """Names for features that are unique and can be the name of a model input.

    Args:
        columns: The columns to be features.

    Returns:
        One name a column: its own, made of letters, digits and underscores, with the role in
        front where two columns would share it or it already means something else.
    """
    columns = list(columns)
    plain = [
        re.sub(r"[^0-9A-Za-z]+", "_", column.name).strip("_") or str(number) for number, column in enumerate(columns)
    ]
    names = [
        f"{column.role}_{name}" if plain.count(name) > 1 or name in RESERVED or not name[:1].isalpha() else name
        for column, name in zip(columns, plain, strict=True)
    ]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        shared = [column.name for column, name in zip(columns, names, strict=True) if name == twice[0]]
        raise UserError(f"The columns {', '.join(map(repr, shared))} would all be called {twice[0]!r}. Rename one.")
    return names
