"""`zoo refresh`."""

from export.cli import refresh

__all__ = ["refresh"]
