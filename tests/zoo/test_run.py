from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pandas as pd
import pytest

import zoo
from zoo.cold_start import Neighbors, read_records
from zoo.data import prepare
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
def seen_items(run):
    """The raw ids of the items that each raw user has seen, in whichever part."""
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
    assert list(frame.columns) == ["user", "rank", "item", "score", "title", "known"]
    assert frame["user"].tolist() == ["u03"] * 4 + ["u00"] * 4
    assert frame["rank"].tolist() == [1, 2, 3, 4] * 2
    for _, rows in frame.groupby("user"):
        assert rows["score"].is_monotonic_decreasing
    for item, title in zip(frame["item"], frame["title"], strict=True):
        assert title.startswith("The ")
        assert title.endswith(f" number {item - 100}")


def test_users_whom_training_never_saw_are_marked_and_counted(run):
    with pytest.warns(UserWarning, match="2 of 3 users are unknown, e.g. 'nobody'. They get the answer to an unknown"):
        frame = run.recommend(["u03", "nobody", "none"], k=2)
    assert dict(zip(frame["user"], frame["known"], strict=True)) == {"u03": True, "nobody": False, "none": False}


def test_no_warning_is_given_where_all_users_are_known(run, recwarn):
    assert run.recommend(iter(["u03", "u00"]), k=2)["known"].all()
    assert not recwarn.list


def test_items_a_user_has_seen_are_never_recommended(run, seen_items):
    found = items_of(run.recommend(list(seen_items), k=30))
    for user, seen in seen_items.items():
        assert set(found[user]) == set(range(100, 130)) - seen


def test_items_a_user_has_seen_may_be_asked_for(run, seen_items):
    found = items_of(run.recommend(list(seen_items), k=30, exclude_seen=False))
    assert all(set(items) == set(range(100, 130)) for items in found.values())


def test_the_items_that_the_model_scores_best_are_recommended(run, seen_items):
    data, model = run.dataset, run.model
    users = data.vocabularies["user"].index(list(seen_items))
    query = data.queries(model.query_names, users, "train", "valid", "test", "query")
    scores = model.score(query, np.tile(np.arange(2, 32), (len(users), 1)))
    frame = run.recommend(list(seen_items), k=5)
    for row, user in enumerate(seen_items):
        allowed = [place for place in np.argsort(-scores[row]) if place + 100 not in seen_items[user]]
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


def test_only_candidates_are_recommended(run, seen_items):
    found = items_of(run.recommend(["u00", "nobody"], k=10, candidates=[105, 106, 128]))
    assert set(found["nobody"]) == {105, 106, 128}
    assert set(found["u00"]) == {105, 106, 128} - seen_items["u00"]


def test_a_user_with_nothing_left_has_no_rows(run, seen_items):
    frame = run.recommend(["u00", "nobody"], k=3, candidates=sorted(seen_items["u00"])[:2])
    assert set(frame["user"]) == {"nobody"}


@pytest.mark.parametrize("what", ["candidates", "exclude"])
def test_an_unknown_item_is_named(run, what):
    with pytest.raises(UserError, match=f"{what}: 999 is not an item of the catalogue"):
        run.recommend(["u00"], **{what: [100, 999]})


@pytest.mark.parametrize("k", [0, 31])
def test_k_out_of_range_is_refused(run, k):
    with pytest.raises(UserError, match="between 1 and the 30 items of the catalogue"):
        run.recommend(["u00"], k=k)


# Recommending to users known by their features


@pytest.fixture(scope="module")
def untrained(make_run):
    """Gives a run whose weights say something of every user, without the time that training takes."""

    def make(name, dataset):
        run, rng = make_run(name, dataset), np.random.default_rng(0)
        for weight in run.model.trainable_weights:
            weight.assign(rng.normal(scale=0.3, size=weight.shape))
        return run

    return make


@pytest.fixture(scope="module")
def reader(untrained, datasets):
    """A run of an architecture that reads every feature."""
    return untrained("elcorec", datasets["features"])


@pytest.fixture(scope="module")
def ids_only(untrained, datasets):
    """A run of an architecture that knows users by their ids, on data with user features."""
    return untrained("mf", datasets["features"])


