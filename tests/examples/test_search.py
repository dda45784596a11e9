"""The search for hparams: its trials, its table, the data it uses and its errors."""

from __future__ import annotations

import csv
import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import yaml

import zoo
from zoo.bench.definition import jobs, read_benchmark
from zoo.config import configs_folder, make_config
from zoo.errors import ZooError
from zoo.registry import spec

SCRIPT = Path(__file__).parent.parent.parent / "examples" / "benchmarks" / "search.py"
SPACE = """
train:
  learning_rate: {log_uniform: [0.001, 0.1]}
  weight_decay: {uniform: [0, 0.5]}
hparams:
  embedding_dim: [2, 3, 4]
"""


@pytest.fixture(scope="module")
def script():
    found = importlib.util.spec_from_file_location("search_of_hparams", SCRIPT)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.fixture
def search(script, monkeypatch, tmp_path, capsys):
    """Runs the script on 200 ratings of 20 users. Gives its exit code and what it printed."""
    monkeypatch.chdir(tmp_path)
    users, numbers = [number % 20 for number in range(200)], range(200)
    frame = pd.DataFrame({"user": users, "item": [number // 20 for number in numbers]})
    frame.assign(rating=[1 + number % 5 for number in numbers], timestamp=numbers).to_csv("clicks.csv", index=False)
    Path("space.yaml").write_text(SPACE)

    def run(*arguments):
        said = ["search.py", "mf", "--data", "clicks.csv", "--space", "space.yaml", "--out", "found", *arguments]
        monkeypatch.setattr(sys, "argv", said)
        code = 0
        try:
            script.main()
        except SystemExit as ended:
            code = ended.code
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def trained(monkeypatch):
    """The trials that were trained. The AUC of each is its weight decay in the second of three epochs."""
    done = []

    def train(model, data, *, progress, train, hparams, evaluate):
        done.append(SimpleNamespace(model=model, data=data, train=train, hparams=hparams, evaluate=evaluate))
        if train.get("weight_decay", 0) > 0.4:
            raise ZooError("The loss is not a finite number any more.")
        auc = 0.5 + train.get("weight_decay", 0)
        epochs = [{"auc": auc - step, "log_loss": 0.6 + step} for step in (0.1, 0.0, 0.05)]
        return SimpleNamespace(history=epochs)

    monkeypatch.setattr(zoo, "train", train)
    return done


def table(name="clicks.mf.csv"):
    with (Path("found") / name).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_every_trial_is_a_row_and_the_best_is_printed_as_an_entry_of_a_benchmark(search):
    code, out, err = search("--trials", "2", "--epochs", "2", "--set", "train.batch_size=32")
    assert code == 0, err
    first, second = table()
    assert json.loads(first["hparams"]) == {}
    assert json.loads(first["train"]) == {"batch_size": 32, "epochs": 2, "patience": 1, "seed": 0}
    assert set(json.loads(second["train"])) == {
        *("batch_size", "epochs", "patience", "seed", "learning_rate", "weight_decay"),
    }
    assert all(0 <= float(row["auc"]) <= 1 and float(row["seconds"]) > 0 for row in (first, second))
    assert all(1 <= int(row["best_epoch"]) <= int(row["epochs"]) <= 2 for row in (first, second))
    data = {"source": "clicks.csv", "label_threshold": 3}
    said = {"about": "Found", "data": data, "evaluate": {"protocol": "ctr"}, "models": yaml.safe_load(out)}
    Path("own.yaml").write_text(yaml.safe_dump(said))
    (job,) = jobs(read_benchmark("own.yaml")[1])
    best = max((first, second), key=lambda row: float(row["auc"]))
    assert job.label == "clicks.mf"
    assert (job.config.train.epochs, job.config.train.batch_size) == (2, 32)
    assert job.config.hparams == {**make_config("mf").hparams, **json.loads(best["hparams"])}


def test_the_first_trial_is_the_preset_and_a_seed_repeats_the_others(search, trained):
    search("--trials", "4")
    settings = [(one.train, one.hparams) for one in trained]
    assert settings[0] == ({"epochs": 12, "patience": 1, "seed": 0}, {})
    assert len({json.dumps(one) for one in settings}) == 4
    for train, hparams in settings[1:]:
        assert 0.001 <= train["learning_rate"] <= 0.1
        assert hparams["embedding_dim"] in (2, 3, 4)
        assert float(f"{train['learning_rate']:.3g}") == train["learning_rate"]
    del trained[:]
    search("--trials", "2", "--label", "again")
    assert [(one.train, one.hparams) for one in trained] == settings[:2]
    del trained[:]
    search("--trials", "2", "--label", "other", "--seed", "1")
    assert trained[1].train["learning_rate"] != settings[1][0]["learning_rate"]


def test_the_test_part_is_removed_before_training(search, trained):
    search("--trials", "1")
    (one,) = trained
    parts = one.data.interactions["part"].value_counts()
    # 20 users, each with 5 of 10 ratings in histories only. A tenth of the other 100 was the test part.
    assert parts.to_dict() == {"query": 100, "train": 80, "valid": 10}
    assert one.data.interactions.index.tolist() == list(range(190))
    assert one.data.has_binary_labels
    assert one.evaluate == {"protocol": "ctr"}


def test_a_search_continues_where_it_stopped(search, trained):
    search("--trials", "2")
    before = table()
    del trained[:]
    code, out, _ = search("--trials", "3")
    assert (code, len(trained)) == (0, 1)
    assert table()[:2] == before
    del trained[:]
    assert search("--trials", "3") == (0, out, "")
    assert not trained


def test_the_best_trial_has_the_highest_auc_and_a_finite_loss(search, trained):
    code, out, err = search("--trials", "6")
    assert code == 0
    assert "not a finite number" in err
    rows = table()
    failed = [row for row in rows if row["auc"] == "nan"]
    assert failed
    best = max((row for row in rows if row["auc"] != "nan"), key=lambda row: float(row["auc"]))
    assert (best["best_epoch"], best["epochs"]) == ("2", "3")
    train = {key: value for key, value in json.loads(best["train"]).items() if key != "seed"}
    assert yaml.safe_load(out)["clicks.mf"]["train"] == train
    # Trials with such a loss are not repeated either.
    del trained[:]
    assert search("--trials", "6")[0] == 0
    assert not trained


def test_settings_hold_for_every_trial_and_for_the_entry(search, trained):
    fixed = ("--set", "embedding_dim=7", "--set", "data.max_history=9", "--set", "train.batch_size=64")
    code, out, _ = search("--trials", "3", "--label", "seven", *fixed)
    assert code == 0
    assert all(one.hparams == {"embedding_dim": 7} and one.train["batch_size"] == 64 for one in trained)
    assert all(one.data.schema["history"].length == 9 for one in trained)
    (entry,) = yaml.safe_load(out).values()
    assert entry["data"] == {"source": "clicks.csv", "max_history": 9}
    assert table("clicks.seven.csv")


@pytest.mark.parametrize("path", sorted((configs_folder() / "search").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_space_of_the_package_fits_its_architecture(script, path):
    model = path.stem.removesuffix("-search")
    space = script.read_space(path)
    assert space
    for number in range(20):
        trial = script.sampled(space, [0, number])
        spec(model).check_hparams(trial["hparams"])
        make_config(model, trial)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--trials", "0"], "at least 1 trial. Received: 0"),
        (["--epochs", "0"], "'train.epochs'"),
        (["--data", "nowhere"], "Unknown dataset 'nowhere'"),
        (["--space", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
        (["--set", "embeding_dim=3"], "Unknown hparam of 'mf' 'embeding_dim'. Did you mean 'embedding_dim'"),
        (["--set", "train.epoch=3"], "Unknown setting in 'train' 'epoch'. Did you mean 'epochs'"),
        (["--set", "split.name=random"], "Unknown section in --set 'split'"),
        (["--set", "data.max_histroy=3"], "'max_histroy'. Did you mean 'max_history'"),
    ],
)
def test_a_mistake_exits_with_2_and_writes_nothing(search, arguments, message, tmp_path):
    code, out, err = search(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clicks.csv", "space.yaml"]


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("trian: {}", "Unknown section in space.yaml: 'trian'. Did you mean 'train'"),
        ("train: [1]", "'train': expected keys and values"),
        ("train: {learning_rate: 0.1}", "train.learning_rate: expected a list of values"),
        ("train: {learning_rate: []}", "Received: []"),
        ("train: {learning_rate: {uniform: [1]}}", "Received: {'uniform': [1]}"),
        ("train: {learning_rate: {uniform: [2, 1]}}", "Received: {'uniform': [2, 1]}"),
        ("train: {learning_rate: {uniform: [a, b]}}", "expected a list of values"),
        ("train: {learning_rate: {log_uniform: [0, 1]}}", "where LOW is above 0"),
        ("train: {learning_rate: {normal: [0, 1]}}", "Received: {'normal': [0, 1]}"),
        ("hparams: {dim: [1]}", "Unknown hparam of 'mf' 'dim'"),
        ("train: {learnin_rate: [1.0]}", "'learnin_rate'. Did you mean 'learning_rate'"),
    ],
)
def test_a_mistake_in_a_space_is_named(search, space, message):
    Path("space.yaml").write_text(space)
    code, _, err = search()
    assert code == 2
    assert message in err


def test_trials_of_another_search_are_not_mixed_in(search, trained):
    search("--trials", "2")
    before = table()
    code, _, err = search("--trials", "2", "--epochs", "3")
    assert code == 2
    assert "clicks.mf.csv: trial 0 had other settings" in err
    assert "give another --label" in err
    assert table() == before
    (Path("found") / "clicks.mf.csv").write_text("a,b\n1,2\n")
    code, _, err = search()
    assert code == 2
    assert "no table of trials" in err
