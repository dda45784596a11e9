"""Runs are compared on the same users, and resampling tells which is better."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, root_mean_squared_error

import zoo
from zoo.comparison import compare
from zoo.config import make_config
from zoo.errors import UserError
from zoo.evaluation.bootstrap import cluster_interval, difference_interval
from zoo.evaluation.protocols import evaluate
from zoo.evaluation.scores import score_rows
from zoo.run import Run
from zoo.schema import Vocabulary
from zoo.training.fitting import interaction_matrix

CANNOT_TELL = "no difference that 200 resamples can tell"


def run_of(name, data, *, weights=None, **settings):
    """A run of a model with the weights of its closed form, or random ones of a seed."""
    hparams = zoo.info(name).tiny
    model = zoo.build(name, data.schema, **hparams)
    if model.solver is not None:
        model.solver(interaction_matrix(data))
    else:
        rng = np.random.default_rng(weights)
        for weight in model.trainable_weights:
            weight.assign(rng.normal(0, 0.5, weight.shape))
    return Run(model, data, make_config(name, {"hparams": dict(hparams), **settings}), [])


def rating_run(data, weights, std=1.0):
    run = run_of("mf", data, weights=weights, train={"options": {"feedback": "explicit"}})
    run.model.set_rating_scale(4.0, std)
    return run


@pytest.fixture(scope="module")
def small(datasets):
    return datasets["ids"]


@pytest.fixture(scope="module")
def popular(small):
    return run_of("popularity", small)


@pytest.fixture(scope="module")
def random(small):
    return run_of("mf", small, weights=0)


def difference(comparison, metric):
    (found,) = [one for one in comparison.differences if one.metric == metric]
    return found


def test_a_difference_is_the_paired_one_of_the_same_users(small, popular, random):
    comparison = compare([random, popular], resamples=200)
    assert comparison.protocol == "full-ranking"
    assert comparison.runs == ("mf", "popularity")
    mine, theirs = (evaluate(run.model, small, resamples=200).per_user["ndcg@10"] for run in (popular, random))
    found = difference(comparison, "ndcg@10")
    assert found.interval == difference_interval(mine, theirs, resamples=200)
    figures = comparison.metrics["ndcg@10"]
    assert found.interval.mean == pytest.approx(figures[1].mean - figures[0].mean)
    assert [one.mean for one in figures] == pytest.approx([theirs.mean(), mine.mean()])


def test_the_level_is_that_of_every_interval(small, popular, random):
    wide, narrow = (compare([random, popular], resamples=200, level=level) for level in (0.95, 0.5))
    for comparison, level in ((wide, 0.95), (narrow, 0.5)):
        intervals = [one.interval for one in comparison.differences]
        intervals += [interval for each in comparison.metrics.values() for interval in each]
        assert {interval.level for interval in intervals} == {level}
    expected = evaluate(popular.model, small, resamples=200, level=0.5).metrics["ndcg@10"]
    assert narrow.metrics["ndcg@10"][1] == expected
    assert wide.metrics["ndcg@10"][1].low < expected.low < expected.high < wide.metrics["ndcg@10"][1].high


class Ranked:
    """A model that ranks the held-out items of the first users first, and those of all others last."""

    query_names = ("user",)
    scores_are_ratings = False

    def __init__(self, data, users):
        self.data, self.users = data, set(users)

    def encode_catalogue(self):
        return []

    def recommend(self, query, k, exclude, catalogue):
        test = self.data.part("test")
        ranked = np.zeros((len(query["user"]), k), np.int32)
        for row, user in enumerate(query["user"]):
            if user in self.users:
                items = test.loc[test["user"] == user, "item"].to_numpy()[:k]
                ranked[row, : len(items)] = items
        return ranked, ranked


def ranked_run(data, share):
    users = np.unique(data.part("test")["user"])
    return Run(Ranked(data, users[: round(len(users) * share)]), data, make_config("popularity"), [])


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [(0.2, 0.9, "better"), (0.9, 0.2, "worse"), (0.5, 0.5, CANNOT_TELL), (0.5, 0.54, CANNOT_TELL)],
)
def test_the_verdict_is_in_plain_words(small, first, second, verdict):
    comparison = compare([ranked_run(small, first), ranked_run(small, second)], resamples=200)
    assert {one.verdict for one in comparison.differences} <= {verdict, CANNOT_TELL}
    assert difference(comparison, "hr@10").verdict == verdict


def test_every_run_is_compared_with_the_first(small, popular, random):
    comparison = compare([popular, random, run_of("mf", small, weights=1)], resamples=20)
    assert comparison.runs == ("popularity", "mf (1)", "mf (2)")
    assert {one.run for one in comparison.differences} == {"mf (1)", "mf (2)"}
    assert len(comparison.metrics["hr@10"]) == 3


def test_a_smaller_error_of_ratings_is_better(small):
    close, far = rating_run(small, 0, std=0.1), rating_run(small, 0, std=5.0)
    comparison = compare([far, close], resamples=200)
    assert comparison.protocol == "ratings"
    rows = small.part("test")
    errors = [
        root_mean_squared_error(rows["label"], score_rows(run.model, small, rows, "test")) for run in (far, close)
    ]
    found = difference(comparison, "rmse")
    assert found.interval.mean == pytest.approx(errors[1] - errors[0])
    assert found.interval.high < 0
    assert found.verdict == "better"
    assert difference(compare([close, far], resamples=200), "mae").verdict == "worse"


def test_an_interval_of_rows_is_that_of_the_difference_of_the_statistics(small):
    first, second = rating_run(small, 0), rating_run(small, 1)
    one, other = (evaluate(run.model, small, "ratings", resamples=10) for run in (first, second))
    expected = cluster_interval(
        lambda weights: other.statistics["rmse"](weights) - one.statistics["rmse"](weights),
        small.part("test")["user"].to_numpy(),
        resamples=50,
    )
    assert difference(compare([first, second], resamples=50), "rmse").interval == expected


def test_labels_are_compared_by_auc_log_loss_and_accuracy(small):
    labels = (small.interactions["label"] > 3).astype(np.float32)
    data = dataclasses.replace(small, interactions=small.interactions.assign(label=labels))
    runs = [run_of("mf", data, weights=seed) for seed in (0, 1)]
    comparison = compare(runs, "labels", resamples=20)
    rows = data.part("test")
    aucs = [roc_auc_score(rows["label"], score_rows(run.model, data, rows, "test")) for run in runs]
    assert difference(comparison, "auc").interval.mean == pytest.approx(aucs[1] - aucs[0])
    assert {one.metric for one in comparison.differences} == {"auc", "log_loss", "accuracy"}


def test_the_sampled_protocol_and_another_part_may_be_asked_for(small):
    listed = np.tile(np.arange(2, 8, dtype=np.int32), (small.num_users, 1))
    data = dataclasses.replace(small, candidates={"test": listed})
    runs = [run_of("popularity", data), run_of("mf", data, weights=0)]
    runs[0].config.evaluate.ks = (3,)
    assert compare(runs, resamples=20).protocol == "sampled-ranking"
    assert compare(runs, part="valid", resamples=20).protocol == "full-ranking"
    assert set(compare(runs, "full-ranking", resamples=20).metrics) == {
        f"{name}@3" for name in ("hr", "recall", "precision", "ndcg", "map", "mrr")
    }


def test_settings_that_differ_are_listed(small):
    runs = [
        run_of("mf", small, weights=0, train={"epochs": 3}, hparams={"embedding_dim": 4}),
        run_of("mf", small, weights=0, train={"epochs": 5, "options": {"negatives": 2}}, hparams={"embedding_dim": 4}),
    ]
    assert compare(runs, resamples=10).settings == {"train.epochs": (3, 5), "train.options.negatives": (None, 2)}
    assert compare([runs[0], runs[0]], resamples=10).settings == {}


def test_saved_runs_are_compared_by_their_folders(popular, random, tmp_path):
    folders = [dataclasses.replace(run).save(tmp_path / run.config.model) for run in (popular, random)]
    comparison = compare(folders, resamples=20)
    assert comparison.runs == (str(folders[0]), str(folders[1]))
    described = json.loads(json.dumps(comparison.to_json()))
    assert described["differences"][0]["run"] == str(folders[1])
    assert set(described["metrics"]["hr@10"][0]) == {"mean", "low", "high", "level"}


# Mistakes


def test_one_run_is_not_enough(popular):
    with pytest.raises(UserError, match=r"at least 2 runs to compare\. Received: 1"):
        compare([popular])


@pytest.mark.parametrize("role", ["user", "item"])
def test_runs_of_other_users_or_items_are_refused(popular, role):
    data = popular.dataset
    fewer = {**data.vocabularies, role: Vocabulary(data.vocabularies[role].to_json()[:-1])}
    other = dataclasses.replace(popular, dataset=dataclasses.replace(data, vocabularies=fewer))
    number = len(data.vocabularies[role])
    message = rf"popularity \(1\) and popularity \(2\) cannot be compared: .* {role}s \({number} and {number - 1}\)"
    with pytest.raises(UserError, match=message):
        compare([popular, other])


def with_rows(run, rows):
    return dataclasses.replace(run, dataset=dataclasses.replace(run.dataset, interactions=rows))


def test_runs_that_were_split_otherwise_are_refused(popular):
    rows = popular.dataset.interactions
    swapped = rows.assign(part=rows["part"].map({"train": "train", "valid": "test", "test": "valid"}))
    with pytest.raises(UserError, match=r"they differ in the interactions of the test part .*Split both alike"):
        compare([popular, with_rows(popular, swapped)])
    fewer = rows.drop(rows.index[rows["part"] == "train"][0])
    with pytest.raises(UserError, match=r"they differ in what was known \(\d+ and \d+ rows\)"):
        compare([popular, with_rows(popular, fewer)])
    relabelled = rows.assign(label=rows["label"] + 1)
    with pytest.raises(UserError, match="they differ in the interactions of the test part"):
        compare([popular, with_rows(popular, relabelled)])


def test_runs_with_other_candidates_are_refused(popular):
    listed = np.tile(np.arange(2, 14, dtype=np.int32), (popular.dataset.num_users, 1))
    runs = [
        dataclasses.replace(popular, dataset=dataclasses.replace(popular.dataset, candidates={"test": candidates}))
        for candidates in (listed, listed + 1)
    ]
    for one in (runs[1], popular):
        with pytest.raises(UserError, match="they differ in the candidates"):
            compare([runs[0], one])


def test_other_candidates_do_not_matter_to_a_ranking_of_the_whole_catalogue(popular):
    listed = np.tile(np.arange(2, 14, dtype=np.int32), (popular.dataset.num_users, 1))
    runs = [
        dataclasses.replace(popular, dataset=dataclasses.replace(popular.dataset, candidates={"test": candidates}))
        for candidates in (listed, listed + 1)
    ]
    assert compare(runs, "full-ranking", resamples=10).protocol == "full-ranking"


def test_runs_with_other_cold_items_are_refused_by_the_protocol_that_asks_about_cold_items(datasets):
    data = datasets["features"]
    labels = (data.interactions["label"] > 3).astype(np.float32)
    rows = data.interactions.assign(label=labels)
    # One item is no longer in the training part. The interactions that were known stay the same.
    item = rows.loc[rows["part"] == "train", "item"].iloc[0]
    is_moved = (rows["part"] == "train") & (rows["item"] == item)
    moved = rows.assign(part=rows["part"].where(~is_moved, "valid"))
    runs = [run_of("mf", dataclasses.replace(data, interactions=one), weights=0) for one in (rows, moved)]
    assert compare(runs, "labels", resamples=10).protocol == "labels"
    with pytest.raises(UserError, match=r"they differ in the items they were trained on \(\d+ and \d+\)\. Split both"):
        compare(runs, "ctr", resamples=10)


def test_a_comparison_is_printed_as_a_table(popular, random):
    comparison = compare([popular, random], resamples=20)
    assert repr(comparison) == "<Comparison by full-ranking of popularity, mf>"
    lines = str(comparison).splitlines()
    assert lines[0] == f"full-ranking: {comparison.about}"
    assert len(lines) == 1 + 3 * 6
    assert lines[-1].startswith(f"    mf  {comparison.metrics['mrr@10'][1]}  ")
    assert len(str(comparison)) < 3000


def test_an_unknown_protocol_or_part_gives_the_near_names(popular, random):
    with pytest.raises(UserError, match=r"Unknown protocol 'full-rank'\. Did you mean 'full-ranking'"):
        compare([popular, random], "full-rank")
    with pytest.raises(UserError, match=r"Unknown part 'vaild'\. Did you mean 'valid'"):
        compare([popular, random], part="vaild")


def test_a_protocol_that_one_of_them_cannot_answer_is_refused(small, random):
    with pytest.raises(UserError, match="needs a model whose scores are ratings"):
        compare([rating_run(small, 0), random])