@pytest.fixture(scope="module")
def learned():
    """A run that learnt that users of the group `even` like the first half of the items, and `odd` the others."""
    rng = np.random.default_rng(0)
    users = pd.DataFrame({"user": range(80), "group": ["even", "odd"] * 40, "age": rng.integers(18, 80, 80)})
    seen_items = {user: rng.permutation(10)[:4] + 10 * (user % 2) for user in range(80)}
    rows = [(user, item, step) for user, items in seen_items.items() for step, item in enumerate(items)]
    data = prepare(pd.DataFrame(rows, columns=["user", "item", "timestamp"]), users, split="leave-last-out")
    # The validation part is too small to say when to stop.
    settings = {"epochs": 60, "batch_size": 32, "learning_rate": 0.02, "patience": None}
    return zoo.train("elcorec", data, progress=False, train=settings, hparams={"embedding_dim": 8, "id_dropout": 0.3})


def test_a_new_user_is_an_unknown_one_with_the_features_given(reader):
    data, model = reader.dataset, reader.model
    record = {"age": 34, "group": "odd", "history": [103, 107], "history_age": [86400, 0]}
    frame = reader.recommend([record], k=5, exclude_seen=False)
    query = data.queries(model.query_names, np.array([1]))
    query["age"][0] = (34 - data.schema["age"].mean) / data.schema["age"].std
    query["group"][0] = data.vocabularies["group"].index(["odd"])[0]
    query["history"][0, -2:] = data.vocabularies["item"].index([103, 107])
    query["history_rating"][0, -2:] = 1
    query["history_age"][0, -2:] = [1, 0]
    scores = model.score(query, np.arange(2, 32)[None])[0]
    best = np.argsort(-scores)[:5]
    assert frame["item"].tolist() == (best + 100).tolist()
    np.testing.assert_allclose(frame["score"], scores[best], atol=1e-5)


def test_new_users_are_recommended_the_items_that_users_like_them_like(learned):
    found = items_of(learned.recommend([{"group": "even"}, {"group": "odd"}], k=5))
    assert all(item < 10 for item in found["record 1"])
    assert all(item >= 10 for item in found["record 2"])


def test_ids_and_records_are_answered_in_the_order_asked(reader, ids_only):
    asked = ["u03", {"age": 20}, "nobody", {"age": 70, "user": "zoe"}, {"group": "even"}, "u00"]
    for run in (reader, ids_only):
        frame = run.recommend(asked, k=3)
        assert frame["user"].drop_duplicates().tolist() == ["u03", "record 1", "nobody", "zoe", "record 3", "u00"]
        for user, name in zip(asked, frame["user"].drop_duplicates(), strict=True):
            separate = run.recommend([user], k=3)
            rows = frame[frame["user"] == name]
            assert rows["item"].tolist() == separate["item"].tolist()
            np.testing.assert_allclose(rows["score"], separate["score"], atol=1e-5)


@pytest.mark.parametrize("name", ["mf", "ncf", "popularity", "ease"])
def test_users_alike_stand_in_where_the_architecture_reads_nothing_of_a_record(untrained, datasets, name):
    run = untrained(name, datasets["features"])
    [user] = read_records([{"age": 34, "group": "odd"}], run.dataset)
    scores = Neighbors(run.model, run.dataset, 5).scores(user)
    frame = run.recommend([{"age": 34, "group": "odd"}], k=4, neighbors=5)
    best = np.argsort(-scores[2:], kind="stable")[:4]
    assert frame["item"].tolist() == (best + 100).tolist()
    np.testing.assert_allclose(frame["score"], scores[2:][best], atol=1e-5)


def test_an_architecture_that_reads_only_histories_reads_that_of_a_record(untrained, datasets):
    run = untrained("lstm", datasets["features"])
    with_history = {"age": 34, "history": [103, 107]}
    found = items_of(run.recommend([with_history, {**with_history, "age": 70}, {"age": 34}], k=5))
    assert found["record 1"] == found["record 2"]
    assert not {103, 107} & set(found["record 1"])


