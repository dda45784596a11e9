"""A new catalogue in a bundle: what is new, changed, withdrawn and back, and what is refused."""

from __future__ import annotations

import json
import shutil
from typing import Any

import numpy as np
import pandas as pd
import pytest

import export
from export.bundle.refresh import refresh
from export.formats import open_runtime
from export.verification.reference import load_sample
from zoo.errors import UserError
from zoo.families import Pairs, Recommender, Towers
from zoo.files import describe_files
from zoo.layers import CatalogueRows, Embedding
from zoo.registry import register
from zoo.saving import read_recommender

K = 10
ITEM_FEATURES = ("title", "year", "genres")


def catalogue(dataset) -> pd.DataFrame:
    """The table of items that the small data was made from, from what is known of them."""
    item = dataset.vocabularies["item"]
    year = dataset.schema["year"]
    genres = dataset.items["genres"][2:]
    return pd.DataFrame(
        {
            "item": item.values,
            "title": dataset.titles[2:],
            "year": np.round(dataset.items["year"][2:] * year.std + year.mean).astype(int),
            "genres": ["|".join(dataset.vocabularies["genres"].lookup(row[row > 1])) for row in genres],
        }
    )


def row_of(items: pd.DataFrame, like: int, **others: Any) -> pd.DataFrame:
    """The row of an item, with other values in some columns."""
    return items[items["item"] == like].assign(**others)


def call(bundle, endpoint: str, **inputs: Any) -> dict[str, np.ndarray]:
    """Asks a bundle's only artefact one query of nobody in particular, but for the inputs given."""
    described = next(one for one in bundle.endpoints if one.name == endpoint)
    runtime = open_runtime(bundle.folder, bundle.artefacts[0], bundle.endpoints, bundle.version)
    nothing = {
        info.name: np.full([size or 1 for size in info.shape], info.padding, "O" if info.dtype == "string" else None)
        for info in described.inputs
    }
    return runtime.run(endpoint, nothing | {name: np.array(value) for name, value in inputs.items()})


def vectors_of(bundle, *items: int) -> np.ndarray:
    return call(bundle, "embed_items", items=list(items))["vectors"]


def recommended(bundle, **inputs: Any) -> list[int]:
    items = call(bundle, "recommend", **inputs)["items"][0].tolist()
    return [item for item in items if item != -1]


@pytest.fixture(scope="module")
def towers_run(make_run, datasets):
    """Two towers that read every feature, of which the small data has all kinds."""
    return make_run("two_tower", datasets["text"], temperature=1.0)


@pytest.fixture(scope="module")
def shop(towers_run, tmp_path_factory) -> export.Bundle:
    return export.export(towers_run, tmp_path_factory.mktemp("shop") / "bundle", ("tflite",), k=K)


@pytest.fixture(scope="module")
def items(datasets) -> pd.DataFrame:
    return catalogue(datasets["text"])


@pytest.fixture(scope="module")
def refreshed(shop, items, tmp_path_factory):
    """100 and 101 are withdrawn, 105 has the features of 106, 500 is new with those of 103, 501 with unknown ones."""
    like_106 = row_of(items, 106, item=105)
    like_103 = row_of(items, 103, item=500)
    unlike_any = row_of(items, 103, item=501, genres="never seen|neither", title="", year=None)
    rest = items[~items["item"].isin([100, 101, 105])]
    return refresh(
        shop, pd.concat([unlike_any, rest, like_106, like_103]), tmp_path_factory.mktemp("refreshed") / "bundle"
    )


@pytest.fixture(scope="module")
def ids_shop(make_run, datasets, tmp_path_factory) -> export.Bundle:
    """A matrix factorization, which knows items by their ids."""
    return export.export(
        make_run("mf", datasets["ids"]), tmp_path_factory.mktemp("ids") / "bundle", ("saved_model",), k=K
    )


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
    """The vector of an item, were the features of the catalogue such."""
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


def test_in_place_the_next_version_stands_beside_the_former(ids_shop, tmp_path):
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


def test_elsewhere_the_old_bundle_stays_as_it_is(refreshed, shop):
    assert export.open_bundle(shop.folder).manifest == shop.manifest


def test_a_folder_that_is_there_is_not_replaced_unasked(shop, refreshed, items):
    with pytest.raises(UserError, match="exists already"):
        refresh(shop, items, refreshed.bundle.folder)


# Architectures that know items by their ids


def test_without_features_items_can_be_withdrawn(ids_shop, tmp_path):
    done = refresh(ids_shop, pd.DataFrame({"item": range(102, 130)}), tmp_path / "out")
    assert done.changes.withdrawn == [100, 101]
    assert recommended(done.bundle, candidates=[[100, 101, 102]]) == [102]


