from __future__ import annotations

import json

import pytest

OBJECTIVE = '''
"""An objective of one's own: scores of positives are pulled to a height."""

import tensorflow as tf

from zoo.objectives.base import OBJECTIVES, EventObjective


@OBJECTIVES.register
class Toy(EventObjective):
    """The squared distance of a positive's score from a height."""

    name = "toy"

    def __init__(self, model, dataset, height: float = 3.0):
        super().__init__(model, dataset)
        self._height = height

    @classmethod
    def learns_labels(cls, options, dataset):
        return options.get("height") == 1

    def loss(self, batch):
        events = self._at(batch.examples)
        scores = self.model.score_items(events.query, events.items[:, None], training=True)[:, 0]
        losses = tf.square(tf.cast(scores, tf.float32) - self._height)
        return tf.reduce_sum(losses), tf.cast(tf.size(losses), tf.float32)
'''

SCRIPT = """
import json, sys
import pytest
import zoo
from zoo.cli import main
from zoo.errors import UserError
from zoo.objectives import streamable_objectives

train = {"objective": "toy", "epochs": 4, "batch_size": 64, "learning_rate": 0.05, "patience": None}
run = zoo.train("mf", "synthetic", hparams={"embedding_dim": 4}, train=train, progress=False)
explicit = {**train, "options": {"height": 1}}
labels = zoo.train("mf", "synthetic", data={"label_threshold": 3.0}, train=explicit, progress=False)
errors = []
for options in ({"hieght": 1}, {"height": "a"}):
    with pytest.raises(UserError) as error:
        zoo.train("mf", "synthetic", train={**train, "options": options}, progress=False)
    errors.append(str(error.value))
told = {
    "losses": [epoch["loss"] for epoch in run.history],
    "metrics": [list(run.metrics), list(labels.metrics)],
    "errors": errors,
    "streamable": streamable_objectives(),
}
print("TOLD", json.dumps(told))
settings = ["train.objective=toy", "train.epochs=1", "train.options.height=2", "embedding_dim=4"]
sys.argv = ["zoo", "train", "mf", "--data", "synthetic", "--out", sys.argv[1]]
sys.argv += [part for setting in settings for part in ("--set", setting)]
main()
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory, run_with_plugin):
    """What a process tells that trained with an objective of a file of its own, and the folder of its run."""
    folder = tmp_path_factory.mktemp("own")
    printed = run_with_plugin(OBJECTIVE, SCRIPT, str(folder / "run"))
    told = next(line for line in printed.splitlines() if line.startswith("TOLD "))
    return json.loads(told.removeprefix("TOLD ")), folder / "run"


def test_an_objective_of_a_file_of_ones_own_trains(trained):
    losses = trained[0]["losses"]
    assert len(losses) == 4
    assert losses[-1] < losses[0] / 2


def test_an_objective_of_ones_own_is_trained_by_the_command(trained):
    assert json.loads((trained[1] / "config.json").read_text())["train"]["objective"] == "toy"


def test_an_objective_says_itself_whether_it_learns_labels(trained):
    assert trained[0]["metrics"] == [["full-ranking/test"], ["labels/test"]]


def test_options_of_an_objective_of_ones_own_are_checked(trained):
    assert trained[0]["errors"] == [
        "Unknown option of objective 'toy' 'hieght'. Did you mean 'height'?",
        "'a' is not a number: option 'height' of objective 'toy'. Give a number, as in the default 3.0.",
    ]


def test_an_objective_says_itself_whether_it_trains_on_streams(trained):
    assert "toy" in trained[0]["streamable"]
    assert "reconstruction" not in trained[0]["streamable"]
