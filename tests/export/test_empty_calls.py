"""Calls without rows and lists without values have one answer in every format."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import export
from export.formats import open_runtime

FORMATS = ("saved_model", "onnx", "tflite")


@pytest.fixture(scope="module", params=["mf", "lstm", "ncf"])
def bundle(request, make_run, datasets, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles") / "shop"
    return export.export(make_run(request.param, datasets["features"]), folder, FORMATS, k=5)


@pytest.fixture(scope="module")
def runtimes(bundle):
    return {name: open_runtime(bundle.folder, name, bundle.endpoints, bundle.version) for name in FORMATS}


def call(endpoint, rows: int, width: int, seed: int = 0):
    """Inputs of an endpoint with so many rows, and so many values in lists of any length."""
    rng = np.random.default_rng(seed)
    inputs = {}
    for info in endpoint.inputs:
        shape = [rows if place == 0 else width if size is None else size for place, size in enumerate(info.shape)]
        ids = rng.integers(100, 130, shape)
        inputs[info.name] = ids.astype(str).astype(object) if info.dtype == "string" else ids.astype(info.dtype)
    return inputs


@pytest.mark.parametrize(("rows", "width"), [(0, 1), (0, 0), (2, 0), (1, 0)])
def test_an_empty_call_is_answered_alike(bundle, runtimes, rows, width):
    for endpoint in bundle.endpoints:
        inputs = call(endpoint, rows, width)
        answers = {name: runtime.run(endpoint.name, inputs) for name, runtime in runtimes.items()}
        for info in endpoint.outputs:
            expected = answers["saved_model"][info.name]
            assert len(expected) == (rows if endpoint.name != "embed_items" else len(inputs["items"]))
            for name in ("onnx", "tflite"):
                assert answers[name][info.name].shape == expected.shape, (endpoint.name, info.name)
                if info.dtype == "float32":
                    np.testing.assert_allclose(answers[name][info.name], expected, rtol=1e-5, atol=1e-5)


def test_a_call_after_an_empty_one_is_answered_as_before(bundle, runtimes):
    endpoint = next(one for one in bundle.endpoints if one.name == "score")
    full, empty = call(endpoint, 3, 4), call(endpoint, 3, 0)
    for runtime in runtimes.values():
        before = runtime.run("score", full)["scores"]
        runtime.run("score", empty)
        np.testing.assert_array_equal(runtime.run("score", full)["scores"], before)


def test_threads_that_share_a_runtime_get_their_own_answers(bundle, runtimes):
    calls = [call(bundle.endpoints[0], 3, 2, seed) for seed in range(8)]
    for runtime in runtimes.values():
        expected = [runtime.run("recommend", inputs)["scores"] for inputs in calls]
        wrong = []

        def ask(number, runtime=runtime, expected=expected, wrong=wrong):
            for _ in range(30):
                if not np.array_equal(runtime.run("recommend", calls[number])["scores"], expected[number]):
                    wrong.append(number)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
