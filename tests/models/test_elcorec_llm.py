"""The language-model stage of ELCoRec: what its prompts say, what is trained, and what a saved run needs."""

from __future__ import annotations

import shutil
import string
import sys

import keras
import numpy as np
import pandas as pd
import pytest

import zoo
from zoo.data import prepare
from zoo.data.prompt_texts import prompt_texts
from zoo.errors import UserError
from zoo.layers.prompts import NO_TOKEN, WordTokenizer
from zoo.registry import build, spec

keras_hub = pytest.importorskip("keras_hub")

TINY = dict(spec("elcorec_llm").tiny)
TRAIN = {"epochs": 2, "batch_size": 16, "learning_rate": 0.02, "patience": None}
# An expert with the hparams of TINY's.
EXPERT = {"hidden": (8,), **TINY["expert"]}

FILMS = pd.DataFrame(
    {
        "item": [1, 2, 3, 4, 5],
        "title": ["Space War", "Love of Music", "City Love", "Space Dragon of the City", "War in Space"],
    }
)
PEOPLE = pd.DataFrame({"user": ["a", "b", "c"], "age": [24, 31, 40], "job": ["artist", "doctor", "artist"]})


def films(users=PEOPLE, items=FILMS, rated=True, text=True):
    """Three people who rate five films one after the other; the last is held out."""
    rows = [(user, item, 1 + (item + person) % 5) for person, user in enumerate("abc") for item in range(1, 6)]
    events = pd.DataFrame(rows, columns=["user", "item", "rating"]).assign(timestamp=np.arange(15) * 86400)
    events["split"] = np.where(events["item"] == 5, "test", "train")
    return prepare(
        events if rated else events.drop(columns="rating"),
        users,
        items,
        max_history=4,
        features={"title": {"kind": "text", "dim": 4} if text else "ignore"} if items is not None else None,
    )


class Remembered(WordTokenizer):
    """A tokenizer that can be asked later what its tokens mean."""

    words: dict[int, str]

    def __init__(self, *arguments):
        super().__init__(*arguments)
        Remembered.words = {0: "_"} | {token: word for word, token in self.tokens.items()}


@pytest.fixture
def prompt(monkeypatch):
    """What the language model is asked of user a and item 5, in words; `_` is a word it does not know."""

    def ask(dataset, user="a", **hparams):
        hparams = {**TINY, "soft_token": False, "retrieved": 2, "recent": 2, "title_tokens": 4, **hparams}
        model = build("elcorec_llm", dataset.schema, **hparams)
        monkeypatch.setattr("zoo.models.elcorec_llm.WordTokenizer", Remembered)
        model.adapt(items=dataset.items, texts=lambda: prompt_texts(dataset))
        tokens = keras.Model(model.inputs, model.get_layer("language_model").input)
        query = dataset.queries(model.query_names, dataset.vocabularies["user"].index([user]), "train")
        inputs = {**query, "item": dataset.vocabularies["item"].index([5])}
        asked = np.asarray(tokens([inputs[tensor.name] for tensor in model.inputs]))[0]
        return " ".join(Remembered.words[token] for token in asked if token != NO_TOKEN)

    return ask


def test_a_prompt_has_profile_recent_and_similar_events_and_the_question(prompt):
    assert prompt(films(), retrieved=1) == (
        "user : age 24 job artist recent : city love 4 space dragon of the 5 similar : space war 2 "
        "will the user like war in space ? answer :"
    )


def test_similar_events_are_those_before_the_recent_ones_in_their_order(prompt):
    asked = prompt(films(), recent=1, retrieved=2)
    assert "recent : space dragon of the 5 similar : space war 2" in asked
    assert "city love 4 will the user" in prompt(films(), recent=1, retrieved=3)


