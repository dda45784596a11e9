"""What a preset leaves to the data, by rules that stand here. Nothing that the user has said is changed.

| setting | rule |
| --- | --- |
| `data.max_history` | at most so long that histories have 99% of the interactions, at least 10; 200 at most |
| `train.batch_size` | doubled until an epoch has at most 2,000 steps, halved until it has at least 8, never below 16 |
| the same, of windows | before that, halved until a step predicts the items after at most 5,000 events |
| `train.objective` | the sampled form of a softmax where the catalogue has more than 10,000 items |
| `train.options` | numbers of items drawn at once are at most those that the catalogue has |
| `evaluate.ks` | at most the size of the catalogue |
| users of early stopping | so few that there are at most 1e9 scores, 5e7 of a pair network; at least 2,000 |
"""

from __future__ import annotations

import copy
from collections.abc import Collection

import numpy as np

from zoo.config import Config
from zoo.data.dataset import PARTS, Dataset
from zoo.data.streamed import StreamedDataset
from zoo.evaluation.protocols import Protocol
from zoo.evaluation.samples import sample_users, users_that_fit
from zoo.families import Pairs, Recommender
from zoo.objectives import OBJECTIVES
from zoo.options import options_of
from zoo.schema import FIRST_KNOWN

# The share of interactions that histories have, and how long they are at least.
EVENTS_READ, SHORTEST_HISTORY = 0.99, 10

# The most items that a softmax over the catalogue is trained on at every position.
LARGEST_SOFTMAX = 10_000

MOST_STEPS, FEWEST_STEPS, SMALLEST_BATCH = 2000, 8, 16

# The most events of windows in a step. With more of them training takes as long and learns less, because its steps are
# fewer: on MovieLens 1M, 17,000 events a step took twice as many epochs to the same NDCG as 4,000.
MOST_EVENTS = 5000


def noted(dataset: Dataset, *notes: str) -> Dataset:
    """The dataset with further notes. It shares everything else with the one given, which stays as it is."""
    if not notes:
        return dataset
    other = copy.copy(dataset)
    other.notes = [*dataset.notes, *notes]
    return other


def with_derived_history(dataset: Dataset) -> Dataset:
    """The dataset with histories so long that they have nearly all interactions, if its own are longer."""
    histories = dataset.schema.role("history")
    if isinstance(dataset, StreamedDataset) or not histories:
        return dataset
    counts = np.bincount(dataset.sequences(*PARTS).counts)
    # By length: how many users have more interactions than that, and how many interactions are then read.
    have_more = counts[::-1].cumsum()[::-1][1:]
    read = have_more.cumsum()
    enough = int(np.searchsorted(read, EVENTS_READ * read[-1])) + 1
    length, longest = max(enough, SHORTEST_HISTORY), histories[0].length or 1
    if length < longest:
        why = f"which are {EVENTS_READ:.0%} of all (data.max_history)"
        return noted(dataset.with_max_history(length), f"Histories have the last {length} interactions, {why}.")
    if longest < len(counts) - 1:
        share = read[longest - 1] / read[-1]
        why = f"which are {share:.0%} of all; data.max_history=null keeps them whole"
        return noted(dataset, f"Histories have the last {longest} interactions, {why}.")
    return dataset


def fit_to_catalogue(config: Config, said: Collection[str], objective: str, num_items: int) -> list[str]:
    """Changes what a preset asks of the catalogue to what suits its size; gives a note for every setting changed.

    Args:
        config: The settings, some of which may be changed.
        said: The settings that the user has given, by dotted name.
        objective: The name of the objective; empty for a solved architecture.
        num_items: Rows of the item table.
    """
    known, notes = num_items - FIRST_KNOWN, []
    if max(config.evaluate.ks) > known and "evaluate.ks" not in said:
        config.evaluate.ks = tuple(sorted({min(k, known) for k in config.evaluate.ks}))
        notes.append(_clipped("evaluate.ks", list(config.evaluate.ks), known))
    if objective:
        kind = OBJECTIVES[objective]
        if kind.sampled and known > LARGEST_SOFTMAX and "train.objective" not in said:
            config.train.objective, kind = kind.sampled, OBJECTIVES[kind.sampled]
            why = f"because the catalogue has {known:,} items, more than {LARGEST_SOFTMAX:,}."
            notes.append(f"train.objective is {kind.name} instead of {objective}, {why}")
        usual = options_of(kind, without=("model", "dataset"))
        for name, most in kind.most_items(known).items():
            value = config.train.options.get(name, usual[name].default)
            if f"train.options.{name}" not in said and isinstance(value, int) and value > most:
                config.train.options[name] = max(1, most)
                notes.append(_clipped(f"train.options.{name}", max(1, most), known))
    return notes


def fit_batch_size(
    config: Config, said: Collection[str], num_examples: int, events_of_window: float = 0.0
) -> list[str]:
    """Changes the batch size of a preset to one that suits the examples; gives a note if it does.

    Args:
        config: The settings, one of which may be changed.
        said: The settings that the user has given, by dotted name.
        num_examples: Examples of an epoch.
        events_of_window: The mean number of events of an example that is a window of a history.
    """
    usual = size = config.train.batch_size
    if "train.batch_size" in said:
        return []
    while size * events_of_window > MOST_EVENTS and size >= 2 * SMALLEST_BATCH:
        size //= 2
    while num_examples > size * MOST_STEPS:
        size *= 2
    while num_examples < size * FEWEST_STEPS and size >= 2 * SMALLEST_BATCH:
        size //= 2
    if size == usual:
        return []
    config.train.batch_size = size
    steps = -(-num_examples // size)
    return [f"Batches have {size} examples instead of {usual}: {steps} steps an epoch (train.batch_size)."]


def validated_users(dataset: Dataset, protocol: Protocol, model: Recommender, seed: int) -> tuple[Dataset, list[str]]:
    """The data that is ranked between epochs: of all users, or of a sample where these are many, with a note."""
    if protocol.is_of_rows or isinstance(dataset, StreamedDataset):
        return dataset, []
    number = users_that_fit(dataset.num_items, isinstance(model, Pairs))
    sample = sample_users(dataset, "valid", number, seed)
    if sample is dataset:
        return dataset, []
    return sample, [f"Early stopping watches {number:,} users of the valid part, drawn at random (seed {seed})."]


def _clipped(setting: str, value: object, known: int) -> str:
    return f"{setting} is {value}, because the catalogue has only {known} items."
