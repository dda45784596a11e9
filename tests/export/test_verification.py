"""Verification must catch every way in which an artefact can differ from the trained model."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import onnx
import pytest

import zoo.recommender
from export import saved_model, tflite
from export.endpoints import EndpointGraphs
from export.verification import (
    BATCH_SIZES,
    REFERENCE,
    compare,
    make_queries,
    model_answer,
    verify_artefacts,
    write_reference,
)
from zoo.errors import ZooError
from zoo.recommender import NO_ITEM_SCORE
from zoo.run import Run
from zoo.schema import UNKNOWN


def failed(folder, bundle, format_name) -> set[str]:
    """The endpoints of an artefact that verification finds wrong."""
    checks = verify_artefacts(folder, bundle.endpoints, (format_name,))
    return {check.endpoint for check in checks if not check.passed}


# Planted in the artefact


def rewrite_attached_vocabularies(path, change):
    content = path.read_bytes()
    with zipfile.ZipFile(path) as attached:
        vocabularies = json.loads(attached.read(tflite.VOCABULARIES))
        model = content[: attached.infolist()[0].header_offset]
    change(vocabularies)
    path.write_bytes(model)
    with zipfile.ZipFile(path, "a") as attached:
        attached.writestr(tflite.VOCABULARIES, json.dumps(vocabularies))


@pytest.mark.parametrize("vocabulary", ["user", "item"])
def test_two_swapped_values_in_the_vocabularies_attached_to_tflite_are_caught(damaged, bundle, vocabulary):
    def swap(vocabularies):
        values = vocabularies[vocabulary]["values"]
        values[2], values[5] = values[5], values[2]

    rewrite_attached_vocabularies(damaged / "tflite" / tflite.FILE, swap)
    assert failed(damaged, bundle, "tflite") == {"recommend", "score"}


def test_vocabularies_attached_again_unchanged_pass(damaged, bundle):
    rewrite_attached_vocabularies(damaged / "tflite" / tflite.FILE, lambda vocabularies: None)
    assert failed(damaged, bundle, "tflite") == set()


def label_encoder(model, tensor):
    """The node that looks up an input, or that looks up an output."""
    return next(
        node for node in model.graph.node if node.op_type == "LabelEncoder" and tensor in (*node.input, *node.output)
    )


def attribute(node, name):
    return next(attribute for attribute in node.attribute if attribute.name == name)


@pytest.mark.parametrize(
    ("endpoint", "tensor", "values"),
    [
        ("score", "user", "keys_strings"),
        ("score", "items", "keys_strings"),
        ("recommend", "exclude", "keys_strings"),
        ("recommend", "candidates", "keys_strings"),
        ("recommend", "items", "values_strings"),
    ],
)
def test_two_swapped_values_in_an_onnx_label_encoder_are_caught(damaged, bundle, endpoint, tensor, values):
    path = damaged / "onnx" / f"{endpoint}.onnx"
    model = onnx.load(path)
    strings = attribute(label_encoder(model, tensor), values).strings
    strings[3], strings[6] = strings[6], strings[3]
    onnx.save(model, path)
    assert failed(damaged, bundle, "onnx") == {endpoint}


@pytest.mark.parametrize("tensor", ["exclude", "candidates"])
def test_an_input_that_onnx_takes_for_padding_is_caught(damaged, bundle, tensor):
    path = damaged / "onnx" / "recommend.onnx"
    model = onnx.load(path)
    encoder = label_encoder(model, tensor)
    indices = attribute(encoder, "values_int64s").ints
    indices[:] = [0] * len(indices)
    attribute(encoder, "default_int64").i = 0
    onnx.save(model, path)
    assert failed(damaged, bundle, "onnx") == {"recommend"}


def test_unknown_ids_that_onnx_takes_for_a_known_one_are_caught(damaged, bundle):
    path = damaged / "onnx" / "score.onnx"
    model = onnx.load(path)
    attribute(label_encoder(model, "user"), "default_int64").i = 2
    onnx.save(model, path)
    assert failed(damaged, bundle, "onnx") == {"score"}


# Planted in what an artefact is made of


@pytest.fixture
def write_saved_model(run, bundle, tmp_path):
    """Writes a SavedModel of (changed) graphs beside the reference of the model as it was trained."""

    def write(change=lambda graphs: None):
        graphs = EndpointGraphs(run.model, run.dataset)
        change(graphs)
        saved_model.write(graphs, run.dataset.vocabularies, tmp_path / "saved_model")
        (tmp_path / REFERENCE).write_bytes((bundle.folder / REFERENCE).read_bytes())
        return tmp_path

    return write


MASKS = {
    "exclude is ignored": lambda exclude, candidates: (exclude * 0, candidates),
    "candidates are ignored": lambda exclude, candidates: (exclude, candidates * 0),
    "both are mistaken for each other": lambda exclude, candidates: (candidates, exclude),
    "only the first excluded item counts": lambda exclude, candidates: (exclude[:, :1], candidates),
}


@pytest.mark.parametrize("mask", MASKS)
def test_a_wrong_mask_is_caught(write_saved_model, bundle, monkeypatch, mask):
    right = zoo.recommender.allowed_items
    monkeypatch.setattr(
        zoo.recommender,
        "allowed_items",
        lambda exclude, candidates, num_items: right(*MASKS[mask](exclude, candidates), num_items),
    )
    assert failed(write_saved_model(), bundle, "saved_model") == {"recommend"}


def test_a_flipped_sign_of_the_scores_is_caught(write_saved_model, bundle):
    folder = write_saved_model(lambda graphs: graphs.catalogue[0].assign(-graphs.catalogue[0]))
    assert failed(folder, bundle, "saved_model") == {"recommend", "score"}


@pytest.mark.parametrize(("shift", "endpoints"), [(2e-5, {"recommend", "score"}), (1e-7, set())])
def test_item_biases_may_be_off_by_rounding_and_no_more(write_saved_model, bundle, shift, endpoints):
    def add(graphs):
        bias = np.zeros(graphs.catalogue[0].shape, np.float32)
        bias[:, -1] = shift
        graphs.catalogue[0].assign_add(bias)

    assert failed(write_saved_model(add), bundle, "saved_model") == endpoints


def test_a_stale_weight_is_caught(run, bundle, tmp_path):
    trained = Run.load(run.save(tmp_path / "run"))
    graphs = EndpointGraphs(trained.model, trained.dataset)
    tflite.write(graphs, trained.dataset.vocabularies, tmp_path / "tflite")
    write_reference(trained.model, trained.dataset, graphs, tmp_path)
    assert failed(tmp_path, bundle, "tflite") == set()

    item_biases = next(weight for weight in trained.model.weights if weight.shape == (graphs.catalogue[0].shape[0], 1))
    values = item_biases.numpy()
    values[7] += 0.001
    item_biases.assign(values)
    write_reference(trained.model, trained.dataset, graphs, tmp_path)
    assert failed(tmp_path, bundle, "tflite") == {"recommend", "score"}


@pytest.mark.parametrize(("change", "passes"), [(2e-5, False), (-2e-5, False), (1e-7, True)])
@pytest.mark.parametrize("endpoint", ["recommend", "score"])
def test_one_score_of_all_may_be_off_by_rounding_and_no_more(damaged, bundle, endpoint, change, passes):
    with np.load(damaged / REFERENCE) as stored:
        arrays = dict(stored)
    arrays[f"{endpoint}/outputs/scores"][101, 3] += np.float32(change)
    np.savez(damaged / REFERENCE, **arrays)
    checks = verify_artefacts(damaged, bundle.endpoints, ("onnx",))
    assert {check.endpoint for check in checks if not check.passed} == (set() if passes else {endpoint})
    if not passes:
        largest = {check.largest_difference for check in checks if check.endpoint == endpoint}
        assert all(1e-5 < difference < 3e-5 for difference in largest)


# Comparing


@pytest.fixture(scope="module")
def recommend(bundle):
    return bundle.endpoints[0]


@pytest.fixture(scope="module")
def score(bundle):
    return bundle.endpoints[1]


def ranking(items: str, scores) -> dict[str, np.ndarray]:
    """One ranking, an item a letter."""
    return {"items": np.array([list(items)], object), "scores": np.array([scores], np.float32)}


TRAINED = ranking("abcd", [0.9, 0.5, 0.5, 0.1])


@pytest.mark.parametrize(
    ("items", "scores", "places"),
    [
        pytest.param("abcd", [0.9, 0.5, 0.5, 0.1], 0, id="the same"),
        pytest.param("abcd", [0.9, 0.500001, 0.5, 0.1], 0, id="rounded differently"),
        pytest.param("acbd", [0.9, 0.5, 0.5, 0.1], 0, id="tied items swapped"),
        pytest.param("abce", [0.9, 0.5, 0.5, 0.1], 0, id="the last place might be tied with one not stored"),
        pytest.param("bacd", [0.9, 0.5, 0.5, 0.1], 2, id="untied items swapped"),
        pytest.param("abbd", [0.9, 0.5, 0.5, 0.1], 1, id="a tied item repeated"),
        pytest.param("aecd", [0.9, 0.5, 0.5, 0.1], 1, id="an item from outside above the last place"),
        pytest.param("abdc", [0.9, 0.5, 0.5, 0.1], 2, id="the last two, untied"),
        pytest.param("dcba", [0.9, 0.5, 0.5, 0.1], 2, id="reversed"),
    ],
)
def test_a_place_may_hold_another_item_only_where_scores_are_tied(recommend, items, scores, places):
    check = compare("onnx", recommend, 1, ranking(items, scores), TRAINED)
    assert check.rank_differences == places
    assert check.passed == (places == 0)


def test_a_tie_that_reaches_the_last_place_may_be_broken_by_any_item(recommend):
    expected = ranking("abcd", [0.9, 0.5, 0.5, 0.5])
    assert compare("onnx", recommend, 1, ranking("aefc", [0.9, 0.5, 0.5, 0.5]), expected).passed
    assert not compare("onnx", recommend, 1, ranking("aeec", [0.9, 0.5, 0.5, 0.5]), expected).passed
    assert not compare("onnx", recommend, 1, ranking("ebcd", [0.9, 0.5, 0.5, 0.5]), expected).passed


def test_neighbours_in_a_chain_of_near_ties_may_swap_but_not_its_ends(recommend):
    scores = [0.5, 0.5 - 0.8e-5, 0.5 - 1.6e-5, 0.1]
    expected = ranking("abcd", scores)
    assert compare("onnx", recommend, 1, ranking("bacd", scores), expected).passed
    assert compare("onnx", recommend, 1, ranking("cbad", scores), expected).rank_differences == 2


def test_an_item_where_none_is_left_is_caught(recommend):
    expected = {
        "items": np.array([["a", ""]], object),
        "scores": np.array([[0.9, NO_ITEM_SCORE]], np.float32),
    }
    assert compare("onnx", recommend, 1, expected, expected).passed
    scored = {**expected, "scores": np.array([[0.9, 0.8]], np.float32)}
    assert not compare("onnx", recommend, 1, scored, expected).passed


def test_a_wrong_score_fails_although_the_ranking_is_right(recommend):
    check = compare("onnx", recommend, 1, ranking("abcd", [0.9, 0.5, 0.5, 0.2]), TRAINED)
    assert not check.passed
    assert check.rank_differences == 0
    assert check.largest_difference == pytest.approx(0.1, abs=1e-6)


@pytest.mark.parametrize(("given", "wanted"), [(np.nan, 0.5), (0.5, np.nan), (np.nan, np.nan), (np.inf, 0.5)])
def test_a_score_that_is_no_number_fails(score, given, wanted):
    answer, expected = ({"scores": np.array([[0.1, value]], np.float32)} for value in (given, wanted))
    check = compare("tflite", score, 1, answer, expected)
    assert not check.passed
    assert check.largest_difference > 1e300


def test_another_shape_is_an_error_that_names_format_endpoint_and_shapes(score):
    answer, expected = {"scores": np.zeros((2, 3))}, {"scores": np.zeros((2, 4))}
    with pytest.raises(ZooError, match=r"tflite score: gave shape \(2, 3\), expected \(2, 4\)"):
        compare("tflite", score, 1, answer, expected)


def test_a_check_says_in_words_what_was_compared_and_what_came_of_it(recommend):
    good = compare("onnx", recommend, 7, TRAINED, TRAINED)
    assert str(good) == "onnx recommend, batch 7, 1 queries: largest difference 0.0e+00"
    bad = compare("onnx", recommend, 7, ranking("bacd", [0.9, 0.5, 0.5, 0.1]), TRAINED)
    assert str(bad).endswith(", 2 places differ")


# The queries


@pytest.fixture(scope="module")
def queries(features_run, features_bundle):
    """What verification asks each endpoint of an architecture that reads every kind of feature."""
    run, endpoints = features_run, features_bundle.endpoints
    return {endpoint.name: make_queries(run.dataset, run.model, endpoint) for endpoint in endpoints}


@pytest.fixture(scope="module")
def indices(features_run, features_bundle, queries):
    """The queries with every value that is looked up in a vocabulary as its index."""
    vocabularies = features_run.dataset.vocabularies
    return {
        endpoint.name: {
            info.name: vocabularies[info.vocabulary].index(values.ravel()).reshape(values.shape)
            for info in endpoint.inputs
            if info.vocabulary
            for values in [queries[endpoint.name][info.name]]
        }
        for endpoint in features_bundle.endpoints
    }


@pytest.mark.parametrize("endpoint", ["recommend", "score"])
def test_at_least_200_queries_with_every_input_are_asked(features_bundle, queries, endpoint):
    (described,) = (e for e in features_bundle.endpoints if e.name == endpoint)
    assert list(queries[endpoint]) == [info.name for info in described.inputs]
    for info in described.inputs:
        values = queries[endpoint][info.name]
        assert len(values) >= 200
        assert values.shape[1:] == tuple(
            size or have for size, have in zip(info.shape[1:], values.shape[1:], strict=True)
        )


@pytest.mark.parametrize("name", ["user", "group", "device", "history", "exclude", "candidates"])
def test_unknown_values_are_asked_for(indices, name):
    asked = indices["recommend"][name]
    assert (asked == UNKNOWN).any()
    assert (asked > UNKNOWN).any()


def test_histories_of_every_length_are_asked_for(indices, features_run):
    full = features_run.dataset.schema["history"].length
    lengths = set(np.count_nonzero(indices["recommend"]["history"], axis=1).tolist())
    assert lengths == set(range(full + 1))


def test_histories_are_padded_in_front(indices):
    there = indices["recommend"]["history"] != 0
    assert (np.diff(there.astype(int), axis=1) >= 0).all()


def test_numbers_are_asked_for_in_raw_units_and_missing(features_run, queries):
    feature = features_run.dataset.schema["age"]
    asked = queries["recommend"]["age"]
    assert np.isnan(asked).any()
    assert abs(np.nanmean(asked) - feature.mean) < feature.std


def test_one_query_excludes_everything_but_three_items(indices, features_run):
    excluded = [len(set(row[row > UNKNOWN].tolist())) for row in indices["recommend"]["exclude"]]
    assert max(excluded) == len(features_run.dataset.vocabularies["item"]) - 3


def test_some_queries_exclude_nothing_and_some_a_few(indices):
    excluded = np.count_nonzero(indices["recommend"]["exclude"] > UNKNOWN, axis=1)
    assert (excluded == 0).any()
    assert ((excluded > 0) & (excluded < 20)).any()


def test_some_queries_have_candidates_and_most_choose_from_the_whole_catalogue(indices):
    candidates = (indices["recommend"]["candidates"] != 0).any(axis=1)
    assert 20 <= candidates.sum() < len(candidates) / 2


def test_scores_of_known_and_unknown_items_are_asked_for(indices, features_run):
    asked = set(indices["score"]["items"].ravel().tolist())
    assert asked == set(range(UNKNOWN, features_run.model.num_items))


def test_the_queries_are_the_same_every_time(features_run, features_bundle, queries):
    again = make_queries(features_run.dataset, features_run.model, features_bundle.endpoints[0])
    for name, values in queries["recommend"].items():
        np.testing.assert_array_equal(again[name], values)


def test_batches_are_single_ragged_and_large(queries):
    number = len(queries["recommend"]["user"])
    assert min(BATCH_SIZES) == 1
    assert max(BATCH_SIZES) > 32
    assert any(number % size for size in BATCH_SIZES)


def test_the_reference_holds_what_the_trained_model_answers(run, bundle):
    endpoint = bundle.endpoints[0]
    with np.load(bundle.folder / REFERENCE) as stored:
        inputs = {info.name: stored[f"recommend/inputs/{info.name}"].astype(object) for info in endpoint.inputs}
        answer = model_answer(run.model, run.dataset, bundle.manifest["k"], endpoint, inputs)
        np.testing.assert_array_equal(stored["recommend/outputs/items"], answer["items"].astype(str))
        np.testing.assert_allclose(stored["recommend/outputs/scores"], answer["scores"], rtol=0, atol=1e-6)
        # Where all but three items are excluded, three are left and the rest is nothing.
        assert np.count_nonzero(stored["recommend/outputs/items"][0] != "") == 3


def test_an_excluded_item_is_wrong_even_where_its_score_is_tied(recommend):
    expected = {"items": np.array([[5, 6]]), "scores": np.array([[0.5, 0.5]], np.float32)}
    answer = {"items": np.array([[5, 7]]), "scores": expected["scores"]}
    assert compare("onnx", recommend, 1, answer, expected, exclude=np.array([[8]])).passed
    assert not compare("onnx", recommend, 1, answer, expected, exclude=np.array([[7]])).passed


def test_the_tolerance_grows_with_scores_above_one(score):
    expected = {"scores": np.array([[300.0]], np.float64)}
    assert compare("onnx", score, 1, {"scores": np.array([[300.002]])}, expected).passed
    assert not compare("onnx", score, 1, {"scores": np.array([[300.004]])}, expected).passed
