from __future__ import annotations

import contextlib
import json
import shutil

import numpy as np
import pandas as pd
import pytest

import zoo
from zoo.errors import UserError
from zoo.run import Run

SETTINGS = {"train": {"epochs": 2, "batch_size": 64}, "hparams": {"hidden": 8}, "evaluate": {"resamples": 20}}


@pytest.fixture(scope="module")
def run(datasets):
    return zoo.train("autoencoder", datasets["text"], progress=False, **SETTINGS)


@pytest.fixture(scope="module")
def saved(run, tmp_path_factory):
    return run.save(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def met(run):
    """The raw ids of the items that each raw user met, in whatever part."""
    users, items = (run.dataset.vocabularies[role] for role in ("user", "item"))
    rows = run.dataset.interactions
    found: dict[str, set[int]] = {}
    for user, item in zip(users.lookup(rows["user"]), items.lookup(rows["item"]), strict=True):
        found.setdefault(user, set()).add(item)
    return found


def items_of(frame):
    return {user: list(rows["item"]) for user, rows in frame.groupby("user", sort=False)}


# Recommending


def test_recommendations_come_with_rank_score_and_title(run):
    frame = run.recommend(["u03", "u00"], k=4)
    assert list(frame.columns) == ["user", "rank", "item", "score", "title"]
    assert frame["user"].tolist() == ["u03"] * 4 + ["u00"] * 4
    assert frame["rank"].tolist() == [1, 2, 3, 4] * 2
    for _, rows in frame.groupby("user"):
        assert rows["score"].is_monotonic_decreasing
    for item, title in zip(frame["item"], frame["title"], strict=True):
        assert title.startswith("The ")
        assert title.endswith(f" number {item - 100}")


def test_items_a_user_met_are_never_recommended(run, met):
    found = items_of(run.recommend(list(met), k=30))
    for user, seen in met.items():
        assert set(found[user]) == set(range(100, 130)) - seen


def test_items_a_user_met_may_be_asked_for(run, met):
    found = items_of(run.recommend(list(met), k=30, exclude_seen=False))
    assert all(set(items) == set(range(100, 130)) for items in found.values())


def test_what_is_recommended_is_what_the_model_scores_best(run, met):
    data, model = run.dataset, run.model
    users = data.vocabularies["user"].index(list(met))
    query = data.queries(model.query_names, users, "train", "valid", "test", "query")
    scores = model.score(query, np.tile(np.arange(2, 32), (len(users), 1)))
    frame = run.recommend(list(met), k=5)
    for row, user in enumerate(met):
        allowed = [place for place in np.argsort(-scores[row]) if place + 100 not in met[user]]
        rows = frame[frame["user"] == user]
        np.testing.assert_allclose(rows["score"], scores[row, allowed[:5]], atol=1e-6)
        assert rows["item"].tolist() == [place + 100 for place in allowed[:5]]


def test_an_unknown_user_gets_something_too(run):
    frame = run.recommend(["nobody", "u00", "no one"], k=3)
    found = items_of(frame)
    assert found["nobody"] == found["no one"]
    assert len(found["nobody"]) == 3


def test_excluded_items_are_left_out_for_everybody(run):
    found = items_of(run.recommend(["u00", "nobody"], k=30, exclude=[100, "101"], exclude_seen=False))
    assert all(set(items) == set(range(102, 130)) for items in found.values())


def test_only_candidates_are_recommended(run, met):
    found = items_of(run.recommend(["u00", "nobody"], k=10, candidates=[105, 106, 128]))
    assert set(found["nobody"]) == {105, 106, 128}
    assert set(found["u00"]) == {105, 106, 128} - met["u00"]


def test_a_user_with_nothing_left_has_no_rows(run, met):
    frame = run.recommend(["u00", "nobody"], k=3, candidates=sorted(met["u00"])[:2])
    assert set(frame["user"]) == {"nobody"}


@pytest.mark.parametrize("what", ["candidates", "exclude"])
def test_an_unknown_item_is_named(run, what):
    with pytest.raises(UserError, match=f"{what}: 999 is not an item of the catalogue"):
        run.recommend(["u00"], **{what: [100, 999]})


@pytest.mark.parametrize("k", [0, 31])
def test_k_out_of_range_is_refused(run, k):
    with pytest.raises(UserError, match="between 1 and the 30 items of the catalogue"):
        run.recommend(["u00"], k=k)


@pytest.mark.parametrize("users", ["u00", []])
def test_users_are_a_list_of_at_least_one(run, users):
    with pytest.raises(UserError, match="Expected a list of at least one user"):
        run.recommend(users)


def test_no_candidates_are_not_the_whole_catalogue(run):
    with contextlib.suppress(UserError):
        assert run.recommend(["u00"], k=3, candidates=[]).empty


def test_a_single_user_that_is_a_number_is_refused(run):
    with pytest.raises(UserError, match="Expected a list"):
        run.recommend(7)


# Saving


def test_a_saved_run_says_the_same(run, saved, met):
    again = zoo.load(saved)
    for options in ({}, {"exclude_seen": False, "candidates": [101, 120]}):
        expected = run.recommend([*met, "nobody"], **options)
        pd.testing.assert_frame_equal(again.recommend([*met, "nobody"], **options), expected)
    assert again.metrics == json.loads(json.dumps(run.metrics))
    assert again.folder == saved
    assert again.config == run.config
    assert again.dataset.schema == run.dataset.schema


def test_the_history_of_a_saved_run_is_the_same(run, saved):
    history = zoo.load(saved).history
    assert len(history) == len(run.history) == 2
    for epoch, expected in zip(history, run.history, strict=True):
        assert epoch == pytest.approx(expected, rel=1e-12)


def test_a_loaded_run_evaluates_to_the_same_metrics(run, saved):
    before = run.metrics["full-ranking/test"]
    again = zoo.load(saved)
    evaluation = again.evaluate()
    assert json.loads(json.dumps(evaluation.to_json())) == json.loads(json.dumps(before))
    assert zoo.evaluate(saved, "full-ranking", "valid").protocol == "full-ranking"
    again.evaluate(part="valid")
    assert set(again.metrics) == {"full-ranking/test", "full-ranking/valid"}


def test_a_closed_form_run_can_be_saved_and_loaded(datasets, tmp_path):
    run = zoo.train("popularity", datasets["ids"], progress=False)
    again = zoo.load(run.save(tmp_path / "run"))
    assert [list(epoch) for epoch in run.history] == [["seconds"]]
    assert again.history == run.history
    pd.testing.assert_frame_equal(again.recommend(["u00"]), run.recommend(["u00"]))


def test_a_run_is_replaced_only_if_asked(run, saved, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(saved, folder)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="exists already"):
        run.save(folder)
    assert (folder / "notes.txt").exists()
    run.save(folder, overwrite=True)
    assert not (folder / "notes.txt").exists()
    assert zoo.load(folder).config == run.config


def test_every_file_of_a_run_is_checked(saved, tmp_path):
    names = [path.relative_to(saved) for path in saved.rglob("*") if path.is_file() and path.name != "run.json"]
    assert {"recipe.json", "weights.npz", "config.json", "metrics.json"} <= set(map(str, names))
    for number, name in enumerate(names):
        folder = tmp_path / str(number)
        shutil.copytree(saved, folder)
        content = (folder / name).read_bytes()
        for changed in (content[:-1], content[:-1] + bytes([content[-1] ^ 1])):
            (folder / name).write_bytes(changed)
            with pytest.raises(UserError) as error:
                Run.load(folder)
            assert str(error.value).startswith(f"{folder / name}: ")
        (folder / name).unlink()
        with pytest.raises(UserError, match="missing from the folder"):
            Run.load(folder)


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(UserError, match=r"not a run, since it has no run\.json") as error:
        zoo.load(tmp_path)
    assert str(tmp_path) in str(error.value)


def test_a_run_of_another_format_is_refused(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "run")
    manifest = json.loads((saved / "run.json").read_text())
    (tmp_path / "run" / "run.json").write_text(json.dumps({**manifest, "format": 99}))
    with pytest.raises(UserError, match="written in format 99; this version reads 1"):
        zoo.load(tmp_path / "run")
