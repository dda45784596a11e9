"""JSON: one array of records, one mapping of columns, or a record a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from zoo.data.frames import table_in_memory
from zoo.data.table import Table
from zoo.data.tables import TABLE_FORMATS, Reading, TableFormat
from zoo.data.text_file import decoded, find_encoding, read_bytes
from zoo.errors import UserError


class JsonRecords(TableFormat):
    """Records of JSON, in an array or one a line. What is nested in a record makes columns of its own: `a.b`."""

    name = "json"
    suffixes: ClassVar[tuple[str, ...]] = (".json", ".jsonl", ".ndjson")
    options: ClassVar[tuple[str, ...]] = ("encoding",)

    def read(self, path: Path, reading: Reading) -> Table:
        """See `TableFormat.read`."""
        data = read_bytes(path)
        text = decoded(path, data, reading.encoding or find_encoding(path, data))
        try:
            content = json.loads(text)
        except RecursionError as error:
            raise UserError(f"{path}: is nested too deeply for a table. Give records of plain values.") from error
        except ValueError:
            content = [_record(path, number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
        if isinstance(content, dict) and not all(isinstance(values, list | dict) for values in content.values()):
            content = [content]
        if isinstance(content, dict):
            content = {name: _values(values) for name, values in content.items()}
        elif isinstance(content, list) and all(isinstance(record, dict) for record in content):
            content = [_flat(record) for record in content]
        return table_in_memory(content, str(path))


def _record(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}, row {number}: is no JSON ({error}). Correct the row.") from error
    if not isinstance(record, dict):
        raise UserError(f"{path}, row {number}: expected a record in braces. Received: {line[:100]!r}.")
    return record


def _values(values: list[Any] | dict[str, Any]) -> list[Any]:
    """The values of a column, which pandas writes as a mapping by row."""
    return list(values.values()) if isinstance(values, dict) else values


def _flat(record: dict[str, Any], before: str = "") -> dict[str, Any]:
    """A record whose nested ones have become fields of it."""
    flat: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, dict) and before.count(".") < 8:
            flat |= _flat(value, f"{before}{name}.")
        else:
            flat[f"{before}{name}"] = value
    return flat


TABLE_FORMATS.register(JsonRecords())
