"""What tables hold and what each column is taken for, before anything is trained on them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import yaml

from zoo.data.column_use import ColumnUse
from zoo.data.dataset import Dataset
from zoo.data.preparation import prepare
from zoo.data.reading import Source, read_table
from zoo.data.table import Table
from zoo.data.tables import Reading
from zoo.data.values import as_numbers, date_and_time, distinct
from zoo.errors import unknown_name
from zoo.options import options_of

# How many values of a column are shown, and how much of each.
SAMPLES, LONGEST_SAMPLE = 3, 40

# Values beside numbers, in percent, up to which they are shown as odd.
_FEW = 5


class ColumnJson(TypedDict):
    """A column of a table, JSON-ready."""

    table: str
    column: str
    taken_for: str
    why: str
    distinct: int
    missing: int
    range: str
    samples: list[str]


@dataclasses.dataclass
class Inspection:
    """What `inspect_tables` found.

    Args:
        columns: All columns of all tables.
        notes: What was found out, counted and decided, in plain words.
        settings: The settings that state it, as a YAML file of data has them.
    """

    columns: list[ColumnJson]
    notes: list[str]
    settings: dict[str, Any]

    def yaml(self, folder: Path | None = None) -> str:
        """The settings as a YAML file.

        Args:
            folder: The folder of the file, from which paths are to be taken; by default the working folder.
        """
        settings = {key: _from_folder(value, folder or Path.cwd()) for key, value in self.settings.items()}
        return yaml.safe_dump(settings, sort_keys=False, allow_unicode=True, width=120)


def inspect_tables(
    interactions: Source, users: Source | None = None, items: Source | None = None, **options: Any
) -> Inspection:
    """Says what each column of tables would be taken for, and why.

    Args:
        interactions: The interactions, see `prepare`.
        users: The table of users.
        items: The table of items.
        **options: What `prepare` takes.

    Returns:
        An `Inspection`.

    Raises:
        UserError: If something in the tables is wrong, with file, row and column.

    Example:

    >>> found = inspect_tables([{"user": 1, "item": 7, "rating": 5}, {"user": 1, "item": 8, "rating": 3}])
    >>> [(one["column"], one["taken_for"]) for one in found.columns]
    [('user', 'user (id)'), ('item', 'item (id)'), ('rating', 'label (numeric)')]
    """
    known = options_of(prepare)
    for name in options.keys() - known.keys():
        raise unknown_name("setting of data", name, known)
    said = {field.name: options.pop(field.name, None) for field in dataclasses.fields(Reading)}
    sources = {"interactions": interactions, "users": users, "items": items}
    tables = {
        name: read_table(source, name=name, reading=Reading(**said) if name == "interactions" else None)
        for name, source in sources.items()
        if source is not None
    }
    split = options.pop("split", None) or {"name": "random", "valid": 0, "test": 0}
    data = prepare(tables["interactions"], tables.get("users"), tables.get("items"), split=split, **options)
    uses = {(use.table, use.column): use for use in data.columns}
    columns = [
        _described(table, column, uses.get((table.name, column)), data)
        for table in tables.values()
        for column in table.frame.columns
    ]
    notes = [note for note in data.notes if not note.startswith("Split: ")]
    if data.waiting is not None:
        notes.append(f"{len(data.waiting.frame)} items of the items table have no interactions (data.catalogue).")
    return Inspection(columns, [*notes, *_oddities(tables.values())], _settings(tables, sources, data, options))


def _described(table: Table, column: str, use: ColumnUse | None, data: Dataset) -> ColumnJson:
    codes, texts = distinct(table.frame[column])
    values = as_numbers(table.frame[column])
    known = values[np.isfinite(values)]
    span = f"{known.min():.10g} to {known.max():.10g}" if len(known) and len(known) == (codes >= 0).sum() else ""
    if not span and len(texts):
        span = f"{_short(min(texts))} to {_short(max(texts))}"
    return {
        "table": table.name,
        "column": column,
        "taken_for": _taken_for(use),
        "why": _why(table, column, use, data, len(texts)),
        "distinct": len(texts),
        "missing": int((codes < 0).sum()),
        "range": span,
        "samples": [_short(text) for text in texts[:SAMPLES]],
    }


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_SAMPLE else f"{text[: LONGEST_SAMPLE - 3]}..."


def _taken_for(use: ColumnUse | None) -> str:
    if use is None:
        return "nothing"
    return f"{use.role} feature ({use.kind})" if use.role else f"{use.use} ({use.kind})"


def _why(table: Table, column: str, use: ColumnUse | None, data: Dataset, number: int) -> str:
    """Why a column of so many distinct values was taken for what it was."""
    if use is None:
        about = [note for note in data.notes if repr(column) in note]
        return about[0] if about else "It is part of another column."
    if not use.role:
        if not table.has_header:
            return "by its place and values"
        return "by its name"
    if use.separator:
        return f"several values with {use.separator!r} between them"
    return {
        "numeric": "its values are measured numbers or dates",
        "categorical": f"it has {number} values",
        "text": "its values are long texts",
    }[use.kind]


def _oddities(tables: Iterable[Table]) -> list[str]:
    """What looks odd in columns: few words among numbers, and columns of one value."""
    notes = []
    for table in tables:
        for column in table.frame.columns:
            codes, texts = distinct(table.frame[column])
            is_number = np.isfinite(as_numbers(table.frame[column]))
            others = int((~is_number & (codes >= 0)).sum())
            if 0 < others <= _FEW / 100 * len(codes):
                example = texts[codes[np.argmax(~is_number & (codes >= 0))]]
                notes.append(f"{table.name}: {others} values of {column!r} are no numbers, e.g. {_short(example)!r}.")
            if len(texts) == 1 and len(codes) > 1:
                notes.append(f"{table.name}: all values of {column!r} are {_short(texts[0])!r}.")
    return notes


def _settings(
    tables: Mapping[str, Table], sources: Mapping[str, Source], data: Dataset, options: Mapping[str, Any]
) -> dict[str, Any]:
    """The settings that prepare the same data without guessing."""
    settings: dict[str, Any] = {"name": data.name}
    for name, table in tables.items():
        source = sources[name]
        path = source["file"] if isinstance(source, Mapping) and "file" in source else source
        settings[name] = {"file": str(path) if isinstance(path, (str, Path)) else f"{name}.csv", **table.read_by}
        renamed = {use.column: use.name for use in data.columns if use.table == table.name and use.column != use.name}
        # Two columns that are one time are found by their names again.
        joined = date_and_time(table) or ()
        columns = {old: _public(new) for old, new in renamed.items() if old not in joined}
        if columns:
            settings[name]["columns"] = columns
    features = _features(tables, data)
    if features:
        settings["features"] = features
    return {
        **settings,
        **{name: value for name, value in options.items() if name not in ("features", "columns", "name")},
    }


def _public(name: str) -> str:
    """The name that users know a canonical column by."""
    return "rating" if name == "label" else name


def _features(tables: Mapping[str, Table], data: Dataset) -> dict[str, Any]:
    """The kind of every column that is a feature, and `ignore` for those that are nothing."""
    features: dict[str, Any] = {}
    used = {(use.table, use.column) for use in data.columns}
    for use in data.columns:
        if use.role:
            features[f"{use.role}_{use.name}"] = (
                {"kind": use.kind, "separator": use.separator} if use.separator else use.kind
            )
    roles = {"interactions": "context", "users": "user", "items": "item"}
    for name, table in tables.items():
        joined = date_and_time(table) or ()
        for column in table.frame.columns:
            if (table.name, column) not in used and column not in joined:
                features[f"{roles[name]}_{column}"] = "ignore"
    return features


def _from_folder(value: Any, folder: Path) -> Any:
    """A setting whose path, if it has one, is taken from a folder."""
    if not isinstance(value, dict) or "file" not in value or "://" in value["file"]:
        return value
    return {**value, "file": os.path.relpath(value["file"], folder)}
