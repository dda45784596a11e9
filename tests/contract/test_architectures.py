"""What every registered architecture keeps to; a new one is tested by being registered."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import keras
import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import numpy_helper

import export
import zoo
from zoo.data import prepare
from zoo.data.dataset import PARTS, Dataset
from zoo.families import ItemLogits, Pairs, Towers
from zoo.registry import build, spec, specs
from zoo.schema import FIRST_KNOWN, PADDING, UNKNOWN

# What architectures need beyond what is always installed.
NEEDED = {"elcorec_llm": "keras_hub"}


def as_cases(names: list[str], slow: tuple[str, ...] = ()) -> list:
    """Names as parameters, some of them slow; those of architectures whose packages are missing are skipped."""
    missing = {name for name in names if importlib.util.find_spec(NEEDED.get(name, "keras")) is None}
    skips = {name: [pytest.mark.skip(reason=f"needs {NEEDED[name]}")] for name in missing}
    return [pytest.param(name, marks=skips.get(name, []) + [pytest.mark.slow] * (name in slow)) for name in names]


NAMES = as_cases(list(specs()))
# A language model takes as long as five other architectures.
SMALL_NAMES = as_cases(list(specs()), slow=("elcorec_llm",))
GRADIENT_NAMES = as_cases([name for name in specs() if spec(name).objective])


def train_tiny(name: str, dataset: Dataset, epochs: int = 5, **options) -> zoo.Run:
    # Layers get the names of a fresh process, in which a run is resumed: TensorFlow orders some sums by names.
    keras.utils.clear_session(free_memory=False)
    return zoo.train(
        name,
        dataset,
        hparams=dict(spec(name).tiny),
        train={"epochs": epochs, "batch_size": 16, "learning_rate": 0.02, "patience": None},
        progress=False,
        **options,
    )


class KeepUnfinished(keras.callbacks.Callback):
    """Copies what is on disk when an epoch, counted from 0, begins, which is what a kill would leave then."""

    def __init__(self, epoch: int, folder: Path, to: Path) -> None:
        super().__init__()
        self.epoch, self.folder, self.to = epoch, folder, to

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            shutil.copytree(self.folder, self.to)


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """The folder of what a kill in the third of 5 epochs would have left, by the name of an architecture."""
    folder = tmp_path_factory.mktemp("interrupted")
    return lambda name: folder / name


@pytest.fixture(scope="module")
def runs(datasets, interrupted, tmp_path_factory):
    """One small run of every architecture on the data with all kinds of features."""
    folder = tmp_path_factory.mktemp("runs")
    made: dict[str, zoo.Run] = {}

    def run(name: str) -> zoo.Run:
        if name not in made:
            unfinished = folder / f".{name}-unfinished"
            keep = KeepUnfinished(2, unfinished, interrupted(name) / ".run-unfinished")
            made[name] = train_tiny(name, datasets["text"], out=folder / name, callbacks=[keep])
        return made[name]

    return run


@pytest.fixture(scope="module")
def bundles(runs, tmp_path_factory):
    """The run of every architecture in every format."""
    made: dict[str, export.Bundle] = {}

    def bundle(name: str) -> export.Bundle:
        if name not in made:
            made[name] = export.export(runs(name), tmp_path_factory.mktemp("bundles") / name)
        return made[name]

    return bundle


@pytest.fixture(scope="module")
def odd_dataset(small_tables):
    """The small data, and beside it users with a single event, two items apart from all others, a scale with holes.

    One user likes nothing, and the only interactions of one item are of the test part.
    """
    interactions = small_tables["interactions"].drop(columns="device")
    start = interactions["timestamp"].min()
    odd = pd.DataFrame(
        [
            ("once", 100, 5, start),
            ("apart", 900, 5, start),
            ("apart", 901, 5, start + 1),
            ("disliker", 101, 1, start),
            ("disliker", 102, 1, start + 1),
            ("u00", 902, 5, start + 10**7),
        ],
        columns=["user", "item", "rating", "timestamp"],
    )
    interactions = pd.concat([interactions, odd], ignore_index=True)
    split = {"name": "leave-last-out"}
    return prepare(interactions, name="odd", max_history=8, split=split, label_threshold=3)


@pytest.mark.parametrize("kind", ["ids", "features", "text"])
@pytest.mark.parametrize("name", NAMES)
def test_any_schema_builds_it_and_it_scores_pairs(name, kind, datasets):
    dataset = datasets[kind]
    # Seeded, because with some weights a sum loses more than the last digits.
    keras.utils.set_random_seed(0)
    model = build(name, dataset.schema, **spec(name).tiny)
    model.adapt(items=dataset.items)
    assert isinstance(model, keras.Model)
    assert isinstance(model, Towers | Pairs | ItemLogits)
    query = dataset.queries(model.query_names, np.array([2, 3, 4]), "train")
    scores = model({**query, "item": np.array([2, 3, 4], np.int32)})
    assert tuple(scores.shape) == (3,)
    np.testing.assert_allclose(scores, model.score(query, np.array([2, 3, 4])), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_its_name_and_sizes_are_enough_to_build_it(name):
    assert zoo.build(name, num_users=5, num_items=7, **spec(name).tiny).num_items == 7 + FIRST_KNOWN


@pytest.mark.parametrize("name", GRADIENT_NAMES)
def test_the_loss_falls(name, runs):
    losses = [epoch["loss"] for epoch in runs(name).history]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", NAMES)
def test_recipe_and_weights_survive_saving_exactly(name, runs, tmp_path):
    run = runs(name)
    again = zoo.load(run.save(tmp_path / "run"))
    assert again.model.recipe == run.model.recipe
    for before, after in zip(run.model.weights, again.model.weights, strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("name", NAMES)
def test_keras_saves_and_loads_it(name, datasets, tmp_path):
    dataset = datasets["text"]
    model = build(name, dataset.schema, **spec(name).tiny)
    model.adapt(items=dataset.items)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if weight.dtype == "float32":
            weight.assign(rng.normal(size=weight.shape))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again) is type(model)
    assert again.recipe == model.recipe
    for before, after in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("name", GRADIENT_NAMES)
def test_a_resumed_run_ends_like_an_uninterrupted_one(name, runs, interrupted, datasets):
    uninterrupted, epochs = runs(name), []
    note = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: epochs.append(epoch))
    resumed = train_tiny(name, datasets["text"], out=interrupted(name) / "run", resume=True, callbacks=[note])
    assert epochs == [2, 3, 4]
    for expected, weights in zip(uninterrupted.model.weights, resumed.model.weights, strict=True):
        np.testing.assert_array_equal(expected, weights)


@pytest.mark.parametrize("name", NAMES)
def test_it_recommends_no_excluded_padding_or_unknown_item(name, runs, datasets):
    model, dataset = runs(name).model, datasets["text"]
    known = np.arange(FIRST_KNOWN, model.num_items)
    rng = np.random.default_rng(0)
    query = dataset.queries(model.query_names, np.arange(2, 12), *PARTS)
    exclude = np.stack([rng.permutation(known)[: len(known) // 2] for _ in range(10)])
    items, _ = model.recommend(query, k=len(known) // 2, exclude=exclude)
    for row, excluded in zip(items, exclude, strict=True):
        assert not {PADDING, UNKNOWN} & set(row.tolist())
        assert not set(row.tolist()) & set(excluded.tolist())
        assert len(set(row.tolist())) == len(row)


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_user_and_an_empty_history_get_finite_scores(name, runs, datasets):
    model, dataset = runs(name).model, datasets["text"]
    query = dataset.queries(model.query_names, np.array([UNKNOWN, PADDING, 2]), *PARTS)
    for feature in ("history", "history_rating"):
        if feature in query:
            query[feature][:] = 0
    _, scores = model.recommend(query, k=5)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("name", SMALL_NAMES)
def test_every_format_says_what_the_trained_model_says(name, bundles):
    bundle = bundles(name)
    checks = bundle.manifest["checks"]
    endpoints = ["recommend", "score"]
    if bundle.manifest["family"] == "towers":
        endpoints += ["embed_query", "embed_items"]
    assert {(check["artefact"], check["endpoint"], check["batch_size"]) for check in checks} == {
        (made, endpoint, size)
        for made in ("saved_model", "onnx", "tflite")
        for endpoint in endpoints
        for size in (1, 3, 64)
    }
    assert all(check["passed"] and not check["problem"] for check in checks)
    asked = {check["endpoint"]: check["queries"] for check in checks if check["batch_size"] == 64}
    assert min(asked[endpoint] for endpoint in ("recommend", "score")) > 500


def foldable(graph) -> list[str]:
    """Operators that depend only on constants."""
    known = {tensor.name for tensor in graph.initializer}
    found = []
    for node in graph.node:
        if node.op_type == "Constant" or known.issuperset(filter(None, node.input)):
            known.update(node.output)
            found.append(node.op_type)
    return found


@pytest.mark.parametrize("name", SMALL_NAMES)
def test_onnx_has_nothing_left_to_fold_and_no_weight_twice(name, bundles):
    for endpoint in bundles(name).endpoints:
        graph = onnx.load(bundles(name).folder / "onnx" / f"{endpoint.name}.onnx").graph
        assert not foldable(graph)
        weights = [numpy_helper.to_array(tensor) for tensor in graph.initializer]
        stored = [(array.shape, array.tobytes()) for array in weights if array.size > 300]
        assert len(stored) == len(set(stored))


@pytest.mark.parametrize("name", SMALL_NAMES)
def test_it_trains_and_answers_users_and_items_that_are_hardly_connected(name, odd_dataset):
    run = train_tiny(name, odd_dataset, epochs=1)
    users = ["once", "apart", "disliker", "u00"]
    found = run.recommend(users, k=5)
    assert found["user"].unique().tolist() == users
    assert np.isfinite(found["score"]).all()
    for weight in run.model.weights:
        assert np.isfinite(np.asarray(weight)).all(), weight.path
    assert odd_dataset.num_items == 30 + 3 + FIRST_KNOWN


MINE = '''"""An architecture of a user's own, in a file of its own."""

