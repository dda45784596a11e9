"""The smaller variants of a TFLite file rank as the float one does, and store every table once."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

import zoo
from export.endpoints import EndpointGraphs
from export.formats import quantization
from export.formats.quantization.parts import first_row
from export.formats.tflite import writer as tflite
from zoo.errors import UserError
from zoo.schema import Schema, Vocabulary

ITEMS, USERS, EXAMPLES = 6000, 1500, 40
# Items by architecture, so that its tables are large beside its graph: a least-squares solver and a recurrent layer
# are written out step by step.
LARGE = {
    **dict.fromkeys(("gmf", "mf", "ncf", "neumf", "svd", "two_tower", "autoencoder"), ITEMS),
    **dict.fromkeys(("ials", "lstm"), 20_000),
    "item_autoencoder": 1000,
}
# One of each family. The others are slow.
USUAL = ("mf", "ncf", "autoencoder")


def large_model(name, items=ITEMS, users=USERS, **hparams):
    """An architecture with vectors of varied lengths, as trained ones have."""
    model = zoo.build(name, Schema.of_ids(users, items, history_length=6), **hparams)
    rng = np.random.default_rng(0)
    weights = []
    for values in model.get_weights():
        is_table = values.ndim == 2 and len(values) in (items + 2, users + 2)
        if is_table:
            lengths = rng.lognormal(0, 0.4, (len(values), 1))
            values = (rng.normal(size=values.shape, scale=0.3) * lengths).astype(np.float32)
        weights.append(values)
    model.set_weights(weights)
    return model


def vocabularies(items=ITEMS, users=USERS):
    return {"user": Vocabulary(range(users)), "item": Vocabulary(range(items))}


def make_sample(model, seed=0):
    rng = np.random.default_rng(seed)
    query = {}
    for name in model.query_names:
        feature = model.schema[name]
        shape = (EXAMPLES, *feature.shape)
        indices = rng.integers(2, feature.size, shape).astype(np.int32) if feature.is_indexed else None
        query[name] = np.ones(shape, np.float32) if indices is None else indices
    nothing = np.zeros((EXAMPLES, 1), np.int32)
    items = rng.integers(2, model.num_items, (EXAMPLES, 12)).astype(np.int32)
    return {
        "recommend": {**query, "exclude": nothing, "candidates": nothing},
        "score": {**query, "items": items},
        "embed_query": query,
        "embed_items": {"items": items[:, 0]},
    }


def written(model, folder, variants, **options):
    known = vocabularies(model.num_items - 2, model.schema.size("user") - 2)
    graphs = EndpointGraphs(model, known, k=20)
    tflite.write(graphs, known, folder, quantize=variants, sample=make_sample(model, seed=1), **options)
    return graphs


def answer(folder, variant, endpoint, inputs):
    interpreter = Interpreter(str(folder / tflite.file_name(variant)))
    return interpreter.get_signature_runner(endpoint)(**inputs)


def size(folder, variant=None):
    return (folder / tflite.file_name(variant)).stat().st_size


def overlap(items, others):
    return np.mean([len(set(a[:10]) & set(b[:10])) / 10 for a, b in zip(items, others, strict=True)])


def layers(folder, variant):
    """The types of the input, the matrix and the output of each layer."""
    content = (folder / tflite.file_name(variant)).read_bytes()
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    found = []
    for graph in model.subgraphs:
        for operator in graph.operators:
            if model.operatorCodes[operator.opcodeIndex].builtinCode == schema.BuiltinOperator.FULLY_CONNECTED:
                tensors = (operator.inputs[0], operator.inputs[1], operator.outputs[0])
                found.append(tuple(graph.tensors[tensor].type for tensor in tensors))
    return found


@pytest.fixture(scope="module")
def factorization(tmp_path_factory):
    """A matrix factorization, its graphs and the folder of all its files."""
    folder = tmp_path_factory.mktemp("factorization")
    model = large_model("mf", biases=False)
    return model, written(model, folder, quantization.VARIANTS), folder


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A model with hidden layers, and the folder of all its files."""
    folder = tmp_path_factory.mktemp("network")
    model = large_model("ncf", items=3000, hidden=(128, 64, 32))
    written(model, folder, quantization.VARIANTS)
    return model, folder


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in USUAL else pytest.mark.slow) for name in LARGE]
)
def test_eight_bits_take_less_than_three_tenths_and_rank_alike(name, tmp_path):
    model = large_model(name, LARGE[name])
    written(model, tmp_path, ("dynamic", "int8"))
    inputs = make_sample(model)["recommend"]
    expected = answer(tmp_path, None, "recommend", inputs)
    for variant in ("dynamic", "int8"):
        assert size(tmp_path, variant) <= 0.3 * size(tmp_path)
        assert overlap(expected["items"], answer(tmp_path, variant, "recommend", inputs)["items"]) >= 0.9


