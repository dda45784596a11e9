"""`zoo verify`."""

from export.cli import verify

__all__ = ["verify"]
