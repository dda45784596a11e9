"""Feature columns: what kind each is, and its values as a model takes them."""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Annotated, TypeAlias, TypedDict, cast

import numpy as np
import pandas as pd
from pydantic import Field

from zoo.data.dataset import neutral
from zoo.data.table import Table
from zoo.data.text import text_encoder
from zoo.data.text.encoder import Fitted
from zoo.data.values import LARGEST, MISSING, are_integers, days, distinct
from zoo.errors import UserError, unknown_name
from zoo.options import Option, check_options
from zoo.schema import FIRST_KNOWN, HISTORY_NAMES, UNKNOWN, Feature, Role, Vocabulary


class Options(TypedDict, total=False):
    """Options of a feature: its kind, those of the kind, and whether it is known when a request arrives."""

    kind: str
    separator: str | None
    length: int
    encoder: str
    dim: int
    at_request: bool


AtLeastOne: TypeAlias = Annotated[int, Field(ge=1)]

# The options of a feature, by the kind it has.
OPTIONS: dict[str, dict[str, Option]] = {
    "categorical": {"separator": Option(str | None, None), "length": Option(AtLeastOne, None)},
    "numeric": {},
    "text": {"encoder": Option(str, "tfidf"), "dim": Option(AtLeastOne, None)},
    "ignore": {},
}

# The options of a feature of every kind.
_OF_ANY: dict[str, Option] = {"kind": Option(str, None), "at_request": Option(bool, False)}
_OF_ALL_KINDS: dict[str, Option] = {name: option for options in OPTIONS.values() for name, option in options.items()}

SEPARATOR = "|"
MAX_VALUES = 16
MAX_CATEGORIES = 10_000
FEW_NUMBERS = 10

# Names that mean something else in a query, a dataset or a file of arrays.
_RESERVED_IN_QUERIES = ("user", "item", "label", *HISTORY_NAMES, "exclude", "candidates", "k")
RESERVED = frozenset((*_RESERVED_IN_QUERIES, "timestamp", "rating", "part", "file", "allow_pickle"))

# A day, or a moment of one, as ISO 8601 writes it.
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}.*)?")


