"""A SavedModel in a folder like a bundle's, and the raw inputs that its endpoints are asked with."""

from __future__ import annotations

import json

from test_saved_model import make_calls
from tf_server import Served


def samples_of(exported, rows):
    """Some raw inputs of every endpoint."""
    calls = dict(make_calls(exported.endpoints, exported.vocabularies, rows))
    return {endpoint.name: calls[endpoint.name] for endpoint in exported.endpoints}


def bundle_of(exported):
    return exported.folder.parent.parent


def served_by(exported):
    return Served(exported.folder, json.loads((bundle_of(exported) / "manifest.json").read_text())["recipe"]["name"])