@pytest.mark.parametrize("name", ["ease", "ncf"])
def test_items_of_every_family_can_be_withdrawn(make_run, datasets, tmp_path, name):
    bundle = export.export(make_run(name, datasets["ids"]), tmp_path / "bundle", ("tflite",), k=K)
    done = refresh(bundle, pd.DataFrame({"item": range(102, 130)}))
    assert not {100, 101} & {item for n in range(24) for item in recommended(done.bundle, user=[f"u{n:02d}"])}


def test_without_features_new_items_are_refused_by_name(ids_shop, tmp_path):
    table = pd.DataFrame({"item": [*range(100, 130), *range(900, 907)]})
    with pytest.raises(UserError, match=r"7 items are new \(900, 901, 902, 903, 904, \.\.\.\), and mf knows an"):
        refresh(ids_shop, table, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_items_known_by_who_met_them_take_no_new_ones(make_run, datasets, tmp_path):
    bundle = export.export(make_run("item_autoencoder", datasets["ids"]), tmp_path / "bundle", ("tflite",), k=K)
    with pytest.raises(UserError, match="item_autoencoder knows an item by who has seen it"):
        refresh(bundle, pd.DataFrame({"item": [*range(100, 130), 900]}))


def test_a_pair_network_that_reads_features_takes_new_items(make_run, datasets, items, tmp_path, forgetful_registry):
    from keras import layers

    @register("pairs_of_features", objective="pointwise", query=("user",), tiny={})
    def pairs_of_features(schema) -> Pairs:
        """Users and the years of items."""
        year = CatalogueRows(schema.size("item"), schema["year"])(schema.input("item"))
        year = layers.Reshape((1,))(year)
        user = Embedding(schema.size("user"), 3)(schema.input("user"))
        return Pairs(query=user, item=year, logit=layers.Dense(1)(layers.Concatenate()([user, year])))

    bundle = export.export(make_run("pairs_of_features", datasets["text"]), tmp_path / "bundle", ("tflite",), k=K)
    done = refresh(bundle, pd.concat([items[["item", "year"]], row_of(items, 103, item=500)[["item", "year"]]]))
    assert done.changes.new == [500]
    scores = call(done.bundle, "score", items=[[103, 500]])["scores"][0]
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)


def test_weights_that_would_grow_otherwise_than_by_a_row_an_item_are_refused(
    make_run, datasets, items, tmp_path, forgetful_registry
):
    from keras import layers

    @register("columns_of_items", objective="pointwise", query=("user",), tiny={})
    def columns_of_items(schema) -> Towers:
        """An item tower over features, and a user tower as wide as there are items."""
        year = CatalogueRows(schema.size("item"), schema["year"])(schema.input("item"))
        user = layers.Dense(schema.size("item"))(Embedding(schema.size("user"), 3)(schema.input("user")))
        return Towers(query=layers.Dense(2)(user), item=layers.Dense(2)(layers.Reshape((1,))(year)))

    bundle = export.export(make_run("columns_of_items", datasets["text"]), tmp_path / "bundle", ("tflite",), k=K)
    before = describe_files(bundle.folder, but="")
    with pytest.raises(UserError, match=r"shape \(3, 32\) would have the shape \(3, 33\)"):
        refresh(bundle, pd.concat([items, row_of(items, 103, item=500)]))
    assert describe_files(bundle.folder, but="") == before


# The file


def test_a_file_is_read_like_the_items_of_a_dataset(shop, items, tmp_path):
    renamed = items.rename(columns={"item": "movieId", "year": "made"})
    for suffix, write in (("csv", renamed.to_csv), ("parquet", renamed.to_parquet)):
        write(tmp_path / f"items.{suffix}", index=False)
        done = refresh(shop, tmp_path / f"items.{suffix}", tmp_path / "out", columns={"made": "year"})
        assert done.changes.counts["unchanged"] == 30


def test_a_column_is_found_by_the_plainer_name_that_its_feature_has(shop, items, tmp_path):
    renamed = items.rename(columns={"genres": " genres?"})
    assert not refresh(shop, renamed, tmp_path / "out").changes


@pytest.mark.parametrize("feature", ITEM_FEATURES)
def test_a_feature_that_the_model_reads_must_be_there(shop, items, feature):
    with pytest.raises(UserError, match=f"items: has no column '{feature}'"):
        refresh(shop, items.drop(columns=feature))


def test_a_column_of_ids_must_be_there(shop, items):
    with pytest.raises(UserError, match="has no column 'item'"):
        refresh(shop, items.rename(columns={"item": "thing"}))


def test_a_column_to_be_renamed_must_be_there(shop, items):
    with pytest.raises(UserError, match=r"has no column 'yaer'\. Did you mean 'year'"):
        refresh(shop, items, columns={"yaer": "year"})