def test_what_the_data_does_not_have_is_left_out_of_the_prompt(prompt):
    assert prompt(films(users=None)).startswith("user : recent : city love 4 ")
    assert "similar" not in prompt(films(text=False))
    assert " city love space dragon of the similar : space war love of music will " in prompt(films(rated=False))
    # An item without a title is called by its id.
    assert prompt(films(items=None)).endswith("recent : 3 4 4 5 will the user like 5 ? answer :")
    assert prompt(films(), recent=0, retrieved=0).startswith("user : age 24 job artist will the user like ")


def test_the_prompt_says_nothing_of_a_user_without_history(prompt):
    asked = prompt(films(), user="who is this")
    assert asked == "user : recent : similar : will the user like war in space ? answer :"


def test_words_beyond_the_vocabulary_are_unknown(prompt):
    # Answers come before the phrases of the prompt, these before the profile, and titles last.
    assert prompt(films(), vocabulary=13).endswith(" will the user like _ _ _ ? answer :")


def test_an_empty_history_and_a_history_shorter_than_the_prompt_get_finite_scores(datasets):
    dataset = datasets["text"]
    model = build("elcorec_llm", dataset.schema, **{**TINY, "recent": 50, "retrieved": 50})
    query = dataset.queries(model.query_names, np.array([1, 2]), "train")
    query = {name: np.zeros_like(value) if name.startswith("history") else value for name, value in query.items()}
    assert np.isfinite(model.score(query, np.array([2, 3]))).all()


def train(dataset, hparams=None, **settings):
    settings = {"hparams": {**TINY, **(hparams or {})}, "train": {**TRAIN, **settings.pop("train", {})}, **settings}
    return zoo.train("elcorec_llm", dataset, progress=False, **settings)


@pytest.fixture(scope="module")
def expert(datasets, tmp_path_factory):
    """The folder of a trained `elcorec_graph`."""
    folder = tmp_path_factory.mktemp("expert") / "run"
    zoo.train("elcorec_graph", datasets["text"], out=folder, hparams=EXPERT, train=TRAIN, progress=False)
    return folder


def test_a_pretrained_expert_gives_the_vector_of_the_target_and_is_not_trained(datasets, expert):
    dataset = datasets["text"]
    run = train(dataset, train={"pretrained": {"elcorec_graph": str(expert)}})
    projection = run.model.get_layer("soft_projection")
    trained = zoo.load(expert).model
    theirs = keras.Model(trained.inputs, trained.get_layer("graph_target").output)
    mine = keras.Model(run.model.inputs, projection.input)
    query = dataset.queries(run.model.query_names, np.arange(2, 12), "train")
    inputs = {**query, "item": np.arange(2, 12, dtype=np.int32)}
    np.testing.assert_allclose(
        mine([inputs[tensor.name] for tensor in mine.inputs]),
        theirs([inputs[tensor.name] for tensor in theirs.inputs]),
        rtol=1e-6,
        atol=1e-7,
    )
    assert {id(weight) for weight in projection.weights} <= {id(weight) for weight in run.model.trainable_weights}


@pytest.mark.slow
def test_without_a_pretrained_expert_it_is_trained_along(datasets):
    run = train(datasets["text"])
    assert any("graph_items" in weight.path for weight in run.model.trainable_weights)


def test_without_soft_token_there_is_no_expert(datasets):
    model = build("elcorec_llm", datasets["text"].schema, **{**TINY, "soft_token": False})
    assert not any("graph" in weight.path for weight in model.weights)


