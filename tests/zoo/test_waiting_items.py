"""Items with a row of their own and no interactions: in the catalogue where the architecture reads features."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import zoo
from zoo.data import prepare
from zoo.errors import UserError
from zoo.saving import read_dataset

NEW = [98, 99]


@pytest.fixture(scope="module")
def data():
    """Twenty users of twelve items, and two more items that nobody has met. Every item is red or blue."""
    rng = np.random.default_rng(0)
    rows = [(user, item) for user in range(20) for item in rng.choice(12, 6, replace=False)]
    items = pd.DataFrame({"item": [*range(12), *NEW], "title": [f"Thing {item}" for item in [*range(12), *NEW]]})
    items["colour"] = np.where(items["item"] % 2, "red", "blue")
    interactions = pd.DataFrame(rows, columns=["user", "item"]).assign(timestamp=range(len(rows)))
    return prepare(interactions, items=items, features={"title": "ignore"}, name="things")


def trained(model, source, **settings):
    return zoo.train(
        model,
        source,
        progress=False,
        hparams=dict(zoo.info(model).tiny),
        train={"epochs": 1},
        evaluate={"resamples": 10, "ks": [3]},
        **settings,
    )


@pytest.fixture(scope="module")
def run(data):
    return trained("two_tower", data)


def test_an_architecture_that_reads_features_recommends_them(run):
    found = run.recommend([3], k=14, exclude_seen=False)
    assert set(found["item"]) == {*range(12), *NEW}
    assert found.set_index("item")["title"][98] == "Thing 98"
    assert np.isfinite(found["score"]).all()
    assert "2 items of the items table have no interactions; their features tell of them (data.catalogue)." in (
        run.dataset.notes
    )


def test_they_have_the_vector_of_an_unknown_item_with_their_features(run):
    red, blue = (run.dataset.vocabularies["item"].index([item]) for item in (99, 98))
    vectors = run.model.encode_items(np.concatenate([red, blue]))
    vectors = np.asarray(vectors)
    assert not np.allclose(vectors[0], vectors[1])
    colours = run.dataset.vocabularies["colour"].lookup(run.dataset.items["colour"][[*red, *blue]])
    assert colours.tolist() == ["red", "blue"]


def test_a_run_with_them_comes_back_as_it_was_saved(run, tmp_path):
    again = zoo.load(run.save(tmp_path / "run"))
    pd.testing.assert_frame_equal(again.recommend([3, 4], k=14), run.recommend([3, 4], k=14))
    assert again.evaluate(resamples=10).to_json() == run.evaluate(resamples=10).to_json()


def test_an_architecture_of_ids_says_how_many_it_leaves_out(data):
    run = trained("mf", data)
    assert run.dataset.vocabularies["item"].to_json() == list(range(12))
    expected = "2 items of the items table have no interactions; they were left out, because mf knows an item only by"
    assert any(note.startswith(expected) for note in run.dataset.notes)


def test_they_are_left_out_where_the_user_says_so(tmp_path):
    pd.DataFrame({"user": [1, 1, 2, 2, 3], "item": [7, 8, 7, 9, 9]}).to_csv(tmp_path / "visits.csv", index=False)
    pd.DataFrame({"item": [7, 8, 9, 10], "colour": ["red", "red", "blue", "blue"]}).to_csv(
        tmp_path / "items.csv", index=False
    )
    said = {"items": str(tmp_path / "items.csv"), "catalogue": "interactions"}
    split = {"name": "random", "options": {"valid": 0, "test": 0}}
    run = trained("two_tower", tmp_path / "visits.csv", data=said, split=split)
    assert run.dataset.vocabularies["item"].to_json() == [7, 8, 9]
    with pytest.raises(UserError, match=r"data\.catalogue is all, but mf knows an item only by its id"):
        trained("mf", tmp_path / "visits.csv", data={**said, "catalogue": "all"}, split=split)


def test_they_wait_in_an_interrupted_run(data, tmp_path):
    data.save_for_training(tmp_path)
    again = read_dataset(tmp_path)
    assert again.waiting.name == data.waiting.name
    assert again.waiting.frame.to_numpy().tolist() == data.waiting.frame.astype(str).to_numpy().tolist()


def test_items_whose_ids_are_of_another_kind_are_left_out():
    data = prepare(
        pd.DataFrame({"user": [1, 1, 2], "item": [7, 8, 7]}),
        items=pd.DataFrame({"item": ["7", "8", "x", "9"], "colour": ["red", "red", "blue", "blue"]}),
    )
    assert data.waiting.frame["item"].tolist() == ["9"]
    assert "1 items of the items table have no interactions; they were left out." in data.notes