def test_float16_takes_half(factorization):
    _, _, folder = factorization
    assert 0.5 < size(folder, "float16") / size(folder) < 0.53


@pytest.mark.parametrize("variant", quantization.VARIANTS)
def test_signatures_and_types_are_those_of_the_float_file(factorization, network, variant):
    for folder in (factorization[2], network[1]):
        interpreters = [Interpreter(str(folder / tflite.file_name(which))) for which in (None, variant)]
        expected, found = (interpreter.get_signature_list() for interpreter in interpreters)
        assert found == expected
        for name in expected:
            described = [interpreter.get_signature_runner(name) for interpreter in interpreters]
            for part in ("get_input_details", "get_output_details"):
                kinds = [
                    {key: value["dtype"] for key, value in getattr(runner, part)().items()} for runner in described
                ]
                assert kinds[0] == kinds[1]


@pytest.mark.parametrize("variant", quantization.VARIANTS)
@pytest.mark.parametrize("batch", [1, 3, 40])
def test_any_number_of_queries_is_answered_alike(network, variant, batch):
    model, folder = network
    inputs = make_sample(model)["score"]
    expected = answer(folder, variant, "score", inputs)["scores"]
    found = answer(folder, variant, "score", {name: values[:batch] for name, values in inputs.items()})["scores"]
    np.testing.assert_allclose(found, expected[:batch], atol=1e-4)


def test_half_floats_are_the_nearest_ones(factorization):
    _, graphs, folder = factorization
    items = np.arange(200, dtype=np.int32)
    vectors = answer(folder, "float16", "embed_items", {"items": items})["vectors"]
    nearest = graphs.catalogue[0].numpy()[items].astype(np.float16)
    np.testing.assert_array_equal(vectors, nearest.astype(np.float32))


@pytest.mark.parametrize("variant", ["dynamic", "int8"])
def test_a_looked_up_row_is_off_by_at_most_half_a_level(factorization, variant):
    _, graphs, folder = factorization
    items = np.arange(graphs.catalogue[0].shape[0], dtype=np.int32)
    vectors = answer(folder, variant, "embed_items", {"items": items})["vectors"]
    rows = graphs.catalogue[0].numpy()
    # The scale of a row is itself rounded, by up to 2 ** -10 of it.
    half_a_level = np.abs(rows).max(axis=1, keepdims=True) / 127 / 2 * (1 + 2**-9)
    assert (np.abs(vectors - rows) <= half_a_level + 1e-7).all()


def test_products_and_lookups_read_the_same_numbers(factorization):
    model, _, folder = factorization
    inputs = make_sample(model)["recommend"]
    best = answer(folder, "dynamic", "recommend", inputs)
    query = {name: inputs[name] for name in model.query_names}
    scores = answer(folder, "dynamic", "score", {**query, "items": best["items"]})["scores"]
    # They differ only because the product rounds the query to 8 bits.
    spread = np.std(best["scores"])
    assert np.abs(scores - best["scores"]).max() < 0.1 * spread


def test_a_model_without_hidden_layers_is_the_same_in_both_eight_bit_variants(factorization):
    _, _, folder = factorization
    contents = [(folder / tflite.file_name(variant)).read_bytes() for variant in ("dynamic", "int8")]
    # The zip behind the model has a time in it.
    assert contents[0][: 10**6] == contents[1][: 10**6]


def test_hidden_layers_take_and_give_eight_bits_only_where_ranges_were_measured(network):
    int8, float32 = schema.TensorType.INT8, schema.TensorType.FLOAT32
    assert (int8, int8, int8) in layers(network[1], "int8")
    assert {kinds[2] for kinds in layers(network[1], "dynamic")} == {float32}


