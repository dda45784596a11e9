"""Exports a trained recommender to SavedModel, ONNX and TFLite, and proves that each says the same thing.

Importing this package imports nothing heavy; that happens when something needs it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from export.bundle.publishing import Bundle, export, open_bundle, verify
    from export.bundle.refresh import refresh

__all__ = ["Bundle", "export", "open_bundle", "refresh", "verify"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'export' has no attribute {name!r}")
    module = importlib.import_module("export.bundle.refresh" if name == "refresh" else "export.bundle.publishing")
    return getattr(module, name)
