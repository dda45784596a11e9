"""Workers of this machine and what they train on, for the tests of training in several processes."""

from __future__ import annotations

import contextlib
import json
import socket
from pathlib import Path

import numpy as np
import pandas as pd

# Seconds; longer than any process here takes, however busy the machine.
PATIENCE = 600

# Addresses of no machine (RFC 5737).
ELSEWHERE = "198.51.100.1:2222", "203.0.113.1:2222"

BATCH = 64
SETTINGS = (
    f"train.batch_size={BATCH}",
    "train.epochs=2",
    "train.patience=null",
    "train.steps_per_execution=2",
    "train.worker_timeout=300",
    "evaluate.ks=[5]",
    "evaluate.resamples=20",
    "embedding_dim=4",
)
# Each positive has negatives of its own; and the whole batch is pitted against itself. Adam would make steps of the
# rounding errors that user biases get from a softmax, whose gradients cancel, so the second has another optimizer.
OBJECTIVES = {
    "pointwise": ("train.learning_rate=0.05", "train.options.negatives=3"),
    "softmax": (
        "train.objective=in_batch_softmax",
        "train.optimizer=sgd",
        "train.learning_rate=30",
        "train.global_clipnorm=0.1",
    ),
}


def train_arguments(out: str, objective: str, *more: str) -> list[str]:
    """The arguments of `zoo` to train on the events."""
    settings = [part for setting in (*SETTINGS, *OBJECTIVES[objective]) for part in ("--set", setting)]
    return ["train", "mf", "--data", "events.csv", "--out", out, *settings, *more]


def as_worker(workers: list[str], index: int) -> tuple[str, ...]:
    return "--workers", ",".join(workers), "--worker", str(index)


def tf_config(workers: list[str], index: int, **more: object) -> str:
    return json.dumps({"cluster": {"worker": workers, **more}, "task": {"type": "worker", "index": index}})


def write_events(path: Path) -> None:
    """Users of one half like items of one half; the last batch of an epoch has only one example, for one worker."""
    rng = np.random.default_rng(0)
    liked = [rng.permutation(20)[:12] + 20 * (user % 2) for user in range(20)]
    rows = [(f"u{user}", f"i{item}") for user, items in enumerate(liked) for item in items]
    frame = pd.DataFrame(rows, columns=["user", "item"]).sample(frac=1, random_state=0)
    parts = np.resize(["valid", "test"], len(frame)).astype(object)
    parts[: 3 * BATCH + 1] = "train"
    frame.assign(split=parts).to_csv(path, index=False)


def free_addresses(number: int = 2) -> list[str]:
    """Addresses of this machine at which nobody listens."""
    with contextlib.ExitStack() as sockets:
        ports = [sockets.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(number)]
    return [f"127.0.0.1:{port}" for port in ports]
