"""`zoo demo`."""

from export.demo import demo

__all__ = ["demo"]
