"""Exports a trained recommender to SavedModel, ONNX and TFLite, and proves that each says the same thing.

Importing this package imports nothing heavy. That happens when something needs it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from export.bundle.bundle import Bundle, open_bundle
    from export.bundle.publishing import export, verify
    from export.bundle.refresh import refresh

HOMES = {
    "Bundle": "export.bundle.bundle",
    "export": "export.bundle.publishing",
    "open_bundle": "export.bundle.bundle",
    "refresh": "export.bundle.refresh",
    "verify": "export.bundle.publishing",
}
__all__ = ["Bundle", "export", "open_bundle", "refresh", "verify"]


def __getattr__(name: str) -> object:
    if name not in HOMES:
        raise AttributeError(f"module 'export' has no attribute {name!r}")
    return getattr(importlib.import_module(HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