from keras import layers

from zoo.layers import Embedding
from zoo.families import Towers
from zoo.registry import register


@register("mine", objective="pointwise", query=("user",), tiny={"dim": 3})
def mine(schema, *, dim=8):
    user = Embedding(schema.size("user"), dim)(schema.input("user"))
    item = Embedding(schema.size("item"), dim)(schema.input("item"))
    return Towers(query=layers.Dense(dim)(user), item=item)
'''


def test_an_architecture_in_a_file_of_ones_own_goes_all_the_way(datasets, tmp_path, monkeypatch, forgetful_registry):
    file = Path(tmp_path / "mine.py")
    file.write_text(MINE)
    monkeypatch.setenv("ZOO_MODELS", str(tmp_path))
    assert "mine" in zoo.list_models()
    assert zoo.info("mine").summary == "An architecture of a user's own, in a file of its own."
    settings = {"epochs": 40, "batch_size": 16, "learning_rate": 0.02, "patience": None, "monitor": "loss"}
    run = zoo.train("mine", datasets["ids"], out=tmp_path / "run", train=settings, progress=False)
    reached = zoo.evaluate(tmp_path / "run").metrics["ndcg@10"].mean
    # Users of one half like items of one half. Random vectors do not know that.
    untrained = zoo.Run(build("mine", datasets["ids"].schema), datasets["ids"], run.config, [])
    assert reached > untrained.evaluate().metrics["ndcg@10"].mean + 0.1
    assert len(run.recommend(["u00"], k=3)) == 3
    bundle = export.export(tmp_path / "run", tmp_path / "bundle")
    assert all(check["passed"] for check in bundle.manifest["checks"])