@dataclasses.dataclass
class Encoded:
    """A feature with the values of all rows of its column, and what was fitted to encode them."""

    feature: Feature
    values: np.ndarray
    vocabulary: Vocabulary | None = None
    fitted: Fitted | None = None
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
    options: Options = dataclasses.field(default_factory=Options)

    def __post_init__(self) -> None:
        taken = OPTIONS[self.kind]
        for name in self.options.keys() - taken.keys() - _OF_ANY.keys():
            raise UserError(
                f"Feature {self.name!r} is {self.kind} and takes no {name!r}. "
                f"It takes: {', '.join(taken) or 'no options'}."
            )
        if "length" in self.options and not self._separator:
            raise UserError(
                f"Feature {self.name!r} has a length but no separator, so its values are no lists. "
                "Give a separator, or leave the length out."
            )

    @cached_property
    def _distinct(self) -> tuple[np.ndarray, np.ndarray]:
        return distinct(self.table.frame[self.name])

    @cached_property
    def _counts(self) -> np.ndarray:
        codes, texts = self._distinct
        return np.bincount(codes[codes >= 0], minlength=len(texts))

    @cached_property
    def _numbers(self) -> tuple[np.ndarray, np.ndarray]:
        """The distinct texts as numbers (NaN where missing or not one), and which are meant as numbers.

        A date is the number of days since 1970.
        """
        _, texts = self._distinct
        values = pd.to_numeric(pd.Series(texts, dtype=object), errors="coerce").to_numpy(np.float64, copy=True)
        is_date = np.array([_DATE.fullmatch(text) is not None for text in texts], dtype=bool)
        if is_date.any():
            values[is_date] = days(texts[is_date])
        is_missing = np.array([text.strip().lower() in MISSING for text in texts], dtype=bool)
        return values, ~np.isnan(values) | is_missing

    @property
    def has_dates(self) -> bool:
        """Whether a value is a date."""
        return any(_DATE.fullmatch(text) for text in self._distinct[1])

    @property
    def kind(self) -> str:
        """The kind that the user said, else the one that the values look like; `"ignore"` if no model can use them."""
        return self._kind_and_reason[0]

    @property
    def reason(self) -> str:
        """Why the column is ignored."""
        return self._kind_and_reason[1]

    @cached_property
    def _kind_and_reason(self) -> tuple[str, str]:
        said = self._said_kind
        return (said, "") if said else self._likely_kind_and_reason()

    @property
    def _said_kind(self) -> str | None:
        """The kind that the user said, or that the options are of."""
        if "kind" in self.options:
            return self.options["kind"]
        return next((kind for kind, options in OPTIONS.items() if self.options.keys() & options.keys()), None)

    def _likely_kind_and_reason(self) -> tuple[str, str]:
        """The kind that the values look like, and why the column is ignored if it is."""
        rows, number = int(self._counts.sum()), len(self._distinct[1])
        if not rows:
            return "ignore", "has no values"
        if self._looks_numeric:
            return ("numeric" if self._is_measured else "categorical"), ""
        if self._separator:
            return "categorical", ""
        if self._share(_number_of_words) > 3 and number > 0.5 * rows:
            return "text", ""
        if _are_too_many(number, rows):
            return "ignore", f"has {number} distinct values in {rows} rows"
        return "categorical", ""

    @property
    def _looks_numeric(self) -> bool:
        """Whether all values are numbers. Codes such as 00501 are not, because they would lose their zeros."""
        values, is_number = self._numbers
        is_code = any(re.match(r"-?0\d", text) for text in self._distinct[1])
        return bool(is_number.all() and not np.isnan(values).all() and not is_code)

    @property
    def _is_measured(self) -> bool:
        """Whether numbers are many or broken, as those of a measurement are and those of a category are not."""
        values = self._numbers[0][~np.isnan(self._numbers[0])]
        is_broken = np.isinf(values) | (np.floor(values) != values)
        return len(values) > FEW_NUMBERS or bool(is_broken.any()) or self.has_dates

    def _share(self, measure: Callable[[str], float]) -> float:
        """The mean of a measure of the texts over the rows that have one."""
        measured = np.array([measure(text) for text in self._distinct[1]], dtype=np.float64)
        return float(measured @ self._counts / max(1, self._counts.sum()))

    @cached_property
    def _separator(self) -> str | None:
        if "separator" in self.options:
            return self.options["separator"] or None
        if self.name in self.table.lists:
            return SEPARATOR
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
        """`[rows]` raw numbers, NaN where there is none; a `UserError` with the place of what is no such number."""
        codes, texts = self._distinct
        values, is_number = self._numbers
        for is_bad, expected in (
            (~is_number, "a number"),
            (np.abs(values) > LARGEST, f"a number of at most {LARGEST:.1e}"),
        ):
            bad_rows = np.append(is_bad, False)[codes]
            if bad_rows.any():
                at = int(np.argmax(bad_rows))
                place = self.table.where(self.table.frame.index[at], self.name)
                why = "because the feature is numeric"
                raise UserError(f"{place}: expected {expected}, {why}. Received: {texts[codes[at]]!r}.")
        return np.append(values, np.nan)[codes]

    def _encode_numeric(self, name: str) -> Encoded:
        rows = self._rows_of_numbers()
        known = rows[~np.isnan(rows)]
        mean, std = (float(known.mean()), float(known.std()) or 1.0) if len(known) else (0.0, 1.0)
        encoded = np.nan_to_num((rows - mean) / std).astype(np.float32)
        note = f"The {self.role} column {self.name!r} holds dates: days since 1970-01-01." if self.has_dates else ""
        return Encoded(Feature(name, self.role, "numeric", mean=mean, std=std), encoded, note=note)

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
        lists = [values_of_list(text, self._separator) for text in texts]
        sizes = np.array([len(values) for values in lists], dtype=np.int64)
        length = self.options.get("length") or min(MAX_VALUES, max(1, int(sizes.max(initial=0))))
        flat, values = pd.factorize(np.array([value for values in lists for value in values], dtype=object))
        vocabulary, indices = vocabulary_of(values)
        feature = Feature(name, self.role, "categorical", vocabulary.size, length, self._separator)
        rows = _padded_lists(feature, sizes, indices[flat])
        cut = int(self._counts[sizes > length].sum())
        note = f"The {self.role} column {self.name!r} was cut to {length} values in {cut} rows." if cut else ""
        return Encoded(feature, rows[codes], vocabulary, note=note)


def values_of_list(text: str, separator: str | None) -> list[str]:
    """The distinct values that a text lists, without blanks around them."""
    return list(dict.fromkeys(filter(None, map(str.strip, text.split(separator)))))


