from __future__ import annotations

import doctest

import numpy as np
import pytest
from scipy.sparse import csr_matrix

import zoo
import zoo.saving
from zoo.families import blocks as module
from zoo.families.blocks import blocks
from zoo.families.contracts import derived_notes
from zoo.schema import FIRST_KNOWN, Schema


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("numbers", [[], [5], [4, 4, 4], [9, 1, 1, 9, 30, 2, 2]])
def test_blocks_hold_every_query_once_and_keep_their_bound(monkeypatch, numbers):
    monkeypatch.setattr(module, "NUMBERS_AT_ONCE", 10)
    made = list(blocks(np.array(numbers)))
    assert [place for block in made for place in range(block.start, block.stop)] == list(range(len(numbers)))
    assert all(sum(numbers[block]) <= 10 or block.stop - block.start == 1 for block in made)


@pytest.mark.parametrize("name", ["popularity", "userknn"])
def test_recommendations_do_not_depend_on_the_blocks(monkeypatch, name):
    likes = np.random.default_rng(0).integers(0, 2, (30, 9)).astype(np.float32)
    model = zoo.build(name, Schema.of_ids(30, 9, history_length=9))
    model.solver(csr_matrix(np.pad(likes, [(FIRST_KNOWN, 0), (FIRST_KNOWN, 0)])))
    known = {
        "user": np.arange(FIRST_KNOWN, 32),
        "history": np.where(likes, np.arange(FIRST_KNOWN, 11), 0),
        "history_rating": likes,
    }
    query = {key: known[key] for key in model.query_names}
    exclude = known["history"]
    whole = model.recommend(query, 3, exclude=exclude), model.recommend(query, 3, candidates=exclude)
    monkeypatch.setattr(module, "NUMBERS_AT_ONCE", 25)
    parts = model.recommend(query, 3, exclude=exclude), model.recommend(query, 3, candidates=exclude)
    for (items, scores), (expected_items, expected_scores) in zip(parts, whole, strict=True):
        np.testing.assert_array_equal(items, expected_items)
        np.testing.assert_allclose(scores, expected_scores, rtol=1e-6)


def test_a_note_says_what_a_solver_derived_and_what_it_changed():
    assert derived_notes({"a": 1, "b": None}, {}) == []
    assert derived_notes({"a": 1}, {"a": 1}) == []
    assert derived_notes({"a": 9, "b": None}, {"a": 1, "b": 0.5}) == ["Derived from the data: a=1 (not 9), b=0.5."]


def test_what_a_solver_derives_is_in_the_recipe_and_builds_the_same_model_again():
    likes = np.random.default_rng(0).integers(0, 2, (30, 9)).astype(np.float32)
    model = zoo.build("ials", Schema.of_ids(30, 9, history_length=9), embedding_dim=4)
    assert model.recipe["hparams"]["unobserved_weight"] is None
    model.solver(csr_matrix(np.pad(likes, [(FIRST_KNOWN, 0), (FIRST_KNOWN, 0)])))
    density = likes.sum() / likes.size
    assert model.recipe["hparams"]["unobserved_weight"] == pytest.approx(15 * density)
    again = type(model).from_config(model.get_config())
    again.set_weights(model.get_weights())
    query = {"history": np.where(likes, np.arange(FIRST_KNOWN, 11), 0), "history_rating": likes}
    items = np.tile(np.arange(FIRST_KNOWN, 11), (30, 1))
    np.testing.assert_allclose(again.score(query, items), model.score(query, items), rtol=1e-6)
