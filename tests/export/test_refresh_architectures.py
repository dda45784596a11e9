"""Which architectures take new items, and which only let items be withdrawn."""

from __future__ import annotations

import pandas as pd
import pytest
from shops import K, call, recommended, row_of

import export
from export.bundle.refresh import refresh
from zoo.errors import UserError
from zoo.families import Pairs, Towers
from zoo.files import describe_files
from zoo.layers import CatalogueRows, Embedding
from zoo.registry import register


def test_items_can_be_withdrawn_without_features(ids_shop, tmp_path):
    done = refresh(ids_shop, pd.DataFrame({"item": range(102, 130)}), tmp_path / "out")
    assert done.changes.withdrawn == [100, 101]
    assert recommended(done.bundle, candidates=[[100, 101, 102]]) == [102]


@pytest.mark.parametrize("name", ["ease", "ncf"])
def test_items_of_every_family_can_be_withdrawn(make_run, datasets, tmp_path, name):
    bundle = export.export(make_run(name, datasets["ids"]), tmp_path / "bundle", ("tflite",), k=K)
    done = refresh(bundle, pd.DataFrame({"item": range(102, 130)}))
    assert not {100, 101} & {item for n in range(24) for item in recommended(done.bundle, user=[f"u{n:02d}"])}


def test_new_items_are_refused_by_name_without_features(ids_shop, tmp_path):
    table = pd.DataFrame({"item": [*range(100, 130), *range(900, 907)]})
    with pytest.raises(UserError, match=r"7 items are new \(900, 901, 902, 903, 904, \.\.\.\), and mf knows an"):
        refresh(ids_shop, table, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_items_known_by_who_has_seen_them_take_no_new_ones(make_run, datasets, tmp_path):
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


def test_weights_that_would_not_grow_by_a_row_an_item_are_refused(
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