def _padded_lists(feature: Feature, sizes: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """One row for every list, cut or padded to the length of the feature, and a neutral one behind them.

    Args:
        feature: The feature.
        sizes: `[lists]` the number of values of each list.
        indices: The indices of all values, list by list.
    """
    rows = np.repeat(neutral(feature)[None], len(sizes) + 1, axis=0)
    row = np.repeat(np.arange(len(sizes)), sizes)
    place = np.arange(len(row)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    fits = place < rows.shape[1]
    rows[row[fits], place[fits]] = indices[fits]
    return rows


def _are_too_many(number: int, rows: int) -> bool:
    """Whether distinct values are too many to be categories, because nearly every row has its own."""
    return number > MAX_CATEGORIES or (rows > 50 and number > 0.9 * rows)


def _number_of_words(text: str) -> int:
    return len(text.split())


def vocabulary_of(texts: Iterable[str]) -> tuple[Vocabulary, np.ndarray]:
    """A vocabulary of distinct texts, sorted; of integers where all of them are.

    Args:
        texts: The texts.

    Returns:
        The `Vocabulary`, and the index of each text in it.
    """
    texts = list(texts)
    values: Sequence[int] | Sequence[str] = [int(text) for text in texts] if are_integers(texts) else texts
    order = sorted(range(len(values)), key=values.__getitem__)
    indices = np.empty(len(values), np.int32)
    indices[order] = np.arange(FIRST_KNOWN, len(values) + FIRST_KNOWN)
    return Vocabulary([values[i] for i in order]), indices


def read_options(features: Mapping[str, object] | None) -> dict[str, Options]:
    """The options that a user gave to features, checked: kinds, names of options, and their values.

    Args:
        features: By column, a kind or a mapping with `kind`, `separator`, `length`, `encoder`, `dim`, `at_request`.

    Returns:
        The `Options` of every column.

    Raises:
        UserError: If a kind or an option is unknown, or a value is of another type.

    Example:

    >>> read_options({"genres": {"separator": "|"}, "plot": "text"})
    {'genres': {'separator': '|'}, 'plot': {'kind': 'text'}}
    """
    if not isinstance(features or {}, Mapping):
        raise UserError(f"Expected features as a mapping, column to kind or options. Received: {features!r}.")
    return {column: _options_of_column(column, said) for column, said in (features or {}).items()}


def _options_of_column(column: str, said: object) -> Options:
    options: dict[str, object] = dict(said) if isinstance(said, Mapping) else {"kind": said}
    if "kind" in options and str(options["kind"]) not in OPTIONS:
        raise unknown_name(f"kind of feature {column!r}", str(options["kind"]), OPTIONS)
    check_options(options, {**_OF_ANY, **_OF_ALL_KINDS}, of=f"feature {column!r}")
    return cast("Options", options)


def name_columns(columns: Iterable[Column]) -> list[str]:
    """Names for features that are unique and can be the name of a model input.

    Args:
        columns: The columns to be features.

    Returns:
        One name a column: its own, made of letters, digits and underscores. The role stands in front where two
        columns would share a name, or where it already means something else.

    Raises:
        UserError: If two columns of one role would have the same name.
    """
    columns = list(columns)
    plain = [plain_name(column.name) or str(number) for number, column in enumerate(columns)]
    names = [
        f"{column.role}_{name}" if plain.count(name) > 1 or not _is_free(name) else name
        for column, name in zip(columns, plain, strict=True)
    ]
    _check_unique(columns, names)
    return names


def plain_name(column: str) -> str:
    """The name of a column made of letters, digits and underscores. Letters of other scripts become their code.

    Example:

    >>> plain_name("Größe (cm)"), plain_name("年")
    ('Gro_u00df_e_cm', 'u5e74')
    """
    decomposed = unicodedata.normalize("NFKD", column)
    letters = (
        f"_u{ord(letter):04x}_" if letter.isalnum() and not letter.isascii() else letter
        for letter in decomposed
        if not unicodedata.combining(letter)
    )
    return re.sub(r"[^0-9A-Za-z]+", "_", "".join(letters)).strip("_")


def _is_free(name: str) -> bool:
    """Whether a model input can have a name."""
    return name not in RESERVED and name[:1].isalpha()


def _check_unique(columns: Sequence[Column], names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        shared = [column.name for column, name in zip(columns, names, strict=True) if name == twice[0]]
        raise UserError(f"The columns {', '.join(map(repr, shared))} would all be called {twice[0]!r}. Rename one.")