def test_a_file_must_be_there_and_readable(shop, tmp_path):
    with pytest.raises(UserError, match="no such file"):
        refresh(shop, tmp_path / "items.parquet")
    (tmp_path / "items.parquet").write_text("not Parquet")
    with pytest.raises(UserError, match="not readable as Parquet"):
        refresh(shop, tmp_path / "items.parquet")
    with pytest.raises(UserError, match="cannot be read as a table"):
        refresh(shop, tmp_path / "items.xlsx")


def test_an_item_that_is_there_twice_is_named_with_its_row(shop, items, tmp_path):
    pd.concat([items, row_of(items, 103)]).to_csv(tmp_path / "items.csv", index=False)
    with pytest.raises(UserError, match=r"items\.csv, row 32, column 'item': the item '103' has a row already"):
        refresh(shop, tmp_path / "items.csv")


def test_an_id_that_is_missing_is_named_with_its_row(shop, items):
    with pytest.raises(UserError, match="items, row 1, column 'item': a item id is missing"):
        refresh(shop, items.assign(item=[None, *items["item"][1:]]))


def test_ids_of_another_kind_are_named_with_their_row(shop, items):
    table = items.astype({"item": object})
    table.loc[4, "item"] = "A-104"
    with pytest.raises(UserError, match="row 5, column 'item': the ids of this bundle's items are integers"):
        refresh(shop, table)


def test_the_id_that_stands_for_padding_cannot_be_added(shop, items):
    with pytest.raises(UserError, match="the item -1 cannot be added"):
        refresh(shop, pd.concat([items, row_of(items, 103, item=-1)]))


def test_a_number_that_is_none_is_named_with_its_row(shop, items):
    table = items.astype({"year": object})
    table.loc[2, "year"] = "old"
    message = r"row 3, column 'year': expected a number, for the feature is numeric\. Received: 'old'"
    with pytest.raises(UserError, match=message):
        refresh(shop, table)


def test_a_catalogue_of_strangers_is_taken_for_a_mistake(shop, items):
    with pytest.raises(UserError, match="none of its items is in the bundle"):
        refresh(shop, items.assign(item=items["item"] + 1000))


def test_an_empty_file_is_refused(shop, items):
    with pytest.raises(UserError, match="has no rows"):
        refresh(shop, items[:0])


def test_fewer_items_than_k_are_refused_with_the_k_that_goes(shop, items):
    with pytest.raises(UserError, match=r"leaves 9 items to recommend, fewer than the k = 10 .* Pass -k 9 \(k=9\)"):
        refresh(shop, items[:9])
    with pytest.raises(UserError, match=r"leaves 12 items to recommend, fewer than the k = 13"):
        refresh(shop, items[:12], k=13)
    with pytest.raises(UserError, match="k must be between 1 and the 30 items"):
        refresh(shop, items, k=0)


def test_a_smaller_k_goes_with_a_smaller_catalogue(ids_shop, tmp_path):
    done = refresh(ids_shop, pd.DataFrame({"item": range(100, 105)}), tmp_path / "out", k=5)
    assert done.bundle.manifest["k"] == 5
    assert set(recommended(done.bundle)) == set(range(100, 105))


# The bundle


def test_a_folder_that_is_no_bundle_is_refused(items, tmp_path):
    with pytest.raises(UserError, match="not a bundle"):
        refresh(tmp_path, items)


def edited_manifest(folder, **others: Any) -> None:
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest |= {"files": describe_files(folder, but="manifest.json"), **others}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


@pytest.mark.parametrize("part", ["model", "preprocessing"])
def test_a_bundle_without_what_a_refresh_starts_from_is_refused(shop, items, tmp_path, part):
    folder = shutil.copytree(shop.folder, tmp_path / "shop")
    shutil.rmtree(folder / part)
    edited_manifest(folder)
    with pytest.raises(UserError, match=f"has no folder {part}, which holds what was trained"):
        refresh(folder, items)


def test_a_bundle_of_another_format_is_refused(shop, items, tmp_path):
    folder = shutil.copytree(shop.folder, tmp_path / "shop")
    edited_manifest(folder, format=1)
    with pytest.raises(UserError, match=r"a bundle written by recozoo 0\.1 \(format 1\)"):
        refresh(folder, items)


def test_a_bundle_that_was_edited_is_refused(shop, items, tmp_path):
    folder = shutil.copytree(shop.folder, tmp_path / "shop")
    with (folder / "model" / "weights.npz").open("r+b") as file:
        file.seek(100)
        file.write(b"edited")
    with pytest.raises(UserError, match=r"weights\.npz"):
        refresh(folder, items[1:])
