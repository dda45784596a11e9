from __future__ import annotations

import numpy as np
import pytest

import zoo
from zoo.errors import UserError

SIZES = {"num_users": 5, "num_items": 6}
FITTING = {"gmf_dim": 3, "mlp_dim": 4, "hidden": (8, 2)}
EVERY_USER = {"user": np.arange(7)}
EVERY_ITEM = np.tile(np.arange(8), (7, 1))


def trained(name, seed, **hparams):
    """A recommender whose weights are as if it had been trained."""
    model = zoo.build(name, **SIZES, **hparams)
    rng = np.random.default_rng(seed)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(0, 0.5, weight.shape))
    return model


@pytest.fixture
def parts():
    """What a `neumf` of the hparams above can start from."""
    return {"gmf": trained("gmf", 1, embedding_dim=3), "ncf": trained("ncf", 2, embedding_dim=4, hidden=(8, 2))}


@pytest.mark.parametrize("alpha", [0.0, 0.25, 0.5, 1.0])
def test_it_starts_as_the_weighted_mean_of_what_it_was_pretrained_from(parts, alpha):
    model = zoo.build("neumf", **SIZES, **FITTING, alpha=alpha)
    model.pretrained(parts)
    gmf, ncf = (parts[name].score(EVERY_USER, EVERY_ITEM) for name in ("gmf", "ncf"))
    scores = model.score(EVERY_USER, EVERY_ITEM)
    np.testing.assert_allclose(scores, alpha * gmf + (1 - alpha) * ncf, rtol=1e-5, atol=1e-6)


def test_both_weigh_the_same_by_default(parts):
    model = zoo.build("neumf", **SIZES, **FITTING)
    model.pretrained(parts)
    mean = np.mean([part.score(EVERY_USER, EVERY_ITEM) for part in parts.values()], axis=0)
    np.testing.assert_allclose(model.score(EVERY_USER, EVERY_ITEM), mean, rtol=1e-5, atol=1e-6)


def test_it_may_drop_out_what_its_parts_did_not(parts):
    model = zoo.build("neumf", **SIZES, **FITTING, dropout=0.5)
    model.pretrained(parts)
    mean = np.mean([part.score(EVERY_USER, EVERY_ITEM) for part in parts.values()], axis=0)
    np.testing.assert_allclose(model.score(EVERY_USER, EVERY_ITEM), mean, rtol=1e-5, atol=1e-6)


def test_the_parts_are_copied_not_shared(parts):
    model = zoo.build("neumf", **SIZES, **FITTING)
    model.pretrained(parts)
    before = parts["gmf"].get_weights()
    for weight in model.trainable_weights:
        weight.assign(weight * 2)
    for old, new in zip(before, parts["gmf"].get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    ("hparam", "value", "message"),
    [
        ("gmf_dim", 5, "gmf_dim=5, but the pretrained 'gmf' has embedding_dim=3. Set hparams.gmf_dim=3"),
        ("mlp_dim", 9, "mlp_dim=9, but the pretrained 'ncf' has embedding_dim=4. Set hparams.mlp_dim=4"),
        ("hidden", (8,), r"hidden=\[8\], but the pretrained 'ncf' has hidden=\[8, 2\]"),
    ],
)
def test_hparams_that_do_not_fit_are_named_with_both_values(parts, hparam, value, message):
    model = zoo.build("neumf", **SIZES, **{**FITTING, hparam: value})
    before = model.get_weights()
    with pytest.raises(UserError, match=message):
        model.pretrained(parts)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("missing", ["gmf", "ncf"])
def test_it_needs_both_of_its_parts(parts, missing):
    del parts[missing]
    with pytest.raises(UserError, match=f"Missing: '{missing}'"):
        zoo.build("neumf", **SIZES, **FITTING).pretrained(parts)


def test_another_architecture_is_no_part_of_it(parts):
    parts["gmff"] = parts.pop("gmf")
    with pytest.raises(UserError, match="Did you mean 'gmf'"):
        zoo.build("neumf", **SIZES, **FITTING).pretrained(parts)


def test_it_trains_on_from_saved_runs(datasets, tmp_path):
    def train(name, hparams, **settings):
        settings = {"epochs": 1, "batch_size": 64, **settings}
        return zoo.train(name, datasets["ids"], hparams=hparams, train=settings, progress=False)

    folders = {
        "gmf": train("gmf", {"embedding_dim": 3}).save(tmp_path / "gmf"),
        "ncf": train("ncf", {"embedding_dim": 4, "hidden": (8, 2)}).save(tmp_path / "ncf"),
    }
    settings = {"pretrained": {name: str(folder) for name, folder in folders.items()}}
    barely = train("neumf", FITTING, optimizer="sgd", learning_rate=1e-9, **settings).model
    query, items = {"user": np.arange(2, 12)}, np.arange(2, 12)
    mean = np.mean([zoo.load(folder).model.score(query, items) for folder in folders.values()], axis=0)
    np.testing.assert_allclose(barely.score(query, items), mean, atol=1e-6)
