"""A new catalogue in a bundle: what is new, changed, withdrawn and back, and where it goes."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from shops import call, recommended, vectors_of

import export
from export.bundle.refresh import refresh
from export.verification.reference import load_sample
from zoo.errors import UserError
from zoo.families import Recommender
from zoo.saving import read_recommender

# What changes


def test_an_unchanged_catalogue_publishes_nothing(shop, items, tmp_path):
    done = refresh(shop, items.sample(frac=1, random_state=0), tmp_path / "out")
    assert done.changes.counts == {"new": 0, "changed": 0, "withdrawn": 0, "returned": 0, "unchanged": 30}
    assert not done.changes
    assert done.bundle.folder == shop.folder
    assert not (tmp_path / "out").exists()


def test_every_item_is_of_one_sort(refreshed):
    changes = refreshed.changes
    assert sorted(changes.new) == [500, 501]
    assert (changes.changed, changes.withdrawn, changes.returned) == ([105], [100, 101], [])
    assert len(changes.unchanged) == 27


def test_the_manifest_says_what_was_refreshed_and_what_is_withdrawn(refreshed, shop):
    manifest = refreshed.bundle.manifest
    assert manifest["refreshed"] == {"from_version": shop.version, **refreshed.changes.counts}
    assert manifest["withdrawn"] == [100, 101]
    assert int(manifest["version"]) == int(shop.version) + 1
    for carried in ("k", "metrics", "formats", "source", "interactions", "baseline"):
        assert manifest[carried] == shop.manifest[carried]
    assert manifest["data"]["items"] == 32


def test_the_new_bundle_passes_its_own_verification(refreshed):
    checks = export.verify(refreshed.bundle)
    assert checks
    assert all(check.passed for check in checks)


def test_an_unchanged_item_keeps_its_vector_and_a_query_too(refreshed, shop):
    kept = refreshed.changes.unchanged
    np.testing.assert_allclose(vectors_of(refreshed.bundle, *kept), vectors_of(shop, *kept), atol=1e-6)
    asked = {"user": ["u01"], "history": [[0] * 6 + [100, 117]], "history_rating": [np.ones(8, np.float32)]}
    before, after = (call(one, "embed_query", **asked)["vectors"] for one in (shop, refreshed.bundle))
    np.testing.assert_allclose(after, before, atol=1e-6)


def test_a_changed_item_is_encoded_with_its_own_id_and_its_new_features(refreshed, towers_run, datasets):
    item = datasets["text"].vocabularies["item"]
    at, other = item.index([105, 106])
    values = {name: rows.copy() for name, rows in datasets["text"].items.items()}
    for rows in values.values():
        rows[at] = rows[other]
    expected = encoded(towers_run.model, datasets["text"], values, at)
    np.testing.assert_allclose(vectors_of(refreshed.bundle, 105)[0], expected, atol=1e-6)


def test_a_new_item_is_an_unknown_id_with_known_features(refreshed, towers_run, datasets):
    like = datasets["text"].vocabularies["item"].index([103])[0]
    values = {name: rows.copy() for name, rows in datasets["text"].items.items()}
    for rows in values.values():
        rows[1] = rows[like]
    expected = encoded(towers_run.model, datasets["text"], values, 1)
    np.testing.assert_allclose(vectors_of(refreshed.bundle, 500)[0], expected, atol=1e-6)


def test_what_was_never_seen_in_training_is_unknown(refreshed, towers_run, datasets):
    values = {name: rows.copy() for name, rows in datasets["text"].items.items()}
    values["genres"][1] = [1, 1] + [0] * (values["genres"].shape[1] - 2)
    expected = encoded(towers_run.model, datasets["text"], values, 1)
    np.testing.assert_allclose(vectors_of(refreshed.bundle, 501)[0], expected, atol=1e-6)


def encoded(model: Recommender, dataset, values: dict[str, np.ndarray], index: int) -> np.ndarray:
    """The vector that an item has with these features of the catalogue."""
    model.adapt(items=values)
    try:
        return np.asarray(model.encode_items(np.array([index], np.int32)))[0]
    finally:
        model.adapt(items=dataset.items)


def test_a_withdrawn_item_is_known_and_scored_but_never_recommended(refreshed):
    answer = call(refreshed.bundle, "recommend", candidates=[[100, 101, 102]], exclude=[[100]])
    assert answer["items"][0].tolist()[:2] == [102, -1]
    assert not answer["unknown_candidates"].any()
    everyone = {recommended(refreshed.bundle, user=[f"u{n:02d}"])[0] for n in range(24)}
    assert not everyone & {100, 101}
    assert np.isfinite(call(refreshed.bundle, "score", items=[[100]])["scores"]).all()


def test_a_new_item_can_be_recommended_and_excluded(refreshed):
    assert recommended(refreshed.bundle, candidates=[[500, 103]], exclude=[[103]]) == [500]
    assert recommended(refreshed.bundle, candidates=[[500, 103]], exclude=[[500]]) == [103]


def test_an_item_that_is_back_is_recommended_again(refreshed, items, tmp_path):
    done = refresh(refreshed.bundle, items, tmp_path / "again")
    assert done.changes.returned == [100, 101]
    assert done.changes.changed == [105]
    assert sorted(done.changes.withdrawn) == [500, 501]
    assert recommended(done.bundle, candidates=[[100, 500]]) == [100]
    assert int(done.bundle.version) == int(refreshed.bundle.version) + 1


def test_the_sample_of_users_waits_for_no_withdrawn_item(refreshed, shop):
    before, after = load_sample(shop.folder), load_sample(refreshed.bundle.folder)
    assert np.isin([100, 101], before["relevant"]).any()
    assert not np.isin([100, 101], after["relevant"]).any()
    assert not np.isin([100, 101], after["recommended"]).any()
    assert (after["relevant"] != -1).any(axis=1).all()
    assert len({len(values) for values in after.values()}) == 1


def test_titles_are_those_of_the_new_catalogue(refreshed, items):
    titles = json.loads((refreshed.bundle.folder / "titles.json").read_text(encoding="utf-8"))
    title_of = dict(zip(items["item"], items["title"], strict=True))
    assert len(titles) == 32
    assert titles[:2] == [title_of[100], title_of[101]]
    assert titles[5] == title_of[106]
    assert set(titles[30:]) == {title_of[103], "501"}


def test_no_weight_is_trained_and_new_rows_are_those_of_the_unknown_item(refreshed, shop):
    before, after = (read_recommender(one.folder / "model") for one in (shop, refreshed.bundle))
    grown = 0
    for old, new in zip(before.weights, after.weights, strict=True):
        if "catalogue_rows" in old.path:
            continue
        rows = old.shape[0] if len(old.shape) else 0
        if new.shape == old.shape:
            np.testing.assert_array_equal(new, old)
        else:
            grown += 1
            np.testing.assert_array_equal(new[:rows], old)
            np.testing.assert_array_equal(new[rows:], np.repeat(old.numpy()[1:2], 2, axis=0))
    assert grown == 2  # the ids of the item tower and those of histories


# Where it goes


def test_the_next_version_in_place_stands_beside_the_former(ids_shop, tmp_path):
    folder = shutil.copytree(ids_shop.folder, tmp_path / "shop")
    done = refresh(folder, pd.DataFrame({"item": range(100, 129)}))
    assert done.bundle.folder == folder
    assert done.bundle.version == "2"
    assert {path.name for path in (folder / "saved_model").iterdir() if path.is_dir()} == {"1", "2"}
    assert [path.name for path in tmp_path.iterdir()] == ["shop"]


def test_a_link_to_a_bundle_stays_a_link(shop, items, tmp_path):
    folder = shutil.copytree(shop.folder, tmp_path / "shop")
    (tmp_path / "current").symlink_to(folder)
    refresh(tmp_path / "current", items[1:])
    assert (tmp_path / "current").is_symlink()
    assert export.open_bundle(folder).version == "2"


def test_the_old_bundle_stays_as_it_is_when_the_new_one_goes_elsewhere(refreshed, shop):
    assert export.open_bundle(shop.folder).manifest == shop.manifest


def test_a_folder_that_is_there_is_not_replaced_unasked(shop, refreshed, items):
    with pytest.raises(UserError, match="exists already"):
        refresh(shop, items, refreshed.bundle.folder)
