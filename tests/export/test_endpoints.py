"""Every artefact has the endpoints that the manifest describes, and they answer alike."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from tensorflow.core.protobuf import saved_model_pb2

from export.endpoints import EndpointGraphs, unrolled
from zoo.families.top_k import NO_ITEM_SCORE
from zoo.keras_internals import flatten_layers

ONNX_TYPES = {
    onnx.TensorProto.STRING: "string",
    onnx.TensorProto.INT64: "int64",
    onnx.TensorProto.INT32: "int32",
    onnx.TensorProto.FLOAT: "float32",
}
BUNDLES = ("bundle", "features_bundle")
FORMATS = ("saved_model", "onnx", "tflite")
ENDPOINTS = ("recommend", "score", "embed_query", "embed_items")

# What each kind of artefact says of its own inputs and outputs: (name, dtype, shape) of each.


def onnx_says(folder, endpoint):
    graph = onnx.load(folder / "onnx" / f"{endpoint}.onnx").graph

    def described(value):
        kind = value.type.tensor_type
        return value.name, ONNX_TYPES[kind.elem_type], tuple(dim.dim_value or None for dim in kind.shape.dim)

    return [described(value) for value in graph.input], [described(value) for value in graph.output]


def saved_model_says(folder, endpoint):
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((folder / "saved_model" / "1" / "saved_model.pb").read_bytes())
    signature = saved.meta_graphs[0].signature_def[endpoint]

    def described(name, info):
        shape = tuple(None if dim.size == -1 else dim.size for dim in info.tensor_shape.dim)
        return name, tf.as_dtype(info.dtype).name, shape

    return [[described(*item) for item in part.items()] for part in (signature.inputs, signature.outputs)]


def tflite_says(folder, endpoint):
    runner = Interpreter(str(folder / "tflite" / "model.tflite")).get_signature_runner(endpoint)

    def described(name, info):
        shape = tuple(None if size == -1 else int(size) for size in info["shape_signature"])
        return name, np.dtype(info["dtype"]).name, shape

    return [
        [described(*item) for item in part.items()]
        for part in (runner.get_input_details(), runner.get_output_details())
    ]


@pytest.mark.parametrize("name", BUNDLES)
@pytest.mark.parametrize("endpoint", range(4), ids=ENDPOINTS)
def test_onnx_has_the_inputs_and_outputs_of_the_manifest_in_order(request, name, endpoint):
    bundle = request.getfixturevalue(name)
    described = bundle.endpoints[endpoint]
    assert onnx_says(bundle.folder, described.name) == tuple(
        [(info.name, info.dtype, info.shape) for info in part] for part in (described.inputs, described.outputs)
    )


@pytest.mark.parametrize("name", BUNDLES)
@pytest.mark.parametrize("endpoint", range(4), ids=ENDPOINTS)
def test_saved_model_has_the_inputs_and_outputs_of_the_manifest(request, name, endpoint):
    bundle = request.getfixturevalue(name)
    described = bundle.endpoints[endpoint]
    says = saved_model_says(bundle.folder, described.name)
    for part, infos in zip(says, (described.inputs, described.outputs), strict=True):
        assert sorted(part) == sorted((info.name, info.dtype, info.shape) for info in infos)


@pytest.mark.parametrize("name", BUNDLES)
@pytest.mark.parametrize("endpoint", range(4), ids=ENDPOINTS)
def test_tflite_has_the_inputs_and_outputs_of_the_manifest_as_indices(request, name, endpoint):
    bundle = request.getfixturevalue(name)
    described = bundle.endpoints[endpoint]
    says = tflite_says(bundle.folder, described.name)
    for part, infos in zip(says, (described.inputs, described.outputs), strict=True):
        assert sorted(part) == sorted(
            (info.name, "int32" if info.vocabulary else info.dtype, info.shape) for info in infos
        )


def test_inputs_come_in_the_order_of_the_schema_with_the_items_last(features_bundle, features_run):
    recommend, score, embed_query, embed_items = features_bundle.endpoints
    query = [info.name for info in recommend.inputs[:-2]]
    in_schema = [feature.name for feature in features_run.dataset.schema]
    assert query == sorted(query, key=in_schema.index)
    assert [info.name for info in recommend.inputs] == [*query, "exclude", "candidates"]
    assert [info.name for info in score.inputs] == [*query, "items"]
    assert [info.name for info in embed_query.inputs] == query
    assert [info.name for info in embed_items.inputs] == ["items"]
    assert {"group", "age", "history", "history_rating", "device"} <= set(query)


# Answers


def queries(bundle, number, lists=3):
    """Queries in which everything is padding, zero or empty."""
    return {
        endpoint.name: {
            info.name: np.full(
                (number, *(size or lists for size in info.shape[1:])),
                {"string": "", "int64": -1, "float32": 0}[info.dtype],
                {"string": object}.get(info.dtype, info.dtype),
            )
            for info in endpoint.inputs
        }
        for endpoint in bundle.endpoints
    }


@pytest.mark.parametrize("loaded", ["", "features_"])
@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("number", [1, 2, 33])
def test_every_format_gives_outputs_of_the_same_names_dtypes_and_shapes(request, loaded, endpoint, number):
    bundle = request.getfixturevalue(f"{loaded}bundle")
    inputs = queries(bundle, number)[endpoint]
    answers = [runtime.run(endpoint, inputs) for runtime in request.getfixturevalue(f"{loaded}runtimes").values()]
    (described,) = (each for each in bundle.endpoints if each.name == endpoint)
    for answer in answers:
        assert {name: (values.dtype, values.shape) for name, values in answer.items()} == {
            info.name: (
                np.dtype(object if info.dtype == "string" else info.dtype),
                (number, *(size or 3 for size in info.shape[1:])),
            )
            for info in described.outputs
        }
        figures = "vectors" if "vectors" in answer else "scores"
        np.testing.assert_allclose(answer[figures], answers[0][figures], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", FORMATS)
def test_the_answer_says_which_ids_were_unknown(runtimes, bundle, run, name):
    known = run.dataset.vocabularies["item"].to_json()
    inputs = queries(bundle, 2)["recommend"]
    inputs["user"] = np.array(["never seen", "user 1"], object)
    inputs["exclude"] = np.array([[known[0], "nor this", ""], ["", "", known[3]]], object)
    answer = runtimes[name].run("recommend", inputs)
    assert answer["unknown_user"].tolist() == [1, 0]
    assert answer["unknown_exclude"].tolist() == [[0, 1, 0], [0, 0, 0]], "padding is not unknown"
    assert answer["unknown_candidates"].tolist() == [[0, 0, 0], [0, 0, 0]]
    scored = runtimes[name].run("score", {"user": inputs["user"], "items": np.array([["x", known[1]]] * 2, object)})
    assert scored["unknown_items"].tolist() == [[1, 0], [1, 0]]


@pytest.mark.parametrize("name", FORMATS)
def test_the_dot_product_of_embeddings_is_the_score(runtimes, run, name):
    users, items = np.array(["a,b", "user 1"], object), np.array(["item 3", "never seen", "é"], object)
    query = runtimes[name].run("embed_query", {"user": users})["vectors"]
    embedded = runtimes[name].run("embed_items", {"items": items})
    scores = runtimes[name].run("score", {"user": users, "items": np.stack([items] * 2)})["scores"]
    np.testing.assert_allclose(query @ embedded["vectors"].T, scores, rtol=0, atol=1e-6)
    assert embedded["unknown_items"].tolist() == [0, 1, 0]


def test_only_towers_have_embeddings(make_run, datasets):
    run = make_run("popularity", datasets["ids"])
    names = [endpoint.name for endpoint in EndpointGraphs(run.model, run.dataset.vocabularies).endpoints]
    assert names == ["recommend", "score"]


def test_the_vectors_are_described_with_what_makes_ratings_of_dot_products(make_run, datasets):
    run = make_run("mf", datasets["ids"])
    run.model.set_rating_scale(3.5, 1.25)
    embed_query = EndpointGraphs(run.model, run.dataset.vocabularies).endpoints[2]
    assert "times 1.25 plus 3.5" in embed_query.outputs[0].about


def test_withdrawn_items_are_never_recommended_and_still_scored(make_run, datasets):
    run = make_run("mf", datasets["ids"])
    graphs = EndpointGraphs(run.model, run.dataset.vocabularies, withdrawn=[4, 6])
    recommend, score = graphs.endpoints[:2]
    nothing = tf.zeros((1, 1), tf.int32)
    tensors = {"user": tf.constant([3]), "exclude": nothing, "candidates": nothing}
    items = set(graphs.call(recommend, tensors)["items"].numpy().ravel().tolist())
    assert not items & {4, 6}
    assert {3, 5} <= items
    scores = graphs.call(score, {"user": tf.constant([3]), "items": tf.constant([[4, 6]])})["scores"]
    assert np.isfinite(scores.numpy()).all()
    assert (scores.numpy() > NO_ITEM_SCORE).all()


@pytest.mark.parametrize("name", FORMATS)
def test_lists_of_any_width_may_follow_each_other(runtimes, bundle, run, name):
    known = run.dataset.vocabularies["item"].to_json()
    whole = runtimes[name].run("recommend", queries(bundle, 2)["recommend"])["items"]
    for width in (1, 5, 0, 12, 2):
        inputs = queries(bundle, 2)["recommend"]
        inputs["exclude"] = np.array([known[:width], known[:width][::-1]], object).reshape(2, width)
        items = runtimes[name].run("recommend", inputs)["items"]
        left = [[item for item in row if item not in known[:width]] for row in whole.tolist()]
        assert items.tolist() == [row + [""] * width for row in left]


@pytest.mark.parametrize("name", FORMATS)
def test_only_candidates_that_are_known_and_not_excluded_are_recommended(runtimes, bundle, run, name):
    known = run.dataset.vocabularies["item"].to_json()
    inputs = queries(bundle, 1)["recommend"]
    inputs["candidates"] = np.array([[known[4], "never seen", known[9], "", known[4], known[2]]], object)
    inputs["exclude"] = np.array([[known[9], "never seen either"]], object)
    answer = runtimes[name].run("recommend", inputs)
    assert set(answer["items"][0, :2]) == {known[4], known[2]}
    assert set(answer["items"][0, 2:]) == {""}
    assert (answer["scores"][0, 2:] == np.float32(NO_ITEM_SCORE)).all()
    assert (answer["scores"][0, :2] > NO_ITEM_SCORE).all()


@pytest.mark.parametrize("name", FORMATS)
def test_an_unknown_user_gets_what_the_model_says_of_nobody(runtimes, bundle, run, name):
    inputs = queries(bundle, 2)["recommend"]
    inputs["user"] = np.array(["never seen", "user 1"], object)
    answer = runtimes[name].run("recommend", inputs)
    items, scores = run.model.recommend({"user": [1, *run.dataset.vocabularies["user"].index(["user 1"])]}, 20)
    np.testing.assert_allclose(answer["scores"], scores, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(answer["items"], run.dataset.vocabularies["item"].lookup(items))


@pytest.mark.parametrize("name", FORMATS)
def test_an_unknown_item_is_legal_and_has_the_score_of_unknown(runtimes, bundle, run, name):
    inputs = queries(bundle, 1)["score"]
    inputs["items"] = np.array([["never seen", "item 3", "😀"]], object)
    scores = runtimes[name].run("score", inputs)["scores"]
    indices = [1, *run.dataset.vocabularies["item"].index(["item 3", "😀"])]
    np.testing.assert_allclose(scores, run.model.score({"user": [0]}, [indices]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", FORMATS)
def test_a_list_of_no_candidates_means_the_whole_catalogue(runtimes, bundle, run, name):
    inputs = queries(bundle, 1)["recommend"]
    inputs["candidates"] = np.empty((1, 0), object)
    items = runtimes[name].run("recommend", inputs)["items"]
    assert set(items[0]) == set(run.dataset.vocabularies["item"].to_json())


# Features


def model_scores(run, inputs, **encoded):
    """What the trained model says to the same padding and zeros, with some inputs already encoded."""
    schema, vocabularies = run.dataset.schema, run.dataset.vocabularies
    query = {}
    for name in run.model.query_names:
        feature = schema[name]
        empty = np.zeros((len(inputs["items"]), *feature.shape), feature.dtype)
        query[name] = empty if feature.is_indexed else (empty - feature.mean) / feature.std
        query[name] = np.asarray(encoded.get(name, query[name]), feature.dtype)
    return run.model.score(query, vocabularies["item"].index(inputs["items"].ravel()).reshape(inputs["items"].shape))


@pytest.fixture
def score_inputs(features_bundle):
    def make(number):
        inputs = queries(features_bundle, number)["score"]
        inputs["items"] = np.tile([100, 117, 129], (number, 1))
        return inputs

    return make


@pytest.mark.parametrize("name", FORMATS)
def test_raw_numbers_are_standardised_inside_the_artefact(features_runtimes, features_run, score_inputs, name):
    ages = np.array([18.0, 41.5, 80.0], np.float32)
    feature = features_run.dataset.schema["age"]
    assert feature.mean > 18
    assert feature.std > 1
    inputs = {**score_inputs(3), "age": ages}
    scores = features_runtimes[name].run("score", inputs)["scores"]
    expected = model_scores(features_run, inputs, age=(ages - feature.mean) / feature.std)
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-5)
    assert not np.allclose(scores[0], scores[2], atol=1e-4)


@pytest.mark.parametrize("name", FORMATS)
def test_a_number_that_is_not_known_counts_as_the_mean(features_runtimes, features_run, score_inputs, name):
    mean = features_run.dataset.schema["age"].mean
    inputs = {**score_inputs(3), "age": np.array([np.nan, mean, 18], np.float32)}
    scores = features_runtimes[name].run("score", inputs)["scores"]
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores[0], scores[1], rtol=0, atol=1e-5)
    assert not np.allclose(scores[0], scores[2], atol=1e-4)


@pytest.mark.parametrize("name", FORMATS)
def test_ratings_of_a_history_are_scaled_inside_the_artefact(features_runtimes, features_run, score_inputs, name):
    inputs = score_inputs(2)
    inputs["history"][:, -3:] = [103, 999, 120]
    inputs["history_rating"][:, -3:] = [[5, 1, 2], [1, 2, 2]]
    scores = features_runtimes[name].run("score", inputs)["scores"]
    history = features_run.dataset.vocabularies["item"].index(inputs["history"].ravel()).reshape(2, -1)
    assert history[0, -3:].tolist() == [5, 1, 22]
    expected = model_scores(features_run, inputs, history=history, history_rating=inputs["history_rating"] / 5)
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-5)
    assert not np.allclose(scores[0], scores[1], atol=1e-6)


@pytest.mark.parametrize("name", FORMATS)
def test_an_unknown_category_is_legal_and_differs_from_a_known_one(features_runtimes, features_run, score_inputs, name):
    inputs = {**score_inputs(3), "group": np.array(["even", "never seen", "odd"], object)}
    scores = features_runtimes[name].run("score", inputs)["scores"]
    groups = features_run.dataset.vocabularies["group"].index(["even", "never seen", "odd"])
    assert groups[1] == 1
    expected = model_scores(features_run, inputs, group=groups)
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-5)
    assert not np.allclose(scores[0], scores[1], atol=1e-6)


def test_recurrent_layers_are_unrolled_only_while_they_are_exported(make_run, datasets):
    model = make_run("lstm", datasets["ids"]).model
    (layer,) = (layer for layer in flatten_layers(model) if hasattr(layer, "unroll"))
    with unrolled(model):
        assert layer.unroll
    assert not layer.unroll
    with pytest.raises(RuntimeError), unrolled(model):
        raise RuntimeError
    assert not layer.unroll
