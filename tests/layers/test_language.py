"""Prompts from token tables, and the language model that reads them."""

from __future__ import annotations

import sys

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from zoo.errors import UserError
from zoo.layers.frozen import Frozen
from zoo.layers.language import (
    LanguageModel,
    described,
    from_description,
    need_keras_hub,
    preset_language_model,
    preset_tokenizer,
    small_language_model,
)
from zoo.layers.prompts import LEVELS, NO_TOKEN, NearestEvents, NearestLevel, TokenTable, WordTokenizer, levels_of


def test_words_of_earlier_groups_and_frequent_words_have_tokens():
    tokenizer = WordTokenizer([["yes", "no"], ["The red kettle", "the blue kettle", "a teapot"]], size=6)
    assert tokenizer("yes, no: THE kettle?") == [1, 2, 0, 3, 4, 0]
    assert tokenizer("red blue teapot") == [5, 0, 0]
    assert tokenizer("") == []


@given(st.lists(st.text(max_size=20), max_size=5), st.text(max_size=30), st.integers(1, 8))
def test_tokens_are_below_the_size_of_the_vocabulary(texts, text, size):
    assert all(0 <= token < size for token in WordTokenizer([texts], size)(text))


def test_a_table_cuts_long_texts_and_fills_up_short_ones():
    table = TokenTable(4, 2)
    table.set(["", "abc", "a"], encode=lambda text: [ord(letter) - ord("a") for letter in text])
    np.testing.assert_array_equal(table(np.array([[0, 1], [2, 3]])), [[[-1, -1], [0, 1]], [[0, -1], [-1, -1]]])
    assert not table.trainable_weights


def test_a_table_can_fill_up_in_front_so_that_the_last_token_is_there():
    table = TokenTable(2, 3, front=True)
    table.set(["a", "abcd"], encode=lambda text: [ord(letter) - ord("a") for letter in text])
    np.testing.assert_array_equal(table(np.array([0, 1])), [[-1, -1, 0], [0, 1, 2]])


def test_a_number_has_the_nearest_level():
    level = NearestLevel()
    level.set(np.array([-1.0, 3.0, 5.0]))
    np.testing.assert_array_equal(level(np.array([[-7.0, 0.9, 1.1], [4.1, 5.0, 1e6]])), [[0, 0, 1], [2, 2, 2]])


def test_levels_are_the_values_themselves_or_quantiles_of_many():
    np.testing.assert_array_equal(levels_of(np.array([3, 1, 3, 5])), [1, 3, 5])
    assert len(levels_of(np.ones(9))) == 0
    many = levels_of(np.arange(1000))
    assert len(many) == LEVELS
    assert (many[0], many[-1]) == (0, 999)


def test_the_nearest_events_come_in_the_order_of_the_history():
    vectors = np.array([[[0, 0], [1, 0], [0, 1], [0.6, 0.8], [-1, 0]]], np.float32)
    history, ratings = np.array([[0, 7, 8, 9, 6]], np.int32), np.array([[0, 1, 2, 3, 4]], np.float32)
    items, stars = NearestEvents(2)(history, ratings, vectors, np.array([[1, 0]], np.float32))
    np.testing.assert_array_equal(items, [[7, 9]])
    np.testing.assert_array_equal(stars, [[1, 3]])
    # What is there is nearer than what is not, however far it is.
    items, _ = NearestEvents(4)(history, ratings, vectors, np.array([[1, 0]], np.float32))
    np.testing.assert_array_equal(items, [[7, 8, 9, 6]])


@settings(deadline=None, max_examples=25)
@given(arrays.arrays(np.float32, (3, 6, 2), elements=st.sampled_from([-1.0, 0.0, 0.5, 1.0])), st.integers(1, 6))
def test_no_event_that_is_left_out_is_nearer_than_one_that_is_chosen(vectors, k):
    target = np.array([[1, 0]] * 3, np.float32)
    places = np.tile(np.arange(1, 7, dtype=np.int32), (3, 1))
    chosen = np.asarray(NearestEvents(k)(places, places.astype(np.float32), vectors, target)[0])
    for row, cosines in zip(chosen, vectors[..., 0], strict=True):
        assert list(row) == sorted(set(row.tolist()))
        others = np.delete(cosines, row - 1)
        assert not len(others) or cosines[row - 1].min() >= others.max()


def small(vocabulary=20, length=6, **kwargs):
    keras.utils.set_random_seed(0)
    given = {"dim": 8, "layers": 2, "heads": 2, "dropout": 0.0, **kwargs}
    return pytest.importorskip("keras_hub") and small_language_model(vocabulary, length, **given)


PROMPTS = np.array([[3, 4, NO_TOKEN, 5, NO_TOKEN, 6], [7, NO_TOKEN, NO_TOKEN, 8, 9, 10]], np.int32)


def make(backbone, answers=(1, 2), **kwargs):
    layer = LanguageModel(backbone, **kwargs)
    layer.answers.assign(answers)
    return layer


