"""The toy model and exported recommenders, served."""

from __future__ import annotations

import json

import pytest
from served_bundle import samples_of
from test_saved_model import write_saved_model
from tf_server import SERVERS, Served
from toy_model import save_toy, toy_endpoints

from export.serving import Client, tf_serving


@pytest.fixture(scope="session")
def toy(tmp_path_factory):
    """The toy model as a SavedModel."""
    folder = tmp_path_factory.mktemp("toy") / "1"
    save_toy(folder)
    return folder


@pytest.fixture
def served(toy):
    return Served(toy, "toy")


@pytest.fixture(params=SERVERS)
def client(request, served):
    """A client of the toy model, over REST or gRPC."""
    with SERVERS[request.param](served) as address, Client(address, toy_endpoints(), name="toy") as made:
        yield made


@pytest.fixture(scope="session", params=["run", "features_run"])
def exported(request, tmp_path_factory):
    """The SavedModel of a run over string ids, and of one that reads everything, in a folder like a bundle's."""
    run = request.getfixturevalue(request.param)
    bundle = tmp_path_factory.mktemp("bundle")
    made = write_saved_model(run, bundle / "saved_model")
    endpoints = {endpoint.name: endpoint.to_json() for endpoint in made.endpoints}
    manifest = {"recipe": {"name": run.config.model}, "endpoints": endpoints}
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    return made


@pytest.fixture
def written(exported, tmp_path):
    """What is written for a version of such a bundle: the samples given, and the folder of versions."""
    samples = samples_of(exported, 5)
    folder = tmp_path / "saved_model"
    folder.mkdir()
    tf_serving.write(folder, "served", "my bundle", exported.endpoints, samples, "3")
    return samples, folder
