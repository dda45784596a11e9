"""A small benchmark, and what its tests share."""

from __future__ import annotations

import copy
import dataclasses

from zoo.bench.results import (
    Row,
)

TINY = {
    "about": "Something small",
    "data": {"source": "synthetic", "options": {"num_users": 40, "num_items": 30, "num_interactions": 300}},
    "split": {"name": "random", "options": {"valid": 0.1, "test": 0.2}},
    "evaluate": {"ks": [5], "resamples": 10},
    "seeds": [0, 1],
    "quick": ["pop"],
    "models": {
        "pop": {"model": "popularity", "targets": {"hr@5": 0.5}, "source": "a paper"},
        "mf-4": {"model": "mf", "hparams": {"embedding_dim": 4}, "train": {"epochs": 2, "batch_size": 64}},
    },
}


def changed(**changes):
    """The small benchmark with other values; dots lead into it."""
    said = copy.deepcopy(TINY)
    for path, value in changes.items():
        *sections, last = path.split("__")
        target = said
        for section in sections:
            target = target[section]
        target[last] = value
    return said


def with_pretrained():
    gmf = {"model": "gmf", "hparams": {"embedding_dim": 4}, "train": {"epochs": 1}}
    ncf = {"model": "ncf", "hparams": {"embedding_dim": 4, "hidden": [8]}, "train": {"epochs": 1}}
    neumf = {"model": "neumf", "hparams": {"gmf_dim": 4, "mlp_dim": 4, "hidden": [8]}, "train": {"epochs": 1}}
    models = {"all": {**neumf, "pretrained": {"gmf": "one", "ncf": "other"}}, "one": gmf, "other": ncf}
    return changed(models=models, quick=[], seeds=[0, 1])


def asking(evaluate=None, **entry):
    """The changes that have `mf-4` asked to be better than `pop`, minus what is said here."""
    margin = {"model": "mf", "margins": {"pop": {"auc": 0.1}}}
    return {
        "evaluate": {"protocol": "labels"} if evaluate is None else evaluate,
        "models__pop": {"model": "popularity"},
        "models__mf-4": {**margin, **entry},
    }


def result_of(job, value=0.5):
    """The result that a worker would give."""
    interval = {"mean": value, "low": value - 0.1, "high": value + 0.1, "level": 0.95}
    return {
        "protocol": "full-ranking",
        "about": "",
        "metrics": {"hr@5": interval, "ndcg@5": {**interval, "mean": value / 2}},
        "dataset": "synthetic",
        "train_seconds": 1.5,
        "evaluate_seconds": 0.25,
        "peak_memory_mb": 700.4,
        "epochs": 3,
        "machine": "Some CPU, 2 cores, 8 GB",
        "versions": "python 3.11",
    }


ROW = Row(
    *("tiny", "synthetic", "full-ranking", "pop", "popularity", "", "0", "ndcg@5", "0.5", "0.4", "0.6"),
    *("1.0", "0.1", "700", "0", "CPU, 2 cores", "python 3", "2026-01-01", "abc"),
)


def row(**changes):
    return dataclasses.replace(ROW, **changes)