@pytest.mark.parametrize("which", ["reader", "ids_only"])
def test_the_history_of_a_record_is_left_out_unless_asked_for(which, request):
    run = request.getfixturevalue(which)
    seen_items = list(range(100, 112))
    record = {"age": 34, "history": [*seen_items, 999]}
    assert not set(run.recommend([record], k=30)["item"]) & set(seen_items)
    assert set(run.recommend([record], k=30, exclude_seen=False)["item"]) == set(range(100, 130))


@pytest.mark.parametrize("which", ["reader", "ids_only"])
def test_candidates_and_items_to_exclude_hold_for_records_too(which, request):
    run = request.getfixturevalue(which)
    frame = run.recommend([{"age": 34}, "u00"], k=10, candidates=[105, 106, 128], exclude=[105], exclude_seen=False)
    assert {user: set(items) for user, items in items_of(frame).items()} == {
        "record 1": {106, 128},
        "u00": {106, 128},
    }


@pytest.mark.parametrize("which", ["reader", "ids_only"])
def test_a_category_never_seen_is_legal(which, request):
    run = request.getfixturevalue(which)
    found = items_of(run.recommend([{"group": "neither"}, "nobody"], k=5))
    assert len(found["record 1"]) == 5
    if which == "ids_only":
        assert found["record 1"] == found["nobody"]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({}, "record 1: says nothing of the user that elcorec could use. Give at least one of: age, group, history"),
        ({"grup": "odd"}, "Unknown key of record 1 'grup'. Did you mean 'group'"),
        ({"age": "old"}, "record 1: 'age' is a finite number"),
    ],
)
def test_a_wrong_record_among_ids_is_named(reader, record, message):
    with pytest.raises(UserError, match=message):
        reader.recommend(["u00", record])


@pytest.mark.parametrize("neighbors", [0, -1, 2.5, True, "5"])
def test_the_number_of_neighbors_is_at_least_one(ids_only, neighbors):
    with pytest.raises(UserError, match="neighbors must be an integer of at least 1"):
        ids_only.recommend([{"age": 34}], neighbors=neighbors)


def test_records_are_answered_alike_by_a_saved_run(reader, tmp_path):
    asked = [{"age": 34, "group": "odd"}, {"history": [103]}]
    again = zoo.load(reader.save(tmp_path / "run"))
    pd.testing.assert_frame_equal(again.recommend(asked), reader.recommend(asked))


# Saving


def test_a_saved_run_says_the_same(run, saved, seen_items):
    again = zoo.load(saved)
    for options in ({}, {"exclude_seen": False, "candidates": [101, 120]}):
        expected = run.recommend([*seen_items, "nobody"], **options)
        pd.testing.assert_frame_equal(again.recommend([*seen_items, "nobody"], **options), expected)
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
    with pytest.raises(UserError, match=r"not a run, because it has no run\.json") as error:
        zoo.load(tmp_path)
    assert str(tmp_path) in str(error.value)


def test_a_run_of_another_format_is_refused(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "run")
    manifest = json.loads((saved / "run.json").read_text())
    (tmp_path / "run" / "run.json").write_text(json.dumps({**manifest, "format": 99}))
    with pytest.raises(UserError, match="a run of format 99; this version reads format 2"):
        zoo.load(tmp_path / "run")


# Summaries


def test_a_run_and_its_evaluation_are_printed_as_short_summaries(run):
    noted = dataclasses.replace(run, metrics={}, folder=None)
    assert repr(noted) == f"<Run of {run.config.model} on {run.dataset.name}: not evaluated>"
    evaluation = noted.evaluate()
    figure = f"{evaluation.metrics['ndcg@10'].mean:.4f}"
    assert repr(noted) == f"<Run of {run.config.model} on {run.dataset.name}: full-ranking/test ndcg@10 {figure}>"
    assert str(noted).splitlines()[1:] == str(evaluation).splitlines()
    assert str(evaluation).splitlines()[0] == f"full-ranking: {evaluation.about}"
    (line,) = [line for line in str(evaluation).splitlines() if line.split()[0] == "ndcg@10"]
    assert line.split() == ["ndcg@10", *str(evaluation.metrics["ndcg@10"]).split()]
    assert repr(evaluation).startswith(f"<Evaluation by full-ranking of {len(evaluation.users)} users: hr@10 ")
    assert max(map(len, (repr(noted), str(noted), repr(evaluation), str(evaluation)))) < 1000