def test_layers_that_reach_scores_or_vectors_stay_float(network, tmp_path):
    int8, float32 = schema.TensorType.INT8, schema.TensorType.FLOAT32
    model = large_model("two_tower", items=2000, hidden=(64,), dim=32)
    written(model, tmp_path, ("int8",))
    kinds = layers(tmp_path, "int8")
    # The last layer of the tower gives the vectors, so it is rounded on the way in only.
    assert (float32, int8, float32) in kinds
    assert (int8, int8, int8) in kinds


def test_comparisons_read_exact_numbers(tmp_path):
    # Neighbours are found by comparing how many items two users share with how many there are.
    model = zoo.build("userknn", Schema.of_ids(400, 300, history_length=6), neighbors=10)
    likes = np.random.default_rng(0).random((400, 300)) < 0.02
    model.solver(csr_matrix(np.pad(likes, [(2, 0), (2, 0)]).astype(np.float32)))
    written(model, tmp_path, ("dynamic", "int8"))
    inputs = make_sample(model)["recommend"]
    expected = answer(tmp_path, None, "recommend", inputs)
    for variant in ("dynamic", "int8"):
        assert overlap(expected["items"], answer(tmp_path, variant, "recommend", inputs)["items"]) > 0.95


def test_rows_of_zeros_stay_zeros(tmp_path):
    model = large_model("gmf", items=2000)
    weights = model.get_weights()
    for values in weights:
        if values.ndim == 2:
            values[: len(values) // 2] = 0
    model.set_weights(weights)
    written(model, tmp_path, ("dynamic",))
    vectors = answer(tmp_path, "dynamic", "embed_items", {"items": np.arange(900, dtype=np.int32)})["vectors"]
    assert not vectors.any()


def test_slices_of_a_table_are_places_inside_it(network):
    model, folder = network
    tables = sum(4 * np.prod(values.shape) for values in model.encode_catalogue())
    users = 4 * model.schema.size("user") * 32
    # The network scores the catalogue in three parts, and looks single items up in the whole.
    assert size(folder) < 1.2 * (tables + users)


def test_sharing_what_is_shared_changes_nothing(network):
    content = (network[1] / tflite.FILE).read_bytes()
    again = quantization.share_parts(content)
    # The zip behind it is not a part of the model.
    assert again == content[: len(again)]


@given(st.integers(0, 20), st.integers(1, 20), st.integers(1, 5), st.integers(0, 3))
def test_a_part_is_found_where_its_rows_are(before, length, width, seed):
    # Few different numbers, so that some rows are equal.
    whole = np.random.default_rng(seed).integers(0, 2, (50, width)).astype(np.float32)
    part = whole[before : before + length]
    found = first_row(whole.view(np.uint8).ravel(), part.copy().view(np.uint8).ravel(), width)
    assert found is not None
    assert found <= before
    np.testing.assert_array_equal(whole[found : found + length], part)


def test_a_table_that_is_no_part_is_not_found():
    whole, part = np.arange(20, dtype=np.float32), np.array([2, 3, 4, 6], np.float32)
    assert first_row(whole.view(np.uint8), part.view(np.uint8), 2) is None


def test_int8_without_the_inputs_of_an_endpoint_says_what_is_missing(network):
    content = (network[1] / tflite.FILE).read_bytes()
    with pytest.raises(UserError, match=r"lacks endpoints.*Received: \[\].*every endpoint.*'recommend', 'score'"):
        quantization.quantize(content, "int8", {})


def test_an_unknown_variant_gives_the_near_ones(network):
    with pytest.raises(UserError, match=r"Unknown quantization 'float15'. Did you mean 'float16'\?"):
        quantization.quantize((network[1] / tflite.FILE).read_bytes(), "float15")


def test_a_variant_in_a_file_of_a_users_own_is_offered(run_with_plugin):
    own = (
        "from export.formats.quantization import VARIANTS, Variant\n"
        "VARIANTS.register(Variant('sketch', 'a sketch', lambda network, content, sample: None))\n"
    )
    code = "from export.formats.quantization import VARIANTS; print(*VARIANTS)"
    assert run_with_plugin(own, code).split() == ["dynamic", "float16", "int8", "sketch"]
