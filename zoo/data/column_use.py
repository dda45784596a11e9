"""What the columns of tables were taken for."""

from __future__ import annotations

import dataclasses

from zoo.data.table import Table
from zoo.schema import Feature

# The kinds of canonical columns of interactions.
_KINDS = {"user": "id", "item": "id", "label": "numeric", "timestamp": "time", "split": "part"}


@dataclasses.dataclass(frozen=True)
class ColumnUse:
    """What a column was taken for.

    Args:
        table: The table, as people know it.
        column: The column as the table calls it.
        name: The column under the name that the user, or a well-known alias, gave it.
        use: A canonical name such as `"user"`, or that of a feature.
        kind: The kind of the feature; `"id"`, `"time"` or `"part"` for some canonical names.
        role: The role of the feature; empty for canonical names.
        separator: What separates the values of a feature of several values.
    """

    table: str
    column: str
    name: str
    use: str
    kind: str
    role: str = ""
    separator: str | None = None


def canonical_uses(table: Table, names: tuple[str, ...]) -> list[ColumnUse]:
    """The uses of the columns of a table that have a canonical name."""
    there = [name for name in names if name in table.frame.columns]
    return [ColumnUse(table.name, table.written_as.get(name, name), name, name, _KINDS[name]) for name in there]


def use_of_feature(table: Table, name: str, feature: Feature) -> ColumnUse:
    """The use of a column that became a feature."""
    written = table.written_as.get(name, name)
    return ColumnUse(table.name, written, name, feature.name, feature.kind, feature.role, feature.separator)
