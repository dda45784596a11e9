"""The catalogues and bundles that a refresh takes, and those that it refuses."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pandas as pd
import pytest
from shops import ITEM_FEATURES, recommended, row_of

from export.bundle.refresh import refresh
from zoo.errors import UserError
from zoo.files import describe_files

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
    (tmp_path / "items.png").write_bytes(b"\x89PNG\0")
    with pytest.raises(UserError, match="cannot be read as a table"):
        refresh(shop, tmp_path / "items.png")


def test_an_item_that_is_there_twice_is_named_with_its_row(shop, items, tmp_path):
    pd.concat([items, row_of(items, 103)]).to_csv(tmp_path / "items.csv", index=False)
    with pytest.raises(UserError, match=r"items\.csv, row 32, column 'item': the item '103' has a row already"):
        refresh(shop, tmp_path / "items.csv")


def test_an_id_that_is_missing_is_named_with_its_row(shop, items):
    with pytest.raises(UserError, match="items, row 1, column 'item': the item id is missing"):
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
    message = r"row 3, column 'year': expected a number, because the feature is numeric\. Received: 'old'"
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