def test_the_logit_is_the_log_odds_of_the_two_answers():
    backbone = small()
    given = {"token_ids": np.maximum(PROMPTS, 0), "padding_mask": (PROMPTS != NO_TOKEN).astype(np.int32)}
    words = np.asarray(backbone.token_embedding(backbone(given)[:, -1], reverse=True), np.float64)
    likely = np.exp(words) / np.exp(words).sum(axis=1, keepdims=True)
    expected = np.log(likely[:, 1] / likely[:, 2])[:, None]
    np.testing.assert_allclose(make(backbone)(PROMPTS), expected, rtol=1e-4, atol=1e-6)


def test_a_soft_token_stands_where_a_token_would():
    backbone = small()
    rows = backbone.token_embedding.get_weights()[0]
    layer = make(backbone, soft_place=2)
    spoken = PROMPTS.copy()
    spoken[:, 2] = 11
    np.testing.assert_allclose(layer(PROMPTS, rows[[11, 11]]), layer(spoken), rtol=1e-5, atol=1e-7)
    assert np.abs(layer(PROMPTS) - layer(spoken)).max() > 1e-6


def test_adapters_change_nothing_at_first_and_are_all_that_is_trained():
    plain, adapted = make(small()), make(small(), lora_rank=2)
    adapted.start_from(plain)
    np.testing.assert_allclose(adapted(PROMPTS), plain(PROMPTS), rtol=1e-6, atol=1e-7)
    # For the queries and for the values of each of two layers a pair of adapters, and their biases.
    names = sorted(weight.name for weight in adapted.trainable_weights)
    assert names == ["bias"] * 4 + ["lora_kernel_a"] * 4 + ["lora_kernel_b"] * 4


def test_a_language_model_of_another_shape_cannot_be_taken_over():
    with pytest.raises(UserError, match="of another shape"):
        make(small()).start_from(make(small(dim=4)))


def test_a_description_builds_a_language_model_of_the_same_shape():
    backbone = small()
    again = from_description(described(backbone))
    assert [weight.shape for weight in again.weights] == [weight.shape for weight in backbone.weights]


def test_an_encoder_is_no_causal_language_model():
    keras_hub = pytest.importorskip("keras_hub")
    bert = keras_hub.models.RobertaBackbone(20, 1, 2, 8, 8, max_sequence_length=6)
    with pytest.raises(UserError, match="RobertaBackbone is not a causal language model"):
        LanguageModel(bert)


def test_a_backbone_without_layers_to_adapt_is_named(monkeypatch):
    backbone = small()
    monkeypatch.setattr(type(backbone), "default_lora_layer_names", lambda self: ["nowhere"])
    with pytest.raises(UserError, match="GPT2Backbone has no layers that lora_rank can adapt"):
        LanguageModel(backbone, lora_rank=2)


@pytest.mark.parametrize(
    ("hparams", "message"),
    [
        ({"layers": 0}, "layers must be at least 1. Received: 0"),
        ({"dim": 0}, "embedding_dim must be at least 1"),
        ({"heads": 3}, "embedding_dim must be a multiple of heads. Received: 8 and 3"),
        ({"vocabulary": 0}, "vocabulary must be at least 1"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1. Received: 1.0"),
    ],
)
def test_sizes_that_make_no_language_model_are_named(hparams, message):
    with pytest.raises(UserError, match=message):
        small(**hparams)


def test_without_keras_hub_the_extra_to_install_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(UserError, match=r"pip install \"recozoo\[text\]\""):
        need_keras_hub()


@pytest.mark.parametrize("load", [preset_language_model, preset_tokenizer])
def test_a_preset_that_does_not_exist_is_named(load, tmp_path):
    pytest.importorskip("keras_hub")
    with pytest.raises(UserError, match="no_such_preset"):
        load(str(tmp_path / "no_such_preset"))


def test_what_is_frozen_has_the_weights_of_the_trained_and_keeps_them():
    def parts():
        query, item = keras.Input((3,), name="query"), keras.Input((2,), name="item")
        of_query, of_item = keras.layers.Dense(4)(query), keras.layers.Dense(4)(item)
        both = keras.layers.Dropout(0.5)(keras.layers.Dense(2)(of_query * of_item))
        return query, item, of_query, of_item, both

    query, item, of_query, of_item, both = parts()
    frozen = Frozen([of_query], [of_item], both)
    model = keras.Model([query, item], frozen.both)
    assert len(model.trainable_weights) == 6
    other_query, other_item, *_, other = parts()
    trained = keras.Model([other_query, other_item], other)
    frozen.freeze(other)
    given = [np.ones((5, 3), np.float32), np.ones((5, 2), np.float32)]
    np.testing.assert_array_equal(model(given), trained(given))
    # Its dropout is on in training, as when it was trained.
    dropped = model(given, training=True).numpy()
    np.testing.assert_array_equal(dropped[dropped != 0], 2 * trained(given).numpy()[dropped != 0])
    assert 0 < (dropped == 0).sum() < dropped.size
    assert not model.trainable_weights
