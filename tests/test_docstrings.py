"""Every example in a docstring runs and gives what it says."""

from __future__ import annotations

import doctest
import importlib
import io
import pkgutil

import pytest

import export
import zoo

# Modules whose examples do not run yet.
NOT_YET = (
    *("zoo.bench.margins", "zoo.bench.summary", "zoo.cold_start", "zoo.comparison", "zoo.data.stream_preparation"),
    *("zoo.data.text.hub", "zoo.data.text.sentences", "zoo.evaluation.sampled", "zoo.layers.basic"),
    *("zoo.layers.features", "zoo.layers.interactions", "zoo.layers.language", "zoo.run", "zoo.training.loop"),
    *("zoo.training.train", "export.bundle.publishing", "export.bundle.refresh", "export.formats.quantization"),
    *("export.formats.tflite.writer", "export.serving.client", "export.serving.tfrs"),
)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def module_names() -> list[str]:
    """Every module of the two packages but the one that runs the command when it is imported."""
    packages = [(package.__path__, package.__name__) for package in (zoo, export)]
    found = [module.name for path, name in packages for module in pkgutil.walk_packages(path, f"{name}.")]
    return ["zoo", "export", *(name for name in found if name != "zoo.__main__")]


@pytest.mark.parametrize("name", module_names())
def test_the_examples_of_a_module_run(name, monkeypatch, tmp_path):
    if name in NOT_YET:
        pytest.skip("its examples do not run yet")
    # What an example writes goes into an empty folder.
    monkeypatch.chdir(tmp_path)
    for example in doctest.DocTestFinder().find(importlib.import_module(name), name):
        said = io.StringIO()
        runner = doctest.DocTestRunner(optionflags=FLAGS)
        assert runner.run(example, out=said.write).failed == 0, said.getvalue()
