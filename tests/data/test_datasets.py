from __future__ import annotations

import pytest

from zoo.data import list_datasets
from zoo.data.datasets import DATASETS

# A dataset of one's own, in a file that ZOO_PLUGINS names.
OWN = '''
import pandas as pd
from zoo.data import prepare
from zoo.data.datasets import DATASETS, NamedDataset

class Visits(NamedDataset):
    """Visits that were made up."""

    name = "visits"
    terms = "none, because they were made up"

    def load(self, *, users: int = 20, **options):
        rows = [(user, (user + step) % 30) for user in range(users) for step in range(6)]
        return prepare(pd.DataFrame(rows, columns=["user", "item"]), **{"name": self.name, **options})

DATASETS.register(Visits())
'''
TRAIN = """
import zoo
from zoo.data import list_datasets, load_dataset
from zoo.errors import UserError
assert "visits" in list_datasets()
run = zoo.train("mf", "visits", train={"epochs": 1}, data={"options": {"users": 12}})
assert run.dataset.name == "visits" and run.dataset.num_users == 14
for options in ({"users": "x"}, {"usrs": 3}):
    try:
        load_dataset("visits", **options)
    except UserError as error:
        print(error)
"""


def test_a_file_of_ones_own_adds_a_dataset_that_can_be_trained_on(run_with_plugin):
    printed = run_with_plugin(OWN, TRAIN)
    assert (
        "'x' is not an integer: option 'users' of dataset 'visits'. Give an integer, as in the default 20." in printed
    )
    assert "Unknown option 'usrs'. Did you mean 'users'" in printed


def test_the_datasets_of_the_package_are_listed():
    assert list_datasets() == ["amazon-beauty", "ml-100k", "ml-1m", "ml-1m-ncf", "movielens-sample", "synthetic"]


@pytest.mark.parametrize("name", ["amazon-beauty", "ml-100k", "ml-1m", "ml-1m-ncf", "movielens-sample", "synthetic"])
def test_every_dataset_says_what_it_is_and_on_which_terms(name):
    dataset = DATASETS[name]
    assert dataset.__doc__
    assert dataset.terms
    assert ("MovieLens" in dataset.__doc__) <= (dataset.url == "https://grouplens.org/datasets/movielens/")