@pytest.mark.slow
def test_a_trained_language_model_can_be_adapted(datasets, tmp_path):
    first = train(datasets["text"], {"soft_token": False}, out=tmp_path / "first")
    model = train(datasets["text"], {"lora_rank": 2}, train={"pretrained": {"elcorec_llm": str(first.folder)}}).model
    mine, theirs = (one.get_layer("language_model") for one in (model, first.model))
    for before, after in zip(theirs.embed.get_weights(), mine.embed.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    assert all("lora" in weight.name or weight.name == "bias" for weight in mine.trainable_weights)


def letters_preset(folder):
    """A preset with a tokenizer of single letters and a tiny GPT-2."""
    letters = ["<|endoftext|>", "Ġ", "Ġy", *string.printable.strip()]
    tokenizer = keras_hub.models.GPT2Tokenizer({letter: token for token, letter in enumerate(letters)}, ["Ġ y"])
    keras_hub.models.GPT2Backbone(len(letters), 1, 2, 8, 8, max_sequence_length=256).save_to_preset(folder)
    tokenizer.save_to_preset(folder)
    return str(folder)


@pytest.mark.slow
def test_a_run_of_a_preset_does_not_need_the_preset_any_more(datasets, tmp_path):
    preset = letters_preset(tmp_path / "preset")
    run = train(datasets["text"], {"preset": preset, "lora_rank": 2, "title_tokens": 6}, out=tmp_path / "run")
    trained = [weight.name for weight in run.model.get_layer("language_model").trainable_weights]
    assert set(trained) == {"bias", "lora_kernel_a", "lora_kernel_b"}
    shutil.rmtree(preset)
    again = zoo.load(run.folder)
    pd.testing.assert_frame_equal(again.recommend(["u01"], k=5), run.recommend(["u01"], k=5))


def test_a_prompt_that_is_too_long_for_a_preset_says_what_to_shorten(datasets, tmp_path):
    preset = letters_preset(tmp_path / "preset")
    with pytest.raises(UserError, match=r"takes 256\. Choose smaller recent, retrieved or title_tokens"):
        zoo.build("elcorec_llm", datasets["text"].schema, preset=preset, title_tokens=100)


def test_a_preset_that_does_not_exist_is_named(datasets, tmp_path):
    with pytest.raises(UserError, match=r"preset .*nowhere.*: keras-hub cannot load it"):
        train(datasets["text"], {"preset": str(tmp_path / "nowhere")}, out=tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_without_keras_hub_the_extra_to_install_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(UserError, match=r"pip install \"recozoo\[text\]\""):
        build("elcorec_llm", num_users=3, num_items=3, **TINY)


@pytest.mark.parametrize(
    ("hparams", "message"),
    [
        ({"recent": -1}, "recent must be at least 0. Received: -1"),
        ({"retrieved": -1}, "retrieved must be at least 0. Received: -1"),
        ({"title_tokens": 0}, "title_tokens must be at least 1. Received: 0"),
        ({"lora_rank": -1}, "lora_rank must be at least 0. Received: -1"),
        ({"expert": {"units_": 4}}, "Unknown hparam of expert 'units_'. Did you mean 'units'"),
        ({"expert": {"units": "four"}}, "'four' is not an integer: hparam 'units' of expert"),
        ({"expert": 3}, "3 is not keys and values: hparam 'expert'"),
    ],
)
def test_hparams_that_make_no_sense_are_named(hparams, message):
    with pytest.raises(UserError, match=message):
        build("elcorec_llm", num_users=3, num_items=3, **{**TINY, **hparams})


def test_what_it_cannot_start_from_is_named(make_run, datasets, expert, tmp_path):
    pretrained = {"pretrained": {"elcorec_graph": str(expert)}}
    with pytest.raises(UserError, match=r"soft_token=False makes no use of a pretrained 'elcorec_graph'"):
        train(datasets["text"], {"soft_token": False}, train=pretrained)
    with pytest.raises(UserError, match=r'a graph of other hparams. Set hparams.expert=.*"units": 4'):
        train(datasets["text"], {"expert": {}}, train=pretrained)
    towers = make_run("elcorec", datasets["text"]).save(tmp_path / "towers")
    with pytest.raises(UserError, match=r"Unknown architecture to start 'elcorec_llm' from 'elcorec'. Did you mean"):
        train(datasets["text"], train={"pretrained": {"elcorec": str(towers)}})
    popularity = make_run("popularity", datasets["text"]).save(tmp_path / "popularity")
    with pytest.raises(UserError, match="Unknown architecture to start 'elcorec_llm' from 'popularity'"):
        train(datasets["text"], train={"pretrained": {"popularity": str(popularity)}})
