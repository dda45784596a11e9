"""`zoo export`."""

from export.cli import export

__all__ = ["export"]
